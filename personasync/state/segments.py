"""A state as immutable segments in an object store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from personasync.model.clock import new_run
from personasync.state import lease
from personasync.state.bucket import READ_SECONDS, Bucket, BucketError, Clock, UnclearError
from personasync.state.codec import encode_entries
from personasync.state.entry import Entry, Header, ServiceMoved
from personasync.state.hold import Beating, Hold
from personasync.state.log import Holder, LogContents
from personasync.state.patient import PatientBucket
from personasync.state.segment_codec import (
    BEGINNING,
    SEGMENTS,
    encode_beginning,
    rescue_name,
)
from personasync.state.segment_reader import SegmentReader
from personasync.state.segment_writer import SegmentWriter, begin_writing
from personasync.state.store_words import begun_already, not_locked, taken_in, telling

_RESCUE_SECONDS: Final = 10.0


class SegmentLog:
    """A shared state in a bucket; it must have been begun.

    ``location`` is the URL, without secrets. ``beating`` keeps a renewal going
    beside the run; without it, whoever drives the log renews its ``hold``.
    """

    def __init__(
        self,
        bucket: Bucket,
        clock: Clock,
        location: str,
        *,
        holder: Callable[[], Holder],
        beating: Beating | None = None,
    ) -> None:
        self.location = location
        self.header: Header | None = None
        self._bucket = PatientBucket(bucket, clock)
        self._reader = SegmentReader(self._bucket, location)
        self._claim = lease.LeaseClaim(self._bucket, location, holder)
        self.hold = Hold(self._claim, clock, location, beating)
        self._writer: SegmentWriter | None = None

    def read(self) -> LogContents:
        """Return all that the log and its rescue objects hold; nothing is written.

        Raises ``StateError`` when the store cannot be reached, holds no state,
        or misses a part of one.
        """
        writer = self._writer
        with telling("read", self.location):
            known = writer.reading if writer is not None and writer.closed is None else None
            reading = known or self._reader.read()
            rescued = [each for kept in self._reader.rescued(reading).values() for each in kept]
        self.header = reading.header
        notes = (*reading.notes, *taken_in(len(rescued), self.location))
        return LogContents(reading.header, (*reading.entries, *rescued), notes)

    @contextmanager
    def lock(
        self, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> Iterator[None]:
        """Hold the state against other writers.

        The store is proved to heed conditions, an empty segment fences every
        earlier writer off, and what was rescued is taken in.
        """
        clock = self._bucket.clock
        with ExitStack() as stack:
            with telling("lock", self.location):
                reading = self._reader.read()  # a state that is damaged is not even locked
                self.header, self._claim.seq = reading.header, reading.seq
                deadline = clock.monotonic() + timeout
                while self._writer is None:  # who is fenced off in the middle waits its turn again
                    stack.close()
                    left = max(deadline - clock.monotonic(), 0.0)
                    stack.enter_context(self.hold.taken(left, on_wait))
                    self._writer = begin_writing(self._bucket, self._reader, self._claim, reading)
            try:
                yield
            finally:
                self._writer = None

    def append(self, entries: Sequence[Entry | ServiceMoved]) -> None:
        """Append entries as one segment; they are durable when this returns."""
        if self._writer is None:
            raise not_locked(self.location)
        self._writer.append(entries)

    def compact(self) -> None:
        """Add a snapshot where the next reading is worth it; nothing is deleted."""
        if self._writer is not None:
            with telling("write a snapshot of", self.location):
                self._writer.compact()

    def confirm(self) -> None:
        """Before something is sent: raise ``StateWriteError`` unless the state is surely ours."""
        if self._writer is not None and self._writer.closed is not None:
            raise self._writer.closed
        self.hold.confirm()

    def rescue(self, entries: Sequence[Entry]) -> str | None:
        """Keep entries beside the log, under a name of their own; ``None`` if that failed."""
        name = rescue_name(next((entry.run for entry in entries if entry.run), None) or new_run())
        try:
            self._bucket.settle(name, encode_entries(entries), _RESCUE_SECONDS)
        except BucketError:
            return None
        return f"{self.location.partition('?')[0]}/{name}"

    def intact(self) -> bool:
        """Whether nobody but this run has written since it took the log."""
        return self._writer is None or self._writer.closed is None

    def verify(self) -> str:
        """Check every object, and say what there is; raises ``StateError``."""
        with telling("read", self.location):
            return self._reader.verify()

    def unlock(self) -> None:
        """Take the state from whoever holds it: they are fenced off, and rescue what they have."""
        with telling("unlock", self.location):
            self.hold.free()
        with self.lock():
            return


def begin(bucket: Bucket, clock: Clock, location: str, header: Header) -> None:
    """Begin a state where none is, once the store has shown that it heeds conditions.

    Raises ``StateError`` if one is there, or the store is no place for one.
    """
    store = PatientBucket(bucket, clock)
    with telling("begin", location):
        store.names(SEGMENTS)  # some make a missing bucket on a put
        if store.get(BEGINNING) is not None:
            raise begun_already(location)
        store.settle(lease.NAME, lease.fresh(0).encode(), READ_SECONDS)
        found = store.get(lease.NAME)
        if found is None:
            raise UnclearError("it does not keep what is put")
        lease.prove(store, location, found)
        if not store.settle(BEGINNING, encode_beginning(header), READ_SECONDS):
            raise begun_already(location)
