"""A git repository that a team works in, each on a clone, with the personasync command at hand."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.support import Tool


class Repository(Tool):
    """A work tree, in which git and the command run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.environment |= {
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_EDITOR": "true",
            **{
                f"GIT_{who}_{what}": value
                for who in ("AUTHOR", "COMMITTER")
                for what, value in (("NAME", "A Musician"), ("EMAIL", "musician@example.com"))
            },
        }

    @classmethod
    def begin(cls, folder: Path, environment: Mapping[str, str] | None = None) -> Repository:
        """Begin a repository on the branch ``main``."""
        folder.mkdir(parents=True, exist_ok=True)
        repository = cls(folder, dict(environment or {}))
        repository.git("init", "--quiet", "--initial-branch=main")
        return repository

    @classmethod
    def clone(cls, origin: Path, folder: Path, environment: Mapping[str, str]) -> Repository:
        """Clone a repository."""
        folder.mkdir(parents=True)
        repository = cls(folder, dict(environment))
        repository.git("clone", "--quiet", str(origin), ".")
        return repository

    def git(self, *args: str, check: bool = True) -> str:
        """Run git and return its stdout; a failure of git is one of the test's."""
        ended = subprocess.run(
            ["git", *args],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        told = ended.stdout.decode() + ended.stderr.decode()
        assert not check or ended.returncode == 0, f"git {' '.join(args)}: {told}"
        return ended.stdout.decode() if check else told

    def commit(self, message: str) -> str:
        """Commit all that git does not ignore, and return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}")
        return self.git("rev-parse", "HEAD").strip()

    def branch(self, name: str, start: str = "main") -> None:
        """Begin a branch and check it out."""
        self.git("checkout", "--quiet", "-b", name, start)

    def checkout(self, name: str) -> None:
        """Check a branch out."""
        self.git("checkout", "--quiet", name)
