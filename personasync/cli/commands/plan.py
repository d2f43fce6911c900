"""``personasync plan``."""

from __future__ import annotations

from typing import Final

import click

from personasync.cli import planfile
from personasync.cli.group import Command
from personasync.cli.manifests import plan_with_sources, read_manifest
from personasync.cli.options import (
    api_options,
    as_one,
    format_option,
    option,
    shared_options,
)
from personasync.cli.planning import (
    FILE,
    OUTPUTS,
    Outputs,
    Selection,
    annotating,
    check_outputs,
    selection_options,
    show_plan,
    view_of,
    write_text,
)
from personasync.cli.states import missing_state, read_log, state_log
from personasync.cli.workspace import Workspace
from personasync.render.plan import FORMATS

CHANGES_EXIT_CODE: Final = 2


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n"
    "  personasync plan\n"
    "  personasync plan --sandbox -f examples/quickstart/personas.yaml\n"
    "  personasync plan --out plan.json --markdown-out comment.md\n"
    "  personasync plan --detailed-exitcode    # 0: nothing to do, 2: changes",
)
@format_option(FORMATS)
@as_one(
    "files",
    Outputs,
    option("--out", "saved", **FILE, help="Save the plan for `apply FILE`."),
    *OUTPUTS,
)
@option("--detailed-exitcode", is_flag=True, help="Exit 2 when there is something to apply.")
@selection_options
@api_options
@shared_options
def command(
    workspace: Workspace,
    output_format: str,
    files: Outputs,
    detailed_exitcode: bool,
    selection: Selection,
) -> int:
    """Show what apply would do. Changes nothing and needs no API key."""
    workspace.check_options()
    with annotating(workspace, output_format):
        manifest = read_manifest(
            workspace, strict=selection.refuses("warnings"), quiet=output_format == "github"
        )
        check_outputs(workspace, manifest, files.named())
        contents = read_log(workspace, state_log(workspace))
        plan = selection.narrow(plan_with_sources(manifest, contents.fold()))
        show_plan(workspace, plan, output_format, files)
        missing = missing_state(workspace, contents)
        if missing is not None:
            hint = workspace.shell.text(missing.hint or "")
            workspace.console.complain(f"Warning: {missing.message}; {hint}.")
        selection.refuse_unsafe(plan)
    if files.saved is not None:
        write_text(files.saved, FORMATS["json"](plan, view_of(workspace)))
        carry_out = planfile.carry_out(workspace, files.saved)
        workspace.console.say(f"Saved the plan; carry it out with: {carry_out}")
    return CHANGES_EXIT_CODE if detailed_exitcode and plan.applicable else 0
