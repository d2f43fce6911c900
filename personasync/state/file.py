"""The state as one JSON Lines file: the first ``StateLog``."""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from personasync.model.contract import DEFAULT_BASE_URL
from personasync.model.errors import StaleStateError, StateError, StateWriteError
from personasync.model.steps import Command, NextStep, Option
from personasync.state.appender import Appender
from personasync.state.beside import (
    Backup,
    backup_of,
    belongs,
    header_line,
    only_in_backup,
    own_backup_of,
    read_backup,
    refuse_dangling,
    rescued_entries,
)
from personasync.state.codec import encode_entry, encode_header
from personasync.state.durable import (
    CannotReplaceError,
    create_file,
    replace_file,
    sync,
    sync_folder,
)
from personasync.state.entry import Entry, Header, Moved
from personasync.state.fold import compacted
from personasync.state.log import Holder, LogContents
from personasync.state.parse import ParsedLog, parse_log
from personasync.state.rescue import RescueFile, append_rescue, keep_apart, read_rescue, rescued
from personasync.state.rescue import remove as remove_rescue

if TYPE_CHECKING:
    from personasync.state.lock import Hold

_MOST_NOTES: Final = 5

_Identity: TypeAlias = tuple[int, int, int, bytes] | None
"""Device, inode, size and digest of a file; ``None`` where there is none."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A state file with what lies beside it: ``new`` is what that adds."""

    data: bytes
    identity: _Identity
    parsed: ParsedLog
    header: Header | None
    backup: Backup | None
    rescue: tuple[RescueFile, ...]
    new: tuple[Entry, ...]
    notes: tuple[str, ...]

    @property
    def contents(self) -> LogContents:
        header = self.parsed.current or self.header
        return LogContents(header, (*self.parsed.entries, *self.new), self.notes)


class FileStateLog:
    """A state kept in one local file of JSON Lines.

    ``api`` is the base in use: a state that belongs to another is refused.
    With ``api=None`` any state can be read and appended to, but none begun.
    """

    def __init__(self, path: Path, *, api: str | None) -> None:
        self._name = str(path)
        self._link = path
        self._path = _real(path)  # a rename must replace the file, not a link to it
        self._api = api
        self._hold: Hold | None = None
        self._seen: _Identity = None
        self._appender: Appender | None = None
        self._mended: tuple[str, ...] = ()
        self.header: Header | None = None

    @property
    def location(self) -> str:
        """The path, as the user named it."""
        return self._name

    def read(self) -> LogContents:
        """Return all that the file, its backup and any rescue file of it hold.

        A file that is not there is an empty log. Raises ``StateError`` when
        it cannot be read, belongs to another API, or a line is unreadable.
        """
        reading = self._read()
        if self._hold is not None and self._appender is None:
            self._seen = reading.identity
        contents = reading.contents
        return replace(contents, notes=tuple(dict.fromkeys((*self._mended, *contents.notes))))

    @contextmanager
    def lock(
        self, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> Iterator[None]:
        """Hold the file against other writers, and first mend what a crash left."""
        from personasync.state.lock import hold  # a plan takes no lock, and must start fast

        refuse_dangling(self._link, self._name)
        with hold(self._path, timeout=timeout, on_wait=on_wait) as self._hold:
            try:
                self._recover(self._read())
                yield
            finally:
                self._close()
                self._hold = None

    def append(self, entries: Sequence[Entry | Moved]) -> None:
        """Append entries with one write and one sync; creates the file when it is missing."""
        data = b"".join(map(encode_entry, entries))
        try:
            self.confirm()
            self._open().append(data)
        except OSError as error:
            raise self._write_error(error) from error

    def confirm(self) -> None:
        """Before the first append: raise ``StaleStateError`` unless the file is what was read.

        The lock keeps other runs of personasync out, not ``git pull``.
        """
        if self._hold is None or self._appender is not None:
            return
        if self._bytes()[1] != self._seen:
            raise StaleStateError(
                f"the state {self._name} was changed by something else since it was read",
                hint="nothing was changed or sent; run the same command again",
            )

    def rescue(self, entries: Sequence[Entry]) -> str | None:
        """Keep entries in a file beside the state; raises ``OSError`` where that cannot be."""
        header = self.header or Header(uuid.uuid4().hex, self._new_api())
        where = append_rescue(
            self._path.with_name(f"{self._path.name}.rescue"),
            encode_header(header) + b"".join(map(encode_entry, entries)),
        )
        if _has_other_names(self._path):  # beside which nobody would find it
            keep_apart(header, self._name, entries)
        return where

    def intact(self) -> bool:
        """Whether the file is as the appends of this log have left it."""
        return self._appender is not None and self._appender.intact()

    def compact(self) -> None:
        """Rewrite the file as one line an audio; the previous file stays as ``.backup``.

        Raises ``StateError`` besides, when the file has become unreadable or
        is gone, and ``StateWriteError`` where it must stay the file it is.
        """
        reading = self._read()
        if reading.parsed.header is None:
            self._check_never_begun(reading)
            return
        data = _whole(reading.parsed, reading.parsed.header, compacted(reading.contents.entries))
        if data == reading.data:
            return
        try:
            if _has_other_names(self._path):
                raise CannotReplaceError(errno.EMLINK, "it has another name, which would lose it")
            self._keep_foreign_backup(reading)
            self._close()
            replace_file(self._path, data, backup=backup_of(self._path), before=self._cover)
            self._seen = self._bytes()[1]
        except OSError as error:
            raise self._write_error(error) from error

    # Reading.

    def _read(self) -> _Reading:
        refuse_dangling(self._link, self._name)
        # Beside it first: a run that takes something in appends before it removes.
        rescue = list(self._rescue_files())
        data, identity = self._bytes()
        parsed = parse_log(data, self._name)
        backup = self._read_backup(data, parsed)
        header = parsed.header or self._salvaged_header(parsed, backup, rescue)
        current = parsed.current or header
        self._check_api(current)
        rescue = [file for file in rescue if belongs(file.header, current, self._api)]
        old = only_in_backup(parsed.entries, backup.entries) if backup else []
        new = (*old, *rescued_entries((*parsed.entries, *old), rescue))
        notes = (*_damage_notes(self._name, parsed), *_taken_notes(self._name, backup, old, new))
        return _Reading(data, identity, parsed, header, backup, tuple(rescue), new, notes)

    def _bytes(self) -> tuple[bytes, _Identity]:
        try:
            with self._path.open("rb") as file:
                status, data = os.fstat(file.fileno()), file.read()
        except FileNotFoundError:
            return b"", None
        except OSError as error:
            raise StateError(f"cannot read the state {self._name}: {error.strerror}") from error
        digest = hashlib.sha256(data).digest() if self._hold is not None else b""
        return data, (status.st_dev, status.st_ino, len(data), digest)

    def _read_backup(self, data: bytes, parsed: ParsedLog) -> Backup | None:
        paths = [backup_of(self._path)]
        if parsed.header is not None:
            paths.append(own_backup_of(self._path, parsed.header))
        elif not parsed.entries:
            paths += sorted(self._path.parent.glob(f"{self._path.name}.*.backup"))
        for path in paths:
            backup = read_backup(path, data)
            if backup is not None and belongs(backup.header, parsed.current, self._api):
                return backup
        return None

    def _rescue_files(self) -> Iterator[RescueFile]:
        """Yield the rescue files beside the state, and those kept elsewhere for it."""
        beside = self._path.with_name(f"{self._path.name}.rescue")
        if os.path.lexists(beside):
            yield from read_rescue(beside)
        yield from rescued(str(self._path), self.header or _first_line(self._path))

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
        api = parsed.moved.api if parsed.moved else self._api or DEFAULT_BASE_URL
        header, line = header_line(parsed, api)
        if parsed.moved is not None or all(parsed.partial.get(name) for name in ("lineage", "api")):
            return header
        raise StateError(
            f"{self._name}:1: the header is not whole, and nothing beside the state tells what it"
            " was",
            hint=f"nothing was changed; put this line first, if the IDs are of that API: {line}",
        )

    def _check_api(self, header: Header | None) -> None:
        if self._api is not None and header is not None and header.api != self._api:
            raise StateError(
                f"the state {self._name} holds IDs of {header.api},"
                f" but the API in use is {self._api}",
                hint=NextStep(
                    "IDs of one API mean nothing to another: name that API again with ",
                    Option("base-url"),
                    ", or keep a state for each with ",
                    Option("state"),
                    "; if the service itself has moved: ",
                    Command("state set-api", (self._api,)),
                ),
            )

    # Writing.

    def _recover(self, reading: _Reading) -> None:
        """Take in what is beside the state, and mend what stands in the way; the lock is held."""
        parsed = reading.parsed
        self.header = reading.header
        rough = parsed.open_end or parsed.damage or (parsed.header is None and reading.data)
        try:
            if reading.header is not None and (rough or (reading.new and parsed.header is None)):
                self._rewrite(reading, reading.header)
            elif reading.new:
                self._open().append(b"".join(map(encode_entry, reading.new)))
        except OSError as error:
            raise self._write_error(error) from error
        remove_rescue(reading.rescue)
        self._close()
        self._mended = reading.notes
        self._seen = self._bytes()[1]

    def _rewrite(self, reading: _Reading, header: Header) -> None:
        """Write all that was read as whole lines; what was not readable as it was is kept."""
        damage = b"".join(each.raw + b"\n" for each in reading.parsed.damage)
        if damage:
            aside = self._path.with_name(f"{self._path.name}.torn")
            kept = aside.read_bytes() if aside.is_file() else b""
            if damage not in kept:  # a file that cannot be rewritten shows it every time
                replace_file(aside, kept + damage)
        data = _whole(reading.parsed, header, reading.contents.entries)
        try:
            if _has_other_names(self._path):
                raise CannotReplaceError
            replace_file(self._path, data, before=self._cover)
        except CannotReplaceError:  # then a line's end is all that the next line needs
            with self._path.open("ab") as file:
                file.write(b"\n" if reading.parsed.open_end else b"")
                file.write(b"" if reading.parsed.header else encode_header(header))
                file.write(b"".join(map(encode_entry, reading.new)))
                file.flush()
                sync(file.fileno())

    def _open(self) -> Appender:
        if self._appender is None:
            if self.header is None:
                self.header = self._read().header or self._begin()
            self._appender = Appender(self._path)
            # A run that was killed may have given the file its name without making that durable.
            sync_folder(self._path.parent)
        return self._appender

    def _begin(self) -> Header:
        header = Header(uuid.uuid4().hex, self._new_api())
        if self._path.exists():  # an empty one, which keeps its mode
            replace_file(self._path, encode_header(header), before=self._cover)
        else:
            create_file(self._path, encode_header(header), before=self._cover)
        return header

    def _cover(self, descriptor: int) -> None:
        if self._hold is not None:
            self._hold.cover(descriptor)

    def _keep_foreign_backup(self, reading: _Reading) -> None:
        """Move a backup that is of another state out of the way: it is never overwritten."""
        path = backup_of(self._path)
        found = reading.backup if reading.backup and reading.backup.path == path else None
        if found is None and path.exists():
            found = read_backup(path, reading.data)
        if found and found.header and not belongs(found.header, reading.contents.header, self._api):
            path.replace(own_backup_of(self._path, found.header))

    def _check_never_begun(self, reading: _Reading) -> None:
        if self.header is not None or reading.header is not None:
            raise StateError(
                f"the state {self._name} was removed during the run",
                hint="the next run takes in what is kept beside it; IDs of this run are in its"
                " output",
            )

    def _close(self) -> None:
        if self._appender is not None:
            self._appender.close()
            self._appender = None

    def _new_api(self) -> str:
        if self._api is None:
            raise StateError(f"there is no state at {self._name}")
        return self._api

    def _write_error(self, error: OSError) -> StateWriteError:
        if isinstance(error, CannotReplaceError):
            return StateWriteError(
                f"the state {self._name} goes on as the file it is, and is not rewritten:"
                f" {error.strerror or error}"
            )
        return StateWriteError(
            f"cannot write the state {self._name}: {error.strerror or error}",
            hint=f"make room, or make {self._path.parent} writable, and run the same command again",
        )


def _whole(parsed: ParsedLog, header: Header, entries: Sequence[Entry]) -> bytes:
    moved = b"" if parsed.moved is None else encode_entry(parsed.moved)
    return encode_header(header) + moved + b"".join(map(encode_entry, entries))


def _first_line(path: Path) -> Header | None:
    """Look at the first line alone: the rest is read behind the rescue files."""
    try:
        with path.open("rb") as file:
            return parse_log(file.readline(), str(path)).header
    except (OSError, StateError):
        return None


def _has_other_names(path: Path) -> bool:
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
        yield f"{_entries(len(old))} that only {backup.path} held, and taken in to {name}"
    if len(new) > len(old):
        count = len(new) - len(old)
        found = "1 rescued entry was" if count == 1 else f"{count} rescued entries were"
        yield f"{found} found beside {name} and taken in"


def _entries(count: int) -> str:
    return "1 entry was found" if count == 1 else f"{count} entries were found"
