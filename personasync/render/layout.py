"""Shared by the renderers: styles, columns that align, and text no reader obeys."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from personasync.render.text import printable

if TYPE_CHECKING:
    from personasync.state.entry import Entry

_COMMAND_AT_START: Final = re.compile(r"^(\s*)::")
_COMMAND_ANYWHERE: Final = re.compile(r"##(?=\w*\[)")
_ANSWERED_ID: Final = re.compile(r'"personaId"\s*:\s*"([A-Za-z0-9][A-Za-z0-9._:-]{0,127})"')


class Style(StrEnum):
    """The few styles that the tool's text uses, as ANSI's own codes."""

    PLAIN = ""
    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    CYAN = "36"


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


def defuse(line: str) -> str:
    """Return a line that a CI log does not take for a command of its own.

    GitHub's runner obeys ``::name::`` at the start of a line, after spaces,
    and the older ``##[name]`` anywhere in it; others know ``##vso[``.
    """
    if "::" in line:
        line = _COMMAND_AT_START.sub(r"\1\\x3a:", line)
    return _COMMAND_ANYWHERE.sub(r"#\\x23", line) if "##" in line else line


def page(lines: Iterable[str]) -> str:
    """Join lines into a text that ends with a newline, each of them defused."""
    return "".join(f"{defuse(line)}\n" for line in lines)


def json_text(value: object, indent: int | None = None) -> str:
    """Return JSON in plain ASCII, which any terminal, pipe and encoding can carry.

    ``##[`` is escaped, so that a CI log does not take it for a command.
    """
    text = json.dumps(value, indent=indent, allow_nan=False)
    return _COMMAND_ANYWHERE.sub(r"#\\u0023", text)


def shell_word(text: str) -> str:
    """Quote a text for a POSIX shell; control characters become bash's ``$'…'`` form."""
    if printable(text) == text:
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{printable(escaped)}'"


def answered_id(entry: Entry | None) -> str | None:
    """Return the one ID that an answer kept in an entry shows, if it does show just one."""
    found = set(_ANSWERED_ID.findall(entry.answer)) if entry and entry.answer else set()
    return found.pop() if len(found) == 1 else None


def without_none(fields: Mapping[str, object | None]) -> dict[str, object]:
    """Leave out the fields that have no value."""
    return {name: value for name, value in fields.items() if value is not None}
