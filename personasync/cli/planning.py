"""What plan and apply have in common around a plan: narrowing, gates, files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from personasync.cli.workspace import Workspace
from personasync.model.errors import PersonasyncError, UsageError
from personasync.model.persona import Manifest
from personasync.plan.compute import Plan
from personasync.plan.gates import refuse_unsafe, select
from personasync.render.safe import printable
from personasync.state.durable import replace_file


@dataclass(frozen=True, slots=True)
class Selection:
    """The options that narrow a plan, and those that refuse it."""

    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    max_creates: int | None = None
    strict: bool = False

    def narrow(self, plan: Plan) -> Plan:
        """Keep what was asked for; raises ``PlanError`` for a key that is not there."""
        if not self.targets and not self.excludes:
            return plan
        return select(plan, self.targets, self.excludes)

    def refuse_unsafe(self, plan: Plan) -> None:
        """Raise ``PlanError`` if a gate refuses the plan; the option goes before the manifest."""
        limit = self.max_creates
        if limit is None:
            limit = plan.manifest.settings.max_creates
        refuse_unsafe(plan, strict=self.strict, max_creates=limit)


def check_outputs(workspace: Workspace, manifest: Manifest, outputs: Iterable[str]) -> None:
    """Refuse to write over a state, what lies beside it, the manifest, or another output.

    Raises ``UsageError``: a slip of the finger must not cost an ID.
    """
    kept = {_real(workspace.books_path), *map(_real, manifest.files)}
    state = None if workspace.state_path is None else _real(workspace.state_path)
    if state is not None:
        kept.add(state)
    taken: set[Path] = set()
    for output in outputs:
        path = _real(output)
        beside_state = (
            state is not None
            and path.parent == state.parent
            and path.name.startswith(f"{state.name}.")
        )
        if path in kept or beside_state or ".state.jsonl" in path.name:
            raise UsageError(
                f"{printable(output)} belongs to the manifest or a state, and a plan would"
                " overwrite it",
                hint="name another file",
            )
        if path in taken:
            raise UsageError(
                f"two outputs would both be {printable(output)}", hint="name another file"
            )
        taken.add(path)


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))


def write_text(path: Path, text: str) -> None:
    """Write a file that was asked for, whole or not at all."""
    data = text.encode("utf-8", "backslashreplace")
    try:
        if path.exists() and not path.is_file():  # a pipe or a device, such as /dev/stdout
            path.write_bytes(data)
        else:
            replace_file(path.resolve(), data)
    except OSError as error:
        raise PersonasyncError(f"cannot write {path}: {error.strerror or error}") from error


def write_step_summary(text: str) -> None:
    """Append to the summary that GitHub shows for a job's step, if this is one."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        raise PersonasyncError(f"cannot write {path}: {error.strerror or error}") from error
