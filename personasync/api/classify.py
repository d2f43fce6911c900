"""Reads an answer, from the bytes that arrived to an outcome. Pure.

The body's ``code`` counts when it has one, else the HTTP status: the service
is known to answer 200 with an error's code in the body. Whatever is not surely
a success, a conflict or a refusal is unclear, and whatever is not plain is
kept: an ID that arrived must not be dropped, whatever it arrived in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from personasync.api.keep import keep
from personasync.api.wire import TOO_LONG, Parts, take_apart
from personasync.model import contract
from personasync.model.answer import KeptAnswer
from personasync.model.contract import is_persona_id, is_placeholder
from personasync.model.finding import SEARCHED_BYTES, FoundIds, find_ids, unpacked, views
from personasync.model.outcome import (
    Conflict,
    Created,
    Moved,
    NotSent,
    Outcome,
    Refused,
    Throttled,
    Unclear,
)

LONGEST_RETRY_AFTER: Final = 86_400.0
"""Seconds; a longer ``Retry-After`` is a mistake, and not a hint."""

_LARGEST_CODE: Final = 9999
_MESSAGE_LIMIT: Final = 500
_SPEAKS_OF_CREDITS: Final = re.compile(
    r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))(?i:credits?|balance)(?![a-z])"  # camelCase as well
    r"|(?i:insufficient[ _-]?points?)|积分|余额|充值|點數|點数|餘額|储值"
)
_SECONDS: Final = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
_DIGITS: Final = re.compile(r"\s*(\d{1,4})\s*", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_CHANGING: Final = re.compile(r"[0-9a-fA-F]*\d[0-9a-fA-F-]*")
_ENVELOPE: Final = frozenset({"code", "msg", "message", "data", "success", "status", "timestamp"})
_ID_NAMES: Final = ("personaId", "persona_id")


class JsonObject(dict[str, object]):
    """A JSON object that remembers every pair, also of a name that stands twice."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of an answer: its JSON object, if any, and whether that took more than
    the answer's own word for how it is framed and packed."""

    parts: Parts
    text: bytes
    answer: JsonObject | None
    plain: bool
    failure: str | None
    found: FoundIds

    @property
    def status(self) -> int | None:
        """HTTP's status, where one could be read."""
        return self.parts.head.status if self.parts.head else None


def classify(
    received: bytes,
    *,
    failure: str | None = None,
    now: datetime | None = None,
    redact: Callable[[str], str] = str,
    redact_cut: Callable[[str], str] | None = None,
    others: Iterable[str] = (),
) -> Outcome:
    """Say what an answer means, from all the bytes of it that arrived.

    ``failure`` says why no more of them came, if that is not the end of the
    connection. ``redact`` takes out of a text what must not be shown or
    stored, should a server echo it, and ``redact_cut`` out of one that may end
    in the middle of it. ``others`` are IDs of other things, the audio's and
    the task's, which are no persona's.
    """
    reading = read_answer(received, failure, redact, tuple(others))
    if reading.parts.head is None and not reading.parts.rest.strip():
        return Unclear(failure or "the connection was closed before the answer was whole")
    redact_body = redact if reading.plain else redact_cut or redact
    kept = partial(keep, received, reading.parts, reading.text, reading.found, redact_body)
    retry_after = wait_asked_for(reading, now)
    code = code_of(reading)
    message = redact(message_of(reading.answer))[:_MESSAGE_LIMIT]
    status = reading.status
    if status is not None and 300 <= status < 400:
        return _redirected(reading, status, kept(), retry_after, redact)
    ids = _ids_in_data(reading.answer, redact, others)
    if code == contract.SUCCESS and ids:
        return _created(ids, reading, kept)
    if code == contract.EXISTS_CODE and len(ids) == 1:
        return Created(ids[0], from_conflict=True, answer=kept())
    unclear = partial(Unclear, code=code or status, answer=kept(), retry_after=retry_after)
    trouble = trouble_with(reading)
    if trouble is not None or code is None:
        return unclear(trouble or "the answer's code cannot be one")
    if code == contract.SUCCESS:
        return unclear(_why_no_success(reading.answer))
    return _refused(reading, code, message, unclear(words_of(code, message)), redact)


def _refused(
    reading: Reading, code: int, message: str, unclear: Unclear, redact: Callable[[str], str]
) -> Outcome:
    """Say what an answer means whose code is an error's."""
    ours = _is_the_apis(reading.answer)
    answer = None if _is_bare(reading, message) else unclear.answer
    likeness = None if code in contract.RATE_LIMITED else _likeness(reading, code, redact)
    if code == contract.EXISTS_CODE:
        return Conflict(code, message, answer)
    throttled = code in contract.THROTTLED
    if throttled and not _SPEAKS_OF_CREDITS.search(message):
        return Throttled(code, message, unclear.retry_after, answer, likeness)
    telling = bool(reading.found.whole or reading.found.cut)
    if code == contract.PROXY_REFUSED and not ours and not telling:
        return NotSent("the proxy asks for a name and a password (407)", stops_run=True)
    stops_run = code in (contract.UNAUTHORIZED, contract.NO_CREDITS) or throttled
    refuses = 400 <= code < 500 and code not in (contract.MAINTENANCE, *contract.GATEWAY_CODES)
    if not refuses or not (ours or code in contract.REFUSED_IN_ANY_FORM or throttled):
        late = code in contract.LATE_CODES
        return replace(unclear, code=code, likeness=likeness if refuses else None, late=late)
    if telling:  # something may exist, whatever else it says
        return Conflict(code, message, unclear.answer, stops_run)
    once_more = code == contract.UNFETCHABLE
    return Refused(code, message, stops_run, answer, likeness, once_more)


def _created(ids: list[str], reading: Reading, kept: Callable[[], KeptAnswer | None]) -> Created:
    """Take the ID of a success; keep an answer that shows more than it, or came damaged."""
    data = reading.answer.get("data") if reading.answer else None
    named = data.get("personaId") if isinstance(data, dict) else None
    persona_id = named.strip() if isinstance(named, str) and named.strip() in ids else ids[0]
    plain = reading.plain and set(reading.found.whole) <= {persona_id}
    return Created(persona_id, answer=None if plain else kept())


def _redirected(
    reading: Reading,
    status: int,
    answer: KeptAnswer | None,
    retry_after: float | None,
    redact: Callable[[str], str],
) -> Outcome:
    if status not in contract.MOVED_FOR_GOOD:
        reason = f"the API redirected ({status}), which is not followed"
        return Unclear(reason, status, answer, retry_after)
    location = _new_base(reading.parts, redact)
    where = f" to {urlsplit(location).netloc}" if location else ", and does not say where to"
    return Moved(status, f"the API has moved{where} ({status})", location, answer)


def _new_base(parts: Parts, redact: Callable[[str], str]) -> str | None:
    """Return the base URL that an answer says the API has moved to."""
    location = (parts.head.get("location") if parts.head else None) or ""
    try:
        target = urlsplit(location)
        host, port = target.hostname or "", target.port
    except ValueError:
        return None
    if target.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        return None
    path = target.path.removesuffix(contract.GENERATE_PATH).rstrip("/")
    if not re.fullmatch(r"[!-~]{0,200}", path):
        path = ""
    place = f"[{host}]" if ":" in host else host
    base = f"{target.scheme}://{place}{f':{port}' if port else ''}{path}"
    return base if redact(base) == base else None


# What can be read.


def read_answer(
    received: bytes,
    failure: str | None = None,
    redact: Callable[[str], str] = str,
    others: tuple[str, ...] = (),
) -> Reading:
    """Read as much of an answer as can be, whatever it was asked for."""
    parts = take_apart(received)
    text, packed_well = _unpack(parts)
    answer = _object(text)
    plain = answer is not None and parts.sound and packed_well and failure is None
    plain = plain and parts.whole
    if answer is None:  # perhaps it is not framed or packed as it says
        answer = next(filter(None, map(_object, _other_texts(parts, text))), None)
    if failure is None and not parts.whole and parts.sound:
        failure = "the answer was cut off"
    if failure is None and len(text) >= SEARCHED_BYTES:
        failure = TOO_LONG
    found = _found([text, parts.rest, received], redact, others)
    return Reading(parts, text, answer, plain, failure, found)


def _other_texts(parts: Parts, text: bytes) -> Iterator[bytes]:
    for data in (text, parts.body, parts.rest):
        yield from views(data)


def _found(datas: list[bytes], redact: Callable[[str], str], others: tuple[str, ...]) -> FoundIds:
    """Find the IDs that any look at an answer shows, but none that gives the key away."""
    found = [find_ids(data, *others) for data in dict.fromkeys(datas)]
    whole = dict.fromkeys(known for one in found for known in one.whole if redact(known) == known)
    cuts = [one.cut for one in found if one.cut and redact(one.cut) == one.cut]
    cuts = [cut for cut in cuts if not any(known.startswith(cut) for known in whole)]
    return FoundIds(tuple(whole), max(cuts, key=len, default=None))


def _unpack(parts: Parts) -> tuple[bytes, bool]:
    """Undo the packing that an answer names; the second value tells whether that went well."""
    named = ",".join(parts.head.get_all("content-encoding")) if parts.head else ""
    codings = [coding.strip().lower() for coding in named.split(",")]
    text = parts.body
    for coding in reversed(codings):
        if coding in ("", "identity"):
            continue
        if coding not in ("gzip", "x-gzip", "deflate"):
            return text, False
        inner = unpacked(text)
        if not inner and text:
            return text, False
        text = inner
    return text, True


def _object(data: bytes) -> JsonObject | None:
    """Return the JSON object that bytes hold, in whichever Unicode they are."""
    text: str | bytes = data
    if b"\0" not in data[:4]:  # else JSON tells by its zeros which of the wide ones it is in
        text = data.decode("utf-8-sig", "replace")
    try:
        answer = json.loads(text, object_pairs_hook=JsonObject)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, JsonObject) else None


def _ids_in_data(
    answer: JsonObject | None, redact: Callable[[str], str], others: Iterable[str]
) -> list[str]:
    """Return the IDs within ``data`` that a plain success would have recorded, each once."""
    values = (value.strip() for value in _named_ids(answer.get("data") if answer else None))
    return [
        value
        for value in dict.fromkeys(values)
        if is_persona_id(value) and not is_placeholder(value, *others) and redact(value) == value
    ]


def _named_ids(data: object) -> Iterator[str]:
    waiting = [data]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, JsonObject):
            waiting += [inner for _, inner in value.pairs]
            yield from (
                inner for name, inner in value.pairs if name in _ID_NAMES and isinstance(inner, str)
            )


def code_of(reading: Reading) -> int | None:
    """Return the code that counts; ``None`` where no error status and a code that is none meet."""
    answer, status = reading.answer, reading.status
    if answer is None or "code" not in answer:
        return status
    return _as_code(answer["code"]) or (status if status is not None and status >= 400 else None)


def _as_code(value: object) -> int | None:
    """Read a code: a number, or a text of digits; ``None`` for what cannot be one."""
    if isinstance(value, str):
        digits = _DIGITS.fullmatch(value)
        return int(digits[1]) if digits else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= _LARGEST_CODE and value == int(value) else None


def _is_the_apis(answer: JsonObject | None) -> bool:
    """Whether an answer is the API's own JSON, and not a gateway's: it has a code."""
    return answer is not None and _as_code(answer.get("code")) is not None


def _is_bare(reading: Reading, message: str) -> bool:
    """Whether a refusal says nothing that its code and message do not."""
    if reading.found.whole or reading.found.cut:
        return False
    if not reading.parts.rest.strip():
        return True
    answer = reading.answer
    return (
        reading.plain
        and answer is not None
        and _is_the_apis(answer)
        and set(answer) <= _ENVELOPE
        and not answer.get("data")
        and len(message) < _MESSAGE_LIMIT
    )


def message_of(answer: JsonObject | None) -> str:
    """Return what an answer says in words, or an empty text."""
    values = (answer.get(name) for name in ("msg", "message")) if answer else ()
    return next((value for value in values if isinstance(value, str) and value), "")


def words_of(code: int | None, message: str) -> str:
    """Return what an answer said, as a reason."""
    return f"the API answered {code}" + (f": {message}" if message else "")


def _likeness(reading: Reading, code: int, redact: Callable[[str], str]) -> str | None:
    """Return what a refusal that may be about no persona has in common with others like it."""
    if _is_the_apis(reading.answer):
        text = message_of(reading.answer) if code in (403, 404) else None
    else:  # a page may name its time and the request
        text = _CHANGING.sub("#", reading.text[:4096].decode("utf-8", "replace"))
    return None if text is None else redact(f"{reading.status} {code} {text}")


def trouble_with(reading: Reading) -> str | None:
    """Say why an answer cannot be taken at its word, if it cannot."""
    if reading.failure is not None:
        return reading.failure
    if reading.status is None and not _is_the_apis(reading.answer):
        return "the answer is not HTTP"
    return None


def _why_no_success(answer: JsonObject | None) -> str:
    if answer is None:
        return "the answer is not a JSON object"
    if next(_named_ids(answer.get("data")), None) is None:
        data = answer.get("data")
        given = isinstance(data, dict) and any(data.get(name) is not None for name in _ID_NAMES)
        if not given:
            return "the answer says success, but holds no personaId"
    return "the answer's personaId cannot be one"


# When to come back.


def wait_asked_for(reading: Reading, now: datetime | None = None) -> float | None:
    """Return the seconds that an answer asks to wait, if it does."""
    head = reading.parts.head
    if head is None:
        return None
    values = head.get_all("retry-after")
    value = values[0] if len(values) == 1 else None
    return parse_retry_after(value, _date(head.get("date")) or now or datetime.now(UTC))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait, or ``None``.

    Reads seconds and HTTP dates; what is neither, or is longer than a day, is
    no hint. ``now`` is the answer's own ``Date``, where it has one: what
    counts is the time between the two, and not what this machine's clock says.
    """
    if value is None:
        return None
    number = _SECONDS.fullmatch(value.strip())
    if number:
        seconds = float(number[0])
    else:
        then = _date(value)
        if then is None:
            return None
        try:
            seconds = (then - now).total_seconds()
        except OverflowError:
            return None
    return max(seconds, 0.0) if seconds <= LONGEST_RETRY_AFTER else None


def _date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value or "")
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return date.replace(tzinfo=date.tzinfo or UTC)
