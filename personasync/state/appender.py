"""Durable appends to one file from many threads, with one sync for all that arrive together."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from personasync.files import write_all


@dataclass(slots=True)
class _Ticket:
    data: bytes
    done: bool = False
    error: OSError | None = None


class Appender:
    """Appends to an existing file; every append is durable when it returns.

    Threads that append while another is at the disk are written and synced
    together by whichever comes first afterwards. Raises ``OSError`` on opening.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._broken: OSError | None = None
        self._waiting: list[_Ticket] = []
        self._queue = threading.Lock()
        self._disk = threading.Lock()

    def append(self, data: bytes) -> None:
        """Append whole lines. Raises ``OSError`` if they may not be durable."""
        ticket = _Ticket(data)
        with self._queue:
            self._waiting.append(ticket)
        with self._disk:
            if not ticket.done:
                with self._queue:
                    batch, self._waiting = self._waiting, []
                self._write(batch)
        if ticket.error is not None:
            raise ticket.error

    def close(self) -> None:
        """Close the file; what was appended is already durable."""
        os.close(self._descriptor)

    def _write(self, batch: list[_Ticket]) -> None:
        error: OSError | None = None
        try:
            self._write_durably(b"".join(ticket.data for ticket in batch))
        except OSError as caught:
            error = caught
        for ticket in batch:
            ticket.error = error
            ticket.done = True

    def _write_durably(self, data: bytes) -> None:
        if self._broken is not None:
            raise self._broken
        end = os.fstat(self._descriptor).st_size
        try:
            write_all(self._descriptor, data)
        except OSError as error:
            self._cut_back(end, error)
            raise
        os.fsync(self._descriptor)
        self._check_still_there()

    def _cut_back(self, end: int, error: OSError) -> None:
        """Undo half a write, so that the next line does not join a torn one."""
        try:
            os.ftruncate(self._descriptor, end)
        except OSError:
            self._broken = error

    def _check_still_there(self) -> None:
        """A deleted or replaced file takes writes and syncs gladly, and keeps nothing."""
        ours = os.fstat(self._descriptor)
        if not os.path.samestat(ours, self._path.stat()):
            raise FileNotFoundError(2, "the file was replaced during the run", str(self._path))
