"""Personas whose tasks are still being generated, and when each task is looked at again. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from personasync.model.tasks import TaskAnswer, Unanswered
from personasync.plan.compute import Action
from personasync.plan.preflight import Finding, Verdict, examine

_LONGEST_INTERVAL: Final = 30.0
_FIRST_INTERVAL: Final = 5.0
_SHORTEST_INTERVAL: Final = 0.5
"""Seconds; the service answers three questions a second about one task."""
_GROWTH: Final = 1.5


@dataclass(slots=True)
class _Watched:
    personas: list[Finding]
    interval: float


class Waiting:
    """Who waits for a task, until ``until``, a moment on any clock that only goes forward."""

    def __init__(self, waiting: Iterable[Finding], *, now: float, seconds: float) -> None:
        self._until = now + seconds
        first = min(_FIRST_INTERVAL, max(_SHORTEST_INTERVAL, seconds / 10))
        self._watched: dict[str, _Watched] = {}
        for finding in waiting:
            watched = self._watched.setdefault(finding.task_id, _Watched([], first))
            watched.personas.append(finding)
        self._looks = [(min(now + first, self._until), task_id) for task_id in self._watched]
        heapq.heapify(self._looks)

    def __bool__(self) -> bool:
        return bool(self._watched)

    @property
    def keys(self) -> tuple[str, ...]:
        """The personas that wait."""
        watched = list(self._watched.values())  # another thread may ask
        return tuple(each.action.key for found in watched for each in found.personas)

    def next_look(self) -> float | None:
        """Return when a task is to be looked at; ``None`` while answers are awaited."""
        return self._looks[0][0] if self._looks else None

    def take_due(self, now: float) -> str | None:
        """Return a task that is to be looked at now, once."""
        if self._looks and self._looks[0][0] <= now:
            return heapq.heappop(self._looks)[1]
        return None

    def heard(
        self, task_id: str, answer: TaskAnswer, now: float
    ) -> tuple[list[Action], list[Finding]]:
        """Return who can be asked for now, and who is given up, by an answer about a task.

        What cannot be told blocks nobody, but an answer that is none at all is
        no reason to think that the task has finished.
        """
        watched = self._watched[task_id]
        found = [examine(each.action, answer) for each in watched.personas]
        no_news = isinstance(answer, Unanswered) or any(
            each.verdict is Verdict.RUNNING for each in found
        )
        if no_news and now < self._until:
            wait = getattr(answer, "retry_after", None) or watched.interval
            watched.interval = min(_LONGEST_INTERVAL, watched.interval * _GROWTH)
            heapq.heappush(self._looks, (min(now + wait, self._until), task_id))
            return [], []
        del self._watched[task_id]
        if no_news:
            return [], list(watched.personas)
        blocked = [each for each in found if each.verdict is Verdict.REFUSED]
        return [each.action for each in found if each not in blocked], blocked
