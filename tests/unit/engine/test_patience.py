"""How long a run goes on asking."""

from __future__ import annotations

import importlib

import pytest

from personasync.engine import patience
from personasync.engine.patience import Patience, worth_a_retry
from personasync.model.outcome import Conflict, Created, NotSent, Refused, Throttled, Unclear

SILENCE = Unclear("silence")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Asker:
    """Asks with a patience, on a clock that moves only when it waits or asks."""

    def __init__(self, seconds=120.0, each=1.0):
        self.clock = Clock()
        self.patience = Patience(seconds, clock=self.clock)
        self.each = each
        self.waits = []

    def ask(self, *outcomes):
        """Ask until the patience ends; the last outcome repeats."""
        answers = list(outcomes)

        def attempt():
            self.clock.now += self.each
            outcome = answers.pop(0) if len(answers) > 1 else answers[0]
            self.patience.heard(outcome)
            return outcome

        return self.patience.retrying(pause=self._pause, told=self._told)(attempt)

    def _pause(self, seconds):
        self.clock.now += seconds

    def _told(self, _outcome, wait):
        self.waits.append(wait)


@pytest.fixture
def real_waits(monkeypatch):
    """The waits that users get."""
    real = importlib.util.module_from_spec(patience.__spec__)
    patience.__spec__.loader.exec_module(real)
    monkeypatch.setattr(patience, "_backoff", real._backoff)
    monkeypatch.setattr(patience, "_JITTER", real._JITTER)


@pytest.mark.parametrize(
    ("outcome", "retry"),
    [
        (Created("i"), False), (Conflict(409, ""), False), (Refused(404, ""), False),
        (Throttled(429, ""), True), (NotSent("refused"), True), (SILENCE, True),
    ],
)  # fmt: skip
def test_only_what_may_turn_out_otherwise_is_tried_again(outcome, retry):
    assert worth_a_retry(outcome) is retry
    asker = Asker(5)
    assert asker.ask(outcome) == outcome
    assert bool(asker.waits) is retry


@pytest.mark.usefixtures("real_waits")
def test_waits_grow_have_jitter_and_an_upper_bound():
    waits = [Asker(100_000) for _ in range(30)]
    for asker in waits:
        asker.ask(*[SILENCE] * 12, Created("i"))
    for position, (low, high) in enumerate([(0.5, 1), (1, 1.5), (2, 2.5), (4, 4.5), (8, 8.5)]):
        found = [asker.waits[position] for asker in waits]
        assert low <= min(found) < max(found) <= high
    assert all(20 <= wait <= 20.5 for asker in waits for wait in asker.waits[6:])


@pytest.mark.usefixtures("real_waits")
def test_a_wait_that_the_api_asks_for_is_kept_to_with_jitter():
    asker = Asker(100_000)
    asker.ask(*[Throttled(429, "", 7.0)] * 20, Unclear("busy", 503, None, 0.0), Created("i"))
    assert all(7.0 <= wait <= 7.5 for wait in asker.waits[:20])
    assert 0.0 <= asker.waits[20] <= 0.5
    assert len(set(asker.waits)) > 15


@pytest.mark.usefixtures("real_waits")
@pytest.mark.parametrize("seconds", [0, 1, 30, 120])
def test_no_try_begins_after_the_budget(seconds):
    asker = Asker(seconds, each=0.0)
    assert asker.ask(SILENCE) == SILENCE
    assert asker.clock.now <= seconds
    assert asker.clock.now >= seconds - 21


def test_a_wait_longer_than_the_budget_is_not_begun():
    asker = Asker(60)
    assert asker.ask(Throttled(429, "", 61.0)) == Throttled(429, "", 61.0)
    assert asker.waits == []


def test_the_budget_is_shared_while_nobody_gets_an_answer():
    asker = Asker(60)
    asker.ask(SILENCE)
    began = asker.clock.now
    asker.ask(SILENCE)
    assert asker.clock.now - began <= 1.1


def test_an_answer_gives_the_whole_run_its_budget_back():
    asker = Asker(60)
    asker.ask(SILENCE)
    asker.ask(Refused(404, "no"))
    began = asker.clock.now
    asker.ask(SILENCE)
    assert asker.clock.now - began > 55


def test_a_persona_has_no_more_than_its_own_budget_though_others_get_answers():
    asker = Asker(60)

    class Lively(Patience):
        def heard(self, outcome):
            super().heard(outcome)
            super().heard(Created("another's"))

    asker.patience = Lively(60, clock=asker.clock)
    asker.ask(SILENCE)
    assert 55 < asker.clock.now <= 62


def test_two_given_up_on_in_a_row_are_the_apis_fault():
    one = Patience(1)
    assert not one.gave_up()
    assert one.gave_up()
    one.heard(Created("i"))
    assert not one.gave_up()
    one.heard(SILENCE)
    assert one.gave_up()
