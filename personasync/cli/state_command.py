"""``personasync state``: look at the log, and edit it by appending."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

import click

from personasync.cli.group import Group
from personasync.cli.options import api_options, lock_option, option, shared_options
from personasync.cli.records import did_you_mean
from personasync.cli.workspace import Workspace
from personasync.engine import utc_now
from personasync.errors import PersonasyncError
from personasync.render.entries import LIST_FORMATS, SHOW_FORMATS
from personasync.state import Entry, State, Status

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@click.group(cls=Group)
def command() -> None:
    """List, show and edit the recorded entries.

    Every edit is an append: nothing that was recorded is erased.
    """


@command.command(
    "list",
    epilog="\b\nExamples:\n"
    "  personasync state list\n"
    "  personasync state list 'neon-*' --status conflict --format json",
)
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@option(
    "--status",
    multiple=True,
    type=click.Choice([status.value for status in Status]),
    help="Only these; repeatable.  [default: all but forgotten]",
)
@option(
    "--format",
    "output_format",
    type=click.Choice(sorted(LIST_FORMATS)),
    default="text",
    show_default=True,
)
@api_options
@shared_options
def list_command(
    workspace: Workspace, keys: tuple[str, ...], status: tuple[str, ...], output_format: str
) -> int:
    """List the entries, one an audio, sorted by key; KEY may be a glob."""
    workspace.check_options()
    state = workspace.read_state(any_api=True)
    wanted = status or tuple(known.value for known in Status if known is not Status.FORGOTTEN)
    entries = [
        entry
        for entry in sorted(state.entries.values(), key=lambda found: (found.key, found.audio_id))
        if entry.status.value in wanted
        and (not keys or any(fnmatchcase(entry.key, pattern) for pattern in keys))
    ]
    console = workspace.console
    console.result(LIST_FORMATS[output_format](entries, console.result_color))
    return 0


@command.command(
    "show",
    epilog="\b\nExamples:\n"
    "  personasync state show neon-siren\n"
    "  personasync state show neon-siren --format manifest   # to put an edit back",
)
@click.argument("key")
@option(
    "--format",
    "output_format",
    type=click.Choice(sorted(SHOW_FORMATS)),
    default="text",
    show_default=True,
)
@api_options
@shared_options
def show_command(workspace: Workspace, key: str, output_format: str) -> int:
    """Show all that is known about one persona, as a manifest entry too.

    KEY may also be an audioId. The history goes back as far as the log does:
    an apply that ends well compacts it.
    """
    workspace.check_options()
    contents = workspace.read(workspace.log(any_api=True))
    entry = _find(contents.fold(), key)
    history = [past for past in contents.entries if past.audio_id == entry.audio_id]
    workspace.console.result(SHOW_FORMATS[output_format](entry, history))
    return 0


@command.command("mv", epilog="\b\nExample:\n  personasync state mv neon-siren neon-siren-2025")
@click.argument("key")
@click.argument("new_key")
@lock_option
@api_options
@shared_options
def mv_command(workspace: Workspace, key: str, new_key: str) -> int:
    """Record a persona under another key. No request is made."""
    if not _KEY.fullmatch(new_key):
        raise click.BadParameter(
            "a key is 1 to 64 letters, digits, '.', '_' or '-', and begins with a letter or digit",
            param_hint="NEW_KEY",
        )

    def edit(state: State, entry: Entry) -> Entry:
        holder = next((e for e in state.entries.values() if e.key == new_key and _in_view(e)), None)
        if holder is not None and holder.audio_id != entry.audio_id:
            raise PersonasyncError(
                f"the key {new_key!r} belongs to another audio, {holder.audio_id}",
                hint=f"choose another key, or first: personasync state mv {new_key} ANOTHER",
            )
        return replace(entry, key=new_key)

    _edit(workspace, key, edit)
    workspace.console.result(f"{key}: now recorded as {new_key}")
    return 0


@command.command("rm", epilog="\b\nExample:\n  personasync state rm neon-siren")
@click.argument("key")
@lock_option
@api_options
@shared_options
def rm_command(workspace: Workspace, key: str) -> int:
    """Drop a persona from view. Its ID is kept, and adopted again if it comes back."""

    def edit(_state: State, entry: Entry) -> Entry:
        if entry.status is Status.PENDING:
            raise PersonasyncError(
                f"{entry.key!r} is pending: its persona may exist, and its ID is not known yet",
                hint="settle it first: personasync apply asks again, which is safe",
            )
        return replace(entry, status=Status.FORGOTTEN)

    _edit(workspace, key, edit)
    workspace.console.result(f"{key}: dropped from view")
    return 0


def _edit(workspace: Workspace, key: str, edit: Callable[[State, Entry], Entry]) -> None:
    workspace.check_options()
    log = workspace.log(any_api=True)
    with workspace.locked(log):
        state = workspace.read(log).fold()
        edited = edit(state, _find(state, key))
        log.append([replace(edited, at=utc_now(), run=uuid.uuid4().hex[:12])])


def _find(state: State, key: str) -> Entry:
    """Return the entry of a key or audioId; raises ``PersonasyncError`` for none or several."""
    if key in state.entries:
        return state.entries[key]
    named = [entry for entry in state.entries.values() if entry.key == key]
    found = [entry for entry in named if _in_view(entry)] or named
    if not found:
        keys = {entry.key for entry in state.entries.values()}
        raise PersonasyncError(
            f"no entry of the state has the key {key!r}", hint=did_you_mean(key, keys)
        )
    if len(found) > 1:
        raise PersonasyncError(
            f"{len(found)} audios are recorded under {key!r}",
            hint="name one by its audioId: " + ", ".join(entry.audio_id for entry in found),
        )
    return found[0]


def _in_view(entry: Entry) -> bool:
    return entry.status is not Status.FORGOTTEN
