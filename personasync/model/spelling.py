"""What a misspelt word most likely means."""

from __future__ import annotations

from collections.abc import Iterable
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
