"""``personasync tracks``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import click

from personasync.api.key import FILE_VARIABLE, KEY_VARIABLE
from personasync.cli.apis import FOR_QUESTIONS, open_apis
from personasync.cli.checking import ask_about
from personasync.cli.group import Command
from personasync.cli.options import api_options, format_option, shared_options
from personasync.cli.states import read_state
from personasync.cli.workspace import Workspace
from personasync.engine import DEFAULT_RATE
from personasync.engine.schedule import Window
from personasync.manifest.scaffold import Known, drafts, read_known
from personasync.model.tasks import FAILED, FINISHED, RUNNING, Task, TaskAnswer
from personasync.render.safe import printable
from personasync.render.tracks import TRACKS_FORMATS


@click.command(
    cls=Command,
    variables=(KEY_VARIABLE, FILE_VARIABLE),
    epilog="\b\nExamples:\n"
    "  personasync tracks 5c79be8e\n"
    "  personasync tracks 5c79be8e 6d80cf9f >> personas.yaml\n"
    "  personasync tracks 5c79be8e --sandbox",
)
@click.argument("task_ids", nargs=-1, required=True, metavar="TASK_ID...")
@format_option(TRACKS_FORMATS)
@api_options
@shared_options
def command(workspace: Workspace, task_ids: tuple[str, ...], output_format: str) -> int:
    """Print manifest entries for the tracks of finished tasks.

    They go below personas:, and want a description. Exit 1 if a task has none.
    """
    workspace.check_options()
    known = _known(workspace)
    with open_apis(workspace, None, FOR_QUESTIONS, name="tracks") as apis:
        answers = ask_about(dict.fromkeys(task_ids), apis.tasks, Window(DEFAULT_RATE))
    tasks = [answer for answer in answers.values() if isinstance(answer, Task)]
    unusable = _unusable(answers)
    drafted = tuple(drafts(tasks, known))
    workspace.console.result(TRACKS_FORMATS[output_format](drafted, unusable, new=known.empty))
    for task_id, why in unusable:
        workspace.console.complain(f"No entry for the task {printable(task_id)}: {printable(why)}.")
    if any(draft.skipped is None for draft in drafted):
        workspace.console.say("Write each description: a persona is made once, with just that.")
    return 1 if unusable else 0


def _known(workspace: Workspace) -> Known:
    """Return what the manifest and the state have already."""
    known = read_known(workspace.manifest_paths) if workspace.has_manifest else Known()
    entries = read_state(workspace, any_api=True).entries
    recorded = {audio_id: f"in the state, as {entry.key}" for audio_id, entry in entries.items()}
    keys = known.keys | {entry.key for entry in entries.values()}
    return replace(known, keys=keys, audios={**recorded, **(known.audios or {})})


def _unusable(answers: Mapping[str, TaskAnswer]) -> tuple[tuple[str, str], ...]:
    """Return the tasks that have no tracks to use, each with the reason."""
    found = []
    for task_id, answer in answers.items():
        if not isinstance(answer, Task):
            found.append((task_id, answer.reason))
        elif answer.status not in FINISHED or not answer.tracks:
            found.append((task_id, _why(answer)))
    return tuple(found)


def _why(task: Task) -> str:
    if task.status in RUNNING:
        return f"it is still being generated ({task.status})"
    if task.status in FAILED:
        return f"it has failed ({task.status}{f': {task.error}' if task.error else ''})"
    return f"the API names no track of it ({task.status or 'no status'})"
