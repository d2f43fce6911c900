"""The sandbox that ``--sandbox`` starts inside the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from personasync.cli.workspace import Workspace
from personasync.model.persona import Manifest

if TYPE_CHECKING:
    from personasync.sandbox import Sandbox


@contextmanager
def rehearsal(workspace: Workspace, manifest: Manifest | None) -> Iterator[Sandbox]:
    """Serve a stand-in for the API that knows the manifest's tasks, and say so.

    Without a manifest, every task is there.
    """
    from personasync.sandbox import Sandbox, SandboxConfig, named_tracks  # rarely needed

    workspace.console.say(
        "This is a rehearsal: the sandbox, a stand-in for the API on this machine, makes the IDs."
    )
    tracks = None
    if manifest is not None:
        tracks = named_tracks(persona.request for persona in manifest.personas)
    with Sandbox(SandboxConfig(books=workspace.books_path, tracks=tracks)) as sandbox:
        yield sandbox
