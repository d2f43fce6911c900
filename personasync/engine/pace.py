"""When the next request may leave: the rate, a slow-down for all, and the end of a run.

Written here, and not taken from a library, because the promise is stricter
than theirs: a slot is given back only a full window after its answer came, so
that no delay on the way to the API can squeeze more requests into a window
there than were let into one here; and no wait outlasts an interrupt.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from personasync.model.units import Rate

_MIN_TRANSIT: Final = 0.5
_TRANSIT_SHARE: Final = 0.04
_LONGEST_SLEEP: Final = 3600.0


class Slot:
    """One request's place in the window; ``expires`` is when it can be another's."""

    __slots__ = ("expires",)

    def __init__(self, expires: float) -> None:
        self.expires = expires


class Window:
    """At most ``rate.count`` slots in any ``rate.seconds``; pure, with the time passed in.

    A slot counts until a window after its request surely reached the API:
    when the answer is there, or, while there is none, a moment longer than a
    request takes on its way (half a second, or 4 % of a long window). So a
    slot costs at most that moment more than its window.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._transit = max(_MIN_TRANSIT, rate.seconds * _TRANSIT_SHARE)
        self._slots: list[Slot] = []

    def wait(self, now: float) -> float:
        """Return the seconds until a slot is free, as far as is known; 0 when one is."""
        self._slots = [slot for slot in self._slots if slot.expires > now]
        if len(self._slots) < self._rate.count:
            return 0.0
        return min(slot.expires for slot in self._slots) - now

    def take(self) -> Slot:
        """Take a slot; ``wait`` has just returned 0."""
        slot = Slot(math.inf)
        self._slots.append(slot)
        return slot

    def sent(self, slot: Slot, now: float) -> None:
        """Say that the request leaves now: its way to the API begins here, not before."""
        slot.expires = now + self._rate.seconds + self._transit

    def answered(self, slot: Slot, now: float) -> None:
        """Say that the request surely reached the API by now."""
        slot.expires = min(slot.expires, now + self._rate.seconds)


class Pace:
    """Lets requests of many threads through at a rate, until it is closed."""

    def __init__(self, rate: Rate | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._window = Window(rate) if rate else None
        self._clock = clock
        self._not_before = 0.0
        self._closed = False
        self._stopped = False
        self._changed = threading.Condition()

    @property
    def closed(self) -> bool:
        """Whether nothing new may be sent."""
        return self._closed

    def close(self, *, at_once: bool = True) -> None:
        """Let nothing new through, and wake everyone who waits.

        Unless ``at_once``, what was admitted and need not wait may still leave.
        """
        with self._changed:
            self._closed = True
            self._stopped = self._stopped or at_once
            self._changed.notify_all()

    def admit(self) -> Slot | None:
        """Wait until a request may leave; ``None`` when none may any more."""
        with self._changed:
            while not self._closed:
                now = self._clock()
                wait = max(self._not_before - now, self._window.wait(now) if self._window else 0.0)
                if wait <= 0:
                    return self._window.take() if self._window else Slot(now)
                self._changed.wait(min(wait, _LONGEST_SLEEP))
        return None

    def depart(self, slot: Slot) -> bool:
        """Let the request of a slot leave now; ``False`` when it must not any more.

        Between ``admit`` and this, its ``pending`` was written; a slow-down
        that came in the meantime is waited for.
        """
        with self._changed:
            while not self._stopped:
                now = self._clock()
                if self._not_before <= now:
                    if self._window:
                        self._window.sent(slot, now)
                        self._changed.notify_all()
                    return True
                if self._closed:
                    break
                self._changed.wait(min(self._not_before - now, _LONGEST_SLEEP))
        return False

    def answered(self, slot: Slot) -> None:
        """Say that the request of a slot has its answer, or will never get one."""
        with self._changed:
            if self._window:
                self._window.answered(slot, self._clock())
                self._changed.notify_all()

    def slow_down(self, seconds: float) -> None:
        """Let nobody through for a while: the API said that it is asked too often."""
        with self._changed:
            self._not_before = max(self._not_before, self._clock() + seconds)

    def pause(self, seconds: float) -> None:
        """Sleep, but not past the end of the run."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, timeout=min(seconds, _LONGEST_SLEEP))
