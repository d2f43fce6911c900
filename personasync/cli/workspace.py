"""What a command works on: which manifest, which state, which API."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from personasync.api.base_url import parse_base_url
from personasync.cli.console import Console
from personasync.cli.default_state import default_folder
from personasync.model.contract import DEFAULT_BASE_URL, SANDBOX_API
from personasync.model.errors import (
    ManifestError,
    PersonasyncError,
    PlanError,
    StateError,
    UsageError,
)
from personasync.model.persona import Manifest
from personasync.model.spelling import counted
from personasync.model.steps import Command, NextStep, Option
from personasync.render.commands import Shell
from personasync.render.safe import printable, shell_word

if TYPE_CHECKING:
    from personasync.model.diagnostics import Diagnostic
    from personasync.plan.compute import Plan
    from personasync.state import Header, Holder, LogContents, State, StateLog

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

        return self._default_state if self.state is None else local_path(self.state)

    @property
    def location(self) -> str:
        """Where the state is kept, without secrets."""
        path = self.state_path
        if path is not None:
            return str(path)
        from personasync.state.locations import shared_location

        return shared_location(self.state or "").text

    @property
    def _default_state(self) -> Path:
        name = SANDBOX_STATE_NAME if self.sandbox else STATE_NAME
        return default_folder(self.manifest_paths, name) / name

    def _is_default(self, location: str) -> bool:
        try:
            return location == str(self._default_state)
        except UsageError:  # then nothing but naming it will do
            return False

    @property
    def books_path(self) -> Path:
        """Where the embedded sandbox remembers what it made: beside its state."""
        state = self.state_path or self._default_state
        return state.with_name(state.name.removesuffix(".state.jsonl") + ".books.db")

    @property
    def shell(self) -> Shell:
        """How messages write commands, so that these work on the same things."""
        named = self.state is not None and not self._is_default(self.location)
        manifests = () if self.manifest_paths == (DEFAULT_MANIFEST,) else self.manifest_paths
        return Shell(manifests, self.sandbox, self.location if named else None)

    @property
    def options(self) -> tuple[str, ...]:
        """The options that another command needs to work on the same things."""
        return self.shell.options

    @property
    def api(self) -> str:
        """The API in use, as a state's header names it."""
        return SANDBOX_API if self.sandbox else parse_base_url(self.base_url or DEFAULT_BASE_URL)

    def load_manifest(self, *, strict: Option | None = None, quiet: bool = False) -> Manifest:
        """Load the manifest and say its warnings, unless ``quiet``, where they stand elsewhere.

        By the option ``strict`` they are errors.
        """
        from personasync.manifest.load import load_manifest  # not every command has one

        if not self.has_manifest:
            from personasync.manifest.find import with_other_suffix

            hint = NextStep(
                "name a manifest with ",
                Option("manifest"),
                ", or write one to start from: ",
                Command("init"),
            )
            if (other := with_other_suffix(DEFAULT_MANIFEST)) is not None:
                hint = NextStep(f"there is a {other}: name it with ", Option("manifest", other))
            raise ManifestError(f"there is no {DEFAULT_MANIFEST} here", hint=hint)
        manifest = load_manifest(self.manifest_paths)
        if manifest.warnings and strict:
            told = counted(sum(warning.count for warning in manifest.warnings), "warning")
            raise ManifestError(
                f"{self.shell.text(NextStep(strict))}: the manifest has {told}",
                diagnostics=manifest.warnings,
            )
        if manifest.warnings and not quiet:
            from personasync.render.diagnostics import render_text

            color = self.console.remark_color
            self.console.say(render_text(manifest.warnings, color=color))
        return manifest

    def optional_manifest(self) -> Manifest:
        """Return the manifest, or an empty one when none was named and none is there."""
        return self.load_manifest(quiet=True) if self.has_manifest else Manifest(())

    def apply_command(self, header: Header | None) -> Command:
        """Return the apply that goes on with a state, whichever API that belongs to."""
        api = header.api if header else self.api
        if api == SANDBOX_API:
            return Command("apply", (), (Option("sandbox"),))
        inherited = os.environ.get("PERSONASYNC_BASE_URL") or DEFAULT_BASE_URL
        if parse_base_url(inherited) == api:
            return Command("apply")
        return Command("apply", (), (Option("base-url", api),))

    def missing_state(self, contents: LogContents) -> StateError | None:
        """Return the error where git has a state that is not here, and nothing heals it."""
        path = self.state_path
        if contents.begun or path is None or path.exists():
            return None
        from personasync.state.git import restoring  # no command needs it but where none is begun

        restore = restoring(path)
        if restore is None:
            return None
        return StateError(
            f"git has the state {path}, and it is not here: a new one would not know its IDs",
            hint=NextStep(
                f"put it back: {restore} {shell_word(str(path))}; or, to begin anew: ",
                Command("state init", (str(path),)),
            ),
        )

    def no_state(self) -> PersonasyncError:
        """Return the error that says that there is none."""
        return PersonasyncError(
            f"there is no state at {self.location}",
            hint=NextStep(
                "the first apply or import begins one; name another with ",
                Option("state"),
                ", or the sandbox's with ",
                Option("sandbox"),
            ),
        )

    def compute_plan(self, manifest: Manifest, state: State) -> Plan:
        """Compute the plan; what contradicts the state is shown in its line of the manifest."""
        from personasync.plan.compute import compute_plan  # not every command has one

        try:
            return compute_plan(manifest, state)
        except PlanError as error:
            error.diagnostics = self.with_sources(error.diagnostics)
            raise

    def with_sources(self, diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
        """Return diagnostics with the lines of the manifest that they are about."""
        from personasync.manifest.find import may_be_shown
        from personasync.manifest.lines import with_sources

        for file in dict.fromkeys(each.place.file for each in diagnostics if each.place):
            if Path(file).is_file() and may_be_shown(file):
                diagnostics = list(with_sources(diagnostics, file, Path(file).read_bytes()))
        return tuple(diagnostics)

    def log(self, *, any_api: bool = False) -> StateLog:
        """Return the state log; with ``any_api`` whichever API it belongs to, unless one is set."""
        from personasync.state import open_log  # not every command has one

        free = any_api and not self.sandbox and self.base_url is None
        location = str(self._default_state) if self.state is None else self.state
        return open_log(location, api=None if free else self.api)

    def read(self, log: StateLog) -> LogContents:
        """Read a log and say what reading it found."""
        contents = log.read()
        for note in contents.notes:
            self.console.say(f"Note: {printable(note)}")
        return contents

    def read_state(self, *, any_api: bool = False) -> State:
        """Return the state as it is now, with no lock taken."""
        return self.read(self.log(any_api=any_api)).fold()

    @contextmanager
    def locked(self, log: StateLog) -> Iterator[None]:
        """Hold the state; whoever is waited for is named."""
        with log.lock(timeout=self.lock_timeout, on_wait=self._say_holder):
            yield

    def check_options(self) -> None:
        """Refuse options that contradict each other."""
        if self.sandbox and self.base_url is not None:
            raise UsageError(
                "--sandbox and --base-url exclude each other",
                hint="--sandbox starts a stand-in of its own; leave one of them out"
                " (PERSONASYNC_BASE_URL counts)",
            )

    def _say_holder(self, holder: Holder | None) -> None:
        held = f"held by {holder}" if holder else "held by another run"
        self.console.complain(f"Waiting for the state {self.location}, {printable(held)}.")
