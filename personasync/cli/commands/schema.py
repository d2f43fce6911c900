"""``personasync schema``."""

from __future__ import annotations

import click

from personasync.cli.group import Command
from personasync.manifest.schemas import SCHEMA_NAMES, schema_text


@click.command(
    cls=Command,
    epilog="\b\nExample:\n  personasync schema manifest > personas.schema.json\n"
    "\n"
    "\b\nPoint your editor at it in the manifest's first line:\n"
    "# yaml-language-server: $schema=personas.schema.json",
)
@click.argument("name", type=click.Choice(SCHEMA_NAMES))
def command(name: str) -> None:
    """Print a published JSON Schema."""
    click.echo(schema_text(name), nl=False)
