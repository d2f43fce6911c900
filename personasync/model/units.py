"""Durations and rates as people write them: ``90s``, ``2m``, ``20/10s``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)?", re.ASCII)
_RATE: Final = re.compile(r"([1-9]\d{0,8})/(\d{0,9}(?:\.\d{1,9})?)(ms|s|m|h)", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds that a text such as ``500ms``, ``30s``, ``2m`` or ``1.5h`` means.

    A bare number is seconds. Raises ``ValueError`` for anything else.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write it like 500ms, 30s or 2m")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def format_duration(seconds: float) -> str:
    """Return a duration as people write it: ``350ms``, ``12s``, ``2m05s``, ``1h03m``."""
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}ms"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s" if whole % 60 else f"{whole // 60}m"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``count`` requests in any window of ``seconds``."""

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Rate | None:
        """Read ``COUNT/PERIOD``, such as ``20/10s`` or ``5/s``; ``none`` is no limit at all.

        Raises ``ValueError`` for anything else.
        """
        text = text.strip()
        if text == "none":
            return None
        match = _RATE.fullmatch(text)
        if match is not None:
            seconds = float(match[2] or 1) * _SECONDS[match[3]]
            if seconds > 0:
                return cls(int(match[1]), seconds)
        raise ValueError(f"{text!r} is not a rate; write it like 20/10s, or none")

    def __str__(self) -> str:
        return f"{self.count}/{f'{self.seconds:.9f}'.rstrip('0').rstrip('.')}s"
