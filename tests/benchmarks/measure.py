"""Whole processes, measured from outside: time, peak memory and bytes written, as the OS counts."""

from __future__ import annotations

import os
import pty
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any


class CommandFailed(Exception):
    """A command did not end with the exit code that it should."""


@dataclass(frozen=True)
class Run:
    """One run of a command: seconds, the peak in KiB, and the bytes it wrote besides its output.

    ``written`` is ``None`` where the system does not count them. A peak is
    never below that of the process that measures, which is therefore kept small.
    """

    wall: float
    cpu: float
    peak: float
    written: int | None
    stdout: str


@dataclass(frozen=True)
class Command:
    """A command and where it runs; ``before`` puts its folder back as it was for each run.

    ``terminal`` gives it one as its stderr.
    """

    args: Sequence[str]
    folder: Path
    env: Mapping[str, str]
    before: Callable[[], None] = lambda: None
    terminal: bool = False

    def run(self) -> Run:
        """Run it once; raises ``CommandFailed`` unless it exits 0."""
        self.before()
        if self.terminal:
            with _terminal() as stderr:
                return _run(self, stderr)
        with tempfile.TemporaryFile() as file:  # no pipe, which could fill up
            try:
                run = _run(self, file.fileno())
            except CommandFailed as error:
                file.seek(0)
                words = file.read().decode(errors="replace")[-500:]
                raise CommandFailed(f"{error}: {words}") from None
            complained = file.tell()
        return run if run.written is None else replace(run, written=run.written - complained)


def _run(command: Command, stderr: int) -> Run:
    started = time.perf_counter()
    process = subprocess.Popen(
        command.args,
        cwd=command.folder,
        env=command.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )
    with process.stdout as stdout:
        said = stdout.read()
    written = _written(process.pid, len(said))
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise CommandFailed(f"{' '.join(command.args)} exited {process.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    return Run(wall, cpu, float(usage.ru_maxrss), written, said.decode())


def _written(pid: int, said: int) -> int | None:
    """Wait for a process to end and return what it wrote, without what it said on stdout."""
    if not hasattr(os, "waitid"):
        return None
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # the count is there until it is reaped
    try:
        counts = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    except OSError:
        return None
    return int(dict(line.split(": ") for line in counts.splitlines())["wchar"]) - said


@contextmanager
def _terminal() -> Iterator[int]:
    """Yield a terminal that takes in whatever is shown."""
    ours, theirs = pty.openpty()
    reader = threading.Thread(target=_drain, args=(ours,), daemon=True)
    reader.start()
    try:
        yield theirs
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 65536):
            pass
    except OSError:  # how Linux says that the other end is closed
        return


def in_turn(rounds: int, *commands: Command) -> list[list[Run]]:
    """Run the commands in turn (A B A B …); several rounds come after one that is not counted."""
    if rounds > 1:
        for command in commands:
            command.run()
    runs = [[command.run() for command in commands] for _ in range(rounds)]
    return [list(each) for each in zip(*runs, strict=True)]


def middle(runs: Sequence[Run], figure: str) -> float:
    """Return the median of a figure."""
    return float(median(getattr(run, figure) for run in runs))


def ratio(ours: Sequence[Run], others: Sequence[Run], figure: str) -> float:
    """Return the median of the ratios, pair by pair: what slows the machine slows both."""
    pairs = zip(ours, others, strict=True)
    values: list[Any] = [getattr(a, figure) / getattr(b, figure) for a, b in pairs]
    return float(median(values))
