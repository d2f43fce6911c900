"""One writer at a time: OS locks that die with their process, and the name of their holder.

Two doors lead to a state. The lock file beside it exists before the state
does, and tells who holds it. But it can be removed, and it does not lie beside
another name of the same file: a hard link, or a mount of that one file. So the
state itself is locked as well, and whatever is put in its place is locked
before it gets there.

Windows has one door, the file beside: a lock on the state would keep readers
out, and a file that is open there cannot be replaced. The lock is on the first
byte, which nobody else can read or write: its holder is named behind that.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from personasync.model.errors import StateError, StateLockedError
from personasync.model.steps import NextStep, Option
from personasync.state.durable import open_bytes, write_all
from personasync.state.holder import this_holder
from personasync.state.log import Holder

_POLL_SECONDS: Final = 0.1
_HOLDER_LIMIT: Final = 4096
_LABEL_AT: Final = 1
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.EBADF)


class Hold:
    """The lock on the state's own file, and on what takes its place."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def take(self, state: Path) -> bool:
        """Lock the file that is there now; ``False`` if another holds it."""
        while sys.platform != "win32":
            try:
                descriptor = _open(state)
            except OSError:
                return True  # nothing is there yet, or what reads it will say what is wrong
            if not _try_lock(descriptor):
                os.close(descriptor)
                return False
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(descriptor), state.stat()):
                    self._descriptors.append(descriptor)
                    return True
            os.close(descriptor)  # another run put a new file in its place
        return True

    def cover(self, descriptor: int) -> None:
        """Lock an open file that is about to take the state's place.

        The old one stays locked: whoever waits for it by another name waits
        for the end of this run.
        """
        if sys.platform != "win32":
            follower = os.dup(descriptor)
            _try_lock(follower)
            self._descriptors.append(follower)

    def release(self) -> None:
        """Let go."""
        while self._descriptors:
            os.close(self._descriptors.pop())


@contextmanager
def hold(
    state: Path, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
) -> Iterator[Hold]:
    """Hold a state file, and its lock file beside it, for the length of a ``with``.

    The kernel releases both when the process ends, however it ends; the lock
    file itself stays. Raises ``StateLockedError`` naming the holder, and
    ``StateError`` where no lock can be had at all.
    """
    path = state.with_name(f"{state.name}.lock")
    waiting = _Waiting(state, path, timeout, on_wait)
    beside = _take_beside(state, path, waiting)
    own = Hold()
    try:
        while not own.take(state):
            waiting.pause()
        _write_holder(path)
        yield own
    finally:
        own.release()
        if beside is not None:
            with contextlib.suppress(OSError):
                os.truncate(path, 0)
            beside.release()


class _Waiting:
    """The patience with another run: says once who is waited for, and when it is enough."""

    def __init__(
        self,
        state: Path,
        path: Path,
        timeout: float,
        on_wait: Callable[[Holder | None], None] | None,
    ) -> None:
        self._state = state
        self._path = path
        self._deadline = time.monotonic() + timeout
        self._on_wait = on_wait if timeout > 0 else None

    def pause(self) -> None:
        """Wait a little; raises ``StateLockedError`` once the time is over."""
        if self._on_wait is not None:
            self._on_wait(_read_holder(self._path))
            self._on_wait = None
        left = self._deadline - time.monotonic()
        if left <= 0:
            holder = _read_holder(self._path)
            raise StateLockedError(
                f"another run holds the state {self._state}" + (f": {holder}" if holder else ""),
                hint=NextStep(
                    "wait for it to end, or let this run wait with ", Option("lock-timeout", "5m")
                ),
            )
        time.sleep(min(_POLL_SECONDS, left))


def _take_beside(state: Path, path: Path, waiting: _Waiting) -> FileLock | None:
    """Take the lock beside; ``None`` where only the state itself can be locked."""
    lock = FileLock(path, fallback_to_soft=False)
    try:
        if not state.parent.is_dir():
            # The lock would make it; but a slip in a name must not begin a new state.
            raise FileNotFoundError(errno.ENOENT, "there is no such folder")
        while True:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if not path.exists():  # some file systems, such as /proc, cannot even make it
                    raise FileNotFoundError(
                        errno.ENOENT, "no lock file can be made there"
                    ) from None
                waiting.pause()
            else:
                return lock
    except PermissionError as error:
        if state.exists() and sys.platform != "win32":
            return None  # another user's lock file: whoever holds that holds the state itself too
        raise _cannot_lock(state, path, error) from error
    except (OSError, NotImplementedError) as error:
        alone = isinstance(error, OSError) and error.errno == errno.EROFS and state.exists()
        if alone and sys.platform != "win32":
            return None  # a single file that is mounted into a folder that takes no others
        raise _cannot_lock(state, path, error) from error


def _cannot_lock(state: Path, path: Path, error: Exception) -> StateError:
    if path.exists() and isinstance(error, PermissionError):
        return StateError(
            f"cannot lock the state {state}: its lock file {path} belongs to {_owner(path)}",
            hint="remove that file once no run of theirs is under way",
        )
    reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return StateError(
        f"cannot lock the state {state}: {reason}",
        hint=f"{state.parent} must be a writable folder on a file system with locks",
    )


def _owner(path: Path) -> str:
    if sys.platform != "win32":
        with contextlib.suppress(KeyError, OSError):
            return path.owner()
    return "another user"


def _open(state: Path) -> int:
    try:  # a lock over NFS needs a file that is open for writing
        return open_bytes(state, os.O_RDWR)
    except PermissionError:
        return open_bytes(state, os.O_RDONLY)


def _try_lock(descriptor: int) -> bool:
    """Lock an open file; ``False`` if another holds it. Where no locks are, it counts as locked."""
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
    return True


def _write_holder(path: Path) -> None:
    label = json.dumps(asdict(this_holder())).encode() + b"\n"
    with contextlib.suppress(OSError):  # the lock holds without its label
        descriptor = open_bytes(path, os.O_WRONLY)
        try:
            os.lseek(descriptor, _LABEL_AT, os.SEEK_SET)
            write_all(descriptor, label)
            os.ftruncate(descriptor, _LABEL_AT + len(label))
            os.lseek(descriptor, 0, os.SEEK_SET)
            write_all(descriptor, b" " * _LABEL_AT)
        finally:
            os.close(descriptor)


def _read_holder(path: Path) -> Holder | None:
    try:
        descriptor = open_bytes(path, os.O_RDONLY)
        try:
            try:
                label = os.read(descriptor, _HOLDER_LIMIT)
            except PermissionError:  # the lock of Windows is on what comes before the label
                os.lseek(descriptor, _LABEL_AT, os.SEEK_SET)
                label = os.read(descriptor, _HOLDER_LIMIT)
            return Holder(**json.loads(label.lstrip(b"\0")))
        finally:
            os.close(descriptor)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
