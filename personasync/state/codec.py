"""How a header and an entry are written down, and read back."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NoReturn, TypeVar

from personasync.model.answer import KeptAnswer
from personasync.model.persona import PersonaRequest
from personasync.state.entry import Entry, Header, Origin, ServiceMoved, Status

_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)

FORMAT: Final = "personasync.state/1"
"""The first line of every state names this format."""

_KNOWN_FIELDS: Final = frozenset(
    {
        "audioId",
        "key",
        "status",
        "personaId",
        "origin",
        "afterPending",
        "code",
        "message",
        "at",
        "run",
        "request",
        "answer",
        "answered",
        "earlierAnswers",
        "replaces",
        "again",
        "accepted",
    }
)


def encode_header(header: Header, **more: str) -> bytes:
    """Return the header as the first line of a state, its newline included.

    ``more`` are fields beside it, such as a rescue file's ``location``.
    """
    return _encode({"format": FORMAT, "lineage": header.lineage, "api": header.api, **more})


def encode_entry(entry: Entry | ServiceMoved) -> bytes:
    """Return an entry as one line, its newline included.

    What identifies a persona stands first, so that even a torn line gives up
    its ID.
    """
    if isinstance(entry, ServiceMoved):
        return _encode(_given({"api": entry.api, "at": entry.at, "run": entry.run}))
    return _encode(entry_to_json(entry))


def encode_entries(entries: Iterable[Entry | ServiceMoved]) -> bytes:
    """Return entries as the lines of a state."""
    return b"".join(map(encode_entry, entries))


def entry_to_json(entry: Entry) -> dict[str, object]:
    """Return an entry's fields under the names that the state gives them."""
    fields: dict[str, object | None] = {
        "audioId": entry.audio_id,
        "key": entry.key,
        "status": entry.status.value,
        "personaId": entry.persona_id,
        "personaIds": list(entry.ids) if entry.rivals else None,
        "replaces": list(entry.replaces) or None,
        "again": list(entry.again) or None,
        "origin": entry.origin.value if entry.origin else None,
        "afterPending": entry.after_pending,
        "code": entry.code,
        "message": entry.message,
        "at": entry.at,
        "run": entry.run,
        "request": entry.request.to_json() if entry.request else None,
        **(_answer_fields(entry.answer) if entry.answer else {}),
        "accepted": entry.accepted.to_json() if entry.accepted else None,
    }
    return {**_given(fields), **(entry.extra or {})}


def decode_line(line: bytes) -> Header | Entry | ServiceMoved:
    """Read one whole line of a state.

    Raises ``ValueError``, saying what is wrong, for anything that is neither a
    header nor an entry.
    """
    try:
        fields = DECODER.decode(line.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")
    return decode_fields(fields)


def decode_fields(fields: Mapping[str, object]) -> Header | Entry | ServiceMoved:
    """Turn the fields of a line into what it says; raises ``ValueError`` as ``decode_line``."""
    if "audioId" in fields:  # whatever else it has: no ID may be taken for a header
        return decode_entry(fields)
    if "format" in fields:
        return _decode_header(fields)
    if "api" in fields:
        return ServiceMoved(_required(fields, "api"), _text(fields, "at"), _text(fields, "run"))
    return decode_entry(fields)


def decode_entry(fields: Mapping[str, object]) -> Entry:
    """Turn the fields of an entry into an ``Entry``.

    Raises ``ValueError`` naming the field that is missing or unusable.
    """
    status = _choice(Status, fields, "status")
    if status is None:
        raise ValueError("its status is missing")
    entry = Entry(
        audio_id=_required(fields, "audioId"),
        key=_required(fields, "key"),
        status=status,
        persona_id=_text(fields, "personaId"),
        origin=_choice(Origin, fields, "origin"),
        request=_decode_request(fields, "request"),
        code=_typed(fields, "code", int),
        after_pending=_typed(fields, "afterPending", bool),
        message=_text(fields, "message"),
        at=_text(fields, "at"),
        run=_text(fields, "run"),
        answer=_decode_answer(fields),
        replaces=_texts(fields, "replaces"),
        again=_texts(fields, "again"),
        accepted=_decode_request(fields, "accepted"),
        extra={k: v for k, v in fields.items() if k not in _KNOWN_FIELDS} or None,
    )
    if status is Status.CREATED and not entry.persona_id:
        raise ValueError("it says created, but has no personaId")
    return entry


def salvage(torn: bytes) -> Entry | None:
    """Read what a torn last line still says about its audio, if it says which.

    A line that still holds its ID is worth as much as a whole one. Without an
    ID it means ``pending``: a request may have been sent. Never raises, and
    takes time linear in the length of the line.
    """
    fields = _whole_fields(torn)
    try:
        return decode_entry(fields)
    except ValueError:
        pass
    try:
        audio_id = _required(fields, "audioId")
    except ValueError:
        return None
    key = fields.get("key", audio_id)
    if not isinstance(key, str) or not key:
        return None
    persona_id = fields.get("personaId")
    if isinstance(persona_id, str) and persona_id:
        return Entry(audio_id=audio_id, key=key, status=Status.CREATED, persona_id=persona_id)
    return Entry(audio_id=audio_id, key=key, status=Status.PENDING)


def _whole_fields(torn: bytes) -> dict[str, object]:
    """Return the fields that stand whole at the beginning of a line."""
    text = _whole_text(torn)
    fields: dict[str, object] = {}
    start = _OPENING.match(text)
    while start is not None:
        try:
            name, end = DECODER.raw_decode(text, start.end())
            colon = _COLON.match(text, end)
            if colon is None:
                break
            value, end = DECODER.raw_decode(text, colon.end())
        except (ValueError, RecursionError):
            break
        if end == len(text) and not isinstance(value, str | dict):
            break  # of a number, digits may be missing
        fields[str(name)] = value
        start = _COMMA.match(text, end)
    return fields


def _whole_text(torn: bytes) -> str:
    """Decode up to the first byte that is not text, such as half a character at the end."""
    try:
        return torn.decode()
    except UnicodeDecodeError as error:
        return torn[: error.start].decode()


def _encode(fields: Mapping[str, object]) -> bytes:
    text = _ENCODER.encode(fields)
    # What a terminal obeys or an editor takes for a line break stays an escape: the same JSON.
    text = _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    # A lone surrogate cannot be UTF-8; the backslash form is the same JSON string.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _decode_header(fields: Mapping[str, object]) -> Header:
    if fields["format"] != FORMAT:
        raise ValueError(f"its format is {fields['format']!r}, and this version reads {FORMAT!r}")
    return Header(_required(fields, "lineage"), _required(fields, "api"))


def _answer_fields(answer: KeptAnswer) -> dict[str, object | None]:
    about = {
        "status": answer.status,
        "headers": dict(answer.headers) or None,
        "encoding": "base64" if answer.is_base64 else None,
        "personaIds": list(answer.persona_ids) or None,
        "cutId": answer.cut_id,
    }
    return {
        "answer": answer.body,
        "answered": _given(about) or None,
        "earlierAnswers": [_given(_answer_fields(one)) for one in answer.earlier] or None,
    }


def _given(fields: Mapping[str, object | None]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _decode_answer(fields: Mapping[str, object]) -> KeptAnswer | None:
    """Read a kept answer; a body of which nothing more is known is searched for its IDs."""
    body, about = _text(fields, "answer"), _typed(fields, "answered", dict)
    if body is None:
        return None
    if about is None:
        return KeptAnswer.of_text(body)
    headers = _typed(about, "headers", dict) or {}
    return KeptAnswer(
        body,
        status=_typed(about, "status", int),
        headers=tuple((str(name), str(value)) for name, value in headers.items()),
        is_base64=_text(about, "encoding") == "base64",
        persona_ids=tuple(map(str, _typed(about, "personaIds", list) or ())),
        cut_id=_text(about, "cutId"),
        earlier=tuple(
            filter(None, map(_decode_answer, _typed(fields, "earlierAnswers", list) or ()))
        ),
    )


def _decode_request(fields: Mapping[str, object], name: str) -> PersonaRequest | None:
    request = _typed(fields, name, dict)
    if request is None:
        return None
    return PersonaRequest(
        task_id=_required(request, "taskId"),
        audio_id=_required(request, "audioId"),
        name=_required(request, "name"),
        description=_required(request, "description"),
        vocal_start=_number(request, "vocalStart"),
        vocal_end=_number(request, "vocalEnd"),
        style=_text(request, "style"),
    )


def _number(fields: Mapping[str, object], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"its {name} is not a number")
    if abs(value) > _LARGEST_NUMBER:  # JSON knows whole numbers that no float can hold
        raise ValueError(f"its {name} is too large")
    return value


def _required(fields: Mapping[str, object], name: str) -> str:
    value = _text(fields, name)
    if not value:
        raise ValueError(f"its {name} is missing")
    return value


def _text(fields: Mapping[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _wrong_type(name)


def _texts(fields: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong_type(name)
    return tuple(value)


def _typed(fields: Mapping[str, object], name: str, kind: type[_T]) -> _T | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong_type(name)
    return value


def _wrong_type(name: str) -> ValueError:
    return ValueError(f"its {name} is not of the right type")


def _choice(kind: type[_E], fields: Mapping[str, object], name: str) -> _E | None:
    value = _text(fields, name)
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"its {name} is {value!r}, which this version does not know") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    """Read a number; JSON allows 1e999, which would become an infinity that it cannot write."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


_LARGEST_NUMBER: Final = sys.float_info.max


_UNSEEN: Final = re.compile("[\x7f-\x9f\u2028\u2029]")


_OPENING: Final = re.compile(r"[ \t\r]*\{[ \t\r]*")


_COLON: Final = re.compile(r"[ \t\r]*:[ \t\r]*")


_COMMA: Final = re.compile(r"[ \t\r]*,[ \t\r]*")
