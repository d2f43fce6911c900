"""PostgreSQL as far as its promise goes: a transaction is done whole, or not at all.

A connection may be lost before the server has read what was sent, or after it has committed;
and what nobody waits for any more may commit late.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from personasync.state import postgres_rows
from personasync.state.bucket import RefusedError, UnclearError
from personasync.state.entry import Header
from personasync.state.hold import SECONDS
from tests.simulation.kernel import Kernel, Process

_Answer = list[list[tuple[Any, ...]]]


@dataclass(slots=True)
class _Row:
    batch: object
    entry: str


@dataclass(slots=True)
class Tables:
    """What the server keeps, whoever asks; ``trouble`` is how likely a call is to go wrong."""

    kernel: Kernel
    trouble: float = 0.0
    header: Header | None = None
    epoch: int = 0
    holder: str | None = None
    lease_until: float | None = None
    log: list[_Row] = field(default_factory=list)
    rescue: dict[str, tuple[float, str]] = field(default_factory=dict)
    """By name: when it came, and its entry."""

    def holder_now(self) -> str | None:
        """Return which process has the state, as the server knows it."""
        held = postgres_rows.holder_of(self.holder)
        return held.command if held else None

    def durable(self) -> list[bytes]:
        """Return all that is kept."""
        return self.readable(float("inf"))

    def readable(self, since: float) -> list[bytes]:
        """Return what a run that began then could know."""
        rescued = (text for born, text in self.rescue.values() if born < since)
        return [text.encode() for text in (*(row.entry for row in self.log), *rescued)]

    def answer(self, statement: str, values: Mapping[str, Any]) -> _Answer:
        """Carry out one transaction."""
        return _ANSWERS[statement](self, values)

    def begin(self, values: Mapping[str, Any]) -> _Answer:
        assert self.header is None
        self.header = Header(values["lineage"], values["api"])
        return [[(1,)]]

    def read(self, values: Mapping[str, Any]) -> _Answer:
        assert self.header is not None
        head = (self.header.lineage, self.header.api, len(self.log), postgres_rows.LAYOUT)
        rows = [(number, row.entry) for number, row in enumerate(self.log, start=1)]
        return [[head], rows, *self.rescued(values)]

    def rescued(self, _values: Mapping[str, Any]) -> _Answer:
        there = {str(row.batch) for row in self.log}
        waiting = sorted((born, name, text) for name, (born, text) in self.rescue.items())
        new = [w for w in waiting if str(postgres_rows.batch_of(w[1])) not in there]
        return [[(name, text) for _born, name, text in new]]

    def take(self, values: Mapping[str, Any]) -> _Answer:
        free = self.lease_until is None or self.lease_until < self.kernel.now
        if free:
            self.epoch += 1
            self.holder = values["holder"]
            self._renew()
        row = (self.holder, None, self.epoch, len(self.log), postgres_rows.LAYOUT)
        return [[row]]

    def renew(self, values: Mapping[str, Any]) -> _Answer:
        if values["epoch"] != self.epoch:
            return [[]]
        self._renew()
        return [[(1,)]]

    def release(self, values: Mapping[str, Any]) -> _Answer:
        if values["epoch"] != self.epoch:
            return [[]]
        self.holder = self.lease_until = None
        return [[(1,)]]

    def append(self, values: Mapping[str, Any]) -> _Answer:
        fits = values["epoch"] == self.epoch and values["expected"] == len(self.log)
        if fits:
            self.log += [_Row(values["batch"], text) for text in values["entries"]]
        added = sum(row.batch == values["batch"] for row in self.log)
        return [[(int(fits),)], [(added,)]]

    def keep(self, values: Mapping[str, Any]) -> _Answer:
        for name, text in zip(values["names"], values["entries"], strict=True):
            self.rescue.setdefault(name, (self.kernel.now, text))
        return []

    def _renew(self) -> None:
        self.lease_until = self.kernel.now + SECONDS


_ANSWERS: dict[str, Callable[[Tables, Mapping[str, Any]], _Answer]] = {
    postgres_rows.BEGIN: Tables.begin,
    postgres_rows.READ: Tables.read,
    postgres_rows.RESCUED: Tables.rescued,
    postgres_rows.TAKE: Tables.take,
    postgres_rows.RENEW: Tables.renew,
    postgres_rows.RELEASE: Tables.release,
    postgres_rows.APPEND: Tables.append,
    postgres_rows.RESCUE: Tables.keep,
}


class SimulatedDatabase:
    """The server as a process reaches it."""

    def __init__(self, tables: Tables, ether: Process) -> None:
        self._tables = tables
        self._kernel = tables.kernel
        self._ether = ether
        """Carries what is done after nobody waits for it any more."""

    def run(self, statements: str, values: Mapping[str, Any], **_options: object) -> _Answer:
        """Send a transaction, and wait for its answer."""
        kernel, chance = self._kernel, self._kernel.chance
        what = _ANSWERS[statements].__name__
        kernel.step(f"send {what}", chance.uniform(0.001, 0.01))
        if not kernel.calm and chance.random() < self._tables.trouble:
            self._go_wrong(what, lambda: self._tables.answer(statements, values))
        answer = self._tables.answer(statements, values)
        kernel.step(f"answer to {what}", chance.uniform(0.001, 0.01))
        return answer

    def connected(self) -> AbstractContextManager[None]:
        """Nothing of a connection matters."""
        return nullcontext()

    def _go_wrong(self, what: str, commit: Callable[[], object]) -> None:
        match self._kernel.chance.choice(
            ["lost before", "lost behind", "late", "late", "slow", "no"]
        ):
            case "lost before":
                raise UnclearError("the connection is gone")
            case "lost behind":
                commit()
                raise UnclearError("the server closed the connection unexpectedly")
            case "late":
                wait = self._kernel.chance.choice([0.2, 3.0, 40.0])
                self._kernel.start(self._ether, lambda: self._later(what, commit, wait))
                raise UnclearError("it does not answer in time")
            case "slow":
                self._kernel.sleep(self._kernel.chance.choice([3.0, 20.0]))
            case _ if self._kernel.chance.random() < 0.2:
                raise RefusedError("permission denied")

    def _later(self, what: str, commit: Callable[[], object], wait: float) -> None:
        self._kernel.sleep(wait)
        self._kernel.say(f"late, {what} is committed")
        commit()
