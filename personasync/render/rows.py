"""A plan walked once: the rows, notes and sums that every rendering of it tells.

All texts here are printable already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from personasync.model.diagnostics import Place
from personasync.plan.compute import ATTENTION, Action, ActionKind, Change, Plan
from personasync.render.commands import command_line, import_command
from personasync.render.layout import display_width, shorten
from personasync.render.safe import printable
from personasync.state.adopt import answered_id
from personasync.state.entry import Status

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

_SENT: Final = (
    "fields that differ stay as they are recorded, since the API cannot change a persona: put them"
    " back, or use another audio"
)
_WAYS_OUT: Final[Mapping[ActionKind, str]] = {
    ActionKind.CHANGED: (
        "put it back as it was (`personasync state show KEY` prints it), or use another audio"
    ),
    ActionKind.REMOVED: (
        "put it back into the manifest, or hide it with `personasync state rm KEY`, which keeps"
        " its ID"
    ),
    ActionKind.CONFLICT: (
        "find its ID where it was made, or in an older copy of the state, and record it; or use"
        " another audio"
    ),
    ActionKind.RENAME: _SENT,
    ActionKind.IMPORT: _SENT,
    ActionKind.RESUME: (
        "should the earlier request have made it, it has the recorded values, not the wanted ones"
    ),
}
"""How to settle what needs it: for a rename, an import or a resume, only fields that differ."""

_PUT_BACK: Final = "use another audio, or put it back as it was sent, which this prints"
_HIDE: Final = "put it back into the manifest, or hide it; its ID is kept"
_HIDE_UNKNOWN: Final = "put it back into the manifest, or hide it"
_RESUME: Final = (
    "put it back into the manifest and apply, which asks again and is safe; this prints its entry"
)
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
    shown = [each for each in plan.actions if each.kind is not ActionKind.UNCHANGED]
    crowded = {kind for kind, count in plan.counts().items() if count > _MOST_COMMANDS}
    names = _Names(plan)
    return tuple(_row(each, names, each.kind in crowded, options) for each in shown)


def notes_of(rows: Iterable[Row]) -> tuple[Note, ...]:
    """Return the notes that explain the rows, in the order of the first row of each."""
    noted = dict.fromkeys(note for row in rows for note in _notes(row))
    return tuple(note for note in noted if str(note))


def _notes(row: Row) -> Iterator[Note]:
    if row.kind in ATTENTION:
        yield Note(row.kind, row.reason, row.way_out)
        return
    if row.kind is ActionKind.RESUME:
        yield Note(row.kind, row.reason, "")
    yield Note(row.kind, "", row.way_out)


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


class _Names:
    """What a command of the state must call an audio: its key, unless others have it too."""

    def __init__(self, plan: Plan) -> None:
        hidden = (Status.FORGOTTEN, Status.FAILED)
        in_view = [each for each in plan.state.entries.values() if each.status not in hidden]
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


def _row(action: Action, names: _Names, crowded: bool, options: Sequence[str]) -> Row:
    way_out, command = _way_out(action, names, crowded, options)
    return Row(
        action.kind,
        _SYMBOLS[action.kind],
        printable(action.key),
        printable(_name(action)),
        printable(_detail(action, names)),
        printable(action.reason or ""),
        tuple(map(_changed_field, action.changes)),
        way_out,
        command,
        action.place,
    )


def _way_out(
    action: Action, names: _Names, crowded: bool, options: Sequence[str]
) -> tuple[str, str | None]:
    """Return how to settle an action, and the command that does, where the row shows its own."""
    status = action.entry.status if action.entry else None
    match action.kind:
        case ActionKind.CONFLICT:
            persona_id = answered_id(action.entry)
            command = import_command(action.key, persona_id, options=options)
            return _SHOWN_WAY_OUT if persona_id else _WAYS_OUT[action.kind], command
        case ActionKind.REMOVED if status is Status.PENDING:
            return _RESUME, _show_command(action, names, options)
        case ActionKind.REMOVED if names.shared(action) or not crowded:
            command = command_line("state rm", names.of(action), options=options)
            return _HIDE if action.persona_id else _HIDE_UNKNOWN, command
        case ActionKind.CHANGED if names.shared(action) or not crowded:
            return _PUT_BACK, _show_command(action, names, options)
        case ActionKind.RENAME | ActionKind.IMPORT | ActionKind.RESUME if not action.changes:
            return "", None
        case kind:
            return _WAYS_OUT.get(kind, ""), None


def _show_command(action: Action, names: _Names, options: Sequence[str]) -> str:
    form = ("--format", "manifest")
    return command_line("state show", names.of(action), flags=form, options=options)


def _name(action: Action) -> str:
    request = action.persona.request if action.persona else action.entry and action.entry.request
    return request.name if request else ""


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
    return ChangedField(printable(change.field), _value(change.recorded), _value(change.wanted))


def _value(value: str | float | None) -> str:
    if value is None:
        return "not given"
    return f'"{printable(value)}"' if isinstance(value, str) else f"{value:.15g}"
