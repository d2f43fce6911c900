"""The same calls fail: no space, a broken disk, an interruption."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.crash.rehearsal import STRACE, Injection, Rehearsal, points

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(STRACE is None, reason="strace is not installed"),
]

DISK = ("write", "fsync", "rename", "link", "ftruncate")


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EINTR"])
def test_a_failing_call_loses_nothing(tmp_path: Path, error: str) -> None:
    """One call fails, once: whatever comes of it, the promise holds and a rerun mends it."""
    hit = 0
    for number, (call, when) in enumerate(_disk_points(tmp_path)):
        injection = Injection(call, f"error={error}", str(when))
        hit += _fail_and_check(tmp_path / str(number), injection)
    assert hit >= 15, "too few failures hit"


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EROFS", "EDQUOT"])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_state_that_stays_unwritable_loses_nothing(tmp_path: Path, error: str, call: str) -> None:
    """From the n-th call about the state on, every one fails."""
    for when in range(1, 5):
        injection = Injection(call, f"error={error}", f"{when}+", path="personas.state.jsonl")
        _fail_and_check(tmp_path / str(when), injection)


def _disk_points(tmp_path: Path) -> Any:
    folder = tmp_path / "untouched"
    folder.mkdir()
    rehearsal = Rehearsal(folder)
    try:
        counts = rehearsal.calls("--parallelism=3")
    finally:
        rehearsal.close()
    return [(call, when) for call, when in points(counts) if call in DISK]


def _fail_and_check(folder: Path, injection: Injection) -> bool:
    folder.mkdir()
    rehearsal = Rehearsal(folder)
    try:
        code = rehearsal.run("--parallelism=3", strace=injection.arguments(folder))
        assert code in (0, 1, 3), rehearsal.said
        if code != 0:
            assert "Error" in rehearsal.said or "Apply incomplete" in rehearsal.said
        rehearsal.check_nothing_is_lost()
        _check_no_id_is_in_doubt(rehearsal)
        rehearsal.check_rerun_with_conflicts(at_most=0)
        assert rehearsal.recorded() == rehearsal.made()
        assert not list(folder.glob("*.rescue"))
    except AssertionError as error:
        raise AssertionError(f"after {injection}: {error}\n{rehearsal.said}") from error
    finally:
        rehearsal.close()
    hit = "(INJECTED)" in (folder / "trace.txt").read_text()
    shutil.rmtree(folder)
    return hit


def _check_no_id_is_in_doubt(rehearsal: Rehearsal) -> None:
    """A failing disk is no kill: every ID that arrived is kept, in the state or a rescue file."""
    assert rehearsal.recorded() == rehearsal.made()
