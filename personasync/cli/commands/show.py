"""``personasync show``."""

from __future__ import annotations

import click

from personasync.cli import planfile
from personasync.cli.group import Command
from personasync.cli.options import format_option, shared_options
from personasync.cli.planning import write_step_summary
from personasync.cli.session import remember
from personasync.cli.workspace import Workspace
from personasync.plan.saved import to_plan
from personasync.render.plan import FORMATS, PlanView
from personasync.render.safe import json_page


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n"
    "  personasync show plan.json\n"
    "  personasync show plan.json --format markdown",
)
@click.argument("plan_file", type=click.Path(readable=False), metavar="PLANFILE")
@format_option(FORMATS)
@shared_options
def command(workspace: Workspace, plan_file: str, output_format: str) -> int:
    """Show a saved plan, as it was when it was saved. Reads nothing but the file."""
    saved = planfile.read_plan(plan_file)
    workspace = planfile.follow(workspace, saved)
    remember(workspace)
    console, plan = workspace.console, to_plan(saved)
    if output_format == "json":
        console.result(json_page(saved))
        return 0
    view = PlanView(
        saved["api"],
        saved["state"]["location"],
        color=console.result_color,
        width=console.width,
        shell=workspace.shell,
    )
    console.give(FORMATS[output_format](plan, view), output_format)
    if output_format == "github":
        write_step_summary(FORMATS["markdown"](plan, view))
    return 0
