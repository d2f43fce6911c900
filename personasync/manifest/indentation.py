"""Which line is not indented as it should be: told by what the line is, where that is known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from personasync.manifest.complaint import Complaint
from personasync.manifest.layout import continued_text, fields_of
from personasync.manifest.lines import indent_of, pick_lines
from personasync.model.diagnostics import Diagnostic

_ABOVE: Final = 200
_BELOW: Final = 20
_ENTRY: Final = re.compile(
    r"(?P<indent> *)(?P<quote>[\"']?)(?P<key>[\w.-]+)(?P=quote)[ \t]*:"
    r"(?:[ \t]+(?P<value>[^#\s].*?))?[ \t]*(?:(?<=[ \t])#.*)?$"
)
_HEADER: Final = re.compile(r"[|>][-+0-9]{0,2}")
_USUAL: Final = {"part": 0, "settings": 2, "defaults": 2, "key": 2, "field": 4}
"""How far each kind of entry is indented where no other shows how far."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line ``key: value``, and what kind of entry the manifest has by that name there."""

    number: int
    indent: int
    key: str
    value: str | None
    kind: str | None
    owner: int
    """The number of the line that opens what the entry belongs to; 0 where that is not known."""


def indentation(c: Complaint, width: int, at: int) -> Diagnostic:
    """Say which line is out of line where the parser stopped at a line's first word."""
    if (fault := _line_at_fault(c)) is not None:
        return fault
    if _ENTRY.match(c.text) is None:
        return continued_text(c, c.line) or no_key_at_all(c, c.line)
    above = c.line_above(c.line)
    if above is None:
        return c.at(
            c.line, at, width, "bad-indentation", "this line is not indented as it should be"
        )
    number, text = above
    wanted = len(text) - len(text.lstrip())
    if at - 1 == wanted:
        return c.at(c.line, at, width, "bad-indentation", "this line cannot stand here")
    hint = f"indent it by {_spaces(wanted)}" if wanted else "remove its indentation"
    return c.at(
        c.line,
        at,
        width,
        "bad-indentation",
        f"this line does not line up with line {number}: "
        f"it is indented by {_spaces(at - 1)}, line {number} by {wanted or 'none'}",
        f"{hint}, if it belongs beside line {number}",
    )


def no_key_at_all(c: Complaint, number: int) -> Diagnostic:
    """Say of a line that it is no entry, where one belongs."""
    text = c.lines.get(number, "")
    return c.at(
        number,
        len(text) - len(text.lstrip()) + 1,
        len(text.strip()),
        "missing-colon",
        "this line holds no key: there is no colon and space in it",
        "write # before it if it is a comment, or a key and a colon if it is a value",
    )


def _line_at_fault(c: Complaint) -> Diagnostic | None:
    """Return which of the last entries is not where its like are, if what they are is known."""
    entries = list(_entries(c))
    last = [entry for entry in entries if entry.number <= c.line][-2:]
    keys = [e for e in entries if e.kind == "key" and e.number < c.line]
    for entry in (*last, *_beside_their_fields(entries), *keys):
        if entry.kind is not None:
            wanted, beside = _wanted(entry, entries)
            if entry.indent != wanted:
                return _out_of_line(c, entry, wanted, beside)
    if last and last[-1].number == c.line:
        other = _key_lost(c, entries, last[-1]) or _value_and_entries(c, entries, last)
        if other is not None:
            return other
    for entry in last[:-1]:  # a part of a text that was taken for an entry
        if entry.kind is None and (goes_on := continued_text(c, entry.number)) is not None:
            return goes_on
    return None


def _beside_their_fields(entries: list[_Entry]) -> list[_Entry]:
    """Return the keys of personas whose fields are not indented more than they are."""
    return [
        key
        for key, field in pairwise(entries)
        if key.kind == "key" and field.kind == "field" and field.indent <= key.indent
    ]


def _entries(c: Complaint) -> Iterator[_Entry]:
    """Yield the entries around where the parser stopped, but none of what is a block of text."""
    first = max(1, c.line - _ABOVE)
    lines = pick_lines(c.data, range(first, c.line + _BELOW))
    section, opened, key = ("", 0, 0) if first == 1 else ("personas", 0, 0)
    header: int | None = None  # how far a line is indented that opened a block of text
    text = 0  # and how far the text of the block is
    for number, line in sorted(lines.items()):
        indent = indent_of(line)
        if not line.strip():
            continue
        if header is not None:
            text, header = (indent, None) if indent > header else (0, None)
        if text and indent >= text:
            continue
        text = 0
        match = _ENTRY.match(line)
        if match is None:
            continue
        name, value = match["key"], match["value"]
        kind = _kind(name, value, section)
        owner = {"part": 0, "key": opened, "field": key}.get(str(kind), opened)
        if kind == "part" and value is None:
            section, opened = name, number
        elif kind == "key":
            key = number
        yield _Entry(number, indent, name, value, kind, owner)
        if value is not None and _HEADER.fullmatch(value):
            header = indent


def _kind(name: str, value: str | None, section: str) -> str | None:
    if name in fields_of("manifest"):
        return "part"
    if section in ("settings", "defaults") and name in fields_of(section):
        return section
    if section == "personas":
        return "field" if name in fields_of("persona") else "key" if value is None else None
    return None


def _wanted(entry: _Entry, entries: list[_Entry]) -> tuple[int, _Entry | None]:
    """Return how far an entry should be indented, and the nearest one that shows it."""
    if entry.kind == "part":
        return 0, None
    wrong = _beside_their_fields(entries) if entry.kind == "key" else []
    like = [e for e in entries if e.kind == entry.kind and e.indent > 0]
    like = [e for e in like if e.number != entry.number and e not in wrong]
    like = [e for e in like if e.owner == entry.owner] or like
    if not like:
        return (entry.indent, None) if entry.indent > 0 else (_USUAL[str(entry.kind)], None)
    if len(like) == 1 and entry.indent == _USUAL[str(entry.kind)]:
        return entry.indent, None  # of two, the unusual one is wrong
    wanted = Counter(e.indent for e in like).most_common(1)[0][0]
    beside = min(
        (e for e in like if e.indent == wanted), key=lambda e: abs(e.number - entry.number)
    )
    return wanted, beside


def _out_of_line(c: Complaint, entry: _Entry, wanted: int, beside: _Entry | None) -> Diagnostic:
    line = pick_lines(c.data, [entry.number])[entry.number].strip()
    message = f"{entry.key} is indented by {_spaces(entry.indent)}, and belongs at the margin"
    if beside is not None:
        message = (
            f"this line does not line up with line {beside.number}: "
            f"it is indented by {_spaces(entry.indent)}, line {beside.number} by {wanted}"
        )
    elif wanted:
        message = f"{entry.key} must be indented below what it belongs to"
    hint = f"indent it by {_spaces(wanted)}" if wanted else "remove its indentation"
    return c.at(entry.number, entry.indent + 1, len(line), "bad-indentation", message, hint)


def _key_lost(c: Complaint, entries: list[_Entry], stopped: _Entry) -> Diagnostic | None:
    """Find fields directly below ``personas:``, whose persona has lost its key."""
    for part, field in pairwise(entries):
        if part.key == "personas" and field.kind == "field" and stopped.kind == "key":
            return c.at(
                field.number,
                field.indent + 1,
                len(field.key),
                "missing-key",
                f"a persona begins here, and its key is missing: {field.key} is a field",
                "write its key on a line above, such as neon-siren:, "
                f"indented by {_spaces(stopped.indent)}",
            )
    return None


def _value_and_entries(
    c: Complaint, entries: list[_Entry], last: list[_Entry]
) -> Diagnostic | None:
    """Find a value after the key of a mapping, with the mapping's entries below it."""
    if len(last) < 2:
        return None
    holder, entry = last
    if holder.value is None or entry.indent <= holder.indent:
        return None
    key = holder.kind is None and holder.indent in {e.indent for e in entries if e.kind == "key"}
    if not key and holder.kind != "part":
        return None
    text = pick_lines(c.data, [holder.number])[holder.number]
    start = text.index(holder.value, text.index(":"))
    return c.at(
        holder.number,
        start + 1,
        len(holder.value),
        "value-and-entries",
        f"{holder.key} has a value, and entries below it: it can have only one of them",
        "remove it: the entries are what belongs to it",
    )


def _spaces(count: int) -> str:
    return "1 space" if count == 1 else f"{count or 'no'} spaces"
