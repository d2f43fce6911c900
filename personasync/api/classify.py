"""What an answer of the API means: design.md §6's table over api.md's codes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from personasync.outcome import Conflict, Created, Outcome, Refused, Throttled, Unclear

KEPT_ANSWER: Final = 4096
"""Bytes of an answer that could not be understood that are kept (design.md §6)."""

LONGEST_RETRY_AFTER: Final = 86_400.0
"""Seconds; a longer ``Retry-After`` is a mistake, and not a hint."""

_SUCCESS: Final = 200
_CONFLICT: Final = 409
_MAINTENANCE: Final = 455
_THROTTLED: Final = frozenset({405, 429, 430})
_STOP_ALL: Final = frozenset({401, 402})
_MESSAGE_LIMIT: Final = 500
_PERSONA_ID: Final = re.compile(r"[!-~]{1,256}")
_SPEAKS_OF_CREDITS: Final = re.compile(r"credit|balance", re.IGNORECASE)


def classify(
    status: int, headers: Mapping[str, str], text: str, *, now: datetime | None = None
) -> Outcome:
    """Say what an answer means.

    The body's ``code`` counts when it has one, else the HTTP status (api.md
    §2). Whatever is not surely a success, a conflict or a refusal is
    ``Unclear``, and keeps the answer.
    """
    retry_after = parse_retry_after(headers.get("Retry-After"), now or datetime.now(UTC))
    if 300 <= status < 400:
        return Unclear(
            f"the API redirected ({status}), which is not followed", status, kept(text), retry_after
        )
    answer = _object(text)
    code, message = _code(answer, status), _message(answer)
    match code:
        case None:
            return Unclear("the answer's code is not a number", status, kept(text), retry_after)
        case _ if code == _SUCCESS:
            return _success(answer, status, text)
        case _ if code == _CONFLICT:
            return Conflict(code, message)
        case _ if code in _THROTTLED and not _SPEAKS_OF_CREDITS.search(message):
            return Throttled(code, message, retry_after)
        case _ if 400 <= code < 500 and code != _MAINTENANCE:
            return Refused(code, message, stops_run=code in _STOP_ALL or code in _THROTTLED)
    reason = f"the API answered {code}" + (f": {message}" if message else "")
    return Unclear(reason, code, kept(text), retry_after)


def kept(text: str) -> str | None:
    """Return the part of an answer that is kept, or ``None`` if there is nothing to keep."""
    return text.encode("utf-8", "replace")[:KEPT_ANSWER].decode("utf-8", "ignore") or None


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait, or ``None``.

    Reads seconds and HTTP dates; what is neither, or is longer than a day, is
    no hint.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            then = parsedate_to_datetime(value)
            seconds = (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        seconds = max(seconds, 0.0)
    usable = math.isfinite(seconds) and 0 <= seconds <= LONGEST_RETRY_AFTER
    return seconds if usable else None


def _object(text: str) -> dict[str, object] | None:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _code(answer: dict[str, object] | None, status: int) -> int | None:
    """Return the code that counts; ``None`` where a 200 has a body whose code is none."""
    if answer is not None and "code" in answer:
        code = answer["code"]
        if isinstance(code, int) and not isinstance(code, bool):
            return code
        return None if status < 400 else status
    return status


def _message(answer: dict[str, object] | None) -> str:
    message = answer.get("msg") if answer else None
    return message[:_MESSAGE_LIMIT] if isinstance(message, str) else ""


def _success(answer: dict[str, object] | None, status: int, text: str) -> Outcome:
    data = answer.get("data") if answer else None
    persona_id = data.get("personaId") if isinstance(data, dict) else None
    if isinstance(persona_id, str) and _PERSONA_ID.fullmatch(persona_id):
        return Created(persona_id)
    if answer is None:
        return Unclear("the answer is not a JSON object", status, kept(text))
    if persona_id is None:
        return Unclear("the answer says success, but holds no personaId", status, kept(text))
    return Unclear("the answer's personaId cannot be one", status, kept(text))
