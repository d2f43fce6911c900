"""The seam between personasync and wherever a state is kept (design.md §4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from personasync.state.entry import Entry, Header
from personasync.state.fold import State, fold


@dataclass(frozen=True, slots=True)
class LogContents:
    """What a log holds: its header and its entries in the order they were appended.

    ``notes`` are remarks about what reading it found, such as a torn last line.
    """

    header: Header | None = None
    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()

    def fold(self) -> State:
        """Return the state that the entries add up to."""
        return State(self.header, fold(self.entries))


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a state: shown to whoever waits for it. ``since`` is a UTC time (RFC 3339)."""

    user: str
    host: str
    pid: int
    command: str
    since: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}, pid {self.pid}, {self.command}, since {self.since}"


class StateLog(Protocol):
    """A log of entries, wherever it is kept."""

    @property
    def location(self) -> str:
        """Where the log is kept, as the user would name it."""

    def read(self) -> LogContents:
        """Return all that the log holds; raises ``StateError`` if it cannot be read."""

    def lock(
        self, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> AbstractContextManager[None]:
        """Hold the log against every other writer.

        Waits up to ``timeout`` seconds, after one call of ``on_wait``. Raises
        ``StateLockedError`` when another still holds it.
        """

    def append(self, entries: Sequence[Entry]) -> None:
        """Append entries; they are durable when this returns.

        Needs the lock. Safe to call from several threads. Raises
        ``StateWriteError`` if any of them may not be durable.
        """

    def rescue(self, entries: Sequence[Entry]) -> str | None:
        """Keep entries that could not be appended somewhere else; ``None`` if nowhere could.

        Returns where they are kept. The next reading takes them in by itself.
        """

    def missing(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return those entries of this run's whose IDs the log, whatever befell it, has lost."""

    def compact(self) -> None:
        """Rewrite the log as one entry an audio, sorted by key, atomically.

        Needs the lock. Raises ``StateWriteError`` if it could not; the log is
        then as it was.
        """
