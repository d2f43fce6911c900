"""Rescue files: where an ID goes when the state cannot be written.

Beside the state when the folder takes it, else in the temporary folder under a
name made from the state's path, so that the next run finds it by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from personasync.errors import StateError
from personasync.files import sync_folder, write_all
from personasync.state.entry import Entry
from personasync.state.parse import parse_log


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
            for attempt in (self._append_beside, self._append_temporary):
                with contextlib.suppress(OSError):
                    return str(attempt(data))
        return None

    def read(self, api: str | None) -> Iterator[tuple[Path, tuple[Entry, ...]]]:
        """Yield each rescue file of this API (of any, for ``None``) with what it holds.

        A torn last line is read as far as it goes. Raises ``StateError`` for
        a file beside the state that cannot be read.
        """
        for path in self._found():
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StateError(
                    f"cannot read the rescue file {path}: {error.strerror}",
                    hint="it holds IDs that the state does not; make it readable",
                ) from error
            if b"\n" in data:  # less than a header is what a kill in the first write leaves
                parsed = parse_log(data, str(path))
                if api is None or parsed.header is None or parsed.header.api == api:
                    yield path, parsed.all_entries

    def names(self) -> list[str]:
        """Return the paths of the rescue files that there are."""
        return [str(path) for path in self._found()]

    def remove(self, api: str | None) -> None:
        """Remove the files that ``read`` yields, once their entries are in the state."""
        for path, _ in self.read(api):
            with contextlib.suppress(OSError):  # reading it again changes nothing
                path.unlink()

    def _append_beside(self, data: bytes) -> Path:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        _append(os.open(self._beside, flags, 0o600), data)
        sync_folder(self._beside.parent)
        return self._beside

    def _append_temporary(self, data: bytes) -> Path:
        if self._temporary is None:
            descriptor, name = tempfile.mkstemp(prefix=self._prefix, suffix=".rescue")
            self._temporary = Path(name)
        else:
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_APPEND)
        _append(descriptor, data)
        sync_folder(self._temporary.parent)
        return self._temporary

    def _found(self) -> Iterator[Path]:
        if self._beside.exists():
            yield self._beside
        with contextlib.suppress(OSError):
            for path in sorted(Path(tempfile.gettempdir()).glob(f"{self._prefix}*.rescue")):
                if _is_ours(path):
                    yield path


def _append(descriptor: int, data: bytes) -> None:
    try:
        end = os.fstat(descriptor).st_size
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
    status = path.lstat()
    return stat.S_ISREG(status.st_mode) and (
        not hasattr(os, "getuid") or status.st_uid == os.getuid()
    )
