"""Text of unknown origin, kept from being obeyed: the one place to look whether it is.

What reads a text decides what could obey it. A terminal obeys control
characters, a CI log some lines, a shell, a spreadsheet and a web page whatever
is not quoted. Markdown's own signs are kept apart in ``render/markdown.py``,
and HTML's by the template of ``render/catalogue.py``.
"""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

from personasync.model.characters import (
    CONTROLS,
    FILLERS,
    LOOK_ALIKE_LETTERS,
    SPACES,
    SURROGATES,
    UNSEEN,
)
from personasync.model.diagnostics import Place

_UNSAFE: Final = re.compile(
    f"[{CONTROLS}{SURROGATES}{UNSEEN}{FILLERS}{SPACES}\ufff9-\ufffb]"  # last: annotations
)
_STEERING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STEERING_BUT_STYLES: Final = re.compile(
    "[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\\[[0-9;]*m)"
)
_SHORT_ESCAPES: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return _SHORT_ESCAPES.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def printable(text: str, limit: int | None = None) -> str:
    """Return ``text`` on one line, with nothing in it that could steer a terminal.

    Control characters, line breaks, bidi controls, other unseen characters and
    spaces that are no ordinary ones become escapes such as ``\\x1b``, ``\\n`` and
    ``\\u202e``; a joiner, which emoji and several scripts need, stays. What is longer
    than ``limit`` characters is cut, and ends with ``…``; no escape is ever cut in two.
    """
    if limit is None:
        return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, text)
    head = text[: limit + 1]  # an escape only grows it, so no more can be needed
    if not (head.isascii() and head.isprintable()):
        head = _UNSAFE.sub(_escape, head)
    if len(head) <= limit and len(text) <= limit:
        return head
    return _cut(text[:limit], limit)


_LOOK_ALIKE: Final = str.maketrans(
    {
        **LOOK_ALIKE_LETTERS,
        **dict.fromkeys("’‘‚‛′ʼ", "'"),
        **dict.fromkeys("“”„″", '"'),
        **dict.fromkeys("‐‑‒–—−", "-"),
    }
)


def told_apart(one: str, other: str) -> tuple[str, str]:
    """Return two texts ``printable``, and with escapes where they differ and look alike.

    Letters of different scripts, and the ways to put an accent together, can
    look the same: then everything but ASCII is an escape.
    """
    shown = printable(one), printable(other)
    if one == other or _looks(shown[0]) != _looks(shown[1]):
        return shown
    first, second = (re.sub(r"[^\x00-\x7f]", _escape, text) for text in shown)
    return first, second


def _looks(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).translate(_LOOK_ALIKE)
    return re.sub("[\u200c\u200d\ufe00-\ufe0f]", "", plain)


def tame(text: str, *, styled: bool) -> str:
    """Return a text of several lines in which nothing steers a terminal: the last defence.

    Line breaks and tabs stay, and the codes of styles where it is ``styled``.
    Whatever names something of unknown origin goes through ``printable`` before.
    """
    return (_STEERING_BUT_STYLES if styled else _STEERING).sub(_escape, text)


def _cut(text: str, limit: int) -> str:
    shown = ""
    for character in text:
        piece = _UNSAFE.sub(_escape, character)
        if len(shown) + len(piece) > limit - 1:
            break
        shown += piece
    return shown + "…" if limit > 0 else ""


_COMMAND_AT_START: Final = re.compile(r"^(\s*)::")
_COMMAND_ANYWHERE: Final = re.compile(r"##(?=\w*\[)")


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


def json_page(value: object) -> str:
    """Return a JSON document as a command prints it: indented, and with a newline at its end."""
    return json_text(value, indent=2) + "\n"


def line_of(place: Place | None) -> dict[str, str]:
    """Return the properties of a workflow command that stands at a line of a file, if any."""
    return {"file": printable(place.file), "line": str(place.line)} if place else {}


def workflow_command(name: str, properties: Mapping[str, str], message: Iterable[str]) -> str:
    """Return one command, such as ``::warning file=personas.yaml::…``, without a newline.

    ``message`` is given by lines. No text, whatever it holds, ends the command
    or sets a property of it; control characters are the caller's to make
    printable.
    """
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name}{' ' if given else ''}{given}::{_data(chr(10).join(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def shell_word(text: str) -> str:
    """Quote a text for a POSIX shell, on one line in which nothing steers a terminal.

    What is not printable is left to ``printf``, which every such shell has.
    """
    if printable(text) == text:
        # To zsh, a bare =ls is the path of ls, in an assignment as well.
        bare = shlex.quote(text)
        return f"'{bare}'" if bare.startswith("=") else bare
    octal = (
        f"\\{byte:03o}" if byte < 0x20 or byte > 0x7E or byte in b"%\\'" else chr(byte)
        for byte in text.encode("utf-8", "surrogatepass")
    )
    return f"\"$(printf '{''.join(octal)}')\""
