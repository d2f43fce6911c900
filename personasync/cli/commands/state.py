"""``personasync state``: look at the log, and edit it by appending."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import click

from personasync.cli.commands.state_places import (
    copy_command,
    init_command,
    set_api_command,
    unlock_command,
    verify_command,
)
from personasync.cli.completion import complete_key, complete_recorded_key
from personasync.cli.console import Console, is_terminal
from personasync.cli.group import ENVIRONMENT, Group
from personasync.cli.manifests import read_manifest
from personasync.cli.options import api_options, format_option, lock_option, option, shared_options
from personasync.cli.states import locked, no_state, read_log, state_log
from personasync.cli.workspace import Workspace
from personasync.model.errors import PersonasyncError
from personasync.model.persona import Manifest
from personasync.model.spelling import plural
from personasync.render.commands import command_line
from personasync.render.entries import LIST_FORMATS, SHOW_FORMATS, Shown, render_shown
from personasync.render.safe import printable
from personasync.state import Entry, LogContents, State, StateLog, Status
from personasync.state.edits import accept, forget, rename
from personasync.state.find import (
    Record,
    by_key,
    choose,
    entry_of,
    find,
    is_glob,
    records,
    unambiguous_name,
)

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@click.group(
    cls=Group,
    epilog="\b\nExamples:\n"
    "  personasync state list --status conflict\n"
    "  personasync state show neon-siren\n"
    f"\n{ENVIRONMENT}",
)
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
@click.argument("keys", nargs=-1, metavar="[KEY]...", shell_complete=complete_recorded_key)
@option(
    "--status",
    multiple=True,
    type=click.Choice([status.value for status in Status]),
    help="Only these; repeatable.  [default: all but forgotten]",
)
@format_option(LIST_FORMATS)
@api_options
@shared_options
def list_command(
    workspace: Workspace, keys: tuple[str, ...], status: tuple[str, ...], output_format: str
) -> int:
    """List the entries, one an audio, sorted by key; KEY may be a glob."""
    workspace.check_options()
    contents = read_log(workspace, state_log(workspace, any_api=True))
    if not contents.begun:
        nothing = no_state(workspace)
        hint = workspace.shell.text(nothing.hint or "")
        workspace.console.say(f"Note: {nothing.message}; {hint}.")
    known = _records(contents.fold())
    for key in keys:
        if not is_glob(key):
            find(known, key, several=True)
    wanted = status or tuple(each.value for each in Status if each is not Status.FORGOTTEN)
    chosen = [record for record in known if _chosen(record, keys)]
    entries = [each.entry for each in chosen if each.entry and each.entry.status in wanted]
    console = workspace.console
    width = console.width if is_terminal(sys.stdout) else None  # a script reads an entry a line
    console.result(LIST_FORMATS[output_format](entries, console.result_color, width))
    hidden = 0 if status else len(chosen) - len(entries)
    if hidden:
        show = command_line(
            "state list", *keys, flags=("--status", "forgotten"), options=workspace.shell.options
        )
        were = plural(hidden, "entry was", "entries were")
        console.say(f"{hidden} {were} dropped from view; to see: {show}")
    return 0


def _chosen(record: Record, keys: Sequence[str]) -> bool:
    return not keys or any(
        fnmatchcase(record.key, key) or key in (record.key, record.audio_id) for key in keys
    )


@command.command(
    "show",
    epilog="\b\nExamples:\n"
    "  personasync state show neon-siren\n"
    "  personasync state show neon-siren --format manifest   # to put an edit back\n"
    "  personasync state show 'neon-*' --format json",
)
@click.argument(
    "keys", nargs=-1, required=True, metavar="KEY...", shell_complete=complete_recorded_key
)
@format_option(SHOW_FORMATS)
@api_options
@shared_options
def show_command(workspace: Workspace, keys: tuple[str, ...], output_format: str) -> int:
    """Show all that is known about personas, as manifest entries too.

    KEY may be an audioId or a glob. The history goes back as far as the log
    does: an apply that ends well compacts it.
    """
    contents = _contents(workspace)
    state = contents.fold()
    known = _with_manifest(workspace, state)
    beside = {record.audio_id: record for record in known}
    shown = []
    for entry in _meant(known, state, keys):
        record = beside[entry.audio_id]
        shown.append(
            Shown(
                entry,
                tuple(past for past in contents.entries if past.audio_id == entry.audio_id),
                wanted=record.persona.request if record.persona else None,
                name=unambiguous_name(known, record),
                shell=workspace.shell,
            )
        )
    one = len(keys) == 1 and not is_glob(keys[0])
    workspace.console.result(render_shown(shown, output_format, one=one))
    return 0


def _meant(known: Sequence[Record], state: State, keys: Sequence[str]) -> Iterable[Entry]:
    """Return the entries that keys, audioIds and globs mean, each once."""
    found: dict[str, Entry] = {}
    for key in keys:
        for record in choose(_sought(known, state, key), [key]):
            found[record.audio_id] = entry_of(record)
    return found.values()


def _sought(known: Sequence[Record], state: State, key: str) -> Sequence[Record]:
    """Return what to look a key up in: the state alone, unless only the manifest makes it plain."""
    recorded = _records(state)
    plain = len(by_key(recorded).get(key, ())) == 1 or key in state.entries
    wanted = [each for each in known if each.key == key and each.persona and each.entry]
    return recorded if plain or not wanted else wanted


def _with_manifest(workspace: Workspace, state: State) -> tuple[Record, ...]:
    """Return what is known, with the manifest if it can be read: here it only helps."""
    from personasync.manifest.load import load_manifest

    try:
        manifest = load_manifest(workspace.manifest_paths) if workspace.has_manifest else None
    except PersonasyncError:
        manifest = None
    return records(manifest or Manifest(()), state)


@command.command("mv", epilog="\b\nExample:\n  personasync state mv neon-siren neon-siren-2025")
@click.argument("key", shell_complete=complete_recorded_key)
@click.argument("new_key")
@lock_option
@api_options
@shared_options
def mv_command(workspace: Workspace, key: str, new_key: str) -> int:
    """Record a persona under another key. No request is made; KEY may be an audioId."""
    if not _KEY.fullmatch(new_key):
        raise click.BadParameter(
            "a key is 1 to 64 letters, digits, '.', '_' or '-', and begins with a letter or digit",
            param_hint="NEW_KEY",
        )
    with _editing(workspace) as editing:
        entry = entry_of(find(editing.known, key))
        moved = editing.append(rename(editing.known, entry, new_key))
    if not moved:
        workspace.console.say(
            f"{printable(key)} is recorded as {new_key} already; nothing was changed."
        )
        return 0
    workspace.console.show(f"{printable(key)}: now recorded as {new_key}")
    workspace.console.say("Give it the same key in the manifest, or the next apply renames it.")
    return 0


@command.command(
    "rm",
    epilog="\b\nExamples:\n  personasync state rm neon-siren\n  personasync state rm 'old-*'",
)
@click.argument(
    "keys", nargs=-1, required=True, metavar="KEY...", shell_complete=complete_recorded_key
)
@option("--force", is_flag=True, environment=False, help="A pending one as well: give it up.")
@lock_option
@api_options
@shared_options
def rm_command(workspace: Workspace, keys: tuple[str, ...], force: bool) -> int:
    """Drop personas from view; KEY may be an audioId or a glob.

    Their IDs are kept, and adopted again if they come back to the manifest.
    """
    with _editing(workspace) as editing:
        chosen = [entry_of(record) for record in choose(editing.known, keys)]
        dropped = [(entry, forget(entry, force=force)) for entry in chosen]
        editing.append([line for _entry, lines in dropped for line in lines])
    for entry, lines in dropped:
        name = entry.audio_id if entry.audio_id in keys else entry.key
        _tell_dropped(workspace.console, printable(name), lines)
    return 0


def _tell_dropped(console: Console, name: str, lines: Sequence[Entry]) -> None:
    if not lines:
        console.say(f"{name} was dropped from view before; nothing was changed.")
        return
    console.show(f"{name}: dropped from view")
    ids = [printable(line.persona_id) for line in lines if line.persona_id]
    if len(ids) > 1:
        console.say(
            f"Its IDs, {' and '.join(ids)}, are kept: back in the manifest, it is in conflict."
        )
    elif ids:
        console.say(f"Its ID, {ids[0]}, is kept: back in the manifest, it needs no request.")
    elif lines[0].in_conflict:
        console.say(
            "Its persona exists, and its ID is not known: back in the manifest, it is in conflict."
        )


@command.command(
    "accept",
    epilog="\b\nExamples:\n  personasync state accept neon-siren\n  personasync state accept '*'",
)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...", shell_complete=complete_key)
@lock_option
@api_options
@shared_options
def accept_command(workspace: Workspace, keys: tuple[str, ...]) -> int:
    """Accept that personas are not as the manifest asks; KEY may be a glob.

    A persona cannot be changed: it stays what was sent. The plan calls it
    unchanged from now on, until the manifest differs again. A glob means
    those of which an ID is recorded.
    """
    manifest = read_manifest(workspace)
    with _editing(workspace) as editing:
        known = records(manifest, editing.log.read().fold())
        chosen = [
            record
            for key in keys
            for record in choose(known, [key])
            if not is_glob(key) or (record.persona and record.entry and record.entry.ids)
        ]
        accepted = {record.audio_id: (record.key, accept(record)) for record in chosen}
        editing.append([line for _key, lines in accepted.values() for line in lines])
    changed = [key for key, lines in accepted.values() if lines]
    for key in changed:
        workspace.console.show(f"{printable(key)}: accepted as it is recorded")
    same = [
        key
        for audio_id, (key, lines) in accepted.items()
        if not lines and {key, audio_id} & {*keys}
    ]
    if not changed and any(map(is_glob, keys)):
        same = ["Each of them"]
    for key in same:
        workspace.console.say(
            f"{printable(key)} is as the manifest asks, or was accepted before;"
            " nothing was changed."
        )
    return 0


@dataclass(frozen=True, slots=True)
class _Editing:
    """A state that is held while it is edited."""

    log: StateLog
    known: tuple[Record, ...]

    def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Append what an edit makes, if it makes anything."""
        if entries:
            self.log.append(entries)
        return entries


@contextmanager
def _editing(workspace: Workspace) -> Iterator[_Editing]:
    """Hold the state; nothing is held, and no lock file made, where there is none."""
    _contents(workspace)
    log = state_log(workspace, any_api=True)
    with locked(workspace, log):
        yield _Editing(log, _records(log.read().fold()))


def _contents(workspace: Workspace) -> LogContents:
    """Read the state, whichever API it belongs to; raises ``PersonasyncError`` for none."""
    workspace.check_options()
    contents = read_log(workspace, state_log(workspace, any_api=True))
    if not contents.begun:
        raise no_state(workspace)
    return contents


def _records(state: State) -> tuple[Record, ...]:
    return records(Manifest(()), state)


for _command in (
    init_command,
    copy_command,
    set_api_command,
    verify_command,
    unlock_command,
):
    command.add_command(_command)
