"""One line of the state: what is known about one audio, and how it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from personasync.model.answer import KeptAnswer
from personasync.model.contract import EXISTS_CODE
from personasync.model.persona import PersonaRequest


class Status(StrEnum):
    """What an entry says about its audio; `fold.py` has what counts of several."""

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
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a state.

    ``lineage`` tells states apart that were begun apart; ``api`` is the base
    whose IDs the state holds, or ``sandbox``.
    """

    lineage: str
    api: str


@dataclass(frozen=True, slots=True)
class ServiceMoved:
    """An entry about no audio: the service, and the state with it, has moved to another base."""

    api: str
    at: str | None = None
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known about one audio.

    ``at`` is a UTC time (RFC 3339) and ``run`` the run that appended it.
    ``request`` is what was sent, or would have been; ``code`` and ``message``
    are the API's; ``answer`` keeps what came back, where that is more than
    these say. ``after_pending`` is for conflicts: a request of ours whose
    outcome stayed unknown explains it.

    ``replaces`` names the IDs that its own takes the place of; ``again`` the
    runs that recorded an ID once more although it had been replaced, which
    is then called by both (``ID RUN``). ``accepted`` is what the manifest
    asked for when it was accepted that this is not what was made. ``extra``
    keeps fields that a later version may have written. ``rivals``, which only
    folding sets, are the entries of an audio with several IDs, none of which
    replaces another.
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
    replaces: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    extra: Mapping[str, object] | None = None
    accepted: PersonaRequest | None = None
    rivals: tuple[Entry, ...] = ()

    @property
    def in_view(self) -> bool:
        """Whether it says that something exists, or may."""
        return self.status not in (Status.FORGOTTEN, Status.FAILED)

    @property
    def in_conflict(self) -> bool:
        """Whether its persona exists, and which ID it has is not known."""
        return self.persona_id is None and (
            self.status is Status.CONFLICT or self.code == EXISTS_CODE
        )

    @property
    def ids(self) -> tuple[str, ...]:
        """Every ID that is known of the audio: several where it has rivals."""
        return tuple(line.persona_id for line in self.rivals or (self,) if line.persona_id)

    @property
    def names(self) -> tuple[str, ...]:
        """What an entry that replaces this one's ID calls it."""
        if self.persona_id is None:
            return ()
        again = self.again or ("",)
        return tuple(f"{self.persona_id} {run}" if run else self.persona_id for run in again)
