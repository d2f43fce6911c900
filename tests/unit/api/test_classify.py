"""What an answer means: every code, in both places it can stand, and every odd shape."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.api.classify import classify, kept, parse_retry_after
from personasync.model.answer import KEPT_BYTES, KeptAnswer
from personasync.model.outcome import Conflict, Created, Outcome, Refused, Throttled, Unclear
from tests.unit.api.said import unclear as said_unclear

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
PERSONA = {"personaId": "a1b2c3d4", "name": "n", "description": "d"}


def body(code: object, msg: object = "", data: object = None) -> str:
    return json.dumps({"code": code, "msg": msg, "data": data})


def classified(text: str, status: int = 200, **headers: str) -> Outcome:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify(status, names, text, now=NOW)


def unclear(
    reason: str, code: Any = None, text: Any = None, retry_after: float | None = None
) -> Unclear:
    if isinstance(code, str):
        code, text = (text or 200), code
    if isinstance(text, KeptAnswer):
        return Unclear(reason, code, text, retry_after)
    return said_unclear(reason, code, text, retry_after)


CODES: dict[int, Outcome] = {
    400: Refused(400, "why"),
    401: Refused(401, "why", stops_run=True),
    402: Refused(402, "why", stops_run=True),
    403: Refused(403, "why"),
    404: Refused(404, "why"),
    405: Throttled(405, "why"),
    409: Conflict(409, "why"),
    413: Refused(413, "why"),
    422: Refused(422, "why"),
    429: Throttled(429, "why"),
    430: Throttled(430, "why"),
    451: Refused(451, "why"),
    499: Refused(499, "why"),
}
MAYBE_MADE = (0, 1, 100, 199, 201, 204, 206, 300, 302, 399, 455, 500, 501, 502, 503, 504, 999)


@pytest.mark.parametrize(("code", "outcome"), CODES.items())
@pytest.mark.parametrize("status", [200, 400, 404, 409, 500, 503])
def test_the_code_of_the_body_counts_whatever_the_status(
    code: int, outcome: Outcome, status: int
) -> None:
    assert classified(body(code, "why"), status) == outcome


@pytest.mark.parametrize("status", [200, 201, 400, 401, 402, 404, 409, 429, 455, 500, 503])
def test_a_success_in_the_body_counts_whatever_the_status(status: int) -> None:
    assert classified(body(200, "success", PERSONA), status) == Created("a1b2c3d4")


@pytest.mark.parametrize("code", MAYBE_MADE)
@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_code_that_settles_nothing_is_unclear(code: int, status: int) -> None:
    text = body(code, "why", PERSONA)
    assert classified(text, status) == unclear(f"the API answered {code}: why", code, text)


@pytest.mark.parametrize(("status", "outcome"), CODES.items())
@pytest.mark.parametrize(
    "text", ["", "no JSON", "<h1>Sorry</h1>", "[]", "null", '"409"', "{}", '{"error": "x"}']
)
def test_the_status_counts_where_the_body_has_no_code(
    status: int, outcome: Outcome, text: str
) -> None:
    said = classified(text, status)
    assert (type(said), getattr(said, "code", None)) == (type(outcome), status)
    assert getattr(said, "stops_run", False) == getattr(outcome, "stops_run", False)


@pytest.mark.parametrize("status", [455, 500, 502, 503, 504])
@pytest.mark.parametrize("text", ["", "<html>Down for maintenance</html>", "{}", "[1]"])
def test_an_error_of_the_server_leaves_it_unknown_and_keeps_the_answer(
    status: int, text: str
) -> None:
    assert classified(text, status) == unclear(f"the API answered {status}", text, status)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_unclear_even_with_an_id(status: int) -> None:
    text = body(200, "success", PERSONA)
    reason = f"the API redirected ({status}), which is not followed"
    assert classified(text, status, Location="https://elsewhere.example/") == unclear(
        reason, text, status
    )


def test_a_status_of_200_with_an_id_and_no_code_is_a_success() -> None:
    assert classified(json.dumps({"data": PERSONA})) == Created("a1b2c3d4")


@pytest.mark.parametrize("status", [201, 202, 204, 206])
def test_another_status_of_success_without_a_code_is_unclear(status: int) -> None:
    text = json.dumps({"data": PERSONA})
    assert classified(text, status) == unclear(f"the API answered {status}", text, status)


def test_an_empty_204_is_unclear() -> None:
    assert classified("", 204) == unclear("the API answered 204", 204)


NO_CODES: list[Any] = [
    "200", "409", "", True, False, None, 200.0, 409.5, [], [200], {}, {"code": 200},
    -1, -200, 10_000, 10**400, float("nan"), float("inf"),
]  # fmt: skip


@pytest.mark.parametrize("code", NO_CODES, ids=lambda code: str(code)[:20])
def test_a_code_that_is_none_is_never_a_success(code: object) -> None:
    text = body(code, "why", PERSONA)
    assert classified(text) == unclear("the answer's code cannot be one", text)


@pytest.mark.parametrize("code", NO_CODES, ids=lambda code: str(code)[:20])
def test_the_status_counts_where_the_code_is_none_and_the_status_is_an_error(code: object) -> None:
    assert classified(body(code, "why", PERSONA), 401) == Refused(401, "why", stops_run=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
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
        "\x00\x01\x02",
        "\ufffd" * 10,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_200_whose_body_is_no_object_is_unclear(text: str) -> None:
    said = classified(text)
    assert said == unclear("the answer is not a JSON object", 200, kept(text))


@pytest.mark.parametrize(
    "data", [None, [], [PERSONA], "a1b2", 7, True, {}, {"personaId": None}, {"persona_id": "a1b2"}]
)
def test_a_success_without_an_id_is_unclear(data: object) -> None:
    text = body(200, "success", data)
    assert classified(text) == unclear("the answer says success, but holds no personaId", text)


def test_a_success_without_data_is_unclear() -> None:
    text = '{"code": 200, "msg": "success"}'
    assert classified(text) == unclear("the answer says success, but holds no personaId", text)


@pytest.mark.parametrize(
    "persona_id",
    [
        "",
        " ",
        7,
        7.5,
        True,
        ["a1b2"],
        {"id": "a1b2"},
        "a" * 257,
        "a" * 10_000,
        "a1b2\n",
        "a1 b2",
        " a1b2",
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
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_an_id_that_cannot_be_one_is_never_taken(persona_id: object) -> None:
    text = body(200, "success", {"personaId": persona_id})
    assert classified(text) == unclear("the answer's personaId cannot be one", 200, kept(text))


@pytest.mark.parametrize(
    "persona_id",
    ["a", "0", "a1b2c3d4e5f60718293a4b5c6d7e8f90", "x" * 256, "-_~.:/+=@", "!#$%&'()*", "a::b"],
)
def test_an_id_of_printable_ascii_is_taken_as_it_is(persona_id: str) -> None:
    assert classified(body(200, "success", {"personaId": persona_id})) == Created(persona_id)


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
    ],
)
@pytest.mark.parametrize("code", [405, 429, 430])
def test_a_throttle_that_speaks_of_credits_stops_the_run(code: int, message: str) -> None:
    assert classified(body(code, message)) == Refused(code, message, stops_run=True)


@pytest.mark.parametrize("message", [None, 7, ["x"], {"x": 1}, True])
def test_a_message_that_is_no_text_is_none(message: object) -> None:
    assert classified(body(409, message)) == Conflict(409, "")


def test_a_long_message_is_cut() -> None:
    assert classified(body(409, "x" * 10_000)) == Conflict(409, "x" * 500)


def test_a_hint_of_when_to_come_back_is_kept() -> None:
    assert classified(body(429, "slow"), 429, Retry_After="7") == Throttled(429, "slow", 7.0)
    assert classified("", 503, Retry_After="7") == unclear("the API answered 503", 503, None, 7.0)
    assert classified("", 307, Retry_After="7") == unclear(
        "the API redirected (307), which is not followed", 307, None, 7.0
    )


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


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", None),
        ("x", "x"),
        ("x" * 5000, "x" * KEPT_BYTES),
        ("x" + "é" * 5000, "x" + "é" * 2047),
        ("\ud800", "?"),
    ],
)
def test_the_first_4_kib_are_kept(text: str, result: str | None) -> None:
    assert kept(text) == (KeptAnswer.of_text(result) if result else None)


def test_what_is_said_is_redacted_before_it_is_cut() -> None:
    def redact(text: str) -> str:
        return text.replace("secret", "***")

    message = "x" * 497 + "secret"
    assert classify(200, {}, body(422, message), redact=redact) == Refused(422, "x" * 497 + "***")
    page = "x" * (KEPT_BYTES - 3) + "secret"
    assert classify(200, {}, page, redact=redact) == unclear(
        "the answer is not a JSON object", 200, "x" * (KEPT_BYTES - 3) + "***"
    )


def test_a_message_that_spells_the_secret_in_escapes_is_redacted() -> None:
    text = '{"code": 422, "msg": "not \\u0073ecret"}'
    said = classify(200, {}, text, redact=lambda text: text.replace("secret", "***"))
    assert said == Refused(422, "not ***")


def test_an_id_that_holds_the_secret_is_never_stored() -> None:
    text = body(200, "success", {"personaId": "my-secret-id"})
    said = classify(200, {}, text, redact=lambda text: text.replace("secret", "***"))
    assert said == unclear(
        "the answer's personaId cannot be one", 200, text.replace("secret", "***")
    )


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


@given(
    st.integers(100, 999),
    ANSWERS | st.text() | st.binary().map(lambda data: data.decode("utf-8", "replace")),
    st.dictionaries(st.sampled_from(["Retry-After", "Location"]), st.text()),
)
def test_nothing_raises_and_only_a_true_success_is_one(
    status: int, text: str, headers: dict[str, str]
) -> None:
    outcome = classify(status, headers, text, now=NOW)
    match outcome:
        case Created(persona_id):
            answer = json.loads(text.removeprefix("\ufeff"))
            assert answer["data"]["personaId"] == persona_id
            assert persona_id.isascii()
            assert persona_id.isprintable()
            assert 1 <= len(persona_id) <= 256
            assert " " not in persona_id
            code = answer.get("code", status)
            assert (type(code), code) == (int, 200)
            assert not 300 <= status < 400
        case Conflict(code) | Refused(code):
            assert 400 <= code < 500
        case Throttled(code, _, retry_after):
            assert code in (405, 429, 430)
            assert retry_after is None or retry_after >= 0
        case Unclear(reason, _, answer, retry_after):
            assert reason
            assert answer == kept(text)
            assert retry_after is None or retry_after >= 0
        case other:
            raise AssertionError(other)


def test_credits_are_a_word_of_their_own() -> None:
    for message in ("accredited clients only", "unbalanced", "Accreditation needed"):
        said = classify(200, {}, json.dumps({"code": 429, "msg": message}))
        assert isinstance(said, Throttled)
