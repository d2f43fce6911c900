"""Does to a text what the hint of a diagnostic says, word for word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from personasync.manifest.load import load_manifest
from personasync.model.diagnostics import Diagnostic, Place, Severity
from personasync.model.errors import ManifestError

_AFTER_REPLACEMENT: Final = re.compile(
    r": the API counts.*| if you mean .*| without quotes| and the whole text on .*"
    r"|: it is one text| without braces|, in ordinary digits"
    r"|, unless it is meant|, here and on .*|; a key has .*|; or put .*"
)
_ENTRY: Final = re.compile(r"[\w.-]+:(?: |$)|<<:")


def validate(name: str) -> tuple[Diagnostic, ...]:
    """Return all that is said of a manifest, whether it is valid or not."""
    try:
        return load_manifest([name]).warnings
    except ManifestError as error:
        return error.diagnostics


def followed(text: str, diagnostic: Diagnostic) -> str | None:
    """Return the text after the hint was followed; ``None`` where it names no replacement.

    Where one hint is about several lines only the first is changed.
    """
    place, hint = diagnostic.place, diagnostic.hint
    if place is None or not place.line or not isinstance(hint, str) or "…" in hint:
        return None
    lines = re.split("(?<=\n)|(?<=\r)(?!\n)", text)
    line = lines[place.line - 1]
    body = line.rstrip("\r\n")
    for pattern, change in _CHANGES:
        match = re.match(pattern, hint)
        if match is not None:
            changed = change(body, place, _AFTER_REPLACEMENT.sub("", match[1]))
            if changed is None:
                return None
            lines[place.line - 1] = changed + line[len(body) :]
            return "".join(lines)
    return None


def objections(
    diagnostic: Diagnostic, before: Iterable[Diagnostic], after: Iterable[Diagnostic]
) -> list[str]:
    """Return what is said once the advice was followed, against just what it had written.

    A bracket around the one that was closed, and the fields that a key lacks
    which was none before, come to light only then.
    """
    assert diagnostic.place is not None
    line = diagnostic.place.line
    later = {"missing-field"} | {"unclosed-bracket"} & {diagnostic.code}
    had = {(d.code, d.message) for d in before if d is not diagnostic}
    return [
        f"{d.code}: {d.message} ({d.hint})"
        for d in after
        if d.place is not None
        and d.place.line == line
        and (d.severity is Severity.ERROR or d.code == diagnostic.code)
        and d.code not in later
        and (d.code, d.message) not in had
    ]


def _end(body: str, place: Place) -> int:
    return place.end_column - 1 if place.end_line == place.line else len(body)


def _put(body: str, place: Place, words: str) -> str | None:
    """Replace the span; or the whole entry, where the words are one."""
    if place.end_line not in (0, place.line):
        return None  # a text over several lines
    indent = body[: len(body) - len(body.lstrip())]
    if _ENTRY.match(words) and not words.startswith("#"):
        return indent + words
    return body[: place.column - 1] + words + body[_end(body, place) :]


def _put_key(body: str, place: Place, words: str) -> str | None:
    return _put(body, place, words.removesuffix(":"))


def _put_to_end(body: str, place: Place, words: str) -> str | None:
    return body[: place.column - 1] + words


def _put_value(body: str, place: Place, words: str) -> str | None:
    return f"{body.partition(':')[0]}: {words}"


def _indent(body: str, place: Place, words: str) -> str | None:
    return " " * int(words or 0) + body.lstrip()


def _remove(body: str, place: Place, words: str) -> str | None:
    return body[: place.column - 1] + body[max(_end(body, place), place.column) :]


def _remove_with_space(body: str, place: Place, words: str) -> str | None:
    return body[: place.column - 1] + body[_end(body, place) :].lstrip()


def _space(body: str, place: Place, words: str) -> str | None:
    return _put(body, place, " ")


def _colon(body: str, place: Place, words: str) -> str | None:
    return _put(body, place, ": ")


def _before(body: str, place: Place, words: str) -> str | None:
    return words + body


def _append(body: str, place: Place, words: str) -> str | None:
    return body.rstrip() + words


def _close(body: str, place: Place, words: str) -> str | None:
    return body.rstrip()[:-1] + words


_CHANGES: Final[tuple[tuple[str, Callable[[str, Place, str], str | None]], ...]] = (
    (r"write an ordinary colon()", _colon),
    (r"write \\\\()", lambda *_: None),  # in every escape, or none
    (r"write (?:COUNT|its|the|each|a|it|something|spaces|keys|out|an)\b()", lambda *_: None),
    (r"write (?:<<:|# instead|\S.*: >- and)()", lambda *_: None),  # in several places
    (r"write (.+) itself, or", _put),
    (r"write (# )before it if", _before),
    (r"write \S+: and its value()", lambda *_: None),
    (r"write (#.*)", _put),
    (r"write (\S.*)", _put),
    (r"quote it: (.+\"):$", _put),
    (r"quote it, since # begins a comment: (.+)", _put_value),
    (r"quote it: (.+; or put .*)", _put_to_end),
    (r"quote it: (.+)", _put),
    (r"quote it if it is meant as text: (.+)", _put_to_end),
    (r"quote the value: (.+)", _put),
    (r"quote the whole value: (.+)", _put_value),
    (r"put the text on the next line, indented, or quote it: (.+)", _put_to_end),
    (r"did you mean (\w+)\?", _put),
    (r"replace it by a space()", _space),
    (r"remove its indentation()", _indent),
    (r"indent (?:it|\w+) by (\d+) spaces?", _indent),
    (r"remove (?:it|the dash) and the space after it()", _remove_with_space),
    (r"remove (?:it|the \{\})(?!;| if|, and)()", _remove),
    (r"remove (?:this|the) line(?!s| with)()", lambda *_: "#"),
    (r"close it with ([\"']) instead of", _close),
    (r"close it with (.) at the end", _append),
    (r"close it with ([\]}])", _append),
)
