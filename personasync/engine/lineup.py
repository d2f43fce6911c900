"""Where each persona of a run stands: to be asked, written down, under way or resting. Pure."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field

from personasync.engine.attempt import Attempt
from personasync.engine.events import Underway
from personasync.engine.schedule import Schedule, Slot
from personasync.plan.compute import Action


@dataclass(frozen=True, slots=True)
class Flight:
    """A request that has no answer yet, with its slot and when it left."""

    attempt: Attempt
    slot: Slot
    since: float


@dataclass(slots=True)
class Lineup:
    """The personas of a run that are not settled.

    ``ready`` are those whose ``pending`` is durable; ``in_flight`` has the
    requests by audio, and ``started`` every audio that one was sent for.
    """

    schedule: Schedule
    to_ask: deque[Action] = field(default_factory=deque)
    ready: deque[Attempt] = field(default_factory=deque)
    in_flight: dict[str, Flight] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    _resting: list[tuple[float, int, Attempt]] = field(default_factory=list)  # a heap
    _number: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def begun(self) -> bool:
        """Whether anybody was begun with and is not settled, closed or not."""
        return bool(self.in_flight or self._resting or self.ready)

    def places(self) -> int:
        """Return how many more requests may be under way; who rests keeps its place."""
        return self.schedule.places - len(self.in_flight) - len(self._resting)

    def wanted(self) -> int:
        """Return how many more personas should be written down as pending."""
        wanted = self.places() + self.schedule.ahead - len(self.ready)
        return min(wanted, len(self.to_ask))

    def moments(self, now: float) -> list[float]:
        """Return when somebody could be asked, were it for the places alone."""
        found = [self._resting[0][0]] if self._resting else []
        if (self.ready and self.places() > 0) or (not self.ready and self.wanted() > 0):
            found.append(now)
        return found

    def next_to_ask(self, now: float) -> Attempt | None:
        """Return who is to be asked now: those who have rested come first."""
        if self._resting and self._resting[0][0] <= now:
            return self._resting[0][2]
        return self.ready[0] if self.ready and self.places() > 0 else None

    def leave(self, attempt: Attempt, now: float) -> None:
        """Take note that the request for the one who was next leaves."""
        if self._resting and self._resting[0][2] is attempt:
            heapq.heappop(self._resting)
        else:
            self.ready.popleft()
        audio_id = attempt.persona.audio_id
        self.in_flight[audio_id] = Flight(attempt, self.schedule.sent(now), now)
        self.started.add(audio_id)

    def rest(self, attempt: Attempt, until: float) -> None:
        """Let a persona be asked again, from a moment on."""
        heapq.heappush(self._resting, (until, next(self._number), attempt))

    def take_resting(self) -> list[Attempt]:
        """Return who rests, the next one first; they will not be asked again."""
        resting, self._resting = sorted(self._resting), []
        return [attempt for _until, _number, attempt in resting]

    def underway(self, now: float) -> tuple[Underway, ...]:
        """Return the requests that have no answer yet, oldest first; any thread may ask."""
        return tuple(
            Underway(flight.attempt.persona.key, audio_id, now - flight.since)
            for audio_id, flight in list(self.in_flight.items())
        )
