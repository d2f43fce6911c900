"""Writes a state file: appends to it, begins it, replaces it whole, mends what a crash left."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from personasync.model.errors import StateError, StateWriteError
from personasync.state.appender import Appender
from personasync.state.beside import backup_of, belongs, own_backup_of, read_backup
from personasync.state.codec import encode_entries, encode_entry, encode_header
from personasync.state.durable import (
    CannotReplaceError,
    create_file,
    replace_file,
    sync,
    sync_file,
    sync_folder,
)
from personasync.state.entry import Entry, Header
from personasync.state.parse import ParsedLog
from personasync.state.rescue import remove as remove_rescue
from personasync.state.state_file import Identity, Reading, StateFile, has_other_names

if TYPE_CHECKING:
    from personasync.state.lock import Hold


class FileWriter:
    """The one writer of a state file. What writes may raise ``OSError``.

    ``header`` is the file's, as far as it has been read or begun; ``hold`` the
    lock, as long as it is held.
    """

    def __init__(self, file: StateFile) -> None:
        self.header: Header | None = None
        self.hold: Hold | None = None
        self._file = file
        self._appender: Appender | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the file is open for appends."""
        return self._appender is not None

    def read(self) -> Reading:
        """Read the file as it is now; under the lock it is told from any other."""
        return self._file.read(self.header, held=self.hold is not None)

    def identity(self) -> Identity:
        """Return what tells the file, as it is now, from any other."""
        return self._file.read_bytes(held=self.hold is not None)[1]

    def append(self, data: bytes) -> None:
        """Append whole lines with one write and one sync."""
        if self._appender is None:
            if self.header is None:
                self.header = self.read().header or _begin(self._file, self._cover)
            self._appender = Appender(self._file.path)
        self._appender.append(data)

    def intact(self) -> bool:
        """Whether the file is as the appends have left it."""
        return self._appender is not None and self._appender.intact()

    def close(self) -> None:
        """Close the file; what was appended is durable."""
        if self._appender is not None:
            self._appender.close()
            self._appender = None

    def recover(self) -> Reading:
        """Take in what is beside the state, and mend what stands in the way; the lock is held.

        Returns what was found. Raises ``StateWriteError`` where it cannot be written.
        """
        reading = self.read()
        parsed = reading.parsed
        self.header = reading.header
        rough = parsed.open_end or parsed.damage or (parsed.header is None and reading.data)
        # What was rescued because a sync failed can be read, and be gone after a power cut: so
        # its rescue is removed only once the state has been written anew.
        kept = [entry for file in reading.rescue for entry in file.entries]
        rough = rough or any(entry not in reading.new for entry in kept)
        try:
            if reading.header is not None and (rough or (reading.new and parsed.header is None)):
                _rewrite(self._file, reading, reading.header, self._cover)
            elif reading.new:
                self.append(encode_entries(reading.new))
            elif reading.data:
                sync_file(self._file.path)
            if reading.data:  # a run that was killed may have left it, or its name, in memory
                sync_folder(self._file.path.parent)
        except OSError as error:
            raise write_error(self._file, error) from error
        remove_rescue(reading.rescue)
        self.close()
        return reading

    def replace(self, reading: Reading, data: bytes) -> None:
        """Put other bytes in the place of what was read, which stays as ``.backup``."""
        path = self._file.path
        if has_other_names(path):
            raise CannotReplaceError(errno.EMLINK, "it has another name, which would lose it")
        _keep_foreign_backup(self._file, reading)
        self.close()
        replace_file(path, data, backup=backup_of(path), before=self._cover)

    def _cover(self, descriptor: int) -> None:
        if self.hold is not None:
            self.hold.cover(descriptor)


def _rewrite(
    file: StateFile, reading: Reading, header: Header, before: Callable[[int], None]
) -> None:
    """Write all that was read as whole lines; what was not readable as it was is kept."""
    damage = b"".join(each.raw + b"\n" for each in reading.parsed.damage)
    if damage:
        aside = file.path.with_name(f"{file.path.name}.torn")
        kept = aside.read_bytes() if aside.is_file() else b""
        if damage not in kept:  # a file that cannot be rewritten shows it every time
            replace_file(aside, kept + damage)
    data = whole(reading.parsed, header, reading.contents.entries)
    try:
        if has_other_names(file.path):
            raise CannotReplaceError
        replace_file(file.path, data, before=before)
    except CannotReplaceError:  # then a line's end is all that the next line needs
        with file.path.open("ab") as end:
            end.write(b"\n" if reading.parsed.open_end else b"")
            end.write(b"" if reading.parsed.header else encode_header(header))
            end.write(encode_entries(reading.new))
            end.flush()
            sync(end.fileno())


def _begin(file: StateFile, before: Callable[[int], None]) -> Header:
    header = Header(uuid.uuid4().hex, new_api(file))
    if file.path.exists():  # an empty one, which keeps its mode
        replace_file(file.path, encode_header(header), before=before)
    else:
        create_file(file.path, encode_header(header), before=before)
    return header


def _keep_foreign_backup(file: StateFile, reading: Reading) -> None:
    """Move a backup that is of another state out of the way: it is never overwritten."""
    path = backup_of(file.path)
    found = reading.backup if reading.backup and reading.backup.path == path else None
    if found is None and path.exists():
        found = read_backup(path, reading.data)
    if found and found.header and not belongs(found.header, reading.contents.header, file.api):
        path.replace(own_backup_of(file.path, found.header))


def new_api(file: StateFile) -> str:
    """Return the API that a new state belongs to; raises ``StateError`` where none is in use."""
    if file.api is None:
        raise StateError(f"there is no state at {file.name}")
    return file.api


def write_error(file: StateFile, error: OSError) -> StateWriteError:
    """Say what kept the file from being written."""
    if isinstance(error, CannotReplaceError):
        return StateWriteError(
            f"the state {file.name} goes on as the file it is, and is not rewritten:"
            f" {error.strerror or error}"
        )
    return StateWriteError(
        f"cannot write the state {file.name}: {error.strerror or error}",
        hint=f"make room, or make {file.path.parent} writable, and run the same command again",
    )


def whole(parsed: ParsedLog, header: Header, entries: Sequence[Entry]) -> bytes:
    """Return a file of these entries, with the last word on where the API is."""
    moved = b"" if parsed.moved is None else encode_entry(parsed.moved)
    return encode_header(header) + moved + encode_entries(entries)
