"""An error as the user sees it: what, where, what to do."""

from __future__ import annotations

from personasync.errors import PersonasyncError
from personasync.render.diagnostics import render_text
from personasync.render.text import printable


def render_error(error: PersonasyncError, *, color: bool = False) -> str:
    """Return an error's diagnostics, its message and its next step."""
    parts = [render_text(error.diagnostics, color=color)] if error.diagnostics else []
    head = "\x1b[1;31mError:\x1b[0m" if color else "Error:"
    parts.append(f"{head} {printable(error.message)}")
    if error.hint:
        parts.append(f"  {printable(error.hint)}")
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"
