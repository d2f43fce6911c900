"""A saved plan given to a command: what of it is followed, and how it is held to its word."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from personasync.cli.manifests import read_manifest
from personasync.cli.states import apply_command
from personasync.cli.workspace import Workspace
from personasync.model.contract import SANDBOX_API
from personasync.model.errors import ManifestError, PersonasyncError, UsageError
from personasync.model.persona import Manifest
from personasync.model.spelling import listed
from personasync.model.steps import Command, NextStep, Option
from personasync.render.commands import HERE
from personasync.state.open import local_path

if TYPE_CHECKING:
    from personasync.plan.compute import Plan
    from personasync.plan.saved import Document

_LARGEST: Final = 1 << 28


def read_plan(name: str) -> Document:
    """Read and check the saved plan in a file; raises ``PersonasyncError`` for anything else."""
    from personasync.plan.saved import parse  # most runs have no saved plan

    if not name:
        raise UsageError(
            "the name of the plan is empty",
            hint="name a saved plan, or leave it out to apply the manifest",
        )
    try:
        with Path(name).open("rb") as file:
            text = file.read(_LARGEST).decode("utf-8", "replace")
    except OSError as error:
        raise PersonasyncError(
            f"cannot read the plan {name}: {error.strerror}",
            hint=NextStep("save one with: ", Command("plan", (), (Option("out", name),))),
        ) from error
    return parse(text, name)


def follow(workspace: Workspace, saved: Document) -> Workspace:
    """Take manifest and state from a saved plan, where no option or variable names them.

    A plan may come from anywhere, so it decides neither where a request goes
    nor which place outside the working folder is written to: the base URL is
    never taken from it, and the state only where it is a path at or below that
    folder.
    """
    location = saved["state"]["location"]
    state = location if workspace.state is None and _is_here(location) else workspace.state
    return replace(
        workspace,
        manifests=workspace.manifests or tuple(saved["manifest"]["paths"]),
        state=state,
        sandbox=workspace.sandbox or saved["api"] == SANDBOX_API,
    )


def load_manifest(
    workspace: Workspace, given: Workspace, *, strict: Option | None, quiet: bool
) -> Manifest:
    """Load the manifest; ``given`` is the workspace as it was before a plan was followed.

    Where only the plan names it and it lies outside the working folder,
    nothing of it is shown: that the plan names a file gives no right to see it.
    """
    named_by_plan = workspace.manifests if not given.manifests else ()
    if all(map(_is_here, named_by_plan)):
        return read_manifest(workspace, strict=strict, quiet=quiet)
    named = listed(workspace.manifests)
    try:
        return read_manifest(workspace, strict=strict, quiet=True)
    except ManifestError:
        raise PersonasyncError(
            f"the manifest that the plan names cannot be used here: {named}",
            hint=NextStep("name the manifest with ", Option("manifest")),
        ) from None


def check_fresh(workspace: Workspace, saved: Document, plan: Plan) -> Plan:
    """Hold a saved plan against a fresh one; see ``plan.saved.check_fresh``.

    Its state is the one in use where both names lead to one file, however they are spelled.
    """
    from personasync.plan import saved as saved_plans

    location = workspace.location
    if _real(saved["state"]["location"]) == _real(location):
        location = saved["state"]["location"]
    return saved_plans.check_fresh(saved, plan, api=workspace.api, location=location)


def carry_out(workspace: Workspace, name: str) -> str:
    """Return the command that carries out a plan just saved as ``name``.

    It names what the plan alone cannot choose: the API, and a state elsewhere.
    """
    location = workspace.location
    flags = () if workspace.sandbox else apply_command(workspace, None).flags
    if not _is_here(location) and not workspace.keeps_secret:
        flags = (*flags, Option("state", location))
    return HERE.line(Command("apply", (name,), flags))


def _is_here(location: Any) -> bool:
    """Whether a location is a path whose real folder is the working folder or lies below it."""
    try:
        path = local_path(location)
    except UsageError:
        return False
    if path is None:
        return False
    here = os.path.realpath(".")
    return Path(_real(str(path.parent))).is_relative_to(here)


def _real(location: str) -> str:
    return os.path.realpath(location)
