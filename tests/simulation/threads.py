"""Threads, locks and mailboxes for the code under test, which here all share one thread."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty
from types import SimpleNamespace
from typing import Any

from tests.simulation.kernel import Kernel, Process, Task

TICK = 1e-6
"""Seconds: time always moves on a little, or a wait for the next float would never end."""


@dataclass(slots=True)
class _Ticket:
    task: Task
    used: bool = False


class Waiters:
    """Tasks that wait for something, at most for a while."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._tickets: deque[_Ticket] = deque()

    def wait(self, seconds: float = math.inf) -> bool:
        """Wait to be woken; false if the time was over before."""
        ticket = _Ticket(self._kernel.current)
        self._tickets.append(ticket)
        if seconds < math.inf:
            self._kernel.wake(ticket.task, max(seconds, 0.0))
        self._kernel.pause()
        woken, ticket.used = ticket.used, True
        return woken

    def wake(self) -> None:
        """Wake whoever waits longest."""
        while self._tickets:
            ticket = self._tickets.popleft()
            task = ticket.task
            if not ticket.used and not task.process.dead and not task.ended:
                ticket.used = True
                self._kernel.wake(task)
                return


def threading_of(kernel: Kernel) -> Any:
    """Return what stands for ``threading`` in the box."""

    class Thread:
        def __init__(
            self, target: Callable[..., Any], args: tuple[Any, ...] = (), **_options: Any
        ) -> None:
            self._call: Callable[[], Any] = lambda: target(*args)
            self._ended = Waiters(kernel)
            self._task: Task | None = None
            self.ident: int | None = None

        def start(self) -> None:
            self.ident = id(self)
            self._task = kernel.start(kernel.process, self._run)

        def _run(self) -> None:
            try:
                self._call()
            finally:
                self._ended.wake()

        def is_alive(self) -> bool:
            return self._task is not None and not self._task.ended

        def join(self, timeout: float = math.inf) -> None:
            if self.is_alive():
                self._ended.wait(timeout)

    class RLock:
        def __init__(self) -> None:
            self._owner: Task | None = None
            self._depth = 0
            self._waiters = Waiters(kernel)

        def acquire(self) -> bool:
            task = kernel.current
            while self._owner is not None and self._owner is not task:
                self._waiters.wait()
            self._owner = task
            self._depth += 1
            return True

        def release(self) -> None:
            self._depth -= 1
            if self._depth == 0:
                self._owner = None
                self._waiters.wake()

        def __enter__(self) -> bool:
            return self.acquire()

        def __exit__(self, *_: object) -> None:
            self.release()

    class Event:
        def __init__(self) -> None:
            self._set = False
            self._waiters = Waiters(kernel)

        def set(self) -> None:
            self._set = True
            self._waiters.wake()

        def is_set(self) -> bool:
            return self._set

        def wait(self, seconds: float = math.inf) -> bool:
            if not self._set:
                self._waiters.wait(seconds)
            return self._set

    return SimpleNamespace(Thread=Thread, Lock=RLock, RLock=RLock, Event=Event)


class LockOfEach:
    """A lock that a module has for all of its process: each process has one of its own."""

    def __init__(self, kernel: Kernel, threading: Any) -> None:
        self._kernel = kernel
        self._new = threading.Lock
        self._locks: dict[Process, Any] = {}

    def __enter__(self) -> None:
        self._own().acquire()

    def __exit__(self, *_: object) -> None:
        self._own().release()

    def _own(self) -> Any:
        return self._locks.setdefault(self._kernel.process, self._new())


def queue_of(kernel: Kernel) -> type:
    """Return what stands for ``SimpleQueue`` in the box."""

    class SimpleQueue:
        def __init__(self) -> None:
            self._things: deque[Any] = deque()
            self._waiters = Waiters(kernel)

        def put(self, thing: Any) -> None:
            self._things.append(thing)
            self._waiters.wake()

        def get_nowait(self) -> Any:
            if not self._things:
                raise Empty
            return self._things.popleft()

        def get(self, timeout: float = math.inf) -> Any:
            until = kernel.now + max(timeout, TICK)
            while not self._things and kernel.now < until:
                self._waiters.wait(until - kernel.now)  # another may be faster when it is woken
            return self.get_nowait()

        def empty(self) -> bool:
            return not self._things

    return SimpleQueue
