"""What a shell is told while the user presses Tab."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def complete_key(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the keys of the manifest that begin so, with the personas' names."""
    from personasync.cli.console import Console
    from personasync.cli.workspace import Workspace
    from personasync.errors import PersonasyncError

    workspace = Workspace(Console(quiet=True), manifests=context.params.get("manifest") or ())
    try:
        personas = workspace.load_manifest().personas
    except (PersonasyncError, OSError):
        return []  # a completion never complains
    return [
        CompletionItem(persona.key, help=persona.request.name)
        for persona in personas
        if persona.key.startswith(incomplete)
    ]
