"""The events of an apply: one JSON object a line for scripts, one line of text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from personasync.engine.events import Account, Event, EventKind, Result
from personasync.model.units import format_duration
from personasync.render.commands import import_command
from personasync.render.layout import without_none
from personasync.render.safe import defuse, json_text, printable

_COUNT_NAMES: Final[Mapping[Result, str]] = {
    Result.CREATED: "created",
    Result.IMPORTED: "imported",
    Result.RENAMED: "renamed",
    Result.FAILED: "failed",
    Result.CONFLICT: "conflict",
    Result.UNKNOWN: "unknown",
    Result.NOT_ATTEMPTED: "notAttempted",
}


def render_json(event: Event) -> str:
    """Return an event as one line of JSON in plain ASCII, without a newline (design.md §7).

    Fields that have no value are left out.
    """
    fields: dict[str, object | None] = {
        "event": event.kind.value,
        "at": event.at,
        "run": event.run,
        "key": event.key,
        "audioId": event.audio_id,
        "personaId": event.persona_id,
        "previousKey": event.previous_key,
        "attempt": event.attempt,
        "wait": None if event.wait is None else round(event.wait, 3),
        "code": event.code,
        "reason": event.reason,
        "rescued": event.rescued,
        "total": event.total,
        **(_account_fields(event.account) if event.account else {}),
    }
    return json_text(without_none(fields))


def render_unbegun(*, run: str, at: str, exit_code: int, reason: str) -> str:
    """Return the events of a run that ended before it had a plan to carry out: start and end."""
    common: dict[str, object] = {"at": at, "run": run}
    counts = dict.fromkeys(_COUNT_NAMES.values(), 0)
    start = {"event": EventKind.RUN_START.value, **common, "total": 0}
    end = {"event": EventKind.RUN_END.value, **common, **counts}
    return f"{json_text(start)}\n{json_text({**end, 'exitCode': exit_code, 'stopped': reason})}\n"


def render_text(event: Event, *, options: Sequence[str] = ()) -> str | None:
    """Return an event as one line of text; ``None`` for the end, which the account tells.

    ``options`` are those that a command it shows must be given again.
    """
    said = _said(event, options)
    if said is None:
        return None
    return defuse(printable(f"{event.key}: {said}" if event.key is not None else said))


def _account_fields(account: Account) -> dict[str, object | None]:
    counts = account.counts()
    return {
        **{name: counts[result] for result, name in _COUNT_NAMES.items()},
        "exitCode": account.exit_code,
        "stopped": account.stopped,
        "repeated": {persona_id: list(keys) for persona_id, keys in account.repeated.items()}
        or None,
    }


def _said(event: Event, options: Sequence[str]) -> str | None:
    match event.kind:
        case EventKind.RUN_START:
            total = event.total or 0
            if total == 0:
                return None
            return f"run {event.run}: {total} persona{'' if total == 1 else 's'} to act on"
        case EventKind.CREATE_START:
            return "creating"
        case EventKind.CREATE_RETRY:
            return (
                f"retry in {_seconds(event.wait or 0)} (attempt {event.attempt}){_because(event)}"
            )
        case EventKind.CREATE_DONE:
            return f"created {event.persona_id}{_kept(event, options)}"
        case EventKind.CREATE_FAILED:
            return f"failed{_because(event)}"
        case EventKind.CREATE_CONFLICT:
            return f"in conflict{_because(event)}"
        case EventKind.CREATE_UNKNOWN:
            return f"outcome unknown{_because(event)}"
        case EventKind.IMPORTED:
            return f"imported {event.persona_id}{_kept(event, options)}"
        case EventKind.RENAMED:
            was = f", before {event.previous_key}" if event.previous_key else ""
            return f"renamed{was}{_kept(event, options)}"
        case EventKind.RUN_END:
            return None


def _because(event: Event) -> str:
    return f": {event.reason}" if event.reason else ""


def _kept(event: Event, options: Sequence[str]) -> str:
    """Say where an outcome is that the state does not hold, and how to record its ID."""
    if event.rescued is None:
        return ""
    where = f"kept in {event.rescued}" if event.rescued else "kept nowhere but here"
    told = f"; not in the state, which could not be written, but {where}"
    command = import_command(event.key or "KEY", event.persona_id, options=options)
    return f"{told}; to record it: {command}"


def _seconds(wait: float) -> str:
    return f"{wait:.1f}s" if wait < 10 else format_duration(wait)
