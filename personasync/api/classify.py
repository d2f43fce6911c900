"""What an answer of the API means: design.md §6's table over api.md's codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from personasync.model.answer import KEPT_BYTES, KeptAnswer
from personasync.model.contract import is_persona_id
from personasync.model.outcome import Conflict, Created, Outcome, Refused, Throttled, Unclear

LONGEST_RETRY_AFTER: Final = 86_400.0
"""Seconds; a longer ``Retry-After`` is a mistake, and not a hint."""

_SUCCESS: Final = 200
_CONFLICT: Final = 409
_MAINTENANCE: Final = 455
_THROTTLED: Final = frozenset({405, 429, 430})
_STOP_ALL: Final = frozenset({401, 402})
_LARGEST_CODE: Final = 9999
_MESSAGE_LIMIT: Final = 500
_SPEAKS_OF_CREDITS: Final = re.compile(
    r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))(?i:credits?|balance)(?![a-z])"  # camelCase as well
)
_SECONDS: Final = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


def classify(
    status: int,
    headers: Mapping[str, str],
    text: str,
    *,
    now: datetime | None = None,
    redact: Callable[[str], str] = str,
) -> Outcome:
    """Say what an answer means.

    The body's ``code`` counts when it has one, else the HTTP status (api.md
    §2). Whatever is not surely a success, a conflict or a refusal is
    ``Unclear``, and keeps the answer. ``redact`` takes out of a text what must
    not be shown or stored, should a server echo it.
    """
    retry_after = parse_retry_after(headers.get("Retry-After"), now or datetime.now(UTC))

    def unclear(reason: str, code: int) -> Unclear:
        return Unclear(reason, code, kept(redact(text)), retry_after)

    if 300 <= status < 400:
        return unclear(f"the API redirected ({status}), which is not followed", status)
    answer = _object(text)
    code, message = _code(answer, status), redact(_message(answer))[:_MESSAGE_LIMIT]
    match code:
        case None:
            return unclear("the answer's code cannot be one", status)
        case _ if code == _SUCCESS:
            persona_id = _persona_id(answer)
            if (
                isinstance(persona_id, str)
                and is_persona_id(persona_id)
                and redact(persona_id) == persona_id
            ):
                return Created(persona_id)
            return unclear(_why_no_success(answer, persona_id), status)
        case _ if code == _CONFLICT:
            return Conflict(code, message)
        case _ if code in _THROTTLED and not _SPEAKS_OF_CREDITS.search(message):
            return Throttled(code, message, retry_after)
        case _ if 400 <= code < 500 and code != _MAINTENANCE:
            return Refused(code, message, stops_run=code in _STOP_ALL or code in _THROTTLED)
    return unclear(f"the API answered {code}" + (f": {message}" if message else ""), code)


def kept(text: str) -> KeptAnswer | None:
    """Return the part of an answer that is kept, or ``None`` if there is nothing to keep."""
    part = text.encode("utf-8", "replace")[:KEPT_BYTES].decode("utf-8", "ignore")
    return KeptAnswer.of_text(part) if part else None


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait, or ``None``.

    Reads seconds and HTTP dates; what is neither, or is longer than a day, is
    no hint.
    """
    if value is None:
        return None
    number = _SECONDS.fullmatch(value.strip())
    if number:
        seconds = float(number[0])
    else:
        try:
            then = parsedate_to_datetime(value)
            seconds = (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return max(seconds, 0.0) if seconds <= LONGEST_RETRY_AFTER else None


def _object(text: str) -> dict[str, object] | None:
    try:
        answer = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _code(answer: dict[str, object] | None, status: int) -> int | None:
    """Return the code that counts; ``None`` where no error status and a code that is none meet."""
    if answer is None or "code" not in answer:
        return status
    code = answer["code"]
    if isinstance(code, int) and not isinstance(code, bool) and 0 <= code <= _LARGEST_CODE:
        return code
    return status if status >= 400 else None


def _message(answer: dict[str, object] | None) -> str:
    message = answer.get("msg") if answer else None
    return message if isinstance(message, str) else ""


def _persona_id(answer: dict[str, object] | None) -> object:
    data = answer.get("data") if answer else None
    return data.get("personaId") if isinstance(data, dict) else None


def _why_no_success(answer: dict[str, object] | None, persona_id: object) -> str:
    if answer is None:
        return "the answer is not a JSON object"
    if persona_id is None:
        return "the answer says success, but holds no personaId"
    return "the answer's personaId cannot be one"
