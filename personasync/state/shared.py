"""A state that several machines share: what every store's log has in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from personasync.model.errors import StateError
from personasync.model.spelling import plural
from personasync.state.entry import Entry, Header, ServiceMoved
from personasync.state.hold import Hold
from personasync.state.log import (
    Holder,
    Leased,
    LogContents,
    SelfChecking,
    SelfRescuing,
    StateLog,
)
from personasync.state.rescue import RescueFile, remove, rescued, rescued_entries


class Store(StateLog, SelfRescuing, SelfChecking, Leased, Protocol):
    """A log in a store that others write to as well."""

    @property
    def hold(self) -> Hold:
        """This run's hold on it, and who else has one."""

    def verify(self) -> str:
        """Check all that is there; say what there is, or raise ``StateError``."""

    def unlock(self) -> None:
        """Take the log from whoever holds it; raises ``StateError``."""


class SharedLog:
    """A log in a store, with what a run on this machine could not bring there.

    ``location`` is its URL, without secrets; ``api`` is the base in use: a
    state that belongs to another is refused.
    """

    def __init__(self, store: Store, *, api: str | None) -> None:
        self.store = store
        self.location = store.location
        self._api = api
        self._mended: tuple[str, ...] = ()

    @property
    def header(self) -> Header | None:
        """The header, as far as it has been read."""
        return self.store.header

    def read(self) -> LogContents:
        """Return all that the store holds, and what was rescued from it to this machine."""
        contents, new, _files = self._read()
        notes = (*self._mended, *contents.notes, *_notes(len(new), self.location))
        return LogContents(contents.header, (*contents.entries, *new), notes)

    @contextmanager
    def lock(
        self, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> Iterator[None]:
        """Hold the store against other writers, and first take in what was rescued."""
        with self.store.lock(timeout=timeout, on_wait=on_wait):
            _contents, new, files = self._read()
            if new:
                self.store.append(new)
            remove(files)
            self._mended = tuple(_notes(len(new), self.location))
            yield

    def append(self, entries: Sequence[Entry | ServiceMoved]) -> None:
        """Append entries; they are durable in the store when this returns."""
        self.store.append(entries)

    def compact(self) -> None:
        """Let the next reading be cheaper; nothing is deleted."""
        self.store.compact()

    def confirm(self) -> None:
        """Before something is sent: raise ``StateWriteError`` unless the log is surely ours."""
        self.store.confirm()

    def rescue(self, entries: Sequence[Entry]) -> str | None:
        """Keep entries in the same store; ``None`` if that failed."""
        return self.store.rescue(entries)

    def intact(self) -> bool:
        """Whether nobody but this run has written since it took the log."""
        return self.store.intact()

    def _read(self) -> tuple[LogContents, list[Entry], list[RescueFile]]:
        """Read the store; what was rescued on this machine and is news to it, and all its files."""
        contents = self.store.read()
        if contents.header is not None and self._api not in (None, contents.header.api):
            raise StateError(
                f"the state {self.location} holds IDs of {contents.header.api},"
                f" but the API in use is {self._api}",
                hint="IDs of one API mean nothing to another: use that API, or keep a state"
                " for each",
            )
        files = list(rescued(self.location, contents.header))
        return contents, rescued_entries(contents.entries, files), files


def _notes(count: int, location: str) -> Iterator[str]:
    if count:
        were = plural(count, "entry was", "entries were")
        yield f"{count} rescued {were} found on this machine and taken in to {location}"
