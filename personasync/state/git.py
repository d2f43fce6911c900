"""What git thinks of a state file: whether it keeps it, and whether it has it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

_SECONDS: Final = 10.0
_QUIET: Final = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
"""Nothing that a repository's settings name is started."""


def ignored(path: Path) -> bool:
    """Whether git passes a file over, so that no commit ever holds it."""
    return _git(path, "check-ignore", "--quiet", "--", path.name) == 0


def restoring(path: Path) -> str | None:
    """Return the command that puts a file back that git has and the folder has not, if it has it.

    Deleted, or left out by a sparse checkout; or deleted for git as well,
    and that not yet committed.
    """
    if _git(path, "ls-files", "--error-unmatch", "--", path.name) == 0:
        return "git restore --ignore-skip-worktree-bits" if _is_sparse(path) else "git restore"
    if _git(path, "cat-file", "-e", f"HEAD:./{path.name}") == 0:
        return "git restore --staged --worktree"
    return None


def _is_sparse(path: Path) -> bool:
    return _git(path, "config", "--get", "--type=bool", "core.sparseCheckout") == 0


def _git(path: Path, *words: str) -> int | None:
    """Return how git ended, in the folder of a file; ``None`` where it could not say."""
    if not any((folder / ".git").exists() for folder in path.absolute().parents):
        return None  # most runs need not start it at all
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        ended = subprocess.run(
            ["git", "-C", str(path.parent), *_QUIET, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return ended.returncode
