"""What a request for a persona must look like, and what the API says when it is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from personasync.model.contract import API_FIELDS, DEFAULT_VOCAL_END, DEFAULT_VOCAL_START
from personasync.model.persona import PersonaRequest
from personasync.sandbox.exchange import Answer

_MESSAGES: Final[Mapping[int, str]] = {
    401: "Authentication credentials are missing or invalid",
    402: "Account does not have enough credits to perform the operation",
    404: "The requested resource or endpoint does not exist",
    409: "A persona already exists for this music",
    413: "The text is too long",
    422: "The request parameters failed validation checks",
    429: "Request limit has been exceeded for this resource",
    451: "Failed to fetch the music data, kindly verify any access limits",
    455: "System is currently undergoing maintenance",
    500: "An unexpected error occurred while processing the request",
}


def refusal(code: int | None, detail: str | None = None) -> Answer:
    """Return the error of a code in the API's words, with what is wrong in this case."""
    code = code or 500
    words = _MESSAGES.get(code, f"Refused with code {code}")
    return Answer(code, f"{words}: {detail}" if detail else words)


NO_SUCH_ENDPOINT: Final = refusal(404)
NO_SUCH_TASK: Final = refusal(404, "no such task")
RATE_LIMITED: Final = Answer(429, _MESSAGES[429], retry_after=1)
MAINTENANCE: Final = refusal(455)
SERVER_ERROR: Final = refusal(500)
NO_CREDITS: Final = refusal(402)
NO_CREDITS_429: Final = Answer(429, "The current credits are insufficient. Please top up.")
NO_CREDITS_ZH: Final = Answer(429, "积分不足，请充值")

MAGIC_AUDIOS: Final[Mapping[str, Answer]] = {
    "unfetchable": refusal(451),
    "maintenance": MAINTENANCE,
    "broken": SERVER_ERROR,
    "ratelimited": RATE_LIMITED,
    "toolong": refusal(413),
}
"""Starts of an ``audioId``, and how a request for a persona from it is refused."""

_REQUIRED: Final = ("taskId", "audioId", "name", "description")
_NUMBERS: Final = ("vocalStart", "vocalEnd")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def decode_body(body: bytes) -> dict[str, object] | Answer:
    """Return the JSON object that a body holds, or the refusal of one that holds none."""
    if not body:
        return refusal(422, "the body is missing")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return refusal(422, "the body is not JSON")
    return value if isinstance(value, dict) else refusal(422, "the body is not a JSON object")


def read_request(fields: Mapping[str, object]) -> PersonaRequest | Answer:
    """Return the request that the fields make, or the 422 that names the first bad one.

    Fields that the contract doesn't know are passed over.
    """
    problems = (_problem(name, fields) for name in API_FIELDS)
    problem = next(filter(None, problems), None) or _segment_problem(fields)
    if problem is not None:
        return refusal(422, problem)
    values: dict[str, Any] = {attr: fields.get(name) for name, attr in API_FIELDS.items()}
    return PersonaRequest(**values)


def magic_refusal(audio_id: str) -> Answer | None:
    """Return the refusal that an audio's ID asks for."""
    return next((MAGIC_AUDIOS[word] for word in MAGIC_AUDIOS if audio_id.startswith(word)), None)


def _problem(name: str, fields: Mapping[str, object]) -> str | None:
    if name not in fields:
        return f"{name} is required" if name in _REQUIRED else None
    value = fields[name]
    if name in _NUMBERS:
        return None if _is_seconds(value) else f"{name} must be a number of seconds, 0 or more"
    if not isinstance(value, str) or _SURROGATE.search(value):
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
