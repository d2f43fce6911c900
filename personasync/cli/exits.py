"""What the command exits with, for everything that can end it."""

from __future__ import annotations

import signal
from typing import ClassVar

import click

from personasync.model.errors import PersonasyncError, UsageError


class Terminated(BaseException):
    """SIGTERM, raised as Python raises ``KeyboardInterrupt`` for SIGINT."""

    number: ClassVar = signal.SIGTERM


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of what ended a command early."""
    match error:
        case PersonasyncError():
            return error.exit_code
        case click.UsageError():
            return UsageError.exit_code  # click's own, 2, would read as "there are changes"
        case Terminated():
            return 128 + Terminated.number
        case KeyboardInterrupt() | click.Abort():
            return 128 + signal.SIGINT
        case _:
            return 1
