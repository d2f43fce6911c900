"""Shared by the renderers: styles, columns that align, and text no reader obeys."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final


class Style(StrEnum):
    """The few styles that the tool's text uses, as ANSI's own codes."""

    PLAIN = ""
    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    CYAN = "36"
    BAD = "1;31"
    WARNING = "1;33"
    HINT = "1;36"


def paint(text: str, style: Style, color: bool) -> str:
    """Return ``text`` in a style, or as it is where colour is off."""
    return f"\x1b[{style.value}m{text}\x1b[0m" if color and style and text else text


def display_width(text: str) -> int:
    """Return how many cells of a terminal a text takes: two for a wide character."""
    if text.isascii():
        return len(text)
    from unicodedata import category

    from rich.cells import cell_len  # most text is ASCII, and a plan must start fast

    # A vowel sign that stands beside its letter, as in Hindi, has a cell of its own.
    beside = sum(1 - cell_len(sign) for sign in text if category(sign) == "Mc")
    return cell_len(text) + beside


def pad(text: str, width: int) -> str:
    """Fill up a text with spaces to ``width`` cells."""
    return text + " " * (width - display_width(text))


def shorten(text: str, width: int) -> str:
    """Cut a text to ``width`` cells, its end marked with ``…``."""
    if display_width(text) <= width:
        return text
    from rich.cells import set_cell_size

    room = max(width - 1, 0)
    kept = set_cell_size(text, room)
    while display_width(kept) > room:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def wrap(text: str, width: int, *, indent: str = "", hanging: str | None = None) -> list[str]:
    """Break a text between words into lines of at most ``width`` cells; a long word stays whole.

    ``hanging`` indents the lines after the first, where it differs.
    """
    lines: list[str] = []
    line, room = indent, width - len(indent)
    for word in text.split(" "):
        taken = display_width(word)
        if line.strip() and taken + 1 > room:
            lines.append(line)
            line = indent if hanging is None else hanging
            room = width - len(line)
        elif line.strip():
            line, room = f"{line} ", room - 1
        line, room = line + word, room - taken
    return [*lines, line] if line.strip() else lines


_OF_A_FILE: Final = re.compile(r"\s*[0-9]* \|")
_COMMAND: Final = re.compile(r"(?:^|(?<=: ))personasync .*")


def fit(text: str, width: int) -> str:
    """Break between words the lines that a terminal of ``width`` cells would break anywhere.

    A command stays whole, since somebody may copy it, and so does a line of a file.
    """
    return "".join(_fitted(line, width) for line in text.splitlines(keepends=True))


def _fitted(line: str, width: int) -> str:
    words, end = line.rstrip("\n"), line[len(line.rstrip("\n")) :]
    if display_width(words) <= width or _OF_A_FILE.match(words):
        return line
    indent = " " * (len(words) - len(words.lstrip(" ")))
    whole = _COMMAND.sub(lambda command: command[0].replace(" ", "\0"), words.lstrip(" "))
    lines = wrap(whole, width, indent=indent, hanging=f"{indent}  ")
    return "\n".join(each.rstrip().replace("\0", " ") for each in lines) + end
