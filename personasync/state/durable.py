"""Whole files written so that a crash leaves the old one or the new one, never a half."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

_NO_SYNC: Final = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF)
"""What file systems say that cannot sync a file or a folder, or let nobody open it."""


_RENAME_AGAIN: Final = (0.05, 0.1, 0.2, 0.4, 0.75)
"""Seconds between the tries of a rename."""


class CannotReplaceError(OSError):
    """A new file cannot stand in the place of this one, or not be the same to its users."""


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, however many calls it takes; raises ``OSError``."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def open_bytes(path: Path, flags: int, mode: int = 0o666) -> int:
    """Open a file whose bytes stay as they are: Windows changes the ends of lines otherwise."""
    return os.open(path, flags | getattr(os, "O_BINARY", 0), mode)


def sync(descriptor: int) -> None:
    """Make a file's content durable. Raises ``OSError``."""
    if sys.platform == "darwin":  # fsync leaves it in the memory of the disk there
        import fcntl

        with contextlib.suppress(OSError):  # a file system that has no such call
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def rename(source: Path, target: Path) -> None:
    """Put a file in another's place in one step. Raises ``OSError``.

    Windows refuses it while another program, such as a search index, reads the
    file; that passes, so it is tried again for a second and a half.
    """
    for wait in _RENAME_AGAIN if sys.platform == "win32" else ():
        try:
            source.replace(target)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    source.replace(target)


def sync_folder(folder: Path) -> None:
    """Make the folder's own entries durable: new files and renames in it."""
    if sys.platform != "win32":
        sync_file(folder)


def sync_file(path: Path) -> None:
    """Make durable what another program, perhaps killed since, has written to a file."""
    try:
        descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def replace_file(
    path: Path,
    data: bytes,
    *,
    backup: Path | None = None,
    before: Callable[[int], None] = lambda _descriptor: None,
) -> None:
    """Put ``data`` in place of the file at ``path``, durably and in one step.

    Writes beside it, syncs, renames, syncs the folder; owner and mode stay.
    With ``backup``, the previous file stays there. ``before`` is called with
    the new file, open, before it takes its place. There is a whole file at
    ``path`` at every moment. Raises ``OSError``: the previous file is then
    still in place, or the new one is, whole, but perhaps not durable; and
    ``CannotReplaceError`` where this file must stay what it is.
    """
    beside = path.with_name(f"{path.name}.tmp")
    try:
        with _new(beside) as (descriptor, let_go):
            if path.exists():
                _make_alike(descriptor, path.stat())
            write_all(descriptor, data)
            sync(descriptor)
            if backup is not None and path.exists():
                _keep(path, backup)
            before(descriptor)
            let_go()
            _rename(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def create_file(
    path: Path, data: bytes, *, before: Callable[[int], None] = lambda _descriptor: None
) -> None:
    """Write a file that is not there yet, durably and whole; see ``replace_file``.

    Raises ``FileExistsError`` where one has come to be.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with _new(beside) as (descriptor, let_go):
            write_all(descriptor, data)
            sync(descriptor)
            before(descriptor)
            let_go()
            try:
                os.link(beside, path)  # unlike a rename, it never takes another's place
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                if path.exists():
                    raise FileExistsError(errno.EEXIST, "it has come to be", str(path)) from None
                rename(beside, path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextlib.contextmanager
def _new(path: Path) -> Iterator[tuple[int, Callable[[], None]]]:
    """Open a new file, and give what closes it where no open file can be moved."""
    path.unlink(missing_ok=True)  # what a killed run left
    with contextlib.ExitStack() as opened:
        descriptor = open_bytes(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        opened.callback(os.close, descriptor)
        # Elsewhere it stays open, so that a lock on it is held without a gap.
        yield descriptor, opened.close if sys.platform == "win32" else lambda: None


def _make_alike(descriptor: int, old: os.stat_result) -> None:
    """Give a new file the owner and mode of the one that it replaces."""
    if sys.platform != "win32":
        new = os.fstat(descriptor)
        try:
            if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
                os.fchown(descriptor, old.st_uid, old.st_gid)
            if os.fstat(descriptor).st_mode != old.st_mode:
                os.fchmod(descriptor, old.st_mode & 0o7777)
        except OSError as error:
            raise CannotReplaceError(error.errno, error.strerror) from error


def _rename(beside: Path, path: Path) -> None:
    try:
        rename(beside, path)
    except OSError as error:
        # A file that is mounted by itself, or a folder that lets nobody replace another's file.
        if error.errno in (errno.EBUSY, errno.EPERM, errno.EACCES, errno.EXDEV):
            raise CannotReplaceError(error.errno, error.strerror) from error
        raise


def _keep(path: Path, backup: Path) -> None:
    beside = backup.with_name(f"{backup.name}.tmp")
    beside.unlink(missing_ok=True)
    try:
        os.link(path, beside)
    except OSError:  # a file system without hard links
        shutil.copy2(path, beside)
    rename(beside, backup)
    beside.unlink(missing_ok=True)  # a rename between two names of one file leaves both
