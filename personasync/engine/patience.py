"""How long a run goes on asking: one budget for all, and back-off with jitter."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from tenacity import RetryCallState, Retrying, retry_if_result, wait_exponential, wait_random

from personasync.model.outcome import NotSent, Outcome, Throttled, Unclear

_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 20.0
_JITTER: Final = 0.5
_GIVE_UPS_IN_A_ROW: Final = 2


class Patience:
    """The time that a run may spend without a usable answer, shared by its personas.

    A persona's retries end ``seconds`` after its first failure, or after the
    run's, if no request of the run had a usable answer since. So one bad
    persona cannot hold up the others, and a dead API cannot cost every persona
    the whole budget.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._guard = threading.Lock()
        self._trouble_since: float | None = None
        self._gave_up = 0

    def heard(self, outcome: Outcome) -> None:
        """Take note of an outcome: a usable answer gives the whole run its budget back."""
        with self._guard:
            if not worth_a_retry(outcome):
                self._trouble_since = None
                self._gave_up = 0
            elif self._trouble_since is None:
                self._trouble_since = self._clock()

    def gave_up(self) -> bool:
        """Count a persona that was given up on; tell whether the run should end.

        One may be the persona's own fault. Two in a row, with no usable answer
        between them, are the API's.
        """
        with self._guard:
            self._gave_up += 1
            return self._gave_up >= _GIVE_UPS_IN_A_ROW

    def retrying(
        self, *, pause: Callable[[float], None], told: Callable[[Outcome, float], None]
    ) -> Retrying:
        """Return what retries one persona's request; it returns the last outcome.

        ``told`` hears of each failure and the seconds until the next try,
        ``pause`` sleeps them.
        """
        since: list[float] = []

        def exhausted(state: RetryCallState) -> bool:
            now = self._clock()
            since.append(now)
            with self._guard:
                start = min(since[0], now if self._trouble_since is None else self._trouble_since)
            return now + state.upcoming_sleep > start + self._seconds

        return Retrying(
            retry=retry_if_result(worth_a_retry),
            wait=_wait,
            stop=exhausted,
            sleep=pause,
            before_sleep=lambda state: told(_outcome(state), state.upcoming_sleep),
            retry_error_callback=_outcome,
        )


def worth_a_retry(outcome: Outcome) -> bool:
    """Whether asking again may give another outcome (design.md §6)."""
    return isinstance(outcome, Throttled | NotSent | Unclear)


_backoff = wait_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT) + wait_random(0, _JITTER)


def _wait(state: RetryCallState) -> float:
    hint = getattr(_outcome(state), "retry_after", None)
    if hint is None:
        return _backoff(state)
    return float(hint) + random.uniform(0, _JITTER)


def _outcome(state: RetryCallState) -> Any:
    return state.outcome.result() if state.outcome else None
