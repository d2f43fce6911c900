"""What a request for a persona must look like, and the IDs with a meaning of their own.

The sandbox cannot know real tasks and tracks, so it takes every ID for a good
one, except these:

============================  ====  ==========================================
the ID starts with            code  as if
============================  ====  ==========================================
taskId ``missing``            404   there were no such task
taskId ``unfinished``         422   the task were still being generated
taskId ``old-model``          422   it was made with a model older than V4
audioId ``unfetchable``       451   the music data could not be fetched
audioId ``maintenance``       455   the service were down for maintenance
audioId ``broken``            500   the service had failed
audioId ``ratelimited``       429   the account had called too often
audioId ``toolong``           413   the texts were too long
============================  ====  ==========================================
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, cast

from personasync.model.contract import API_FIELDS, DEFAULT_VOCAL_END, DEFAULT_VOCAL_START
from personasync.model.persona import PersonaRequest
from personasync.sandbox.exchange import Answer

NO_SUCH_ENDPOINT: Final = Answer(404, "no such endpoint")
NO_SUCH_TASK: Final = Answer(404, "no such task")
RATE_LIMITED: Final = Answer(429, "called too often, slow down", retry_after=1)
MAINTENANCE: Final = Answer(455, "down for maintenance")
SERVER_ERROR: Final = Answer(500, "unexpected server error")

MAGIC_TASKS: Final[Mapping[str, Answer]] = {
    "missing": NO_SUCH_TASK,
    "unfinished": Answer(422, "taskId: the generation is not complete"),
    "old-model": Answer(422, "taskId: the track was made with a model older than V4"),
}
"""Starts of a ``taskId``, and how a request for a persona from it is refused."""

MAGIC_AUDIOS: Final[Mapping[str, Answer]] = {
    "unfetchable": Answer(451, "the music data could not be fetched"),
    "maintenance": MAINTENANCE,
    "broken": SERVER_ERROR,
    "ratelimited": RATE_LIMITED,
    "toolong": Answer(413, "text too long"),
}
"""Starts of an ``audioId``, and how a request for a persona from it is refused."""

_REQUIRED: Final = ("taskId", "audioId", "name", "description")
_NUMBERS: Final = ("vocalStart", "vocalEnd")


def decode_body(body: bytes) -> dict[str, object] | Answer:
    """Return the JSON object that a body holds, or the refusal of one that holds none."""
    if not body:
        return Answer(422, "the body is missing")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return Answer(422, "the body is not JSON")
    return value if isinstance(value, dict) else Answer(422, "the body is not a JSON object")


def read_request(fields: Mapping[str, object]) -> PersonaRequest | Answer:
    """Return the request that the fields make, or the 422 that names the first bad one.

    Fields that the contract doesn't know are passed over.
    """
    problems = (_problem(name, fields) for name in API_FIELDS)
    problem = next(filter(None, problems), None) or _segment_problem(fields)
    if problem is not None:
        return Answer(422, problem)
    values: dict[str, Any] = {attr: fields.get(name) for name, attr in API_FIELDS.items()}
    return PersonaRequest(**values)


def magic_refusal(request: PersonaRequest) -> Answer | None:
    """Return the refusal that one of the request's IDs asks for."""
    return _magic(request.task_id, MAGIC_TASKS) or _magic(request.audio_id, MAGIC_AUDIOS)


def _magic(identifier: str, table: Mapping[str, Answer]) -> Answer | None:
    return next((answer for word, answer in table.items() if identifier.startswith(word)), None)


def _problem(name: str, fields: Mapping[str, object]) -> str | None:
    if name not in fields:
        return f"{name} is required" if name in _REQUIRED else None
    value = fields[name]
    if name in _NUMBERS:
        return None if _is_seconds(value) else f"{name} must be a number of seconds, 0 or more"
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        return f"{name} must be a string"
    return f"{name} must not be empty" if name in _REQUIRED and not value.strip() else None


def _is_seconds(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value) and value >= 0
    except OverflowError:  # an integer beyond what a float can hold
        return False


def _segment_problem(fields: Mapping[str, object]) -> str | None:
    start = cast("float", fields.get("vocalStart", DEFAULT_VOCAL_START))
    end = cast("float", fields.get("vocalEnd", DEFAULT_VOCAL_END))
    if end > start:
        return None
    return f"vocalEnd ({end:g}) must be greater than vocalStart ({start:g})"
