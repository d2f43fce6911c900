"""What became of one request: the cases that apply acts on.

Every outcome but a plain success and a bare refusal carries the answer that it
was read from, to be kept with the persona's entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from personasync.model.answer import KeptAnswer


@dataclass(frozen=True, slots=True)
class Created:
    """The persona exists, and this is its ID.

    ``from_conflict``: the API said 409, and named the ID. ``answer`` is set
    where it says more than the ID, such as another ID, or came damaged.
    """

    persona_id: str
    from_conflict: bool = False
    answer: KeptAnswer | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A persona of this audio exists, or must be taken to exist, and its ID is not known.

    The API says so (409), or it refused with an answer that names an ID
    (``code`` is then another, ``answer.shown_ids`` is not empty).
    ``stops_run``: it would refuse every other request too.
    """

    code: int
    message: str
    answer: KeptAnswer | None = None
    stops_run: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The API refused for good; nothing exists.

    ``stops_run``: it would refuse every other request too. ``likeness`` is
    set where the refusal may be about no persona at all, but the base URL or
    the account (403, 404, a page that is not the API's): equal ones are the
    same refusal. ``once_more``: worth one more try, since it may pass (451).
    """

    code: int
    message: str
    stops_run: bool = False
    answer: KeptAnswer | None = None
    likeness: str | None = None
    once_more: bool = False


@dataclass(frozen=True, slots=True)
class Throttled:
    """Called too often; nothing was made. ``retry_after`` is in seconds, where the API says it."""

    code: int
    message: str
    retry_after: float | None = None
    answer: KeptAnswer | None = None
    likeness: str | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """The API is elsewhere for good (301, 308), and nothing was made; it ends the run.

    ``location`` is the new base URL, where the answer names one.
    """

    status: int
    reason: str
    location: str | None = None
    answer: KeptAnswer | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """The API never saw the request. ``stops_run``: the next one would fare no better (407)."""

    reason: str
    stops_run: bool = False


@dataclass(frozen=True, slots=True)
class Unclear:
    """A persona may have been made, or not.

    ``answer`` is what came back, if anything did; ``likeness`` as for
    ``Refused``. ``late``: nobody waited long enough, here or on the way, so the
    API may be at work on it still.
    """

    reason: str
    code: int | None = None
    answer: KeptAnswer | None = None
    retry_after: float | None = None
    likeness: str | None = None
    late: bool = False


Outcome: TypeAlias = Created | Conflict | Refused | Throttled | Moved | NotSent | Unclear
