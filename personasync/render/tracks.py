"""Drafted entries as YAML to paste below ``personas:``, or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from personasync.manifest.scaffold import Draft
from personasync.model.tasks import Task
from personasync.model.units import format_duration
from personasync.render.entries import yaml_lines
from personasync.render.safe import defuse, json_page, page, printable

_LIMIT: Final = 200


def render_yaml(drafts: Sequence[Draft], unusable: Sequence[tuple[str, str]], *, new: bool) -> str:
    """Return entries, each below a comment that tells its track; ``new`` begins a manifest.

    Tracks that cannot be used, and the tasks in ``unusable``, are comments
    that give the reason.
    """
    lines = ["version: 1", "personas:"] if new else []
    for draft in drafts:
        lines += _entry(draft)
    lines += [_comment(f"no entry for the task {task_id}: {why}") for task_id, why in unusable]
    if new and all(draft.skipped for draft in drafts):
        lines[1] = "personas: {}"
    return page(lines)


def _entry(draft: Draft) -> Iterator[str]:
    about = _about(draft)
    if draft.skipped is not None:
        yield _comment(f"no entry for {draft.track.audio_id}, {about}: {draft.skipped}")
        return
    yield _comment(about)
    yield from (f"  {line}" for line in yaml_lines({draft.key: draft.fields()}))


def _about(draft: Draft) -> str:
    track, task = draft.track, draft.task
    told = [repr(track.title)]
    told += [format_duration(track.duration)] if track.duration else []
    told += [model] if (model := _model(task, track.model)) else []
    return ", ".join(told) + (f"; {track.tags}" if track.tags else "")


def _model(task: Task, name: str | None) -> str:
    return " ".join(dict.fromkeys(each for each in (task.model, name) if each))


def _comment(text: str) -> str:
    return defuse(f"  # {printable(text, _LIMIT)}".replace("##", "# #"))


def render_json(drafts: Sequence[Draft], unusable: Sequence[tuple[str, str]], *, new: bool) -> str:
    """Return ``{"personas": {key: entry}, "skipped": […]}``, what was left out with its reason."""
    del new
    document = {
        "personas": {draft.key: draft.fields() for draft in drafts if draft.skipped is None},
        "skipped": [
            *(
                {
                    "taskId": draft.task.task_id,
                    "audioId": draft.track.audio_id,
                    "title": draft.track.title,
                    "reason": draft.skipped,
                }
                for draft in drafts
                if draft.skipped is not None
            ),
            *({"taskId": task_id, "reason": why} for task_id, why in unusable),
        ],
    }
    return json_page(document)


TRACKS_FORMATS: Final = {"yaml": render_yaml, "json": render_json}
"""The renderers by the names that ``--format`` takes."""
