"""``personasync output``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import click

from personasync.cli.completion import complete_key
from personasync.cli.group import Command
from personasync.cli.manifests import optional_manifest
from personasync.cli.options import api_options, format_option, option, shared_options
from personasync.cli.states import apply_command, read_state
from personasync.cli.workspace import Workspace
from personasync.model import steps
from personasync.model.errors import PersonasyncError
from personasync.model.steps import NextStep
from personasync.plan.compute import conflict_reason
from personasync.render import remedies
from personasync.render.output import FORMATS, Output, render_id
from personasync.state import Status
from personasync.state.find import Record, by_key, find, is_glob, matched, records, unambiguous_name


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n"
    "  personasync output neon-siren           # the ID and a newline, nothing else\n"
    "  personasync output --format json\n"
    "  personasync output 'neon-*' --format csv\n"
    "  personasync output --format env > ids.sh    # $PERSONA_NEON_SIREN\n"
    "  personasync output --require neon-siren --require velvet-baritone",
)
@click.argument("keys", nargs=-1, metavar="[KEY]...", shell_complete=complete_key)
@format_option(FORMATS)
@option(
    "--require",
    multiple=True,
    metavar="KEY",
    shell_complete=complete_key,
    help="Fail if this persona is not recorded.",
)
@api_options
@shared_options
def command(
    workspace: Workspace, keys: tuple[str, ...], output_format: str, require: tuple[str, ...]
) -> int:
    """Print recorded IDs for scripts: all, or those of the keys and globs that are named.

    One key alone is answered with its ID and nothing else, unless another
    format is asked for. Where a key has had several audios, the manifest's
    current one counts.
    """
    workspace.check_options()
    manifest = optional_manifest(workspace)
    state = read_state(workspace, any_api=True)
    known = records(manifest, state)
    apply = apply_command(workspace, state.header)
    for name in (*require, *(key for key in keys if not is_glob(key))):
        _recorded_id(known, name, apply)
    if len(keys) == 1 and not is_glob(keys[0]) and output_format == "text":
        workspace.console.result(render_id(_recorded_id(known, keys[0], apply)))
        return 0
    outputs = [_output(record) for record in _chosen(workspace, known, keys) if record.persona_id]
    if not outputs:
        of = " of a current audio" if any(record.persona_id for record in known) else ""
        workspace.console.say(f"No ID{of} is recorded in {workspace.location}.")
    text = FORMATS[output_format](outputs)
    if text:
        workspace.console.result(text)
    return 0


def _chosen(workspace: Workspace, known: Sequence[Record], keys: Sequence[str]) -> Iterable[Record]:
    """Return what the keys name, each once; all that is current where there are none."""
    current = list(_current(workspace, known)) if not keys or any(map(is_glob, keys)) else []
    if not keys:
        return current
    found: dict[str, Record] = {}
    for key in keys:
        matching = [find(known, key)] if not is_glob(key) else matched(current, key)
        found.update((record.audio_id, record) for record in matching)
    return found.values()


def _current(workspace: Workspace, known: Sequence[Record]) -> Iterator[Record]:
    """Yield the one record that each key means; what nothing tells apart is left out, and said."""
    for key, found in by_key(known).items():
        if len(found) == 1:
            yield found[0]
            continue
        show = workspace.shell.line(steps.Command("state list", (key,)))
        workspace.console.say(
            f"Note: {len(found)} audios are recorded under {key!r}, and the manifest"
            f" has none of them; left out. They are shown by: {show}"
        )


def _output(record: Record) -> Output:
    request = record.request
    return Output(
        key=record.key,
        persona_id=record.persona_id or "",
        audio_id=record.audio_id,
        task_id=request.task_id if request else None,
        name=request.name if request else None,
    )


def _recorded_id(known: Sequence[Record], key: str, apply: steps.Command) -> str:
    """Return the ID that is recorded; raises ``PersonasyncError`` saying why there is none."""
    record = find(known, key)
    if record.persona_id is not None:
        return record.persona_id
    if record.entry is not None and record.entry.rivals:
        hint = _either(remedies.conflict(unambiguous_name(known, record), record.entry))
    elif record.entry is not None and record.entry.in_conflict:
        name = unambiguous_name(known, record)
        hint = NextStep("run: ", remedies.record(name, record.entry))
    elif record.persona is not None:
        hint = NextStep("run: ", apply)
    else:
        hint = remedies.put_back_and_apply(record.audio_id, apply)
    raise PersonasyncError(f"there is no ID for {record.key!r}: {_why(record)}", hint=hint)


def _either(ways: Sequence[remedies.Way]) -> NextStep:
    parts = [part for way in ways for part in ("; ", f"{way.words}: ", way.command)]
    return NextStep(*parts[1:])


def _why(record: Record) -> str:
    entry = record.entry
    if record.persona is not None and record.persona.persona_id is not None:
        return "the manifest gives it, but it is not recorded yet"
    if entry is None:
        return "it has not been created yet"
    if entry.rivals:
        return conflict_reason(entry)
    if entry.in_conflict:
        return "its persona exists, but the ID is not known"
    match entry.status:
        case Status.PENDING:
            return "an earlier run was cut off before its answer was recorded"
        case Status.FAILED if entry.code is None:
            return f"nothing was made: {entry.message or 'no request was sent'}"
        case Status.FAILED:
            return f"the API refused it: {entry.message or entry.code}"
        case _:
            return "it was dropped from view"
