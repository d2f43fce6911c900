"""Signals turned into messages, so that nothing happens inside a signal handler."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGXCPU", "SIGBREAK")
"""Those by which people and machines ask a process to end; left alone, each would kill it."""

_CONSOLE_ENDS: Final = (2, 5, 6)
"""On Windows: the console is closed, its user logs off, the machine shuts down."""
_CONSOLE_SECONDS: Final = 30.0


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

        def ask(number: int) -> None:
            sender.send(bytes([number]))
            wake()

        before = {}
        wakeup = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        try:
            for number in taken:
                before[number] = signal.signal(number, lambda *_: wake())
            with _console(ask):
                yield arrived
        finally:
            for number, handler in before.items():
                # None: a handler that was not set from Python, and cannot be put back from it.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.set_wakeup_fd(wakeup)


@contextlib.contextmanager
def _console(ask: Callable[[int], None]) -> Iterator[None]:
    """On Windows, let a console that goes away wait for the run's end, as far as it can.

    The system ends the process as soon as the handler returns, or else after
    some seconds (five for a closed console): until then, the run goes on.
    """
    if sys.platform == "win32":
        import ctypes

        def heard(event: int) -> int:
            if event not in _CONSOLE_ENDS:
                return 0  # Ctrl-C and Ctrl-Break come as signals
            ask(signal.SIGBREAK)
            time.sleep(_CONSOLE_SECONDS)  # the process ends before, by itself or by force
            return 1

        handler = ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_uint32)(heard)
        ctypes.windll.kernel32.SetConsoleCtrlHandler(handler, 1)
        try:
            yield
        finally:
            ctypes.windll.kernel32.SetConsoleCtrlHandler(handler, 0)
    else:
        yield


@contextlib.contextmanager
def no_signals(_wake: Callable[[], None]) -> Iterator[Callable[[], list[int]]]:
    """Leave signals to who else handles them: none ever arrives."""
    yield list
