"""Appending to a state of segments.

The log is its own fence: a segment is created only where none is, so a writer
that was paused finds its number taken. Nothing is ever deleted: a late append
could else land in the hole, where no reading would look for it.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from typing import Final

from personasync.model.clock import new_run
from personasync.model.errors import StateWriteError
from personasync.state.bucket import RefusedError, UnclearError
from personasync.state.entry import Entry, ServiceMoved
from personasync.state.fold import compacted
from personasync.state.lease import LeaseClaim
from personasync.state.patient import PatientBucket
from personasync.state.segment_codec import (
    Head,
    Snapshot,
    encode_segment,
    encode_snapshot,
    segment_name,
    snapshot_name,
)
from personasync.state.segment_reader import Reading, SegmentReader
from personasync.state.store_words import fenced_off, not_written, taken_in

APPEND_SECONDS: Final = 60.0
"""So long is one append tried before its entries go to the rescue."""
_SNAPSHOT_SEGMENTS: Final = 64
_SNAPSHOT_ENTRIES: Final = 1000
_MANY_SEGMENTS: Final = 1000


def begin_writing(
    bucket: PatientBucket, reader: SegmentReader, claim: LeaseClaim, reading: Reading
) -> SegmentWriter | None:
    """Return who may append from now on; ``None`` if another has fenced it off already.

    Raises ``StateError`` where the store does not heed conditions.
    """
    claim.prove()
    # What the lease knows of must be there: no fence may fill the hole that a loss has left.
    reader.read_on(reading, claim.seq, look=False)
    writer = SegmentWriter(bucket, reading, claim)
    return writer if writer.fence(reader) else None


class SegmentWriter:
    """Who appends after what has been read, once every earlier writer is fenced off.

    ``closed`` is why it appends nothing more. The ``claim`` gets to know how
    far the log has come.
    """

    def __init__(self, bucket: PatientBucket, reading: Reading, claim: LeaseClaim) -> None:
        self.reading = reading
        self.closed: StateWriteError | None = None
        self._bucket = bucket
        self._run = new_run()
        self._claim = claim
        self._one_at_a_time = threading.Lock()

    def fence(self, reader: SegmentReader) -> bool:
        """Fence every earlier writer off, and take in what was rescued.

        False if another has fenced this one off meanwhile.
        """
        reading = self.reading
        reading.epoch += 1
        while not self._create_next():
            reader.read_on(reading, 0)
            reading.epoch += 1
        rescued = reader.rescued(reading)
        if rescued:
            entries = [entry for kept in rescued.values() for entry in kept]
            if not self._create_next(entries, took=tuple(rescued)):
                return False
            reading.notes += taken_in(len(entries), reading.place)
        if reading.tail >= _MANY_SEGMENTS:
            self._put_snapshot()
        return True

    def append(self, entries: Sequence[Entry | ServiceMoved]) -> None:
        """Append entries as one segment; they are durable when this returns."""
        place = self.reading.place
        with self._one_at_a_time:
            if self.closed is not None:
                raise self.closed
            try:
                mine = self._create_next(entries)
            except RefusedError as error:
                raise not_written(place, error) from error
            except UnclearError as error:
                # The put may still land, and the next one would meet it: so there is no next one.
                self.closed = not_written(place, error)
                raise self.closed from error
            if not mine:
                self.closed = fenced_off(place)
                raise self.closed

    def compact(self) -> None:
        """Add a snapshot where the next reading is worth it: much has come since the last."""
        reading = self.reading
        if reading.tail >= _SNAPSHOT_SEGMENTS or reading.tail_entries >= max(
            _SNAPSHOT_ENTRIES, len(reading.entries) / 4
        ):
            self._put_snapshot()

    def _create_next(
        self, entries: Sequence[Entry | ServiceMoved] = (), took: tuple[str, ...] = ()
    ) -> bool:
        """Create the next segment; false if another has its number."""
        reading = self.reading
        head = Head(
            seq=reading.seq + 1,
            epoch=reading.epoch,
            run=self._run,
            id=uuid.uuid4().hex,
            prev=reading.digest,
            n=len(entries),
            took=took,
        )
        data = encode_segment(head, entries)
        if not self._bucket.settle(segment_name(head.seq), data, APPEND_SECONDS):
            return False
        reading.add(data)
        self._claim.seq = reading.seq
        return True

    def _put_snapshot(self) -> None:
        reading = self.reading
        snapshot = Snapshot(
            reading.seq,
            reading.epoch,
            reading.digest,
            reading.header.api,
            tuple(sorted(reading.taken)),
            tuple(compacted(reading.entries)),
        )
        data = encode_snapshot(snapshot)
        self._bucket.settle(snapshot_name(reading.seq), data, APPEND_SECONDS)
        reading.tail = reading.tail_entries = 0
