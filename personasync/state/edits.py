"""What a person may change in a state by hand, and what speaks against it.

Every edit is an entry that is appended: nothing that was recorded is erased.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from personasync.model.clock import new_run, utc_now
from personasync.model.contract import EXISTS_CODE, is_persona_id, is_placeholder
from personasync.model.errors import PersonasyncError, UsageError
from personasync.model.persona import Manifest
from personasync.model.steps import Command, NextStep, Option
from personasync.state.adopt import sent_request
from personasync.state.entry import Entry, Origin, Status
from personasync.state.find import Record
from personasync.state.fold import State, lines_of


@dataclass(frozen=True, slots=True)
class Objection:
    """A reason not to record an ID, which only force overrides, and what to do about it."""

    message: str
    hint: str


def check_id(persona_id: str, record: Record | None = None) -> None:
    """Raise ``UsageError`` for what cannot be an ID, or not the one of this audio."""
    if not is_persona_id(persona_id):
        raise UsageError(
            f"PERSONA_ID {persona_id!r} cannot be one: an ID is printable ASCII without spaces, 256"
            " characters at most, and no CI command",
            hint="copy the ID whole, without quotes",
        )
    if is_placeholder(persona_id):
        raise UsageError(
            f"{persona_id} is no ID, but stands for one",
            hint="give the persona's ID itself, whole and unmasked",
        )
    for name, other in _other_ids(record):
        if persona_id == other:
            raise UsageError(
                f"{persona_id} is the {name} of this persona, not its ID",
                hint="give the ID that the API answered when the persona was made",
            )


def _other_ids(record: Record | None) -> Iterator[tuple[str, str]]:
    if record is not None:
        yield "audioId", record.audio_id
        entry, persona = record.entry, record.persona
        for request in (persona and persona.request, entry and entry.request):
            if request:
                yield "taskId", request.task_id


def objections(
    record: Record, persona_id: str, manifest: Manifest, state: State
) -> Iterator[Objection]:
    """Yield what speaks against recording an ID, the gravest first."""
    for entry in state.entries.values():
        if persona_id in entry.ids and entry.audio_id != record.audio_id:
            yield Objection(
                f"{persona_id} is recorded for another audio, {entry.audio_id} ({entry.key})",
                "each audio has a persona of its own: check the ID",
            )
    for persona in manifest.personas:
        if persona.persona_id == persona_id and persona.audio_id != record.audio_id:
            yield Objection(
                f"the manifest gives {persona_id} to another audio,"
                f" {persona.audio_id} ({persona.key})",
                "each audio has a persona of its own: check the ID",
            )
    others = _other_recorded(record, persona_id)
    if others:
        yield Objection(
            f"{record.key!r} is recorded with another ID, {' and '.join(others)}",
            "the API cannot tell which is right: the new one would take its place",
        )
    wanted = record.persona.persona_id if record.persona else None
    if wanted and wanted != persona_id:
        yield Objection(
            f"the manifest gives {record.key!r} another ID, {wanted}",
            "change its personaId there, or take it out",
        )
    shown = _shown_ids(record.entry) if not others else ()
    if shown and not any(persona_id.startswith(each) for each in shown):  # one may be cut off
        yield Objection(
            f"an answer of the API that was kept for {record.key!r} shows another ID,"
            f" {' and '.join(shown)}",
            "look at the answer before it goes",
        )


def _shown_ids(entry: Entry | None) -> tuple[str, ...]:
    return entry.answer.shown_ids if entry and entry.answer else ()


def _other_recorded(record: Record, persona_id: str) -> list[str]:
    return [each for each in (record.entry.ids if record.entry else ()) if each != persona_id]


def recorded(record: Record, persona_id: str) -> Entry:
    """Return the entry that records an ID, in the place of every other that is known.

    An ID that was replaced before, or is one of several, is told apart from
    what it was by the run that records it again.
    """
    entry, run = record.entry, new_run()
    lines = lines_of(entry) if entry else ()
    before = {name for line in lines for name in line.replaces}
    given_way = {name for line in lines for name in line.names}
    others = _other_recorded(record, persona_id)
    again = persona_id in before or (bool(others) and persona_id in given_way)
    wanted = record.persona.request if record.persona else None
    kept = next((line for line in lines if line.persona_id == persona_id), None)
    return Entry(
        audio_id=record.audio_id,
        key=record.key,
        status=Status.CREATED,
        persona_id=persona_id,
        origin=Origin.IMPORT,
        at=utc_now(),
        run=run,
        request=sent_request(kept or entry, wanted, persona_id),
        replaces=tuple(sorted(before | given_way)) if others or again else tuple(sorted(before)),
        again=(run,) if again else (),
        extra=entry.extra if entry else None,
    )


def rename(known: Sequence[Record], entry: Entry, new_key: str) -> tuple[Entry, ...]:
    """Return what records an audio under another key; raises where the key means another."""
    if entry.key == new_key:
        return ()
    for holder in (record.entry for record in known if record.key == new_key):
        if holder is not None and holder.audio_id != entry.audio_id and holder.in_view:
            raise PersonasyncError(
                f"the key {new_key!r} belongs to another audio, {holder.audio_id}",
                hint=NextStep(
                    "choose another key, or first give that one another: ",
                    Command("state mv", (holder.audio_id, "OTHER_KEY")),
                ),
            )
    return _each(entry, lambda line: replace(line, key=new_key))


def forget(entry: Entry, *, force: bool = False) -> tuple[Entry, ...]:
    """Return what drops an audio from view; raises where that would give up an ID."""
    if entry.status is Status.FORGOTTEN:
        return ()
    if entry.status is Status.PENDING and (not force or _shown_ids(entry)):
        raise _still_pending(entry)
    # The code alone tells what exists from what never was, should it return to the manifest.
    code = EXISTS_CODE if entry.in_conflict and not entry.rivals else entry.code
    return _each(entry, lambda line: replace(line, status=Status.FORGOTTEN, code=code))


def accept(record: Record) -> tuple[Entry, ...]:
    """Return what records that a persona is not as the manifest asks, and is to stay so.

    Nothing, where it is so, or was accepted before. Raises
    ``PersonasyncError`` where there is nothing that could differ.
    """
    entry, persona = record.entry, record.persona
    if entry is None or not entry.ids:
        raise PersonasyncError(
            f"{record.key!r} has no recorded ID, so there is nothing to accept",
            hint=NextStep("to see what is to be done about it: ", Command("plan")),
        )
    if persona is None:
        raise PersonasyncError(
            f"{record.key!r} is not in the manifest, so it differs from nothing there",
            hint=NextStep("to drop it from view: ", Command("state rm", (record.key,))),
        )
    wanted = persona.request
    same = entry.request is None or entry.request.effective() == wanted.effective()
    if same or (entry.accepted and entry.accepted.effective() == wanted.effective()):
        return ()
    return _each(entry, lambda line: replace(line, accepted=wanted))


def _each(entry: Entry, edit: Callable[[Entry], Entry]) -> tuple[Entry, ...]:
    return tuple(stamped(map(edit, lines_of(entry))))


def stamped(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield entries as one run appends them now."""
    at, run = utc_now(), new_run()
    for entry in entries:
        yield replace(entry, at=at, run=run)


def _still_pending(entry: Entry) -> PersonasyncError:
    shown = _shown_ids(entry)
    record = Command("import", (entry.audio_id, shown[0] if len(shown) == 1 else "PERSONA_ID"))
    if shown:
        return PersonasyncError(
            f"{entry.key!r} is pending, and an answer that was kept for it shows its ID,"
            f" {' or '.join(shown)}",
            hint=NextStep("record it: ", record),
        )
    return PersonasyncError(
        f"{entry.key!r} is pending: its persona may exist, and its ID is not known yet",
        hint=NextStep(
            "settle it first: with it in the manifest, as this prints it: ",
            Command("state show", (entry.audio_id,), (Option("format", "manifest"),)),
            "; then this asks again, which spends nothing twice: ",
            Command("apply"),
            "; or, if you know the ID: ",
            record,
            "; or, if its persona surely does not exist: ",
            Command("state rm", (entry.audio_id,), (Option("force"),)),
        ),
    )
