"""What the API sees of the runs that ask it, and what none of them may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from personasync.engine.schedule import worth_a_retry
from personasync.model.outcome import Conflict, Outcome
from personasync.model.units import Rate
from tests.simulation.kernel import Kernel, Process
from tests.simulation.service import Service

RATE = Rate(4, 10.0)
RETRY_FOR = 60.0
_SLACK = 45.0
"""Seconds by which a request may leave later than it was decided on: the rate, a slow-down."""
_GIVEN_UP = 2
"""So many may be given up on before a run ends, and each gives its place to another."""


@dataclass(slots=True)
class _Run:
    asked: set[str] = field(default_factory=set)
    trouble_since: float | None = None
    begun: int = 0
    """Personas that were begun with since the last usable answer."""
    places: int = 0
    loses: str | None = None
    """Whose answer was lost, as the API has told it."""


class Asking:
    """Looks at each request of each run. ``disturbed`` are the runs that have stood still."""

    def __init__(
        self,
        kernel: Kernel,
        service: Service,
        *,
        disturbed: set[Process],
        holds_are_sure: bool,
        broken: Callable[[str], None],
    ) -> None:
        self._kernel = kernel
        self._service = service
        self._disturbed = disturbed
        self.holds_are_sure = holds_are_sure
        """Whether nobody can lose a hold who has not stood still."""
        self._break = broken
        self._runs: dict[Process, _Run] = {}

    def begins(self, process: Process, places: int) -> None:
        """Take note of how many requests a run has under way at a time."""
        self._run(process).places = places

    def asked(self, process: Process) -> set[str]:
        """Return the audios that a run has asked for."""
        return self._run(process).asked

    def decides(self, process: Process, audio: str) -> None:
        """Look at a request that a run has decided on."""
        run, now = self._run(process), self._kernel.now
        if run.loses:
            self._break(f"{process} asks for {audio}, though the answer for {run.loses} was lost")
        since = run.trouble_since
        if audio in run.asked:
            if since and now > since + RETRY_FOR + _SLACK and not self._is_off(process):
                self._break(f"{process} asks for {audio} after {now - since:.0f} s of no answer")
        else:
            run.begun += 1
            if run.begun > run.places + _GIVEN_UP:
                self._break(f"{process} asks for {audio}, though nobody gets an answer")
        run.asked.add(audio)

    def leaves(self, process: Process, audio: str) -> None:
        """Look at a request that leaves a machine."""
        for other in self._service.under_way.get(audio, ()):
            if other is process:
                self._break(f"{process} asks for {audio} twice at once")
            elif self._heeds(process) and self._heeds(other):
                self._break(f"{process} and {other} ask for {audio} at once")

    def arrives(self, process: Process) -> None:
        """Look at a request that arrives at the API."""
        if self._is_off(process):
            return  # it stood still between its look at the rate and the request
        since = self._kernel.now - RATE.seconds
        if sum(when > since for when in self._service.asked[process]) > RATE.count:
            self._break(f"{process} asks faster than the rate")

    def hears(self, process: Process, audio: str, outcome: Outcome | None) -> None:
        """Take note of what a run has heard, and now must heed."""
        run = self._run(process)
        if outcome is not None and worth_a_retry(outcome):
            run.trouble_since = run.trouble_since or self._kernel.now
        else:
            run.trouble_since, run.begun = None, 0
        if isinstance(outcome, Conflict) and self._service.makers.get(audio) is process:
            run.loses = audio

    def _run(self, process: Process) -> _Run:
        return self._runs.setdefault(process, _Run())

    def _heeds(self, process: Process) -> bool:
        """Whether a run must hold the state as long as it waits for an answer."""
        if process.dead or process in self._service.over:
            return False
        return self.holds_are_sure and not self._is_off(process)

    def _is_off(self, process: Process) -> bool:
        return process in self._disturbed
