"""The one that decides: what leaves when, what is appended, how each persona's way goes on.

Everything that must last goes through here, in one thread, so there is no lock
and no two opinions: answers and orders come in through a mailbox; requests go
out to those who ask the API; what is durable is told. Whatever has arrived is
appended together, with the ``pending`` of the personas that come next, in one
write and one sync.

Time, mailbox and waiting are a ``World``, so a simulated one can drive a whole
run in a single thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from personasync.engine.attempt import Attempt, Step
from personasync.engine.events import Event, EventKind, PersonaResult, Result, Underway
from personasync.engine.lineup import Lineup
from personasync.engine.messages import (
    Answer,
    Appended,
    Asker,
    Ended,
    Go,
    Halt,
    Known,
    KnownTold,
    Leave,
    Looked,
    Told,
    World,
)
from personasync.engine.schedule import Likeness, RetryBudget, Schedule, Slot, worth_a_retry
from personasync.engine.stopping import Stop, after_answer, after_giving_up, unexpected
from personasync.engine.waiting import Waiting
from personasync.model.errors import StateWriteError
from personasync.model.outcome import Outcome, Refused, Throttled
from personasync.model.steps import NextStep
from personasync.model.tasks import TaskAnswer
from personasync.plan.compute import Action
from personasync.plan.preflight import Finding
from personasync.state.entry import Entry
from personasync.state.log import Leased, StateLog
from personasync.state.rescue import missing, rescue, rescue_nearby


class Conductor:
    """Carries out what a plan wants done, until all is settled or the run is halted.

    ``results``, ``stopped``, ``next_step``, ``refused`` and ``failure`` are for
    the account; ``lineup`` has where everybody stands who is not settled.
    ``held_until`` is the moment until which the rate holds back who could
    leave, ``None`` where it does not; ``slowed``: by the API's own word.
    ``waiting`` are personas whose tasks are still being generated, and ``look``
    asks about one of these; who waited in vain is in ``held``.
    """

    def __init__(
        self,
        run: str,
        log: StateLog,
        *,
        world: World,
        asker: Asker,
        schedule: Schedule,
        budget: RetryBudget,
        tell: Callable[[Told], None],
        waiting: Waiting | None = None,
        look: Callable[[str], None] | None = None,
    ) -> None:
        self.results: dict[str, PersonaResult] = {}
        self.lineup = Lineup(schedule)
        self.stopped: str | None = None
        self.next_step: NextStep | None = None
        self.refused = False
        self.held_until: float | None = None
        self.slowed = False
        self.failure: BaseException | None = None
        self._run = run
        self._log = log
        self._world = world
        self._asker = asker
        self._schedule = schedule
        self._budget = budget
        self._tell = tell
        self._likeness = Likeness()
        self._failing_since: dict[str, float] = {}
        self._steps: list[tuple[Attempt, Step]] = []  # not yet durable, so not yet told
        self._at_the_log: list[tuple[Attempt, Step]] = []  # being appended
        self._appending = False
        self._left = False
        self._may_send = False
        self._waiting = waiting
        self._look = look
        self._looking: dict[str, Slot] = {}
        self.held: dict[str, Finding] = {}

    def conduct(self, known: Iterable[Known], to_ask: Iterable[Action]) -> None:
        """Record what is known, then see every persona through; never raises."""
        try:
            self._record_known(list(known))
            self.lineup.to_ask.extend(to_ask)
            while self._goes_on():
                self._go_on()
            if not self._left:
                self._check_that_all_is_held()
        except BaseException as error:  # noqa: BLE001 - told, accounted for and raised by the caller
            self._fail(error)
        self._tell(Ended())

    # What needs no request.

    def _record_known(self, known: Sequence[Known]) -> None:
        """Append every import and rename at once, and begin once they have been heard of."""
        try:
            self._append([each.entry for each in known])
        except StateWriteError as error:
            self._halt(Stop(error.message, refused=True))
            return
        for each in known:
            self.results[each.result.action.audio_id] = each.result
            self._tell(each.event)
        self._tell(KnownTold())

    def _check_that_all_is_held(self) -> None:
        """Rescue the IDs of this run that the log held, and that something else took from it."""
        rows = {
            row.entry.audio_id: row
            for row in self.results.values()
            if row.entry is not None and row.entry.persona_id and row.rescued is None
        }
        lost = missing(self._log, [row.entry for row in rows.values() if row.entry]) if rows else []
        if not lost:
            return
        self._halt(Stop("something else changed the state during the run", refused=True))
        kept = self._keep(lost)
        for entry in lost:
            row = self.results[entry.audio_id] = replace(rows[entry.audio_id], rescued=kept)
            self._tell(
                Event(
                    _TOLD_AS[row.result],
                    self._at(),
                    self._run,
                    key=entry.key,
                    audio_id=entry.audio_id,
                    persona_id=entry.persona_id,
                    rescued=kept,
                )
            )

    # The round: hear, append, send.

    def _goes_on(self) -> bool:
        if self._left:
            return bool(self._steps)
        if self._steps or self.lineup.begun:
            return True
        return bool(self.lineup.to_ask or self._waiting) and not self._schedule.closed

    def _go_on(self) -> None:
        self._receive(self._next_moment())
        self._send()  # a place that has just become free need not wait for the append
        self._record()
        # A halt that came during the append is heeded before anything is sent.
        self._receive(-math.inf)
        self._send()

    def _next_moment(self) -> float:
        """Return until when nothing needs doing unless something arrives."""
        now = self._world.now()
        if self._steps:
            return now
        if not self._may_send or self._schedule.closed:
            return math.inf
        self.held_until = None
        moments = self.lineup.moments(now)
        look_at = self._waiting.next_look() if self._waiting else None
        if look_at is not None:
            moments.append(look_at)
        if not moments:
            return math.inf
        free_at = self._schedule.free_at(now)
        if free_at > max(now, min(moments)):
            self.held_until, self.slowed = free_at, self._schedule.is_slowed(now)
        return max(min(moments), free_at)

    def _receive(self, until: float) -> None:
        for message in self._world.receive(until):
            match message:
                case Answer():
                    self._hear(message)
                case Looked(task_id, answer):
                    self._hear_of_task(task_id, answer)
                case Halt(reason, refused, at_once):
                    self._halt(Stop(reason, refused), at_once=at_once)
                case Leave():
                    self._left = True
                    self._schedule.close()
                case Go():
                    self._may_send = True
                case Appended():
                    self._appending = False

    # Hear.

    def _hear(self, answer: Answer) -> None:
        flight = self.lineup.in_flight.pop(answer.audio_id)
        attempt, outcome, now = flight.attempt, answer.outcome, self._world.now()
        try:
            self._schedule.answered(flight.slot, now)
            if outcome is None:
                raise answer.failure or AssertionError("an answer has an outcome or a failure")
            attempt.heard(outcome)
            if worth_a_retry(outcome):
                self._try_again(attempt, outcome, now)
            elif not self._look_again(attempt, outcome, now):
                self._settle(attempt, outcome)  # first of all: it may hold an ID
                self._budget.heard(outcome, now)
            alike = self._likeness.heard(outcome, attempt.persona.request)
            stop = after_answer(outcome, attempt, alike=alike)
            if stop is not None:
                self._halt(stop)
        except BaseException as error:  # noqa: BLE001 - one persona's; the others are seen through
            self._fail(error)
            if not any(each is attempt for each, _ in self._steps):
                self._steps.append((attempt, attempt.unknown(unexpected(error), self._at())))

    def _hear_of_task(self, task_id: str, answer: TaskAnswer) -> None:
        """Let those who waited for a task be asked for, if it has finished."""
        now = self._world.now()
        self._schedule.answered(self._looking.pop(task_id), now)
        if self._waiting is None:
            return
        ready, given_up = self._waiting.heard(task_id, answer, now)
        self.lineup.to_ask.extend(ready)
        for action in ready:
            self.held.pop(action.audio_id, None)
        self.held |= {each.action.audio_id: each for each in given_up}

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        self._steps.append((attempt, attempt.settle(outcome, self._at())))

    def _try_again(self, attempt: Attempt, outcome: Outcome, now: float) -> None:
        """Let a persona be asked for again later, unless its time or the run's is over."""
        self._budget.heard(outcome, now)
        since = self._failing_since.setdefault(attempt.persona.audio_id, now)
        wait = self._budget.wait(outcome, tries=attempt.tries, since=since, now=now)
        if wait is None or self._schedule.closed:
            self._settle(attempt, outcome)
            if wait is None and (isinstance(outcome, Throttled) or self._budget.gave_up(outcome)):
                self._halt(after_giving_up(outcome))
            return
        self._rest(attempt, outcome, wait, now)
        if isinstance(outcome, Throttled):
            self._schedule.slow_down(now + wait)

    def _look_again(self, attempt: Attempt, outcome: Outcome, now: float) -> bool:
        """Let a refusal that may pass by itself be tried once more."""
        wait = self._budget.second_look()
        if not isinstance(outcome, Refused) or not outcome.once_more or wait is None:
            return False
        if attempt.looked_again or self._schedule.closed:
            return False
        attempt.looked_again = True
        self._rest(attempt, outcome, wait, now)
        return True

    def _rest(self, attempt: Attempt, outcome: Outcome, wait: float, now: float) -> None:
        self._steps.append((attempt, attempt.again(outcome, wait, self._at())))
        self.lineup.rest(attempt, now + wait)

    # Append.

    def _record(self) -> None:
        """Append what has arrived and the ``pending`` of who comes next; then tell."""
        steps, self._steps = self._steps, []
        self._at_the_log = steps
        attempts = list(self._next_attempts())
        entries = [step.entry for _, step in steps if step.entry is not None]
        pendings = [attempt.pending(self._at()) for attempt in attempts]
        try:
            self._append(entries + pendings)
        except Exception as error:  # noqa: BLE001 - whatever it was, no ID that is here may be lost
            self._not_written(error)
            if pendings and entries and self._written_alone(entries):
                attempts = []  # only what was to come next found no room
            else:
                steps = [(attempt, self._rescued(attempt, step, error)) for attempt, step in steps]
                attempts = []
        self.lineup.ready.extend(attempts)
        self._at_the_log = []
        for _, step in steps:
            self._tell_step(step)

    def salvage(self) -> None:
        """Keep on this machine, and tell, what has arrived while an append hangs.

        Called by who tells, which takes the place of the thread that hangs:
        nothing but the screen can be trusted to be quick.
        """
        # Should that thread go on after all, both are at work, and no order between them counts:
        # what is rescued and appended as well is taken in once, and an answer that either takes
        # from the mailbox is kept by that one. It must not ask: the word to leave is read here.
        self._left = True
        self._schedule.close()
        self._steps += self._heard_late()
        steps = [
            (attempt, step)
            for attempt, step in (*self._at_the_log, *self._steps)
            if step.entry is not None and step.result is not None
        ]
        kept = self._keep_nearby(steps)
        for attempt, step in steps:
            why = "the run left before it was written"
            self._tell_step(attempt.unrecorded(step, why, self._at(), kept=kept))

    def keep_late(self) -> None:
        """Keep what still arrives after the account, for as long as this process lives.

        The run has left at once, and no longer appends: its hold on the state is given up.
        """
        while self.lineup.in_flight:
            self._keep_nearby(self._heard_late(math.inf))

    def _heard_late(self, until: float = -math.inf) -> list[tuple[Attempt, Step]]:
        """Return what answers mean that nobody else will hear."""
        found = []
        for message in self._world.receive(until):
            if isinstance(message, Answer):
                attempt = self.lineup.in_flight.pop(message.audio_id).attempt
                if message.outcome is not None:
                    attempt.heard(message.outcome)
                    found.append((attempt, attempt.settle(message.outcome, self._at())))
        return found

    def _keep_nearby(self, steps: Iterable[tuple[Attempt, Step]]) -> str:
        """Rescue what holds an ID or may show one, whatever the log does; return where."""
        entries = [step.entry for _, step in steps if step.entry is not None]
        entries = [entry for entry in entries if entry.persona_id or entry.answer]
        with suppress(Exception):  # there is still the screen
            return rescue_nearby(self._log, entries) or ""
        return ""

    def underway(self) -> tuple[Underway, ...]:
        """Return the requests that have no answer yet, oldest first; any thread may ask."""
        return self.lineup.underway(self._world.now())

    def waiting_keys(self) -> tuple[str, ...]:
        """Return the personas that wait for their tasks; any thread may ask."""
        return self._waiting.keys if self._waiting else ()

    def _append(self, entries: Sequence[Entry]) -> None:
        if entries:
            began = self._world.now()
            if self._schedule.ahead:
                self._append_beside(entries)
            else:
                self._log.append(entries)
            self._schedule.appended(self._world.now() - began)

    def _append_beside(self, entries: Sequence[Entry]) -> None:
        """Append to a log that is far away, and send meanwhile whose ``pending`` is there."""
        self._appending = True
        try:
            wait = self._world.beside(lambda: self._log.append(entries))
        except RuntimeError:  # the system has no thread left
            self._log.append(entries)
            return
        # Who leaves at once salvages what arrives: then nothing is taken away from under it.
        while self._appending and not self._left:
            self._receive(math.inf)
            self._send()
        wait(math.inf)

    def _written_alone(self, entries: Sequence[Entry]) -> bool:
        with suppress(Exception):  # the first failure is told
            self._log.append(entries)
            return True
        return False

    def _not_written(self, error: Exception) -> None:
        if isinstance(error, StateWriteError):
            self._halt(Stop(error.message, refused=True))
        else:
            self._fail(error)

    def _rescued(self, attempt: Attempt, step: Step, error: Exception) -> Step:
        """Keep elsewhere what cannot be appended, where it holds an ID or may show one."""
        if step.entry is None or step.result is None:
            return replace(step, entry=None)  # who was to try again is settled by the halt
        kept = ""
        if step.entry.persona_id or step.entry.answer:
            kept = self._keep([step.entry])
        why = error.message if isinstance(error, StateWriteError) else unexpected(error)
        return attempt.unrecorded(step, why, self._at(), kept=kept)

    def _keep(self, entries: Sequence[Entry]) -> str:
        with suppress(Exception):  # there is still the screen
            return rescue(self._log, entries) or ""
        return ""

    def _tell_step(self, step: Step) -> None:
        if step.result is not None:
            self.results[step.result.action.audio_id] = step.result
        goes_on = step.event is None or step.event.kind is not EventKind.CREATE_RETRY
        if step.event is not None and (goes_on or not self._schedule.closed):
            self._tell(step.event)

    # Send.

    def _next_attempts(self) -> Iterator[Attempt]:
        if not self._may_send or self._schedule.closed:
            return
        room = self._schedule.room(self._world.now()) - len(self.lineup.ready)
        for _ in range(int(min(self.lineup.wanted(), room))):
            action = self.lineup.to_ask.popleft()
            if action.persona is None:
                raise AssertionError("a persona to create is always in the manifest")
            yield Attempt(self._run, action, action.persona)

    def _send(self) -> None:
        now = self._world.now()
        while (attempt := self.lineup.next_to_ask(now)) is not None and self._can_ask(now):
            now = self._world.now()  # to look at the hold may have taken seconds: the rate counts
            self._ask(attempt, now)
        if self._schedule.closed:
            self._take_back()
        else:
            self._look_at_tasks(now)

    def _look_at_tasks(self, now: float) -> None:
        while self._waiting and self._look and self._may_send and self._schedule.room(now) > 0:
            task_id = self._waiting.take_due(now)
            if task_id is None:
                return
            self._looking[task_id] = self._schedule.sent(now)
            self._look(task_id)

    def _can_ask(self, now: float) -> bool:
        if self._schedule.room(now) <= 0 or not self._holds_log():
            return False
        if self._schedule.stopped:  # while the hold was looked at, which may take its time
            return False
        try:
            if not self._asker.hire(len(self.lineup.in_flight) + 1):
                self._schedule.places = len(self.lineup.in_flight)
                return False
        except RuntimeError as error:
            self._fail(error)
            return False
        return True

    def _holds_log(self) -> bool:
        """Look at a hold that may be lost unseen, such as while this machine slept."""
        if isinstance(self._log, Leased):
            try:
                self._log.confirm()
            except StateWriteError as error:
                self._halt(Stop(error.message, refused=True))
                return False
        return True

    def _ask(self, attempt: Attempt, now: float) -> None:
        self.lineup.leave(attempt, now)
        begun = attempt.sent(self._at())
        if begun is not None:
            self._tell(begun)  # before the request: who leaves at once must know of it
        self._asker.ask(attempt.persona.request)

    # How a run ends early.

    def _take_back(self) -> None:
        """Undo each ``pending`` that nothing was sent for."""
        while self.lineup.ready:
            attempt = self.lineup.ready.popleft()
            self._steps.append((attempt, attempt.take_back(self._at())))

    def _halt(self, stop: Stop, *, at_once: bool = True) -> None:
        """Send nothing new; what is in flight is waited for, and nobody tries again."""
        if self.stopped is None:
            self.stopped, self.next_step = stop.reason, stop.next_step
        self.refused = self.refused or stop.refused
        self._schedule.close(at_once=at_once)
        for attempt in self.lineup.take_resting():
            if attempt.last is not None:
                self._settle(attempt, attempt.last)

    def _fail(self, failure: BaseException) -> None:
        self.failure = self.failure or failure
        self._halt(Stop(unexpected(failure)))

    def _at(self) -> str:
        return self._world.written()


_TOLD_AS: Final = {
    Result.CREATED: EventKind.CREATE_DONE,
    Result.IMPORTED: EventKind.IMPORTED,
    Result.RENAMED: EventKind.RENAMED,
}
