"""Signals turned into messages, so that nothing happens inside a signal handler."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Final

_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGXCPU")
"""Those by which people and machines ask a process to end; left alone, each would kill it."""


@contextlib.contextmanager
def signals(wake: Callable[[], None]) -> Iterator[Callable[[], list[int]]]:
    """Take each signal that asks to end, for the length of a ``with``.

    Yields what returns those that came since it was last asked, in their
    order. ``wake`` is called for each in the signal handler, and must be safe
    there (``SimpleQueue.put`` is). A signal that the process was started to
    ignore stays ignored. Works in the main thread only.
    """
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    # Python remembers that a signal came, not how often: two that come while the main thread is
    # busy would be one. The wake-up socket gets a byte for each, at once, from whatever thread.
    receiver, sender = socket.socketpair()
    with receiver, sender:
        receiver.setblocking(False)
        sender.setblocking(False)

        def arrived() -> list[int]:
            found: list[int] = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    found += receiver.recv(64)
            return [number for number in found if number in taken]

        before = {}
        wakeup = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        try:
            for number in taken:
                before[number] = signal.signal(number, lambda *_: wake())
            yield arrived
        finally:
            for number, handler in before.items():
                # None: a handler that was not set from Python, and cannot be put back from it.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.set_wakeup_fd(wakeup)


@contextlib.contextmanager
def no_signals(_wake: Callable[[], None]) -> Iterator[Callable[[], list[int]]]:
    """Leave signals to who else handles them: none ever arrives."""
    yield list
