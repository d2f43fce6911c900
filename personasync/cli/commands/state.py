"""``personasync state``: look at the log, and edit it by appending."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

import click

from personasync.cli.commands.state_places import (
    copy_command,
    init_command,
    unlock_command,
    verify_command,
)
from personasync.cli.completion import complete_recorded_key
from personasync.cli.group import Group
from personasync.cli.options import api_options, format_option, lock_option, option, shared_options
from personasync.cli.records import (
    Record,
    by_key,
    find,
    is_begun,
    no_state,
    records,
    unambiguous_name,
)
from personasync.cli.workspace import Workspace
from personasync.model.clock import new_run, utc_now
from personasync.model.errors import PersonasyncError
from personasync.model.persona import Manifest
from personasync.plan.compute import CONFLICT_CODE
from personasync.render.commands import command_line
from personasync.render.entries import LIST_FORMATS, SHOW_FORMATS, Shown
from personasync.render.safe import printable
from personasync.state import Entry, LogContents, State, Status
from personasync.state.adopt import answered_id

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@click.group(
    cls=Group,
    epilog="\b\nExamples:\n"
    "  personasync state list --status conflict\n"
    "  personasync state show neon-siren\n"
    "\n"
    "Environment: every option is read from PERSONASYNC_ and its name, such as"
    " PERSONASYNC_STATE; each command's help lists them.",
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
    contents = workspace.read(workspace.log(any_api=True))
    if not is_begun(contents):
        nothing = no_state(workspace)
        hint = workspace.shell.text(nothing.hint or "")
        workspace.console.say(f"Note: {nothing.message}; {hint}.")
    known = _records(contents.fold())
    for key in keys:
        if not _is_glob(key):
            find(known, key, several=True)
    wanted = status or tuple(each.value for each in Status if each is not Status.FORGOTTEN)
    chosen = [record for record in known if _chosen(record, keys)]
    entries = [each.entry for each in chosen if each.entry and each.entry.status in wanted]
    console = workspace.console
    console.result(LIST_FORMATS[output_format](entries, console.result_color))
    hidden = 0 if status else len(chosen) - len(entries)
    if hidden:
        show = command_line(
            "state list", *keys, flags=("--status", "forgotten"), options=workspace.options
        )
        were = "entry was" if hidden == 1 else "entries were"
        console.say(f"{hidden} {were} dropped from view; to see: {show}")
    return 0


def _is_glob(key: str) -> bool:
    return any(sign in key for sign in "*?[")


def _chosen(record: Record, keys: Sequence[str]) -> bool:
    return not keys or any(
        fnmatchcase(record.key, key) or key in (record.key, record.audio_id) for key in keys
    )


@command.command(
    "show",
    epilog="\b\nExamples:\n"
    "  personasync state show neon-siren\n"
    "  personasync state show neon-siren --format manifest   # to put an edit back",
)
@click.argument("key", shell_complete=complete_recorded_key)
@format_option(SHOW_FORMATS)
@api_options
@shared_options
def show_command(workspace: Workspace, key: str, output_format: str) -> int:
    """Show all that is known about one persona, as a manifest entry too.

    KEY may also be an audioId. The history goes back as far as the log does:
    an apply that ends well compacts it.
    """
    contents = _contents(workspace)
    state = contents.fold()
    known = _with_manifest(workspace, state)
    entry = _entry_of(find(_sought(known, state, key), key))
    history = tuple(past for past in contents.entries if past.audio_id == entry.audio_id)
    beside = next(each for each in known if each.audio_id == entry.audio_id)
    shown = Shown(
        entry,
        history,
        wanted=beside.persona.request if beside.persona else None,
        name=beside.key if unambiguous_name(known, beside) == beside.key else entry.audio_id,
        shell=workspace.shell,
    )
    workspace.console.result(SHOW_FORMATS[output_format](shown))
    return 0


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

    def edit(known: Sequence[Record], entry: Entry) -> Entry | None:
        if entry.key == new_key:
            return None
        _refuse_second(workspace, known, entry, new_key)
        return replace(entry, key=new_key)

    if _edit(workspace, key, edit) is None:
        workspace.console.say(
            f"{printable(key)} is recorded as {new_key} already; nothing was changed."
        )
        return 0
    workspace.console.result(f"{printable(key)}: now recorded as {new_key}")
    workspace.console.say("Give it the same key in the manifest, or the next apply renames it.")
    return 0


def _refuse_second(
    workspace: Workspace, known: Iterable[Record], entry: Entry, new_key: str
) -> None:
    """Keep a key from meaning two audios."""
    for holder in (record.entry for record in known if record.key == new_key):
        if holder is None or holder.audio_id == entry.audio_id or not _in_view(holder):
            continue
        move = command_line("state mv", holder.audio_id, "OTHER_KEY", options=workspace.options)
        raise PersonasyncError(
            f"the key {new_key!r} belongs to another audio, {holder.audio_id}",
            hint=f"choose another key, or first give that one another: {move}",
        )


def _in_view(entry: Entry) -> bool:
    return entry.status not in (Status.FORGOTTEN, Status.FAILED)


@command.command("rm", epilog="\b\nExample:\n  personasync state rm neon-siren")
@click.argument("key", shell_complete=complete_recorded_key)
@option("--force", is_flag=True, environment=False, help="A pending one as well: give it up.")
@lock_option
@api_options
@shared_options
def rm_command(workspace: Workspace, key: str, force: bool) -> int:
    """Drop a persona from view; KEY may be an audioId.

    Its ID is kept, and adopted again if it comes back to the manifest.
    """

    def edit(_known: Sequence[Record], entry: Entry) -> Entry | None:
        match entry.status:
            case Status.PENDING if not force or answered_id(entry):
                raise _still_pending(entry, workspace.options)
            case Status.FORGOTTEN:
                return None
            case Status.CONFLICT:  # the code alone tells it from what never was, should it return
                return replace(entry, status=Status.FORGOTTEN, code=CONFLICT_CODE)
            case _:
                return replace(entry, status=Status.FORGOTTEN)

    dropped = _edit(workspace, key, edit)
    if dropped is None:
        workspace.console.say(
            f"{printable(key)} was dropped from view before; nothing was changed."
        )
        return 0
    workspace.console.result(f"{printable(key)}: dropped from view")
    if dropped.persona_id:
        workspace.console.say(
            f"Its ID, {printable(dropped.persona_id)}, is kept: back in the manifest, it needs no"
            " request."
        )
    elif dropped.code == CONFLICT_CODE:
        workspace.console.say(
            "Its persona exists, and its ID is not known: back in the manifest, it is in conflict."
        )
    return 0


def _still_pending(entry: Entry, options: Sequence[str]) -> PersonasyncError:
    form = ("--format", "manifest")
    apply = command_line("apply", options=options)
    show = command_line("state show", entry.audio_id, flags=form, options=options)
    shown = answered_id(entry)
    record = command_line("import", entry.audio_id, shown or "PERSONA_ID", options=options)
    drop = command_line("state rm", entry.audio_id, flags=["--force"], options=options)
    if shown:
        return PersonasyncError(
            f"{entry.key!r} is pending, and an answer that was kept for it shows its ID",
            hint=f"record it: {record}",
        )
    return PersonasyncError(
        f"{entry.key!r} is pending: its persona may exist, and its ID is not known yet",
        hint=f"settle it first: with it in the manifest, as this prints it: {show};"
        f" then this asks again, which is safe: {apply}; or, if you know the ID: {record};"
        f" or, if its persona surely does not exist: {drop}",
    )


_Edit: TypeAlias = Callable[[Sequence[Record], Entry], Entry | None]


def _edit(workspace: Workspace, key: str, edit: _Edit) -> Entry | None:
    """Append what an edit makes of an entry, and return it; ``None`` if it changes nothing."""
    find(_records(_contents(workspace).fold()), key)  # before any lock
    log = workspace.log(any_api=True)
    with workspace.locked(log):
        known = _records(log.read().fold())
        edited = edit(known, _entry_of(find(known, key)))
        if edited is not None:
            edited = replace(edited, at=utc_now(), run=new_run())
            log.append([edited])
    return edited


def _contents(workspace: Workspace) -> LogContents:
    """Read the state, whichever API it belongs to; raises ``PersonasyncError`` for none."""
    workspace.check_options()
    contents = workspace.read(workspace.log(any_api=True))
    if not is_begun(contents):
        raise no_state(workspace)
    return contents


def _records(state: State) -> tuple[Record, ...]:
    return records(Manifest(()), state)


def _entry_of(record: Record) -> Entry:
    if record.entry is None:
        raise AssertionError("a record of the state has an entry")
    return record.entry


for _command in (init_command, copy_command, verify_command, unlock_command):
    command.add_command(_command)
