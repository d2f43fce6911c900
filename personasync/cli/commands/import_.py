"""``personasync import``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click

from personasync.cli.completion import complete_key
from personasync.cli.group import Command
from personasync.cli.options import api_options, lock_option, option, shared_options
from personasync.cli.records import Record, find, optional_manifest, records
from personasync.cli.workspace import Workspace
from personasync.model.clock import new_run, utc_now
from personasync.model.contract import is_persona_id
from personasync.model.errors import PersonasyncError
from personasync.model.persona import Manifest
from personasync.render.commands import command_line
from personasync.render.safe import printable
from personasync.state import Entry, Origin, State, Status
from personasync.state.adopt import answered_id, sent_request


@click.command(
    cls=Command,
    epilog="\b\nExample:\n"
    "  personasync import neon-siren a1b2c3d4\n"
    "\n"
    "Use it when the API says that an audio has its persona already (409) and\n"
    "you know the ID from elsewhere: another tool's log, the service's web page.",
)
@click.argument("key", shell_complete=complete_key)
@click.argument("persona_id")
@option("--force", is_flag=True, environment=False, help="Overwrite another ID.")
@lock_option
@api_options
@shared_options
def command(workspace: Workspace, key: str, persona_id: str, force: bool) -> int:
    """Record an ID that is already known. No request is made; KEY may be an audioId."""
    workspace.check_options()
    if not is_persona_id(persona_id):
        raise click.BadParameter(
            "an ID is printable ASCII without spaces, 256 characters at most, and no CI command",
            param_hint="PERSONA_ID",
        )
    manifest = optional_manifest(workspace)
    any_log = workspace.log(any_api=True)
    begun = any_log.read()
    find(records(manifest, begun.fold()), key)  # before any lock
    log = any_log if begun.header else workspace.log()
    with workspace.locked(log):
        state = workspace.read(log).fold()
        record = find(records(manifest, state), key)
        if record.persona_id == persona_id and record.entry and record.entry.key == record.key:
            workspace.console.say(
                f"{printable(record.key)} is recorded with this ID already; nothing was changed."
            )
            return 0
        objections = list(_objections(record, persona_id, manifest, state))
        if objections and not force:
            raise _refusal(objections, key, persona_id, workspace.options)
        log.append([_entry(record, persona_id)])
    for objection in objections:
        workspace.console.say(f"Note: recorded by force, although {printable(objection.message)}.")
    workspace.console.result(f"{printable(record.key)}: imported {persona_id}")
    return 0


@dataclass(frozen=True, slots=True)
class _Objection:
    """A reason not to record an ID, and what to do about it besides ``--force``."""

    message: str
    hint: str


def _objections(
    record: Record, persona_id: str, manifest: Manifest, state: State
) -> Iterator[_Objection]:
    """Yield what speaks against recording an ID, the gravest first."""
    for entry in state.entries.values():
        if entry.persona_id == persona_id and entry.audio_id != record.audio_id:
            yield _Objection(
                f"{persona_id} is recorded for another audio, {entry.audio_id} ({entry.key})",
                "each audio has a persona of its own: check the ID",
            )
    for persona in manifest.personas:
        if persona.persona_id == persona_id and persona.audio_id != record.audio_id:
            yield _Objection(
                f"the manifest gives {persona_id} to another audio,"
                f" {persona.audio_id} ({persona.key})",
                "each audio has a persona of its own: check the ID",
            )
    known = record.entry.persona_id if record.entry else None
    if known and known != persona_id:
        yield _Objection(
            f"{record.key!r} is recorded with another ID, {known}",
            "the API cannot tell which is right: the new one would take its place",
        )
    wanted = record.persona.persona_id if record.persona else None
    if wanted and wanted != persona_id:
        yield _Objection(
            f"the manifest gives {record.key!r} another ID, {wanted}",
            "change its personaId there, or take it out",
        )
    answered = None if known else answered_id(record.entry)
    if answered and answered != persona_id:
        yield _Objection(
            f"an answer of the API that was kept for {record.key!r} shows another ID, {answered}",
            "look at the answer before it goes",
        )


def _refusal(
    objections: list[_Objection], key: str, persona_id: str, options: tuple[str, ...]
) -> PersonasyncError:
    force = command_line("import", key, persona_id, flags=["--force"], options=options)
    return PersonasyncError(
        "; and ".join(objection.message for objection in objections),
        hint=f"{objections[0].hint}; to record it all the same: {force}",
    )


def _entry(record: Record, persona_id: str) -> Entry:
    wanted = record.persona.request if record.persona else None
    return Entry(
        audio_id=record.audio_id,
        key=record.key,
        status=Status.CREATED,
        persona_id=persona_id,
        origin=Origin.IMPORT,
        at=utc_now(),
        run=new_run(),
        request=sent_request(record.entry, wanted, persona_id),
        extra=record.entry.extra if record.entry else None,
    )
