"""The world around the code under test: whatever it would ask of the machine, the box answers."""

from __future__ import annotations

import os
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

from filelock import Timeout

import personasync.api.classify
import personasync.engine.run
import personasync.engine.signals
import personasync.model.clock
import personasync.state.background
import personasync.state.file
import personasync.state.lock
import personasync.state.segment_writer
import personasync.state.shared
from tests.simulation.disk import ROOT, Disk, Files, Node
from tests.simulation.kernel import Kernel, Process
from tests.simulation.threads import queue_of, threading_of

_YEAR = 1_795_000_000.0


class Machine:
    """A computer: a disk, and clocks of its own."""

    def __init__(self, name: str, *, drift: float = 1.0, ahead: float = 0.0) -> None:
        self.name = name
        self.disk = Disk()
        self.drift = drift
        self.ahead = ahead
        """Seconds by which its wall clock is wrong."""
        self.slept = 0.0
        """Seconds that its monotonic clock has missed."""
        home = f"{ROOT}{name}"
        self.disk.folders |= {home, f"{home}/home", f"{home}/team", f"{home}/home/personasync"}
        self.state = f"{home}/team/personas.state.jsonl"


class Box:
    """The machines of one story, and what stands between them and the real world."""

    def __init__(self, kernel: Kernel, machines: dict[str, Machine]) -> None:
        self.kernel = kernel
        self.machines = machines
        self.files = Files(kernel, {name: machine.disk for name, machine in machines.items()})
        self.mailboxes: dict[Process, list[int]] = {}
        self.decided: dict[tuple[Process, str], float] = {}
        """When a process last decided that an audio is asked."""
        self._wakers: dict[Process, Callable[[], None]] = {}

    def signal(self, process: Process, number: int) -> None:
        """Send a signal to a process that listens; ``False`` where it does not yet."""
        if process in self._wakers:
            self.kernel.say(f"{process} gets signal {number}")
            self.mailboxes[process].append(number)
            self._wakers[process]()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Close the box: nothing of what the code does reaches the machine that it runs on."""
        kernel = self.kernel
        threading, queue, clocks = threading_of(kernel), queue_of(kernel), self._clocks()
        instead = {"threading": threading, "SimpleQueue": queue, "time": clocks}
        real = {"threading": sys.modules["threading"], "SimpleQueue": _queue(), "time": time}
        with ExitStack() as stack:
            put = lambda *patch: stack.enter_context(mock.patch.object(*patch))  # noqa: E731
            for module, word in _uses_of(real):
                put(module, word, instead[word])
            put(personasync.engine.run.Mailbox, "now", staticmethod(clocks.monotonic))
            put(personasync.engine.run, "signals", self._signals)
            put(personasync.engine.run.Workers, "ask", self._asking())
            put(personasync.state.segment_writer, "_SNAPSHOT_SEGMENTS", 3)  # days here are short
            put(personasync.engine.run, "_LOOK_SECONDS", 600.0)  # here no signal is overheard
            put(personasync.model.clock, "datetime", self._wall_clock())
            put(personasync.state.lock, "FileLock", self._file_lock())
            put(personasync.state.rescue, "_folders", self._homes)
            put(uuid, "uuid4", lambda: uuid.UUID(int=kernel.chance.getrandbits(128)))
            put(os, "getpid", lambda: kernel.process.number)
            put(sys.modules["fcntl"], "flock", self.files.fcntl_flock)
            before = random.getstate()
            random.seed(kernel.chance.random())
            stack.callback(random.setstate, before)
            stack.enter_context(self.files.in_place())
            yield

    def _asking(self) -> Callable[..., None]:
        ask = personasync.engine.run.Workers.ask

        def asking(workers: Any, request: Any) -> None:
            self.decided[(self.kernel.process, request.audio_id)] = self.kernel.now
            ask(workers, request)

        return asking

    def _machine(self) -> Machine:
        return self.machines[self.kernel.process.machine]

    def _homes(self) -> Iterator[Path]:
        yield Path(f"{ROOT}{self.kernel.process.machine}/home/personasync")

    def _clocks(self) -> Any:
        kernel = self.kernel

        def monotonic() -> float:
            machine = self._machine()
            return kernel.now * machine.drift - machine.slept

        def with_sleep(_clock: int) -> float:
            return kernel.now * self._machine().drift

        return SimpleNamespace(
            monotonic=monotonic,
            perf_counter=monotonic,
            CLOCK_BOOTTIME=7,
            clock_gettime=with_sleep,
            sleep=kernel.sleep,
        )

    def _wall_clock(self) -> type:
        box = self

        class WallClock(datetime):
            @classmethod
            def now(cls, _zone: tzinfo | None = None) -> datetime:  # type: ignore[override]
                wrong = box._machine().ahead
                return datetime.fromtimestamp(_YEAR + box.kernel.now + wrong, UTC)

        return WallClock

    @contextmanager
    def _signals(self, wake: Callable[[], None]) -> Iterator[Callable[[], list[int]]]:
        process = self.kernel.process
        mailbox = self.mailboxes.setdefault(process, [])
        self._wakers[process] = wake

        def arrived() -> list[int]:
            found = list(mailbox)
            mailbox.clear()
            return found

        yield arrived
        self._wakers.pop(process, None)

    def _file_lock(self) -> type:
        box = self

        class FileLock:
            def __init__(self, path: Path, **_options: Any) -> None:
                self._path = str(path)
                self._node: Node | None = None

            def acquire(self, timeout: float = 0.0, **_options: Any) -> None:
                disk = box._machine().disk
                node = disk.names.get(self._path)
                if node is None:
                    node = disk.names[self._path] = Node()
                until = box.kernel.now + timeout
                while True:
                    try:
                        box.files.flock(node, self, wait=False)
                        break
                    except BlockingIOError:
                        if box.kernel.now >= until:
                            raise Timeout(self._path) from None
                        box.kernel.sleep(0.1)
                self._node = node

            def release(self, **_options: Any) -> None:
                if self._node is not None:
                    box.files.release(self._node, self)
                    self._node = None

        return FileLock


def _uses_of(real: Mapping[str, Any]) -> Iterator[tuple[ModuleType, str]]:
    """Yield where the package has something of the real world under its usual name."""
    for name, module in list(sys.modules.items()):
        if name.startswith("personasync."):
            names = vars(module)
            yield from ((module, word) for word in real if names.get(word) is real[word])


def _queue() -> type:
    from queue import SimpleQueue

    return SimpleQueue
