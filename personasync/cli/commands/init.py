"""``personasync init``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from personasync.cli.console import Console
from personasync.cli.group import Command
from personasync.cli.options import option
from personasync.cli.workspace import DEFAULT_MANIFEST
from personasync.manifest.schemas import schema_text
from personasync.model.errors import PersonasyncError
from personasync.model.steps import Command as CommandToRun
from personasync.model.steps import NextStep, Option
from personasync.render.commands import HERE

MANIFEST: Final = """\
# yaml-language-server: $schema=personas.schema.json
#
# The personas that should exist. See what is missing:  personasync plan
# Create just that and record the IDs:                  personasync apply
# Try it without an account:                            personasync apply --sandbox

version: 1

# settings:
#   parallelism: 4          # requests at a time
#   rateLimit: 20/10s       # the API's published rate
#   maxCreates: 50          # refuse a plan that would create more

# defaults:                 # for the personas of this file
#   style: Electronic Pop

# Your first persona: uncomment the lines below personas:, and write your own values. The key
# has letters, digits, . _ and -; the task must be complete, of model V4 or newer; a track makes
# a persona only once; the segment is in seconds, best 10 to 30 of them. Where a persona exists
# already, give its personaId as well: then no request is made.
personas:
  # neon-siren:
  #   taskId: 5c79be8e
  #   audioId: e231c2d4-58b6-4b6d-9a0c-1f2e8cadc7dc
  #   name: Electronic Pop Singer
  #   description: A modern electronic pop singer with bright, dynamic synth tones
  #   vocalStart: 0
  #   vocalEnd: 30
  #   style: Electronic Pop
"""

_ATTRIBUTES: Final = """\
# Two branches that each record personas merge line by line.
*.state.jsonl merge=union text eol=lf
"""

# Not the .rescue file that a full disk leaves: it holds IDs, and should be seen.
_IGNORED: Final = """\
*.state.jsonl.lock
*.state.jsonl.backup
*.state.jsonl.torn
*.state.jsonl.tmp
personas.sandbox.*
"""


@click.command(
    cls=Command, epilog="\b\nExamples:\n  personasync init\n  personasync init personas/"
)
@click.argument(
    "folder", required=False, default=".", type=click.Path(readable=False), metavar="[DIR]"
)
@option("-q", "--quiet", is_flag=True, help="Only errors.")
def command(folder: str, quiet: bool) -> int:
    """Write a commented manifest to start from. Never overwrites a file.

    Beside it come its JSON Schema, for your editor, and git's settings for the
    state.
    """
    console = Console(quiet=quiet)
    target = Path(folder)
    if (target / DEFAULT_MANIFEST).exists():
        raise PersonasyncError(
            f"{target / DEFAULT_MANIFEST} is there already; nothing was written",
            hint=NextStep("see what it says with: ", _there("validate", target)),
        )
    files = {
        ".gitattributes": _ATTRIBUTES,
        ".gitignore": _IGNORED,
        "personas.schema.json": schema_text("manifest"),
        DEFAULT_MANIFEST: MANIFEST,
    }
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            _write(console, target / name, text)
    except OSError as error:
        raise PersonasyncError(
            f"cannot write to {target}: {error.strerror}", hint="name another folder"
        ) from error
    console.say(f"Next: write a persona into it, then run: {HERE.line(_there('plan', target))}")
    return 0


def _there(name: str, folder: Path) -> CommandToRun:
    """Return a command about what is written to a folder."""
    manifest = folder / DEFAULT_MANIFEST
    named = () if folder == Path() else (Option("manifest", str(manifest)),)
    return CommandToRun(name, (), named)


def _write(console: Console, path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        if path.name.startswith("."):
            _say_missing(console, path, text)
    else:
        console.result(str(path))


def _say_missing(console: Console, path: Path, text: str) -> None:
    """Say which of git's settings a file of the user's lacks."""
    has = path.read_text(encoding="utf-8", errors="replace").splitlines()
    missing = [line for line in text.splitlines() if line[:1] != "#" and line not in has]
    if missing:
        console.say("\n".join([f"{path} is there already; add to it:", *missing]))
