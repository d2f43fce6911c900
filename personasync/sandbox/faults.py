"""What can go wrong on request: the kinds of fault, how they are written, when they strike."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from personasync.model.spelling import nearest


class FaultKind(StrEnum):
    """One way in which a request for a persona goes wrong.

    What each does is in ``effects.py``. ``CODE`` in a name stands for an error's number.
    """

    RESET_BEFORE = "reset-before"
    RATE_LIMIT = "rate-limit"
    MAINTENANCE = "maintenance"
    SERVER_ERROR = "server-error"
    NO_CREDITS = "no-credits"
    NO_CREDITS_ZH = "no-credits-zh"
    CODE = "CODE"
    CODE_PAGE = "CODE-page"
    REDIRECT = "redirect"
    MOVED = "moved"
    RESET_AFTER = "reset-after"
    CODE_AFTER = "CODE-after"
    GARBAGE = "garbage"
    CUT_OFF = "cut-off"
    CUT_AFTER_ID = "cut-after-id"
    CUT_IN_ID = "cut-in-id"
    SLOW = "slow"
    SNAKE_CASE = "persona_id"
    TEXT_CODE = "text-code"
    MESSAGE = "message"
    NEWLINE = "newline"
    NO_DATA = "no-data"
    FALSE_GZIP = "false-gzip"
    BAD_GZIP = "bad-gzip"
    HIDDEN_GZIP = "hidden-gzip"
    UTF_16 = "utf-16"


_SPELLINGS: Final[Mapping[str, tuple[FaultKind, int | None]]] = {
    **{kind.value: (kind, None) for kind in FaultKind if "CODE" not in kind},
    "429": (FaultKind.RATE_LIMIT, None),
    "455": (FaultKind.MAINTENANCE, None),
    "500": (FaultKind.SERVER_ERROR, None),
    "moved": (FaultKind.MOVED, 301),
    "301": (FaultKind.MOVED, 301),
    "308": (FaultKind.MOVED, 308),
}
_NUMBERED: Final = re.compile(r"([45]\d\d)(-page|-after)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault, how probable it is for each request (0 to 1), and its HTTP status."""

    kind: FaultKind
    probability: float = 1.0
    status: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"{self.probability!r} is not a probability; give one from 0 to 1")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``KIND[:PROBABILITY]``, such as ``reset-after:0.3`` or ``504-after``.

        Raises ``ValueError``, with the kinds there are, for anything else.
        """
        name, colon, probability = text.strip().partition(":")
        kind, status = _kind(name)
        if not colon:
            return cls(kind, status=status)
        try:
            return cls(kind, float(probability), status)
        except ValueError:
            raise ValueError(
                f"{probability!r} is not a probability; write it like {name}:0.3, from 0 to 1"
            ) from None

    @property
    def name(self) -> str:
        """How it is written, without its probability."""
        return self.kind.replace("CODE", str(self.status))

    def __str__(self) -> str:
        return f"{self.name}:{self.probability:g}"


def _kind(name: str) -> tuple[FaultKind, int | None]:
    if name in _SPELLINGS:
        return _SPELLINGS[name]
    if match := _NUMBERED.fullmatch(name):
        return FaultKind("CODE" + (match[2] or "")), int(match[1])
    close = nearest(name, _SPELLINGS)
    guess = f" (did you mean {close}?)" if close else ""
    raise ValueError(f"{name!r} is not a kind of fault{guess}; there are: {', '.join(FaultKind)}")


class FaultDice:
    """Decides which fault, if any, strikes the next request.

    Every fault draws for every request, whether or not another has struck, so
    that the decisions depend only on the seed, the faults and the number of
    the request. Not thread-safe.
    """

    def __init__(self, faults: Sequence[Fault], seed: int | None) -> None:
        self._faults = tuple(faults)
        self._random = random.Random(seed)

    def roll(self) -> Fault | None:
        """Return the first fault that strikes."""
        struck = [fault for fault in self._faults if self._random.random() < fault.probability]
        return struck[0] if struck else None
