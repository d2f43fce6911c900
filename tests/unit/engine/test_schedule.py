"""The rate: never exceeded where it counts, at the API, and hardly any of it wasted."""

from __future__ import annotations

import heapq
import math
import threading
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from personasync.engine.pace import Pace, Window
from personasync.model.units import Rate
from tests.unit.engine.fakes import LONG

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


def allowance(rate):
    return max(0.5, rate.seconds * 0.04)


def simulate(rate, requests):
    """Send requests one after another as the window lets them; return when each left, came to
    the API, and was answered."""
    window, now, answers, left = Window(rate), 0.0, [], []
    for number, (gap, writing, share, latency) in enumerate(requests):
        now += gap
        while True:
            while answers and answers[0][0] <= now:
                when, _number, slot = heapq.heappop(answers)
                window.answered(slot, when)
            wait = window.wait(now)
            if wait <= 0:
                break
            until = min(now + wait, answers[0][0] if answers else math.inf)
            now = until if until > now else math.nextafter(now, math.inf)
        slot = window.take()
        now += writing
        window.sent(slot, now)
        arrival = now + share * allowance(rate)
        heapq.heappush(answers, (arrival + latency, number, slot))
        left.append((now - writing, arrival, arrival + latency))
    return left


@brief
@given(rates, journeys)
@example(Rate(1, 10.0), [(0, 0, 1, 60), (0, 0, 0, 0)])
@example(Rate(1, 10.0), [(0, 2, 1, 0), (0, 0, 0, 0)])
@example(Rate(2, 1.0), [(0, 0, 1, 9), (0, 0, 0, 0)] * 9)
def test_no_window_at_the_api_ever_sees_more(rate, requests):
    arrivals = sorted(arrival for _left, arrival, _answer in simulate(rate, requests))
    for first, beyond in zip(arrivals, arrivals[rate.count :], strict=False):
        assert beyond - first >= rate.seconds * (1 - 1e-9)


@brief
@given(rates, journeys)
def test_a_slot_costs_its_window_and_at_most_the_allowance(rate, requests):
    """Whoever is let in waited for no longer than the rate made necessary."""
    eager = [(0.0, 0.0, share, latency) for _gap, _writing, share, latency in requests]
    left = simulate(rate, eager)
    for earlier, later in zip(left, left[rate.count :], strict=False):
        needed = min(rate.seconds + allowance(rate), earlier[2] - earlier[0] + rate.seconds)
        oldest = max(each[0] for each in left[: left.index(earlier) + 1])
        assert later[0] <= oldest + needed + rate.seconds * 1e-9 + allowance(rate)


def test_with_quick_answers_the_rate_is_used_to_the_full():
    left = simulate(Rate(20, 10.0), [(0.0, 0.001, 0.2, 0.1)] * 200)
    took = left[-1][0] - left[0][0]
    assert took <= 9 * 10.0 * 1.05


def test_the_first_requests_need_not_wait():
    left = simulate(Rate(20, 10.0), [(0.0, 0.0, 0.0, 5.0)] * 20)
    assert {departure for departure, _arrival, _answer in left} == {0.0}


def test_a_slot_that_has_not_left_is_not_given_to_another():
    window = Window(Rate(1, 1.0))
    slot = window.take()
    assert window.wait(1e9) == math.inf
    window.sent(slot, 1e9)
    assert window.wait(1e9 + 1.0) == pytest.approx(0.5)
    window.answered(slot, 1e9 + 0.25)
    assert window.wait(1e9 + 1.0) == pytest.approx(0.25)
    assert window.wait(1e9 + 1.25) == 0.0


def test_a_late_answer_does_not_hold_a_slot_longer():
    window = Window(Rate(1, 1.0))
    slot = window.take()
    window.sent(slot, 0.0)
    window.answered(slot, 1.4)
    assert window.wait(1.5) == 0.0


class TestPace:
    @pytest.fixture
    def once_waiting(self, waiting):
        """Does something in another thread, as soon as the test waits for the pace."""
        threads = []

        def do(action):
            threads.append(threading.Thread(target=lambda: waiting.wait(LONG) and action()))
            threads[-1].start()

        yield do
        for thread in threads:
            thread.join()

    def test_without_a_rate_nobody_waits(self):
        pace = Pace(None)
        slots = [pace.admit() for _ in range(1000)]
        assert all(pace.depart(slot) for slot in slots)
        pace.answered(slots[0])

    def test_a_slot_is_free_a_window_after_its_answer(self):
        moments = [100.0, 100.0, 100.125, 100.25, 100.375]
        pace = Pace(Rate(1, 0.25), clock=lambda: moments.pop(0))
        slot = pace.admit()
        assert pace.depart(slot)
        pace.answered(slot)
        assert pace.admit() is not None
        assert moments == []  # not at the last but one, and at the last

    def test_an_answer_frees_whoever_waits_for_it(self, once_waiting):
        pace = Pace(Rate(1, 0.05))
        slot = pace.admit()
        once_waiting(lambda: (pace.depart(slot), pace.answered(slot)))
        started = time.monotonic()
        assert pace.admit() is not None
        assert time.monotonic() - started < LONG

    @pytest.mark.parametrize(
        "wait",
        [
            lambda pace: pace.admit(),
            lambda pace: pace.pause(2 * LONG) or None,
            lambda pace: pace.slow_down(2 * LONG) or pace.admit(),
            lambda pace: pace.slow_down(1e12) or pace.admit(),
        ],
        ids=["admit", "pause", "slowed-down", "slowed-down-for-ages"],
    )
    def test_closing_wakes_everyone_at_once(self, once_waiting, wait):
        pace = Pace(Rate(1, 3.6e12))
        slot = pace.admit()
        pace.depart(slot)
        once_waiting(pace.close)
        started = time.monotonic()
        assert wait(pace) is None
        assert time.monotonic() - started < LONG
        assert pace.closed

    def test_closing_keeps_back_what_has_not_left(self, once_waiting):
        pace = Pace(None)
        slot = pace.admit()
        pace.slow_down(2 * LONG)
        once_waiting(pace.close)
        assert not pace.depart(slot)
        assert not pace.depart(slot)

    def test_what_was_admitted_may_leave_unless_it_ends_at_once(self):
        pace = Pace(Rate(2, 60.0))
        first, second = pace.admit(), pace.admit()
        pace.close(at_once=False)
        assert pace.admit() is None
        assert pace.depart(first)
        pace.close()
        pace.close(at_once=False)
        assert not pace.depart(second)

    def test_what_was_admitted_and_would_have_to_wait_stays(self, once_waiting):
        pace = Pace(None)
        slot = pace.admit()
        pace.slow_down(2 * LONG)
        once_waiting(lambda: pace.close(at_once=False))
        started = time.monotonic()
        assert not pace.depart(slot)
        assert time.monotonic() - started < LONG

    def test_closed_is_closed(self):
        pace = Pace(None)
        pace.close()
        pace.close()
        assert pace.admit() is None
        started = time.monotonic()
        pace.pause(2 * LONG)
        assert time.monotonic() - started < LONG

    def test_a_slow_down_is_never_cut_short_by_another(self):
        moments = [100.0, 100.0, 149.875, 150.0]
        pace = Pace(None, clock=lambda: moments.pop(0))
        pace.slow_down(50)
        pace.slow_down(10)
        assert pace.admit() is not None
        assert moments == []  # not at the last but one, and at the last

    @pytest.mark.usefixtures("slots_until_answered")
    def test_many_threads_keep_to_the_rate(self):
        pace = Pace(Rate(5, 0.2))
        times, guard = [], threading.Lock()

        def work():
            for _ in range(3):
                slot = pace.admit()
                assert pace.depart(slot)
                with guard:
                    times.append(time.monotonic())
                pace.answered(slot)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        times.sort()
        assert len(times) == 24
        assert all(b >= a + 0.2 for a, b in zip(times, times[5:], strict=False))
