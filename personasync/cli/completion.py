"""What a shell is told while the user presses Tab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from personasync.cli.console import Console
from personasync.cli.manifests import read_manifest
from personasync.cli.states import read_state
from personasync.cli.workspace import Workspace
from personasync.model.errors import PersonasyncError
from personasync.render.safe import printable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_HELP_LIMIT: Final = 60
_HARMLESS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""A key that a shell takes as it is; a state, which anybody may have edited, can hold others."""


def complete_key(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the keys that begin so, with the personas' names: the manifest's, then the state's.

    A completion never complains: of what cannot be read, nothing is known.
    """
    workspace = _workspace(context)
    names = dict(_wanted(workspace))
    for key, name in _recorded(workspace):
        names.setdefault(key, name)
    return _items(names, incomplete)


def complete_recorded_key(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the keys of the state that begin so; see ``complete_key``."""
    return _items(dict(_recorded(_workspace(context))), incomplete)


def _items(names: dict[str, str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(key, help=printable(name, _HELP_LIMIT))
        for key, name in names.items()
        if key.startswith(incomplete) and _HARMLESS.fullmatch(key)
    ]


def _workspace(context: click.Context) -> Workspace:
    given = context.params
    return Workspace(
        Console(quiet=True),
        manifests=given.get("manifest") or (),
        state=given.get("state"),
        sandbox=bool(given.get("sandbox")),
    )


def _wanted(workspace: Workspace) -> Iterator[tuple[str, str]]:
    try:
        personas = read_manifest(workspace).personas
    except (PersonasyncError, OSError):
        return
    for persona in personas:
        yield persona.key, persona.request.name


def _recorded(workspace: Workspace) -> Iterator[tuple[str, str]]:
    from personasync.state import Status

    try:
        entries = read_state(workspace, any_api=True).entries.values()
    except (PersonasyncError, OSError):
        return
    for entry in sorted(entries, key=lambda found: found.key):
        if entry.status is not Status.FORGOTTEN:
            yield entry.key, entry.request.name if entry.request else ""
