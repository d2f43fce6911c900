"""The seam between personasync and wherever a state is kept: five words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from personasync.state.entry import Entry, Header, ServiceMoved
from personasync.state.fold import State, fold


@dataclass(frozen=True, slots=True)
class LogContents:
    """What a log holds: its header and its entries in the order they were appended.

    ``notes`` are remarks about what reading it found, such as a torn last line.
    """

    header: Header | None = None
    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def begun(self) -> bool:
        """Whether there is a state at all, be it an empty one."""
        return self.header is not None or bool(self.entries)

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


@dataclass(frozen=True, slots=True)
class Held:
    """That a shared state is held: by whom, as far as is known, and their last sign of life."""

    holder: Holder | None = None
    at: str | None = None


def settled(header: Header, lines: Iterable[Entry | ServiceMoved]) -> tuple[Header, list[Entry]]:
    """Return the entries about audios, and the header with the last word on where the API is."""
    entries = []
    for line in lines:
        if isinstance(line, ServiceMoved):
            header = replace(header, api=line.api)
        else:
            entries.append(line)
    return header, entries


class StateLog(Protocol):
    """A log of entries, wherever it is kept.

    What was rescued when a log could not be written is part of what the next
    reading of it returns, and of what the next lock appends.
    """

    @property
    def location(self) -> str:
        """Where the log is kept, as the user would name it, without secrets."""

    def read(self) -> LogContents:
        """Return all that the log holds; raises ``StateError`` if it cannot be read."""

    def lock(
        self, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> AbstractContextManager[None]:
        """Hold the log against every other writer.

        Waits up to ``timeout`` seconds, after one call of ``on_wait``. Raises
        ``StateLockedError`` when another still holds it.
        """

    def append(self, entries: Sequence[Entry | ServiceMoved]) -> None:
        """Append entries; they are durable when this returns.

        Needs the lock; one thread appends. Raises ``StateWriteError`` if any
        of them may not be durable.
        """

    def compact(self) -> None:
        """Tidy the log up: what is known stays the same, reading it gets cheaper.

        Needs the lock. Raises ``StateWriteError`` if it could not; the log is
        then as it was.
        """


@runtime_checkable
class SelfRescuing(Protocol):
    """What a log may know besides: how to keep entries in its own store when appending fails.

    ``header`` is the log's, as far as it has been read or begun.
    """

    @property
    def header(self) -> Header | None:
        """The header, without touching the store."""

    def rescue(self, entries: Sequence[Entry]) -> str | None:
        """Keep entries beside the log; return where, ``None`` if that cannot be done."""


@runtime_checkable
class SelfChecking(Protocol):
    """What a log may know besides: whether anything but itself has touched what it wrote."""

    def intact(self) -> bool:
        """Whether all that was appended is surely still there; cheaper than reading."""


@runtime_checkable
class Leased(Protocol):
    """What a log may know besides: that it can change under its holder, who is not looking."""

    def confirm(self) -> None:
        """Before something is sent: raise ``StateWriteError`` unless the log is surely ours.

        ``StaleStateError`` where it is not what was read. Cheap while the hold
        is fresh; else it takes as long as renewing it does.
        """
