"""Durable appends to one file by one writer."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

from personasync.state.durable import open_bytes, sync, write_all


class Appender:
    """Appends to an existing file; every append is durable when it returns.

    One thread appends. Raises ``OSError`` on opening.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = open_bytes(path, os.O_WRONLY | os.O_APPEND)
        self._end = os.fstat(self._descriptor).st_size
        self._broken: OSError | None = None
        # A run that was left at once may still be at the disk when its log is closed: a descriptor
        # closed under it could be another file's by the time it writes.
        self._disk = threading.Lock()

    def append(self, data: bytes) -> None:
        """Write whole lines and sync them. Raises ``OSError`` if they may not be durable.

        After a failure that may have left half a line, or a sync that failed,
        every later append fails too.
        """
        with self._disk:
            if self._broken is not None:
                raise self._broken
            # Until it has ended well it counts as interrupted, by whatever it may be.
            self._broken = InterruptedError(errno.EINTR, "a write was interrupted")
            try:
                end = self._checked_end()
                self._write_or_cut_back(data, end)
                # A failed sync may have dropped what was written: a later one must not seem to
                # save it.
                sync(self._descriptor)
                self._check_still_there()
            except OSError as error:
                if self._broken is not None:
                    self._broken = error
                raise
            self._end = end + len(data)
            self._broken = None

    def intact(self) -> bool:
        """Whether the file is still there, and as long as the appends have made it."""
        with self._disk:
            try:
                self._check_still_there()
                return os.fstat(self._descriptor).st_size == self._end
            except OSError:
                return False

    def close(self) -> None:
        """Close the file; what was appended is already durable, and later appends fail."""
        with self._disk:
            self._broken = OSError(errno.EBADF, "the file is closed")
            try:
                os.close(self._descriptor)
            except OSError:  # a sync told all that there was to tell
                return

    def _write_or_cut_back(self, data: bytes, end: int) -> None:
        """Undo half a write, so that the next line does not join a torn one."""
        try:
            write_all(self._descriptor, data)
        except OSError as error:
            try:
                os.ftruncate(self._descriptor, end)
            except OSError:
                raise error from None
            self._broken = None
            raise

    def _checked_end(self) -> int:
        end = os.fstat(self._descriptor).st_size
        if end != self._end:
            done = "cut short" if end < self._end else "written to by something else"
            raise OSError(errno.EIO, f"the file was {done} during the run", str(self._path))
        return end

    def _check_still_there(self) -> None:
        """A deleted or replaced file takes writes and syncs gladly, and keeps nothing."""
        ours = os.fstat(self._descriptor)
        if not os.path.samestat(ours, self._path.stat()):
            raise FileNotFoundError(
                errno.ENOENT, "the file was replaced during the run", str(self._path)
            )
