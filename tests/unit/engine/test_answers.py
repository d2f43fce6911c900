"""What becomes of an answer that says more than yes or no: nothing of it is given up."""

from __future__ import annotations

from typing import Any

import pytest

from personasync.engine.schedule import Likeness
from personasync.model.answer import KeptAnswer
from personasync.model.outcome import (
    Conflict,
    Created,
    Moved,
    NotSent,
    Refused,
    Throttled,
    Unclear,
)
from personasync.state import Entry, Status
from tests.unit.engine.fakes import persona, run


def shows(*ids: Any) -> Any:
    return KeptAnswer.of_text(" ".join(f'{{"personaId": "{persona_id}"}}' for persona_id in ids))


PAGE = KeptAnswer.of_text(
    "<html>Bad Gateway</html>",
)


def last(ran: Any, audio: str = "a-1") -> Any:
    return ran.log.folded()[audio]


def test_an_id_in_a_conflict_is_recorded_with_where_it_came_from() -> None:
    ran = run(1, {"a-1": [Created("i-1", from_conflict=True)]})
    assert (last(ran).status, last(ran).persona_id, last(ran).origin) == (
        "created",
        "i-1",
        "conflict",
    )
    assert ran.account.complete


def test_what_came_with_an_id_is_kept_with_it() -> None:
    answer = shows("i-1", "i-2")
    ran = run(1, {"a-1": [Created("i-1", answer=answer)]})
    assert last(ran).answer == answer
    assert ran.account.complete


def test_another_id_that_came_before_is_not_given_up() -> None:
    ran = run(1, {"a-1": [Unclear("cut off", 200, shows("i-1")), Created("i-2")]})
    assert last(ran).persona_id == "i-2"
    assert last(ran).answer.shown_ids == ("i-1",)


def test_the_same_id_that_came_before_needs_no_keeping() -> None:
    ran = run(1, {"a-1": [Unclear("cut off", 200, shows("i-1")), Created("i-1")]})
    assert (last(ran).persona_id, last(ran).answer) == ("i-1", None)


@pytest.mark.parametrize(
    "later",
    [Unclear("502", 502, PAGE), Unclear("silence"), Throttled(429, "", 0.01), NotSent("refused")],
    ids=lambda outcome: type(outcome).__name__,
)
def test_a_telling_answer_outlives_what_follows(later: Any) -> None:
    ran = run(1, {"a-1": [Unclear("odd", 200, shows("i-1")), *[later] * 99]}, retry_for=0.1)
    assert last(ran).answer.shown_ids == ("i-1",)
    assert ran.account.results[0].entry.answer.shown_ids == ("i-1",)


def test_two_different_ids_are_both_kept() -> None:
    script = [
        Unclear("odd", 200, shows("i-1")),
        Unclear("odd", 200, shows("i-2")),
        Conflict(409, ""),
    ]
    ran = run(1, {"a-1": script})
    assert set(last(ran).answer.shown_ids) == {"i-1", "i-2"}


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Refused(404, "no", answer=PAGE), "failed"),
        (Conflict(409, "exists", PAGE), "conflict"),
        (Conflict(422, "no", shows("i-1")), "conflict"),
        (Moved(301, "moved", answer=PAGE), "failed"),
    ],
)
def test_what_came_with_a_refusal_is_kept(outcome: Any, status: Any) -> None:
    ran = run(1, {"a-1": [outcome]})
    assert (last(ran).status, last(ran).answer) == (status, outcome.answer)


def test_what_came_with_a_throttling_is_kept_before_it_is_asked_again() -> None:
    ran = run(1, {"a-1": [Throttled(429, "busy", 0.01, shows("i-1")), Refused(404, "no")]})
    kept = [entry.answer.shown_ids for entry in ran.log.entries if entry.answer]
    assert kept[0] == ("i-1",)
    # An ID was named, so something may exist: a refusal proves nothing.
    assert last(ran).status is Status.PENDING


def test_a_resumed_persona_keeps_what_an_earlier_run_received() -> None:
    before = Entry("a-1", "p-1", Status.PENDING, answer=shows("i-1"))
    ran = run(1, {"a-1": [Unclear("502", 502, PAGE)] * 99}, [before], retry_for=0.1)
    assert last(ran).answer.shown_ids == ("i-1",)


class TestTheRunEnds:
    def test_when_a_conflict_proves_that_answers_are_lost(self) -> None:
        ran = run(9, {"a-1": [Unclear("time-out"), Conflict(409, "exists")]}, parallelism=1)
        assert ran.api.asked == ["a-1", "a-1"]
        assert ran.rows["p-1"] == "conflict"
        assert "'p-1'" in str(ran.account.stopped)
        assert "read_timeout" in str(ran.account.next_step)
        assert ran.account.exit_code == 3

    def test_not_when_the_conflict_is_an_earlier_runs(self) -> None:
        before = Entry("a-1", "p-1", Status.PENDING)
        ran = run(3, {"a-1": [Conflict(409, "exists")]}, [before], parallelism=1)
        assert ran.rows == {"p-1": "conflict", "p-2": "created", "p-3": "created"}

    def test_not_when_the_conflict_names_the_id(self) -> None:
        script = {"a-1": [Unclear("time-out"), Created("i", from_conflict=True)]}
        ran = run(3, script, parallelism=1)
        assert ran.account.complete

    @pytest.mark.parametrize("location", [None, "https://other.example"])
    def test_when_the_api_has_moved(self, location: Any) -> None:
        ran = run(9, {"a-1": [Moved(301, "the API has moved", location)]}, parallelism=1)
        assert ran.api.asked == ["a-1"]
        assert ran.rows["p-1"] == "failed"
        assert ran.account.exit_code == 1
        assert (location or "base_url") in str(ran.account.next_step)

    def test_when_a_proxy_refuses(self) -> None:
        ran = run(
            9, {"a-1": [NotSent("the proxy wants a password", stops_run=True)]}, parallelism=1
        )
        assert ran.api.asked == ["a-1"]
        assert ran.rows["p-1"] == "failed"
        assert ran.account.exit_code == 1

    def test_when_a_refusal_for_all_names_an_id(self) -> None:
        outcome = Conflict(402, "no credits", shows("i-1"), stops_run=True)
        ran = run(9, {"a-1": [outcome]}, parallelism=1)
        assert ran.api.asked == ["a-1"]
        assert ran.rows["p-1"] == "conflict"

    def test_after_five_equal_refusals(self) -> None:
        script = {f"a-{n}": [Refused(404, "no", likeness="404 no")] for n in range(1, 20)}
        ran = run(19, script, parallelism=1)
        assert len(ran.api.asked) == 5
        assert ran.account.exit_code == 1
        assert "same refusal" in str(ran.account.stopped)


class TestLikeness:
    def heard(self, *outcomes: Any, tasks: int = 99) -> Any:
        likeness = Likeness()
        return [
            likeness.heard(outcome, persona(n, task_id=f"t-{n % tasks}").request)
            for n, outcome in enumerate(outcomes)
        ]

    SAME = Refused(404, "no", likeness="404 no")

    def test_the_fifth_ends_it(self) -> None:
        assert self.heard(*[self.SAME] * 6) == [False] * 4 + [True, False]

    @pytest.mark.parametrize(
        "other",
        [
            Created("i"),
            Refused(422, "no"),
            Refused(404, "another", likeness="404 another"),
            Throttled(429, ""),
            Unclear("503", 503),
        ],
    )
    def test_any_other_answer_shows_that_it_is_not_for_all(self, other: Any) -> None:
        assert not any(self.heard(self.SAME, other, *[self.SAME] * 9))

    def test_what_got_no_answer_says_nothing(self) -> None:
        assert self.heard(self.SAME, NotSent("x"), *[self.SAME] * 4)[-1] is True

    def test_one_task_may_be_at_fault(self) -> None:
        assert not any(self.heard(*[self.SAME] * 9, tasks=1))

    def test_one_persona_asked_again_counts_once(self) -> None:
        likeness, request = Likeness(), persona(1).request
        assert not any(likeness.heard(self.SAME, request) for _ in range(9))


class TestOnceMore:
    PASSING = Refused(451, "cannot fetch", once_more=True)

    def test_it_is_asked_once_more(self) -> None:
        ran = run(1, {"a-1": [self.PASSING, Created("i")]}, retry_for=0.1)
        assert ran.account.complete

    def test_and_then_it_has_failed(self) -> None:
        ran = run(2, {"a-1": [self.PASSING] * 9}, retry_for=0.1)
        assert ran.api.asked.count("a-1") == 2
        assert ran.rows == {"p-1": "failed", "p-2": "created"}
        assert last(ran).code == 451

    def test_but_not_where_nothing_is_asked_again(self) -> None:
        ran = run(1, {"a-1": [self.PASSING] * 9}, retry_for=0)
        assert ran.api.asked == ["a-1"]


def test_what_met_trouble_is_asked_after_what_was_never_asked() -> None:
    hour = "2026-11-26T0{}:00:00Z".format
    before = [
        Entry("a-1", "p-1", Status.PENDING, at=hour(5)),
        Entry("a-2", "p-2", Status.FAILED, code=404, at=hour(4)),
        Entry("a-3", "p-3", Status.PENDING, at=hour(2)),
        Entry("a-4", "p-4", Status.FAILED, message="never sent", at=hour(1)),
    ]
    ran = run(6, entries=before, parallelism=1)
    assert ran.api.asked == ["a-4", "a-5", "a-6", "a-2", "a-3", "a-1"]
    assert [row.action.key for row in ran.account.results] == [f"p-{n}" for n in range(1, 7)]
