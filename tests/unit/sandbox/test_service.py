"""The API's rules, without sockets."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from personasync.model.units import Rate
from personasync.sandbox.books import Books
from personasync.sandbox.config import SandboxConfig
from personasync.sandbox.contract import refusal
from personasync.sandbox.exchange import Answer, Reply, Request
from personasync.sandbox.faults import Fault, FaultKind
from personasync.sandbox.service import Service, SlidingWindow

GENERATE = "/api/v1/generate/generate-persona"
KEY = {"authorization": "Bearer key"}


class Clock:
    """Stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def service(books: Books | None = None, clock: Clock | None = None, **config: Any) -> Service:
    return Service(SandboxConfig(**config), books or Books(None), clock or Clock())


def answered(reply: Reply) -> Answer:
    assert reply.answer is not None
    return reply.answer


def data(answer: Answer) -> Mapping[str, Any]:
    assert isinstance(answer.data, dict)
    return answer.data


def get(played: Service, target: str, headers: Mapping[str, str] = KEY) -> Answer:
    return answered(played.reply(Request("GET", target, headers, b"")))


def post(
    played: Service, audio_id: object = "a1", headers: Mapping[str, str] = KEY, **fields: object
) -> Reply:
    body = {"taskId": "t", "audioId": audio_id, "name": "N", "description": "D", **fields}
    return played.reply(Request("POST", GENERATE, headers, json.dumps(body).encode()))


def made(reply: Reply) -> str:
    """Return the ID that a reply hands out, after checking the rest of it."""
    answer = answered(reply)
    assert (answer.code, answer.msg) == (200, "success")
    assert set(data(answer)) == {"personaId", "name", "description"}
    persona_id = data(answer)["personaId"]
    assert re.fullmatch("[0-9a-f]{32}", persona_id)
    return str(persona_id)


def test_a_persona_is_made_once() -> None:
    played = service()
    reply = post(played, name="Neon", description="Bright")
    assert reply == Reply(
        Answer(200, "success", {"personaId": made(reply), "name": "Neon", "description": "Bright"}),
        "a1",
        made=True,
    )
    assert post(played) == Reply(refusal(409), "a1")
    assert post(played, "a2").answer != reply.answer


def test_in_same_id_mode_the_second_request_overwrites(tmp_path: Path) -> None:
    books = Books(tmp_path / "books.db")
    played = service(books, repeat="same-id", credits=1)
    first = made(post(played))
    again = post(played, name="New", description="Other")
    assert made(again) == first
    assert answered(again).data == {"personaId": first, "name": "New", "description": "Other"}
    assert books.personas()["a1"].name == "New"
    books.close()


def test_ids_differ_across_runs_of_one_seed() -> None:
    assert made(post(service(seed=1))) != made(post(service(seed=1)))


def test_what_an_earlier_run_made_conflicts(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    earlier = Books(path)
    made(post(service(earlier)))
    earlier.close()
    later = Books(path)
    assert answered(post(service(later))).code == 409
    later.close()


NO_KEY = refusal(401, "send the header Authorization: Bearer <API key>")


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({}, NO_KEY),
        ({"authorization": ""}, NO_KEY),
        ({"authorization": "Bearer"}, NO_KEY),
        ({"authorization": "Bearer  "}, NO_KEY),
        ({"authorization": "Basic right"}, NO_KEY),
        ({"authorization": "right"}, NO_KEY),
        ({"authorization": "Bearer wrong"}, refusal(401)),
    ],
)
def test_a_bad_key_is_refused_everywhere(headers: dict[str, str], refusal: Answer) -> None:
    played = service(api_key="right")
    assert post(played, headers=headers).answer == refusal
    assert get(played, "/api/v1/generate/credit", headers) == refusal
    assert get(played, "/api/v1/generate/record-info?taskId=t", headers) == refusal


def test_the_right_key_is_accepted_in_any_case_of_its_scheme() -> None:
    made(post(service(api_key="right"), headers={"authorization": "bearer right"}))


def test_a_bad_field_is_refused_and_spends_nothing() -> None:
    played = service(credits=1)
    assert post(played, name="").answer == refusal(422, "name must not be empty")
    assert post(played, audio_id=7).answer == refusal(422, "audioId must be a string")
    made(post(played))


def test_a_magic_id_is_refused_and_makes_nothing() -> None:
    played = service()
    assert answered(post(played, "unfetchable-1")).code == 451
    assert answered(post(played, taskId="missing")).code == 404
    made(post(played))


def test_credits_run_out() -> None:
    played = service(credits=2)
    assert get(played, "/api/v1/generate/credit") == Answer(200, "success", 2)
    assert get(played, "/api/v1/chat/credit") == Answer(200, "success", 2)
    made(post(played, "a1"))
    assert get(played, "/api/v1/generate/credit") == Answer(200, "success", 1)
    made(post(played, "a2"))
    assert post(played, "a3").answer == refusal(402)
    assert answered(post(played, "a1")).code == 409
    assert get(played, "/api/v1/generate/credit") == Answer(200, "success", 0)


def test_unlimited_credits_are_a_large_number() -> None:
    assert get(service(), "/api/v1/generate/credit") == Answer(200, "success", 1_000_000)


def test_the_window_admits_its_count_wherever_it_is_laid() -> None:
    window = SlidingWindow(Rate(2, 10.0))
    assert [window.admit(now) for now in (0.0, 4.0, 9.0, 10.0, 13.5, 14.0)] == [
        0.0,
        0.0,
        1.0,
        0.0,
        0.5,
        0.0,
    ]


def test_the_rate_limit_says_when_to_come_back() -> None:
    clock = Clock()
    played = service(clock=clock, rate_limit=Rate(1, 10.0))
    made(post(played, "a1"))
    clock.now += 2.5
    too_often = replace(refusal(429), retry_after=8)
    assert post(played, "a2").answer == too_often
    assert get(played, "/api/v1/generate/credit").code == 200
    clock.now += 7.5
    made(post(played, "a2"))


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FaultKind.RESET_BEFORE, None),
        (FaultKind.REDIRECT, None),
        (FaultKind.RATE_LIMIT, 429),
        (FaultKind.MAINTENANCE, 455),
        (FaultKind.SERVER_ERROR, 500),
    ],
)
def test_under_these_faults_nothing_is_made(kind: FaultKind, code: int | None) -> None:
    books = Books(None)
    reply = post(service(books, faults=(Fault(kind),)))
    assert (reply.fault, reply.audio_id) == (Fault(kind), "a1")
    assert (reply.answer and reply.answer.code) == code
    assert books.personas() == {}


@pytest.mark.parametrize(
    "kind", [FaultKind.RESET_AFTER, FaultKind.GARBAGE, FaultKind.CUT_OFF, FaultKind.SLOW]
)
def test_under_these_faults_it_is_made(kind: FaultKind) -> None:
    books = Books(None)
    reply = post(service(books, faults=(Fault(kind),)))
    assert reply.fault == Fault(kind)
    assert books.personas()["a1"].persona_id == made(reply)


def test_no_fault_strikes_what_key_or_rate_limit_turn_away() -> None:
    played = service(faults=(Fault(FaultKind.RESET_AFTER),), rate_limit=Rate(1, 60.0))
    assert post(played, headers={}) == Reply(NO_KEY, "a1")
    assert post(played).fault == Fault(FaultKind.RESET_AFTER)
    assert post(played) == Reply(replace(refusal(429), retry_after=60), "a1")


def test_no_fault_strikes_another_call() -> None:
    played = service(faults=(Fault(FaultKind.SERVER_ERROR),))
    assert get(played, "/api/v1/generate/credit").code == 200


RECORD = "/api/v1/generate/record-info?taskId="


def test_a_task_is_described_three_times_a_second_and_no_more() -> None:
    clock = Clock()
    played = service(clock=clock)
    assert [get(played, RECORD + "t").code for _ in range(4)] == [200, 200, 200, 429]
    assert get(played, RECORD + "other").code == 200
    clock.now += 1
    assert get(played, RECORD + "t").code == 200


def test_a_task_finishes_after_a_while() -> None:
    clock = Clock()
    played = service(clock=clock)
    assert data(get(played, RECORD + "soon"))["status"] == "PENDING"
    assert answered(post(played, taskId="soon")).code == 422
    clock.now += 5
    assert data(get(played, RECORD + "soon"))["status"] == "SUCCESS"
    made(post(played, taskId="soon"))


def test_a_task_that_is_missing_or_not_named() -> None:
    assert get(service(), RECORD + "missing").code == 404
    assert get(service(), RECORD) == refusal(422, "taskId is required")


def test_a_409_may_name_the_persona() -> None:
    played = service(repeat="conflict-with-id")
    first = made(post(played))
    assert post(played) == Reply(replace(refusal(409), data={"personaId": first}), "a1")


def test_an_audio_may_get_two_ids() -> None:
    books = Books(None)
    played = service(books, repeat="new-id")
    ids = [made(post(played)), made(post(played))]
    assert len(set(ids)) == 2
    assert books.personas()["a1"].persona_id == ids[1]


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", GENERATE),
        ("DELETE", GENERATE),
        ("POST", "/api/v1/generate/credit"),
        ("GET", "/"),
        ("GET", "//["),
        ("GET", "*"),
    ],
)
def test_everything_else_is_not_there(method: str, target: str) -> None:
    reply = service().reply(Request(method, target, KEY, b""))
    assert reply == Reply(refusal(404))


def test_what_http_forbids_to_read_is_refused_as_it_says() -> None:
    refusal = Answer(413, "too long")
    assert service().reply(Request("POST", GENERATE, KEY, refusal)) == Reply(refusal)


def test_books_that_cannot_be_written_make_nothing() -> None:
    books = Books(None)
    played = service(books)
    books.close()
    answer = post(played).answer
    assert answer is not None
    assert (answer.code, "closed" in answer.msg) == (500, True)
