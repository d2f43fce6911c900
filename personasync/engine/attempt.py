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
        self.unanswered = False
        """Whether a request of this run may have made the persona, and its answer is lost."""
        self.looked_again = False
        """Whether a refusal that may pass by itself was tried once more."""
        self._run = run
        # Whether a request of ours may have made the persona already.
        self._maybe_made = action.kind is ActionKind.RESUME
        self._answer: KeptAnswer | None = action.entry.answer if action.entry else None
        self._maybe_made = self._maybe_made or bool(self._shown_ids())

    def pending(self, at: str) -> Entry:
        """Return what must be durable before the request leaves."""
        return self._entry(Status.PENDING, at)

    def sent(self, at: str) -> Event | None:
        """Take note that a request leaves; return what to tell of it."""
        self.tries += 1
        return self._event(EventKind.CREATE_START, at) if self.tries == 1 else None

    def heard(self, outcome: Outcome) -> None:
        """Take note of what a request met: what came back is never given up for less."""
        self.last = outcome
        self._answer = more_telling(self._answer, getattr(outcome, "answer", None))
        if isinstance(outcome, Unclear):
            self._maybe_made = self.unanswered = True
        elif self._shown_ids():
            self._maybe_made = True

    def again(self, outcome: Outcome, wait: float, at: str) -> Step:
        """Return what leads to another try in ``wait`` seconds."""
        event = self._event(
            EventKind.CREATE_RETRY,
            at,
            attempt=self.tries + 1,
            wait=wait,
            code=code_of(outcome),
            reason=reason_of(outcome),
        )
        keeps = getattr(outcome, "answer", None) is not None
        return Step(self._pending(outcome, at) if keeps else None, event)

    def settle(self, outcome: Outcome, at: str) -> Step:
        """Return what an outcome means, when it is the last."""
        match outcome:
            case Created():
                return self._created(outcome, at)
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
            case Refused() | NotSent() | Moved() if not self._maybe_made:
                entry = self._entry(
                    Status.FAILED,
                    at,
                    code=code_of(outcome),
                    message=getattr(outcome, "message", None) or reason_of(outcome),
                    answer=self._answer,
                )
                return self._end(EventKind.CREATE_FAILED, Result.FAILED, entry, outcome)
        entry = self._pending(outcome, at)
        tells = isinstance(outcome, Refused | Unclear) or getattr(outcome, "answer", None)
        step = self.unknown(reason_of(outcome), at, code=entry.code)
        return replace(step, entry=entry if tells else None)

    def _created(self, outcome: Created, at: str) -> Step:
        persona_id = outcome.persona_id
        # One audio has one persona: another ID that came before is not thrown away for this one.
        others = [i for i in self._shown_ids() if not persona_id.startswith(i)]
        entry = self._entry(
            Status.CREATED,
            at,
            persona_id=persona_id,
            origin=Origin.CONFLICT if outcome.from_conflict else Origin.APPLY,
            answer=self._answer if others else outcome.answer,
        )
        event = self._event(EventKind.CREATE_DONE, at, persona_id=persona_id)
        return Step(entry, event, PersonaResult(self.action, Result.CREATED, entry))

    def _shown_ids(self) -> tuple[str, ...]:
        return self._answer.shown_ids if self._answer else ()

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
        unknown = self.unknown(f"its outcome could not be recorded: {why}", at)
        if unknown.result is None or not self._shown_ids():
            return unknown
        return replace(unknown, result=replace(unknown.result, rescued=kept))

    def _pending(self, outcome: Outcome, at: str) -> Entry:
        code, reason = code_of(outcome), reason_of(outcome)
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


def code_of(outcome: Outcome) -> int | None:
    """Return the API's code, where an outcome has one."""
    return outcome.status if isinstance(outcome, Moved) else getattr(outcome, "code", None)
