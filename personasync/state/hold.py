"""Holding a shared state: politeness, and never safety, which is the log's own.

A hold lets others wait their turn and shows who has the state. It must be
renewed: another takes it from a run that shows no sign of life.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Final, Protocol, TypeAlias

from personasync.model.errors import StateWriteError
from personasync.state.background import at_last
from personasync.state.bucket import BucketError, Clock, patiently
from personasync.state.log import Held, Holder
from personasync.state.store_words import locked, not_locked

SECONDS: Final = 60.0
"""So long must a hold stand unchanged before another takes it over."""
RENEW_SECONDS: Final = 15.0
OLD_SECONDS: Final = 45.0
"""A hold older than this is renewed before anything more is sent."""
_POLL_SECONDS: Final = 1.0
_RELEASE_SECONDS: Final = 5.0
_CONFIRM_SECONDS: Final = 15.0

Moment: TypeAlias = tuple[float, float]
"""By the monotonic clock, and by the one that counts the machine's sleep."""

Beating: TypeAlias = Callable[[Callable[[], None]], AbstractContextManager[object]]
"""Renews beside the run for as long as its context lasts."""


def now(clock: Clock) -> Moment:
    """Return this moment, to measure from it how long ago it was."""
    return clock.monotonic(), clock.with_sleep()


class Claim(Protocol):
    """How one run's hold is written down in a store; every call may raise ``BucketError``."""

    @property
    def renewed(self) -> Moment:
        """When the last renewal that succeeded *began*."""

    def attempts(self, timeout: float) -> Iterator[Held]:
        """Try to take the state; yield who has it before each further try, end once it is ours."""

    def renew(self) -> None:
        """Show that the run lives; raises ``StateWriteError`` where another has taken over."""

    def release(self) -> None:
        """Say that the state is free."""

    def held(self) -> Held | None:
        """Return who has the state, whoever that is; ``None`` if nobody has."""

    def free(self) -> None:
        """Free the state, whoever has it."""


class Hold:
    """One run's hold on a state; ``place`` is what errors call the state.

    ``lost`` is why it is a hold no more. Without ``beating``, whoever drives
    the hold renews it.
    """

    def __init__(
        self, claim: Claim, clock: Clock, place: str, beating: Beating | None = None
    ) -> None:
        self._claim = claim
        self._clock = clock
        self._place = place
        self._beating = beating or (lambda _renew: nullcontext())
        self._taken = False
        self.lost: StateWriteError | None = None
        self.guard = threading.RLock()  # a renewal may come from beside the run
        self.held = claim.held
        self.free = claim.free

    @contextmanager
    def taken(
        self, timeout: float, on_wait: Callable[[Holder | None], None] | None
    ) -> Iterator[None]:
        """Have the state, and keep the hold alive beside the run.

        Waits for it up to ``timeout`` seconds, after one call of ``on_wait``.
        Raises ``StateLockedError`` when another has it longer, and
        ``BucketError`` where the store does not let it be taken.
        """
        self._take(timeout, on_wait)
        try:
            with self._beating(self.renew):
                yield
        finally:
            at_last(self._release)

    def _take(self, timeout: float, on_wait: Callable[[Holder | None], None] | None) -> None:
        began, asked = self._clock.monotonic(), False
        self._taken, self.lost = False, None
        for other in self._claim.attempts(timeout):
            left = began + timeout - self._clock.monotonic()
            if left <= 0:
                raise locked(self._place, other)
            if on_wait is not None and not asked:
                on_wait(other.holder)
                asked = True
            self._clock.sleep(min(_POLL_SECONDS, left))
        self._taken = True

    def check(self) -> None:
        """Raise ``StateWriteError`` unless the state was taken and, as far as is known, kept."""
        if self.lost is not None:
            raise self.lost
        if not self._taken:
            raise not_locked(self._place)

    def renew(self) -> None:
        """Show that the run lives. Raises ``StateWriteError`` once another has the state.

        What only did not get through raises ``BucketError``, and may be tried again.
        """
        with self.guard:
            if self.lost is not None:
                raise self.lost
            if not self._taken:
                return
            try:
                self._claim.renew()
            except StateWriteError as error:
                self.lost = error
                raise

    def confirm(self) -> None:
        """Before something is sent: renew a hold that has grown old, until it is young.

        Whoever stands still in the middle of a renewal finds it old again.
        Raises ``StateWriteError`` if it is lost or cannot be renewed.
        """
        self.check()
        try:
            while self._age() >= OLD_SECONDS:
                patiently(self._clock, self.renew, _CONFIRM_SECONDS)
        except BucketError as error:
            raise StateWriteError(
                f"the hold on the state {self._place} could not be renewed: {error}",
                hint="run the same command again",
            ) from error

    def _release(self) -> None:
        with self.guard:
            if self._taken and self.lost is None:
                with suppress(BucketError):  # others wait a minute
                    patiently(self._clock, self._claim.release, _RELEASE_SECONDS)
            self._taken = False

    def _age(self) -> float:
        return max(b - a for a, b in zip(self._claim.renewed, now(self._clock), strict=True))
