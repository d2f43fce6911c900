"""One persona's way, with nothing around it: what is recorded and told of each thing it meets.

The whole way, with the requests and the log, is in ``test_outcomes``.
"""

from __future__ import annotations

from typing import Any

import pytest

from personasync.engine.attempt import Attempt, Step
from personasync.engine.events import EventKind, Result
from personasync.model.answer import KeptAnswer
from personasync.model.outcome import Conflict, Created, NotSent, Refused, Throttled, Unclear
from personasync.plan.compute import Action, ActionKind
from personasync.state import Status
from personasync.state.entry import Entry
from tests.unit.engine.fakes import persona

AT = "2026-11-26T03:00:00Z"
UNCLEAR = Unclear("reset", 502, KeptAnswer.of_text("<html>"))


def attempt(*met: Any, resumed: bool = False) -> Any:
    entry = (
        Entry("a-1", "p-1", Status.PENDING, answer=KeptAnswer.of_text("<half>"))
        if resumed
        else None
    )
    kind = ActionKind.RESUME if resumed else ActionKind.CREATE
    made = Attempt("run", Action(kind, "p-1", "a-1", entry=entry), persona(1))
    for outcome in met:
        made.sent(AT)
        made.heard(outcome)
    return made


def test_pending_says_what_will_be_sent() -> None:
    entry = attempt().pending(AT)
    assert (entry.status, entry.audio_id, entry.key, entry.at, entry.run) == (
        Status.PENDING, "a-1", "p-1", AT, "run",
    )  # fmt: skip
    assert entry.request == persona(1).request


def test_only_the_first_request_is_told() -> None:
    made = attempt()
    assert made.sent(AT).kind is EventKind.CREATE_START
    assert made.sent(AT) is None
    assert made.tries == 2


@pytest.mark.parametrize(
    ("met", "last", "result", "status"),
    [
        ([], Created("i"), Result.CREATED, Status.CREATED),
        ([], Conflict(409, "x"), Result.CONFLICT, Status.CONFLICT),
        ([], Refused(404, "x"), Result.FAILED, Status.FAILED),
        ([], NotSent("x"), Result.FAILED, Status.FAILED),
        ([], UNCLEAR, Result.UNKNOWN, Status.PENDING),
        ([], Throttled(429, "x"), Result.UNKNOWN, None),
        ([UNCLEAR], Created("i"), Result.CREATED, Status.CREATED),
        ([UNCLEAR], Conflict(409, "x"), Result.CONFLICT, Status.CONFLICT),
        ([UNCLEAR], Refused(404, "x"), Result.UNKNOWN, Status.PENDING),
        ([UNCLEAR], NotSent("x"), Result.UNKNOWN, None),
        ([Throttled(429, "x")], NotSent("x"), Result.FAILED, Status.FAILED),
    ],
)
def test_how_it_ends(met: Any, last: Any, result: Any, status: Any) -> None:
    step = attempt(*met, last).settle(last, AT)
    assert step.result.result is result
    assert (step.entry.status if step.entry else None) is status
    assert step.event is not None


def test_an_answer_that_must_be_kept_is_appended_before_the_next_try() -> None:
    step = attempt(UNCLEAR).again(UNCLEAR, 2.0, AT)
    assert (step.entry.status, step.entry.answer, step.entry.code) == (
        Status.PENDING, UNCLEAR.answer, 502,
    )  # fmt: skip
    assert (step.event.kind, step.event.attempt, step.event.wait) == ("create_retry", 2, 2.0)
    assert step.result is None


@pytest.mark.parametrize("outcome", [NotSent("refused"), Throttled(429, ""), Unclear("silence")])
def test_where_nothing_came_back_nothing_is_appended(outcome: Any) -> None:
    assert attempt(outcome).again(outcome, 1.0, AT).entry is None


@pytest.mark.parametrize(("resumed", "status"), [(False, Status.FAILED), (True, None)])
def test_what_was_never_sent_is_taken_back_unless_an_earlier_run_may_have_made_it(
    resumed: Any, status: Any
) -> None:
    step = attempt(resumed=resumed).take_back(AT)
    assert (step.entry.status if step.entry else None) is status
    assert (step.event, step.result.result) == (None, Result.NOT_ATTEMPTED)


class TestNotRecorded:
    def test_an_id_is_told_with_where_it_is_kept(self) -> None:
        made = attempt(Created("i"))
        step = made.unrecorded(made.settle(Created("i"), AT), "full", AT, kept="x.rescue")
        assert (step.entry, step.event.rescued, step.result.rescued) == (
            None, "x.rescue", "x.rescue",
        )  # fmt: skip

    @pytest.mark.parametrize("last", [Conflict(409, ""), Refused(404, ""), UNCLEAR])
    def test_any_other_outcome_is_unknown(self, last: Any) -> None:
        made = attempt(last)
        step = made.unrecorded(made.settle(last, AT), "full", AT, kept="")
        assert step.entry is None
        assert step.result.result is Result.UNKNOWN
        assert step.result.reason == "its outcome could not be recorded: full"

    @pytest.mark.parametrize("kept", ["x.rescue", ""])
    def test_an_answer_that_shows_an_id_is_told_with_where_it_is_kept(self, kept: Any) -> None:
        shows = Unclear("?", answer=KeptAnswer.of_text('{"personaId": "f00dcafe42", "'))
        made = attempt(shows)
        step = made.unrecorded(made.settle(shows, AT), "full", AT, kept=kept)
        assert (step.result.result, step.result.rescued) == (Result.UNKNOWN, kept)

    def test_what_was_never_sent_stays_so(self) -> None:
        made = attempt()
        step = made.unrecorded(made.take_back(AT), "full", AT, kept="")
        assert step == Step(None, None, step.result)
        assert step.result.result is Result.NOT_ATTEMPTED
