"""What a plan records without asking anybody: imports, and personas that have a new name. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from personasync.engine.events import Event, EventKind, PersonaResult, Result
from personasync.engine.messages import Known
from personasync.plan.compute import Action, ActionKind, adopted_origin
from personasync.state.adopt import sent_request
from personasync.state.entry import Entry, Status

_TOLD: Final[dict[ActionKind, tuple[EventKind, Result]]] = {
    ActionKind.IMPORT: (EventKind.IMPORTED, Result.IMPORTED),
    ActionKind.RENAME: (EventKind.RENAMED, Result.RENAMED),
}

RECORDED: Final = frozenset(_TOLD)
"""The kinds of actions that need no request."""


def known(action: Action, run: str, at: str) -> Known:
    """Return what to record of an action that needs no request, and what to tell of it."""
    kind, result = _TOLD[action.kind]
    entry = _entry(action, run, at)
    previous = action.entry.key if action.entry else None
    event = Event(
        kind,
        at,
        run,
        key=action.key,
        audio_id=action.audio_id,
        persona_id=entry.persona_id,
        previous_key=previous if previous != action.key else None,
    )
    return Known(entry, event, PersonaResult(action, result, entry))


def _entry(action: Action, run: str, at: str) -> Entry:
    before, persona = action.entry, action.persona
    if action.kind is ActionKind.RENAME and before is not None:
        return replace(before, key=action.key, at=at, run=run)
    return Entry(
        audio_id=action.audio_id,
        key=action.key,
        status=Status.CREATED,
        persona_id=action.persona_id,
        origin=adopted_origin(action),
        at=at,
        run=run,
        request=sent_request(before, persona.request if persona else None, action.persona_id),
    )
