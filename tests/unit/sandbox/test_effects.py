"""What each fault makes of an answer."""

import gzip
import json

import pytest

from personasync.sandbox.contract import NO_CREDITS_ZH, refusal
from personasync.sandbox.effects import EFFECTS
from personasync.sandbox.exchange import Answer, Wire
from personasync.sandbox.faults import Fault, FaultKind

ID = "0123456789abcdef"
ANSWER = Answer(200, "success", {"personaId": ID, "name": "N", "description": "D"})
JSON = {"Content-Type": "application/json"}
GOOD = Wire(200, 200, ANSWER.body(), JSON)
REFUSED = Wire(409, 409, refusal(409).body(), JSON)


def struck(fault: str, wire: Wire = GOOD) -> Wire | None:
    parsed = Fault.parse(fault)
    return EFFECTS[parsed.kind].distort(wire, parsed)


def test_every_kind_has_its_effect_and_says_what_it_is() -> None:
    assert set(EFFECTS) == set(FaultKind)
    assert all(effect.about for effect in EFFECTS.values())


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("persona_id", {"data": {"name": "N", "description": "D", "persona_id": ID}}),
        ("text-code", {"code": "200"}),
        ("newline", {"data": {"name": "N", "description": "D", "personaId": ID + "\n"}}),
        ("no-data", {"data": None}),
    ],
)
def test_the_envelope_is_changed(fault: str, change: dict[str, object]) -> None:
    wire = struck(fault)
    assert wire is not None
    assert (wire.status, wire.headers) == (200, JSON)
    assert json.loads(wire.body) == {**json.loads(GOOD.body), **change}


def test_msg_is_called_message() -> None:
    wire = struck("message")
    assert wire is not None
    envelope = json.loads(wire.body)
    assert envelope.pop("message") == "success"
    assert "msg" not in envelope


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        ("cut-off", GOOD.body[: len(GOOD.body) // 2]),
        (
            "cut-after-id",
            b'{"code": 200, "msg": "success", "data": {"personaId": "%b"' % ID.encode(),
        ),
        ("cut-in-id", b'{"code": 200, "msg": "success", "data": {"personaId": "01234567'),
    ],
)
def test_the_answer_is_cut(fault: str, sent: bytes) -> None:
    wire = struck(fault)
    assert wire is not None
    assert wire.body[: wire.cut] == sent
    assert wire.body == GOOD.body


@pytest.mark.parametrize(
    ("fault", "header", "text"),
    [
        ("false-gzip", "gzip", lambda body: body),
        ("hidden-gzip", None, gzip.decompress),
        ("utf-16", None, lambda body: body.decode("utf-16").encode()),
    ],
)
def test_the_encoding_is_not_what_is_said(fault: str, header: str | None, text: object) -> None:
    wire = struck(fault)
    assert wire is not None
    assert wire.headers.get("Content-Encoding") == header
    assert callable(text)
    assert text(wire.body) == GOOD.body


def test_a_checksum_is_wrong() -> None:
    wire = struck("bad-gzip")
    assert wire is not None
    assert wire.headers["Content-Encoding"] == "gzip"
    with pytest.raises(gzip.BadGzipFile, match="CRC check failed"):
        gzip.decompress(wire.body)


@pytest.mark.parametrize(
    ("fault", "status", "made"),
    [("504-after", 504, True), ("408-after", 408, True), ("403-page", 403, False)],
)
def test_a_gateway_speaks_for_itself(fault: str, status: int, made: bool) -> None:
    wire = struck(fault)
    assert wire is not None
    assert (wire.status, wire.code, wire.headers) == (status, None, {"Content-Type": "text/html"})
    assert f"<h1>{status} ".encode() in wire.body
    assert EFFECTS[Fault.parse(fault).kind].made is made


def test_a_status_without_a_name_has_a_page_too() -> None:
    wire = struck("499-after")
    assert wire is not None
    assert b"<h1>499</h1>" in wire.body


@pytest.mark.parametrize(("fault", "status"), [("moved", 301), ("308", 308)])
def test_the_service_has_moved(fault: str, status: int) -> None:
    wire = struck(fault)
    assert wire is not None
    assert wire.status == status
    assert wire.headers["Location"].startswith("https://api.moved.example/api/v1/")


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        ("403", Answer(403, "Refused with code 403")),
        ("404", refusal(404)),
        ("no-credits", Answer(429, "The current credits are insufficient. Please top up.")),
        ("no-credits-zh", NO_CREDITS_ZH),
        ("reset-before", None),
        ("moved", None),
    ],
)
def test_nothing_is_made_and_this_is_said(fault: str, answer: Answer | None) -> None:
    parsed = Fault.parse(fault)
    assert not EFFECTS[parsed.kind].made
    assert EFFECTS[parsed.kind].answer(parsed) == answer


def test_a_reset_leaves_nothing() -> None:
    assert struck("reset-after") is None
    assert struck("reset-before") is None


@pytest.mark.parametrize("fault", ["persona_id", "newline", "cut-after-id", "cut-in-id", "slow"])
def test_an_answer_without_an_id_is_struck_as_well(fault: str) -> None:
    wire = struck(fault, REFUSED)
    assert wire is not None
    assert wire.body == REFUSED.body
