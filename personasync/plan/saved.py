"""A plan as a value that can be written down, read again and held to its word.

``SavedPlan`` is what the plan's JSON says (design.md §7). ``parse`` reads it
back, and ``check_fresh`` refuses it once the world it was made for has moved on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn, TypeVar

from personasync.model.errors import PlanError, StalePlanError
from personasync.plan.compute import Action, ActionKind, Change, Plan, manifest_digest

FORMAT: Final = "personasync.plan/1"
"""What a saved plan's ``format`` says; fields may be added to it, never removed or changed."""

_NEW_PLAN: Final = "make a new one with `personasync plan --out FILE`"
_NAMED: Final = 5
_KINDS: Final = frozenset(kind.value for kind in ActionKind)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SavedAction:
    """One action as it is written down, with the file and line where the manifest asks for it."""

    kind: ActionKind
    key: str
    audio_id: str
    task_id: str | None = None
    persona_id: str | None = None
    changes: tuple[Change, ...] = ()
    reason: str | None = None
    file: str | None = None
    line: int | None = None

    @classmethod
    def of(cls, action: Action) -> SavedAction:
        """Write down an action."""
        place = action.place
        return cls(
            action.kind,
            action.key,
            action.audio_id,
            action.task_id,
            action.persona_id,
            tuple(
                Change(each.field, _writable(each.recorded), _writable(each.wanted))
                for each in action.changes
            ),
            action.reason,
            place.file if place else None,
            place.line if place else None,
        )

    def to_json(self) -> dict[str, object]:
        """Return the action under the names of design.md §7, every field present."""
        return {
            "action": self.kind.value,
            "key": self.key,
            "audioId": self.audio_id,
            "taskId": self.task_id,
            "personaId": self.persona_id,
            "changes": [
                {"field": each.field, "recorded": each.recorded, "wanted": each.wanted}
                for each in self.changes
            ],
            "reason": self.reason,
            "source": None if self.file is None else {"file": self.file, "line": self.line},
        }


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan, and what it is bound to: the manifest, the state and the API base.

    ``paths`` are the files and folders that were named, ``files`` the ones
    that were read. ``lineage`` is ``None`` where the state had not begun. The
    digests are those of ``manifest_digest`` and ``State.digest``.
    """

    paths: tuple[str, ...]
    files: tuple[str, ...]
    manifest_digest: str
    location: str
    lineage: str | None
    state_digest: str
    api: str
    actions: tuple[SavedAction, ...]

    @classmethod
    def of(
        cls, plan: Plan, *, api: str, location: str, paths: Sequence[str] | None = None
    ) -> SavedPlan:
        """Write down a plan made for an API base and the state kept at ``location``.

        ``paths`` are what named the manifest, where that is not its files.
        """
        return cls(
            plan.manifest.files if paths is None else tuple(paths),
            plan.manifest.files,
            manifest_digest(plan.manifest),
            location,
            _lineage(plan),
            plan.state.digest(),
            api,
            tuple(SavedAction.of(action) for action in plan.actions),
        )

    def to_json(self) -> dict[str, object]:
        """Return the plan as design.md §7 lays it out."""
        document: dict[str, object] = {
            "format": FORMAT,
            "manifest": {
                "paths": list(self.paths),
                "files": list(self.files),
                "digest": self.manifest_digest,
            },
            "state": {
                "location": self.location,
                "lineage": self.lineage,
                "digest": self.state_digest,
            },
            "api": self.api,
            "summary": _summary(self.actions),
            "actions": [action.to_json() for action in self.actions],
        }
        return {**document, "digest": plan_digest(document)}


def plan_digest(document: Mapping[str, object]) -> str:
    """Return the digest that a plan's JSON carries: of all its other fields, not of its layout."""
    fields = {name: value for name, value in document.items() if name != "digest"}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def parse(text: str, name: str) -> SavedPlan:
    """Read a saved plan; ``name`` is what errors call it.

    Raises ``PlanError``, saying what is wrong, for anything that is not a plan
    this version wrote.
    """
    try:
        document = json.loads(text.removeprefix("\ufeff"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise PlanError(
            f"{name} is not a saved plan: it is not JSON",
            hint=f"`personasync apply` takes the file that `personasync plan --out FILE` wrote;"
            f" {_NEW_PLAN}",
        ) from None
    try:
        saved = _read_plan(document)
        _check_digest(document)
    except _OtherVersionError as error:
        raise PlanError(f"{name} was made by another version: {error}", hint=_NEW_PLAN) from None
    except ValueError as error:
        raise PlanError(f"{name} is not a usable plan: {error}", hint=_NEW_PLAN) from None
    return saved


def check_fresh(saved: SavedPlan, plan: Plan, *, api: str, location: str) -> Plan:
    """Hold a saved plan against one computed just now; return the latter, narrowed to the former.

    Raises ``StalePlanError``, saying what changed, when the manifest, the
    state or the API base is not the one it was made for, and ``PlanError``
    when they are but the saved actions do not follow from them.
    """
    fresh = {action.audio_id: action for action in plan.actions}
    moved = list(_moved(saved, plan, api, location))
    if moved:
        raise StalePlanError(
            f"the saved plan is stale: {'; '.join([*moved, *_differences(saved, fresh)])}",
            hint=f"nothing was changed; look at a new plan, and {_NEW_PLAN}",
        )
    foreign = [action.key for action in saved.actions if not _agrees(action, fresh)]
    if foreign:
        raise PlanError(
            "the saved plan does not follow from the manifest and the state it was made for: "
            f"{_names(foreign)}",
            hint=f"it was edited by hand or made by another version; {_NEW_PLAN}",
        )
    return replace(plan, actions=tuple(fresh[action.audio_id] for action in saved.actions))


def _moved(saved: SavedPlan, plan: Plan, api: str, location: str) -> Iterator[str]:
    if saved.manifest_digest != manifest_digest(plan.manifest):
        yield "the manifest has changed"
    lineage = _lineage(plan)
    if saved.lineage and lineage and saved.lineage != lineage:
        yield f"it was made for another state ({saved.location}, and this one is {location})"
    elif not (saved.lineage and lineage) and saved.location != location:
        # Two states that have not begun look the same: only the location tells them apart.
        yield f"it was made for the state {saved.location}, and this one is {location}"
    elif saved.state_digest != plan.state.digest():
        yield "the state has changed"
    if saved.api != api:
        yield f"it was made for the API at {saved.api}, and this run uses {api}"


def _differences(saved: SavedPlan, fresh: Mapping[str, Action]) -> Iterator[str]:
    now = []
    for action in saved.actions:
        found = fresh.get(action.audio_id)
        if found is None:
            now.append(f"{action.key} is gone")
        elif found.key != action.key:
            now.append(f"{action.key} is now {found.key}")
        elif found.kind is not action.kind:
            now.append(f"{action.key} was {action.kind}, now {found.kind}")
        elif not _agrees(action, fresh):
            now.append(f"{action.key} differs")
    known = {action.audio_id for action in saved.actions}
    now += [f"{each.key} is not in it" for each in fresh.values() if each.audio_id not in known]
    if now:
        yield _names(now)


def _agrees(action: SavedAction, fresh: Mapping[str, Action]) -> bool:
    """Whether an action is among those computed; that its line has moved is no difference."""
    found = fresh.get(action.audio_id)
    return found is not None and replace(SavedAction.of(found), file=None, line=None) == replace(
        action, file=None, line=None
    )


def _names(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return ", ".join(texts[:_NAMED]) + more


def _lineage(plan: Plan) -> str | None:
    return plan.state.header.lineage if plan.state.header else None


def _summary(actions: Sequence[SavedAction]) -> dict[str, int]:
    found = Counter(action.kind for action in actions)
    return {kind.value: found[kind] for kind in ActionKind}


def _writable(value: str | float | None) -> str | float | None:
    """JSON has no infinity, which a number in a state such as 1e999 becomes."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _check_digest(document: Mapping[str, object]) -> None:
    if _field(document, "digest", str, "its") != plan_digest(document):
        raise ValueError("it was edited after it was saved, and does not match its digest")


class _OtherVersionError(ValueError):
    """The plan's format is not the one that this version writes."""


def _read_plan(document: object) -> SavedPlan:
    plan = _object(document, "it")
    saved_format = _field(plan, "format", str, "its")
    if saved_format != FORMAT:
        message = f"its format is {saved_format!r}, and this version reads {FORMAT!r}"
        raise (_OtherVersionError if saved_format.startswith("personasync.plan/") else ValueError)(
            message
        )
    manifest = _object(plan.get("manifest"), "its manifest")
    state = _object(plan.get("state"), "its state")
    actions = tuple(
        _read_action(each, f"actions[{index}]")
        for index, each in enumerate(_field(plan, "actions", list, "its"))
    )
    _check_summary(plan, actions)
    return SavedPlan(
        paths=_texts(manifest, "paths", "its manifest's"),
        files=_texts(manifest, "files", "its manifest's"),
        manifest_digest=_field(manifest, "digest", str, "its manifest's"),
        location=_field(state, "location", str, "its state's"),
        lineage=_optional(state, "lineage", str, "its state's"),
        state_digest=_field(state, "digest", str, "its state's"),
        api=_field(plan, "api", str, "its"),
        actions=actions,
    )


def _check_summary(plan: Mapping[str, object], actions: Sequence[SavedAction]) -> None:
    summary = _object(plan.get("summary"), "its summary")
    wrong = [name for name, count in _summary(actions).items() if summary.get(name) != count]
    if wrong:
        raise ValueError(f"its summary and its actions disagree on {wrong[0]}")
    seen: set[str] = set()
    for action in actions:
        if action.audio_id in seen:
            raise ValueError(f"two of its actions are about the audio {action.audio_id}")
        seen.add(action.audio_id)


def _read_action(value: object, name: str) -> SavedAction:
    action = _object(value, name)
    whose = f"{name}'s"
    kind = _field(action, "action", str, whose)
    if kind not in _KINDS:
        raise _OtherVersionError(f"{whose} action is {kind!r}, which this version does not know")
    source = action.get("source")
    place = {} if source is None else _object(source, f"{whose} source")
    return SavedAction(
        kind=ActionKind(kind),
        key=_field(action, "key", str, whose),
        audio_id=_field(action, "audioId", str, whose),
        task_id=_optional(action, "taskId", str, whose),
        persona_id=_optional(action, "personaId", str, whose),
        changes=tuple(
            _read_change(each, f"{name}.changes[{index}]")
            for index, each in enumerate(_field(action, "changes", list, whose))
        ),
        reason=_optional(action, "reason", str, whose),
        file=None if source is None else _field(place, "file", str, f"{whose} source's"),
        line=None if source is None else _field(place, "line", int, f"{whose} source's"),
    )


def _read_change(value: object, name: str) -> Change:
    change = _object(value, name)
    return Change(
        _field(change, "field", str, f"{name}'s"),
        _scalar(change, "recorded", f"{name}'s"),
        _scalar(change, "wanted", f"{name}'s"),
    )


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is missing" if value is None else f"{name} is not a JSON object")
    return value


def _field(fields: Mapping[str, object], name: str, kind: type[_T], whose: str) -> _T:
    value = _optional(fields, name, kind, whose)
    if value is None:
        raise ValueError(f"{whose} {name} is missing")
    return value


def _optional(fields: Mapping[str, object], name: str, kind: type[_T], whose: str) -> _T | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{whose} {name} is not {_KIND_NAMES[kind]}")
    return value


def _texts(fields: Mapping[str, object], name: str, whose: str) -> tuple[str, ...]:
    values = _field(fields, name, list, whose)
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{whose} {name} are not all texts")
    return tuple(values)


def _scalar(fields: Mapping[str, object], name: str, whose: str) -> str | float | None:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise ValueError(f"{whose} {name} is neither a text nor a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{whose} {name} is not a number that JSON can hold")
    return value


_KIND_NAMES: Final[Mapping[Callable[..., object], str]] = {
    str: "a text",
    int: "a whole number",
    list: "a list",
}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
