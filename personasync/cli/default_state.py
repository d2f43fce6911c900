"""Where a state lies when nobody says so: beside the manifest, wherever that is given."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from personasync.manifest.find import matching
from personasync.model.errors import UsageError
from personasync.model.spelling import listed
from personasync.model.steps import NextStep, Option


def default_folder(manifests: Sequence[str], state_name: str) -> Path:
    """Return the folder of the state of a manifest that is given as these paths.

    Where they lie in several folders it is the one that holds a state, so that
    their order does not matter; the first where none does. Raises
    ``UsageError`` where several do, or where no folder is the manifest's.
    """
    folders = _folders(manifests)
    if len(folders) == 1:
        return folders[0]
    for suffix in ("", ".backup"):
        holding = [each for each in folders if os.path.lexists(each / f"{state_name}{suffix}")]
        if len(holding) == 1:
            return holding[0]
        if holding:
            raise UsageError(
                "several of the manifest's folders hold a state:"
                f" {listed([str(each / state_name) for each in holding])}",
                hint=NextStep("say which one is meant with ", Option("state")),
            )
    return folders[0]


def _folders(manifests: Sequence[str]) -> list[Path]:
    """Return the folders of the manifest's files, each once."""
    found: dict[str, Path] = {}
    for name in manifests:
        for folder in _folders_of(name):
            found.setdefault(os.path.realpath(folder), folder)
    return list(found.values())


def _is_of_the_system(path: Path) -> bool:
    """Whether a path is a pipe, a device, or a name such as ``/dev/stdin`` for what is open."""
    if any(path.absolute().is_relative_to(each) for each in ("/dev", "/proc")):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def _folders_of(name: str) -> Iterator[Path]:
    path = Path(name)
    if name == "-" or _is_of_the_system(path):
        raise UsageError(
            f"the manifest {'on standard input' if name == '-' else name} lies in no folder, so"
            " there is no place beside it for a state",
            hint=NextStep("say where the state is with ", Option("state")),
        )
    if path.is_dir():
        yield path
    elif glob.has_magic(name) and not os.path.lexists(name):
        matches = matching(name)
        yield from (each.parent for each in map(Path, matches) if not each.is_dir())
        if not matches:
            yield Path(name.partition("*")[0] + "x").parent
    else:
        yield path.parent
