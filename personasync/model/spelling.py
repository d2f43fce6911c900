"""Words: what a misspelt one most likely means, how many of a thing there are, a long one cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from unicodedata import normalize

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


def plural(number: int, one: str, several: str | None = None) -> str:
    """Return the word for one thing, or the one for several, which may only need an ``s``."""
    return one if number == 1 else several or f"{one}s"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 persona``, ``1,200 personas``."""
    return f"{number:,} {plural(number, noun)}"


def listed(names: Sequence[str], most: int = 10) -> str:
    """Return names in a row; of more than ``most`` the first, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def joined(names: Sequence[str]) -> str:
    """Return names as a sentence has them: ``a``, ``a and b``, ``a, b and c``."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def cut(text: str, limit: int = 40) -> str:
    """Return at most ``limit`` characters of a text, its end marked with ``…`` if it was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def one_line(text: str) -> str:
    """Return a text with a space in the place of each character that is not shown."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def quoted(text: str, limit: int = 40) -> str:
    """Return a text in quotes for a message, cut when it is long."""
    return f'"{cut(text, limit)}"'


def folded(text: str) -> str:
    """Return a text as people take it for the same: without case, widths, or more spaces."""
    return " ".join(normalize("NFKC", text).casefold().split())
