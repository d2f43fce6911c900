"""What lies beside a state file: its ``.backup``, its rescue files, and what they add to it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from personasync.model.errors import StateError
from personasync.model.steps import NextStep, Option
from personasync.state.codec import encode_header
from personasync.state.entry import Entry, Header
from personasync.state.fold import fold
from personasync.state.parse import ParsedLog, parse_log


@dataclass(frozen=True, slots=True)
class Backup:
    """A ``.backup`` as it was read: only what its state does not hold word for word."""

    path: Path
    header: Header | None
    entries: tuple[Entry, ...]


def backup_of(state: Path) -> Path:
    """Return where the previous file of a state is kept."""
    return state.with_name(f"{state.name}.backup")


def own_backup_of(state: Path, header: Header) -> Path:
    """Return where a backup is kept that would stand in the way of another state's."""
    return state.with_name(f"{state.name}.{_word(header.lineage)}.backup")


def _word(lineage: str) -> str:
    plain = lineage.isascii() and lineage.isalnum() and len(lineage) <= 64
    return lineage if plain else hashlib.sha256(lineage.encode("utf-8", "replace")).hexdigest()[:16]


def read_backup(path: Path, state: bytes) -> Backup | None:
    """Read a backup beside the bytes of its state; ``None`` where there is none.

    Most of its lines stand in the state as well, and are not looked at twice.
    Raises ``StateError`` for one that cannot be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise StateError(f"{path} is not a plain file", hint="move it out of the way")
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(
            f"cannot read {path}: {error.strerror}",
            hint="it may hold IDs that the state does not; make it readable",
        ) from error
    head, _newline, rest = data.partition(b"\n")
    known = set(state.split(b"\n"))
    new = [line for line in rest.split(b"\n") if line not in known]
    parsed = parse_log(b"\n".join([head, *new]), str(path))
    return Backup(path, parsed.current, parsed.entries)


def belongs(header: Header | None, state: Header | None, api: str | None) -> bool:
    """Whether what is beside a state is of its lineage or API; where there is none, of ``api``."""
    if header is None:
        return True
    if state is None:
        return api in (None, header.api)
    return header.lineage == state.lineage or header.api == state.api


def only_in_backup(entries: Sequence[Entry], backup: Iterable[Entry]) -> list[Entry]:
    """Return what a backup knows that the log does not: audios, and IDs that nothing replaced."""
    older = fold(backup)
    known = fold(entries) if older else {}
    return [
        line
        for audio_id, before in older.items()
        for line in before.rivals or (before,)
        if audio_id not in known or _adds_id(known[audio_id], line)
    ]


def _adds_id(known: Entry, older: Entry) -> bool:
    if older.persona_id is None or older.persona_id in known.ids:
        return False
    return older.persona_id in fold([older, known])[known.audio_id].ids


def header_line(parsed: ParsedLog, api: str) -> tuple[Header, str]:
    """Return the header that belongs at the head of a log that lost it, and its line.

    What can still be read of it stands; a lineage that cannot is made from
    what is there, so that it is the same at every reading.
    """
    seed = repr([(entry.audio_id, entry.persona_id) for entry in parsed.entries])
    lineage = parsed.partial.get("lineage") or hashlib.sha256(seed.encode()).hexdigest()[:32]
    header = Header(lineage, parsed.partial.get("api") or api)
    return header, encode_header(header).decode().rstrip()


def refuse_dangling(path: Path, name: str) -> None:
    """Raise ``StateError`` for a link that leads nowhere, or what is no plain file.

    A new state would lie where such a link leads, out of sight; reading a pipe
    or a device could take for ever.
    """
    try:
        status = path.stat()
    except OSError:
        if path.is_symlink() and not os.path.lexists(os.path.realpath(path)):
            raise StateError(
                f"the state {name} is a link to {os.path.realpath(path)}, which is not there",
                hint="put back what it leads to, or remove the link",
            ) from None
        return  # nothing is there, or reading it will say what is wrong
    if not stat.S_ISREG(status.st_mode):
        raise StateError(
            f"the state {name} is not a plain file",
            hint=NextStep("name another with ", Option("state")),
        )
