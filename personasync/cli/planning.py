"""What plan and apply have in common around a plan: narrowing, gates, files."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from personasync.cli.completion import complete_key
from personasync.cli.options import as_one, option
from personasync.cli.workspace import Workspace
from personasync.model.errors import PersonasyncError, UsageError
from personasync.model.persona import Manifest
from personasync.model.steps import Option
from personasync.plan.compute import Plan
from personasync.plan.gates import refuse_unsafe, select
from personasync.render.plan import FORMATS, PlanView
from personasync.render.safe import printable


@dataclass(frozen=True, slots=True)
class Selection:
    """The options that narrow a plan, and those that refuse it."""

    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    max_creates: int | None = None
    strict: bool = False
    fail_on: tuple[str, ...] = ()

    def narrow(self, plan: Plan) -> Plan:
        """Keep what was asked for; raises ``PlanError`` for a key that is not there."""
        if not self.targets and not self.excludes:
            return plan
        return select(plan, self.targets, self.excludes)

    def refuses(self, what: str) -> Option | None:
        """Return the option by which ``warnings`` or ``attention`` are errors, if one is given."""
        if what in self.fail_on:
            return Option("fail-on", what)
        return Option("strict") if self.strict else None

    def refuse_unsafe(self, plan: Plan) -> None:
        """Raise ``PlanError`` if a gate refuses the plan; the option goes before the manifest."""
        limit = self.max_creates
        if limit is None:
            limit = plan.manifest.settings.max_creates
        refuse_unsafe(plan, strict=self.refuses("attention"), max_creates=limit)


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files in which a command's result is given beside the screen, where they are named."""

    saved: str | None = None
    json: str | None = None
    markdown: str | None = None

    def named(self) -> tuple[str, ...]:
        """Return the files that are named."""
        return tuple(name for name in (self.saved, self.json, self.markdown) if name is not None)

    def write(self, render: Callable[[str], str]) -> None:
        """Write what a format of this name renders to each file that is named but ``saved``."""
        for output_format, name in (("json", self.json), ("markdown", self.markdown)):
            if name is not None:
                write_text(name, render(output_format))


NO_OUTPUTS: Final = Outputs()

# The options of several commands that these two stand for.

FILE: Final[dict[str, Any]] = {"type": click.Path(readable=False), "metavar": "FILE"}
OUTPUTS: Final = (
    option("--json-out", "json", **FILE, help="Write what --format json prints, too."),
    option("--markdown-out", "markdown", **FILE, help="Write it as Markdown, too."),
)
_KEY: Final[dict[str, Any]] = {"multiple": True, "metavar": "KEY", "shell_complete": complete_key}
NARROWING: Final = (
    option("--target", "targets", **_KEY, help="Only this key or glob; repeatable."),
    option("--exclude", "excludes", **_KEY, help="Not this key or glob; repeatable."),
)
FAILING: Final = (
    option("--strict", is_flag=True, help="Warnings and (!) rows are errors."),
    option(
        "--fail-on",
        multiple=True,
        type=click.Choice(["warnings", "attention"]),
        metavar="KIND",
        help="One of them: warnings, or attention.",
    ),
)
_MAX_CREATES: Final = option(
    "--max-creates",
    type=click.IntRange(min=0),
    metavar="N",
    help="Refuse a plan that would create more.",
)
output_options: Final = as_one("files", Outputs, *OUTPUTS)
selection_options: Final = as_one("selection", Selection, *NARROWING, _MAX_CREATES, *FAILING)


def show_plan(
    workspace: Workspace, plan: Plan, output_format: str, files: Outputs = NO_OUTPUTS
) -> None:
    """Give a plan in every form that was asked for, computed once."""
    view = view_of(workspace)
    text = FORMATS[output_format](plan, view)
    if output_format == "github":
        from personasync.render.diagnostics import render_github  # most plans are shown as text

        text = render_github(plan.manifest.warnings) + text
        write_step_summary(FORMATS["markdown"](plan, view))
    workspace.console.give(text, output_format)
    files.write(lambda name: FORMATS[name](plan, view))


def view_of(workspace: Workspace) -> PlanView:
    """Return how a plan is shown where this command shows it."""
    console = workspace.console
    return PlanView(
        api=workspace.api,
        location=workspace.location,
        paths=workspace.manifest_paths,
        color=console.result_color,
        width=console.width,
        shell=workspace.shell,
    )


@contextmanager
def annotating(workspace: Workspace, output_format: str) -> Iterator[None]:
    """Let an error stand at the lines that it is about, where the format is GitHub's."""
    try:
        yield
    except PersonasyncError as error:
        if output_format == "github":
            from personasync.render.diagnostics import annotate_error

            workspace.console.result(annotate_error(error, shell=workspace.shell))
        raise


def check_outputs(workspace: Workspace, manifest: Manifest, outputs: Iterable[str]) -> None:
    """Refuse to write over a state, what lies beside it, the manifest, or another output.

    Raises ``UsageError``, since a slip of the finger must not cost an ID, and
    ``PersonasyncError`` for a link, and for a place where nothing can be written:
    better before anything is spent than after it.
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
        refuse_link(output)
        _refuse_no_folder(output)
        taken.add(path)


def _refuse_no_folder(name: str) -> None:
    path = Path(name)
    if path.is_dir():
        why = errno.EISDIR
    elif _of_the_system(name) or path.exists():
        return
    elif not path.parent.is_dir():
        why = errno.ENOENT
    elif not os.access(path.parent, os.W_OK):
        why = errno.EACCES
    else:
        return
    raise PersonasyncError(
        f"cannot write {printable(name)}: {os.strerror(why)}",
        hint="nothing was changed; name a file in a folder that can be written to",
    )


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))


def refuse_link(name: str) -> None:
    """Raise ``PersonasyncError`` where a name leads through a link that others may have placed.

    A pull request can bring a link to a file, or to a folder on the way to it;
    what lies above the working folder it cannot change.
    """
    if _of_the_system(name):
        return
    here = Path.cwd()
    path = Path(os.path.normpath(here / name))  # by its names: resolving would follow the links
    on_the_way = [path, *path.parents]
    if Path(name).is_absolute():
        on_the_way = [path, *(each for each in path.parents if here in each.parents)]
    for each in on_the_way:
        if each == here or each in here.parents:
            break
        if each.is_symlink():
            raise PersonasyncError(
                f"{name} is not written: {os.path.relpath(each)} is a link",
                hint="name the file that is meant, or another one",
            )


def _of_the_system(name: str) -> bool:
    """Whether a name is the system's for something open, such as ``/dev/stdout``."""
    return name in ("/dev/stdout", "/dev/stderr", "/dev/null") or name.startswith("/dev/fd/")


def write_text(name: str, text: str) -> None:
    """Write a file that was asked for, whole or not at all, and never through a link."""
    data, path = text.encode("utf-8", "backslashreplace"), Path(name)
    refuse_link(name)
    try:
        if _of_the_system(name) or (path.exists() and not path.is_file()):  # a pipe, a device
            with path.open("ab") as file:
                file.write(data)
        else:
            _replace(path, data)
    except OSError as error:
        raise PersonasyncError(f"cannot write {name}: {error.strerror or error}") from error


def _replace(path: Path, data: bytes) -> None:
    """Put a file in place in one step, by way of one whose name no other run has."""
    mode = path.stat().st_mode & 0o777 if path.exists() else None
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        Path(beside).chmod(_default_mode() if mode is None else mode)
        Path(beside).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(beside).unlink()
        raise


def _default_mode() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


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
