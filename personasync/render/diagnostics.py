"""Diagnostics and errors as text for people, JSON for programs, and annotations for GitHub."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from personasync.model.diagnostics import Diagnostic, Place, Severity
from personasync.model.errors import PersonasyncError
from personasync.render.commands import HERE, Shell
from personasync.render.layout import Style, display_width, paint
from personasync.render.safe import page, printable, workflow_command

FORMAT: Final = "personasync.diagnostics/1"
"""What a JSON document of diagnostics says of itself; see schemas/diagnostics.schema.json."""

_WIDTH: Final = 100
_BEFORE: Final = 40
_LONGEST_MESSAGE: Final = 1000
_TAB: Final = "    "

_STYLES: Final = {
    Severity.ERROR: Style.BAD,
    Severity.WARNING: Style.WARNING,
    "place": Style.BOLD,
    "message": Style.BOLD,
    "gutter": Style.DIM,
    "related": Style.CYAN,
    "hint": Style.HINT,
}

_Paint = Callable[[str, str], str]


def render_text(
    diagnostics: Sequence[Diagnostic], *, color: bool = False, shell: Shell = HERE
) -> str:
    """Return diagnostics for people: where, what, the line with the value underlined, what to do.

    Each begins with ``file:line:column: severity: message``, as compilers
    write it and editors understand it; an empty line parts them.
    """

    def painted(style: str, text: str) -> str:
        return paint(text, _STYLES[style], color)

    return "\n".join(page(_block(each, painted, shell)) for each in diagnostics)


def _block(diagnostic: Diagnostic, painted: _Paint, shell: Shell) -> Iterator[str]:
    places = [diagnostic.place, *(related.place for related in diagnostic.related)]
    gutter = max(2, *(len(str(place.line)) for place in places if place is not None), 0)
    where = f"{painted('place', _where(diagnostic.place) + ':')} " if diagnostic.place else ""
    message = painted("message", printable(diagnostic.message, _LONGEST_MESSAGE))
    yield f"{where}{painted(diagnostic.severity, diagnostic.severity + ':')} {message}"
    yield from _excerpt(
        diagnostic.place, diagnostic.source, gutter, "^", diagnostic.severity, painted
    )
    for related in diagnostic.related:
        message = printable(related.message, _LONGEST_MESSAGE)
        yield f"  {painted('place', _where(related.place) + ':')} {message}"
        yield from _excerpt(related.place, related.source, gutter, "-", "related", painted)
    if diagnostic.hint is not None:
        hint = printable(shell.text(diagnostic.hint), _LONGEST_MESSAGE)
        yield f"  {painted('hint', 'hint:')} {hint}"


def _where(place: Place) -> str:
    """Return the place, or only the file when it is about the file as a whole."""
    return printable(str(place) if place.line else place.file)


def _excerpt(
    place: Place | None, source: str | None, gutter: int, mark: str, style: str, painted: _Paint
) -> Iterator[str]:
    """Yield the source line and the underline, as wide on a terminal as what it underlines."""
    if place is None or not place.line or source is None or not source.strip():
        return
    start = min(max(place.column - 1, 0), len(source))
    end = len(source.rstrip())
    if place.end_line == place.line:
        end = min(place.end_column - 1, len(source))
    elif not place.end_line:
        end = start + 1
    first, last = _window(source, start)
    before = ("…" if first else "") + _shown(source[first:start])
    marked = _shown(source[start : min(max(end, start + 1), last)])
    after = _shown(source[min(max(end, start + 1), last) : last].rstrip())
    after += "…" if last < len(source) else ""
    bar = painted("gutter", f"{place.line:>{gutter + 1}} |")
    yield f"{bar} {before}{marked}{after}".rstrip()
    underline = painted(style, mark * max(1, display_width(marked)))
    yield f"{painted('gutter', ' ' * (gutter + 1) + ' |')} {' ' * display_width(before)}{underline}"


def _window(source: str, start: int) -> tuple[int, int]:
    """Return which part of a long line to show: some of what is before ``start``, more after."""
    if len(source) <= _WIDTH:
        return 0, len(source)
    first = max(0, min(start - _BEFORE, len(source) - _WIDTH))
    return first, min(len(source), first + _WIDTH)


def _shown(text: str) -> str:
    return _TAB.join(printable(part) for part in text.split("\t"))


def render_json(diagnostics: Sequence[Diagnostic], *, shell: Shell = HERE) -> str:
    """Return diagnostics as one JSON document, in ASCII; its schema is published."""
    counts = Counter[Severity]()
    for diagnostic in diagnostics:
        counts[diagnostic.severity] += diagnostic.count
    document = {
        "format": FORMAT,
        "summary": {"errors": counts[Severity.ERROR], "warnings": counts[Severity.WARNING]},
        "diagnostics": [_to_json(diagnostic, shell) for diagnostic in diagnostics],
    }
    return json.dumps(document, indent=2) + "\n"


def _to_json(diagnostic: Diagnostic, shell: Shell) -> dict[str, Any]:
    return {
        "severity": str(diagnostic.severity),
        "code": diagnostic.code,
        "message": diagnostic.message,
        "place": _place_to_json(diagnostic.place),
        "hint": None if diagnostic.hint is None else shell.text(diagnostic.hint),
        "related": [
            {"message": related.message, "place": _place_to_json(related.place)}
            for related in diagnostic.related
        ],
    }


def _place_to_json(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    document: dict[str, Any] = {"file": place.file}
    if place.line:
        document |= {"line": place.line, "column": place.column}
    if place.end_line:
        document |= {"endLine": place.end_line, "endColumn": place.end_column}
    return document


def render_github(diagnostics: Sequence[Diagnostic], *, shell: Shell = HERE) -> str:
    """Return diagnostics as GitHub workflow commands, which annotate the lines they are about.

    Whatever text they hold stays inside its own command.
    """
    return "".join(f"{_annotation(diagnostic, shell)}\n" for diagnostic in diagnostics)


def _annotation(diagnostic: Diagnostic, shell: Shell) -> str:
    properties = {**_span_properties(diagnostic.place), "title": f"personasync {diagnostic.code}"}
    lines = [diagnostic.message]
    lines += [f"{_where(related.place)}: {related.message}" for related in diagnostic.related]
    if diagnostic.hint is not None:
        lines.append(f"hint: {shell.text(diagnostic.hint)}")
    return workflow_command(
        diagnostic.severity,
        {name: printable(value) for name, value in properties.items()},
        [printable(line, _LONGEST_MESSAGE) for line in lines],
    )


def _span_properties(place: Place | None) -> dict[str, str]:
    if place is None:
        return {}
    if not place.line:
        return {"file": place.file}
    properties = {"file": place.file, "line": str(place.line)}
    one_line = place.end_line in (0, place.line)
    properties["endLine"] = str(place.end_line or place.line)
    if one_line:  # GitHub takes columns only where there is one line
        properties["col"] = str(place.column)
        properties["endColumn"] = str(place.end_column or place.column + 1)
    return properties


def render_error(error: PersonasyncError, *, color: bool = False, shell: Shell = HERE) -> str:
    """Return an error's diagnostics, its message and its next step."""
    parts = []
    if error.diagnostics:
        parts.append(render_text(error.diagnostics, color=color, shell=shell))
    parts.append(f"{paint('Error:', Style.BAD, color)} {printable(error.message)}")
    if error.hint:
        parts.append(f"  {printable(shell.text(error.hint))}")
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def annotate_error(error: PersonasyncError, *, shell: Shell = HERE) -> str:
    """Return an error and its diagnostics as GitHub's annotations."""
    hint = shell.text(error.hint or "")
    told = [printable(part) for part in (error.message, hint) if part]
    annotation = workflow_command("error", {"title": "personasync"}, told)
    return f"{render_github(error.diagnostics, shell=shell)}{annotation}\n"


DIAGNOSTIC_FORMATS: Final[dict[str, Callable[..., str]]] = {
    "text": render_text,
    "json": render_json,
    "github": render_github,
}
"""The renderers by the names that ``--format`` takes."""
