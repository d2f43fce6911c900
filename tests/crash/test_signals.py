"""Interrupted runs: a first and a second signal, and what a cancelled CI job is sent."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import personasync
from personasync.sandbox import SandboxConfig
from personasync.state import FileStateLog, Status
from tests.helpers.sandbox import Sandbox
from tests.helpers.support import Tool
from tests.helpers.waiting import HANG, answers_held, deliver, wait_for

pytestmark = pytest.mark.slow

COUNT = 60
_PACKAGE = f"(?:{re.escape(str(Path(personasync.__file__).parent))}|.*/site-packages/personasync)"
_FRAME = re.compile(rf'^ *File "{_PACKAGE}/(.+)", line \d+, in (.+)$', re.MULTILINE)


class Slow:
    """A sandbox that takes its time, and the command at work on it."""

    def __init__(self, folder: Path, latency: float, count: int = COUNT) -> None:
        self.count = count
        self.tool = Tool(folder)
        self.tool.manifest(count)
        self.sandbox = Sandbox(SandboxConfig(books=folder / "books.db", latency=latency))
        self.sandbox.start()

    def start(self, *args: str, requests: int = 4, **options: Any) -> Any:
        process = self.tool.start(
            "apply",
            "--auto-approve",
            "--rate-limit=none",
            "--parallelism=3",
            *args,
            env={"PERSONASYNC_BASE_URL": self.sandbox.base_url, "PERSONASYNC_API_KEY": "any"},
            **options,
        )
        self.wait_for_requests(requests)
        return process

    def wait_for_requests(self, count: int) -> None:
        wait_for(lambda: self.sandbox.statistics().requests >= count, f"request {count}")

    def statuses(self) -> dict[str, Status]:
        path = self.tool.folder / "personas.state.jsonl"
        entries = FileStateLog(path, api=self.sandbox.base_url).read().fold().entries
        return {audio: entry.status for audio, entry in entries.items()}

    def check_nothing_is_lost(self) -> None:
        made, known = set(self.sandbox.personas()), self.statuses()
        assert made <= set(known)

    def finish(self) -> None:
        """A rerun by hand mends what the interruption left."""
        self.sandbox.close()
        again = SandboxConfig(
            port=self.sandbox.port, books=self.tool.folder / "books.db", repeat="same-id"
        )
        with Sandbox(again) as sandbox:
            env = {"PERSONASYNC_BASE_URL": sandbox.base_url, "PERSONASYNC_API_KEY": "any"}
            args = ("apply", "--auto-approve", "--rate-limit=none")
            assert self.tool(*args, env=env).code == 0
            assert set(self.statuses().values()) == {Status.CREATED}
            assert len(sandbox.personas()) == self.count


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    slow = Slow(tmp_path, latency=0.4)
    yield slow
    slow.sandbox.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_ends_the_run_in_order(
    slow: Slow, number: signal.Signals, code: int
) -> None:
    process = slow.start()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=HANG)
    assert process.returncode == code, stderr.decode()
    statuses = slow.statuses()
    # What was in flight is waited for and recorded; nothing is left in doubt.
    assert set(statuses.values()) == {Status.CREATED}
    assert set(statuses) == set(slow.sandbox.personas())
    created = len(statuses)
    assert f"interrupted by {number.name}" in stdout.decode().lower().replace(
        number.name.lower(), number.name
    )
    assert (
        stdout.decode()
        .rstrip()
        .endswith(
            f"Apply incomplete: {created} created, 0 failed, 0 in conflict, 0 unknown,"
            f" {COUNT - created} not attempted."
        )
    )
    slow.finish()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_leaves_at_once(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    slow = Slow(tmp_path, latency=0)
    with answers_held():
        process = slow.start(requests=3)
        deliver(process, number)
        time.sleep(0.3)
        assert process.poll() is None, "it did not wait for what was in flight"
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=HANG)  # no answer comes before
    assert process.returncode == code, stderr.decode()
    assert (
        stdout.decode()
        .rstrip()
        .endswith(
            "Apply incomplete: 0 created, 0 failed, 0 in conflict, 3 unknown,"
            f" {COUNT - 3} not attempted."
        )
    )
    assert set(slow.statuses().values()) == {Status.PENDING}
    slow.check_nothing_is_lost()
    slow.finish()


def test_a_cancelled_ci_job_loses_nothing(tmp_path: Path) -> None:
    """SIGINT and later SIGTERM, as GitHub cancels a job: what comes before a SIGKILL counts."""
    slow = Slow(tmp_path, latency=0)
    with answers_held() as held:
        held.let(1)
        process = slow.start("--format=json", requests=4)
        deliver(process, signal.SIGINT)
        time.sleep(0.2)
        deliver(process, signal.SIGTERM)
        time.sleep(0.2)
        assert process.poll() is None, "it did not wait for what was in flight"
        held.let()
        stdout, _ = process.communicate(timeout=HANG)
    events = [json.loads(line) for line in stdout.decode().splitlines()]
    assert process.returncode == 130
    assert [len(e["waitingFor"]) for e in events if e["event"] == "stopping"] == [3]
    assert events[-1]["event"] == "run_end"
    assert events[-1]["exitCode"] == 130
    assert (events[-1]["created"], events[-1]["unknown"]) == (4, 0)
    slow.check_nothing_is_lost()
    slow.finish()


def test_signals_at_any_moment_lose_nothing(tmp_path: Path) -> None:
    for step in range(12):
        folder = tmp_path / str(step)
        folder.mkdir()
        slow = Slow(folder, latency=0.05, count=12)
        try:
            process = slow.tool.start(
                "apply",
                "--auto-approve",
                "--rate-limit=none",
                env={"PERSONASYNC_BASE_URL": slow.sandbox.base_url, "PERSONASYNC_API_KEY": "any"},
            )
            time.sleep(step * 0.05)
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=HANG)
            said = stderr.decode()
            if "Traceback" not in said:
                # Before there are handlers, the signal itself ends the process.
                assert process.returncode in (0, 130, 143, -2, -15), said
            else:
                assert _was_loading_python(said), said
                assert process.returncode in (1, -2, -15), said
                # The SIGTERM may have cut the traceback short.
                assert said.endswith("KeyboardInterrupt\n") or process.returncode == -15, said
            slow.check_nothing_is_lost()
            slow.finish()
        finally:
            slow.sandbox.close()


def _was_loading_python(said: str) -> bool:
    """Whether a traceback is from before ``run``, when nothing of ours could have prevented it."""
    return set(_FRAME.findall(said)) <= {("__init__.py", "<module>"), ("__main__.py", "<module>")}


def test_ctrl_c_on_a_terminal(slow: Slow) -> None:
    ours, theirs = pty.openpty()
    try:
        process = slow.start(
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=_own_tty
        )
        os.close(theirs)
        os.write(ours, b"\x03")
        shown = _read_all(ours)
        assert process.wait(HANG) == 130
    finally:
        os.close(ours)
    assert "Apply incomplete:" in shown
    assert set(slow.statuses().values()) == {Status.CREATED}
    slow.finish()


def _own_tty() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read_all(descriptor: int) -> str:
    shown = b""
    while True:
        try:
            data = os.read(descriptor, 4096)
        except OSError:
            return shown.decode("utf-8", "replace")
        if not data:
            return shown.decode("utf-8", "replace")
        shown += data
