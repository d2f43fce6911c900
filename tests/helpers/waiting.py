"""Waits for what can be seen, so that no test depends on how fast a machine is."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from tests.helpers.sandbox import Sandbox

HANG: Final = 60
"""Seconds after which something is not slow, but stuck."""


def wait_for(condition: Callable[[], object], what: str = "what is waited for") -> None:
    """Return once a condition holds."""
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline, f"{what} never comes"
        time.sleep(0.005)


def deliver(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal and return once the process has it: two that wait would be one."""
    process.send_signal(number)
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():  # no Linux
        time.sleep(1)
        return

    def taken() -> bool:
        [line] = [line for line in status.read_text().splitlines() if line.startswith("ShdPnd:")]
        return process.poll() is not None or not int(line.split()[1], 16) >> (number - 1) & 1

    wait_for(taken, number.name)


def read_until(stream: Any, words: bytes) -> bytes:
    """Read what a process says until it has said certain words; return all that it said."""
    said = b""
    while words not in said:
        data = os.read(stream.fileno(), 4096)
        assert data, said.decode()
        said += data
    return said


class Held:
    """Answers that are decided on, and kept back until they are let go."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._free = 0.0

    def let(self, count: float = math.inf) -> None:
        """Let so many more answers go, those that are kept and those that come."""
        with self._changed:
            self._free += count
            self._changed.notify_all()

    def take_turn(self) -> None:
        """Return once an answer may go."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0)
            self._free -= 1


@contextmanager
def answers_held() -> Iterator[Held]:
    """Keep back every answer of the sandboxes in this process; at the end, let all go.

    What a request asks for is made, and in the books, all the same.
    """
    held = Held()
    decide = Sandbox.reply

    def reply(sandbox: Sandbox, request: Any) -> Any:
        decided = decide(sandbox, request)
        held.take_turn()
        return decided

    with patch.object(Sandbox, "reply", reply):
        try:
            yield held
        finally:
            held.let()
