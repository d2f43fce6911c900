"""A state as immutable segments in an object store.

    personasync.json                        what the state is; never rewritten
    lock.json                               the lease; the only object ever rewritten
    log/00000000000000000001.jsonl          a segment: a line about itself, then entries
    snapshots/00000000000000000512.jsonl.gz a cache of segments 1 to 512
    rescue/<run>-<nonce>.jsonl              what could not be appended

The log is its own fence: a segment is created only where none is, so a writer
that was paused finds its number taken. Nothing is ever deleted: a late append
could else land in the hole, where no reading would look for it. A listing is a
hint, gets find the end.
"""

from __future__ import annotations

import hashlib
import re
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final, NoReturn

from personasync.model.clock import new_run
from personasync.model.errors import NoStateError, StateError, StateWriteError
from personasync.model.steps import Command, NextStep
from personasync.state import lease
from personasync.state.background import at_last
from personasync.state.bucket import (
    Bucket,
    BucketError,
    Clock,
    Found,
    RefusedError,
    UnclearError,
    patiently,
)
from personasync.state.entry import Entry, Header, Moved
from personasync.state.fold import compacted, fold
from personasync.state.log import Holder, LogContents, settled
from personasync.state.segment_codec import (
    Head,
    Snapshot,
    decode_audios,
    decode_beginning,
    decode_segment,
    decode_snapshot,
    encode_beginning,
    encode_entries,
    encode_segment,
    encode_snapshot,
)

BEGINNING: Final = "personasync.json"
APPEND_SECONDS: Final = 60.0
"""So long is one append tried before its entries go to the rescue."""
_RESCUE_SECONDS: Final = 10.0
_SEGMENT: Final = re.compile(r"log/(\d{20})\.jsonl")
_SNAPSHOT: Final = re.compile(r"snapshots/(\d{20})\.jsonl\.gz")
_SNAPSHOT_SEGMENTS: Final = 64
_SNAPSHOT_ENTRIES: Final = 1000
_MANY_SEGMENTS: Final = 1000


def segment_name(seq: int) -> str:
    """Return the name of a segment."""
    return f"log/{seq:020}.jsonl"


def snapshot_name(seq: int) -> str:
    """Return the name of the snapshot of all segments up to this one."""
    return f"snapshots/{seq:020}.jsonl.gz"


@dataclass(slots=True)
class _Reading:
    """How far a log has been read, and what it said until there.

    ``digest`` is that of the whole last segment; ``tail`` and ``tail_entries``
    count what came after the newest good snapshot.
    """

    header: Header
    seq: int = 0
    epoch: int = 0
    digest: str | None = None
    entries: list[Entry] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    tail: int = 0
    tail_entries: int = 0


class SegmentLog:
    """A shared state in a bucket; it must have been begun.

    ``beating`` keeps a renewal going beside the run for as long as its context
    lasts; without it, whoever drives the log renews.
    """

    def __init__(
        self,
        bucket: Bucket,
        clock: Clock,
        location: str,
        *,
        holder: Callable[[], Holder],
        beating: Callable[[Callable[[], None]], AbstractContextManager[object]] | None = None,
    ) -> None:
        self._bucket = bucket
        self._clock = clock
        self._location = location
        self._holder = holder
        self._beating = beating or (lambda _renew: nullcontext())
        self._hold = lease.LeaseHold(bucket, clock, location)
        self._held: _Reading | None = None
        self._closed: StateWriteError | None = None
        self._run = ""
        self.header: Header | None = None
        self._writing = threading.Lock()

    @property
    def location(self) -> str:
        """The URL, without secrets."""
        return self._location

    def read(self) -> LogContents:
        """Return all that the log and its rescue objects hold; nothing is written.

        Raises ``StateError`` when the store cannot be reached, holds no state,
        or misses a part of one.
        """
        with self._telling("read"):
            reading = self._held if self._held and self.intact() else self._read()
            rescued = [entry for _name, entries in self._rescued(reading) for entry in entries]
            notes = list(reading.notes)
            if rescued:
                notes.append(f"{_entries(len(rescued))} rescued beside {self._location} taken in")
            return LogContents(reading.header, (*reading.entries, *rescued), tuple(notes))

    @contextmanager
    def lock(
        self, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> Iterator[None]:
        """Hold the state against other writers.

        The store is proved to heed conditions, an empty segment fences every
        earlier writer off, and what was rescued is taken in.
        """
        with self._telling("lock"):
            reading = self._read()  # a state that is damaged is not even locked
            self._hold.seq = reading.seq
            self._acquire(reading, self._clock.monotonic() + timeout, on_wait)
        try:
            with self._beating(self._hold.renew):
                yield
        finally:
            self._held = None
            at_last(self._hold.release)

    def _acquire(
        self,
        reading: _Reading,
        deadline: float,
        on_wait: Callable[[Holder | None], None] | None,
    ) -> None:
        """Take the lease and fence off; who is taken over in the middle waits its turn again."""
        begun = False
        while not begun:
            left = max(deadline - self._clock.monotonic(), 0.0)
            self._hold.take(self._holder(), left, on_wait)
            try:
                with self._beating(self._hold.renew):
                    self._hold.prove()
                    begun = self._begin_writing(reading)
            finally:
                if not begun:
                    at_last(self._hold.release)

    def append(self, entries: Sequence[Entry | Moved]) -> None:
        """Append entries as one segment; they are durable when this returns."""
        with self._writing:
            if self._closed is not None:
                raise self._closed
            if self._held is None:
                raise StateWriteError(f"the state {self._location} is not locked")
            try:
                mine = self._append(self._held, entries)
            except RefusedError as error:
                raise self._write_error(error) from error
            except UnclearError as error:
                # The put may still land, and the next one would meet it: so there is no next one.
                self._closed = self._write_error(error)
                raise self._closed from error
            if not mine:
                self._closed = StateWriteError(
                    f"another run has taken the state {self._location} over",
                    hint="what was not appended is rescued, and taken in by the next run",
                )
                raise self._closed

    def confirm(self) -> None:
        """Before something is sent: raise ``StateWriteError`` unless the state is surely ours."""
        if self._closed is not None:
            raise self._closed
        self._hold.confirm()

    def renew(self) -> None:
        """Renew the lease, where nothing beside the run does."""
        self._hold.renew()

    def rescue(self, entries: Sequence[Entry]) -> str | None:
        """Keep entries beside the log, under a name of their own; ``None`` if that failed."""
        run = next((entry.run for entry in entries if entry.run), None) or self._run or new_run()
        name = f"rescue/{re.sub('[^A-Za-z0-9._-]', '-', run)}-{uuid.uuid4().hex[:12]}.jsonl"
        data = encode_entries(entries)
        try:
            self._settle(name, data, _RESCUE_SECONDS)
        except BucketError:
            return None
        return f"{self._location.partition('?')[0]}/{name}"

    def intact(self) -> bool:
        """Whether nobody but this run has written since it took the log."""
        return self._closed is None

    def compact(self) -> None:
        """Add a snapshot where the next reading is worth it; nothing is deleted."""
        reading = self._held
        if reading is None or not _worth_a_snapshot(reading):
            return
        with self._telling("write a snapshot of"):
            self._put_snapshot(reading)

    def verify(self) -> str:
        """Check every segment from the first, and every snapshot against them; say what there is.

        Raises ``StateError`` naming the first object that is not as it should be.
        """
        with self._telling("read"):
            reading = self._read()  # what anybody would see, the lock's word on the end included
            whole = _Reading(reading.header)
            snapshots = sorted(self._names("snapshots/", _SNAPSHOT))
            for seq in snapshots:
                self._read_on(whole, seq, look=False)
                self._check_snapshot(seq, whole)
            self._read_on(whole, reading.seq)
            rescued = sum(len(entries) for _name, entries in self._rescued(whole))
        return (
            f"{whole.seq} segments with {len(whole.entries)} entries, {len(snapshots)} snapshots,"
            f" {rescued} rescued entries to be taken in"
        )

    def held(self) -> tuple[Holder | None, str | None] | None:
        """Return who holds the state, and their last sign of life; ``None`` if nobody does."""
        with self._telling("read"):
            found = self._get(lease.NAME)
        if found is None:
            self.read()  # nobody holds what is not there
            return None
        known = lease.decode(found.data)
        if known is None:
            return None, None
        return (known.holder, known.at) if known.holder else None

    def unlock(self) -> None:
        """Take the state from whoever holds it: they are fenced off, and rescue what they have."""
        with self._telling("unlock"):
            lease.free(self._bucket, self._clock)
        with self.lock():
            return

    # Reading.

    def _check_snapshot(self, seq: int, whole: _Reading) -> None:
        found = self._get(snapshot_name(seq))
        try:
            if found is None:
                raise ValueError("it is not there")
            snapshot = decode_snapshot(found.data)
        except ValueError as error:
            self._damaged(snapshot_name(seq), str(error))
        same = fold(snapshot.entries) == fold(whole.entries) and snapshot.digest == whole.digest
        if not same or set(snapshot.taken) != whole.taken or snapshot.seq != seq:
            self._damaged(snapshot_name(seq), "it is not what its segments add up to")

    def _read(self) -> _Reading:
        snapshots = self._names("snapshots/", _SNAPSHOT)
        found = self._get(BEGINNING)
        if found is None:
            raise self._no_state(bool(snapshots))
        try:
            header = decode_beginning(found.data)
        except ValueError as error:
            self._damaged(BEGINNING, str(error))
        known = self._get(lease.NAME)  # before the end is looked for: it may know a later one
        reading = self._from_snapshot(header, sorted(snapshots, reverse=True))
        self._read_on(reading, max(self._names("log/", _SEGMENT), default=0))
        self.header = reading.header
        held = lease.decode(known.data) if known else None
        if held is not None and held.seq > reading.seq:
            raise StateError(
                f"the end of the state {self._location} is gone: {segment_name(held.seq)} was"
                f" there, and nothing is behind {segment_name(reading.seq)}",
                hint="put the missing objects back, from the bucket's versions or a copy",
            )
        return reading

    def _from_snapshot(self, header: Header, snapshots: Iterable[int]) -> _Reading:
        notes = []
        for seq in snapshots:
            found = self._get(snapshot_name(seq))
            try:
                if found is None:
                    raise ValueError("it is not there")
                snapshot = decode_snapshot(found.data)
                if snapshot.seq != seq:
                    raise ValueError(f"it says that it is of segment {snapshot.seq}")
            except ValueError as error:
                notes.append(
                    f"the snapshot {snapshot_name(seq)} of {self._location} is passed over: {error}"
                )
                continue
            return _Reading(
                Header(header.lineage, snapshot.api),
                seq=seq,
                epoch=snapshot.epoch,
                digest=snapshot.digest,
                entries=list(snapshot.entries),
                taken=set(snapshot.taken),
                notes=notes,
            )
        return _Reading(header, notes=notes)

    def _read_on(self, reading: _Reading, listed: int, *, look: bool = True) -> None:
        """Read the segments that were listed, then look for more until one is missing."""
        wanted = range(reading.seq + 1, listed + 1)
        for seq, found in zip(wanted, self._get_many(map(segment_name, wanted)), strict=True):
            if found is None:
                self._missing(segment_name(seq))
            self._take(reading, found.data)
        while look and (found := self._get(segment_name(reading.seq + 1))) is not None:
            self._take(reading, found.data)

    def _take(self, reading: _Reading, data: bytes) -> None:
        name = segment_name(reading.seq + 1)
        try:
            head, entries = decode_segment(data)
        except ValueError as error:
            self._damaged(name, str(error))
        if head.seq != reading.seq + 1:
            self._damaged(name, f"it says that it is number {head.seq}")
        if head.prev != reading.digest:
            before = segment_name(reading.seq) if reading.seq else "what comes before"
            self._damaged(before, f"it is not what {name} was written after")
        reading.seq += 1
        reading.epoch = max(reading.epoch, head.epoch)
        reading.digest = hashlib.sha256(data).hexdigest()
        reading.header, about_audios = settled(reading.header, entries)
        reading.entries += about_audios
        reading.taken.update(head.took)
        reading.tail += 1
        reading.tail_entries += len(entries)

    def _rescued(self, reading: _Reading) -> list[tuple[str, list[Entry]]]:
        """Return what lies in ``rescue/`` and no segment has taken in, by its names."""
        listed = patiently(self._clock, lambda: self._bucket.names("rescue/"))
        names = sorted(name for name in listed if name.endswith(".jsonl"))
        new = [name for name in names if name.removeprefix("rescue/") not in reading.taken]
        kept = []
        for name, found in zip(new, self._get_many(new), strict=True):
            if found is None:
                continue  # a listing that is behind
            try:
                entries = decode_audios(BytesIO(found.data))
            except ValueError as error:
                self._damaged(name, str(error))
            kept.append((name.removeprefix("rescue/"), entries))
        return kept

    # Writing.

    def _begin_writing(self, reading: _Reading) -> bool:
        """Fence every earlier writer off, and take in what was rescued.

        False if another has fenced this one off meanwhile.
        """
        self._run, self._closed = new_run(), None
        # What the lease knows of must be there: no fence may fill the hole that a loss has left.
        self._read_on(reading, self._hold.seq, look=False)
        reading.epoch += 1
        while not self._append(reading, ()):
            self._read_on(reading, 0)
            reading.epoch += 1
        rescued = self._rescued(reading)
        if rescued:
            entries = [entry for _name, kept in rescued for entry in kept]
            if not self._append(reading, entries, took=[name for name, _kept in rescued]):
                return False
            reading.notes.append(
                f"{_entries(len(entries))} rescued beside {self._location} taken in"
            )
        if reading.tail >= _MANY_SEGMENTS:
            self._put_snapshot(reading)
        self._held = reading
        return True

    def _append(
        self, reading: _Reading, entries: Sequence[Entry | Moved], took: Sequence[str] = ()
    ) -> bool:
        """Create the next segment; false if another has its number."""
        head = Head(
            seq=reading.seq + 1,
            epoch=reading.epoch,
            run=self._run,
            id=uuid.uuid4().hex,
            prev=reading.digest,
            n=len(entries),
            took=tuple(took),
        )
        data = encode_segment(head, entries)
        if not self._settle(segment_name(reading.seq + 1), data, APPEND_SECONDS):
            return False
        self._take(reading, data)
        self._hold.seq = reading.seq
        return True

    def _settle(self, name: str, data: bytes, seconds: float) -> bool:
        """Put an object until it is known what its name holds: these bytes, or another's.

        "It exists already" means nothing yet: an earlier try of ours, cut off
        on its way back, may be what exists; and some say it of nothing.
        """
        began, pause = self._clock.monotonic(), 0.1
        problem: UnclearError | None = None
        while True:
            try:
                self._bucket.create(name, data)
                return True
            except UnclearError as error:
                problem = error
            except RefusedError as error:
                if problem is None:
                    raise
                raise UnclearError(str(error)) from error  # what came before it may still land
            try:
                found = self._bucket.get(name)
            except UnclearError as error:
                problem = error
            except RefusedError as error:
                raise UnclearError(str(error)) from error  # of the put, this says nothing
            else:
                if found is not None:
                    return found.data == data
            if self._clock.monotonic() - began + pause > seconds:
                raise problem
            self._clock.sleep(pause)
            pause = min(2 * pause, 5.0)

    def _put_snapshot(self, reading: _Reading) -> None:
        snapshot = Snapshot(
            reading.seq,
            reading.epoch,
            reading.digest,
            reading.header.api,
            tuple(sorted(reading.taken)),
            tuple(compacted(reading.entries)),
        )
        self._settle(snapshot_name(reading.seq), encode_snapshot(snapshot), APPEND_SECONDS)
        reading.tail = reading.tail_entries = 0

    # What the store says.

    def _get(self, name: str) -> Found | None:
        return patiently(self._clock, lambda: self._bucket.get(name))

    def _get_many(self, names: Iterable[str]) -> Iterator[Found | None]:
        """Return objects in order, several at a time; what fails is asked for again, alone."""
        left = deque(names)
        while left:
            try:
                for found in self._bucket.get_many(list(left)):
                    left.popleft()
                    yield found
            except UnclearError:
                yield self._get(left.popleft())

    def _names(self, folder: str, shape: re.Pattern[str]) -> list[int]:
        """Return the numbers below a folder; what was not asked for is left out here."""
        listed = patiently(self._clock, lambda: self._bucket.names(folder))
        return [int(match[1]) for name in listed if (match := shape.fullmatch(name))]

    @contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        try:
            yield
        except BucketError as error:
            raise StateError(f"cannot {doing} the state {self._location}: {error}") from error

    def _write_error(self, error: BucketError) -> StateWriteError:
        return StateWriteError(
            f"cannot write the state {self._location}: {error}",
            hint="mend that, and run the same command again",
        )

    def _missing(self, name: str) -> NoReturn:
        raise StateError(
            f"the state {self._location} has lost a part of its log: {name} is missing",
            hint="nothing was changed; put the object back, from the bucket's versions or a copy",
        )

    def _damaged(self, name: str, why: str) -> NoReturn:
        raise StateError(
            f"the state {self._location} is damaged: {name}: {why}",
            hint="nothing was changed; put the object back as it was, from the bucket's versions"
            " or a copy",
        )

    def _no_state(self, leftovers: bool) -> StateError:
        if leftovers or self._names("log/", _SEGMENT):
            return StateError(
                f"the state {self._location} has lost its {BEGINNING}",
                hint="put the object back, from the bucket's versions or a copy",
            )
        return NoStateError(
            f"there is no state at {self._location}",
            hint=NextStep("begin one: ", Command("state init", (self._location,))),
        )


def begin(bucket: Bucket, clock: Clock, location: str, header: Header) -> None:
    """Begin a state where none is, once the store has shown that it heeds conditions.

    Raises ``StateError`` if one is there, or the store is no place for one.
    """
    try:
        patiently(clock, lambda: bucket.names("log/"))  # some make a missing bucket on a put
        if patiently(clock, lambda: bucket.get(BEGINNING)) is not None:
            raise _begun_already(location)
        free = lease.Lease(uuid.uuid4().hex, 0).encode()
        found = _create(bucket, clock, lease.NAME, free)
        lease.prove(bucket, clock, location, found.data, found.version)
        data = encode_beginning(header)
        if _create(bucket, clock, BEGINNING, data).data != data:
            raise _begun_already(location)
    except BucketError as error:
        raise StateError(f"cannot begin the state {location}: {error}") from error


def _create(bucket: Bucket, clock: Clock, name: str, data: bytes) -> Found:
    """Create an object, and return what is there afterwards."""

    def settled() -> Found:
        try:
            return Found(data, bucket.create(name, data))
        except UnclearError:
            found = bucket.get(name)
            if found is None:
                raise
            return found

    return patiently(clock, settled)


def _begun_already(location: str) -> StateError:
    return StateError(f"there is a state at {location} already", hint="nothing was changed")


def _worth_a_snapshot(reading: _Reading) -> bool:
    """Whether the end of a good run is the time for one: much has come since the last."""
    return reading.tail >= _SNAPSHOT_SEGMENTS or reading.tail_entries >= max(
        _SNAPSHOT_ENTRIES, len(reading.entries) / 4
    )


def _entries(count: int) -> str:
    return "1 entry was" if count == 1 else f"{count} entries were"
