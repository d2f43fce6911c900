"""The command run inside the test's own process, in a folder of its own."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from personasync.cli.main import main
from personasync.state import Entry, FileStateLog
from tests.helpers.support import Ended, manifest_text


@dataclass(frozen=True)
class Cli:
    """Runs the command by its ``main``; files are named in its folder."""

    folder: Path
    run: Callable[[tuple[str, ...]], Ended]

    def __call__(self, *args: str) -> Ended:
        return self.run(args)

    def manifest(self, count: int, name: str = "personas.yaml", **fields: object) -> None:
        (self.folder / name).write_text(manifest_text(range(count), **fields), encoding="utf-8")

    def record(self, *entries: Entry, name: str = "personas.state.jsonl", api: str = "api") -> None:
        """Append entries to a state."""
        log = FileStateLog(self.folder / name, api=api)
        with log.lock():
            log.append(entries)


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Cli]:
    """The command, in an empty folder; what ``-v`` does to the log ends with the test."""
    monkeypatch.chdir(tmp_path)
    log = logging.getLogger("personasync")
    before = log.level

    def run(args: tuple[str, ...]) -> Ended:
        capsys.readouterr()
        code = main(args)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    yield Cli(tmp_path, run)
    log.setLevel(before)
