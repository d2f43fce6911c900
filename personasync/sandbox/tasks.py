"""Generation tasks and their tracks, as the service describes them.

Tasks are known because a manifest names them, or because they were described
one by one; else every task is a finished one. A ``taskId`` that begins with a
magic word has the fate that the word says, as payment services have test numbers.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from personasync.model.contract import SUCCESS
from personasync.model.persona import PersonaRequest
from personasync.model.tasks import FINISHED
from personasync.sandbox.contract import NO_SUCH_TASK, refusal
from personasync.sandbox.exchange import Answer

MODELS: Final[Mapping[str, str]] = {
    "V2": "chirp-v2-xxl-alpha",
    "V3": "chirp-v3-0",
    "V3_5": "chirp-v3-5",
    "V4": "chirp-v4",
    "V4_5": "chirp-auk",
    "V4_5ALL": "chirp-auk-turbo",
    "V4_5PLUS": "chirp-bluejay",
    "V5": "chirp-crow",
}
"""A model as a request names it, and the name that its tracks then bear."""

RECORD_IS_NULL: Final = Answer(422, "recordInfo is null")
_TOO_OLD: Final = ("V2", "V3", "chirp-v2", "chirp-v3")
_SLACK: Final = 0.5
"""Seconds that a segment may reach beyond its track, whose duration is rounded."""

DURATION: Final = 183.2
"""Seconds that a track lasts of which nothing else is known."""

_PROMPT: Final = "[Verse] Neon lights are calling"
_BEGAN: Final = 1_760_000_000_000
"""When every task was asked for, in milliseconds: the same answer whenever one asks."""


class Status(StrEnum):
    """The eight states of a task."""

    PENDING = "PENDING"
    TEXT_SUCCESS = "TEXT_SUCCESS"
    FIRST_SUCCESS = "FIRST_SUCCESS"
    SUCCESS = "SUCCESS"
    CREATE_TASK_FAILED = "CREATE_TASK_FAILED"
    GENERATE_AUDIO_FAILED = "GENERATE_AUDIO_FAILED"
    CALLBACK_EXCEPTION = "CALLBACK_EXCEPTION"
    SENSITIVE_WORD_ERROR = "SENSITIVE_WORD_ERROR"

    @property
    def finished(self) -> bool:
        """Whether all tracks are there; of ``CALLBACK_EXCEPTION`` only the callback failed."""
        return self in FINISHED


_ERRORS: Final[Mapping[Status, tuple[int, str]]] = {
    Status.CREATE_TASK_FAILED: (500, "Failed to create the task"),
    Status.GENERATE_AUDIO_FAILED: (500, "Failed to generate the audio"),
    Status.CALLBACK_EXCEPTION: (500, "The callback address did not answer"),
    Status.SENSITIVE_WORD_ERROR: (400, "The prompt contains sensitive words"),
}


@dataclass(frozen=True, slots=True)
class Track:
    """One track; ``duration`` in seconds, ``None`` if it does not matter."""

    audio_id: str
    title: str = "Untitled"
    duration: float | None = None
    tags: str = "electronic pop, female vocals"


@dataclass(frozen=True, slots=True)
class Task:
    """A task and what became of it.

    ``tracks`` are ``None`` when they are those that the manifest names, or made
    up. ``after`` is how many seconds after the sandbox's start it is no longer
    ``PENDING``. ``duration`` is that of every track, if any. Of an ``expired``
    task, nothing is known any more. An ``open`` one takes any audio for its own.
    """

    status: Status = Status.SUCCESS
    tracks: tuple[Track, ...] | None = None
    after: float = 0.0
    model: str = "V4_5PLUS"
    duration: float | None = None
    operation: str = "generate"
    error: str | None = None
    expired: bool = False
    open: bool = False

    def at(self, elapsed: float) -> Status:
        """Return the status so many seconds after the start."""
        return self.status if elapsed >= self.after else Status.PENDING

    def duration_of(self, track: Track) -> float:
        """Return how long a track of this task lasts, in seconds."""
        return self.duration or track.duration or DURATION


_OTHER_TRACKS: Final = "other-tracks"
MAGIC_TASKS: Final[Mapping[str, tuple[str, Task | None]]] = {
    "missing": ("404, no such task", None),
    "expired": ("422, its record is gone", Task(expired=True)),
    "unfinished": ("PENDING for ever", Task(Status.PENDING)),
    "soon": ("PENDING, SUCCESS after 5s", Task(after=5.0)),
    "text-success": ("TEXT_SUCCESS", Task(Status.TEXT_SUCCESS)),
    "first-success": ("FIRST_SUCCESS", Task(Status.FIRST_SUCCESS)),
    "create-task-failed": ("CREATE_TASK_FAILED", Task(Status.CREATE_TASK_FAILED)),
    "generate-audio-failed": ("GENERATE_AUDIO_FAILED", Task(Status.GENERATE_AUDIO_FAILED)),
    "callback-exception": ("CALLBACK_EXCEPTION", Task(Status.CALLBACK_EXCEPTION)),
    "sensitive-word-error": ("SENSITIVE_WORD_ERROR", Task(Status.SENSITIVE_WORD_ERROR)),
    "old-model": ("made with V3_5", Task(model="V3_5")),
    _OTHER_TRACKS: ("finished, other audios", Task()),
    "short-track": ("tracks of 20 s", Task(duration=20.0)),
}
"""Starts of a ``taskId``, what they mean in words, and the task; ``None`` is none."""


class Tasks:
    """The tasks there are.

    ``described`` are those that were described one by one, ``named`` the tracks
    that a manifest names, by ``taskId``. With neither, every task is there, and
    finished.
    """

    def __init__(
        self,
        described: Mapping[str, Task] | None = None,
        named: Mapping[str, tuple[Track, ...]] | None = None,
    ) -> None:
        self._described = described or {}
        self._named = named or {}
        self._made_up = described is None and named is None

    def find(self, task_id: str) -> Task | None:
        """Return a task with its tracks; ``None`` when there is no such task."""
        task = self._described.get(task_id) or self._made_by_word_or_name(task_id)
        if task is None or task.tracks is not None:
            return task
        named = self._named.get(task_id)
        return replace(task, tracks=named or _invented(task_id), open=named is None)

    def _made_by_word_or_name(self, task_id: str) -> Task | None:
        for word, (_, task) in MAGIC_TASKS.items():
            if task_id.startswith(word):
                others = _invented(task_id) if word == _OTHER_TRACKS else None
                return task and replace(task, tracks=others)
        return Task() if self._made_up or task_id in self._named else None

    def describe(self, task_id: str, elapsed: float) -> Answer:
        """Answer what the service says of a task, so many seconds after the start."""
        if not task_id:
            return refusal(422, "taskId is required")
        task = self.find(task_id)
        if task is None and task_id.startswith("missing"):
            return NO_SUCH_TASK
        if task is None or task.expired:
            return RECORD_IS_NULL
        return Answer(SUCCESS, "success", _record(task_id, task, task.at(elapsed)))

    def refuse(self, request: PersonaRequest, elapsed: float) -> Answer | None:
        """Return why no persona can be made of a request's task and audio, if so."""
        task = self.find(request.task_id)
        if task is None:
            return NO_SUCH_TASK
        if task.expired:
            return RECORD_IS_NULL
        status = task.at(elapsed)
        if not status.finished:
            error = _error(task, status)
            said = f"has failed: {error[1]}" if error else f"is not complete: {status}"
            return refusal(422, f"the generation task {said}")
        if task.model.startswith(_TOO_OLD):
            return refusal(422, f"the music was made with {task.model}, a model older than V4")
        tracks = [track for track in task.tracks or () if track.audio_id == request.audio_id]
        if not tracks and not task.open:
            return refusal(422, "audioId: no such audio in this task")
        return _beyond(request, task.duration_of(tracks[0] if tracks else Track("")))


def _beyond(request: PersonaRequest, duration: float) -> Answer | None:
    """Refuse a segment that was asked for, and that reaches beyond its track."""
    for field, asked in (("vocalStart", request.vocal_start), ("vocalEnd", request.vocal_end)):
        if asked is not None and asked > duration + _SLACK:
            return refusal(422, f"{field} ({asked:g}) is beyond the track's end ({duration:g})")
    return None


def _error(task: Task, status: Status) -> tuple[int, str] | None:
    code, words = _ERRORS.get(status, (0, ""))
    return (code, task.error or words) if code else None


def _invented(task_id: str) -> tuple[Track, ...]:
    """Make up the two tracks of a task, the same ones whenever it is asked for."""
    space = uuid.NAMESPACE_URL
    return tuple(
        Track(str(uuid.uuid5(space, f"personasync-sandbox:{task_id}/{number}")), f"Track {number}")
        for number in (1, 2)
    )


def _record(task_id: str, task: Task, status: Status) -> dict[str, object]:
    """Return ``data`` of ``record-info``, with every field that captured answers have."""
    error = _error(task, status)
    tracks = task.tracks or ()
    first = 1 if status is Status.FIRST_SUCCESS else 0
    done = len(tracks) if status.finished else first
    told = status.finished or status in (Status.TEXT_SUCCESS, Status.FIRST_SUCCESS)
    param = {
        "prompt": _PROMPT,
        "style": "electronic pop",
        "title": tracks[0].title if tracks else "",
        "customMode": True,
        "instrumental": False,
        "model": task.model,
        "callBackUrl": "https://example.com/callback",
    }
    records = [_track(task, track, number < done) for number, track in enumerate(tracks)]
    return {
        "taskId": task_id,
        "parentMusicId": "",
        "param": json.dumps(param),
        "response": {"taskId": task_id, "sunoData": records} if told else None,
        "status": status,
        "type": task.operation,
        "operationType": task.operation,
        "errorCode": error[0] if error else None,
        "errorMessage": error[1] if error else None,
        "createTime": _BEGAN,
    }


def _track(task: Task, track: Track, done: bool) -> dict[str, object]:
    """Return a track as the service tells it; it has no ID before it is done."""
    media = f"https://media.example/{uuid.uuid5(uuid.NAMESPACE_URL, track.audio_id)}"
    return {
        "id": track.audio_id if done else "",
        "audioUrl": f"{media}.mp3" if done else "",
        "sourceAudioUrl": f"{media}.mp3" if done else "",
        "streamAudioUrl": f"{media}.stream" if done else "",
        "imageUrl": f"{media}.jpeg",
        "prompt": _PROMPT,
        "modelName": MODELS.get(task.model, task.model),
        "title": track.title,
        "tags": track.tags,
        "createTime": _BEGAN,
        "duration": task.duration_of(track) if done else None,
    }
