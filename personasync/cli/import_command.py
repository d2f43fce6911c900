"""``personasync import``."""

from __future__ import annotations

import re
import uuid
from typing import Final

import click

from personasync.cli.completion import complete_key
from personasync.cli.options import api_options, lock_option, option, shared_options
from personasync.cli.records import Record, find, optional_manifest, records
from personasync.cli.workspace import Workspace
from personasync.engine import utc_now
from personasync.errors import PersonasyncError
from personasync.state import Entry, Origin, State, Status

_PERSONA_ID: Final = re.compile(r"[!-~]{1,256}")


@click.command(
    epilog="\b\nExample:\n"
    "  personasync import neon-siren a1b2c3d4\n"
    "\n"
    "Use it when the API says that an audio has its persona already (409) and\n"
    "you know the ID from elsewhere: another tool's log, the service's web page."
)
@click.argument("key", shell_complete=complete_key)
@click.argument("persona_id")
@option("--force", is_flag=True, environment=False, help="Overwrite another ID.")
@lock_option
@api_options
@shared_options
def command(workspace: Workspace, key: str, persona_id: str, force: bool) -> int:
    """Record an ID that is already known. No request is made."""
    workspace.check_options()
    if not _PERSONA_ID.fullmatch(persona_id):
        raise click.BadParameter(
            "an ID is printable ASCII without spaces, 256 characters at most",
            param_hint="PERSONA_ID",
        )
    manifest = optional_manifest(workspace)
    log = workspace.log(any_api=workspace.state_path.exists())
    with workspace.locked(log):
        state = workspace.read(log).fold()
        record = find(records(manifest, state, forgotten=True), key)
        if record.persona_id == persona_id and record.entry and record.entry.key == key:
            workspace.console.say(f"{key} is recorded with this ID already; nothing was changed.")
            return 0
        if not force:
            _refuse_loss(record, state, persona_id)
        log.append([_entry(record, persona_id)])
    workspace.console.result(f"{key}: imported {persona_id}")
    return 0


def _refuse_loss(record: Record, state: State, persona_id: str) -> None:
    known = record.entry.persona_id if record.entry else None
    if known and known != persona_id:
        raise PersonasyncError(
            f"{record.key!r} is recorded with another ID, {known}",
            hint="the API cannot tell which is right; --force puts the new one in its place",
        )
    for entry in state.entries.values():
        if entry.persona_id == persona_id and entry.audio_id != record.audio_id:
            raise PersonasyncError(
                f"{persona_id} is recorded for another audio, {entry.audio_id} ({entry.key})",
                hint="each audio has a persona of its own: check the ID, or say --force",
            )


def _entry(record: Record, persona_id: str) -> Entry:
    recorded = record.entry.request if record.entry else None
    wanted = record.persona.request if record.persona else None
    return Entry(
        audio_id=record.audio_id,
        key=record.key,
        status=Status.CREATED,
        persona_id=persona_id,
        origin=Origin.IMPORT,
        at=utc_now(),
        run=uuid.uuid4().hex[:12],
        request=recorded or wanted,
    )
