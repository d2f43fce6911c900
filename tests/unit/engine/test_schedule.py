"""When requests may leave: the rate is never exceeded where it counts, at the API, and hardly
any of it wasted; and how long a persona is asked for again."""

from __future__ import annotations

import heapq
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from personasync.engine import schedule as module
from personasync.engine.schedule import RetryBudget, Schedule, Window, worth_a_retry
from personasync.model.outcome import Conflict, Created, NotSent, Refused, Throttled, Unclear
from personasync.model.units import Rate

brief = settings(max_examples=200, deadline=None)

journeys = st.lists(
    st.tuples(
        st.floats(0, 3),  # until the next one wants to leave
        st.floats(0, 2),  # to write its ``pending``
        st.floats(0, 1),  # of the allowance, on its way to the API
        st.floats(0, 30) | st.just(math.inf),  # from there until its answer is here
    ),
    max_size=60,
)
rates = st.builds(Rate, st.integers(1, 6), st.sampled_from([0.2, 1.0, 10.0, 60.0]))


def allowance(rate: Any) -> Any:
    return max(0.5, rate.seconds * 0.04)


def simulate(rate: Any, requests: Any) -> Any:
    """Send requests one after another as the window lets them; return when each left, came to
    the API, and was answered."""
    window, now = Window(rate), 0.0
    answers: list[Any] = []
    left: list[Any] = []
    for number, (gap, writing, share, latency) in enumerate(requests):
        now += gap
        while True:
            while answers and answers[0][0] <= now:
                when, _number, slot = heapq.heappop(answers)
                window.answered(slot, when)
            if window.room(now) > 0:
                now += writing  # whoever writes its ``pending`` looks again before it leaves
                writing = 0.0
                if window.room(now) > 0:
                    break
            until = min(window.free_at(now), answers[0][0] if answers else math.inf)
            now = until if until > now else math.nextafter(now, math.inf)
        slot = window.sent(now)
        arrival = now + share * allowance(rate)
        heapq.heappush(answers, (arrival + latency, number, slot))
        left.append((now, arrival, arrival + latency))
    return left


@brief
@given(rates, journeys)
@example(Rate(1, 10.0), [(0, 0, 1, 60), (0, 0, 0, 0)])
@example(Rate(1, 10.0), [(0, 2, 1, 0), (0, 0, 0, 0)])
@example(Rate(2, 1.0), [(0, 0, 1, 9), (0, 0, 0, 0)] * 9)
def test_no_window_at_the_api_ever_sees_more(rate: Any, requests: Any) -> None:
    arrivals = sorted(arrival for _left, arrival, _answer in simulate(rate, requests))
    for first, beyond in zip(arrivals, arrivals[rate.count :], strict=False):
        assert beyond - first >= rate.seconds * (1 - 1e-9)


@brief
@given(rates, journeys)
def test_a_slot_costs_its_window_and_at_most_the_allowance(rate: Any, requests: Any) -> None:
    """Whoever is let in waited for no longer than the rate made necessary."""
    eager = [(0.0, 0.0, share, latency) for _gap, _writing, share, latency in requests]
    left = simulate(rate, eager)
    for earlier, later in zip(left, left[rate.count :], strict=False):
        needed = min(rate.seconds + allowance(rate), earlier[2] - earlier[0] + rate.seconds)
        oldest = max(each[0] for each in left[: left.index(earlier) + 1])
        assert later[0] <= oldest + needed + rate.seconds * 1e-9 + allowance(rate)


def test_with_quick_answers_the_rate_is_used_to_the_full() -> None:
    left = simulate(Rate(20, 10.0), [(0.0, 0.001, 0.2, 0.1)] * 200)
    took = left[-1][0] - left[0][0]
    assert took <= 9 * 10.0 * 1.05


def test_the_first_requests_need_not_wait() -> None:
    left = simulate(Rate(20, 10.0), [(0.0, 0.0, 0.0, 5.0)] * 20)
    assert {departure for departure, _arrival, _answer in left} == {0.0}


def test_a_late_answer_does_not_hold_a_slot_longer() -> None:
    window = Window(Rate(1, 1.0))
    slot = window.sent(0.0)
    window.answered(slot, 1.4)
    assert window.free_at(1.4) == 1.5
    assert window.room(1.5) == 1


class TestSchedule:
    def test_without_a_rate_nobody_waits(self) -> None:
        schedule = Schedule(None, 4)
        assert schedule.room(0.0) == math.inf
        assert schedule.free_at(7.0) == 7.0
        schedule.answered(schedule.sent(7.0), 8.0)

    def test_a_slot_is_free_a_window_after_its_answer(self) -> None:
        schedule = Schedule(Rate(1, 0.25), 4)
        slot = schedule.sent(100.0)
        assert (schedule.room(100.0), schedule.free_at(100.0)) == (0, 100.75)
        schedule.answered(slot, 100.125)
        assert schedule.free_at(100.125) == 100.375
        assert (schedule.room(100.25), schedule.room(100.375)) == (0, 1)

    def test_a_slow_down_holds_everyone_back_and_is_never_cut_short_by_another(self) -> None:
        schedule = Schedule(None, 4)
        schedule.slow_down(150.0)
        schedule.slow_down(110.0)
        assert (schedule.room(149.875), schedule.free_at(100.0)) == (0, 150.0)
        assert schedule.room(150.0) == math.inf

    def test_closed_what_is_prepared_may_leave_unless_it_ends_at_once(self) -> None:
        schedule = Schedule(Rate(2, 60.0), 4)
        schedule.close(at_once=False)
        assert (schedule.closed, schedule.room(0.0)) == (True, 2)
        schedule.close()
        schedule.close(at_once=False)
        assert (schedule.closed, schedule.room(0.0)) == (True, 0)

    @pytest.mark.parametrize(
        ("appends", "ahead"),
        [([], 0), ([0.001] * 9, 0), ([0.03], 0), ([0.03] * 4, 4), ([0.2, 0.001, 0.2, 0.2], 0)],
    )
    def test_pendings_are_written_ahead_where_the_state_is_far_away(
        self, appends: Any, ahead: Any
    ) -> None:
        schedule = Schedule(None, 4)
        for seconds in appends:
            schedule.appended(seconds)
        assert schedule.ahead == ahead


SILENCE = Unclear("silence")


class Asker:
    """Asks within a budget, on a clock that moves only when it waits or asks."""

    def __init__(
        self, seconds: float = 120.0, each: float = 1.0, budget: Any = None, now: float = 0.0
    ) -> None:
        self.now = now
        self.budget = budget or RetryBudget(seconds)
        self.each = each
        self.waits: list[float] = []

    def ask(self, *outcomes: Any) -> Any:
        """Ask until the budget ends; the last outcome repeats."""
        answers, since, tries = list(outcomes), None, 0
        while True:
            self.now += self.each
            tries += 1
            outcome = answers.pop(0) if len(answers) > 1 else answers[0]
            self.budget.heard(outcome, self.now)
            since = self.now if since is None else since
            if not worth_a_retry(outcome):
                return outcome
            wait = self.budget.wait(outcome, tries=tries, since=since, now=self.now)
            if wait is None:
                return outcome
            self.waits.append(wait)
            self.now += wait


class TestRetryBudget:
    @pytest.fixture(autouse=True)
    def _real_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The waits that users get."""
        monkeypatch.setattr(module, "_FIRST_WAIT", 0.5)
        monkeypatch.setattr(module, "_LONGEST_WAIT", 20.0)
        monkeypatch.setattr(module, "_JITTER", 0.5)

    @pytest.mark.parametrize(
        ("outcome", "retry"),
        [
            (Created("i"), False), (Conflict(409, ""), False), (Refused(404, ""), False),
            (Throttled(429, ""), True), (NotSent("refused"), True), (SILENCE, True),
        ],
    )  # fmt: skip
    def test_only_what_may_turn_out_otherwise_is_tried_again(
        self, outcome: Any, retry: Any
    ) -> None:
        assert worth_a_retry(outcome) is retry
        asker = Asker(5)
        assert asker.ask(outcome) == outcome
        assert bool(asker.waits) is retry

    def test_waits_grow_have_jitter_and_an_upper_bound(self) -> None:
        waits = [Asker(100_000) for _ in range(30)]
        for asker in waits:
            asker.ask(*[SILENCE] * 12, Created("i"))
        for position, (low, high) in enumerate([(0.5, 1), (1, 1.5), (2, 2.5), (4, 4.5), (8, 8.5)]):
            found = [asker.waits[position] for asker in waits]
            assert low <= min(found) < max(found) <= high
        assert all(20 <= wait <= 20.5 for asker in waits for wait in asker.waits[6:])

    def test_a_wait_that_the_api_asks_for_is_kept_to_with_jitter(self) -> None:
        asker = Asker(100_000)
        asker.ask(*[Throttled(429, "", 7.0)] * 20, Unclear("busy", 503, None, 0.0), Created("i"))
        assert all(7.0 <= wait <= 7.5 for wait in asker.waits[:20])
        assert 0.0 <= asker.waits[20] <= 0.5
        assert len(set(asker.waits)) > 15

    @pytest.mark.parametrize("seconds", [0, 1, 30, 120])
    def test_no_try_begins_after_the_budget(self, seconds: float) -> None:
        asker = Asker(seconds, each=0.0)
        assert asker.ask(SILENCE) == SILENCE
        assert seconds - 21 <= asker.now <= seconds

    def test_a_wait_longer_than_the_budget_is_not_begun(self) -> None:
        asker = Asker(60)
        assert asker.ask(Throttled(429, "", 61.0)) == Throttled(429, "", 61.0)
        assert asker.waits == []

    def test_the_budget_is_shared_while_nobody_gets_an_answer(self) -> None:
        asker = Asker(60)
        asker.ask(SILENCE)
        asker.ask(SILENCE)  # whose own budget would last until 80 s at least
        first_failure, last_tries = 1, 2
        assert asker.now <= first_failure + 60 + last_tries

    def test_an_answer_gives_the_whole_run_its_budget_back(self) -> None:
        asker = Asker(60)
        asker.ask(SILENCE)
        asker.ask(Refused(404, "no"))
        began = asker.now
        asker.ask(SILENCE)
        assert asker.now - began > 38

    def test_a_persona_has_no_more_than_its_own_budget_though_others_get_answers(self) -> None:
        class Lively(RetryBudget):
            def heard(self, outcome: Any, now: Any) -> None:
                super().heard(outcome, now)
                super().heard(Created("another's"), now)

        asker = Asker(budget=Lively(60))
        asker.ask(SILENCE)
        assert 38 < asker.now <= 62

    def test_two_given_up_on_in_a_row_are_the_apis_fault(self) -> None:
        one = RetryBudget(1)
        assert not one.gave_up(SILENCE)
        assert one.gave_up(SILENCE)
        one.heard(Created("i"), 1.0)
        assert not one.gave_up(SILENCE)
        one.heard(SILENCE, 2.0)
        assert one.gave_up(SILENCE)

    def test_where_the_api_answers_it_takes_three(self) -> None:
        one = RetryBudget(1)
        assert [one.gave_up(Unclear("oops", 500)) for _ in range(3)] == [False, False, True]

    def test_where_nothing_comes_in_time_the_first_is_enough(self) -> None:
        late = Unclear("no whole answer", late=True)
        assert RetryBudget(1).gave_up(late)
        lively = RetryBudget(1)
        lively.heard(Created("i"), 1.0)
        assert [lively.gave_up(late) for _ in range(2)] == [False, True]

    def test_chance_is_passed_in(self) -> None:
        budget = RetryBudget(60, chance=lambda low, high: high)
        assert budget.wait(SILENCE, tries=1, since=0.0, now=0.0) == 1.0
