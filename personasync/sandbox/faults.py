"""What can go wrong on request, and the dice that decide when."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Final


class FaultKind(StrEnum):
    """One way in which a request for a persona goes wrong.

    The kinds named "made" strike the answer after the request was carried out
    and recorded; under the others, nothing is made.
    """

    RESET_BEFORE = "reset-before"
    """The connection is reset; nothing is made."""

    RESET_AFTER = "reset-after"
    """Made; the connection is reset instead of an answer."""

    RATE_LIMIT = "rate-limit"
    """429 with a ``Retry-After``; nothing is made."""

    MAINTENANCE = "maintenance"
    """455; nothing is made."""

    SERVER_ERROR = "server-error"
    """500; nothing is made."""

    GARBAGE = "garbage"
    """Made; the answer is an HTML page with status 200."""

    CUT_OFF = "cut-off"
    """Made; the connection closes in the middle of the answer's body."""

    SLOW = "slow"
    """Made; the answer's body drips, a byte at a time."""

    REDIRECT = "redirect"
    """302 to a trap that counts who followed, and who brought the key; nothing is made."""


_SPELLINGS: Final[Mapping[str, FaultKind]] = {
    **{kind.value: kind for kind in FaultKind},
    "429": FaultKind.RATE_LIMIT,
    "455": FaultKind.MAINTENANCE,
    "500": FaultKind.SERVER_ERROR,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault and how probable it is for each request, from 0 to 1."""

    kind: FaultKind
    probability: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"{self.probability!r} is not a probability; give one from 0 to 1")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``KIND[:PROBABILITY]``, such as ``reset-after:0.3``.

        The codes 429, 455 and 500 also name their kinds. Raises ``ValueError``,
        with the kinds there are, for anything else.
        """
        name, colon, probability = text.strip().partition(":")
        kind = _SPELLINGS.get(name)
        if kind is None:
            raise ValueError(_unknown_kind(name))
        if not colon:
            return cls(kind)
        try:
            return cls(kind, float(probability))
        except ValueError:
            raise ValueError(
                f"{probability!r} is not a probability; write it like {kind}:0.3, from 0 to 1"
            ) from None

    def __str__(self) -> str:
        return f"{self.kind}:{self.probability:g}"


def _unknown_kind(name: str) -> str:
    close = get_close_matches(name, _SPELLINGS, n=1)
    guess = f" (did you mean {close[0]}?)" if close else ""
    return f"{name!r} is not a kind of fault{guess}; there are: {', '.join(FaultKind)}"


class FaultDice:
    """Decides which fault, if any, strikes the next request.

    Every fault draws for every request, whether or not another has struck, so
    that the decisions depend only on the seed, the faults and the number of
    the request. Not thread-safe.
    """

    def __init__(self, faults: Sequence[Fault], seed: int | None) -> None:
        self._faults = tuple(faults)
        self._random = random.Random(seed)

    def roll(self) -> FaultKind | None:
        """Return the first fault that strikes."""
        struck = [fault.kind for fault in self._faults if self._random.random() < fault.probability]
        return struck[0] if struck else None
