"""``personasync check``."""

from __future__ import annotations

import click

from personasync.api.key import FILE_VARIABLE, KEY_VARIABLE
from personasync.cli.apis import FOR_QUESTIONS, open_apis
from personasync.cli.checking import run_check
from personasync.cli.group import Command
from personasync.cli.manifests import plan_with_sources, read_manifest
from personasync.cli.options import (
    RATE,
    api_options,
    as_one,
    format_option,
    option,
    shared_options,
)
from personasync.cli.planning import (
    FAILING,
    NARROWING,
    Outputs,
    Selection,
    annotating,
    check_outputs,
    output_options,
    write_step_summary,
)
from personasync.cli.states import read_state
from personasync.cli.workspace import Workspace
from personasync.engine import DEFAULT_RATE
from personasync.engine.schedule import Window
from personasync.model.units import Rate
from personasync.plan.preflight import Check, Verdict
from personasync.render.check import CHECK_FORMATS
from personasync.render.diagnostics import render_github


@click.command(
    cls=Command,
    variables=(KEY_VARIABLE, FILE_VARIABLE),
    epilog="\b\nExamples:\n"
    "  personasync check\n"
    "  personasync check --format github --fail-on warnings    # in CI\n"
    "  personasync check --sandbox",
)
@format_option(CHECK_FORMATS)
@output_options
@option(
    "--rate-limit", type=RATE, metavar="RATE", help=f"Most requests.  [default: {DEFAULT_RATE}]"
)
@as_one("selection", Selection, *NARROWING, *FAILING)
@api_options
@shared_options
def command(
    workspace: Workspace,
    output_format: str,
    files: Outputs,
    rate_limit: tuple[Rate | None] | None,
    selection: Selection,
) -> int:
    """Ask the API what can be known before anything is spent.

    Key, credits, tasks, audios, models and segments of the personas that are
    not recorded. Read-only; exit 1 if something would be refused.
    """
    workspace.check_options()
    with annotating(workspace, output_format):
        manifest = read_manifest(
            workspace, strict=selection.refuses("warnings"), quiet=output_format == "github"
        )
        check_outputs(workspace, manifest, files.named())
        plan = selection.narrow(plan_with_sources(manifest, read_state(workspace)))
        selection.refuse_unsafe(plan)
        rate = rate_limit[0] if rate_limit else manifest.settings.rate_limit or DEFAULT_RATE
        with open_apis(workspace, manifest, FOR_QUESTIONS, name="check") as apis:
            check = run_check(workspace, plan, apis.tasks, Window(rate) if rate else None)
        if output_format == "github" and manifest.warnings:
            workspace.console.result(render_github(manifest.warnings))
    _give(workspace, check, output_format, files)
    refused = bool(check.of(Verdict.REFUSED))
    counted = bool(check.diagnostics) and selection.refuses("warnings") is not None
    return 1 if refused or counted else 0


def _give(workspace: Workspace, check: Check, output_format: str, files: Outputs) -> None:
    console, shell = workspace.console, workspace.shell
    text = CHECK_FORMATS[output_format](check, color=console.result_color, shell=shell)
    console.give(text, output_format)
    if output_format == "github":
        write_step_summary(CHECK_FORMATS["markdown"](check, shell=shell))
    files.write(lambda name: CHECK_FORMATS[name](check, shell=shell))
