"""The lines of a text, picked by number without splitting the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from personasync.model.diagnostics import Diagnostic

_BLOCK = 1 << 16


def with_sources(diagnostics: Iterable[Diagnostic], texts: Mapping[str, bytes]) -> list[Diagnostic]:
    """Return the diagnostics, each place in one of these files with the text of its line."""
    diagnostics = list(diagnostics)
    named: dict[str, set[int]] = {}
    for diagnostic in diagnostics:
        for place in (diagnostic.place, *(related.place for related in diagnostic.related)):
            if place is not None and place.file in texts:
                named.setdefault(place.file, set()).add(place.line)
    lines = {file: pick_lines(texts[file], numbers) for file, numbers in named.items()}
    return [_with_source(diagnostic, lines) for diagnostic in diagnostics]


def _with_source(diagnostic: Diagnostic, lines: Mapping[str, dict[int, str]]) -> Diagnostic:
    related = tuple(
        replace(r, source=lines[r.place.file].get(r.place.line)) if r.place.file in lines else r
        for r in diagnostic.related
    )
    place, source = diagnostic.place, diagnostic.source
    if place is not None and place.file in lines:
        source = lines[place.file].get(place.line)
    return replace(diagnostic, source=source, related=related)


def indent_of(line: str) -> int:
    """Return by how many spaces a line is indented."""
    return len(line) - len(line.lstrip(" "))


def pick_lines(data: bytes, wanted: Collection[int]) -> dict[int, str]:
    """Return the wanted lines, which count from 1, as far as the text has them.

    Lines end with LF, CRLF or CR, as editors count them. What is not UTF-8
    shows as escapes such as ``\\xff``.
    """
    if not wanted:
        return {}
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found = {}
    line, start = 1, 0
    for number in sorted(wanted):
        start = _skip_lines(data, start, number - line)
        if start < 0:
            break
        line = number
        end = data.find(b"\n", start)
        found[number] = _decode(data[start : end if end >= 0 else len(data)])
    return found


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:  # what follows the first bad byte is of little use
        return text[: error.start + 200].decode("utf-8", "backslashreplace")


def _skip_lines(data: bytes, start: int, count: int) -> int:
    """Return where the line begins that stands ``count`` lines further on, or -1."""
    while count > 0:
        breaks = data.count(b"\n", start, start + _BLOCK)
        if breaks < count and start + _BLOCK < len(data):
            count -= breaks
            start += _BLOCK
            continue
        position = data.find(b"\n", start)
        if position < 0:
            return -1
        start = position + 1
        count -= 1
    return start
