"""Lists of IDs to adopt, as ``output``, spreadsheets and people write them; or an old state.

What a file is, its content tells: its name, its first lines and its encoding
may be anybody's.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from personasync.model.cells import read_cell
from personasync.model.errors import PersonasyncError
from personasync.model.spelling import joined
from personasync.state.entry import Entry, Header
from personasync.state.fold import fold, lines_of
from personasync.state.parse import parse_log

_STATE: Final = re.compile(r'"personasync\.state/|^\W*"audioId"\s*:.*"status"\s*:', re.MULTILINE)
_COLUMNS: Final = {"key": "key", "name": "name", "audioid": "audio_id", "personaid": "persona_id"}
_BETWEEN: Final = "\t;,"
_MOST_ABOVE: Final = 20  # lines that people write above the names of the columns
_WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


@dataclass(frozen=True, slots=True)
class Row:
    """One ID of a list, and what names its persona; ``where`` is its place in the list."""

    where: str
    persona_id: str
    key: str | None = None
    audio_id: str | None = None
    name: str | None = None
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class IdList:
    """What a file holds: its rows, how many had no ID, and an old state's header."""

    rows: tuple[Row, ...]
    without_id: int = 0
    header: Header | None = None
    notes: tuple[str, ...] = ()


def read_list(data: bytes, name: str) -> IdList:
    """Read CSV, JSON or an old state; ``name`` is what errors call it.

    Raises ``PersonasyncError`` for what is none of them.
    """
    if data.startswith(_WORKBOOKS):
        raise PersonasyncError(
            f"{name} is no list of IDs, but a workbook", hint="save its sheet as CSV"
        )
    text = _decoded(data)
    if _is_state(text):
        return _old_state(text.encode("utf-8", "surrogateescape"), name)
    try:
        table = _json_rows(text) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text)
    except (ValueError, RecursionError, csv.Error) as error:
        raise PersonasyncError(
            f"{name} is no list of IDs: neither JSON as output writes it, nor CSV, nor a state"
            f" ({error})",
            hint="CSV begins with a line of names: personaId, and key, name or audioId",
        ) from error
    rows = []
    for where, cells in table:
        if persona_id := cells.get("persona_id"):
            names = cells.get("key"), cells.get("audio_id"), cells.get("name")
            rows.append(Row(where, persona_id, *names))
    return IdList(tuple(rows), len(table) - len(rows))


def _decoded(data: bytes) -> str:
    """Decode what spreadsheets and shells write: UTF-8, UTF-16, else the Windows of the West."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if data[1:2] == b"\0" or data[:1] == b"\0":
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if _is_state(data.decode("utf-8", "surrogateescape")):
            return data.decode("utf-8", "surrogateescape")
        return data.decode("cp1252", "replace")


def _is_state(text: str) -> bool:
    return _STATE.search(text) is not None


def _old_state(data: bytes, name: str) -> IdList:
    parsed = parse_log(data, name)
    folded = fold(parsed.entries)
    known = [line for entry in folded.values() for line in lines_of(entry)]
    rows = [
        Row(f"audio {line.audio_id}", line.persona_id, line.key, line.audio_id, entry=line)
        for line in known
        if line.persona_id
    ]
    notes = [f"line {each.number} of {name}: {each.words}" for each in parsed.damage]
    notes += [
        f"{entry.key!r} has {len(entry.ids)} IDs in {name}, {joined(entry.ids)}"
        for entry in folded.values()
        if entry.rivals
    ]
    return IdList(tuple(rows), len(known) - len(rows), parsed.current, tuple(notes))


def _json_rows(text: str) -> list[tuple[str, dict[str, str]]]:
    document = _json_value(text)
    if isinstance(document, dict):
        rows = [(f"key {key!r}", _named(key, value)) for key, value in document.items()]
    else:
        rows = [(f"item {number}", each) for number, each in enumerate(document, start=1)]
    found = [(where, fields) for where, fields in rows if isinstance(fields, dict)]
    if len(found) < len(rows) or (
        found and not any(_plain(title) == "personaid" for _, fields in found for title in fields)
    ):
        raise ValueError("nothing in it is named personaId")
    return [(where, _cells(fields, where)) for where, fields in found]


def _json_value(text: str) -> dict[str, object] | list[object]:
    """Return an object, a list, or the list that one object a line comes to."""
    decoder = json.JSONDecoder(object_pairs_hook=_each_once)
    value: dict[str, object] | list[object]
    try:
        value = decoder.decode(text)
    except ValueError:
        with suppress(ValueError):
            return [decoder.decode(line) for line in text.splitlines() if line.strip()]
        raise
    return value


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands in it twice")
    return found


def _named(key: str, value: object) -> object:
    """Return what ``{key: ID}`` or ``{key: {…}}`` says, with its key."""
    if value is None or isinstance(value, str):
        return {"key": key, "personaId": value}
    return {**value, "key": key} if isinstance(value, dict) else value


def _cells(fields: Mapping[str, object], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for title, value in fields.items():
        column = _COLUMNS.get(_plain(title))
        if type(value) is int:  # an ID may be all digits
            value = str(value)
        if column == "persona_id" and not isinstance(value, str | None):
            raise ValueError(f"a personaId in it is no text: {json.dumps(value)}")
        if column is not None and isinstance(value, str) and value.strip():
            _take(found, column, value.strip(), where)
    return found


def _take(found: dict[str, str], column: str, value: str, where: str) -> None:
    """Take a cell; of several with one title the first counts, but no ID is passed over."""
    first = found.setdefault(column, value)
    if column == "persona_id" and first != value:
        raise PersonasyncError(
            f"{where} has two personaIds: {first!r} and {value!r}",
            hint="nothing was imported; leave the one that is right",
        )


def _plain(title: str) -> str:
    return re.sub(r"[^a-z0-9]", "", title.lower())


def _csv_rows(text: str) -> list[tuple[str, dict[str, str]]]:
    first = text.lstrip().partition("\n")[0]
    told = re.fullmatch(r"sep=(.)\r?", first)  # what tells Excel the sign
    for between in told[1] if told else sorted(_BETWEEN, key=first.count, reverse=True):
        lines = _csv_lines(text, between)
        for _, above in islice(lines, _MOST_ABOVE):
            titles = [_COLUMNS.get(_plain(title)) for title in above]
            if "persona_id" in titles and {"key", "name", "audio_id"}.intersection(titles):
                rows = [(f"line {number}", cells) for number, cells in lines]
                _refuse_open_quote(text, between)
                return [(where, _by_title(titles, cells, where)) for where, cells in rows]
    raise ValueError("no line of it names its columns")


def _csv_lines(text: str, between: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that hold anything."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=between)
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield reader.line_num, cells


def _refuse_open_quote(text: str, between: str) -> None:
    """A quote that nothing closes would make one cell of all that follows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True)
    line = 1
    try:
        for _ in reader:
            line = reader.line_num + 1
    except csv.Error as error:
        if "end of data" in str(error):
            raise PersonasyncError(
                f"line {line}: a quote begins that nothing closes",
                hint="nothing was imported; close it, or take it out",
            ) from None


def _by_title(titles: Sequence[str | None], cells: Sequence[str], where: str) -> dict[str, str]:
    """Return the cells that count."""
    found: dict[str, str] = {}
    for title, cell in zip(titles, cells, strict=False):
        if title is not None and cell.strip():
            _take(found, title, read_cell(cell.strip()), where)
    return found
