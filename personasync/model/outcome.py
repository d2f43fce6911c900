"""What became of one request: the cases of design.md §6 that apply acts on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Created:
    """The persona exists, and this is its ID."""

    persona_id: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """The API says that this audio has a persona already."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The API refused for good. ``stops_run``: it would refuse every other request too."""

    code: int
    message: str
    stops_run: bool = False


@dataclass(frozen=True, slots=True)
class Throttled:
    """Called too often; nothing was made. ``retry_after`` is in seconds, where the API says it."""

    code: int
    message: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """There was no connection, so the API never saw the request."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """A persona may have been made, or not.

    ``answer`` holds the first 4 KiB of what came back, if anything did.
    """

    reason: str
    code: int | None = None
    answer: str | None = None
    retry_after: float | None = None


Outcome: TypeAlias = Created | Conflict | Refused | Throttled | NotSent | Unclear
