"""Who holds a shared state: a lease, which is politeness and never safety.

Safety is the log's own: a segment is created only where none is. The lease
lets others wait their turn, shows who holds the state, and remembers how far
the log had come.
"""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final, TypeAlias

from personasync.model.clock import utc_now
from personasync.model.errors import StateError, StateLockedError, StateWriteError
from personasync.model.steps import Command, NextStep, Option
from personasync.state.bucket import (
    Bucket,
    BucketError,
    Clock,
    ConflictError,
    Found,
    UnclearError,
    Version,
    patiently,
)
from personasync.state.log import Holder

NAME: Final = "lock.json"
SECONDS: Final = 60.0
"""So long must a lease stand unchanged, by the waiter's own clock, before it is taken over."""
RENEW_SECONDS: Final = 15.0
OLD_SECONDS: Final = 45.0
"""A lease older than this is renewed before anything more is sent."""
_POLL_SECONDS: Final = 1.0
_RELEASE_SECONDS: Final = 5.0
_CONFIRM_SECONDS: Final = 15.0

Moment: TypeAlias = tuple[float, float]
"""By the monotonic clock, and by the one that counts the machine's sleep."""


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


def locked_error(place: str, holder: Holder | None, at: str | None) -> StateLockedError:
    """Say who holds a shared state, and what can be done about it."""
    who = f": {holder}" if holder else ""
    last = f", last sign of life {at}" if at else ""
    return StateLockedError(
        f"another run holds the state {place}{who}{last}",
        hint=NextStep(
            "wait for it with ",
            Option("lock-timeout", "90s"),
            ", which takes over by itself from a run that died; or free the state now: ",
            Command("state unlock"),
        ),
    )


class LeaseHold:
    """The lease of one writer on one store; ``place`` is what errors call the state."""

    def __init__(self, bucket: Bucket, clock: Clock, place: str) -> None:
        self._bucket = bucket
        self._clock = clock
        self._place = place
        self._guard = threading.RLock()  # a renewal may come from beside the run
        self._lease: Lease | None = None
        self._version: Version = ""
        # Every put since the last known state of the object: a put that seemed to fail may have
        # landed, and must not look like another's.
        self._tried: dict[bytes, tuple[Lease, Moment]] = {}
        self._lost: StateWriteError | None = None
        self._renewed = (0.0, 0.0)
        self.seq = 0

    # Taking it.

    def take(
        self,
        holder: Holder,
        timeout: float,
        on_wait: Callable[[Holder | None], None] | None,
    ) -> None:
        """Take the lease when it is free, or when it has not stirred for its whole length.

        Raises ``StateLockedError`` when another holds it longer than ``timeout``
        seconds, and ``BucketError`` where the store does not let it be taken.
        """
        began = since = self._clock.monotonic()
        seen: bytes | None = None
        asked = False
        self._lease, self._lost, self._tried = None, None, {}
        while True:
            found = self._look()
            now = self._clock.monotonic()
            data = found.data if found else b""
            if found is not None and data in self._tried:  # a put that seemed to fail has landed
                self._adopt(found)
                return
            if data != seen:
                seen, since = data, now
            lease = decode(data)
            free = found is None or (lease is not None and lease.holder is None)
            if free or now - since >= SECONDS:
                self.seq = max(self.seq, lease.seq if lease else 0)
                if self._put(self._fresh(holder), found):
                    return
                if free:  # another was faster, or the put did not get through
                    if now - began > max(timeout, SECONDS):
                        raise UnclearError("the lease could not be taken")
                    self._clock.sleep(0.1)
                    continue
            left = began + timeout - now
            if left <= 0:
                at = lease.at if lease else None
                raise locked_error(self._place, lease.holder if lease else None, at)
            if on_wait is not None and not asked:
                on_wait(lease.holder if lease else None)
                asked = True
            self._clock.sleep(min(_POLL_SECONDS, left))

    def _fresh(self, holder: Holder | None) -> Lease:
        return Lease(uuid.uuid4().hex, self.seq, holder, utc_now())

    def _look(self) -> Found | None:
        return patiently(self._clock, lambda: self._bucket.get(NAME))

    def _put(self, lease: Lease, found: Found | None) -> bool:
        """Put a lease in place of what was found; whether it is there, whatever was answered."""
        data = lease.encode()
        self._tried[data] = lease, now(self._clock)  # of before: it is never younger than its put
        try:
            if found is None:
                version = self._bucket.create(NAME, data)
            else:
                version = self._bucket.replace(NAME, data, found.version)
        except UnclearError:
            again = self._look()
            if again is None or again.data != data:
                return False
            version = again.version
        self._adopt(Found(data, version))
        return True

    def _adopt(self, ours: Found) -> None:
        self._lease, self._renewed = self._tried[ours.data]
        self._tried = {ours.data: self._tried[ours.data]}  # the others expect what is gone by now
        self._version = ours.version

    def _put_ours(self, lease: Lease) -> bool:
        """Put a lease in place of ours, whichever of ours has landed; false if none is there."""
        if self._put(lease, Found(b"", self._version)):
            return True
        found = self._look()
        if found is None or found.data not in self._tried:
            return False
        self._adopt(found)
        if not self._put(lease, found):
            raise UnclearError("the lease could not be renewed")
        return True

    # Holding it.

    def prove(self) -> None:
        """Show that the store heeds conditions, by two puts that it has to refuse.

        They carry the bytes that are there: a store that takes them has lost nothing.
        """
        with self._guard:
            assert self._lease is not None
            prove(self._bucket, self._clock, self._place, self._lease.encode(), self._version)

    def renew(self) -> None:
        """Show that the run lives. Raises ``StateWriteError`` once another has the lease.

        What only did not get through raises ``BucketError``, and may be tried again.
        """
        with self._guard:
            if self._lost is not None:
                raise self._lost
            if self._lease is None or self._put_ours(self._fresh(self._lease.holder)):
                return
            self._lost = StateWriteError(
                f"another run has taken the state {self._place} over",
                hint="run the same command again",
            )
            raise self._lost

    def confirm(self) -> None:
        """Before something is sent: renew a lease that has grown old.

        Raises ``StateWriteError`` if it is lost or cannot be renewed.
        """
        if self._lost is not None:
            raise self._lost
        if self._lease is None:
            raise StateWriteError(f"the state {self._place} is not locked")
        surely_held(self._clock, self._place, lambda: self._renewed, self.renew)

    def release(self) -> None:
        """Say that the state is free; if that does not get through, others wait a lease long."""
        with self._guard:
            if self._lease is None or self._lost is not None:
                return
            free = self._fresh(None)
            with contextlib.suppress(BucketError):
                patiently(self._clock, lambda: self._put_ours(free), _RELEASE_SECONDS)
            self._lease = None


def surely_held(
    clock: Clock, place: str, renewed: Callable[[], Moment], renew: Callable[[], None]
) -> None:
    """Before something is sent: renew a hold that has grown old, until it is young.

    ``renewed`` is when the last renewal that succeeded *began*: whoever stands
    still in the middle of one finds it old again. Raises ``StateWriteError``.
    """
    try:
        while max(b - a for a, b in zip(renewed(), now(clock), strict=True)) >= OLD_SECONDS:
            patiently(clock, renew, _CONFIRM_SECONDS)
    except BucketError as error:
        raise StateWriteError(
            f"the hold on the state {place} could not be renewed: {error}",
            hint="run the same command again",
        ) from error


def now(clock: Clock) -> Moment:
    """Return this moment, to measure from it how long ago it was."""
    return clock.monotonic(), clock.with_sleep()


def prove(bucket: Bucket, clock: Clock, place: str, data: bytes, version: Version) -> None:
    """Show that a store heeds conditions; ``data`` and ``version`` are what ``lock.json`` is.

    Raises ``StateError`` if it does not, ``BucketError`` if it cannot be found out.
    """
    wrong = bucket.other(version)
    for put in (lambda: bucket.create(NAME, data), lambda: bucket.replace(NAME, data, wrong)):
        if not patiently(clock, partial(_refuses, put), SECONDS):
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


def free(bucket: Bucket, clock: Clock) -> None:
    """Free a state, whoever holds it. Raises ``BucketError``."""

    def freed() -> None:
        found = bucket.get(NAME)
        lease = decode(found.data) if found else None
        if found is None or (lease is not None and lease.holder is None):
            return
        data = Lease(uuid.uuid4().hex, lease.seq if lease else 0, None, utc_now()).encode()
        bucket.replace(NAME, data, found.version)

    patiently(clock, freed, _RELEASE_SECONDS)
