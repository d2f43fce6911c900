"""Reads a state file with what lies beside it: ``.backup`` and rescue files, and what they add."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

from personasync.model.contract import DEFAULT_BASE_URL
from personasync.model.errors import StateError
from personasync.model.spelling import plural
from personasync.model.steps import Command, NextStep, Option
from personasync.state.beside import (
    Backup,
    backup_of,
    belongs,
    header_line,
    only_in_backup,
    own_backup_of,
    read_backup,
    refuse_dangling,
)
from personasync.state.entry import Entry, Header
from personasync.state.log import LogContents
from personasync.state.parse import ParsedLog, parse_log
from personasync.state.rescue import RescueFile, read_rescue, rescued, rescued_entries

_MOST_NOTES: Final = 5

Identity: TypeAlias = tuple[int, int, int, bytes] | None
"""Device, inode, size and digest of a file; ``None`` where there is none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A state file with what lies beside it: ``new`` is what that adds."""

    data: bytes
    identity: Identity
    parsed: ParsedLog
    header: Header | None
    backup: Backup | None
    rescue: tuple[RescueFile, ...]
    new: tuple[Entry, ...]
    notes: tuple[str, ...]

    @property
    def contents(self) -> LogContents:
        """What the log holds, with what lies beside it."""
        header = self.parsed.current or self.header
        return LogContents(header, (*self.parsed.entries, *self.new), self.notes)


@dataclass(frozen=True, slots=True)
class StateFile:
    """Reads one state file: ``link`` is where it was named, ``path`` the file that this leads to.

    ``api`` is the base in use; a state that belongs to another is refused.
    """

    name: str
    link: Path
    path: Path
    api: str | None

    @classmethod
    def of(cls, path: Path, api: str | None) -> Self:
        """Find the file behind a path: a rename must replace it, not a link to it."""
        return cls(str(path), path, _real(path), api)

    def read(self, header: Header | None, *, held: bool) -> Reading:
        """Read it all; ``header`` is the one that is known, and ``held`` asks for a digest."""
        refuse_dangling(self.link, self.name)
        # Beside it first: a run that takes something in appends before it removes.
        rescue = list(self._rescue_files(header))
        data, identity = self.read_bytes(held=held)
        parsed = parse_log(data, self.name)
        backup = self._read_backup(data, parsed)
        own = parsed.header or self._salvaged_header(parsed, backup, rescue)
        current = parsed.current or own
        self._check_api(current)
        rescue = [file for file in rescue if belongs(file.header, current, self.api)]
        old = only_in_backup(parsed.entries, backup.entries) if backup else []
        new = (*old, *rescued_entries((*parsed.entries, *old), rescue))
        notes = (*_damage_notes(self.name, parsed), *_taken_notes(self.name, backup, old, new))
        return Reading(data, identity, parsed, own, backup, tuple(rescue), new, notes)

    def read_bytes(self, *, held: bool) -> tuple[bytes, Identity]:
        """Return the bytes of the file alone, and what tells it from another."""
        try:
            with self.path.open("rb") as file:
                status, data = os.fstat(file.fileno()), file.read()
        except FileNotFoundError:
            return b"", None
        except OSError as error:
            raise StateError(f"cannot read the state {self.name}: {error.strerror}") from error
        digest = hashlib.sha256(data).digest() if held else b""
        return data, (status.st_dev, status.st_ino, len(data), digest)

    def _read_backup(self, data: bytes, parsed: ParsedLog) -> Backup | None:
        paths = [backup_of(self.path)]
        if parsed.header is not None:
            paths.append(own_backup_of(self.path, parsed.header))
        elif not parsed.entries:
            paths += sorted(self.path.parent.glob(f"{self.path.name}.*.backup"))
        for path in paths:
            backup = read_backup(path, data)
            if backup is not None and belongs(backup.header, parsed.current, self.api):
                return backup
        return None

    def _rescue_files(self, header: Header | None) -> Iterator[RescueFile]:
        """Yield the rescue files beside the state, and those kept elsewhere for it."""
        beside = self.path.with_name(f"{self.path.name}.rescue")
        if os.path.lexists(beside):
            yield from read_rescue(beside)
        yield from rescued(str(self.path), header or _first_line(self.path))

    def _salvaged_header(
        self, parsed: ParsedLog, backup: Backup | None, rescue: Sequence[RescueFile]
    ) -> Header | None:
        """Return the header of a log that has lost it, from wherever it can be known."""
        beside = [backup, *rescue]
        for file in beside:
            if file is not None and file.header is not None:
                lineage = parsed.partial.get("lineage")
                if lineage in (None, "", file.header.lineage):
                    return file.header
        if not parsed.entries and not parsed.partial:
            return None
        api = parsed.moved.api if parsed.moved else self.api or DEFAULT_BASE_URL
        header, line = header_line(parsed, api)
        if parsed.moved is not None or all(parsed.partial.get(name) for name in ("lineage", "api")):
            return header
        raise StateError(
            f"{self.name}:1: the header is not whole, and nothing beside the state tells what it"
            " was",
            hint=f"nothing was changed; put this line first, if the IDs are of that API: {line}",
        )

    def _check_api(self, header: Header | None) -> None:
        if self.api is not None and header is not None and header.api != self.api:
            raise StateError(
                f"the state {self.name} holds IDs of {header.api},"
                f" but the API in use is {self.api}",
                hint=NextStep(
                    "IDs of one API mean nothing to another: name that API again with ",
                    Option("base-url"),
                    ", or keep a state for each with ",
                    Option("state"),
                    "; if the service itself has moved: ",
                    Command("state set-api", (self.api,)),
                ),
            )


def _first_line(path: Path) -> Header | None:
    """Look at the first line alone: the rest is read behind the rescue files."""
    try:
        with path.open("rb") as file:
            return parse_log(file.readline(), str(path)).header
    except (OSError, StateError):
        return None


def has_other_names(path: Path) -> bool:
    """Whether another name leads to the same file; a crash can leave a backup that does."""
    try:
        status = path.stat()
        backup = backup_of(path)
        links = status.st_nlink - (backup.exists() and os.path.samestat(status, backup.stat()))
    except OSError:
        return False
    return links > 1


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:  # a NUL character, which a saved plan can hold
        raise StateError(f"{str(path)!r} cannot be the path of a state") from error


def _damage_notes(name: str, parsed: ParsedLog) -> Iterator[str]:
    for number, damage in enumerate(parsed.damage):
        if number == _MOST_NOTES:
            yield f"{len(parsed.damage) - number} more lines of {name} were not as they are written"
            return
        if parsed.open_end and number == len(parsed.damage) - 1:
            yield f"the last line of {name} was cut off, as a crash leaves it; {damage.words}"
        else:
            yield f"line {damage.number} of {name}: {damage.words}"


def _taken_notes(
    name: str, backup: Backup | None, old: Sequence[Entry], new: Sequence[Entry]
) -> Iterator[str]:
    if old and backup is not None:
        were = plural(len(old), "entry was", "entries were")
        yield f"{len(old)} {were} found that only {backup.path} held, and taken in to {name}"
    if len(new) > len(old):
        count = len(new) - len(old)
        were = plural(count, "entry was", "entries were")
        yield f"{count} rescued {were} found beside {name} and taken in"
