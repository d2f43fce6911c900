"""One writer at a time: an OS lock that dies with its process, and the name of its holder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from personasync.model.errors import StateError, StateLockedError
from personasync.model.steps import NextStep, Option
from personasync.state.holder import this_holder
from personasync.state.log import Holder

_POLL_SECONDS: Final = 0.1
_HOLDER_LIMIT: Final = 4096


@contextmanager
def hold(
    state: Path, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
) -> Iterator[None]:
    """Hold the lock of a state file, which lies beside it, for the length of a ``with``.

    The kernel releases it when the process ends, however it ends; the lock
    file itself stays. Raises ``StateLockedError`` naming the holder, and
    ``StateError`` where no lock can be had at all.
    """
    path = state.with_name(f"{state.name}.lock")
    lock = FileLock(path, poll_interval=_POLL_SECONDS, fallback_to_soft=False)
    try:
        if not state.parent.is_dir():
            # The lock would make it; but a slip in a name must not begin a new state.
            raise FileNotFoundError(errno.ENOENT, "there is no such folder")
        _acquire(lock, state, path, timeout, on_wait)
    except (OSError, NotImplementedError) as error:
        raise StateError(
            f"cannot lock the state {state}: {_reason(error)}",
            hint=f"{state.parent} must be a writable folder on a file system with locks",
        ) from error
    try:
        _write_holder(path)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.truncate(path, 0)
        lock.release()


def _acquire(
    lock: FileLock,
    state: Path,
    path: Path,
    timeout: float,
    on_wait: Callable[[Holder | None], None] | None,
) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if timeout > 0:
            if on_wait is not None:
                on_wait(_read_holder(path))
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=timeout)
                return
        if not path.exists():  # some file systems, such as /proc, cannot even make it
            raise FileNotFoundError(errno.ENOENT, "no lock file can be made there") from None
        holder = _read_holder(path)
        raise StateLockedError(
            f"another run holds the state {state}" + (f": {holder}" if holder else ""),
            hint=NextStep(
                "wait for it to end, or let this run wait with ", Option("lock-timeout", "5m")
            ),
        ) from None


def _write_holder(path: Path) -> None:
    with contextlib.suppress(OSError):  # the lock holds without its label
        path.write_text(json.dumps(asdict(this_holder())) + "\n", encoding="utf-8")


def _read_holder(path: Path) -> Holder | None:
    try:
        with path.open(encoding="utf-8") as file:
            return Holder(**json.loads(file.read(_HOLDER_LIMIT)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
