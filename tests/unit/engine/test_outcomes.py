"""Every outcome of a request: what is recorded, told, counted, and what happens next."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest

from personasync.engine.messages import Answer
from personasync.engine.run import Mailbox, Workers
from personasync.model.answer import KeptAnswer
from personasync.model.outcome import Conflict, Created, NotSent, Refused, Throttled, Unclear
from personasync.state import Status
from personasync.state.entry import Entry
from tests.unit.engine.fakes import persona, run

GARBAGE = Unclear("the answer is not a JSON object", 200, KeptAnswer.of_text("<html>"))


@pytest.fixture(autouse=True)
def _no_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes only as retries wait, and takes none: a budget is so many tries, no more or
    fewer on a slow machine."""

    class Unhurried(Mailbox):
        """Waits for an answer while one is to come; else the moment that is waited for is here."""

        def __init__(self) -> None:
            super().__init__()
            self.passed = 0.0
            self.under_way = 0

        def now(self) -> Any:
            return self.passed

        def receive(self, until: Any) -> Any:
            found = super().receive(math.inf if self.under_way and until > self.passed else -1.0)
            if not found and math.inf > until > self.passed:
                self.passed = until
            if not found and until == math.inf:
                found = super().receive(math.inf)
            self.under_way -= sum(isinstance(message, Answer) for message in found)
            return found

    class Counting(Workers):
        def ask(self, request: Any) -> None:
            boxes[-1].under_way += 1
            super().ask(request)

    boxes = []

    def unhurried() -> Any:
        boxes.append(Unhurried())
        return boxes[-1]

    module = sys.modules["personasync.engine.run"]
    monkeypatch.setattr(module, "Mailbox", unhurried)
    monkeypatch.setattr(module, "Workers", Counting)


def recorded(ran: Any, audio: str = "a-1") -> Any:
    """The fields of the last entry about an audio that tell its outcome."""
    entry = ran.log.folded()[audio]
    return {
        name: getattr(entry, name)
        for name in ("status", "persona_id", "code", "message", "answer", "after_pending")
        if getattr(entry, name) is not None
    }


def test_created() -> None:
    ran = run(1, {"a-1": [Created("a1b2")]})
    assert recorded(ran) == {"status": "created", "persona_id": "a1b2"}
    assert ran.rows == {"p-1": "created"}
    assert ran.told == [
        ("run_start", None),
        ("create_start", "p-1"),
        ("create_done", "p-1"),
        ("run_end", None),
    ]
    done = ran.events[2]
    assert (done.persona_id, done.rescued) == ("a1b2", None)
    assert ran.account.complete
    assert ran.account.exit_code == 0
    assert ran.log.folded()["a-1"].origin == "apply"
    assert ran.log.folded()["a-1"].request == persona(1).request
    assert ran.log.folded()["a-1"].run == ran.account.run


def test_conflict_goes_on() -> None:
    ran = run(2, {"a-1": [Conflict(409, "exists")]}, parallelism=1)
    assert recorded(ran) == {
        "status": "conflict",
        "code": 409,
        "message": "exists",
        "after_pending": False,
    }
    assert ran.rows == {"p-1": "conflict", "p-2": "created"}
    assert ran.told[1:3] == [("create_start", "p-1"), ("create_conflict", "p-1")]
    assert (ran.events[2].code, ran.events[2].reason) == (409, "the API answered 409: exists")
    assert ran.account.exit_code == 3
    assert ran.account.stopped is None


@pytest.mark.parametrize("code", [400, 403, 404, 413, 422, 451, 499])
def test_refused_for_good_goes_on(code: Any) -> None:
    ran = run(2, {"a-1": [Refused(code, "no")]}, parallelism=1)
    assert recorded(ran) == {"status": "failed", "code": code, "message": "no"}
    assert ran.rows == {"p-1": "failed", "p-2": "created"}
    assert ran.told[2] == ("create_failed", "p-1")
    assert ran.account.exit_code == 3
    assert ran.account.stopped is None


def test_a_refusal_without_words_says_its_code() -> None:
    ran = run(1, {"a-1": [Refused(422, "")]})
    assert recorded(ran) == {"status": "failed", "code": 422, "message": "the API answered 422"}


@pytest.mark.parametrize("code", [401, 402, 429])
def test_what_nothing_else_can_get_past_stops_the_run(code: Any) -> None:
    ran = run(9, {"a-2": [Refused(code, "no", stops_run=True)]}, parallelism=1)
    assert recorded(ran, "a-2") == {"status": "failed", "code": code, "message": "no"}
    assert ran.api.asked == ["a-1", "a-2"]
    assert ran.rows["p-1"] == "created"
    assert ran.rows["p-2"] == "failed"
    assert {ran.rows[f"p-{number}"] for number in range(3, 10)} == {"not attempted"}
    assert ran.account.stopped == f"the API answered {code}: no"
    assert ran.account.exit_code == 3
    assert ran.log.folded().keys() == {"a-1", "a-2"}


def test_refused_for_all_is_an_error() -> None:
    ran = run(3, {"a-1": [Refused(401, "no", stops_run=True)]}, parallelism=1)
    assert ran.account.exit_code == 1


@pytest.mark.parametrize("code", [405, 429, 430])
def test_throttled_is_tried_again(code: Any) -> None:
    ran = run(1, {"a-1": [Throttled(code, "slow down", 0.01), Created("i")]})
    assert recorded(ran) == {"status": "created", "persona_id": "i"}
    retry = ran.events[2]
    assert (retry.kind, retry.attempt, retry.wait, retry.code) == ("create_retry", 2, 0.01, code)
    assert retry.reason == f"the API answered {code}: slow down"
    assert ran.account.exit_code == 0


def test_throttled_to_the_end_stays_pending_and_stops_the_run() -> None:
    ran = run(3, {"a-1": [Throttled(429, "slow down")] * 99}, parallelism=1, retry_for=0.1)
    assert 2 <= ran.api.asked.count("a-1") < 99
    assert recorded(ran) == {"status": "pending"}
    assert ran.rows == {"p-1": "unknown", "p-2": "not attempted", "p-3": "not attempted"}
    assert ran.told[-2] == ("create_unknown", "p-1")
    assert ran.account.stopped == "the API goes on saying that it is asked too often (429)"
    assert ran.account.exit_code == 3


def test_a_wait_that_is_asked_for_and_too_long_is_not_waited() -> None:
    ran = run(2, {"a-1": [Throttled(429, "", 3600.0)]}, parallelism=1)
    assert ran.api.asked == ["a-1"]
    assert ran.rows == {"p-1": "unknown", "p-2": "not attempted"}
    assert ran.account.stopped == (
        "the API asks to wait 1h00m, longer than this run goes on asking (429)"
    )


def test_no_connection_is_tried_again() -> None:
    ran = run(1, {"a-1": [NotSent("the connection was refused"), Created("i")]})
    assert recorded(ran) == {"status": "created", "persona_id": "i"}
    assert ran.events[2].reason == "the connection was refused"
    assert ran.account.exit_code == 0


def test_no_connection_to_the_end_is_a_failure_since_nothing_was_sent() -> None:
    ran = run(1, {"a-1": [NotSent("the connection was refused")] * 99}, retry_for=0.1)
    assert 2 <= len(ran.api.asked) < 99
    assert recorded(ran) == {"status": "failed", "message": "the connection was refused"}
    assert ran.rows == {"p-1": "failed"}
    assert ran.account.exit_code == 3
    assert ran.account.stopped is None


def test_an_unclear_answer_is_kept_before_anything_else_and_tried_again() -> None:
    ran = run(1, {"a-1": [GARBAGE, Created("i")]})
    assert recorded(ran) == {"status": "created", "persona_id": "i"}
    assert [step for step in ran.log.journal if step[0] != "event"] == [
        ("append", "pending", "a-1"),
        ("send", "a-1"),
        ("append", "pending", "a-1"),
        ("send", "a-1"),
        ("append", "created", "a-1"),
    ]
    kept = ran.log.entries[1]
    assert (kept.status, kept.code, kept.message, kept.answer) == (
        Status.PENDING,
        200,
        "the answer is not a JSON object",
        KeptAnswer.of_text("<html>"),
    )


def test_an_unclear_answer_to_the_end_is_unknown_and_its_answer_is_kept() -> None:
    ran = run(1, {"a-1": [GARBAGE] * 99}, retry_for=0.1)
    assert 2 <= len(ran.api.asked) < 99
    assert recorded(ran) == {
        "status": "pending",
        "code": 200,
        "message": "the answer is not a JSON object",
        "answer": KeptAnswer.of_text("<html>"),
    }
    assert ran.rows == {"p-1": "unknown"}
    (row,) = ran.account.results
    assert row.entry.answer == KeptAnswer.of_text("<html>")
    assert row.reason == "the answer is not a JSON object"
    assert ran.told[-2] == ("create_unknown", "p-1")
    assert ran.account.exit_code == 3


def test_silence_to_the_end_is_unknown_and_says_so() -> None:
    ran = run(1, {"a-1": [Unclear("no whole answer within 60s")] * 99}, retry_for=0.1)
    assert 2 <= len(ran.api.asked) < 99
    assert recorded(ran) == {"status": "pending", "message": "no whole answer within 60s"}
    assert ran.rows == {"p-1": "unknown"}
    assert len([entry for entry in ran.log.entries if entry.message]) == 1


class TestMaybeMade:
    """Once a request may have made the persona, only its ID or a conflict settles the matter."""

    @pytest.mark.parametrize(
        "last",
        [Refused(404, "no such task"), Refused(401, "bad key", stops_run=True)],
        ids=["refused", "stopped"],
    )
    def test_a_refusal_after_an_unclear_answer_leaves_it_pending(self, last: Any) -> None:
        ran = run(1, {"a-1": [Unclear("reset"), last]})
        assert recorded(ran) == {
            "status": "pending",
            "code": last.code,
            "message": f"the API answered {last.code}: {last.message}",
        }
        assert ran.rows == {"p-1": "unknown"}

    def test_no_connection_after_an_unclear_answer_leaves_it_pending(self) -> None:
        ran = run(1, {"a-1": [Unclear("reset"), *[NotSent("refused")] * 99]}, retry_for=0.1)
        assert 2 <= len(ran.api.asked) < 99
        assert recorded(ran) == {"status": "pending"}
        assert ran.rows == {"p-1": "unknown"}

    def test_a_conflict_after_an_unclear_answer_is_explained_and_keeps_the_answer(self) -> None:
        ran = run(1, {"a-1": [GARBAGE, Conflict(409, "exists")]})
        assert recorded(ran) == {
            "status": "conflict",
            "code": 409,
            "message": "exists",
            "after_pending": True,
            "answer": KeptAnswer.of_text("<html>"),
        }
        assert ran.account.results[0].entry.answer == KeptAnswer.of_text("<html>")

    @pytest.mark.parametrize(
        ("last", "status"),
        [
            (Refused(404, "no"), "pending"),
            (Conflict(409, ""), "conflict"),
            (Created("i"), "created"),
        ],
    )
    def test_what_an_earlier_run_left_pending_may_have_been_made(
        self, last: Any, status: Any
    ) -> None:
        before = Entry("a-1", "p-1", Status.PENDING, answer=KeptAnswer.of_text("<half>"))
        ran = run(1, {"a-1": [last]}, [before])
        assert recorded(ran)["status"] == status
        if status == "conflict":
            assert recorded(ran)["after_pending"] is True
        if status != "created":
            assert recorded(ran)["answer"] == KeptAnswer.of_text("<half>")

    def test_an_interrupted_resume_stays_pending(self) -> None:
        before = Entry("a-1", "p-1", Status.PENDING)
        ran = run(1, {"a-1": [NotSent("refused")] * 99}, [before], retry_for=0.05)
        assert recorded(ran) == {"status": "pending"}
        assert ran.rows == {"p-1": "unknown"}

    def test_throttling_alone_makes_nothing(self) -> None:
        ran = run(1, {"a-1": [Throttled(429, "", 0.01), Refused(404, "no")]})
        assert recorded(ran) == {"status": "failed", "code": 404, "message": "no"}


class TestGivingUp:
    def test_one_persona_without_an_answer_does_not_hold_up_the_others(self) -> None:
        ran = run(3, {"a-1": [GARBAGE] * 99}, parallelism=1, retry_for=0.1)
        assert ran.rows == {"p-1": "unknown", "p-2": "created", "p-3": "created"}
        assert ran.account.stopped is None

    def test_a_few_in_a_row_end_the_run(self) -> None:
        script = {f"a-{number}": [GARBAGE] * 99 for number in range(1, 6)}
        ran = run(5, script, parallelism=1, retry_for=0.1)
        assert list(ran.rows.values()) == [*["unknown"] * 3, *["not attempted"] * 2]
        assert ran.account.stopped == (
            "the API gives no usable answer: the answer is not a JSON object"
        )
        assert ran.account.exit_code == 3

    def test_a_usable_answer_between_them_does_not(self) -> None:
        script = {"a-1": [GARBAGE] * 99, "a-3": [GARBAGE] * 99}
        ran = run(4, script, parallelism=1, retry_for=0.1)
        assert list(ran.rows.values()) == ["unknown", "created", "unknown", "created"]
        assert ran.account.stopped is None

    @pytest.mark.parametrize("parallelism", [1, 4])
    def test_a_dead_api_costs_the_budget_once_and_not_once_a_persona(
        self, parallelism: Any
    ) -> None:
        script = {f"a-{number}": [NotSent("refused")] * 9999 for number in range(1, 41)}
        ran = run(40, script, parallelism=parallelism, retry_for=0.3)
        tries = [ran.api.asked.count(f"a-{number}") for number in range(1, 41)]
        assert max(tries[:parallelism]) > 1
        assert tries[parallelism] <= 1  # by whoever gave up first
        assert not any(tries[parallelism + 1 :])
        assert ran.account.stopped == "the API gives no usable answer: refused"

    def test_no_budget_is_one_request(self) -> None:
        ran = run(1, {"a-1": [GARBAGE] * 9}, retry_for=0)
        assert ran.api.asked == ["a-1"]
        assert ran.rows == {"p-1": "unknown"}


def test_an_answer_that_may_show_the_id_is_not_given_up_for_a_later_one() -> None:
    odd = KeptAnswer.of_text('{"code":"200","data":{"personaId":"i"}}')
    script = {"a-1": [Unclear("odd", 200, odd), *[GARBAGE] * 99]}
    ran = run(1, script, retry_for=0.1)
    assert 2 <= len(ran.api.asked) < 99
    assert recorded(ran)["answer"] == odd
    assert ran.account.results[0].entry.answer == odd
    other = run(1, {"a-1": [GARBAGE, *[Unclear("odd", 200, odd)] * 99]}, retry_for=0.1)
    assert 2 <= len(other.api.asked) < 99
    assert recorded(other)["answer"] == odd
