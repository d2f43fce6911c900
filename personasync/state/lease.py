"""The hold on a state in an object store: ``lock.json``, the only object that is rewritten.

Besides who holds the state, it remembers how far the log had come.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

from personasync.model.clock import utc_now
from personasync.model.errors import StateError, StateWriteError
from personasync.state.bucket import ConflictError, Found, UnclearError, patiently
from personasync.state.hold import SECONDS, Moment, now
from personasync.state.log import Held, Holder
from personasync.state.patient import PatientBucket
from personasync.state.segment_codec import BEGINNING
from personasync.state.store_words import no_state

NAME: Final = "lock.json"


@dataclass(frozen=True, slots=True)
class Lease:
    """What ``lock.json`` says. ``seq`` is the last segment that its writer knew of."""

    nonce: str
    seq: int
    holder: Holder | None = None
    at: str | None = None

    def encode(self) -> bytes:
        """Return the bytes of ``lock.json``."""
        fields: dict[str, object] = {
            "state": "held" if self.holder else "free",
            "seq": self.seq,
            "nonce": self.nonce,
            "at": self.at,
        }
        if self.holder is not None:
            fields["holder"] = asdict(self.holder)
        return json.dumps({"lease": fields}, ensure_ascii=False).encode() + b"\n"


def fresh(seq: int, holder: Holder | None = None) -> Lease:
    """Return a lease that differs from every other: held from now on, or free."""
    return Lease(uuid.uuid4().hex, seq, holder, utc_now())


def decode(data: bytes) -> Lease | None:
    """Read ``lock.json``; ``None`` for what it cannot be."""
    try:
        fields = json.loads(data)["lease"]
        holder = fields.get("holder")
        return Lease(
            nonce=str(fields["nonce"]),
            seq=int(fields["seq"]),
            holder=Holder(**holder) if holder else None,
            at=fields.get("at"),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


class LeaseObject:
    """``lock.json`` as one writer puts it: a put that seemed to fail may have landed.

    ``lease`` is the last of ours that is known to have landed, ``found`` how
    it lies there, and ``renewed`` the moment before it was put: so it is never
    younger than its put.
    """

    def __init__(self, bucket: PatientBucket) -> None:
        self._bucket = bucket
        # Every put since the last known state of the object.
        self._tried: dict[bytes, tuple[Lease, Moment]] = {}
        self.lease = Lease("", 0)
        self.found = Found(b"", "")
        self.renewed: Moment = (0.0, 0.0)

    def forget(self) -> None:
        """Begin anew: whatever was put before is another's by now."""
        self._tried = {}

    def landed(self, found: Found) -> bool:
        """Whether what was found is one of our puts; from then on it counts as what is there."""
        if found.data not in self._tried:
            return False
        self.lease, self.renewed = self._tried[found.data]
        self._tried = {found.data: self._tried[found.data]}  # the others expect what is gone by now
        self.found = found
        return True

    def put(self, lease: Lease, found: Found | None) -> bool:
        """Put a lease in place of what was found; whether it is there, whatever was answered."""
        data = lease.encode()
        self._tried[data] = lease, now(self._bucket.clock)
        bucket = self._bucket.bucket
        try:
            if found is None:
                version = bucket.create(NAME, data)
            else:
                version = bucket.replace(NAME, data, found.version)
        except UnclearError:
            again = self._bucket.get(NAME)
            return again is not None and again.data == data and self.landed(again)
        return self.landed(Found(data, version))

    def replace(self, lease: Lease) -> bool:
        """Put a lease in place of ours, whichever of ours has landed; false if none is there."""
        if self.put(lease, self.found):
            return True
        found = self._bucket.get(NAME)
        if found is None or not self.landed(found):
            return False
        if not self.put(lease, found):
            raise UnclearError("the lease could not be renewed")
        return True


class LeaseClaim:
    """The claim of one writer on one store; ``place`` is what errors call the state.

    ``seq`` is the last segment that anybody who held the state is known to have known of.
    """

    def __init__(self, bucket: PatientBucket, place: str, holder: Callable[[], Holder]) -> None:
        self._bucket = bucket
        self._place = place
        self._holder = holder
        self._object = LeaseObject(bucket)
        self.seq = 0

    @property
    def renewed(self) -> Moment:
        """When the last renewal that succeeded began."""
        return self._object.renewed

    def attempts(self, timeout: float) -> Iterator[Held]:
        """Take the lease when it is free, or when it has not stirred for its whole length.

        Yields who has it before each further look; ends once it is ours.
        """
        clock, holder = self._bucket.clock, self._holder()
        began = since = clock.monotonic()
        seen: bytes | None = None
        self._object.forget()
        while True:
            found = self._bucket.get(NAME)
            if found is not None and self._object.landed(found):  # a put that seemed to fail
                return
            moment = clock.monotonic()
            data = found.data if found else b""
            if data != seen:
                seen, since = data, moment
            lease = decode(data)
            free = found is None or (lease is not None and lease.holder is None)
            if free or moment - since >= SECONDS:
                self.seq = max(self.seq, lease.seq if lease else 0)
                if self._object.put(fresh(self.seq, holder), found):
                    return
                if free:  # another was faster, or the put did not get through
                    if moment - began > max(timeout, SECONDS):
                        raise UnclearError("the lease could not be taken")
                    clock.sleep(0.1)
                    continue
            yield Held(lease.holder, lease.at) if lease else Held()

    def prove(self) -> None:
        """Show that the store heeds conditions; raises ``StateError`` if it does not."""
        prove(self._bucket, self._place, self._object.found)

    def renew(self) -> None:
        """Show that the run lives. Raises ``StateWriteError`` once another has the lease."""
        if not self._object.replace(fresh(self.seq, self._object.lease.holder)):
            raise StateWriteError(
                f"another run has taken the state {self._place} over",
                hint="run the same command again",
            )

    def release(self) -> None:
        """Say that the state is free."""
        self._object.replace(fresh(self.seq))

    def held(self) -> Held | None:
        """Return who holds the state; ``None`` if nobody does."""
        found = self._bucket.get(NAME)
        if found is None:
            if self._bucket.get(BEGINNING) is None:
                raise no_state(self._place)
            return None
        lease = decode(found.data)
        if lease is None:
            return Held()
        return Held(lease.holder, lease.at) if lease.holder else None

    def free(self) -> None:
        """Free the state, whoever holds it."""

        def freed() -> None:
            found = self._bucket.bucket.get(NAME)
            lease = decode(found.data) if found else None
            if found is None or (lease is not None and lease.holder is None):
                return
            data = fresh(lease.seq if lease else 0).encode()
            self._bucket.bucket.replace(NAME, data, found.version)

        patiently(self._bucket.clock, freed)


def prove(bucket: PatientBucket, place: str, found: Found) -> None:
    """Show that a store heeds conditions, by two puts that it has to refuse.

    They carry the bytes that are there, ``found``: a store that takes them has
    lost nothing. Raises ``StateError`` if it does not, ``BucketError`` if it
    cannot be found out.
    """
    store = bucket.bucket
    wrong = store.other(found.version)
    for put in (
        lambda: store.create(NAME, found.data),
        lambda: store.replace(NAME, found.data, wrong),
    ):
        if not patiently(bucket.clock, partial(_refuses, put), SECONDS):
            raise StateError(
                f"the store of {place} ignores conditions: it would let two runs overwrite each"
                " other, so it is no place for a state",
                hint="nothing was sent; use a store that refuses to create what is there already"
                " (If-None-Match, If-Match)",
            )


def _refuses(put: Callable[[], object]) -> bool:
    try:
        put()
    except ConflictError:
        return True
    return False
