"""The bytes of a state file read as a log, whatever a crash or a merge did to them."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Final

from personasync.model.errors import StateError
from personasync.model.steps import NextStep, Option
from personasync.state.codec import decode_line, salvage
from personasync.state.entry import Entry, Header

_MERGE_MARKERS: Final = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ParsedLog:
    """A state file as it was read.

    ``torn`` is what stands behind the last newline, which only a crash leaves
    there; ``salvaged`` is what it still says.
    """

    header: Header | None
    entries: tuple[Entry, ...]
    torn: bytes = b""
    salvaged: Entry | None = None

    @property
    def all_entries(self) -> tuple[Entry, ...]:
        """The entries, with what a torn last line still says behind them."""
        return self.entries if self.salvaged is None else (*self.entries, self.salvaged)


def parse_log(data: bytes, name: str) -> ParsedLog:
    """Read a state file's bytes; ``name`` is what errors call it.

    Raises ``StateError`` naming the file and the line for every line, other
    than a torn last one, that is not an entry.
    """
    header: Header | None = None
    entries: list[Entry] = []
    torn = b""
    for number, line in enumerate(BytesIO(data.removeprefix(_BOM)), start=1):
        if not line.endswith(b"\n"):
            torn = line
            break
        value = _decode(line, name, number)
        if isinstance(value, Entry):
            entries.append(value)
        elif header is None:
            header = value
        elif header.api != value.api:
            raise StateError(
                f"{name}:{number}: a second header names {value.api}, the first {header.api}",
                hint="two states of different APIs were merged; keep them apart",
            )
        if header is None:
            raise _no_header(name)
    if header is None and torn:
        raise _no_header(name)
    salvaged = salvage(torn) if torn else None
    return ParsedLog(header, tuple(entries), torn, salvaged)


def _decode(line: bytes, name: str, number: int) -> Header | Entry:
    try:
        return decode_line(line)
    except ValueError as error:
        if line.startswith(_MERGE_MARKERS):
            raise StateError(
                f"{name}:{number}: the file holds an unresolved merge conflict",
                hint="every line of both sides is worth keeping: delete only the lines that begin"
                " with <<<<<<<, =======, ||||||| or >>>>>>>",
            ) from None
        raise StateError(
            f"{name}:{number}: this line cannot be read as an entry: {error}",
            hint="nothing was changed; put the line back as it was, from version control or from"
            f" {name}.backup",
        ) from None


def _no_header(name: str) -> StateError:
    return StateError(
        f"{name}:1: this is not a personasync state: its first line is not a whole header",
        hint=NextStep(
            "name the right file with ",
            Option("state"),
            f", or restore it from version control or from {name}.backup",
        ),
    )
