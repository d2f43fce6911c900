"""What a text has taken in that was to stand beside it: the next field, or a comment."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Final

from personasync.manifest.lines import indent_of
from personasync.manifest.reader import Document
from personasync.model.contract import API_FIELDS
from personasync.model.diagnostics import Diagnostic, Place, Severity

_ONLY_FIELDS: Final = r"(?:task|audio|persona)[_-]?id|vocal[_-]?(?:start|end)"
_FIELD: Final = re.compile(rf"(?P<field>{_ONLY_FIELDS})[\"']?[ \t]*:", re.IGNORECASE)
"""A name that no prose holds, with a colon: it was to be a field, wherever it stands."""

_FIELD_LINE: Final = re.compile(
    rf"[ \t]*[\"']?(?P<field>(?i:{_ONLY_FIELDS})|name|description|style|[a-z]+[A-Z]\w*)"
    r"[\"']?[ \t]*:(?:[ \t]|$)"
)
_COMMENT: Final = re.compile(r"(?:^|(?<=\s))//(?=\s)|/\*|<!--(?=.*-->)", re.MULTILINE)
_HASH: Final = re.compile(r"(?:^|(?<=\s))#(?=\s)", re.MULTILINE)
_SUSPECT: Final = re.compile(
    rf"{_FIELD.pattern}|:\s|{_COMMENT.pattern}|{_HASH.pattern}", re.I | re.M
)
_KEY_LINE: Final = re.compile(r"\s*[\w.-]+:\s*")
_PROPERTIES: Final = re.compile(r"(?:[&!]\S*[ \t]+)*")
_TEXTS: Final = ("name", "description", "style")


class _Written:
    """A text as it stands in the file: the lines that it goes over, and what it begins with."""

    __slots__ = ("field", "indent", "lines", "mark", "place")

    def __init__(self, document: Document, place: Place, field: str) -> None:
        first = document.line(place.line)
        opened = _PROPERTIES.match(first, place.column - 1)
        assert opened is not None
        self.place, self.field = place, field
        self.indent = indent_of(first)
        self.mark = first[opened.end() : opened.end() + 1]
        self.lines = [(place.line, first[place.column - 1 :])]
        for number in range(place.line + 1, place.end_line + 1):
            line = document.line(number)
            if self.block and line.strip() and indent_of(line) <= self.indent:
                break
            self.lines.append((number, line))

    @property
    def block(self) -> bool:
        return self.mark in ("|", ">")

    @property
    def quoted(self) -> bool:
        return self.mark in ("'", '"')

    def at(self, number: int, line: str) -> Place:
        if number == self.place.line:
            return self.place
        start, end = len(line) - len(line.lstrip()), len(line.rstrip())
        return Place(self.place.file, number, start + 1, number, end + 1)


def taken_in(
    document: Document, place: Place, name: str, given: Container[str], text: str
) -> Iterator[Diagnostic]:
    """Yield what a text at ``place`` holds that was to be a field, or a comment.

    ``name`` is how messages name the text, ``given`` the fields that the
    persona has beside it.
    """
    if _SUSPECT.search(text) is None:
        return
    written = _Written(document, place, name.rpartition(".")[2])
    swallowed = _line_swallowed(written, name, given) or _field_inside(written, name, text)
    if swallowed is not None:
        yield swallowed
    else:
        yield from _comments(written, name)


def _line_swallowed(written: _Written, name: str, given: Container[str]) -> Diagnostic | None:
    """Find the line of a field that was indented as the text is, or stands in its quotes."""
    found = [
        (number, line, match["field"])
        for number, line in written.lines[1:]
        if (match := _FIELD_LINE.match(line)) is not None
    ]
    if not found:
        return None
    surely = any(_FIELD.match(f"{field}:") or _lacks(given, field) for _, _, field in found)
    number, line, field = found[0]
    above = written.lines[number - written.lines[0][0] - 1][1]
    if written.block and _KEY_LINE.fullmatch(above):
        number, line, field = number - 1, above, above.strip().rstrip(":")
        hint = f"indent it as the key of the persona above is, and its fields by {written.indent}"
    else:
        hint = _field_hint(written, number, field, given, len(found) > 1)
    return Diagnostic(
        Severity.ERROR if surely else Severity.WARNING,
        "swallowed-field",
        f"{field}: stands in the text of {name}, and would be part of it for good",
        written.at(number, line),
        hint,
    )


def _field_hint(
    written: _Written, number: int, field: str, given: Container[str], more: bool
) -> str:
    if field in given:
        return f"remove the line, if it was to be the field {field}: it is given too"
    if field not in (*_TEXTS, *API_FIELDS, "personaId") and not _FIELD.match(f"{field}:"):
        return "remove the line, if it was to be a field: a persona has none of that name"
    if written.block:
        which = "this line and the fields below it" if more else "it"
        return f"indent {which} by {written.indent} spaces, as {written.field} is"
    last, line = written.lines[-1]
    also = f", and remove the one on line {last}" if line.rstrip().endswith(written.mark) else ""
    return f"close the quote at the end of line {number - 1}{also}"


def _lacks(given: Container[str], field: str) -> bool:
    return field in _TEXTS and field not in given


def _field_inside(written: _Written, name: str, text: str) -> Diagnostic | None:
    match = _FIELD.search(text)
    if match is None:
        return None
    field = match["field"]
    where = next(((n, line) for n, line in written.lines if match[0] in line), written.lines[0])
    return Diagnostic(
        # Who wrote quotes round a line of text meant all of it to be text.
        Severity.WARNING if written.quoted and len(written.lines) == 1 else Severity.ERROR,
        "swallowed-field",
        f"{field}: stands in the text of {name}, and would be part of it for good",
        written.at(*where),
        f"put {field} on a line of its own, indented by {written.indent} spaces",
    )


def _comments(written: _Written, name: str) -> Iterator[Diagnostic]:
    """Yield what was to be a comment, and is text where it stands."""
    for pattern in (_COMMENT, *([_HASH] if written.block else ())):
        for number, line in written.lines[written.block :]:
            if (match := pattern.search(line)) is not None:
                where = "in a block of text" if written.block else "in YAML"
                yield Diagnostic(
                    Severity.WARNING,
                    "comment-in-text",
                    f"{name} holds {match[0]}, which begins no comment {where}",
                    written.at(number, line),
                    _comment_hint(written, match[0]),
                )
                break


def _comment_hint(written: _Written, mark: str) -> str:
    if written.quoted:
        return "put the comment behind the closing quote, after #, if it is one"
    if written.block or len(written.lines) > 1:
        return f"put the comment on a line above {written.field}:, after #, if it is one"
    ending = {"/*": " and remove */", "<!--": " and remove -->"}.get(mark, "")
    return (
        f"write # instead of {mark}{ending} if a comment begins there: "
        "else it becomes part of the text"
    )
