"""Whole files written so that a crash leaves the old one or the new one, never a half."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from pathlib import Path


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, however many calls it takes; raises ``OSError``."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make the folder's own entries durable: new files and renames in it."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot
            raise
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes, *, backup: Path | None = None) -> None:
    """Put ``data`` in place of the file at ``path``, durably and in one step.

    Writes beside it, syncs, renames, syncs the folder. With ``backup``, the
    previous file stays there. There is a whole file at ``path`` at every
    moment. Raises ``OSError``: the previous file is then still in place, or
    the new one is, whole, but perhaps not durable.
    """
    beside = path.with_name(f"{path.name}.tmp")
    mode = path.stat().st_mode & 0o777 if path.exists() else None
    try:
        _write_new(beside, data, mode)
        if backup is not None and path.exists():
            _keep(path, backup)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _write_new(path: Path, data: bytes, mode: int | None) -> None:
    path.unlink(missing_ok=True)  # what a killed run left
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        if mode is not None and sys.platform != "win32":
            os.fchmod(descriptor, mode)
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keep(path: Path, backup: Path) -> None:
    beside = backup.with_name(f"{backup.name}.tmp")
    beside.unlink(missing_ok=True)
    try:
        os.link(path, beside)
    except OSError:  # a file system without hard links
        shutil.copy2(path, beside)
    beside.replace(backup)
    beside.unlink(missing_ok=True)  # a rename between two names of one file leaves both
