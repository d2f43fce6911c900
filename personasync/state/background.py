"""What a shared state does beside the thread that asks for it.

A blocking call in the main thread is deaf to Ctrl-C for as long as it takes:
so calls to a store are made in a thread of their own, and waited for in a way
that hears signals. No thread here outlives the process.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar, cast

from personasync.model.calls import tried

_T = TypeVar("_T")
_LOOK_SECONDS: Final = 0.2
"""A wait without an end does not hear Ctrl-C on every system: so waits are short."""


if sys.platform == "linux":

    def _with_sleep() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    _with_sleep = time.monotonic

_LAST_SECONDS: Final = 5.0
_HURRIED_SECONDS: Final = 0.5


class SystemClock:
    """The clocks of this machine."""

    def monotonic(self) -> float:
        """Return seconds that only grow; on most systems they stand still in its sleep."""
        return time.monotonic()

    def with_sleep(self) -> float:
        """Return seconds that count the machine's sleep, where the system knows it."""
        return _with_sleep()

    def sleep(self, seconds: float) -> None:
        """Wait; a signal ends it as it ends ``time.sleep``."""
        time.sleep(seconds)


class Call(Generic[_T]):
    """A call that is being made beside this thread."""

    def __init__(self, call: Callable[[], _T]) -> None:
        self._ended: SimpleQueue[tuple[_T | None, BaseException | None]] = SimpleQueue()
        threading.Thread(target=lambda: self._ended.put(tried(call)), daemon=True).start()

    def wait(self, seconds: float) -> _T:
        """Return what the call returned, or raise what it raised, or ``TimeoutError``."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                value, error = self._ended.get(timeout=_LOOK_SECONDS)
            except Empty:
                if time.monotonic() > deadline:
                    raise TimeoutError from None
                continue
            if error is not None:
                raise error
            return cast(_T, value)


def several(calls: Iterable[Callable[[], _T]], *, at_once: int, seconds: float) -> Iterator[_T]:
    """Make calls beside this thread, so many at once, and yield what they return in order."""
    running: deque[Call[_T]] = deque()
    for call in calls:
        running.append(Call(call))
        if len(running) >= at_once:
            yield running.popleft().wait(seconds)
    while running:
        yield running.popleft().wait(seconds)


def at_last(call: Callable[[], None]) -> None:
    """Give a hold up, in a few seconds; in one where the run is being interrupted.

    Who wants the process to end need not wait for a store that hangs: others
    wait a lease long instead.
    """
    ended_by = sys.exc_info()[1]
    hurried = ended_by is not None and not isinstance(ended_by, Exception)
    with suppress(TimeoutError, RuntimeError):  # or the system has no thread left
        Call(call).wait(_HURRIED_SECONDS if hurried else _LAST_SECONDS)


@contextmanager
def beating(renew: Callable[[], None], *, every: float) -> Iterator[None]:
    """Renew a hold beside the run, again and again, for the length of a ``with``.

    What a renewal raises is not raised here: whoever is about to send asks.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every):
            with suppress(Exception):  # the hold remembers it, and tells who asks
                renew()

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
