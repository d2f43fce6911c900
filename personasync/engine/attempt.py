"""One persona's way through an apply: what is recorded and told of each thing it meets.

Pure: it neither asks, nor writes, nor waits; the conductor does, and passes the time in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from personasync.engine.events import Event, EventKind, PersonaResult, Result
from personasync.model.answer import KeptAnswer, more_telling
from personasync.model.outcome import (
    Conflict,
    Created,
    Moved,
    NotSent,
    Outcome,
    Refused,
    Throttled,
    Unclear,
)
from personasync.model.persona import Persona
from personasync.plan.compute import Action, ActionKind
from personasync.state.entry import Entry, Origin, Status


@dataclass(frozen=True, slots=True)
class Step:
    """What to append, and what to tell once it is durable.

    ``result`` is the persona's row of the account, when this ends its way.
    """

    entry: Entry | None = None
    event: Event | None = None
    result: PersonaResult | None = None


class Attempt:
    """The way of one persona; ``at`` is always the time as entries give it."""

    def __init__(self, run: str, action: Action, persona: Persona) -> None:
        self.persona = persona
        self.action = action
        self.tries = 0
        self.last: Outcome | None = None
        self._run = run
        # Whether a request of ours may have made the persona already.
        self._maybe_made = action.kind is ActionKind.RESUME
        self._answer: KeptAnswer | None = action.entry.answer if action.entry else None

    def pending(self, at: str) -> Entry:
        """Return what must be durable before the request leaves."""
        return self._entry(Status.PENDING, at)

    def sent(self, at: str) -> Event | None:
        """Take note that a request leaves; return what to tell of it."""
        self.tries += 1
        return self._event(EventKind.CREATE_START, at) if self.tries == 1 else None

    def heard(self, outcome: Outcome) -> None:
        """Take note of what a request met."""
        self.last = outcome
        if isinstance(outcome, Unclear):
            self._maybe_made = True
            if outcome.answer:
                self._answer = more_telling(self._answer, outcome.answer)

    def again(self, outcome: Outcome, wait: float, at: str) -> Step:
        """Return what leads to another try in ``wait`` seconds."""
        event = self._event(
            EventKind.CREATE_RETRY,
            at,
            attempt=self.tries + 1,
            wait=wait,
            code=getattr(outcome, "code", None),
            reason=reason_of(outcome),
        )
        keeps = isinstance(outcome, Unclear) and outcome.answer
        return Step(self._unclear(outcome, at) if keeps else None, event)

    def settle(self, outcome: Outcome, at: str) -> Step:
        """Return what an outcome means, when it is the last."""
        match outcome:
            case Created(persona_id):
                entry = self._entry(Status.CREATED, at, persona_id=persona_id, origin=Origin.APPLY)
                event = self._event(EventKind.CREATE_DONE, at, persona_id=persona_id)
                return Step(entry, event, PersonaResult(self.action, Result.CREATED, entry))
            case Conflict(code, message):
                entry = self._entry(
                    Status.CONFLICT,
                    at,
                    code=code,
                    message=message or None,
                    after_pending=self._maybe_made,
                    answer=self._answer,
                )
                return self._end(EventKind.CREATE_CONFLICT, Result.CONFLICT, entry, outcome)
            case Refused() | NotSent() if not self._maybe_made:
                entry = self._entry(
                    Status.FAILED,
                    at,
                    code=getattr(outcome, "code", None),
                    message=getattr(outcome, "message", None) or reason_of(outcome),
                )
                return self._end(EventKind.CREATE_FAILED, Result.FAILED, entry, outcome)
        entry = self._unclear(outcome, at)
        keeps = isinstance(outcome, Refused | Unclear)
        step = self.unknown(reason_of(outcome), at, code=entry.code)
        return replace(step, entry=entry if keeps else None)

    def unknown(self, reason: str, at: str, *, code: int | None = None) -> Step:
        """Return that the persona may exist or not."""
        event = self._event(EventKind.CREATE_UNKNOWN, at, code=code, reason=reason)
        entry = self._entry(Status.PENDING, at, answer=self._answer, code=code)
        return Step(None, event, PersonaResult(self.action, Result.UNKNOWN, entry, reason))

    def take_back(self, at: str) -> Step:
        """Return what undoes the ``pending`` of a request that was never sent."""
        entry = None
        if not self._maybe_made:
            message = "the run ended before this was sent"
            entry = self._entry(Status.FAILED, at, message=message)
        row = PersonaResult(self.action, Result.NOT_ATTEMPTED, self.action.entry)
        return Step(entry, None, row)

    def unrecorded(self, step: Step, why: str, at: str, *, kept: str) -> Step:
        """Return what is told instead of a step whose entry could not be appended.

        ``kept`` is where the entry is instead, or an empty text.
        """
        row = step.result
        if row is not None and row.result is Result.NOT_ATTEMPTED:
            return replace(step, entry=None)  # ``pending`` is as safe
        if row is not None and row.result is Result.CREATED and step.event is not None:
            told = replace(step.event, rescued=kept)
            return Step(None, told, replace(row, rescued=kept))
        return self.unknown(f"its outcome could not be recorded: {why}", at)

    def _unclear(self, outcome: Outcome, at: str) -> Entry:
        code, reason = getattr(outcome, "code", None), reason_of(outcome)
        return self._entry(Status.PENDING, at, code=code, message=reason, answer=self._answer)

    def _end(self, kind: EventKind, result: Result, entry: Entry, outcome: Outcome) -> Step:
        reason = reason_of(outcome)
        event = self._event(kind, entry.at or "", code=entry.code, reason=reason)
        return Step(entry, event, PersonaResult(self.action, result, entry, reason))

    def _entry(self, status: Status, at: str, **fields: Any) -> Entry:
        return Entry(
            audio_id=self.persona.audio_id,
            key=self.persona.key,
            status=status,
            at=at,
            run=self._run,
            request=self.persona.request,
            **fields,
        )

    def _event(self, kind: EventKind, at: str, **fields: Any) -> Event:
        persona = self.persona
        return Event(kind, at, self._run, persona.key, persona.audio_id, **fields)


def reason_of(outcome: Outcome) -> str:
    """Say an outcome in a few words."""
    match outcome:
        case Unclear(reason) | NotSent(reason) | Moved(_, reason):
            return reason
        case Conflict(code, message) | Refused(code, message) | Throttled(code, message):
            return f"the API answered {code}" + (f": {message}" if message else "")
        case Created():
            return "created"
