"""Signals turned into messages, so that nothing happens inside a signal handler."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def signals_to(put: Callable[[int], None]) -> Iterator[None]:
    """Hand the number of each SIGINT, SIGTERM and SIGHUP to ``put`` for the length of a ``with``.

    ``put`` must be safe inside a handler (``SimpleQueue.put`` is). A signal
    that the process was started to ignore stays ignored. Works in the main
    thread only.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        put(number)

    before = {}
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            # None is a handler that was not set from Python, and cannot be put back from it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
