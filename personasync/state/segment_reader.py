"""Reading a state of segments: from the newest good snapshot to the end that nothing follows.

A listing is a hint; gets find the end. Each segment names the digest of the
one before it, and the lease remembers an end: so no part can be lost unseen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO

from personasync.model.errors import StateError
from personasync.state import lease
from personasync.state.entry import Entry, Header
from personasync.state.fold import fold
from personasync.state.log import settled
from personasync.state.patient import PatientBucket
from personasync.state.segment_codec import (
    BEGINNING,
    RESCUES,
    SEGMENTS,
    SNAPSHOTS,
    Snapshot,
    decode_audios,
    decode_beginning,
    decode_segment,
    decode_snapshot,
    numbers,
    segment_name,
    snapshot_name,
)
from personasync.state.store_words import no_state


@dataclass(slots=True)
class Reading:
    """How far a log has been read, and what it said until there.

    ``place`` is what errors call the state. ``digest`` is that of the whole
    last segment; ``tail`` and ``tail_entries`` count what came after the newest
    good snapshot.
    """

    place: str
    header: Header
    seq: int = 0
    epoch: int = 0
    digest: str | None = None
    entries: list[Entry] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    tail: int = 0
    tail_entries: int = 0

    def add(self, data: bytes) -> None:
        """Take the next segment in; raises ``StateError`` if it does not belong there."""
        name = segment_name(self.seq + 1)
        try:
            head, entries = decode_segment(data)
        except ValueError as error:
            raise damaged(self.place, name, str(error)) from error
        if head.seq != self.seq + 1:
            raise damaged(self.place, name, f"it says that it is number {head.seq}")
        if head.prev != self.digest:
            before = segment_name(self.seq) if self.seq else "what comes before"
            raise damaged(self.place, before, f"it is not what {name} was written after")
        self.seq += 1
        self.epoch = max(self.epoch, head.epoch)
        self.digest = hashlib.sha256(data).hexdigest()
        self.header, about_audios = settled(self.header, entries)
        self.entries += about_audios
        self.taken.update(head.took)
        self.tail += 1
        self.tail_entries += len(entries)


class SegmentReader:
    """Reads the log in a bucket; writes nothing. ``place`` is what errors call the state.

    Raises ``BucketError`` where the store cannot be reached, and ``StateError``
    where it holds no state, or misses or has changed a part of one.
    """

    def __init__(self, bucket: PatientBucket, place: str) -> None:
        self._bucket = bucket
        self._place = place

    def read(self) -> Reading:
        """Read the whole log."""
        snapshots = self._numbers(SNAPSHOTS)
        found = self._bucket.get(BEGINNING)
        if found is None:
            raise self._no_state(bool(snapshots))
        try:
            header = decode_beginning(found.data)
        except ValueError as error:
            raise damaged(self._place, BEGINNING, str(error)) from error
        # Before the end is looked for: it may know a later one.
        known = self._bucket.get(lease.NAME)
        reading = self._from_snapshot(header, sorted(snapshots, reverse=True))
        self.read_on(reading, max(self._numbers(SEGMENTS), default=0))
        held = lease.decode(known.data) if known else None
        if held is not None and held.seq > reading.seq:
            raise StateError(
                f"the end of the state {self._place} is gone: {segment_name(held.seq)} was"
                f" there, and nothing is behind {segment_name(reading.seq)}",
                hint="put the missing objects back, from the bucket's versions or a copy",
            )
        return reading

    def read_on(self, reading: Reading, listed: int, *, look: bool = True) -> None:
        """Read the segments that were listed, then look for more until one is missing."""
        wanted = range(reading.seq + 1, listed + 1)
        for seq, found in zip(
            wanted, self._bucket.get_many(map(segment_name, wanted)), strict=True
        ):
            if found is None:
                raise StateError(
                    f"the state {self._place} has lost a part of its log: {segment_name(seq)} is"
                    " missing",
                    hint="nothing was changed; put the object back, from the bucket's versions"
                    " or a copy",
                )
            reading.add(found.data)
        while look and (found := self._bucket.get(segment_name(reading.seq + 1))) is not None:
            reading.add(found.data)

    def rescued(self, reading: Reading) -> dict[str, list[Entry]]:
        """Return what was rescued and no segment has taken in, by its names."""
        listed = self._bucket.names(RESCUES)
        names = sorted(name for name in listed if name.endswith(".jsonl"))
        new = [name for name in names if name.removeprefix(RESCUES) not in reading.taken]
        kept = {}
        for name, found in zip(new, self._bucket.get_many(new), strict=True):
            if found is None:
                continue  # a listing that is behind
            try:
                kept[name.removeprefix(RESCUES)] = decode_audios(BytesIO(found.data))
            except ValueError as error:
                raise damaged(self._place, name, str(error)) from error
        return kept

    def verify(self) -> str:
        """Check every segment from the first, and every snapshot against them; say what there is.

        Raises ``StateError`` naming the first object that is not as it should be.
        """
        reading = self.read()  # what anybody would see, the lease's word on the end included
        whole = Reading(self._place, reading.header)
        snapshots = sorted(self._numbers(SNAPSHOTS))
        for seq in snapshots:
            self.read_on(whole, seq, look=False)
            self._check_snapshot(seq, whole)
        self.read_on(whole, reading.seq)
        rescued = sum(map(len, self.rescued(whole).values()))
        return (
            f"{whole.seq} segments with {len(whole.entries)} entries, {len(snapshots)} snapshots,"
            f" {rescued} rescued entries to be taken in"
        )

    def _from_snapshot(self, header: Header, snapshots: Iterable[int]) -> Reading:
        notes = []
        for seq in snapshots:
            try:
                snapshot = self._snapshot(seq)
                if snapshot.seq != seq:
                    raise ValueError(f"it says that it is of segment {snapshot.seq}")
            except ValueError as error:
                notes.append(
                    f"the snapshot {snapshot_name(seq)} of {self._place} is passed over: {error}"
                )
                continue
            return Reading(
                self._place,
                Header(header.lineage, snapshot.api),
                seq=seq,
                epoch=snapshot.epoch,
                digest=snapshot.digest,
                entries=list(snapshot.entries),
                taken=set(snapshot.taken),
                notes=notes,
            )
        return Reading(self._place, header, notes=notes)

    def _check_snapshot(self, seq: int, whole: Reading) -> None:
        try:
            snapshot = self._snapshot(seq)
        except ValueError as error:
            raise damaged(self._place, snapshot_name(seq), str(error)) from error
        same = fold(snapshot.entries) == fold(whole.entries) and snapshot.digest == whole.digest
        if not same or set(snapshot.taken) != whole.taken or snapshot.seq != seq:
            why = "it is not what its segments add up to"
            raise damaged(self._place, snapshot_name(seq), why)

    def _snapshot(self, seq: int) -> Snapshot:
        found = self._bucket.get(snapshot_name(seq))
        if found is None:
            raise ValueError("it is not there")
        return decode_snapshot(found.data)

    def _numbers(self, folder: str) -> list[int]:
        return numbers(folder, self._bucket.names(folder))

    def _no_state(self, leftovers: bool) -> StateError:
        if not leftovers and not self._numbers(SEGMENTS):
            return no_state(self._place)
        return StateError(
            f"the state {self._place} has lost its {BEGINNING}",
            hint="put the object back, from the bucket's versions or a copy",
        )


def damaged(place: str, name: str, why: str) -> StateError:
    """Say that an object is not as it was written."""
    return StateError(
        f"the state {place} is damaged: {name}: {why}",
        hint="nothing was changed; put the object back as it was, from the bucket's versions"
        " or a copy",
    )
