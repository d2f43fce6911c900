"""An error as the user sees it: what, where, what to do."""

from __future__ import annotations

from personasync.model.errors import PersonasyncError
from personasync.render import diagnostics
from personasync.render.commands import HERE, Shell
from personasync.render.github import workflow_command
from personasync.render.safe import printable


def render_error(error: PersonasyncError, *, color: bool = False, shell: Shell = HERE) -> str:
    """Return an error's diagnostics, its message and its next step."""
    parts = []
    if error.diagnostics:
        parts.append(diagnostics.render_text(error.diagnostics, color=color, shell=shell))
    head = "\x1b[1;31mError:\x1b[0m" if color else "Error:"
    parts.append(f"{head} {printable(error.message)}")
    if error.hint:
        parts.append(f"  {printable(shell.text(error.hint))}")
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def render_github(error: PersonasyncError, *, shell: Shell = HERE) -> str:
    """Return an error and its diagnostics as GitHub's annotations."""
    hint = shell.text(error.hint or "")
    told = [printable(part) for part in (error.message, hint) if part]
    annotation = workflow_command("error", {"title": "personasync"}, told)
    return f"{diagnostics.render_github(error.diagnostics, shell=shell)}{annotation}\n"
