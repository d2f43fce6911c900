"""The world around the code under test: whatever it would ask of the machine, the box answers."""

from __future__ import annotations

import os
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from functools import cache, lru_cache
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from filelock import Timeout

import personasync.api.classify
import personasync.engine.run
import personasync.engine.signals
import personasync.model.clock
import personasync.state.background
import personasync.state.file
import personasync.state.lock
import personasync.state.parse
import personasync.state.postgres
import personasync.state.postgres_rows
import personasync.state.segment_codec
import personasync.state.segment_reader
import personasync.state.segment_writer
import personasync.state.shared
import tests.simulation.service
from personasync.engine.messages import Answer
from personasync.state.log import Holder
from tests.simulation.disk import ROOT, Disk, Files, Node
from tests.simulation.kernel import Kernel, Process
from tests.simulation.threads import TICK, LockOfEach, queue_of, threading_of

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
        self.sent: dict[Process, list[int]] = {}
        self.decided: dict[tuple[Process, str], float] = {}
        """When a process last decided that an audio is asked."""
        self.on_decision: Callable[[Process, str], None] = lambda _process, _audio: None
        self.on_hearing: Callable[[Process, str, Any], None] = lambda _process, _audio, _what: None
        self._wakers: dict[Process, Callable[[], None]] = {}

    def signal(self, process: Process, number: int) -> None:
        """Send a signal to a process that listens; ``False`` where it does not yet."""
        if process in self._wakers:
            self.kernel.say(f"{process} gets signal {number}")
            self.mailboxes[process].append(number)
            self.sent.setdefault(process, []).append(number)
            self._wakers[process]()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Close the box: nothing of what the code does reaches the machine that it runs on."""
        instead = [*self._instead(), *self.files.calls(), *_REMEMBERED]
        real = [(where, name, vars(where)[name]) for where, name, _ in instead]
        before = random.getstate()
        random.seed(self.kernel.chance.random())
        try:
            for where, name, what in instead:
                setattr(where, name, what)
            yield
        finally:
            random.setstate(before)
            for where, name, what in reversed(real):
                setattr(where, name, what)

    def _instead(self) -> Iterator[tuple[Any, str, Any]]:
        """Yield where the code would reach out of the box, and what it finds instead."""
        kernel, run, clocks = self.kernel, personasync.engine.run, self._clocks()
        own = {
            "threading": threading_of(kernel),
            "SimpleQueue": queue_of(kernel),
            "time": clocks,
        }
        for module, word in _uses(len(sys.modules)):
            yield module, word, own[word]
        yield run.Mailbox, "now", staticmethod(clocks.monotonic)
        yield run, "signals", self._signals
        yield run.Workers, "ask", self._asking()
        yield run.Mailbox, "receive", self._receiving()
        yield personasync.state.segment_writer, "_SNAPSHOT_SEGMENTS", 3  # days here are short
        yield run, "_LOOK_SECONDS", 600.0  # here no signal is overheard
        yield personasync.model.clock, "datetime", self._wall_clock()
        yield personasync.state.lock, "FileLock", self._file_lock()
        yield personasync.state.lock, "_POLL_SECONDS", 1.0  # nor is anybody impatient
        yield personasync.state.lock, "this_holder", self.holder
        yield personasync.state.rescue, "_folders", self._homes
        yield personasync.state.rescue, "_ONE_AT_A_TIME", LockOfEach(kernel, own["threading"])
        yield uuid, "uuid4", lambda: uuid.UUID(int=kernel.chance.getrandbits(128))
        yield os, "getpid", lambda: kernel.process.number
        yield sys.modules["fcntl"], "flock", self.files.fcntl_flock

    def _asking(self) -> Callable[..., None]:
        ask = personasync.engine.run.Workers.ask

        def asking(workers: Any, request: Any) -> None:
            self.decided[(self.kernel.process, request.audio_id)] = self.kernel.now
            self.on_decision(self.kernel.process, request.audio_id)
            ask(workers, request)

        return asking

    def _receiving(self) -> Callable[..., Any]:
        receive = personasync.engine.run.Mailbox.receive

        def receiving(mailbox: Any, until: float) -> Any:
            messages = receive(mailbox, until)
            for message in messages:
                if isinstance(message, Answer):
                    self.on_hearing(self.kernel.process, message.audio_id, message.outcome)
            return messages

        return receiving

    def holder(self) -> Holder:
        """Say who is running, as whoever holds a state does."""
        process = self.kernel.process
        return Holder("somebody", process.machine, process.number, process.name, "today")

    def _machine(self) -> Machine:
        return self.machines[self.kernel.process.machine]

    def _homes(self) -> Iterator[Path]:
        yield Path(f"{ROOT}{self.kernel.process.machine}/home/personasync")

    def _clocks(self) -> Any:
        kernel, machines = self.kernel, self.machines

        def monotonic() -> float:
            machine = machines[kernel.process.machine]
            return kernel.now * machine.drift - machine.slept

        def with_sleep(_clock: int) -> float:
            return kernel.now * self._machine().drift

        return SimpleNamespace(
            monotonic=monotonic,
            perf_counter=monotonic,
            CLOCK_BOOTTIME=7,
            clock_gettime=with_sleep,
            sleep=lambda seconds: kernel.sleep(max(seconds, TICK)),
        )

    def _wall_clock(self) -> type:
        box = self

        class WallClock(datetime):
            @classmethod
            def now(cls, _zone: tzinfo | None = None) -> Any:
                wrong = box._machine().ahead
                return _second(int(_YEAR + box.kernel.now + wrong))

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


class _Second(datetime):
    """A moment that is written again and again, always in the same way."""

    strftime = lru_cache(10_000)(datetime.strftime)


@lru_cache(10_000)
def _second(since: int) -> datetime:
    return _Second.fromtimestamp(since, UTC)


_REAL: Final = {"threading": sys.modules["threading"], "SimpleQueue": SimpleQueue, "time": time}


@cache
def _uses(_modules: int) -> tuple[tuple[ModuleType, str], ...]:
    """Return where the package has something of the real world under its usual name."""
    return tuple(
        (module, word)
        for name, module in list(sys.modules.items())
        for word, real in _REAL.items()
        if name.startswith("personasync.") and vars(module).get(word) is real
    )


_REMEMBERED: Final = tuple(
    (where, word, lru_cache(10_000)(getattr(where, word)))
    for where, word in (
        (personasync.state.parse, "decode_line"),
        (personasync.state.postgres_rows, "decode_line"),
        (personasync.state.segment_codec, "decode_line"),
        (personasync.state.segment_reader, "decode_segment"),
        (personasync.state.segment_reader, "decode_beginning"),
        (personasync.state.lease, "decode"),
        (personasync.state.lease, "asdict"),
        (personasync.state.lock, "asdict"),
        (personasync.state.postgres, "asdict"),
        (tests.simulation.service, "classify"),
    )
)
"""What bytes mean never changes: the real code reads (or writes) the same ones once."""
