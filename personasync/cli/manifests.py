"""The manifest that a command works on, read and held against the state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from personasync.cli.workspace import DEFAULT_MANIFEST, Workspace
from personasync.model.errors import ManifestError, PlanError
from personasync.model.persona import Manifest
from personasync.model.spelling import counted
from personasync.model.steps import Command, NextStep, Option

if TYPE_CHECKING:
    from personasync.model.diagnostics import Diagnostic
    from personasync.plan.compute import Plan
    from personasync.state import State


def read_manifest(
    workspace: Workspace, *, strict: Option | None = None, quiet: bool = False
) -> Manifest:
    """Load the manifest and say its warnings, unless ``quiet``, where they stand elsewhere.

    By the option ``strict`` they are errors.
    """

    from personasync.manifest.load import load_manifest  # not every command has one

    if not workspace.has_manifest:
        raise no_manifest()
    manifest = load_manifest(workspace.manifest_paths)
    if manifest.warnings and strict:
        told = counted(sum(warning.count for warning in manifest.warnings), "warning")
        raise ManifestError(
            f"{workspace.shell.text(NextStep(strict))}: the manifest has {told}",
            diagnostics=manifest.warnings,
        )
    if manifest.warnings and not quiet:
        from personasync.render.diagnostics import render_text

        color = workspace.console.remark_color
        workspace.console.say(render_text(manifest.warnings, color=color))
    return manifest


def no_manifest() -> ManifestError:
    """Return what is said where none was named and none is there."""
    from personasync.manifest.find import with_other_suffix

    hint = NextStep(
        "name a manifest with ",
        Option("manifest"),
        ", or write one to start from: ",
        Command("init"),
    )
    if (other := with_other_suffix(DEFAULT_MANIFEST)) is not None:
        hint = NextStep(f"did you mean {other}? name it with ", Option("manifest", other))
    return ManifestError(f"there is no {DEFAULT_MANIFEST} here", hint=hint)


def optional_manifest(workspace: Workspace) -> Manifest:
    """Return the manifest, or an empty one when none was named and none is there."""
    return read_manifest(workspace, quiet=True) if workspace.has_manifest else Manifest(())


def plan_with_sources(manifest: Manifest, state: State) -> Plan:
    """Compute the plan; what contradicts the state is shown in its line of the manifest."""
    from personasync.plan.compute import compute_plan  # not every command has one

    try:
        return compute_plan(manifest, state)
    except PlanError as error:
        error.diagnostics = sourced(error.diagnostics)
        raise


def sourced(diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return diagnostics with the lines of the manifest that they are about."""
    from personasync.manifest.find import may_be_shown
    from personasync.manifest.lines import with_sources

    files = {each.place.file for each in diagnostics if each.place}
    texts = {f: Path(f).read_bytes() for f in files if Path(f).is_file() and may_be_shown(f)}
    return tuple(with_sources(diagnostics, texts))
