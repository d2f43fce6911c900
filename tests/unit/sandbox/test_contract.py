"""What the sandbox takes for a request for a persona."""

import json

import pytest

from personasync.model.persona import PersonaRequest
from personasync.sandbox.contract import decode_body, magic_refusal, read_request, refusal

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
    assert decode_body(body) == refusal(422, msg)


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
        ({"name": "half a \ud83c"}, "name must be a string"),
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
    assert read_request({**GOOD, **change}) == refusal(422, msg)


@pytest.mark.parametrize("name", GOOD)
def test_a_required_field_is_missed(name: str) -> None:
    fields = {other: value for other, value in GOOD.items() if other != name}
    assert read_request(fields) == refusal(422, f"{name} is required")


def test_a_refusal_is_worded_as_the_api_does_and_says_what_is_wrong() -> None:
    words = "The request parameters failed validation checks: name is required"
    assert refusal(422, "name is required").msg == words
    assert refusal(409).msg == "A persona already exists for this music"
    assert refusal(418).msg == "Refused with code 418"


@pytest.mark.parametrize(
    ("audio_id", "code"),
    [
        ("unfetchable", 451),
        ("maintenance", 455),
        ("broken-1", 500),
        ("ratelimited", 429),
        ("toolong", 413),
    ],
)
def test_magic_audios_are_refused(audio_id: str, code: int) -> None:
    refused = magic_refusal(audio_id)
    assert refused is not None
    assert (refused.code, refused.data) == (code, None)


@pytest.mark.parametrize("audio_id", ["a", "missing", "unbroken"])
def test_other_audios_are_not(audio_id: str) -> None:
    assert magic_refusal(audio_id) is None
