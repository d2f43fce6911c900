"""What is known of a command line once it was read: for the one who tells how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from personasync.cli.workspace import Workspace


@dataclass(slots=True)
class Session:
    """One command line: ``workspace`` is ``None`` until its options have been read."""

    workspace: Workspace | None = None


def remember(workspace: Workspace) -> None:
    """Note what the command works on, so that an error shows commands for the same."""
    session = click.get_current_context().find_object(Session)
    if session is not None:
        session.workspace = workspace
