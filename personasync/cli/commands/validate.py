"""``personasync validate``."""

from __future__ import annotations

import click

from personasync.cli.group import Command
from personasync.cli.manifests import read_manifest
from personasync.cli.options import format_option, option, shared_options
from personasync.cli.workspace import Workspace
from personasync.manifest.load import load_manifest
from personasync.model.errors import ManifestError
from personasync.model.spelling import counted
from personasync.model.steps import Option
from personasync.render.diagnostics import DIAGNOSTIC_FORMATS
from personasync.render.safe import printable

_NAMED_FILES = 10  # more are only counted


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n"
    "  personasync validate\n"
    "  personasync validate -f personas/ --strict\n"
    "  personasync validate --format github",
)
@format_option(DIAGNOSTIC_FORMATS)
@option("--strict", is_flag=True, help="Warnings are errors.")
@shared_options
def command(workspace: Workspace, output_format: str, strict: bool) -> int:
    """Check the manifest, offline: every problem of every file at once."""
    console = workspace.console
    if output_format == "text":
        manifest = read_manifest(workspace, strict=Option("strict") if strict else None)
        count = len(manifest.personas)
        if not count:
            console.say("The manifest has no personas.")
        files = printable(", ".join(manifest.files))
        if len(manifest.files) > _NAMED_FILES:
            files = counted(len(manifest.files), "file")
        console.say(f"The manifest is valid: {counted(count, 'persona')} in {files}.")
        return 0
    try:
        diagnostics = load_manifest(workspace.manifest_paths).warnings
        failed = strict and bool(diagnostics)
    except ManifestError as error:
        diagnostics, failed = error.diagnostics, True
    text = DIAGNOSTIC_FORMATS[output_format](diagnostics)
    if text:
        console.give(text, output_format)
    return 1 if failed else 0
