"""What an answer means: every code, in both places it can stand, and every odd shape."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.api.classify import classify, parse_retry_after
from personasync.model.answer import KEPT_BYTES
from personasync.model.finding import views
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
from tests.unit.api.said import body_of, plainly, unclear

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
PERSONA = {"personaId": "a1b2c3d4", "name": "n", "description": "d"}
NO_OBJECT = "the answer is not a JSON object"


def body(code: object, msg: object = "", data: object = None) -> str:
    return json.dumps({"code": code, "msg": msg, "data": data})


def wire(text: str | bytes, status: int = 200, **headers: str) -> bytes:
    """Return the bytes of a sound answer."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    length = "" if status in (101, 204, 304) else f"Content-Length: {len(data)}\r\n"
    return f"HTTP/1.1 {status} Said\r\n{named}{length}\r\n".encode("latin-1", "replace") + data


def classified(text: str | bytes, status: int = 200, **headers: str) -> Outcome:
    return classify(wire(text, status, **headers), now=NOW)


def says(outcome: Outcome) -> tuple[str, int | None]:
    return type(outcome).__name__, getattr(outcome, "code", None)


CODES: dict[int, Outcome] = {
    400: Refused(400, "why"),
    401: Refused(401, "why", stops_run=True),
    402: Refused(402, "why", stops_run=True),
    403: Refused(403, "why"),
    404: Refused(404, "why"),
    405: Throttled(405, "why"),
    407: Refused(407, "why"),
    409: Conflict(409, "why"),
    410: Refused(410, "why"),
    413: Refused(413, "why"),
    418: Refused(418, "why"),
    422: Refused(422, "why"),
    429: Throttled(429, "why"),
    430: Throttled(430, "why"),
    451: Refused(451, "why"),
}
"""What the API's own JSON means."""
GATEWAY = (408, 421, 425, 460, 499)
MAYBE_MADE = (1, 100, 199, 201, 204, 206, 300, 302, 399, 455, 500, 501, 502, 503, 504, 531, 999)


@pytest.mark.parametrize(("code", "outcome"), CODES.items())
@pytest.mark.parametrize("status", [200, 400, 404, 409, 500, 503])
def test_the_code_of_the_body_counts_whatever_the_status(
    code: int, outcome: Outcome, status: int
) -> None:
    assert plainly(classified(body(code, "why"), status)) == plainly(outcome)


@pytest.mark.parametrize("form", [str, float, lambda code: f" {code} "])
@pytest.mark.parametrize(("code", "outcome"), CODES.items())
def test_a_code_may_be_a_text_or_a_whole_float(code: int, outcome: Outcome, form: Any) -> None:
    assert plainly(classified(body(form(code), "why"))) == plainly(outcome)


@pytest.mark.parametrize("status", [200, 201, 400, 401, 402, 404, 409, 429, 455, 500, 503])
@pytest.mark.parametrize("code", [200, "200", 200.0])
def test_a_success_in_the_body_counts_whatever_the_status(status: int, code: object) -> None:
    assert classified(body(code, "success", PERSONA), status) == Created("a1b2c3d4")


@pytest.mark.parametrize("code", [*MAYBE_MADE, *GATEWAY])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_code_that_settles_nothing_is_unclear(code: int, status: int) -> None:
    text = body(code, "why", PERSONA)
    said = classified(text, status)
    assert plainly(said) == plainly(unclear(f"the API answered {code}: why", code, text))
    assert isinstance(said, Unclear)
    assert said.answer is not None
    assert said.answer.shown_ids == ("a1b2c3d4",)


PAGES = ["", "no JSON", "<h1>Sorry</h1>", "[]", "null", '"409"', "{}", '{"error": "x"}']
IN_ANY_FORM = {
    401: "Refused", 402: "Refused", 403: "Refused", 404: "Refused", 413: "Refused",
    405: "Throttled", 429: "Throttled", 430: "Throttled", 407: "NotSent", 409: "Conflict",
    **dict.fromkeys([400, 408, 410, 418, 421, 422, 425, 451, 460, 499], "Unclear"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "kind"), IN_ANY_FORM.items())
@pytest.mark.parametrize("text", PAGES)
def test_a_gateway_s_word_settles_nothing_but_in_a_few_cases(
    status: int, kind: str, text: str
) -> None:
    said = classified(text, status)
    assert type(said).__name__ == kind
    assert getattr(said, "stops_run", False) == (status in (401, 402, 407))
    if kind not in ("NotSent",):
        assert body_of(said) == text
        alike = getattr(said, "likeness", None)
        assert (alike is None) == (status in (409, 429, 430, *GATEWAY))


def test_a_refusal_that_may_be_about_no_persona_has_a_likeness() -> None:
    def likeness(*args: Any) -> object:
        return getattr(classified(*args), "likeness", None)

    assert likeness(body(404, "no such task")) == likeness(body(404, "no such task"))
    assert likeness(body(404, "no such task")) != likeness(body(404, "no such audio"))
    assert likeness(body(403, "no")) != likeness(body(404, "no"))
    assert likeness(body(422, "bad")) is None
    assert likeness(body(401, "bad")) is None
    assert likeness("<p>Ray 8f3a2c91, 10:12</p>", 403) == likeness(
        "<p>Ray 77e0d4aa, 10:13</p>", 403
    )
    assert likeness("<p>no</p>", 400) == likeness("<p>no</p>", 400) is not None


def test_only_451_is_worth_one_more_try() -> None:
    for code in (400, 403, 422, 451):
        said = classified(body(code, "why"))
        assert isinstance(said, Refused)
        assert said.once_more == (code == 451)


@pytest.mark.parametrize("status", [455, 500, 502, 503, 504])
@pytest.mark.parametrize("text", ["", "<html>Down for maintenance</html>", "{}", "[1]"])
def test_an_error_of_the_server_leaves_it_unknown_and_keeps_the_answer(
    status: int, text: str
) -> None:
    assert plainly(classified(text, status)) == plainly(
        unclear(f"the API answered {status}", status, text)
    )


@pytest.mark.parametrize("status", [300, 302, 303, 304, 307])
def test_a_redirect_is_unclear_even_with_an_id(status: int) -> None:
    text = "" if status == 304 else body(200, "success", PERSONA)
    reason = f"the API redirected ({status}), which is not followed"
    said = classified(text, status, Location="https://elsewhere.example/")
    assert plainly(said) == plainly(unclear(reason, status, text))


PATH = "/api/v1/generate/generate-persona"


@pytest.mark.parametrize("status", [301, 308])
@pytest.mark.parametrize(
    ("location", "base", "host"),
    [
        (f"https://api.new.example{PATH}", "https://api.new.example", "api.new.example"),
        (f"https://new.example:8443/v2{PATH}", "https://new.example:8443/v2", "new.example:8443"),
        (f"http://[::1]:80{PATH}", "http://[::1]:80", "[::1]:80"),
        (f"https://user:secret@new.example{PATH}?key=1", "https://new.example", "new.example"),
        ("https://new.example/", "https://new.example", "new.example"),
        ("/elsewhere", None, None),
        ("https://", None, None),
        ("https://\x1b[31m/", None, None),
        ("http://[", None, None),
        ("http://a:b:c", None, None),
        ("ftp://new.example", None, None),
        (None, None, None),
    ],
)
def test_an_api_that_moved_names_where_to(
    status: int, location: str | None, base: str | None, host: str | None
) -> None:
    headers = {} if location is None else {"Location": location}
    where = f" to {host}" if host else ", and does not say where to"
    said = classified("", status, **headers)
    assert said == Moved(status, f"the API has moved{where} ({status})", base)


def test_a_status_of_200_with_an_id_and_no_code_is_a_success() -> None:
    assert classified(json.dumps({"data": PERSONA})) == Created("a1b2c3d4")


@pytest.mark.parametrize("status", [201, 202, 206])
def test_another_status_of_success_without_a_code_is_unclear(status: int) -> None:
    text = json.dumps({"data": PERSONA})
    assert plainly(classified(text, status)) == plainly(
        unclear(f"the API answered {status}", status, text)
    )


def test_an_empty_204_is_unclear() -> None:
    assert classified("", 204) == Unclear("the API answered 204", 204)


NO_CODES: list[Any] = [
    "", "ok", "2e2", True, False, None, 409.5, [], [200], {}, {"code": 200},
    -1, -200, 10_000, 10**400, float("nan"), float("inf"),
]  # fmt: skip


@pytest.mark.parametrize("code", NO_CODES, ids=lambda code: str(code)[:20])
def test_a_code_that_is_none_is_never_a_success(code: object) -> None:
    text = body(code, "why", PERSONA)
    said = classified(text)
    assert plainly(said) == plainly(unclear("the answer's code cannot be one", 200, text))
    assert said.answer.shown_ids == ("a1b2c3d4",)


@pytest.mark.parametrize("code", NO_CODES, ids=lambda code: str(code)[:20])
def test_the_status_counts_where_the_code_is_none_and_the_status_is_an_error(code: object) -> None:
    assert says(classified(body(code, "why"), 401)) == ("Refused", 401)


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "null",
        "[]",
        "200",
        '"ok"',
        "true",
        "NaN",
        "<!doctype html><title>Back soon</title>",
        '{"code": 200, "data": {"personaId": "a1b2"}',
        '{"code": 200, "data": {"personaId": "a1b2"}} trailing',
        "[" * 100_000,
        '{"code":' * 100_000,
        '{"code": 200, "data": ' + "[" * 50_000 + "]" * 50_000 + "}",
        '{"code": 2' + "0" * 5000 + "}",
        "\ufffd" * 10,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_200_whose_body_is_no_object_is_unclear(text: str) -> None:
    assert plainly(classified(text)) == plainly(unclear(NO_OBJECT, 200, text[:KEPT_BYTES]))


@pytest.mark.parametrize(
    "data", [None, [], "a1b2", 7, True, {}, {"personaId": None}, {"id": "a1b2"}, [{"id": "a1b2"}]]
)
def test_a_success_without_an_id_is_unclear(data: object) -> None:
    text = body(200, "success", data)
    reason = "the answer says success, but holds no personaId"
    said = classified(text)
    assert plainly(said) == plainly(unclear(reason, 200, text))
    assert said.answer.shown_ids == ()


def test_a_success_without_data_is_unclear() -> None:
    text = '{"code": 200, "msg": "success"}'
    reason = "the answer says success, but holds no personaId"
    assert plainly(classified(text)) == plainly(unclear(reason, 200, text))


@pytest.mark.parametrize(
    "persona_id",
    [
        "",
        " ",
        7,
        7.5,
        True,
        ["a1b2"],
        "a" * 257,
        "a" * 10_000,
        "a1 b2",
        "a1b2\x00",
        "\x1b[31ma1b2",
        "a1b2\x7f",
        "a1b2\x9b",
        "é1b2",
        "пер",
        "a1b2\u202e",
        "\ud800",
        "::error::x",
        "##[error]x",
        "a##vso[task.setvariable]x",
        "PERSONA_ID",
        "null",
        "a1b2****c3d4",
        "https://api.example/personas/a1b2",
        "audio-1",
        "task-1",
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_an_id_that_cannot_be_one_is_never_taken(persona_id: object) -> None:
    text = body(200, "success", {"personaId": persona_id})
    said = classify(wire(text), others=("audio-1", "task-1"))
    assert plainly(said) == plainly(
        unclear("the answer's personaId cannot be one", 200, text[:KEPT_BYTES])
    )


@pytest.mark.parametrize(
    "persona_id",
    [
        "a", "7", "a1b2c3d4e5f60718293a4b5c6d7e8f90", "ab" * 128, "a-_~.:/+=@", "x!#$%&'()*",
        "a::b",
        "_first", "-x", "Zm9v/YmFy+cXV4==", "{e231c2d4-58b6-4b6d-9a0c-1f2e8cadc7dc}",
    ],
)  # fmt: skip
def test_an_id_of_printable_ascii_is_taken_as_it_is(persona_id: str) -> None:
    assert classified(body(200, "success", {"personaId": persona_id})) == Created(persona_id)
    escaped = json.dumps({"code": 200, "data": {"personaId": persona_id}}).replace("/", "\\/")
    assert classified(escaped) == Created(persona_id)
    for name in ("personaId", "persona_id"):
        data = body(409, "exists", {name: persona_id})
        said = classified(data)
        assert isinstance(said, Created)
        assert (said.persona_id, said.from_conflict, body_of(said)) == (persona_id, True, data)


@pytest.mark.parametrize("space", ["\n", " ", "\r\n", "\t", "\u00a0"])
@pytest.mark.parametrize("name", ["personaId", "persona_id"])
@pytest.mark.parametrize("code", [200, 409])
def test_white_space_around_an_id_is_dropped(space: str, name: str, code: int) -> None:
    said = classified(body(code, "", {name: f"{space}a1b2{space}"}))
    assert isinstance(said, Created)
    assert said.persona_id == "a1b2"


# What else names an ID.


@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 413, 422, 451])
def test_a_refusal_that_names_an_id_may_mean_that_something_exists(code: int) -> None:
    text = body(code, "why", PERSONA)
    said = classified(text)
    assert isinstance(said, Conflict)
    assert (said.code, said.message, said.stops_run) == (code, "why", code in (401, 402))
    assert said.answer is not None
    assert said.answer.shown_ids == ("a1b2c3d4",)


def test_a_throttle_that_names_an_id_keeps_it() -> None:
    said = classified(body(429, "slow", PERSONA))
    assert isinstance(said, Throttled)
    assert said.answer is not None
    assert said.answer.shown_ids == ("a1b2c3d4",)


@pytest.mark.parametrize(
    "data",
    [
        {"id": "a1b2"},
        {"personaId": None},
        {"personaId": "a1b2****c3d4"},
        {"personaId": "PERSONA_ID"},
        None,
        "personaId",
        [],
    ],
)
def test_a_409_without_an_id_is_a_conflict_and_offers_none(data: object) -> None:
    said = classified(body(409, "exists", data))
    assert isinstance(said, Conflict)
    assert said.answer is None or said.answer.shown_ids == ()
    assert (said.answer is None) == (data in (None, []))


@pytest.mark.parametrize(
    "text",
    [
        '{"code":409,"data":{"personaId":"P1","persona_id":"Q2"}}',
        '{"code":409,"data":{"personaId":"P1","personaId":"Q2"}}',
        '{"code":409,"data":[{"personaId":"P1"},{"personaId":"Q2"}]}',
    ],
)
def test_a_409_with_two_ids_says_both_and_takes_neither(text: str) -> None:
    said = classified(text)
    assert isinstance(said, Conflict)
    assert said.answer is not None
    assert set(said.answer.shown_ids) == {"P1", "Q2"}


@pytest.mark.parametrize(
    ("text", "taken", "other"),
    [
        ('{"code":200,"data":{"personaId":"P1","persona_id":"Q2"}}', "P1", "Q2"),
        ('{"code":200,"data":{"persona_id":"Q2","personaId":"P1"}}', "P1", "Q2"),
        ('{"code":200,"data":{"personaId":"Q2","personaId":"P1"}}', "P1", "Q2"),
        ('{"code":200,"data":{"personaId":"P1"},"personaId":"Q2"}', "P1", "Q2"),
        ('{"code":200,"data":{"personaId":"Q2"},"data":{"personaId":"P1"}}', "P1", "Q2"),
    ],
)
def test_two_ids_in_one_success_are_both_told(text: str, taken: str, other: str) -> None:
    said = classified(text)
    assert isinstance(said, Created)
    assert said.answer is not None
    others = said.answer.ids_beside(said.persona_id)
    assert (said.persona_id, others, body_of(said)) == (taken, (other,), text)


# However it arrives.

GOOD = body(200, "success", PERSONA).encode()
HEAD = b"HTTP/1.1 200 OK\r\n"
SHAPES: dict[str, bytes] = {
    "false gzip": wire(GOOD, Content_Encoding="gzip"),
    "false deflate": wire(GOOD, Content_Encoding="deflate"),
    "unknown encoding": wire(GOOD, Content_Encoding="br"),
    "unlabelled gzip": wire(gzip.compress(GOOD)),
    "gzip twice": wire(gzip.compress(gzip.compress(GOOD)), Content_Encoding="gzip, gzip"),
    "gzip with a false checksum": wire(
        gzip.compress(GOOD)[:-8] + b"\0" * 8, Content_Encoding="gzip"
    ),
    "gzip without its end": wire(gzip.compress(GOOD)[:-8], Content_Encoding="gzip"),
    "deflate": wire(zlib.compress(GOOD), Content_Encoding="deflate"),
    "bare deflate": wire(zlib.compress(GOOD)[2:-4], Content_Encoding="deflate"),
    "zlib without its end": wire(zlib.compress(GOOD)[:-4], Content_Encoding="deflate"),
    "byte order mark": wire(b"\xef\xbb\xbf" + GOOD),
    "UTF-16": wire(GOOD.decode().encode("utf-16")),
    "UTF-16 LE": wire(GOOD.decode().encode("utf-16-le")),
    "UTF-16 BE": wire(GOOD.decode().encode("utf-16-be")),
    "UTF-32": wire(GOOD.decode().encode("utf-32")),
    "chunks left in": wire(b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)),
    "chunked, and is not": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + GOOD,
    "a hundred headers": HEAD + b"X: y\r\n" * 101 + b"\r\n" + GOOD,
    "a header of 64 KiB": HEAD + b"X: " + b"y" * (1 << 16) + b"\r\n\r\n" + GOOD,
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n" + GOOD,
    "a length too short": HEAD + b"Content-Length: 20\r\n\r\n" + GOOD,
    "a length too long": HEAD + b"Content-Length: 999\r\n\r\n" + GOOD,
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n" + GOOD,
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n\r\n" + GOOD,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + GOOD,
    "no status line": GOOD,
    "no reason": b"HTTP/1.1 200\r\n\r\n" + GOOD,
    "a bad cookie": wire(GOOD, Set_Cookie="\x01\x02=;;;Expires=never"),
    "a name in Latin 1": wire(body(200, "", PERSONA).replace('"n"', '"\u00e9"').encode("latin-1")),
    "an interim answer": b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + wire(GOOD),
}


@pytest.mark.parametrize("data", SHAPES.values(), ids=SHAPES)
def test_a_success_that_can_be_read_counts_however_it_is_wrapped(data: bytes) -> None:
    said = classify(data)
    assert isinstance(said, Created)
    assert said.persona_id == "a1b2c3d4"
    assert said.answer is None or not said.answer.ids_beside(said.persona_id)
    # The same wrapping loses nothing where the answer is none the client can take at its word.
    odd = data.replace(b'"code": 200', b'"code": 500')
    if odd != data:
        again = classify(odd)
        assert isinstance(again, Unclear)
        assert again.answer is not None
        assert again.answer.shown_ids == ("a1b2c3d4",)


CUT = b'{"code": 200, "msg": "success", "data": {"personaId": "a1b2c3d4'
SHOWN: dict[str, bytes] = {
    "cut behind the ID": wire(CUT + b'", "na'),
    "cut before the closing quote": wire(CUT),
    "cut, gzip": wire(gzip.compress(GOOD)[:-25], Content_Encoding="gzip"),
    "cut, UTF-16": wire((CUT + b'", "na').decode().encode("utf-16")),
    "cut, chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n80\r\n" + CUT + b'","',
    "personaID": wire(b'{"code":200,"data":{"personaID":"a1b2c3d4"}}'),
    "PersonaId": wire(b'{"code":200,"data":{"PersonaId":"a1b2c3d4"}}'),
    "persona-id": wire(b'{"code":200,"data":{"persona-id":"a1b2c3d4"}}'),
    "at the top": wire(b'{"code":200,"personaId":"a1b2c3d4"}'),
    "no JSON behind it": wire(b'{"code":200,"data":{"personaId":"a1b2c3d4"}} trailing'),
    "an array": wire(b'[{"personaId":"a1b2c3d4"}]'),
    "JSON in a text": wire(json.dumps({"code": 200, "data": json.dumps(PERSONA)}).encode()),
    "JSON in a page": wire(b"<pre>{&quot;personaId&quot;:&quot;a1b2c3d4&quot;}</pre>", 502),
    "markup": wire(b"<data><personaId>a1b2c3d4</personaId></data>"),
    "past 4 KiB": wire(b'{"pad": "' + b"x" * 9000 + b'", ' + CUT[1:] + b'"' + b" " * 9000),
    "past 4 KiB, gzip": wire(gzip.compress(b"\xff" + bytes(range(256)) * 99 + CUT + b'"')),
    "a header": wire(b"", 200, X_Persona_Id="a1b2c3d4"),
    "a redirect": wire(GOOD, 302),
    "moved": wire(GOOD, 301, Location="/x"),
    "502": wire(GOOD.replace(b'"code": 200', b'"code": 502'), 502),
    "two answers": wire(b"{}") + wire(GOOD),
    "no head, cut": CUT + b'"',
}


@pytest.mark.parametrize("data", SHOWN.values(), ids=SHOWN)
def test_an_id_in_what_cannot_be_taken_at_its_word_is_kept_and_shown(data: bytes) -> None:
    said = classify(data)
    assert isinstance(said, Unclear | Moved)
    assert said.answer is not None
    assert len(said.answer.body.encode()) <= KEPT_BYTES
    assert said.answer.shown_ids == ("a1b2c3d4",)
    assert b"a1b2c3d4" in said.answer.raw() or said.answer.is_base64


def test_a_number_is_no_text_and_is_shown() -> None:
    said = classified('{"code":200,"data":{"personaId":1234567}}')
    assert isinstance(said, Unclear)
    assert said.answer is not None
    assert said.answer.shown_ids == ("1234567",)


def test_what_is_no_text_is_kept_in_base64() -> None:
    said = classified(b"\xff\xfe\x00" + bytes(range(256)) * 100)
    assert isinstance(said, Unclear)
    assert said.answer is not None
    assert said.answer.is_base64
    assert base64.b64decode(body_of(said)) == said.answer.raw() != b""
    assert len(body_of(said)) <= KEPT_BYTES


def test_an_answer_says_what_it_came_with() -> None:
    said = classified("<p>", 502, Server="nginx", X_Noise="1", CF_Ray="8f3a")
    assert isinstance(said, Unclear)
    assert said.answer is not None
    assert said.answer.status == 502
    assert dict(said.answer.headers) == {"Server": "nginx", "CF-Ray": "8f3a", "Content-Length": "3"}


@pytest.mark.parametrize("failure", ["no whole answer within 2s", "the connection was closed"])
def test_why_no_more_came_is_said(failure: str) -> None:
    assert classify(b"", failure=failure) == Unclear(failure)
    cut = wire(CUT + b'", "na')[:-2]
    assert plainly(classify(cut, failure=failure)) == plainly(
        unclear(failure, 200, (CUT + b'", "na').decode()[:-2])
    )
    assert says(classify(wire(GOOD), failure=failure)) == ("Created", None)


def test_a_packed_answer_is_spread_out_no_further_than_the_limit() -> None:
    bomb = gzip.compress(gzip.compress(bytes(8 << 20), 9), 9)
    said = classified(bomb, Content_Encoding="gzip, gzip")
    assert isinstance(said, Unclear)
    assert said.reason == "the answer is longer than 1 MiB"


# What it says.


def test_a_byte_order_mark_hides_no_id() -> None:
    assert classified("\ufeff" + body(200, "success", PERSONA)) == Created("a1b2c3d4")


@pytest.mark.parametrize(
    "message",
    [
        "No credits left",
        "INSUFFICIENT CREDITS",
        "INSUFFICIENT_CREDITS",
        "insufficientCredits",
        "creditBalance too low",
        "your credit is used up",
        "Balance too low",
        "Insufficient points",
        "积分不足",
        "余额不足，请充值",
        "请先充值",
    ],
)
@pytest.mark.parametrize("code", [405, 429, 430])
@pytest.mark.parametrize("name", ["msg", "message"])
def test_a_throttle_that_speaks_of_credits_stops_the_run(
    code: int, message: str, name: str
) -> None:
    text = json.dumps({"code": code, name: message})
    assert plainly(classified(text)) == plainly(Refused(code, message, stops_run=True))


def test_credits_are_a_word_of_their_own() -> None:
    for message in ("accredited clients only", "unbalanced", "Accreditation needed"):
        assert isinstance(classified(body(429, message)), Throttled)


@pytest.mark.parametrize("message", [None, 7, ["x"], {"x": 1}, True])
def test_a_message_that_is_no_text_is_none(message: object) -> None:
    assert plainly(classified(body(409, message))) == plainly(Conflict(409, ""))


def test_a_long_message_is_cut_and_its_answer_kept() -> None:
    said = classified(body(409, "x" * 10_000))
    assert isinstance(said, Conflict)
    assert said.message == "x" * 500
    assert len(body_of(said)) == KEPT_BYTES


# When to come back.


def test_a_hint_of_when_to_come_back_is_kept() -> None:
    assert classified(body(429, "slow"), 429, Retry_After="7") == Throttled(429, "slow", 7.0)
    assert classified("", 503, Retry_After="7") == Unclear("the API answered 503", 503, None, 7.0)
    assert classified("", 307, Retry_After="7") == Unclear(
        "the API redirected (307), which is not followed", 307, None, 7.0
    )


@pytest.mark.parametrize("hours", [-5, -1, 0, 1, 30])
def test_a_date_is_measured_against_the_answer_s_own(hours: int) -> None:
    def http_date(date: datetime) -> str:
        return date.strftime("%a, %d %b %Y %H:%M:%S GMT")

    here = NOW + timedelta(hours=hours)
    said = classified(
        body(429, "slow"),
        429,
        Date=http_date(here),
        Retry_After=http_date(here + timedelta(seconds=30)),
    )
    assert isinstance(said, Throttled)
    assert said.retry_after == 30.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("5", 5.0),
        (" 5 ", 5.0),
        ("5\x1f", 5.0),
        ("1.5", 1.5),
        ("86400", 86400.0),
        ("86401", None),
        ("99999999999999999999", None),
        ("-1", None),
        ("1e3", None),
        ("1_0", None),
        ("\u0665", None),
        ("inf", None),
        ("-inf", None),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("5, 6", None),
        ("5s", None),
        ("1" * 5000, None),
        ("Sun, 22 Nov 2026 10:00:07 GMT", 7.0),
        ("Sun, 22 Nov 2026 10:00:07 -0000", 7.0),
        ("Sun, 22 Nov 2026 12:00:07 +0200", 7.0),
        ("Sunday, 22-Nov-26 10:00:07 GMT", 7.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 10:00:00 GMT", 86400.0),
        ("Mon, 23 Nov 2026 10:00:01 GMT", None),
        ("Sun, 22 Nov 9999 10:00:00 GMT", None),
        ("Sun, 32 Nov 2026 10:00:00 GMT", None),
        ("Sun, 22 Nov 2026 25:61:61 GMT", None),
        ("Sun, 22 Nov 2026 10:00:00 +9999", None),
        ("Thu, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text())
def test_retry_after_never_raises(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 86400


# What must never be shown.


def redact(text: str) -> str:
    return text.replace("secret", "***")


def test_what_is_said_is_redacted_before_it_is_cut() -> None:
    said = classify(wire(body(422, "x" * 497 + "secret")), redact=redact)
    assert isinstance(said, Refused)
    assert said.message == "x" * 497 + "***"
    page = "x" * (KEPT_BYTES - 3) + "secret"
    assert body_of(classify(wire(page), redact=redact)) == "x" * (KEPT_BYTES - 3) + "***"


@pytest.mark.parametrize(
    "data",
    [
        wire('{"code": 422, "msg": "not \\u0073ecret"}'),
        wire("secret", 500),
        wire(gzip.compress(b"my secret", mtime=0), 500),
        wire("my secret".encode("utf-16"), 500),
        wire("", 500, Server="secret"),
        wire("x", 500, Server="secret"),
        wire("", 301, Location="https://secret.example/"),
        wire(body(200, "", {"personaId": "my-secret-id"})),
        wire("secret", 404),
    ],
)
def test_a_secret_that_is_echoed_is_neither_shown_nor_stored(data: bytes) -> None:
    said = classify(data, redact=redact)
    assert not isinstance(said, Created)
    assert "secret" not in repr(said)
    answer = getattr(said, "answer", None)
    assert answer is None or b"secret" not in b"".join(views(answer.raw()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "code": st.sampled_from([200, 409, 422, 429, 455, 500, "200", None, 200.0]) | JSON,
        "msg": st.sampled_from(["success", "no credits"]) | JSON,
        "data": JSON | st.fixed_dictionaries({"personaId": st.text(max_size=5) | JSON}),
    },
).map(json.dumps)
BYTES = st.binary() | st.builds(
    lambda status, text, location: wire(text, status, Location=location),
    st.integers(100, 999),
    ANSWERS | st.text(),
    st.text(),
)


@given(BYTES, st.none() | st.just("reset"))
def test_nothing_raises_and_only_a_true_success_is_one(data: bytes, failure: str | None) -> None:
    match classify(data, failure=failure, now=NOW):
        case Created(persona_id):
            assert persona_id.isascii()
            assert persona_id.isprintable()
            assert 1 <= len(persona_id) <= 256
            assert " " not in persona_id
            assert persona_id in data.decode("utf-8", "replace")
        case Conflict(code) | Refused(code):
            assert 400 <= code < 500
        case Throttled(code, _, retry_after):
            assert code in (405, 429, 430)
            assert retry_after is None or retry_after >= 0
        case Unclear(reason, _, _, retry_after):
            assert reason
            assert retry_after is None or retry_after >= 0
        case Moved(status):
            assert status in (301, 308)
        case NotSent(_, stops_run):
            assert stops_run
