"""Rescue files: where an ID goes when the state cannot be written.

Beside the state when the folder takes it, else in the temporary folder under a
name made from the state's path, so that the next run finds it by itself.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from personasync.model.errors import StateError
from personasync.state.durable import sync_folder, write_all
from personasync.state.entry import Entry
from personasync.state.parse import parse_log

_HEADER_START: Final = b'{"format"'


@dataclass(frozen=True, slots=True)
class RescueFile:
    """A rescue file as it was read; ``api`` is ``None`` where it does not even hold a header."""

    path: Path
    api: str | None
    entries: tuple[Entry, ...]


class RescueFiles:
    """The rescue files of one state."""

    def __init__(self, state: Path) -> None:
        self._beside = state.with_name(f"{state.name}.rescue")
        digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:16]
        self._prefix = f"personasync-{digest}-"
        self._temporary: Path | None = None
        self._lock = threading.Lock()

    def keep(self, data: bytes) -> str | None:
        """Append whole lines durably where it is possible; return where, or ``None``."""
        with self._lock:
            for attempt in (self._append_beside, self._append_temporary, self._begin_temporary):
                with contextlib.suppress(OSError):
                    return str(attempt(data))
        return None

    def read(self) -> tuple[RescueFile, ...]:
        """Return every rescue file with what it holds.

        A torn last line is read as far as it goes. Raises ``StateError`` for
        a file that cannot be read.
        """
        return tuple(file for path in self._paths() for file in _read(path))

    def remove(self, files: Iterable[RescueFile]) -> None:
        """Remove files whose entries are in the state."""
        for file in files:
            with contextlib.suppress(OSError):  # reading it again changes nothing
                file.path.unlink()

    def _append_beside(self, data: bytes) -> Path:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        _append(os.open(self._beside, flags, 0o600), data)
        sync_folder(self._beside.parent)
        return self._beside

    def _append_temporary(self, data: bytes) -> Path:
        if self._temporary is None:
            return self._begin_temporary(data)
        _append(os.open(self._temporary, os.O_RDWR | os.O_APPEND), data)
        return self._temporary

    def _begin_temporary(self, data: bytes) -> Path:
        descriptor, name = tempfile.mkstemp(prefix=self._prefix, suffix=".rescue")
        self._temporary = Path(name)
        _append(descriptor, data)
        sync_folder(self._temporary.parent)
        return self._temporary

    def _paths(self) -> Iterator[Path]:
        if os.path.lexists(self._beside):
            yield self._beside
        with contextlib.suppress(OSError):
            found = sorted(Path(tempfile.gettempdir()).glob(f"{self._prefix}*.rescue"))
            yield from filter(_is_ours, found)


def _read(path: Path) -> Iterator[RescueFile]:
    try:
        if path.is_fifo():
            raise OSError(errno.EINVAL, "it is a pipe")  # reading it could take for ever
        data = path.read_bytes()
    except FileNotFoundError:  # another run has just taken it in
        return
    except OSError as error:
        raise StateError(
            f"cannot read the rescue file {path}: {error.strerror}",
            hint="it holds IDs that the state does not; make it readable",
        ) from error
    if b"\n" not in data and _HEADER_START.startswith(data[: len(_HEADER_START)]):
        yield RescueFile(path, None, ())  # what a kill in the first write leaves
        return
    parsed = parse_log(data, str(path))
    yield RescueFile(path, parsed.header.api if parsed.header else None, parsed.all_entries)


def _append(descriptor: int, data: bytes) -> None:
    try:
        end = os.fstat(descriptor).st_size
        if end and os.pread(descriptor, 1, end - 1) != b"\n":
            raise OSError(errno.EIO, "it ends in half a line, which another must not join")
        try:
            write_all(descriptor, data)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_ours(path: Path) -> bool:
    """The temporary folder is shared: only a plain file of our own is believed."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and (
        not hasattr(os, "getuid") or status.st_uid == os.getuid()
    )
