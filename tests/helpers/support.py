"""Drives the command as a user does: another process, its files, its two outputs, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.helpers.published import check_run

_INHERITED = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "COVERAGE_PROCESS_START", "TMPDIR")
_INHERITED_PREFIXES = ("COVERAGE_", "COV_", "PYTEST_")


def clean_environment(home: Path) -> dict[str, str]:
    """Return an environment without the user's settings, keys and proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return {**kept, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True)
class Ended:
    """How a run of the command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def last_line(self) -> str:
        return self.stdout.rstrip("\n").rpartition("\n")[2]


@dataclass
class Tool:
    """The installed command, run in one folder."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = {
            **clean_environment(self.folder / "home"),
            "TMPDIR": tempfile.gettempdir(),
            **self.environment,
        }

    def start(
        self, *args: str, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start the command and return its process."""
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "cwd": self.folder,
            **options,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "personasync", *args],
            env={**self.environment, **(env or {})},
            **options,
        )

    def __call__(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        input: str | None = None,
    ) -> Ended:
        """Run the command to its end."""
        options = {} if input is None else {"stdin": subprocess.PIPE}
        process = self.start(*args, env=env, **options)
        try:
            stdout, stderr = process.communicate(
                None if input is None else input.encode(), timeout=timeout
            )
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        ended = Ended(process.returncode, stdout.decode(), stderr.decode())
        assert "Traceback" not in ended.stderr, ended.stderr
        check_run(self.folder, args, {**self.environment, **(env or {})}, ended)
        return ended

    def write(self, name: str, text: str) -> Path:
        """Write a file of the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def manifest(self, count: int, name: str = "personas.yaml", **fields: object) -> Path:
        """Write a manifest of so many personas, ``p-000`` to ..., and return its path."""
        return self.write(name, manifest_text(range(count), **fields))

    def entries(self, name: str = "personas.state.jsonl") -> list[dict[str, Any]]:
        """Return the lines of a state behind its header."""
        lines = (self.folder / name).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines[1:]]


def manifest_text(numbers: Sequence[int] | range, **fields: object) -> str:
    """Return a manifest of numbered personas."""
    lines = ["version: 1", "personas:" if numbers else "personas: {}"]
    for number in numbers:
        lines.append(f"  p-{number:03}:")
        values = {
            "taskId": f"task-{number:03}",
            "audioId": f"audio-{number:03}",
            "name": f"Persona {number}",
            "description": f"A warm and steady voice, number {number}, over brushes and bass",
            **fields,
        }
        lines += [f"    {name}: {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"
