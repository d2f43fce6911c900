"""The state that a command works on: opened, read and held, with what it says on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from personasync.api.base_url import parse_base_url
from personasync.cli.console import Console, progress_of
from personasync.cli.workspace import Workspace
from personasync.model.contract import DEFAULT_BASE_URL, SANDBOX_API
from personasync.model.errors import PersonasyncError, StateError
from personasync.model.steps import Command, NextStep, Option
from personasync.render.safe import printable, shell_word

if TYPE_CHECKING:
    from personasync.state import Header, Holder, LogContents, State, StateLog


def state_log(workspace: Workspace, *, any_api: bool = False) -> StateLog:
    """Return the state log; with ``any_api`` whichever API it belongs to, unless one is set."""
    from personasync.state import open_log  # not every command has one

    free = any_api and not workspace.sandbox and workspace.base_url is None
    location = str(workspace.default_state) if workspace.state is None else workspace.state
    return open_log(location, api=None if free else workspace.api)


def read_log(workspace: Workspace, log: StateLog) -> LogContents:
    """Read a log and say what reading it found."""
    with progress_of(workspace.console, f"Reading the state {log.location}"):
        contents = log.read()
    for note in contents.notes:
        workspace.console.say(f"Note: {printable(note)}")
    return contents


def read_state(workspace: Workspace, *, any_api: bool = False) -> State:
    """Return the state as it is now, with no lock taken."""
    return read_log(workspace, state_log(workspace, any_api=any_api)).fold()


@contextmanager
def locked(workspace: Workspace, log: StateLog) -> Iterator[None]:
    """Hold the state; whoever is waited for is named."""
    console, place = workspace.console, workspace.location
    with ExitStack() as held:
        with progress_of(console, f"Reading the state {place}") as hide:

            def waiting(holder: Holder | None) -> None:
                hide()
                say_holder(console, place, holder)

            held.enter_context(log.lock(timeout=workspace.lock_timeout, on_wait=waiting))
        yield


def missing_state(workspace: Workspace, contents: LogContents) -> StateError | None:
    """Return the error where git has a state that is not here, and nothing heals it."""
    path = workspace.state_path
    if contents.begun or path is None or path.exists():
        return None
    from personasync.state.git import restoring  # no command needs it but where none is begun

    restore = restoring(path)
    if restore is None:
        return None
    return StateError(
        f"git has the state {path}, and it is not here: a new one would not know its IDs",
        hint=NextStep(
            f"put it back: {restore} {shell_word(str(path))}; or, to begin anew: ",
            Command("state init", (str(path),)),
        ),
    )


def no_state(workspace: Workspace) -> PersonasyncError:
    """Return the error that says that there is none."""
    return PersonasyncError(
        f"there is no state at {workspace.location}",
        hint=NextStep(
            "the first apply or import begins one; name another with ",
            Option("state"),
            ", or the sandbox's with ",
            Option("sandbox"),
        ),
    )


def apply_command(workspace: Workspace, header: Header | None) -> Command:
    """Return the apply that goes on with a state, whichever API that belongs to."""
    api = header.api if header else workspace.api
    if api == SANDBOX_API:
        return Command("apply", (), (Option("sandbox"),))
    inherited = os.environ.get("PERSONASYNC_BASE_URL") or DEFAULT_BASE_URL
    if parse_base_url(inherited) == api:
        return Command("apply")
    return Command("apply", (), (Option("base-url", api),))


def say_holder(console: Console, place: str, holder: Holder | None) -> None:
    """Say who is waited for."""
    held = f"held by {holder}" if holder else "held by another run"
    console.complain(f"Waiting for the state {place}, {printable(held)}.")
