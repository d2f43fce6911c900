"""What leads from the state to the manifest: computed purely from the two."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from personasync.model.diagnostics import Diagnostic, Place, Severity
from personasync.model.errors import PlanError
from personasync.model.persona import Manifest, Persona, PersonaRequest
from personasync.model.steps import Command, NextStep, Option
from personasync.state.entry import Entry, Origin, Status
from personasync.state.fold import State


class ActionKind(StrEnum):
    """What is to be done, or said, about one persona."""

    CREATE = "create"
    RESUME = "resume"
    IMPORT = "import"
    RENAME = "rename"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    REMOVED = "removed"
    CONFLICT = "conflict"


APPLICABLE: Final = frozenset(
    {ActionKind.CREATE, ActionKind.RESUME, ActionKind.IMPORT, ActionKind.RENAME}
)
"""The actions that an apply carries out."""

SPENDING: Final = frozenset({ActionKind.CREATE, ActionKind.RESUME})
"""The actions that send a request, and so may spend an audio and a credit."""

ATTENTION: Final = frozenset({ActionKind.CHANGED, ActionKind.REMOVED, ActionKind.CONFLICT})
"""The actions that nothing but a person can settle."""


@dataclass(frozen=True, slots=True)
class Change:
    """A field whose value differs between the state and the manifest; ``None`` is not given."""

    field: str
    recorded: str | float | None
    wanted: str | float | None


@dataclass(frozen=True, slots=True)
class Action:
    """One persona's part of a plan.

    ``persona`` is the manifest's (``None`` when removed), ``entry`` the
    state's (``None`` when there is none).
    """

    kind: ActionKind
    key: str
    audio_id: str
    task_id: str | None = None
    persona_id: str | None = None
    changes: tuple[Change, ...] = ()
    reason: str | None = None
    persona: Persona | None = None
    entry: Entry | None = None

    @property
    def request(self) -> PersonaRequest | None:
        """What the manifest asks for, or else what was sent, as far as that is known."""
        known = self.persona or self.entry
        return known.request if known else None

    @property
    def place(self) -> Place | None:
        """Where the manifest asks for it."""
        return self.persona.place if self.persona else None


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions that lead from ``state`` to ``manifest``, in manifest order, removals last.

    ``left_out`` counts the actions that were left out of it, since not all were asked for.
    """

    actions: tuple[Action, ...]
    manifest: Manifest
    state: State
    left_out: int = 0

    def counts(self) -> Mapping[ActionKind, int]:
        """Return how many actions of each kind there are, none left out."""
        found = Counter(action.kind for action in self.actions)
        return {kind: found[kind] for kind in ActionKind}

    @property
    def applicable(self) -> bool:
        """Whether an apply would do anything."""
        return any(action.kind in APPLICABLE for action in self.actions)


def compute_plan(manifest: Manifest, state: State) -> Plan:
    """Compare a manifest with a state.

    Raises ``PlanError``, with a diagnostic for each, when the manifest gives
    an ID that contradicts a recorded one.
    """
    contradictions = _contradictions(manifest, state)
    if contradictions:
        raise PlanError(
            "the manifest and the state contradict each other", diagnostics=contradictions
        )
    actions = [
        _action(persona, state.entries.get(persona.audio_id)) for persona in manifest.personas
    ]
    wanted = {persona.audio_id for persona in manifest.personas}
    keys = {persona.key for persona in manifest.personas}
    removed = [
        _removed(entry, replaced=entry.key in keys)
        for audio_id, entry in state.entries.items()
        if audio_id not in wanted and entry.in_view
    ]
    removed.sort(key=lambda action: (action.key, action.audio_id))
    left = {each.key: each.entry for each in removed if each.entry and each.persona_id}
    return Plan((*(_leaving(each, left) for each in actions), *removed), manifest, state)


def _leaving(action: Action, left: Mapping[str, Entry]) -> Action:
    """Say which audio and ID a persona to be created leaves behind, where its key had another."""
    before = left.get(action.key)
    if before is None or action.kind is not ActionKind.CREATE:
        return action
    leaves = f"its key had the audio {before.audio_id}, whose persona {before.persona_id} stays"
    return replace(action, reason=f"{action.reason}; {leaves}" if action.reason else leaves)


def manifest_digest(manifest: Manifest) -> str:
    """Return a digest of what the manifest asks for, whatever its comments and layout."""
    digest = hashlib.sha256()
    for persona in manifest.personas:
        asked = [persona.key, persona.persona_id, persona.request.to_json()]
        digest.update(json.dumps(asked, separators=(",", ":")).encode() + b"\n")
    return f"sha256:{digest.hexdigest()}"


def changes_between(recorded: PersonaRequest | None, wanted: PersonaRequest) -> tuple[Change, ...]:
    """Return the fields in which two requests differ in effect.

    A field left out and the API's own default for it are the same thing.
    """
    if recorded is None or recorded == wanted:
        return ()
    old, new = recorded.effective(), wanted.effective()
    return tuple(Change(name, old[name], new[name]) for name in new if old[name] != new[name])


def _action(persona: Persona, entry: Entry | None) -> Action:
    recorded = entry is not None and entry.status is Status.CREATED
    base = Action(
        ActionKind.UNCHANGED if recorded else ActionKind.CREATE,
        persona.key,
        persona.audio_id,
        persona.request.task_id,
        persona.persona_id or (entry.persona_id if entry else None),
        persona=persona,
        entry=entry,
    )
    if entry is None or not recorded:
        if entry is not None and entry.rivals:
            return replace(base, kind=ActionKind.CONFLICT, reason=conflict_reason(entry))
        if persona.persona_id:
            return replace(base, kind=ActionKind.IMPORT, reason="the manifest gives its ID")
        return base if entry is None else _unrecorded(base, persona, entry)
    changes = _open_changes(entry, persona.request)
    if entry.key != persona.key:
        reason = f"recorded as {entry.key!r}"
        return replace(base, kind=ActionKind.RENAME, changes=changes, reason=reason)
    if changes:
        reason = "already created, and the API cannot change a persona"
        return replace(base, kind=ActionKind.CHANGED, changes=changes, reason=reason)
    return base


def _open_changes(entry: Entry, wanted: PersonaRequest) -> tuple[Change, ...]:
    """Return what differs from what was sent, unless a person accepted just that."""
    changes = changes_between(entry.request, wanted)
    accepted = entry.accepted is not None and not changes_between(entry.accepted, wanted)
    return () if accepted else changes


def _unrecorded(base: Action, persona: Persona, entry: Entry) -> Action:
    """Choose the action for an audio whose ID is hidden or not known."""
    match entry.status:
        case Status.FORGOTTEN if entry.persona_id:
            return replace(
                base,
                kind=ActionKind.IMPORT,
                changes=_open_changes(entry, persona.request),
                reason="it was dropped from view, and its ID was kept",
            )
        case _ if entry.persona_id:  # an ID that is written down is never asked for again
            return replace(base, kind=ActionKind.IMPORT, reason="its ID is in the state")
        case Status.PENDING:
            return replace(
                base,
                kind=ActionKind.RESUME,
                changes=changes_between(entry.request, persona.request),
                reason="an earlier request's outcome is unknown; asking again spends nothing twice",
            )
        case _ if entry.in_conflict:
            return replace(base, kind=ActionKind.CONFLICT, reason=conflict_reason(entry))
        case Status.FAILED:
            return replace(base, reason=_failure_reason(entry))
        case _:
            return base


def _failure_reason(entry: Entry) -> str | None:
    if entry.code is None:  # no answer came, since nothing was sent
        return f"not sent before: {entry.message}" if entry.message else None
    return f"refused before: {entry.code}" + (f" {entry.message}" if entry.message else "")


def conflict_reason(entry: Entry) -> str:
    """Say why an audio's persona exists although its ID is not known."""
    if entry.rivals:
        ids = " and ".join(entry.ids)
        return f"{len(entry.ids)} IDs are recorded for it, {ids}, and none replaces another"
    if entry.after_pending:
        return (
            "its persona exists, made most likely by a request of ours whose answer never arrived;"
            " the API gives an ID only once"
        )
    return (
        "its persona exists, made elsewhere or by a run whose state is lost; the API gives an ID"
        " only once"
    )


def _removed(entry: Entry, *, replaced: bool) -> Action:
    """Say that an audio is not wanted; ``replaced`` when its key has another audio now."""
    gone = "its key has another audio in the manifest now" if replaced else _GONE
    match entry.status:
        case Status.PENDING:
            why = "its request's outcome is unknown, so its persona may exist"
        case _ if entry.rivals:
            why = conflict_reason(entry)
        case Status.CONFLICT:
            why = "its persona exists, and its ID is not known"
        case _:
            why = "it stays, since the API cannot delete"
    return Action(
        ActionKind.REMOVED,
        entry.key,
        entry.audio_id,
        entry.request.task_id if entry.request else None,
        entry.persona_id,
        reason=f"{gone}; {why}",
        entry=entry,
    )


_GONE: Final = "no longer in the manifest"


def _contradictions(manifest: Manifest, state: State) -> list[Diagnostic]:
    given = [persona for persona in manifest.personas if persona.persona_id]
    if not given:
        return []
    owners = {each: entry for entry in state.entries.values() for each in entry.ids}
    found = (_contradiction(persona, state, owners) for persona in given)
    return [diagnostic for diagnostic in found if diagnostic is not None]


def _contradiction(
    persona: Persona, state: State, owners: Mapping[str, Entry]
) -> Diagnostic | None:
    entry = state.entries.get(persona.audio_id)
    recorded = entry.ids if entry else ()
    owner = owners.get(persona.persona_id or "")
    record = Command("import", (persona.key, persona.persona_id or ""), (Option("force"),))
    if persona.persona_id in recorded:
        return None  # as it should be, also where --force gave the ID to another audio as well
    if owner is not None:
        message = (
            f"personaId {persona.persona_id} is recorded for another audio,"
            f" {owner.audio_id} ({owner.key})"
        )
        hint = (
            "each audio has a persona of its own: correct or remove the personaId, or, if it is"
            " this audio's, record it: "
        )
    elif recorded:
        message = (
            f"personaId is {persona.persona_id}, but {' and '.join(recorded)} is recorded for this"
            " audio"
        )
        hint = "put the recorded ID into the manifest, or, if the manifest is right, record it: "
    else:
        return None
    place = persona.persona_id_place or persona.place
    return Diagnostic(
        Severity.ERROR, "contradicting-persona-id", message, place, NextStep(hint, record)
    )


def adopted_origin(action: Action) -> Origin:
    """Return where the ID of an import comes from: what the state says, else the manifest."""
    if action.persona and action.persona.persona_id:
        return Origin.MANIFEST
    return (action.entry.origin if action.entry else None) or Origin.MANIFEST
