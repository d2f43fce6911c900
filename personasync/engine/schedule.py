"""When the next request may leave, and how long a persona is asked for again.

Pure: the time is passed in, as seconds on any clock that only goes forward.

The window is written here, and not taken from a library, because the promise
is stricter than theirs: a slot is given back only a full window after its
answer came, so that no delay on the way to the API can squeeze more requests
into a window there than were let into one here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

from personasync.model.outcome import NotSent, Outcome, Throttled, Unclear
from personasync.model.persona import PersonaRequest
from personasync.model.units import Rate

# Seconds, where no unit is named.

_MIN_TRANSIT: Final = 0.5
_TRANSIT_SHARE: Final = 0.04  # of the window

_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 20.0  # so that a service that is back is noticed soon
_JITTER: Final = 0.5
_SECOND_LOOK: Final = 5.0

# Personas given up in a row that end a run: one may be its own fault, and where nothing but
# errors is answered, so may two. Of refusals alike, a task with its two tracks and a copied
# entry make three: five are no chance.
_SILENT_IN_A_ROW: Final = 2
_ANSWERED_IN_A_ROW: Final = 3
_ALIKE_IN_A_ROW: Final = 5

# A disk syncs in a few milliseconds, and a store in the same region takes 20 or more. Of four
# appends, one is undisturbed by other work.
_SLOW_APPEND: Final = 0.02
_APPENDS_TO_JUDGE: Final = 4


class Slot:
    """One request's place in the window; ``expires`` is when it can be another's."""

    __slots__ = ("expires",)

    def __init__(self, expires: float) -> None:
        self.expires = expires


class Window:
    """At most ``rate.count`` slots in any ``rate.seconds``.

    A slot counts until a window after its request surely reached the API:
    when the answer is there, or, while there is none, a moment longer than a
    request takes on its way (half a second, or 4 % of a long window). So a
    slot costs at most that moment more than its window.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._transit = max(_MIN_TRANSIT, rate.seconds * _TRANSIT_SHARE)
        self._slots: list[Slot] = []

    def room(self, now: float) -> int:
        """Return how many requests may leave now."""
        self._slots = [slot for slot in self._slots if slot.expires > now]
        return self._rate.count - len(self._slots)

    def free_at(self, now: float) -> float:
        """Return when a request may leave, as far as is known: ``now`` where one may."""
        return now if self.room(now) > 0 else min(slot.expires for slot in self._slots)

    def sent(self, now: float) -> Slot:
        """Take a slot for a request that leaves now: its way to the API begins here."""
        slot = Slot(now + self._rate.seconds + self._transit)
        self._slots.append(slot)
        return slot

    def answered(self, slot: Slot, now: float) -> None:
        """Say that the request surely reached the API by now."""
        slot.expires = min(slot.expires, now + self._rate.seconds)


class RetryBudget:
    """The time that a run may spend without a usable answer, shared by its personas.

    A persona's retries end ``seconds`` after its first failure, or after the
    run's, if no request of the run had a usable answer since. So one bad
    persona cannot hold up the others, and a dead API cannot cost every persona
    the whole budget.
    """

    def __init__(
        self, seconds: float, *, chance: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._seconds = seconds
        self._chance = chance
        self._trouble_since: float | None = None
        self._gave_up = 0
        self._answers = False

    def heard(self, outcome: Outcome, now: float) -> None:
        """Take note of an outcome: a usable answer gives the whole run its budget back."""
        if not worth_a_retry(outcome):
            self._trouble_since = None
            self._gave_up = 0
            self._answers = True
        elif self._trouble_since is None:
            self._trouble_since = now

    def wait(self, outcome: Outcome, *, tries: int, since: float, now: float) -> float | None:
        """Return the seconds until a persona is asked for again; ``None``: it is not.

        ``outcome`` is what the last of its ``tries`` met, and ``since`` when
        the first of them failed.
        """
        wait = self._back_off(tries, getattr(outcome, "retry_after", None))
        start = since if self._trouble_since is None else min(since, self._trouble_since)
        return wait if now + wait <= start + self._seconds else None

    def second_look(self) -> float | None:
        """Return the seconds until the one more try of what may pass by itself; ``None``: none."""
        return min(_SECOND_LOOK, self._seconds / 4) if self._seconds > 0 else None

    def gave_up(self, outcome: Outcome) -> bool:
        """Count a persona that was given up on; tell whether the run should end.

        One may be the persona's own fault. Several in a row, with no usable
        answer between them, are the API's; one more where it does answer,
        since then it may refuse just these. Where no answer came in time, and
        none of this run's did, the next would be made and lost as well.
        """
        self._gave_up += 1
        if isinstance(outcome, Unclear) and outcome.late and not self._answers:
            return True
        answers = isinstance(outcome, Unclear) and outcome.code is not None
        return self._gave_up >= (_ANSWERED_IN_A_ROW if answers else _SILENT_IN_A_ROW)

    def _back_off(self, tries: int, asked_for: float | None) -> float:
        # With jitter, or all that failed together would come back together.
        wait = min(_FIRST_WAIT * 2 ** min(tries - 1, 16), _LONGEST_WAIT)
        return (wait if asked_for is None else asked_for) + self._chance(0, _JITTER)


class Likeness:
    """Whether a run meets nothing but one and the same refusal.

    That is the base URL or the account, and no persona. It takes the first
    five personas, of more than one task, and no other answer yet.
    """

    def __init__(self) -> None:
        self._seen: str | None = None
        self._audios: set[str] = set()
        self._tasks: set[str] = set()
        self._over = False

    def heard(self, outcome: Outcome, request: PersonaRequest) -> bool:
        """Take note of an answer; tell whether the run should end."""
        if self._over or isinstance(outcome, NotSent):
            return False
        likeness = getattr(outcome, "likeness", None)
        self._over = likeness is None or self._seen not in (None, likeness)
        if self._over:
            return False
        self._seen = likeness
        self._audios.add(request.audio_id)
        self._tasks.add(request.task_id)
        self._over = len(self._audios) >= _ALIKE_IN_A_ROW and len(self._tasks) > 1
        return self._over


class Schedule:
    """Which requests may leave at a moment: the rate, the places, a slow-down, the end of a run."""

    def __init__(self, rate: Rate | None, places: int, window: Window | None = None) -> None:
        self.places = places
        """Requests at a time."""
        self.closed = False
        """Whether nothing new may be sent."""
        self.stopped = False
        """Whether nothing at all may be sent, not even what is written down as about to be."""
        self._window = window or (Window(rate) if rate else None)
        self._not_before = -math.inf
        self._appends = 0
        self._quickest_append = math.inf

    def close(self, *, at_once: bool = True) -> None:
        """Let nothing new leave; unless ``at_once``, what is prepared and need not wait may."""
        self.closed = True
        self.stopped = self.stopped or at_once

    def room(self, now: float) -> int | float:
        """Return how many requests may leave now, were there places for them all."""
        if self.stopped or self._not_before > now:
            return 0
        return self._window.room(now) if self._window else math.inf

    def free_at(self, now: float) -> float:
        """Return when the next request may leave, as far as is known."""
        return max(self._not_before, self._window.free_at(now) if self._window else now)

    def is_slowed(self, now: float) -> bool:
        """Whether it is the API's word that holds back, and not the rate."""
        return self._not_before > (self._window.free_at(now) if self._window else now)

    def sent(self, now: float) -> Slot:
        """Take a slot for a request that leaves now."""
        return self._window.sent(now) if self._window else Slot(now)

    def answered(self, slot: Slot, now: float) -> None:
        """Say that the request of a slot surely reached the API by now."""
        if self._window:
            self._window.answered(slot, now)

    def slow_down(self, until: float) -> None:
        """Let nobody leave for a while: the API said that it is asked too often."""
        self._not_before = max(self._not_before, until)

    def appended(self, seconds: float) -> None:
        """Take note of how long an append took."""
        self._appends += 1
        self._quickest_append = min(self._quickest_append, seconds)

    @property
    def ahead(self) -> int:
        """How many personas to write down as pending before there is a place for them.

        None where an append is quick: what is written down and then not sent
        must be taken back. Where the state is far away, a place would stand
        empty during an append after each answer; so as many as there are
        places. The quickest of several counts: a file on a busy disk is not far.
        """
        far = self._appends >= _APPENDS_TO_JUDGE and self._quickest_append >= _SLOW_APPEND
        return self.places if far else 0


def worth_a_retry(outcome: Outcome) -> bool:
    """Whether asking again may give another outcome."""
    match outcome:
        case NotSent(stops_run=stops_run):
            return not stops_run
        case Throttled() | Unclear():
            return True
    return False
