"""What the sandbox takes for a request for a persona."""

import json

import pytest

from personasync.model.persona import PersonaRequest
from personasync.sandbox.contract import decode_body, magic_refusal, read_request
from personasync.sandbox.exchange import Answer

GOOD = {"taskId": "t", "audioId": "a", "name": "n", "description": "d"}


@pytest.mark.parametrize(
    ("body", "msg"),
    [
        (b"", "the body is missing"),
        (b"{", "the body is not JSON"),
        (b"\xff\xfe\x00", "the body is not JSON"),
        (b"[" * 200_000, "the body is not JSON"),
        (b'{"vocalEnd":' + b"9" * 5000 + b"}", "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (b"null", "the body is not a JSON object"),
        (b'"taskId"', "the body is not a JSON object"),
    ],
)
def test_a_body_that_holds_no_object_is_refused(body: bytes, msg: str) -> None:
    assert decode_body(body) == Answer(422, msg)


def test_a_body_that_holds_an_object_is_decoded() -> None:
    assert decode_body(json.dumps(GOOD).encode()) == GOOD


def test_a_good_request_is_read_and_unknown_fields_passed_over() -> None:
    fields = {**GOOD, "vocalStart": 1, "vocalEnd": 12.5, "style": "", "colour": ["any"]}
    assert read_request(fields) == PersonaRequest("t", "a", "n", "d", 1, 12.5, "")
    assert read_request(GOOD) == PersonaRequest("t", "a", "n", "d")


NUMBER = "must be a number of seconds, 0 or more"


@pytest.mark.parametrize(
    ("change", "msg"),
    [
        ({"taskId": 5}, "taskId must be a string"),
        ({"audioId": None}, "audioId must be a string"),
        ({"name": ["n"]}, "name must be a string"),
        ({"description": " \t"}, "description must not be empty"),
        ({"style": None}, "style must be a string"),
        ({"vocalStart": True}, f"vocalStart {NUMBER}"),
        ({"vocalStart": "0"}, f"vocalStart {NUMBER}"),
        ({"vocalStart": -0.001}, f"vocalStart {NUMBER}"),
        ({"vocalEnd": None}, f"vocalEnd {NUMBER}"),
        ({"vocalEnd": float("inf")}, f"vocalEnd {NUMBER}"),
        ({"vocalEnd": float("nan")}, f"vocalEnd {NUMBER}"),
        ({"vocalEnd": 10**400}, f"vocalEnd {NUMBER}"),
        ({"vocalEnd": 0}, "vocalEnd (0) must be greater than vocalStart (0)"),
        ({"vocalStart": 30}, "vocalEnd (30) must be greater than vocalStart (30)"),
        (
            {"vocalStart": 12.5, "vocalEnd": 12},
            "vocalEnd (12) must be greater than vocalStart (12.5)",
        ),
        ({"taskId": 5, "name": 5}, "taskId must be a string"),
    ],
)
def test_the_first_bad_field_is_named(change: dict[str, object], msg: str) -> None:
    assert read_request({**GOOD, **change}) == Answer(422, msg)


@pytest.mark.parametrize("name", GOOD)
def test_a_required_field_is_missed(name: str) -> None:
    fields = {other: value for other, value in GOOD.items() if other != name}
    assert read_request(fields) == Answer(422, f"{name} is required")


@pytest.mark.parametrize(
    ("task_id", "audio_id", "code"),
    [
        ("missing", "a", 404),
        ("unfinished-7", "a", 422),
        ("old-model", "a", 422),
        ("t", "unfetchable", 451),
        ("t", "maintenance", 455),
        ("t", "broken-1", 500),
        ("t", "ratelimited", 429),
        ("t", "toolong", 413),
        ("missing", "broken", 404),
    ],
)
def test_magic_ids_are_refused(task_id: str, audio_id: str, code: int) -> None:
    refusal = magic_refusal(PersonaRequest(task_id, audio_id, "n", "d"))
    assert refusal is not None
    assert (refusal.code, refusal.data) == (code, None)


@pytest.mark.parametrize(("task_id", "audio_id"), [("t", "a"), ("broken", "missing"), ("x", "un")])
def test_other_ids_are_taken_on_trust(task_id: str, audio_id: str) -> None:
    assert magic_refusal(PersonaRequest(task_id, audio_id, "n", "d")) is None
