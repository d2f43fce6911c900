"""Asks about generation tasks and the credits left, and reads what comes back tolerantly.

These are questions: they spend nothing, and nothing of them is stored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final, TypeVar
from urllib.parse import quote

from personasync.api.classify import (
    Reading,
    code_of,
    message_of,
    read_answer,
    trouble_with,
    wait_asked_for,
    words_of,
)
from personasync.api.client import Line
from personasync.api.transport import Exchange
from personasync.model import contract
from personasync.model.tasks import (
    CreditAnswer,
    Credits,
    NoRecord,
    Task,
    TaskAnswer,
    Track,
    Unanswered,
)

_T = TypeVar("_T")
_TEXT_LIMIT: Final = 300
_LONGEST_TRACK: Final = 86_400.0


class HttpTasks(Line):
    """Asks about tasks and credits."""

    def describe(self, task_id: str) -> TaskAnswer:
        """Ask once what the API knows of a task; never raises for what comes back."""
        return self._ask(
            ("GET", contract.RECORD_INFO_PATH),
            partial(self._read, partial(_task, task_id)),
            query=f"?taskId={quote(task_id, safe='')}",
            about=f"for task {task_id!r}",
        )

    def credits(self) -> CreditAnswer:
        """Ask once how many credits are left; never raises for what comes back."""
        return self._ask(("GET", contract.CREDIT_PATH), self._credits)

    def _credits(self, exchange: Exchange) -> CreditAnswer:
        said = self._read(_credits, exchange)
        return Unanswered(said.reason) if isinstance(said, NoRecord) else said

    def _read(self, read: Callable[[object], _T], exchange: Exchange) -> _T | NoRecord | Unanswered:
        failure = None if exchange.failure is None else self._say(exchange.failure)
        if not exchange.received:
            return Unanswered(failure or "the connection was closed before the answer was whole")
        reading = read_answer(bytes(exchange.received), failure, self._key.redact)
        trouble = self._trouble(reading)
        if trouble is not None:
            return trouble
        return read(reading.answer.get("data") if reading.answer else None)

    def _trouble(self, reading: Reading) -> NoRecord | Unanswered | None:
        """Say why there is nothing to read, if there is not."""
        code = code_of(reading)
        message = self._key.redact(message_of(reading.answer))[:_TEXT_LIMIT]
        said = words_of(code, message)
        if code == contract.SUCCESS and reading.answer is not None:
            return None
        if code in (404, 422) and reading.answer is not None:
            return NoRecord(said)
        if code is None or code == contract.SUCCESS:
            return Unanswered(trouble_with(reading) or "the answer is not a JSON object")
        throttled = code in contract.THROTTLED
        return Unanswered(
            said, code == contract.UNAUTHORIZED, wait_asked_for(reading), throttled=throttled
        )


def _task(task_id: str, data: object) -> TaskAnswer:
    data = _inner(data)
    if data is None:
        return NoRecord("the API has no record of it")
    if not isinstance(data, Mapping):
        return Unanswered("what the API says of it is not a JSON object")
    response = _inner(data.get("response"))
    listed = _listed(response) or _listed(data)
    param = _inner(data.get("param"))
    asked = param if isinstance(param, Mapping) else {}
    return Task(
        task_id,
        _text(data.get("status")).upper(),
        tuple(_tracks(listed)),
        model=_text(asked.get("model")) or None,
        error=_text(data.get("errorMessage")) or None,
        complete=all(isinstance(each, Mapping) and _audio_id(each) for each in listed),
    )


def _listed(data: object) -> list[object]:
    if not isinstance(data, Mapping):
        return data if isinstance(data, list) else []
    found = next((data[name] for name in ("sunoData", "suno_data", "data") if name in data), None)
    found = _inner(found)
    return found if isinstance(found, list) else []


def _tracks(listed: list[object]) -> Iterator[Track]:
    for each in listed:
        if isinstance(each, Mapping) and (audio_id := _audio_id(each)):
            yield Track(
                audio_id,
                _text(each.get("title")),
                _text(each.get("tags")),
                _text(each.get("modelName") or each.get("model_name")) or None,
                _seconds(each.get("duration")),
            )


def _audio_id(track: Mapping[str, object]) -> str:
    names = ("id", "audioId", "audio_id")
    return next((text for name in names if (text := _text(track.get(name)))), "")


def _credits(data: object) -> CreditAnswer:
    data = data.get("credits", data.get("credit")) if isinstance(data, Mapping) else data
    left = _number(data)
    return Unanswered("the answer tells no number") if left is None else Credits(left)


def _inner(value: object) -> object:
    """Return a value, or what it holds where it is JSON in a text."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _seconds(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and 0 < number <= _LONGEST_TRACK else None
