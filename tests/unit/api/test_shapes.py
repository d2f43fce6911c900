"""Wherever an ID stands in an answer, it is taken or shown, whatever the answer looks like."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from personasync.api.classify import classify
from personasync.model.outcome import Created, Outcome
from tests.helpers.nasty import chunk

IDS = ("Zm9vYmFy-1d4b/a1b2==", "e231c2d4-58b6-4b6d-9a0c-1f2e8cadc7dc")
CODES = (0, -1, 200, 201, 204, 400, 404, 409, 422, 429, 451, 455, 500, 531, 9999, 1e300)
CODES_THAT_ARE_NONE: tuple[object, ...] = ("200", " 409 ", "OK", "", None, True, [], {})
STATUSES = (
    *(200, 201, 202, 203, 204, 205, 206, 299, 300, 301, 302, 304, 307, 308, 399, 400, 401, 402),
    *(403, 404, 405, 407, 408, 409, 410, 413, 418, 421, 422, 423, 425, 429, 430, 451, 455, 460),
    *(499, 500, 501, 502, 503, 504, 520, 522, 524, 531, 599, 600, 999),
)
NAMES = (
    *("persona_id", "personaID", "PERSONA_ID", "persona-id", "persona id", "existingPersonaId"),
    *("existing_persona_id", "newPersonaId"),
)


def head(status: object, *headers: str, version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join([f"{version} {status}", *headers, "", ""]).encode("latin-1")


def wire(body: bytes | str, status: object = "200 OK", *headers: str) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    return head(status, *headers, f"Content-Length: {len(data)}") + data


def said(code: object, data: object, msg: str = "said") -> str:
    return json.dumps({"code": code, "msg": msg, "data": data})


def chunked(data: bytes, size: int) -> bytes:
    parts = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(map(chunk, parts)) + chunk(b"")


def statuses_and_codes(known: str) -> Iterator[tuple[str, bytes]]:
    data = {"personaId": known}
    for status in STATUSES:
        yield f"HTTP {status}", wire(said(200, data), status)
        yield f"HTTP {status}, no code", wire(json.dumps({"data": data}), status)
    for code in (*CODES, *CODES_THAT_ARE_NONE):
        for status in (200, 409, 502):
            yield f"code {code!r} with {status}", wire(said(code, data), status)


def places(known: str) -> Iterator[tuple[str, bytes]]:
    data = {"personaId": known}
    forms: dict[str, object] = {
        **{name: {name: known} for name in NAMES},
        "list": [data],
        "list of IDs": {"personaIds": [known]},
        "deep": {"a": {"b": {"c": data}}},
        "text": json.dumps(data),
        "text in a text": json.dumps(json.dumps(data)),
        "newline": {"personaId": f"{known}\n"},
        "no-break space": {"personaId": f"{known}\u00a0"},
        "mark of byte order": {"personaId": f"\ufeff{known}"},
        "zero": {"personaId": f"{known}\0"},
        "null beside": {"personaId": None, "persona_id": known},
        "base64": base64.b64encode(json.dumps(data).encode()).decode(),
    }
    for name, form in forms.items():
        for code in (200, 409, 422):
            yield f"{name}, {code}", wire(said(code, form))
    for message in ("personaId={}", "personaId: {}", "(personaId: {}).", "Persona ID {} exists"):
        yield message, wire(said(409, None, message.format(known)))


def documents(known: str) -> Iterator[tuple[str, bytes]]:
    good = said(200, {"personaId": known})
    forms = {
        "byte order mark": "\ufeff" + good,
        "JSONP": f"cb({good});",
        "prefix": ")]}',\n" + good,
        "events": f"event: m\ndata: {good}\n\n",
        "lines": f"{said(100, None)}\n{good}\n",
        "twice": good + good,
        "warning before": f"<b>Warning</b>: x on line 3<br />{good}",
        "Python": repr({"data": {"personaId": known}}),
        "trailing comma": good[:-1] + ",}",
        "XML": f"<r><personaId>{known}</personaId></r>",
        "XML with a type": f'<r><personaId type="string">{known}</personaId></r>',
        "CDATA": f"<personaId><![CDATA[{known}]]></personaId>",
        "attribute": f'<div data-persona-id="{known}">',
        "table": f"<tr><td>personaId</td><td>{known}</td></tr>",
        "form": f"code=200&personaId={known}&name=n",
        "escaped form": f"code=200&personaId={quote(known, safe='')}&name=n",
        "escaped JSON": quote(good),
        "YAML": f"code: 200\ndata:\n  personaId: {known}\n",
        "INI": f"personaId = {known}\n",
        "Ruby": f'{{:personaId=>"{known}"}}',
        "Java": f"Persona(personaId={known}, name=n)",
        "quoted in HTML": "<pre>" + good.replace('"', "&#34;") + "</pre>",
        "escapes": good.replace(known, "".join(f"\\u{ord(each):04x}" for each in known)),
        "base64": base64.b64encode(good.encode()).decode(),
        "an answer in an answer": wire(good).decode(),
    }
    for name, form in forms.items():
        yield name, wire(form, 502)
        if name != "escaped form":  # with an escape undone, its chunks are longer than they say
            framed = head(200, "Transfer-Encoding: chunked") + chunked(form.encode(), 9)
            yield f"{name}, chunked", framed
    for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"):
        yield coding, wire(good.encode(coding))
    packed = gzip.compress(good.encode()[:40]) + gzip.compress(good.encode()[40:])
    yield "two members", wire(packed, 200, "Content-Encoding: gzip")


def framings(known: str) -> Iterator[tuple[str, bytes]]:
    good = said(200, {"personaId": known}).encode()
    lines = (
        *("HTTP/1.1 200", "HTTP/1.1  200 OK", "HTTP/2 200", "http/1.1 200 OK", "ICY 200 OK"),
        *("HTTP/1.1 OK", "HTTP/1.1 1000 X", "HTTP/1.1", "\r\nHTTP/1.1 200 OK", "XHTTP/1.1 200 OK"),
    )
    for line in lines:
        version, _, status = line.rpartition(" ")
        plain = head(status, f"Content-Length: {len(good)}", version=version)
        yield f"{line!r}", plain + good
        framed = head(status, "Transfer-Encoding: chunked", version=version)
        yield f"{line!r}, chunked", framed + chunked(good, 9)
    for length in ("-1", "abc", "", "0", "1", "30", "9" * 20, "1e3", f"{len(good)}, {len(good)}"):
        yield f"length {length!r}", head(200, f"Content-Length: {length}") + good
    for size in (b"-5", b"0x99", b"f" * 16, b"0", b""):
        yield f"chunk of {size!r}", head(200, "Transfer-Encoding: chunked") + size + b"\r\n" + good
    for missing in range(3):
        yield f"cut {missing} before its end", wire(good)[: -1 - missing]
    yield "a header", head(409, f"X-Persona-Id: {known}", "Content-Length: 0")
    yield "a cookie", head(200, f"Set-Cookie: personaId={known}; Path=/", "Content-Length: 0")
    yield "a place", head(302, f"Location: https://x.example/?personaId={known}")


def shown(outcome: Outcome) -> set[str]:
    answer = getattr(outcome, "answer", None)
    taken = {outcome.persona_id} if isinstance(outcome, Created) else set()
    return taken | set(answer.shown_ids if answer else ())


@pytest.mark.parametrize("known", IDS)
@pytest.mark.parametrize("shapes", [statuses_and_codes, places, documents, framings])
def test_an_id_is_taken_or_shown_and_no_other_is(shapes: object, known: str) -> None:
    assert callable(shapes)
    missed = {}
    for name, data in shapes(known):
        outcome = classify(data, others=("audio-1", "task-1"))
        if shown(outcome) != {known}:
            missed[name] = outcome
    assert missed == {}


@pytest.mark.parametrize(
    "words",
    [
        "personaId is required",
        "personaId: must not be null",
        "persona id too short",
        "the persona id of audio-1 is taken",
        "persona ID audio-1",
        "personaId=null",
        "personaId: ",
    ],
)
def test_what_only_speaks_of_an_id_shows_none(words: str) -> None:
    outcome = classify(wire(said(409, None, words)), others=("audio-1", "task-1"))
    assert shown(outcome) == set()
