"""The one base of every error that personasync raises on purpose.

An error carries the exit code that the command line ends with and, where there
is one, the next step that mends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from personasync.model.diagnostics import Diagnostic
from personasync.model.steps import NextStep


class PersonasyncError(Exception):
    """Something the user can understand and mend.

    ``hint`` is what to do about it; ``diagnostics`` are the reasons, with
    their places, when there are several. No text here names an option of the
    command line: who calls from Python has none. A next step names it as a
    value, and the command line knows how it is written.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        hint: NextStep | str | None = None,
        diagnostics: Sequence[Diagnostic] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.diagnostics = tuple(diagnostics)


class ManifestError(PersonasyncError):
    """The manifest cannot be used; ``diagnostics`` holds every problem found."""


class StateError(PersonasyncError):
    """The state cannot be read or does not belong to this use of it."""


class NoStateError(StateError):
    """There is no state where one was looked for."""


class StateWriteError(StateError):
    """The state could not be written; what was to be appended is not durable."""


class StaleStateError(StateWriteError):
    """The state is not the one any more that was read under its lock; nothing was written."""

    exit_code = 5


class StateLockedError(PersonasyncError):
    """Another run holds the state."""

    exit_code = 4


class PlanError(PersonasyncError):
    """The plan is refused: by a gate, or because manifest and state contradict."""


class StalePlanError(PersonasyncError):
    """Manifest or state have moved on since the plan was saved."""

    exit_code = 5


class ConfigurationError(PersonasyncError):
    """A setting from outside the manifest is missing or unusable: key, base URL, option."""


class UsageError(PersonasyncError):
    """The command line asks for something that makes no sense."""

    exit_code = 64
