"""A plan walked once: the rows, notes and sums that every rendering of it tells.

All texts here are printable already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from personasync.diagnostics import Place
from personasync.plan import ATTENTION, Action, ActionKind, Change, Plan
from personasync.render.layout import answered_id, display_width, import_command, shorten
from personasync.render.text import printable

_SYMBOLS: Final[Mapping[ActionKind, str]] = {
    ActionKind.CREATE: "+",
    ActionKind.RESUME: "+",
    ActionKind.IMPORT: "<",
    ActionKind.RENAME: ">",
    ActionKind.CHANGED: "!",
    ActionKind.REMOVED: "!",
    ActionKind.CONFLICT: "!",
}
_NOTED: Final = frozenset({ActionKind.RESUME, *ATTENTION})
_WAYS_OUT: Final[Mapping[ActionKind, str]] = {
    ActionKind.CHANGED: (
        "put it back as it was (`personasync state show KEY` prints it), or use another audio"
    ),
    ActionKind.REMOVED: (
        "put it back into the manifest, or hide it with `personasync state rm KEY`, which keeps"
        " its ID"
    ),
    ActionKind.CONFLICT: "find its ID and record it, or use another audio",
}
_REASON_LIMIT: Final = 300
_SHOWN_WAY_OUT: Final = "an answer that was kept shows its ID: record it, or use another audio"


@dataclass(frozen=True, slots=True)
class ChangedField:
    """A field that differs, its values as they are shown: texts in quotes, numbers bare."""

    field: str
    recorded: str
    wanted: str

    def around_difference(self, room: int) -> ChangedField:
        """Cut both values to ``room`` cells, with where they begin to differ in sight."""
        if max(display_width(self.recorded), display_width(self.wanted)) <= room:
            return self
        pairs = enumerate(zip(self.recorded, self.wanted, strict=False))
        lengths = len(self.recorded), len(self.wanted)
        differ_at = next((at for at, (one, other) in pairs if one != other), min(lengths))
        start = min(differ_at - room // 4, max(lengths) - room + 1)
        recorded, wanted = (
            shorten(f"…{value[start:]}" if start > 0 else value, room)
            for value in (self.recorded, self.wanted)
        )
        return ChangedField(self.field, recorded, wanted)


@dataclass(frozen=True, slots=True)
class Row:
    """What is said of one action.

    ``detail`` is what only this row can say, ``reason`` why, ``way_out`` how
    to settle it, and ``command`` the exact command that does.
    """

    kind: ActionKind
    symbol: str
    key: str
    name: str
    detail: str
    reason: str
    changes: tuple[ChangedField, ...] = ()
    way_out: str = ""
    command: str | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """What would be the same on many rows of a kind, said once."""

    kind: ActionKind
    reason: str
    way_out: str

    def __str__(self) -> str:
        return "; ".join(part for part in (self.reason, self.way_out) if part)


def rows_of(plan: Plan, options: Sequence[str] = ()) -> tuple[Row, ...]:
    """Return a row for each action of a plan but those that are ``unchanged``.

    ``options`` are those that a command of a row must be given again.
    """
    shown = (each for each in plan.actions if each.kind is not ActionKind.UNCHANGED)
    return tuple(_row(each, options) for each in shown)


def notes_of(rows: Iterable[Row]) -> tuple[Note, ...]:
    """Return the notes that explain the rows, in the order of the first row of each."""
    noted = dict.fromkeys(
        Note(row.kind, row.reason, row.way_out) for row in rows if row.kind in _NOTED
    )
    return tuple(note for note in noted if str(note))


def summary_lines(plan: Plan) -> tuple[str, ...]:
    """Return the one or two lines that sum up a plan, word for word as design.md §5 has them."""
    counts = plan.counts()
    if plan.applicable or counts[ActionKind.CONFLICT]:
        summary = (
            f"Plan: {counts[ActionKind.CREATE]} to create, {counts[ActionKind.RESUME]} to resume,"
            f" {counts[ActionKind.IMPORT]} to import, {counts[ActionKind.RENAME]} to rename."
            f" {counts[ActionKind.UNCHANGED]} unchanged."
        )
    else:
        summary = "No changes. Every persona in the manifest is recorded."
    if not any(counts[kind] for kind in ATTENTION):
        return (summary,)
    return (
        summary,
        f"Needs attention: {counts[ActionKind.CHANGED]} changed,"
        f" {counts[ActionKind.REMOVED]} removed, {counts[ActionKind.CONFLICT]} in conflict.",
    )


def _row(action: Action, options: Sequence[str]) -> Row:
    way_out, command = _WAYS_OUT.get(action.kind, ""), None
    if action.kind is ActionKind.CONFLICT:
        persona_id = answered_id(action.entry)
        command = import_command(action.key, persona_id, options=options)
        way_out = _SHOWN_WAY_OUT if persona_id else way_out
    return Row(
        action.kind,
        _SYMBOLS[action.kind],
        printable(action.key),
        printable(_name(action)),
        printable(_detail(action)),
        printable(action.reason or ""),
        tuple(map(_changed_field, action.changes)),
        way_out,
        command,
        action.place,
    )


def _name(action: Action) -> str:
    request = action.persona.request if action.persona else action.entry and action.entry.request
    return request.name if request else ""


def _detail(action: Action) -> str:
    match action.kind:
        case ActionKind.CREATE:
            return printable(action.reason or "", _REASON_LIMIT)
        case ActionKind.IMPORT:
            return f"{action.persona_id} ({action.reason})" if action.reason else ""
        case ActionKind.RENAME:
            return f"{action.entry.key} -> {action.key}" if action.entry else ""
        case ActionKind.REMOVED:
            return action.persona_id or "its ID is not known"
        case _:
            return ""


def _changed_field(change: Change) -> ChangedField:
    return ChangedField(printable(change.field), _value(change.recorded), _value(change.wanted))


def _value(value: str | float | None) -> str:
    if value is None:
        return "not given"
    return f'"{printable(value)}"' if isinstance(value, str) else f"{value:.15g}"
