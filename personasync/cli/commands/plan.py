"""``personasync plan``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from personasync.cli import planfile
from personasync.cli.group import Command
from personasync.cli.options import (
    api_options,
    format_option,
    option,
    selection_options,
    shared_options,
)
from personasync.cli.planning import Selection, check_outputs, write_step_summary, write_text
from personasync.cli.workspace import Workspace
from personasync.model.diagnostics import Diagnostic
from personasync.model.errors import PersonasyncError
from personasync.plan.compute import Plan
from personasync.render.plan import FORMATS, Setting

CHANGES_EXIT_CODE: Final = 2
_FILE: Final[dict[str, Any]] = {"type": click.Path(readable=False), "metavar": "FILE"}


@dataclass(frozen=True, slots=True)
class _Files:
    """Where a plan goes beside the screen, each ``None`` unless it was asked for."""

    saved: str | None
    json: str | None
    markdown: str | None

    def named(self) -> tuple[str, ...]:
        return tuple(name for name in (self.saved, self.json, self.markdown) if name is not None)


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n"
    "  personasync plan\n"
    "  personasync plan --sandbox -f examples/quickstart/personas.yaml\n"
    "  personasync plan --out plan.json --markdown-out comment.md\n"
    "  personasync plan --detailed-exitcode    # 0: nothing to do, 2: changes",
)
@format_option(FORMATS)
@option("--out", **_FILE, help="Save the plan for `apply FILE`.")
@option("--json-out", **_FILE, help="Write the plan as JSON, too.")
@option("--markdown-out", **_FILE, help="Write it as Markdown, too.")
@option("--detailed-exitcode", is_flag=True, help="Exit 2 when there is something to apply.")
@selection_options
@api_options
@shared_options
def command(
    workspace: Workspace,
    output_format: str,
    out: str | None,
    json_out: str | None,
    markdown_out: str | None,
    detailed_exitcode: bool,
    target: tuple[str, ...],
    exclude: tuple[str, ...],
    max_creates: int | None,
    strict: bool,
) -> int:
    """Show what apply would do. Changes nothing and needs no API key."""
    workspace.check_options()
    selection = Selection(target, exclude, max_creates, strict)
    with _annotating(workspace, output_format):
        manifest = workspace.load_manifest(strict=strict)
        files = _Files(out, json_out, markdown_out)
        check_outputs(workspace, manifest, files.named())
        plan = selection.narrow(workspace.compute_plan(manifest, workspace.read_state()))
        _show(workspace, plan, output_format, files)
        selection.refuse_unsafe(plan)
    if files.saved is not None:
        write_text(Path(files.saved), FORMATS["json"](plan, _setting(workspace)))
        carry_out = planfile.carry_out(workspace, files.saved)
        workspace.console.say(f"Saved the plan; carry it out with: {carry_out}")
    return CHANGES_EXIT_CODE if detailed_exitcode and plan.applicable else 0


def _show(workspace: Workspace, plan: Plan, output_format: str, files: _Files) -> None:
    """Give the plan in every form that was asked for, computed once."""
    setting = _setting(workspace)
    text = FORMATS[output_format](plan, setting)
    if output_format != "github":
        workspace.console.result(text)
    else:
        workspace.console.result(_annotations(plan.manifest.warnings) + text)
        write_step_summary(FORMATS["markdown"](plan, setting))
    for name, wanted in (("json", files.json), ("markdown", files.markdown)):
        if wanted is not None:
            write_text(Path(wanted), FORMATS[name](plan, setting))


def _setting(workspace: Workspace) -> Setting:
    console = workspace.console
    return Setting(
        api=workspace.api,
        location=workspace.location,
        paths=workspace.manifest_paths,
        color=console.result_color,
        width=console.width,
        shell=workspace.shell,
    )


def _annotations(warnings: Sequence[Diagnostic]) -> str:
    from personasync.render.diagnostics import render_github  # most plans are shown as text

    return render_github(warnings)


@contextmanager
def _annotating(workspace: Workspace, output_format: str) -> Iterator[None]:
    """Let an error stand at the lines that it is about, where the format is GitHub's."""
    try:
        yield
    except PersonasyncError as error:
        if output_format == "github":
            from personasync.render.diagnostics import annotate_error

            workspace.console.result(annotate_error(error, shell=workspace.shell))
        raise
