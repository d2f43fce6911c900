"""A plan walked once: the rows, notes and sums that every rendering of it tells.

All texts here are printable already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from personasync.model.diagnostics import Place
from personasync.model.spelling import counted, plural
from personasync.model.steps import Command
from personasync.plan.compute import ATTENTION, Action, ActionKind, Change, Plan
from personasync.render import remedies
from personasync.render.layout import display_width, shorten
from personasync.render.remedies import Way
from personasync.render.safe import printable, told_apart
from personasync.state.adopt import answered_id

_SYMBOLS: Final[Mapping[ActionKind, str]] = {
    ActionKind.CREATE: "+",
    ActionKind.RESUME: "+",
    ActionKind.IMPORT: "<",
    ActionKind.RENAME: ">",
    ActionKind.CHANGED: "!",
    ActionKind.REMOVED: "!",
    ActionKind.CONFLICT: "!",
}
_MOST_COMMANDS: Final = 10
"""More rows of a kind than this share one note, and have no command each."""

_REASON_LIMIT: Final = 300


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

    ``detail`` is what only this row can say, ``reason`` why, and ``ways`` are
    how to settle it. ``note`` is what holds for all rows of its kind, and
    ``plain`` that nothing but its key tells its commands from theirs.
    """

    kind: ActionKind
    symbol: str
    key: str
    name: str
    detail: str
    reason: str
    changes: tuple[ChangedField, ...] = ()
    ways: tuple[Way, ...] = ()
    note: str = ""
    plain: bool = True
    place: Place | None = None

    @property
    def trouble(self) -> tuple[ActionKind, str, tuple[str, ...]]:
        """What rows that are settled in the same way have in common."""
        return self.kind, self.reason, tuple(way.words for way in self.ways)


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that are shown together: one, or all that share a trouble."""

    rows: tuple[Row, ...]

    @property
    def crowded(self) -> bool:
        """Whether the rows are too many for a command each."""
        return len(self.rows) > _MOST_COMMANDS

    def commands(self, way: int) -> list[Command]:
        """Return the commands of one way out; one for any of the rows where they are many."""
        if not self.crowded:
            return [row.ways[way].command for row in self.rows]
        any_of_them = self.rows[0].ways[way]
        special = [row.ways[way].command for row in self.rows if not row.plain]
        many = [any_of_them.many] if any_of_them.many else []
        return [general(any_of_them.command), *many, *special]


def general(command: Command) -> Command:
    """Return a command about any persona in place of the one that it names."""
    return replace(command, words=(remedies.ANY, *command.words[1:]))


def rows_of(plan: Plan) -> tuple[Row, ...]:
    """Return a row for each action of a plan but those that are ``unchanged``."""
    names = _Names(plan)
    return tuple(
        _row(each, names) for each in plan.actions if each.kind is not ActionKind.UNCHANGED
    )


def blocks_of(rows: Iterable[Row]) -> tuple[Block, ...]:
    """Return the rows with those that share a trouble together, where the first of them stands."""
    found: dict[object, list[Row]] = {}
    for at, row in enumerate(rows):
        found.setdefault(row.trouble if row.ways else at, []).append(row)
    return tuple(Block(tuple(together)) for together in found.values())


def notes_of(rows: Iterable[Row]) -> tuple[tuple[ActionKind, str], ...]:
    """Return what holds for all rows of a kind, said once, in the order of the first of each."""
    return tuple(dict.fromkeys((row.kind, note) for row in rows for note in _notes(row)))


def _notes(row: Row) -> Iterator[str]:
    if row.kind is ActionKind.RESUME:
        yield row.reason
    if row.note:
        yield row.note


def summary_lines(plan: Plan) -> tuple[str, ...]:
    """Return the lines that sum up a plan: one, or two where something needs attention."""
    counts = plan.counts()
    if plan.applicable or counts[ActionKind.CONFLICT]:
        summary = (
            f"Plan: {counts[ActionKind.CREATE]} to create, {counts[ActionKind.RESUME]} to resume,"
            f" {counts[ActionKind.IMPORT]} to import, {counts[ActionKind.RENAME]} to rename."
            f" {counts[ActionKind.UNCHANGED]} unchanged."
        ) + (f" {plan.left_out} left out." if plan.left_out else "")
    elif plan.left_out:
        summary = (
            f"No changes among the {counted(len(plan.actions), 'persona')} chosen;"
            f" {plan.left_out} {plural(plan.left_out, 'is', 'are')} left out by --target and"
            " --exclude."
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


def remark_of(plan: Plan) -> str | None:
    """Return what is to be said before the summary: that there is nothing to plan for."""
    return None if plan.manifest.personas or plan.left_out else "The manifest has no personas."


class _Names:
    """What a command of the state must call an audio: its key, unless others have it too."""

    def __init__(self, plan: Plan) -> None:
        in_view = [each for each in plan.state.entries.values() if each.in_view]
        self._recorded = Counter(entry.key for entry in in_view)
        self._wanted = {persona.key: persona.audio_id for persona in plan.manifest.personas}

    def shared(self, action: Action) -> bool:
        """Whether the key alone does not tell which audio of the state is meant."""
        entry = action.entry
        return entry is not None and (
            self._recorded[entry.key] > 1
            or self._wanted.get(entry.key, entry.audio_id) != entry.audio_id
        )

    def of(self, action: Action) -> str:
        return action.entry.key if action.entry and not self.shared(action) else action.audio_id


def _row(action: Action, names: _Names) -> Row:
    return Row(
        action.kind,
        _SYMBOLS[action.kind],
        printable(action.key),
        printable(action.request.name if action.request else ""),
        printable(_detail(action, names)),
        printable(action.reason or ""),
        tuple(map(_changed_field, action.changes)),
        _ways(action, names.of(action)),
        _note(action),
        not names.shared(action) and answered_id(action.entry) is None,
        action.place,
    )


def _ways(action: Action, name: str) -> tuple[Way, ...]:
    match action.kind:
        case ActionKind.CONFLICT:
            return remedies.conflict(action.key, action.entry)
        case ActionKind.REMOVED:
            return remedies.removed(name, action.entry)
        case ActionKind.CHANGED:
            return remedies.changed(name)
        case _:
            return ()


def _note(action: Action) -> str:
    match action.kind:
        case ActionKind.RENAME | ActionKind.IMPORT if action.changes:
            return remedies.STAYS_AS_SENT
        case ActionKind.RESUME if action.changes:
            return remedies.MAY_BE_AS_SENT
        case _:
            return ""


def _detail(action: Action, names: _Names) -> str:
    match action.kind:
        case ActionKind.CREATE:
            return printable(action.reason or "", _REASON_LIMIT)
        case ActionKind.IMPORT:
            return f"{action.persona_id} ({action.reason})" if action.reason else ""
        case ActionKind.RENAME:
            return f"{action.entry.key} -> {action.key}" if action.entry else ""
        case ActionKind.REMOVED:
            known = action.persona_id or "its ID is not known"
            return f"{known} (audio {action.audio_id})" if names.shared(action) else known
        case _:
            return ""


def _changed_field(change: Change) -> ChangedField:
    recorded, wanted = change.recorded, change.wanted
    if isinstance(recorded, str) and isinstance(wanted, str):
        recorded, wanted = told_apart(recorded, wanted)
    return ChangedField(printable(change.field), _value(recorded), _value(wanted))


def _value(value: str | float | None) -> str:
    if value is None:
        return "not given"
    return f'"{printable(value)}"' if isinstance(value, str) else f"{value:.15g}"
