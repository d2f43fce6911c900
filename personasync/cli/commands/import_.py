"""``personasync import``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from personasync.cli.completion import complete_key
from personasync.cli.group import Command as CommandOfGroup
from personasync.cli.options import api_options, lock_option, option, shared_options
from personasync.cli.workspace import Workspace
from personasync.model.errors import PersonasyncError
from personasync.model.steps import Command, NextStep, Option
from personasync.render.safe import printable
from personasync.state.edits import Objection, check_id, objections, recorded
from personasync.state.find import find, records


@click.command(
    cls=CommandOfGroup,
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
    check_id(persona_id)
    manifest = workspace.optional_manifest()
    any_log = workspace.log(any_api=True)
    begun = any_log.read()
    missing = workspace.missing_state(begun)
    if missing is not None:
        raise missing
    check_id(persona_id, find(records(manifest, begun.fold()), key))  # before any lock
    log = any_log if begun.header else workspace.log()
    with workspace.locked(log):
        state = workspace.read(log).fold()
        record = find(records(manifest, state), key)
        if record.persona_id == persona_id and record.entry and record.entry.key == record.key:
            workspace.console.say(
                f"{printable(record.key)} is recorded with this ID already; nothing was changed."
            )
            return 0
        against = list(objections(record, persona_id, manifest, state))
        if against and not force:
            raise _refusal(against, key, persona_id)
        log.append([recorded(record, persona_id)])
    for objection in against:
        workspace.console.say(f"Note: recorded by force, although {printable(objection.message)}.")
    workspace.console.result(f"{printable(record.key)}: imported {persona_id}")
    return 0


def _refusal(against: Sequence[Objection], key: str, persona_id: str) -> PersonasyncError:
    return PersonasyncError(
        "; and ".join(objection.message for objection in against),
        hint=NextStep(
            f"{against[0].hint}; to record it all the same: ",
            Command("import", (key, persona_id), (Option("force"),)),
        ),
    )
