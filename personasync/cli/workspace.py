"""What a command works on: which manifest, which state, which API."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from personasync.api.base_url import parse_base_url
from personasync.cli.console import Console
from personasync.cli.default_state import default_folder
from personasync.model.contract import DEFAULT_BASE_URL, SANDBOX_API
from personasync.model.errors import UsageError
from personasync.render.commands import Shell

DEFAULT_MANIFEST: Final = "personas.yaml"
STATE_NAME: Final = "personas.state.jsonl"
SANDBOX_STATE_NAME: Final = "personas.sandbox.state.jsonl"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The shared options of a command, and what they lead to.

    ``lock_timeout`` is in seconds.
    """

    console: Console
    manifests: tuple[str, ...] = ()
    state: str | None = None
    sandbox: bool = False
    base_url: str | None = None
    lock_timeout: float = 0.0

    @property
    def manifest_paths(self) -> tuple[str, ...]:
        """The files and folders that make up the manifest."""
        return self.manifests or (DEFAULT_MANIFEST,)

    @property
    def has_manifest(self) -> bool:
        """Whether there is a manifest to read: one was named, or the default is there."""
        return bool(self.manifests) or Path(DEFAULT_MANIFEST).exists()

    @property
    def state_path(self) -> Path | None:
        """The state file, by default beside the first manifest; ``None`` if it is shared."""
        from personasync.state.open import local_path  # not every command has one

        return self.default_state if self.state is None else local_path(self.state)

    @property
    def location(self) -> str:
        """Where the state is kept, without secrets."""
        path = self.state_path
        if path is not None:
            return str(path)
        from personasync.state.locations import shared_location

        return shared_location(self.state or "").text

    @property
    def default_state(self) -> Path:
        """Where the state file is unless the options say so."""
        name = SANDBOX_STATE_NAME if self.sandbox else STATE_NAME
        return default_folder(self.manifest_paths, name) / name

    @property
    def books_path(self) -> Path:
        """Where the embedded sandbox remembers what it made: beside its state."""
        state = self.state_path or self.default_state
        return state.with_name(state.name.removesuffix(".state.jsonl") + ".books.db")

    @property
    def shell(self) -> Shell:
        """How messages write commands, so that these work on the same things."""
        named = self.state is not None and not _is_default(self)
        manifests = () if self.manifest_paths == (DEFAULT_MANIFEST,) else self.manifest_paths
        again = named and not self.keeps_secret
        return Shell(manifests, self.sandbox, self.location if again else None)

    @property
    def keeps_secret(self) -> bool:
        """Whether the state's location holds one, as only the environment may: it stays there."""
        from personasync.state.locations import has_secret

        return self.state is not None and has_secret(self.state)

    @property
    def api(self) -> str:
        """The API in use, as a state's header names it."""
        return SANDBOX_API if self.sandbox else parse_base_url(self.base_url or DEFAULT_BASE_URL)

    def check_options(self) -> None:
        """Refuse options that contradict each other."""
        if self.sandbox and self.base_url is not None:
            raise UsageError(
                "--sandbox and --base-url exclude each other",
                hint="--sandbox starts a stand-in of its own; leave one of them out"
                " (PERSONASYNC_BASE_URL counts)",
            )


def _is_default(workspace: Workspace) -> bool:
    """Whether the state is where it would be had nobody said where."""
    try:
        return workspace.location == str(workspace.default_state)
    except UsageError:  # then nothing but naming it will do
        return False
