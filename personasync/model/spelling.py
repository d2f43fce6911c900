"""Words: what a misspelt one most likely means, how many of a thing there are, a long one cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

_LONGEST_KEY: Final = 64


def nearest(word: str, keys: Iterable[str]) -> str | None:
    """Return the key that a word most likely means, whatever its case; ``None`` if none is near."""
    from difflib import get_close_matches  # only a slip of the finger needs it

    folded = {key.casefold(): key for key in sorted(keys, reverse=True)}
    word = word.casefold()[:_LONGEST_KEY]
    close = get_close_matches(word, folded, n=1) or sorted(
        key for key in folded if word and key.startswith(word)
    )
    return folded[close[0]] if close else None


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``1 persona``, ``1,200 personas``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def listed(names: Sequence[str], limit: int = 10) -> str:
    """Return names in a row; of more than ``limit`` the first, and how many more there are."""
    if len(names) <= limit:
        return ", ".join(names)
    return f"{', '.join(names[: limit - 1])} and {len(names) - limit + 1:,} more"


def cut(text: str, limit: int = 40) -> str:
    """Return at most ``limit`` characters of a text, its end marked with ``…`` if it was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
