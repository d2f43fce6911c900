"""``personasync import``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from personasync.cli.completion import complete_key
from personasync.cli.console import Console
from personasync.cli.group import Command as CommandOfGroup
from personasync.cli.manifests import optional_manifest
from personasync.cli.options import api_options, lock_option, option, shared_options
from personasync.cli.states import locked, missing_state, read_log, state_log
from personasync.cli.workspace import Workspace
from personasync.model.errors import PersonasyncError
from personasync.model.spelling import counted
from personasync.model.steps import Command, NextStep, Option
from personasync.render.safe import printable
from personasync.state.edits import Objection, check_id, objections, recorded
from personasync.state.find import find, records
from personasync.state.log import LogContents, StateLog

if TYPE_CHECKING:
    from personasync.state.bulk import Adoption

_MOST_TOLD: Final = 20
_MOST_BYTES: Final = 256 * 1024 * 1024


@click.command(
    cls=CommandOfGroup,
    epilog="\b\nExamples:\n"
    "  personasync import neon-siren a1b2c3d4\n"
    "  personasync import --from ids.csv\n"
    "\n"
    "Use it when the API says that an audio has its persona already (409) and\n"
    "you know the ID from elsewhere: another tool's log, the service's web page.\n"
    "\n"
    "FILE is CSV or JSON as output writes it, or an old state. In CSV the first\n"
    "line names the columns: personaId, and key, name or audioId.",
)
@click.argument("key", required=False, shell_complete=complete_key)
@click.argument("persona_id", required=False)
@option("--from", "source", metavar="FILE", help="Record many; - is stdin.")
@option("--force", is_flag=True, environment=False, help="Overwrite another ID.")
@lock_option
@api_options
@shared_options
def command(
    workspace: Workspace, key: str | None, persona_id: str | None, source: str | None, force: bool
) -> int:
    """Record an ID that is already known. No request is made; KEY may be an audioId."""
    workspace.check_options()
    if source is not None and key is None:
        return _import_many(workspace, source, force=force)
    named = click.get_current_context().get_parameter_source("source")
    if named is ParameterSource.COMMANDLINE:  # a variable gives way to what is named here
        raise click.UsageError("--from and KEY exclude each other")
    if key is None or persona_id is None:
        raise click.UsageError(f"Missing argument '{'PERSONA_ID' if key else 'KEY'}'.")
    return _import_one(workspace, key, persona_id, force=force)


def _log_to_append_to(workspace: Workspace) -> tuple[StateLog, LogContents]:
    """Return the state, of whatever API it is, and what it holds; it may be yet to begin."""
    log = state_log(workspace, any_api=True)
    begun = log.read()
    missing = missing_state(workspace, begun)
    if missing is not None:
        raise missing
    return (log if begun.header else state_log(workspace)), begun


def _import_many(workspace: Workspace, source: str, *, force: bool) -> int:
    """Record every ID of a list with one append, or none."""
    from personasync.state.bulk import adopt  # one ID needs no lists
    from personasync.state.lists import read_list

    given = read_list(_read_source(source), "standard input" if source == "-" else source)
    manifest = optional_manifest(workspace)
    log, _ = _log_to_append_to(workspace)
    with locked(workspace, log):
        contents = read_log(workspace, log)
        api = contents.header.api if contents.header else workspace.api
        if given.header is not None and given.header.api != api:
            raise PersonasyncError(
                f"{source} holds IDs of {given.header.api}, but the state is of {api}",
                hint="IDs of one API mean nothing to another",
            )
        adoption = adopt(given.rows, manifest, contents.fold())
        if adoption.wrong or (adoption.against and not force):
            raise _nothing_imported(workspace.console, adoption)
        if adoption.entries:
            log.append(adoption.entries)
    forced = (f"recorded by force, although {where}: {why}" for where, why in adoption.against)
    for note in (*given.notes, *forced):
        workspace.console.say(f"Note: {printable(note)}")
    for entry in adoption.entries:
        workspace.console.show(f"{printable(entry.key)}: imported {entry.persona_id}")
    workspace.console.say(_summary(adoption, given.without_id))
    return 0


def _summary(adoption: Adoption, without_id: int) -> str:
    counts = [f"Imported {counted(len(adoption.entries), 'ID')}"]
    if adoption.known:
        counts.append(f"{adoption.known} recorded already")
    if without_id:
        counts.append(f"{counted(without_id, 'row')} without an ID passed over")
    return "; ".join(counts) + "."


def _nothing_imported(console: Console, adoption: Adoption) -> PersonasyncError:
    told = [*adoption.wrong, *adoption.against]
    for where, why in told[:_MOST_TOLD]:
        console.complain(printable(f"{where}: {why}"))
    if len(told) > _MOST_TOLD:
        console.complain(f"and {len(told) - _MOST_TOLD} more")
    hint: str | NextStep = NextStep("to record them all the same, say ", Option("force"))
    if adoption.wrong:
        hint = "mend them, or take them out"
    rows = counted(len({where for where, _why in told}), "row")
    return PersonasyncError(f"nothing was imported: {rows} cannot be", hint=hint)


def _read_source(source: str) -> bytes:
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise PersonasyncError(f"cannot read {source}: {reason}") from error
    if len(data) > _MOST_BYTES:
        raise PersonasyncError(
            f"{source} is no list of IDs: it is larger than 256 MiB", hint="name the right file"
        )
    return data


def _import_one(workspace: Workspace, key: str, persona_id: str, *, force: bool) -> int:
    check_id(persona_id)
    manifest = optional_manifest(workspace)
    log, begun = _log_to_append_to(workspace)
    check_id(persona_id, find(records(manifest, begun.fold()), key))  # before any lock
    with locked(workspace, log):
        state = read_log(workspace, log).fold()
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
    workspace.console.show(f"{printable(record.key)}: imported {persona_id}")
    return 0


def _refusal(against: Sequence[Objection], key: str, persona_id: str) -> PersonasyncError:
    return PersonasyncError(
        "; and ".join(objection.message for objection in against),
        hint=NextStep(
            f"{against[0].hint}; to record it all the same: ",
            Command("import", (key, persona_id), (Option("force"),)),
        ),
    )
