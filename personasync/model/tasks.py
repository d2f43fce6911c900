"""What the API says of generation tasks and of the credits left, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

RUNNING: Final = frozenset({"PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS"})
"""Statuses of a task that is still being generated."""

FAILED: Final = frozenset({"CREATE_TASK_FAILED", "GENERATE_AUDIO_FAILED", "SENSITIVE_WORD_ERROR"})
"""Statuses of a task that will never have the track."""

FINISHED: Final = frozenset({"SUCCESS", "CALLBACK_EXCEPTION"})
"""Statuses of a task whose tracks are there; of the second, only the callback failed."""


@dataclass(frozen=True, slots=True)
class Track:
    """One track of a task, as far as the API describes it.

    ``audio_id`` is empty until the track is finished; ``duration`` is in seconds.
    """

    audio_id: str
    title: str = ""
    tags: str = ""
    model: str | None = None
    duration: float | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task: ``status`` is the API's word, ``model`` what was asked for, ``error`` its message.

    ``complete``: every track that was told has an ID, so no other audio is its.
    """

    task_id: str
    status: str
    tracks: tuple[Track, ...] = ()
    model: str | None = None
    error: str | None = None
    complete: bool = True


@dataclass(frozen=True, slots=True)
class NoRecord:
    """The API knows no such task: mistyped, another account's, or older than it keeps records."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """There was no usable answer. ``stops``: there will be none for any other question either."""

    reason: str
    stops: bool = False
    retry_after: float | None = None
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Credits:
    """The credits that the account has left."""

    left: float


TaskAnswer: TypeAlias = Task | NoRecord | Unanswered
CreditAnswer: TypeAlias = Credits | Unanswered


def is_too_old(task: Task, track: Track) -> bool:
    """Whether a track was surely made with a model older than V4, of which no persona is made.

    Names of models are no numbers, and new ones come: only these are surely too old.
    """
    if task.model is not None:
        return task.model.strip().upper().startswith(("V1", "V2", "V3"))
    return (track.model or "").strip().lower().startswith(("chirp-v1", "chirp-v2", "chirp-v3"))
