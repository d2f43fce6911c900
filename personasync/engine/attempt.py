"""One persona's way through an apply: ``pending`` → send → outcome → tell (design.md §6)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from personasync.engine.events import Event, EventKind, PersonaResult, Result
from personasync.engine.pace import Pace, Slot
from personasync.engine.patience import Patience
from personasync.model.clock import utc_now
from personasync.model.errors import StateWriteError
from personasync.model.outcome import (
    Conflict,
    Created,
    NotSent,
    Outcome,
    Refused,
    Throttled,
    Unclear,
)
from personasync.model.persona import Persona, PersonaRequest
from personasync.model.units import format_duration
from personasync.plan.compute import Action, ActionKind
from personasync.state.entry import Entry, Origin, Status, more_telling
from personasync.state.log import StateLog
from personasync.state.rescue import rescue


class PersonaApi(Protocol):
    """What apply needs of an API. Safe to call from several threads, and never raising."""

    def create(self, request: PersonaRequest) -> Outcome:
        """Ask once for a persona and say what became of it."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every creation of a run shares.

    ``tell`` takes an event once what it tells is durable; ``halt`` ends the
    run, with the reason and whether that reason stops any run. ``recording``
    holds the audio IDs whose answer is here and not yet on disk.
    """

    run: str
    log: StateLog
    api: PersonaApi
    pace: Pace
    patience: Patience
    tell: Callable[[Event], None]
    halt: Callable[[str, bool], None]
    recording: set[str]


class Creation:
    """Creates one persona: as many requests as it takes, one outcome."""

    def __init__(self, workshop: Workshop, action: Action, persona: Persona) -> None:
        self._shop = workshop
        self._action = action
        self._persona = persona
        self._slot: Slot | None = None
        self._attempts = 0
        self._last: Outcome | None = None
        # Whether a request of ours may have made the persona already.
        self._maybe_made = action.kind is ActionKind.RESUME
        self._answer = action.entry.answer if action.entry else None

    def run(self, slot: Slot) -> PersonaResult:
        """Send the request, in the slot that it has, and see it through."""
        self._slot = slot
        try:
            self._append(Status.PENDING)
        except StateWriteError as error:
            self._shop.pace.answered(slot)
            self._shop.halt(error.message, True)
            return self._not_attempted()
        retrying = self._shop.patience.retrying(pause=self._pause, told=self._failed_once)
        try:
            outcome: Outcome = retrying(self._attempt)
        except _RunEnded as ended:
            if ended.last is None:
                return self._never_sent()
            outcome = ended.last
        else:
            self._give_up(outcome)
        try:
            return self._settle(outcome)
        except StateWriteError as error:
            self._shop.halt(error.message, True)
            return self.unknown(f"its outcome could not be recorded: {error.message}")

    def unknown(self, reason: str, code: int | None = None) -> PersonaResult:
        """Tell that the persona may exist or not, and return its row of the account."""
        self._tell(EventKind.CREATE_UNKNOWN, code=code, reason=reason)
        entry = self._entry(Status.PENDING, answer=self._answer)
        return PersonaResult(self._action, Result.UNKNOWN, entry, reason)

    def _attempt(self) -> Outcome:
        slot, self._slot = self._slot or self._shop.pace.admit(), None
        if slot is None or not self._shop.pace.depart(slot):
            raise _RunEnded(self._last)
        if self._attempts == 0:
            self._tell(EventKind.CREATE_START)
        self._attempts += 1
        try:
            outcome = self._shop.api.create(self._persona.request)
            self._shop.recording.add(self._persona.audio_id)
        finally:
            self._shop.pace.answered(slot)
        self._last = outcome
        self._shop.patience.heard(outcome)
        if isinstance(outcome, Unclear):
            self._maybe_made = True
            if outcome.answer:  # it may hold the ID, so it is kept before anything else
                self._answer = more_telling(self._answer, outcome.answer)
                self._keep_answer(outcome)
        return outcome

    def _keep_answer(self, outcome: Unclear) -> None:
        entry = self._entry(
            Status.PENDING, code=outcome.code, message=outcome.reason, answer=self._answer
        )
        try:
            self._shop.log.append([entry])
        except StateWriteError as error:
            self._shop.halt(error.message, True)
            self._rescue(entry)

    def _failed_once(self, outcome: Outcome, wait: float) -> None:
        if self._shop.pace.closed:
            return  # there will be no next try
        if isinstance(outcome, Throttled):
            self._shop.pace.slow_down(wait)
        self._tell(
            EventKind.CREATE_RETRY,
            attempt=self._attempts + 1,
            wait=wait,
            code=getattr(outcome, "code", None),
            reason=reason_of(outcome),
        )

    def _pause(self, seconds: float) -> None:
        self._shop.recording.discard(self._persona.audio_id)
        self._shop.pace.pause(seconds)

    def _give_up(self, outcome: Outcome) -> None:
        """See whether what ended this persona's retries should end the run."""
        match outcome:
            case Refused(stops_run=True):
                self._shop.halt(reason_of(outcome), True)
            case Throttled():
                self._shop.halt(_asked_to_wait(outcome), False)
            case NotSent() | Unclear() if self._shop.patience.gave_up():
                self._shop.halt(f"the API gives no usable answer: {reason_of(outcome)}", False)
            case _:
                pass

    def _settle(self, outcome: Outcome) -> PersonaResult:
        """Record the outcome, tell it, and return the persona's row of the account."""
        match outcome:
            case Created():
                return self._created(outcome)
            case Conflict():
                entry = self._append(
                    Status.CONFLICT,
                    code=outcome.code,
                    message=outcome.message or None,
                    after_pending=self._maybe_made,
                    answer=self._answer,
                )
                return self._tell_result(EventKind.CREATE_CONFLICT, Result.CONFLICT, entry, outcome)
            case Refused() | NotSent() if not self._maybe_made:
                entry = self._append(
                    Status.FAILED,
                    code=getattr(outcome, "code", None),
                    message=getattr(outcome, "message", None) or reason_of(outcome),
                )
                return self._tell_result(EventKind.CREATE_FAILED, Result.FAILED, entry, outcome)
        reason, code = reason_of(outcome), getattr(outcome, "code", None)
        if isinstance(outcome, Refused | Unclear) and not getattr(outcome, "answer", None):
            # What came with an answer is kept already.
            self._append(Status.PENDING, code=code, message=reason, answer=self._answer)
        return self.unknown(reason, code)

    def _created(self, outcome: Created) -> PersonaResult:
        entry = self._entry(Status.CREATED, persona_id=outcome.persona_id, origin=Origin.APPLY)
        rescued: str | None = None
        try:
            self._shop.log.append([entry])
        except Exception as error:  # noqa: BLE001 - an ID that is here must not be lost, whatever it was
            self._shop.halt(_words(error), True)
            rescued = self._rescue(entry)
        self._tell(EventKind.CREATE_DONE, persona_id=outcome.persona_id, rescued=rescued)
        return PersonaResult(self._action, Result.CREATED, entry, rescued=rescued)

    def _tell_result(
        self, kind: EventKind, result: Result, entry: Entry, outcome: Outcome
    ) -> PersonaResult:
        reason = reason_of(outcome)
        self._tell(kind, code=entry.code, reason=reason)
        return PersonaResult(self._action, result, entry, reason)

    def _rescue(self, entry: Entry) -> str:
        """Keep an entry elsewhere; return where, or an empty text."""
        try:
            return rescue(self._shop.log, [entry]) or ""
        except Exception:  # noqa: BLE001 - there is still the screen
            return ""

    def _never_sent(self) -> PersonaResult:
        """Take the ``pending`` back: the run ended between it and its request."""
        if not self._maybe_made:
            with contextlib.suppress(StateWriteError):  # ``pending`` is as safe
                self._append(Status.FAILED, message="the run ended before this was sent")
        return self._not_attempted()

    def _not_attempted(self) -> PersonaResult:
        return PersonaResult(self._action, Result.NOT_ATTEMPTED, self._action.entry)

    def _append(self, status: Status, **fields: Any) -> Entry:
        entry = self._entry(status, **fields)
        self._shop.log.append([entry])
        return entry

    def _entry(self, status: Status, **fields: Any) -> Entry:
        return Entry(
            audio_id=self._persona.audio_id,
            key=self._persona.key,
            status=status,
            at=utc_now(),
            run=self._shop.run,
            request=self._persona.request,
            **fields,
        )

    def _tell(self, kind: EventKind, **fields: Any) -> None:
        self._shop.tell(
            Event(
                kind,
                utc_now(),
                self._shop.run,
                key=self._persona.key,
                audio_id=self._persona.audio_id,
                **fields,
            )
        )


class _RunEnded(Exception):  # noqa: N818 - it is no error
    """The run ended before a request could be sent; ``last`` is what the one before it met."""

    def __init__(self, last: Outcome | None) -> None:
        self.last = last


def reason_of(outcome: Outcome) -> str:
    """Say an outcome in a few words."""
    match outcome:
        case Unclear(reason) | NotSent(reason):
            return reason
        case Conflict(code, message) | Refused(code, message) | Throttled(code, message):
            return f"the API answered {code}" + (f": {message}" if message else "")
        case Created():
            return "created"


def _words(error: Exception) -> str:
    if isinstance(error, StateWriteError):
        return error.message
    return f"unexpected error: {type(error).__name__}"


def _asked_to_wait(outcome: Throttled) -> str:
    if outcome.retry_after is None:
        return f"the API goes on saying that it is asked too often ({outcome.code})"
    wait = format_duration(outcome.retry_after)
    return f"the API asks to wait {wait}, longer than --retry-for allows ({outcome.code})"
