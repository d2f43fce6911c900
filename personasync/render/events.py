"""The events of an apply: one JSON object a line for scripts, one line of text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from personasync.engine.events import Account, Event, EventKind, Result, Underway
from personasync.model.spelling import counted, listed, plural
from personasync.model.steps import Command
from personasync.model.units import Rate, format_duration
from personasync.render.commands import HERE, Shell
from personasync.render.safe import defuse, json_text, printable

_SLOW: Final = 5.0
"""Seconds after which a request is worth a word."""
_NAMED: Final = 8

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
    """Return an event as one line of JSON in plain ASCII, without a newline.

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
        "waitingFor": [row.key for row in event.underway]
        if event.kind is EventKind.STOPPING
        else None,
        **(_account_fields(event.account) if event.account else {}),
    }
    return json_text({name: value for name, value in fields.items() if value is not None})


def render_unbegun(*, run: str, at: str, exit_code: int, reason: str) -> str:
    """Return the events of a run that ended before it had a plan to carry out: start and end."""
    common: dict[str, object] = {"at": at, "run": run}
    counts = dict.fromkeys(_COUNT_NAMES.values(), 0)
    start = {"event": EventKind.RUN_START.value, **common, "total": 0}
    end = {"event": EventKind.RUN_END.value, **common, **counts}
    return f"{json_text(start)}\n{json_text({**end, 'exitCode': exit_code, 'stopped': reason})}\n"


def render_text(event: Event, *, shell: Shell = HERE) -> str | None:
    """Return an event as one line of text; ``None`` for the end, which the account tells.

    ``shell`` writes the commands it shows.
    """
    said = _said(event, shell)
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


def _said(event: Event, shell: Shell) -> str | None:
    match event.kind:
        case EventKind.RUN_START:
            total = event.total or 0
            if total == 0:
                return None
            return f"run {event.run}: {total} {plural(total, 'persona')} to act on"
        case EventKind.CREATE_START:
            return "creating"
        case EventKind.CREATE_RETRY:
            return (
                f"retry in {_seconds(event.wait or 0)} (attempt {event.attempt}){_because(event)}"
            )
        case EventKind.CREATE_DONE:
            return f"created {event.persona_id}{_kept(event, shell)}"
        case EventKind.CREATE_FAILED:
            return f"failed{_because(event)}"
        case EventKind.CREATE_CONFLICT:
            return f"in conflict{_because(event)}"
        case EventKind.CREATE_UNKNOWN:
            return f"outcome unknown{_because(event)}"
        case EventKind.IMPORTED:
            return f"imported {event.persona_id}{_kept(event, shell)}"
        case EventKind.RENAMED:
            was = f", before {event.previous_key}" if event.previous_key else ""
            return f"renamed{was}{_kept(event, shell)}"
        case EventKind.STOPPING:
            return f"{event.reason}: {_waited_for(event.underway)}"
        case EventKind.WAITING:
            return waiting_for(event)
        case EventKind.RUN_END:
            return None


def waiting_for(event: Event, *, rate: Rate | None = None) -> str | None:
    """Say what a run waits for; ``None`` where that is nothing worth a word."""
    slow = [row for row in event.underway if row.seconds >= _SLOW]
    said = []
    if slow:
        names = [f"{row.key} ({format_duration(int(row.seconds))})" for row in slow]
        said.append(f"waiting for the answer for {listed(names, _NAMED)}")
    if event.waiting:
        said.append(f"waiting for the tasks of {listed(event.waiting, _NAMED)} to finish")
    if event.wait is not None:
        limit = f" ({rate})" if rate else ""
        why = event.reason or f"waiting for the rate{limit}"
        said.append(f"{why}, next in {max(1, round(event.wait))} s")
    return defuse(printable("; ".join(said))) if said else None


def _waited_for(underway: Sequence[Underway]) -> str:
    if not underway:
        return "nothing new is sent, and nothing is in flight"
    count = counted(len(underway), "answer")
    names = listed([row.key for row in underway], _NAMED)
    return (
        f"nothing new is sent; waiting for {count} ({names}). Leaving now, by the same signal"
        " again, may lose their IDs: the API gives each only once"
    )


def _because(event: Event) -> str:
    return f": {event.reason}" if event.reason else ""


def _kept(event: Event, shell: Shell) -> str:
    """Say where an outcome is that the state does not hold, and how to record its ID."""
    if event.rescued is None:
        return ""
    where = f"kept in {event.rescued}" if event.rescued else "kept nowhere but here"
    told = f"; not in the state, which could not be written, but {where}"
    command = shell.line(Command("import", (event.key or "KEY", event.persona_id or "PERSONA_ID")))
    return f"{told}; to record it: {command}"


def _seconds(wait: float) -> str:
    return f"{wait:.1f}s" if wait < 10 else format_duration(wait)
