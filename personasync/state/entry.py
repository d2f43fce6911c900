"""One line of the state: what is known about one audio, and how it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from personasync.model.answer import KeptAnswer
from personasync.model.persona import PersonaRequest


class Status(StrEnum):
    """What an entry says about its audio (design.md §4)."""

    PENDING = "pending"
    CREATED = "created"
    CONFLICT = "conflict"
    FAILED = "failed"
    FORGOTTEN = "forgotten"


class Origin(StrEnum):
    """Where a recorded ID came from."""

    APPLY = "apply"
    IMPORT = "import"
    MANIFEST = "manifest"


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a state.

    ``lineage`` tells states apart that were begun apart; ``api`` is the base
    whose IDs the state holds, or ``sandbox``.
    """

    lineage: str
    api: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known about one audio.

    ``at`` is a UTC time (RFC 3339) and ``run`` the run that appended it.
    ``request`` is what was sent, or would have been; ``code`` and ``message``
    are the API's; ``answer`` keeps what came back, where that is more than
    these say. ``after_pending`` is for conflicts: a request of ours whose
    outcome stayed unknown explains it. ``extra`` keeps fields that a later
    version may have written.
    """

    audio_id: str
    key: str
    status: Status
    persona_id: str | None = None
    origin: Origin | None = None
    at: str | None = None
    run: str | None = None
    request: PersonaRequest | None = None
    code: int | None = None
    message: str | None = None
    answer: KeptAnswer | None = None
    after_pending: bool | None = None
    extra: Mapping[str, object] | None = None
