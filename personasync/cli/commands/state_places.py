"""``personasync state init``, ``copy``, ``verify`` and ``unlock``: a state as a whole."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import click

from personasync.api.base_url import parse_base_url
from personasync.cli.console import approve
from personasync.cli.group import Command as HelpedCommand
from personasync.cli.options import api_options, lock_option, option, refuse_secret, shared_options
from personasync.cli.states import locked, no_state, read_log, say_holder, state_log
from personasync.cli.workspace import Workspace
from personasync.model.clock import new_run, utc_now
from personasync.model.contract import SANDBOX_API
from personasync.model.errors import PersonasyncError, StateLockedError
from personasync.model.spelling import counted, plural
from personasync.model.steps import Command, NextStep, Option
from personasync.render.safe import printable, shell_word
from personasync.state import places
from personasync.state.entry import ServiceMoved
from personasync.state.open import open_log


@click.command(
    "init",
    cls=HelpedCommand,
    epilog="\b\nExamples:\n"
    "  personasync state init s3://voices/team\n"
    "  personasync state init postgresql://ann@db.example.com/voices",
)
@click.argument("location", required=False, metavar="[FILE|URL]", callback=refuse_secret)
@api_options
@shared_options
def init_command(workspace: Workspace, location: str | None) -> int:
    """Begin a state where none is: in a file, an object store or PostgreSQL.

    A shared state is begun once; a file needs this only to begin anew.
    """
    workspace.check_options()
    place = location or workspace.state or workspace.location
    places.begin(place, workspace.api)
    shown = open_log(place, api=None).location
    workspace.console.show(f"A state of {workspace.api} begins at {printable(shown)}.")
    workspace.console.say(f"To use it: export PERSONASYNC_STATE={shell_word(shown)}")
    return 0


@click.command(
    "set-api",
    cls=HelpedCommand,
    epilog="\b\nExample:\n  personasync state set-api https://api.example.com",
)
@click.argument("url", metavar="URL")
@lock_option
@shared_options
def set_api_command(workspace: Workspace, url: str) -> int:
    """Record that the service has moved, and this state with it.

    Its IDs are then of the API at URL; the entries stay as they are.
    """
    api = parse_base_url(url)
    log = state_log(workspace, any_api=True)
    with locked(workspace, log):
        header = read_log(workspace, log).header
        if header is None:
            raise no_state(workspace)
        if header.api == api:
            workspace.console.say(f"The state is of {api} already; nothing was changed.")
            return 0
        if SANDBOX_API in (header.api, api):
            raise PersonasyncError(
                f"a state of {header.api} cannot become one of {api}: their IDs have nothing in"
                " common",
                hint=NextStep("keep a state for each with ", Option("state")),
            )
        log.append([ServiceMoved(api, utc_now(), new_run())])
    workspace.console.show(f"The state is of {api} now; before, it was of {header.api}.")
    return 0


@click.command(
    "copy",
    cls=HelpedCommand,
    epilog="\b\nExamples:\n"
    "  personasync state copy personas.state.jsonl s3://voices/team\n"
    "  personasync state copy s3://voices/team postgresql://ann@db/voices",
)
@click.argument("source", metavar="FROM", callback=refuse_secret)
@click.argument("target", metavar="TO", callback=refuse_secret)
@lock_option
@shared_options
def copy_command(workspace: Workspace, source: str, target: str) -> int:
    """Copy a state to another place, of any kind; FROM stays as it is.

    TO holds no state yet, or an earlier copy of this one. What both add up to
    is compared in the end.
    """
    shown = open_log(target, api=None).location
    try:
        copied = places.copy(
            source,
            target,
            timeout=workspace.lock_timeout,
            on_wait=partial(say_holder, workspace.console, printable(shown)),
        )
    except StateLockedError as error:
        raise StateLockedError(error.message, hint=_at(error.hint, shown)) from error
    entries = f"{copied.appended} {plural(copied.appended, 'entry', 'entries')}"
    workspace.console.say(
        f"Copied {entries} to {printable(shown)};"
        f" it adds up to the same, {counted(copied.known, 'audio')}."
    )
    workspace.console.result(f"export PERSONASYNC_STATE={shell_word(shown)}")
    return 0


def _at(step: NextStep | str | None, place: str) -> NextStep | str | None:
    """Let each command of a next step name the place: it is not that of the workspace."""
    if not isinstance(step, NextStep):
        return step
    here = (Option("state", place),)
    parts = (
        replace(each, flags=here) if isinstance(each, Command) else each for each in step.parts
    )
    return NextStep(*parts)


@click.command(
    "verify",
    cls=HelpedCommand,
    epilog="\b\nExample:\n  personasync state verify --state s3://voices/team",
)
@shared_options
def verify_command(workspace: Workspace) -> int:
    """Check every part of the state from the first; exits 1 where one is not as it should be."""
    found = places.verify(workspace.state or workspace.location)
    workspace.console.show(f"{printable(workspace.location)}: all is well: {found}.")
    return 0


@click.command(
    "unlock",
    cls=HelpedCommand,
    epilog="\b\nExample:\n  personasync state unlock --state s3://voices/team",
)
@option("--auto-approve", is_flag=True, environment=False, help="Do not ask.")
@shared_options
def unlock_command(workspace: Workspace, auto_approve: bool) -> int:
    """Take a shared state from whoever holds it.

    Safe at any time: a run that is still alive sends nothing new, and what it
    cannot record any more is rescued and taken in by the next run.
    """
    place, shown = workspace.state or workspace.location, printable(workspace.location)
    held = places.held(place)
    if held is None:
        workspace.console.show(f"Nobody holds the state {shown}; nothing was changed.")
        return 0
    who = printable(str(held.holder)) if held.holder else "somebody unknown"
    workspace.console.complain(
        f"The state {shown} is held by {who}; last sign of life: {printable(held.at or 'unknown')}."
    )
    if not auto_approve:
        approve(["Take it from them?"], to="unlock")
    places.unlock(place)
    workspace.console.show(f"The state {shown} is free.")
    return 0
