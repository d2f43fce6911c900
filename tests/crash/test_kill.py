"""A run is killed at every system call that writes, syncs, renames, sends or receives."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.crash.rehearsal import STRACE, WATCHED, Injection, Rehearsal, points

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(STRACE is None, reason="strace is not installed"),
]

# strace counts the calls of each thread by itself, so the calls that the main
# thread makes after the workers' are reached by the file that they are about.
MAIN_THREAD_FILES = (
    "personas.state.jsonl.tmp",
    "personas.state.jsonl.backup.tmp",
    "personas.state.jsonl.lock",
)


@pytest.mark.parametrize("parallelism", [1, 3])
def test_a_kill_at_any_call_loses_nothing(tmp_path: Path, parallelism: int) -> None:
    flags = (f"--parallelism={parallelism}",)
    counts = _count(tmp_path, flags)
    killed = 0
    for number, (call, when) in enumerate(points(counts)):
        injection = Injection(call, "signal=KILL", str(when))
        killed += _kill_and_check(tmp_path / str(number), injection, flags, parallelism)
    assert killed >= 20, "too few kills hit"


@pytest.mark.parametrize("file", MAIN_THREAD_FILES)
def test_a_kill_while_tidying_up_loses_nothing(tmp_path: Path, file: str) -> None:
    killed = 0
    for number, call in enumerate(WATCHED.split(",")):
        for when in (1, 2, 3):
            injection = Injection(call, "signal=KILL", str(when), path=file)
            folder = tmp_path / f"{number}-{when}"
            if not _kill_and_check(folder, injection, ("--parallelism=3",), 3):
                break
            killed += 1
    assert killed, f"no call about {file} was hit"


def _count(tmp_path: Path, flags: tuple[str, ...]) -> Any:
    folder = tmp_path / "untouched"
    folder.mkdir()
    rehearsal = Rehearsal(folder)
    try:
        return rehearsal.calls(*flags)
    finally:
        rehearsal.close()


def _kill_and_check(
    folder: Path, injection: Injection, flags: tuple[str, ...], in_flight: int
) -> bool:
    """Kill one run, check the promise under both kinds of API; tell whether the kill hit."""
    folder.mkdir()
    rehearsal = Rehearsal(folder)
    try:
        code = rehearsal.run(*flags, strace=injection.arguments(folder))
        if code == 0:
            return False
        assert code in (-9, 137), f"{injection}: {code} {rehearsal.said}"
        rehearsal.check_nothing_is_lost()
        _check_both_reruns(rehearsal, in_flight)
    except AssertionError as error:
        raise AssertionError(f"after {injection}: {error}") from error
    finally:
        rehearsal.close()
    shutil.rmtree(folder)
    return True


def _check_both_reruns(rehearsal: Rehearsal, in_flight: int) -> None:
    saved = {
        path: path.read_bytes()
        for path in rehearsal.tool.folder.iterdir()
        if path.is_file() and path != rehearsal.books
    }
    books = rehearsal.books.read_bytes()
    rehearsal.check_rerun_with_conflicts(at_most=in_flight)
    for path in rehearsal.tool.folder.iterdir():
        if path.is_file():
            path.unlink()
    for path, data in saved.items():
        path.write_bytes(data)
    rehearsal.sandbox.close()
    rehearsal.books.write_bytes(books)
    rehearsal.check_rerun_with_the_same_ids()
