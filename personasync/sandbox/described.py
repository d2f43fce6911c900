"""Tasks as people describe them: the audios of a manifest, or a file of tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from personasync.model.persona import PersonaRequest
from personasync.model.spelling import nearest
from personasync.model.units import parse_duration
from personasync.sandbox.tasks import DURATION, Status, Task, Track


def named_tracks(personas: Iterable[PersonaRequest]) -> dict[str, tuple[Track, ...]]:
    """Return the tracks that a manifest's personas name, by ``taskId``.

    Each is as long as its persona needs it, since a manifest cannot tell.
    """
    found: defaultdict[str, list[Track]] = defaultdict(list)
    for persona in personas:
        longest = max(DURATION, persona.vocal_start or 0, persona.vocal_end or 0)
        found[persona.task_id].append(Track(persona.audio_id, persona.name, longest))
    return {task_id: tuple(tracks) for task_id, tracks in found.items()}


def read_tasks(data: object) -> dict[str, Task]:
    """Read tasks that somebody described: ``{tasks: {TASK_ID: {status, after, tracks, …}}}``.

    Raises ``ValueError``, which says what is wrong and where.
    """
    tasks = _fields(data, "", {"tasks": dict}).get("tasks")
    if tasks is None:
        raise ValueError("there is no mapping named tasks")
    return {str(name): _task(f"tasks.{name}", value) for name, value in tasks.items()}


_NUMBER: Final = (int, float)
_DURATION_TEXT: Final = (str, int, float)
_KINDS: Final[Mapping[Any, str]] = {
    str: "text: quote it",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
    _NUMBER: "a number",
    _DURATION_TEXT: "a duration, such as 20s",
}
_TASK: Final[Mapping[str, Any]] = {
    "status": str,
    "after": _DURATION_TEXT,
    "model": str,
    "operationType": str,
    "errorMessage": str,
    "expired": bool,
    "tracks": list,
}
_TRACK: Final[Mapping[str, Any]] = {
    "audioId": str,
    "title": str,
    "duration": _NUMBER,
    "tags": str,
}


def _task(where: str, data: object) -> Task:
    fields = _fields(data, where, _TASK)
    status = fields.get("status", "SUCCESS")
    if status not in set(Status):
        raise ValueError(f"{where}.status: {status!r} is none of {', '.join(Status)}")
    try:
        after = parse_duration(str(fields.get("after", "0")))
    except ValueError as error:
        raise ValueError(f"{where}.after: {error}") from None
    tracks = fields.get("tracks")
    if tracks is not None:
        tracks = tuple(
            _described(f"{where}.tracks[{number}]", track) for number, track in enumerate(tracks)
        )
    return Task(
        Status(status),
        tracks,
        after,
        fields.get("model", "V4_5PLUS"),
        operation=fields.get("operationType", "generate"),
        error=fields.get("errorMessage"),
        expired=fields.get("expired", False),
    )


def _described(where: str, data: object) -> Track:
    fields = _fields(data, where, _TRACK)
    if "audioId" not in fields:
        raise ValueError(f"{where}.audioId is missing")
    names = {"audioId": "audio_id"}
    return Track(**{names.get(name, name): value for name, value in fields.items()})


def _fields(data: object, where: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping's fields, each of its type and none that is not known."""
    if not isinstance(data, dict):
        raise ValueError(f"{where or 'the file'} is not a mapping")
    for name, value in data.items():
        place = f"{where}.{name}" if where else str(name)
        if name not in known:
            close = nearest(str(name), known)
            guess = f"; did you mean {close}?" if close else f"; known: {', '.join(known)}"
            raise ValueError(f"{place} is not known{guess}")
        if not _is(value, known[name]):
            raise ValueError(f"{place} is not {_KINDS[known[name]]}")
    return data


def _is(value: object, kind: Any) -> bool:
    """Whether a value is of a kind; true and false are no numbers, as they are to Python."""
    return isinstance(value, kind) and isinstance(value, bool) is (kind is bool)
