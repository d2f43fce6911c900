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
from dataclasses import dataclass
from typing import Final

from personasync.model.cells import read_cell
from personasync.model.errors import PersonasyncError
from personasync.state.entry import Entry, Header
from personasync.state.fold import fold, lines_of
from personasync.state.parse import parse_log

_STATE: Final = re.compile(r'"personasync\.state/|^\W*"audioId"\s*:.*"status"\s*:', re.MULTILINE)
_COLUMNS: Final = {"key": "key", "name": "name", "audioid": "audio_id", "personaid": "persona_id"}
_BETWEEN: Final = "\t;,"


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
    text = _decoded(data)
    if _is_state(text):
        return _old_state(text.encode("utf-8", "surrogateescape"), name)
    table = _json_rows(text) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text, name)
    if table is None:
        raise PersonasyncError(
            f"{name} is no list of IDs: neither JSON as output writes it, nor CSV, nor a state",
            hint="CSV begins with a line of names: personaId, and key, name or audioId",
        )
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
    known = [line for entry in fold(parsed.entries).values() for line in lines_of(entry)]
    rows = [
        Row(f"audio {line.audio_id}", line.persona_id, line.key, line.audio_id, entry=line)
        for line in known
        if line.persona_id
    ]
    notes = tuple(f"line {each.number} of {name}: {each.words}" for each in parsed.damage)
    return IdList(tuple(rows), len(known) - len(rows), parsed.current, notes)


def _json_rows(text: str) -> list[tuple[str, dict[str, str]]] | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(document, dict):
        rows = [(f"key {key!r}", _named(key, value)) for key, value in document.items()]
    elif isinstance(document, list):
        rows = [(f"item {number}", each) for number, each in enumerate(document, start=1)]
    else:
        return None
    found = [(where, _cells(fields)) for where, fields in rows if isinstance(fields, dict)]
    return found if len(found) == len(rows) else None


def _named(key: str, value: object) -> object:
    """Return what ``{key: ID}`` or ``{key: {…}}`` says, with its key."""
    if value is None or isinstance(value, str):
        return {"key": key, "personaId": value}
    return {**value, "key": key} if isinstance(value, dict) else value


def _cells(fields: Mapping[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for title, value in fields.items():
        column = _COLUMNS.get(_plain(title))
        if column is not None and isinstance(value, str) and value.strip():
            found[column] = value.strip()
    return found


def _plain(title: str) -> str:
    return re.sub(r"[^a-z0-9]", "", title.lower())


def _csv_rows(text: str, name: str) -> list[tuple[str, dict[str, str]]] | None:
    try:
        lines = list(_csv_lines(text))
    except csv.Error as error:
        raise PersonasyncError(
            f"{name} cannot be read as CSV: {error}", hint="save it as CSV again"
        ) from error
    if not lines:
        return None
    titles = [_COLUMNS.get(_plain(title)) for title in lines[0][1]]
    if "persona_id" not in titles or not {"key", "name", "audio_id"}.intersection(titles):
        return None
    return [(f"line {number}", _by_title(titles, cells)) for number, cells in lines[1:]]


def _csv_lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that hold anything, whichever sign stands between their cells."""
    first, _newline, rest = text.partition("\n")
    if re.fullmatch(r"sep=.\r?", first):  # what tells Excel the sign
        between, text = first[4], rest
    else:
        between = max(_BETWEEN, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=between)
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield reader.line_num, cells


def _by_title(titles: Sequence[str | None], cells: Sequence[str]) -> dict[str, str]:
    """Return the cells that count; of two columns of one title the first that holds anything."""
    found: dict[str, str] = {}
    for title, cell in zip(titles, cells, strict=False):
        if title is not None and cell.strip():
            found.setdefault(title, read_cell(cell.strip()))
    return found
