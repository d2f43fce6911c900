"""Whole runs in one thread and no time: the conductor driven by a simulated world.

Whatever answers come, in whatever order, and whenever the log fails: no request
leaves before its ``pending`` is durable, no ID is told before it is, and every ID
that came is in the log or was kept elsewhere.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from personasync.engine.conductor import Conductor
from personasync.engine.events import Event, EventKind
from personasync.engine.messages import Answer, Appended, Go, Halt, KnownTold
from personasync.engine.schedule import RetryBudget, Schedule
from personasync.model.answer import KeptAnswer
from personasync.model.errors import StateWriteError
from personasync.model.outcome import (
    Conflict,
    Created,
    Moved,
    NotSent,
    Refused,
    Throttled,
    Unclear,
)
from personasync.model.units import Rate
from personasync.plan.compute import SPENDING
from personasync.state import Status
from tests.unit.engine.fakes import MemoryLog, plan_of

SHOWS_ID = KeptAnswer.of_text('{"data": {"personaId": "kept-1"}}')

outcomes = st.sampled_from(
    [
        Created("CREATED"),
        Created("CREATED", from_conflict=True),
        Created("CREATED", answer=SHOWS_ID),
        Conflict(409, "exists"),
        Conflict(422, "no", SHOWS_ID),
        Refused(404, "no such audio", likeness="404"),
        Refused(401, "no", stops_run=True),
        Refused(451, "cannot fetch", once_more=True),
        Throttled(429, "slow down", 3.0),
        NotSent("refused"),
        NotSent("proxy", stops_run=True),
        Moved(301, "moved", "https://other.example"),
        Unclear("reset"),
        Unclear("odd", 502, SHOWS_ID),
    ]
)
lives = st.lists(st.tuples(outcomes, st.floats(0.01, 40.0)), max_size=5)


class SimulatedWorld:
    """Time that passes only as it is waited for, and answers that come in it."""

    log: Any

    def __init__(self, lives: Any, halts: Any, append_seconds: Any) -> None:
        self.time = 0.0
        self.append_seconds = append_seconds
        self.coming: list[Any] = []
        self.number = itertools.count()
        self.lives = [deque(life) for life in lives]
        self.asked: list[Any] = []
        self.given: list[Any] = []
        self.most_at_once = self.under_way = 0
        for moment in halts:
            self.put(moment, Halt("interrupted", at_once=False))

    def put(self, moment: Any, message: Any) -> None:
        heapq.heappush(self.coming, (moment, next(self.number), message))

    # The world of the conductor.

    def now(self) -> Any:
        return self.time

    def written(self) -> str:
        return "2026-11-26T03:00:00Z"

    def receive(self, until: Any) -> Any:
        if self.coming and self.time < until:
            self.time = max(self.time, min(until, self.coming[0][0]))
        elif self.time < until < math.inf:
            self.time = until
        assert until < math.inf or self.coming, "it would wait for ever"
        found = []
        while self.coming and self.coming[0][0] <= self.time:
            message = heapq.heappop(self.coming)[2]
            if callable(message):
                message = message()
            found.append(message)
            self.under_way -= isinstance(message, Answer)
        return found

    def beside(self, append: Any) -> Any:
        ended = []

        def made() -> Any:
            try:
                append()
            except StateWriteError as error:
                ended.append(error)
            return Appended()

        def wait(_seconds: Any) -> Any:
            for error in ended:
                raise error

        self.put(self.time + self.append_seconds, made)
        return wait

    # Who asks the API.

    def hire(self, count: Any) -> bool:
        return True

    def ask(self, request: Any) -> None:
        audio = request.audio_id
        assert self.log.folded()[audio].status is Status.PENDING, "sent before it was durable"
        self.asked.append((self.time, audio))
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        life = self.lives[int(audio[2:]) - 1]
        outcome, latency = life.popleft() if life else (Created("CREATED"), 1.0)
        if isinstance(outcome, Created):
            outcome = Created(f"id-{audio}", outcome.from_conflict, outcome.answer)
            self.given.append((audio, outcome.persona_id))
        self.put(self.time + latency, Answer(audio, outcome))


class Far(Schedule):
    """The schedule of a run whose appends take so long that they are made beside it."""

    @property
    def ahead(self) -> Any:
        return self.places


def conduct(
    lives: Any,
    *,
    parallelism: int = 3,
    rate: Any = None,
    fails: Any = (),
    halts: Any = (),
    entries: Any = (),
    append_seconds: float = 0.0,
) -> Any:
    world = SimulatedWorld(lives, halts, append_seconds)
    appends = itertools.count()
    log = MemoryLog(entries, fails=lambda _entry: next(appends) in fails)
    world.log = log
    told = []

    def tell(message: Any) -> None:
        if isinstance(message, KnownTold):
            world.put(world.time, Go())
        if isinstance(message, Event) and message.kind is EventKind.CREATE_DONE:
            held = log.folded()[str(message.audio_id)].persona_id == message.persona_id
            assert held or message.rescued is not None, "told before it was durable"
        told.append(message)

    conductor = Conductor(
        "run",
        log,
        world=world,
        asker=world,
        schedule=(Far if append_seconds else Schedule)(rate, parallelism),
        budget=RetryBudget(60.0),
        tell=tell,
    )
    plan = plan_of(len(lives), entries)
    to_ask = [action for action in plan.actions if action.kind in SPENDING]
    conductor.conduct([], to_ask)
    return conductor, world, told


@settings(max_examples=300, deadline=None)
@given(
    st.lists(lives, min_size=1, max_size=12),
    st.integers(1, 5),
    st.none() | st.builds(Rate, st.integers(1, 4), st.sampled_from([1.0, 10.0])),
    st.sets(st.integers(0, 60), max_size=3),
    st.lists(st.floats(0.0, 60.0), max_size=1),
    st.sampled_from([0.0, 0.03, 3.0]),
)
def test_no_id_is_lost_and_nothing_is_told_too_early(
    lives: Any, parallelism: Any, rate: Any, fails: Any, halts: Any, append_seconds: Any
) -> None:
    conductor, world, told = conduct(
        lives,
        parallelism=parallelism,
        rate=rate,
        fails=fails,
        halts=halts,
        append_seconds=append_seconds,
    )
    assert conductor.failure is None
    log = world.log
    known = {entry.audio_id: entry.persona_id for entry in log.folded().values()}
    rescued = {(entry.audio_id, entry.persona_id) for entry in log.rescued}
    for audio, persona_id in world.given:
        assert known.get(audio) == persona_id or (audio, persona_id) in rescued
    assert world.most_at_once <= parallelism
    ends = [e.audio_id for e in told if isinstance(e, Event) and e.kind in ENDS]
    assert len(ends) == len(set(ends)), "an end is told once"
    assert {audio for _moment, audio in world.asked} == set(ends)
    if rate is not None:
        moments = [moment for moment, _audio in world.asked]
        for first, beyond in zip(moments, moments[rate.count :], strict=False):
            assert beyond - first >= rate.seconds * (1 - 1e-9)


ENDS = {
    EventKind.CREATE_DONE,
    EventKind.CREATE_FAILED,
    EventKind.CREATE_CONFLICT,
    EventKind.CREATE_UNKNOWN,
}


def test_a_run_of_an_hour_takes_no_time() -> None:
    conductor, world, _told = conduct([[]] * 300, parallelism=4, rate=Rate(1, 12.0))
    assert len(conductor.results) == 300
    assert world.time > 3580


def test_a_log_that_is_far_away_costs_next_to_no_time() -> None:
    """Two hundred answers of 0.2 s, ten at a time, on a log that takes 30 ms an append."""
    lives = [[(Created("CREATED"), 0.2)] for _ in range(200)]
    conductor, world, _told = conduct(lives, parallelism=10, append_seconds=0.03)
    assert len(conductor.results) == 200
    assert world.time < 200 / 10 * 0.2 * 1.05
