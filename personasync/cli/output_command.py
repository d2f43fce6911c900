"""``personasync output``."""

from __future__ import annotations

import click

from personasync.cli.completion import complete_key
from personasync.cli.options import api_options, option, shared_options
from personasync.cli.records import Record, find, optional_manifest, records
from personasync.cli.workspace import Workspace
from personasync.errors import PersonasyncError
from personasync.render.output import FORMATS, Output
from personasync.state import Status


@click.command(
    epilog="\b\nExamples:\n"
    "  personasync output neon-siren           # the ID and a newline, nothing else\n"
    "  personasync output --format json\n"
    "  source <(personasync output --format env)   # $PERSONA_NEON_SIREN\n"
    "  personasync output --require neon-siren --require velvet-baritone"
)
@click.argument("key", required=False, shell_complete=complete_key)
@option(
    "--format",
    "output_format",
    type=click.Choice(sorted(FORMATS)),
    default="text",
    show_default=True,
    help="How all recorded IDs are printed.",
)
@option("--require", multiple=True, metavar="KEY", help="Fail if this persona is not recorded.")
@api_options
@shared_options
def command(
    workspace: Workspace, key: str | None, output_format: str, require: tuple[str, ...]
) -> int:
    """Print recorded IDs for scripts: one, or all."""
    workspace.check_options()
    known = records(optional_manifest(workspace), workspace.read_state(any_api=True))
    for name in require:
        _recorded_id(find(known, name))
    if key is not None:
        workspace.console.result(_recorded_id(find(known, key)))
        return 0
    outputs = [_output(record) for record in known.values() if record.persona_id is not None]
    workspace.console.result(FORMATS[output_format](outputs))
    return 0


def _output(record: Record) -> Output:
    request = record.persona.request if record.persona else None
    if request is None and record.entry is not None:
        request = record.entry.request
    return Output(
        key=record.key,
        persona_id=record.persona_id or "",
        audio_id=record.audio_id,
        task_id=request.task_id if request else None,
        name=request.name if request else None,
    )


def _recorded_id(record: Record) -> str:
    """Return the ID that is recorded; raises ``PersonasyncError`` saying why there is none."""
    if record.persona_id is not None:
        return record.persona_id
    why, hint = "it has not been created yet", "personasync apply"
    if record.entry is not None:
        match record.entry.status:
            case Status.PENDING:
                why = "an earlier run was cut off before its answer was recorded"
            case Status.CONFLICT:
                why = "its persona exists, but the ID is not known"
                hint = f"personasync import {record.key} PERSONA_ID"
            case Status.FAILED:
                why = f"the API refused it: {record.entry.message or record.entry.code}"
            case Status.FORGOTTEN:
                why = "it was dropped from view"
            case _:
                pass
    raise PersonasyncError(f"there is no ID for {record.key!r}: {why}", hint=f"run: {hint}")
