"""``personasync plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from personasync.cli.options import api_options, option, selection_options, shared_options
from personasync.cli.planning import Selection, write_step_summary, write_text
from personasync.cli.workspace import Workspace
from personasync.plan import Plan, compute_plan
from personasync.render.plan import FORMATS, Setting

CHANGES_EXIT_CODE: Final = 2


@click.command(
    epilog="\b\nExamples:\n"
    "  personasync plan\n"
    "  personasync plan --sandbox -f examples/quickstart/personas.yaml\n"
    "  personasync plan --out plan.json --markdown-out comment.md\n"
    "  personasync plan --detailed-exitcode    # 0: nothing to do, 2: changes"
)
@option(
    "--format",
    "output_format",
    type=click.Choice(sorted(FORMATS)),
    default="text",
    show_default=True,
    help="How the plan is shown.",
)
@option("--out", type=click.Path(), metavar="FILE", help="Save the plan for `apply FILE`.")
@option("--json-out", type=click.Path(), metavar="FILE", help="Write the plan as JSON, too.")
@option("--markdown-out", type=click.Path(), metavar="FILE", help="Write it as Markdown, too.")
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
    manifest = workspace.load_manifest(strict=strict)
    plan = selection.narrow(compute_plan(manifest, workspace.read_state()))
    setting = _setting(workspace)
    workspace.console.result(FORMATS[output_format](plan, setting))
    if output_format == "github":
        write_step_summary(FORMATS["markdown"](plan, setting))
    for name, wanted in (("json", json_out), ("markdown", markdown_out)):
        if wanted is not None:
            write_text(Path(wanted), FORMATS[name](plan, setting))
    selection.refuse_unsafe(plan)
    _save(workspace, plan, out)
    return CHANGES_EXIT_CODE if detailed_exitcode and plan.applicable else 0


def _setting(workspace: Workspace) -> Setting:
    console = workspace.console
    return Setting(
        api=workspace.api,
        location=str(workspace.state_path),
        color=console.result_color,
        width=console.width,
        options=workspace.options,
    )


def _save(workspace: Workspace, plan: Plan, out: str | None) -> None:
    if out is not None:
        write_text(Path(out), FORMATS["json"](plan, _setting(workspace)))
        workspace.console.say(f"Saved the plan; carry it out with: personasync apply {out}")
