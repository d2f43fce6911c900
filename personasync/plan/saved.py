"""A plan written down as a JSON document, and held to its word when it is read again.

A saved plan is never carried out by itself: it is compared with the plan that
manifest and state lead to now, and that one is carried out. So a document is
all that it must be, checked by its schema and its digest.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, Final, NoReturn, TypeAlias

from personasync.manifest.schemas import Violation, load_schema, violations
from personasync.model.diagnostics import Place
from personasync.model.errors import PlanError, StalePlanError
from personasync.model.persona import Manifest, Persona, PersonaRequest
from personasync.model.spelling import listed
from personasync.model.steps import Command, NextStep, Option
from personasync.plan.compute import Action, ActionKind, Change, Plan, manifest_digest
from personasync.state.entry import Entry, Header, Status
from personasync.state.fold import State

FORMAT: Final = "personasync.plan/1"
"""What a saved plan's ``format`` says; fields may be added to it, never removed or changed."""

Document: TypeAlias = Mapping[str, Any]

_NEW_PLAN: Final = ("make a new one: ", Command("plan", (), (Option("out", "FILE"),)))
_NAMED: Final = 5


def to_document(
    plan: Plan, *, api: str, location: str, paths: Sequence[str] | None = None
) -> dict[str, Any]:
    """Write down a plan made for an API base and the state kept at ``location``.

    ``paths`` are what named the manifest, where that is not its files.
    """
    manifest = plan.manifest
    document: dict[str, Any] = {
        "format": FORMAT,
        "manifest": {
            "paths": list(manifest.files if paths is None else paths),
            "files": list(manifest.files),
            "digest": manifest_digest(manifest),
        },
        "state": {
            "location": location,
            "lineage": plan.state.header.lineage if plan.state.header else None,
            "digest": plan.state.digest(),
        },
        "api": api,
        "summary": {
            **{kind.value: count for kind, count in plan.counts().items()},
            "leftOut": plan.left_out,
        },
        "actions": [_action(action) for action in plan.actions],
        "shown": {
            action.audio_id: _shown(action)
            for action in plan.actions
            if action.kind is not ActionKind.UNCHANGED
        },
    }
    return {**document, "digest": plan_digest(document)}


def _action(action: Action) -> dict[str, Any]:
    place = action.place
    return {
        "action": action.kind.value,
        "key": action.key,
        "audioId": action.audio_id,
        "taskId": action.task_id,
        "personaId": action.persona_id,
        "changes": [
            {
                "field": each.field,
                "recorded": _writable(each.recorded),
                "wanted": _writable(each.wanted),
            }
            for each in action.changes
        ],
        "reason": action.reason,
        "source": place.as_source if place else None,
    }


def _shown(action: Action) -> dict[str, Any]:
    """Return what else a rendering says of an action: what the state calls it, and its name."""
    entry, request = action.entry, action.request
    return {
        "name": request.name if request else None,
        "recordedKey": entry.key if entry else None,
        "status": entry.status.value if entry else None,
    }


def _writable(value: str | float | None) -> str | float | None:
    """JSON has no infinity, which a number in a state such as 1e999 becomes."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def plan_digest(document: Document) -> str:
    """Return the digest that a plan's JSON carries: of all its other fields, not of its layout."""
    fields = {name: value for name, value in document.items() if name != "digest"}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def parse(text: str, name: str) -> Document:
    """Read a saved plan; ``name`` is what errors call it.

    Raises ``PlanError``, saying what is wrong, for anything that is not a plan
    this version wrote.
    """
    try:
        document = json.loads(
            text.removeprefix("\ufeff"), parse_constant=_refuse, parse_float=_finite
        )
    except (ValueError, RecursionError):
        raise _unusable(f"{name} is not a saved plan: it is not JSON") from None
    format_ = document.get("format") if isinstance(document, dict) else None
    if isinstance(format_, str) and format_ != FORMAT:
        other = format_.startswith("personasync.plan/")
        what = "was made by another version" if other else "is not a usable plan"
        raise _unusable(
            f"{name} {what}: its format is {format_!r}, and this version reads {FORMAT!r}"
        )
    for violation in violations(load_schema("plan"), document):
        raise _unusable(f"{name} is not a usable plan: {_words(violation)}")
    if document["digest"] != plan_digest(document):
        raise _unusable(
            f"{name} is not a usable plan: it was edited after it was saved, and does not match its"
            " digest"
        )
    read: Document = document
    return read


def _unusable(message: str) -> PlanError:
    return PlanError(message, hint=NextStep(*_NEW_PLAN))


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


_KINDS: Final = {
    "object": "a JSON object",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
}


def _words(violation: Violation) -> str:
    path = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in violation.path]
    whose = "".join(path).removeprefix(".")
    match violation.keyword:
        case "required":
            missing = next(name for name in violation.expected if name not in violation.value)
            return f"its {whose}.{missing} is missing" if whose else f"its {missing} is missing"
        case "type":
            kinds = violation.expected
            kinds = (
                [kinds] if isinstance(kinds, str) else [kind for kind in kinds if kind != "null"]
            )
            said = " or ".join(_KINDS.get(kind, f"a {kind}") for kind in kinds)
            return f"its {whose} is not {said}" if whose else f"it is not {said}"
        case "anyOf":  # the one there is: what a field may be
            return f"its {whose} is not a text or a number"
        case _:
            return f"its {whose} is {violation.value!r:.80}, which this version does not know"


def check_fresh(saved: Document, plan: Plan, *, api: str, location: str) -> Plan:
    """Hold a saved plan against one computed just now; return the latter, narrowed to the former.

    Raises ``StalePlanError``, saying what changed, when the manifest, the
    state or the API base is not the one it was made for, and ``PlanError``
    when they are but the saved actions do not follow from them.
    """
    fresh = {action.audio_id: _action(action) for action in plan.actions}
    moved = list(_moved(saved, plan, api, location))
    if moved:
        raise StalePlanError(
            f"the saved plan is stale: {'; '.join([*moved, *_differences(saved, fresh)])}",
            hint=NextStep("nothing was changed; look at a new plan, and ", *_NEW_PLAN),
        )
    chosen = {action["audioId"] for action in saved["actions"]}
    kept = tuple(action for action in plan.actions if action.audio_id in chosen)
    narrowed = replace(plan, actions=kept, left_out=len(plan.actions) - len(kept))
    now = to_document(narrowed, api=api, location=location)
    pairs: Iterator[tuple[Document, Document]] = zip_longest(
        saved["actions"], now["actions"], fillvalue={}
    )
    wrong = [
        str(action.get("key", "an action left out"))
        for action, other in pairs
        if not _agree(action, other)
    ]
    if wrong or saved["summary"] != now["summary"]:
        raise PlanError(
            "the saved plan does not follow from the manifest and the state it was made for: "
            f"{listed(wrong, _NAMED) or 'its summary'}",
            hint=NextStep("it was edited by hand or made by another version; ", *_NEW_PLAN),
        )
    return narrowed


def _moved(saved: Document, plan: Plan, api: str, location: str) -> Iterator[str]:
    if saved["manifest"]["digest"] != manifest_digest(plan.manifest):
        yield "the manifest has changed"
    before, now = saved["state"], plan.state.header.lineage if plan.state.header else None
    if before["lineage"] and now and before["lineage"] != now:
        yield f"it was made for another state ({before['location']}, and this one is {location})"
    elif not (before["lineage"] and now) and before["location"] != location:
        # Two states that have not begun look the same: only the location tells them apart.
        yield f"it was made for the state {before['location']}, and this one is {location}"
    elif before["digest"] != plan.state.digest():
        elsewhere = f" (it was {before['location']}, and this one is {location})"
        yield "the state has changed" + (elsewhere if before["location"] != location else "")
    if saved["api"] != api:
        yield f"it was made for the API at {saved['api']}, and this run uses {api}"


def _differences(saved: Document, fresh: Mapping[str, Document]) -> Iterator[str]:
    now = []
    for action in saved["actions"]:
        found = fresh.get(action["audioId"])
        if found is None:
            now.append(f"{action['key']} is gone")
        elif found["key"] != action["key"]:
            now.append(f"{action['key']} is now {found['key']}")
        elif found["action"] != action["action"]:
            now.append(f"{action['key']} was {action['action']}, now {found['action']}")
        elif not _agree(action, found):
            now.append(f"{action['key']} differs")
    known = {action["audioId"] for action in saved["actions"]}
    if not saved["summary"]["leftOut"]:  # else it is no news that some are not in it
        now += [
            f"{each['key']} is not in it" for each in fresh.values() if each["audioId"] not in known
        ]
    if now:
        yield listed(now, _NAMED)


def _agree(action: Document, other: Document) -> bool:
    """Whether two actions say the same; that a line of the manifest has moved is no difference."""
    return {**action, "source": None} == {**other, "source": None}


def to_plan(saved: Document) -> Plan:
    """Return a plan that is shown as the saved one would be, and is good for nothing else.

    Raises ``PlanError`` for one that contradicts itself: what its actions say
    is not what its summary and its manifest say, so somebody took some out.
    """
    actions = tuple(_read_action(saved, action) for action in saved["actions"])
    if _lacks_actions(saved):
        raise _unusable("the plan contradicts itself: actions of it are missing")
    lineage = saved["state"]["lineage"]
    header = Header(lineage, saved["api"]) if lineage else None
    return Plan(
        actions,
        Manifest(
            tuple(action.persona for action in actions if action.persona),
            files=tuple(saved["manifest"]["files"]),
        ),
        State(header, {action.audio_id: action.entry for action in actions if action.entry}),
        saved["summary"]["leftOut"],
    )


def _lacks_actions(saved: Document) -> bool:
    counts = Counter(action["action"] for action in saved["actions"])
    wanted = counts.total() - counts["removed"] + saved["summary"]["leftOut"]
    for_none = saved["manifest"]["digest"] == manifest_digest(Manifest(()))
    return (wanted == 0 and not for_none) or any(
        saved["summary"][kind] != counts[kind] for kind in ActionKind
    )


def _read_action(saved: Document, action: Document) -> Action:
    audio_id, key, source = action["audioId"], action["key"], action["source"]
    shown = saved["shown"].get(audio_id) or {}
    request = PersonaRequest(action["taskId"] or "", audio_id, shown.get("name") or "", "")
    status = Status(shown["status"]) if shown.get("status") else None
    entry = Entry(
        audio_id,
        shown.get("recordedKey") or key,
        status or Status.CREATED,
        action["personaId"],
        request=request,
    )
    return Action(
        ActionKind(action["action"]),
        key,
        audio_id,
        action["taskId"],
        action["personaId"],
        tuple(
            Change(each["field"], each["recorded"], each["wanted"]) for each in action["changes"]
        ),
        action["reason"],
        Persona(key, request, Place(source["file"], source["line"], 0)) if source else None,
        entry if status or not shown else None,
    )
