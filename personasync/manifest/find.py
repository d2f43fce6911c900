"""Which files a manifest is made of, and their bytes."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from personasync.model.diagnostics import Diagnostic, Place, Severity
from personasync.model.steps import Command, NextStep, Option

STDIN: Final = "-"
"""The path that stands for standard input."""

STDIN_NAME: Final = "<stdin>"
"""How places name standard input."""

_SUFFIXES: Final = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a manifest, named as the user would name it.

    ``shown`` says whether messages may quote its lines; see ``may_be_shown``.
    """

    name: str
    shown: bool = True


def find_files(paths: Sequence[str | os.PathLike[str]]) -> tuple[list[File], list[Diagnostic]]:
    """Return the files that the paths stand for, each once, and what is wrong with the paths."""
    files: dict[object, File] = {}
    problems: list[Diagnostic] = []
    if not paths:
        problems.append(Diagnostic(Severity.ERROR, "no-manifest", "no manifest is given"))
    for path in paths:
        name = os.fsdecode(path)
        if name == STDIN:
            files.setdefault(STDIN, File(STDIN_NAME))
            continue
        try:
            found = list(_standing_for(name))
        except OSError as error:
            problems.append(_unreadable(name, error))
            continue
        if not found:
            problems.append(_no_manifests(name))
        for file in found:
            try:
                status = os.stat(file)
            except (OSError, ValueError) as error:
                problems.append(_unreadable(file, error))
            else:
                files.setdefault((status.st_dev, status.st_ino), File(file, may_be_shown(file)))
    return list(files.values()), problems


def read_bytes(file: File, limit: int) -> bytes | Diagnostic:
    """Return at most ``limit`` bytes of a file, or why it cannot be read."""
    try:
        if file.name == STDIN_NAME:
            return sys.stdin.buffer.read(limit)
        with open(file.name, "rb") as stream:
            return stream.read(limit)
    except (OSError, ValueError) as error:
        return _unreadable(file.name, error)


def _standing_for(name: str) -> Iterator[str]:
    if os.path.isdir(name):
        yield from _in_folder(name)
    elif glob.has_magic(name) and not os.path.lexists(name):
        yield from _manifests_matching(name)
    else:
        yield name


def _in_folder(folder: str) -> Iterator[str]:
    """Yield the manifests of a folder, links that lead nowhere included."""
    with os.scandir(folder) as children:
        names = [
            child.name
            for child in children
            if child.name.lower().endswith(_SUFFIXES)
            and not child.name.startswith(".")
            and (child.is_file() or not Path(child).exists())
        ]
    prefix = "" if folder == os.curdir else folder
    yield from (os.path.join(prefix, name) for name in sorted(names))


def matching(pattern: str) -> list[str]:
    """Return the files and folders that a glob matches; ** stands for folders at any depth."""
    return sorted(glob.glob(pattern, recursive=True))


def _manifests_matching(pattern: str) -> Iterator[str]:
    """Yield the files that a glob matches; one that names no suffix means manifests only."""
    named = os.path.splitext(pattern)[1]
    for name in matching(pattern):
        if (named or name.lower().endswith(_SUFFIXES)) and not os.path.isdir(name):
            yield name


def may_be_shown(name: str) -> bool:
    """Whether messages may quote a file's lines: it really lies in its folder, or further down.

    A link to another place, which a pull request could have brought along,
    may lead to what readers of the messages must not see, such as a key.
    """
    if name.startswith("/dev/"):  # what a shell hands over, such as /dev/stdin
        return True
    folder = os.path.dirname(name) or os.curdir
    if not os.path.islink(name):
        return _folder_is_at_home(folder)
    return _is_below(os.path.realpath(name), os.path.realpath(folder))


@cache
def _folder_is_at_home(folder: str) -> bool:
    """Whether a folder below this one really lies there: no link leads out of it."""
    if os.path.isabs(folder) or os.pardir in Path(folder).parts:
        return True  # whoever names it so knows where it leads
    return _is_below(os.path.realpath(folder), os.path.realpath(os.curdir))


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath([folder, path]) == folder


def _no_manifests(name: str) -> Diagnostic:
    hint: NextStep | str = "a * stands for part of a name, and ** for folders at any depth"
    if not os.path.isdir(name):
        return _file_problem(name, "no-manifest", "no file has a name like this", hint)
    hint = "name another folder, or a file"
    if any(Path(name).glob("*/*.y*ml")):
        all_below = Option("manifest", os.path.join(name, "**"))
        hint = NextStep("the folders inside it are searched with ", all_below, " only")
    return _file_problem(name, "no-manifest", "the folder has no *.yaml or *.yml file in it", hint)


def _unreadable(name: str, error: OSError | ValueError) -> Diagnostic:
    if isinstance(error, FileNotFoundError):
        return _file_problem(name, "no-such-file", "there is no such file", _missing(name))
    if isinstance(error, PermissionError):
        return _file_problem(name, "no-permission", "there is no permission to read it")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return _file_problem(name, "unreadable", f"it cannot be read: {reason}")


def _missing(name: str) -> NextStep | str:
    other = with_other_suffix(name)
    if other is not None:
        return f"did you mean {other}?"
    return NextStep(
        Command("init"),
        " writes a manifest to start from; ",
        Option("manifest"),
        " names another file or folder",
    )


def with_other_suffix(name: str) -> str | None:
    """Return the file that is there as ``.yml`` instead of ``.yaml``, or the other way round."""
    stem, suffix = os.path.splitext(name)
    other = stem + {".yaml": ".yml", ".yml": ".yaml"}.get(suffix, suffix)
    return other if other != name and os.path.exists(other) else None


def _file_problem(
    file: str, code: str, message: str, hint: NextStep | str | None = None
) -> Diagnostic:
    return Diagnostic(Severity.ERROR, code, message, Place(file, 0, 0), hint)
