"""What is asked of one persona beyond the schema: its segment, its text, its IDs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from personasync.manifest.ids import id_trouble
from personasync.manifest.reader import Document
from personasync.manifest.taken_in import taken_in
from personasync.manifest.texts import IF_TEXT, text_troubles
from personasync.manifest.values import Map, Value
from personasync.manifest.words import QUOTE_LINE
from personasync.model.contract import (
    DEFAULT_VOCAL_END,
    DEFAULT_VOCAL_START,
)
from personasync.model.diagnostics import Diagnostic, Place, Related, Severity

SHORTEST_SEGMENT: Final = 10
"""Seconds; what the API's later documentation asks for at least."""

LONGEST_SEGMENT: Final = 30
"""Seconds; what the API's later documentation asks for at most."""

_SURELY_MILLISECONDS: Final = 5000
"""An hour and more: no track is so long."""

_IDS: Final = ("taskId", "audioId", "personaId")
_is_plain_id: Final = re.compile(
    "(?![0-]+$)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]*[1-9][0-9a-f]*"
).fullmatch  # IDs as services make them, of which no rule has a word to say
_may_have_taken_in: Final = re.compile("[:/#<]").search
_TEXTS: Final = ("name", "description", "style")
_API_DEFAULTS: Final = {"vocalStart": DEFAULT_VOCAL_START, "vocalEnd": DEFAULT_VOCAL_END}

_HASH: Final = re.compile(
    rb"#(?<=[ \t]#)(?=[^\s#]|[ \t]*[0-9]+[ \t]*\r?(?:\n|$))"
)  # what begins with a literal is found fast


class ManifestEntry(
    NamedTuple
):  # and no dataclass: there is one a persona, and this is made faster
    """One persona as it stands in a document.

    ``fields`` and ``defaults`` are what of ``entry`` and of the file's
    defaults satisfies the schema; nothing else is looked at.
    """

    document: Document
    root: Map
    key: str
    entry: Map
    fields: Mapping[str, Any]
    defaults: Mapping[str, Any]

    def place(self, field: str) -> Place:
        """Return where a field that is given stands: in the persona, else in the defaults."""
        holder = self.entry if field in self.fields else self.root["defaults"]
        assert isinstance(holder, Map)
        return self.document.value_place(holder, field)

    def name(self, field: str) -> str:
        """Return how messages name a field: by the mapping that holds its value."""
        inherited = field not in self.fields and field in self.defaults
        return f"defaults.{field}" if inherited else f"personas.{self.key}.{field}"


def entry_problems(entry: ManifestEntry) -> Iterator[Diagnostic]:
    """Yield what is wrong with one persona, beyond what the schema says.

    A large manifest is a hundred thousand calls of this, nearly all with no
    result; each rule is preceded by the cheapest question that can rule it out.
    """
    document, fields, defaults = entry.document, entry.fields, entry.defaults
    start, end = _seconds(entry, "vocalStart"), _seconds(entry, "vocalEnd")
    if start is not None and end is not None and not _in_range(end - start):
        yield from _segment(entry, start, end)
    ids = [fields[field] for field in _IDS if field in fields]
    if len(set(ids)) < len(ids):
        yield from _same_ids(entry)
    if "personaId" in fields or not all(map(_is_plain_id, ids)):
        yield from _id_problems(entry)
    for field in _TEXTS:
        text = fields.get(field) or defaults.get(field)
        if text is not None:
            for trouble in text_troubles(field, text):
                yield _problem(entry, field, *trouble)
            if _may_have_taken_in(text):
                place, name = entry.place(field), entry.name(field)
                yield from taken_in(document, place, name, entry.entry, text)


def cut_by_comments(document: Document, root: Map, personas: Map) -> Iterator[Diagnostic]:
    """Yield the texts that an unquoted ``#`` cuts short: ``name: Track #1`` is just ``Track``."""
    ends = _plain_ends(document.data)
    if not ends:
        return
    for name, entry in _holders(root, personas):
        for field in _TEXTS:
            if not isinstance(entry, Map) or not isinstance(entry.get(field), str):
                continue
            place = document.value_place(entry, field)
            if (place.end_line, place.end_column) in ends:
                yield Diagnostic(
                    Severity.ERROR,
                    "cut-by-comment",
                    f"{name}.{field} ends here: what follows # is a comment",
                    place,
                    QUOTE_LINE,
                )


def taken_for_marks(document: Document, root: Map, personas: Map) -> Iterator[Diagnostic]:
    """Yield the texts whose beginning YAML takes for an anchor or a tag: ``name: &Roll on``."""
    marks = {place: mark.split()[0] for mark, place in document.unused.items()}
    for name, entry in _holders(root, personas) if marks else ():
        for field in _TEXTS:
            if not isinstance(entry, Map) or not isinstance(entry.get(field), str):
                continue
            place = document.value_place(entry, field)
            mark = marks.get((place.line, place.column))
            if mark is not None:
                yield Diagnostic(
                    Severity.ERROR,
                    "lost-beginning",
                    f"{name}.{field} begins after {mark}, which means something to YAML",
                    place,
                    IF_TEXT,
                )


def _holders(root: Map, personas: Map) -> Iterator[tuple[str, Value]]:
    """Yield what holds texts, and how messages name it."""
    yield "defaults", root.get("defaults")
    for key, entry in personas.items():
        yield f"personas.{key}", entry


def _plain_ends(data: bytes) -> set[tuple[int, int]]:
    """Return line and column where text without quotes ends before a ``#`` and no space."""
    ends = set()
    line, position, found = 1, 0, 0
    for match in _HASH.finditer(data):
        breaks = data.count(b"\n", position, match.start())
        line, position = line + breaks, match.start()
        if line == found:
            continue  # only the first on a line can begin a comment
        found = line
        before = data[data.rfind(b"\n", 0, position) + 1 : position].decode().rstrip()
        if before and before[-1] not in "\"'":
            ends.add((line, len(before) + 1))
    return ends


def _in_range(length: float) -> bool:
    return SHORTEST_SEGMENT <= round(length, 6) <= LONGEST_SEGMENT


def _segment(entry: ManifestEntry, start: float, end: float) -> Iterator[Diagnostic]:
    """Tell of a segment that is empty, or not as long as the API asks."""
    # What the persona itself says is at fault, rather than what it inherits.
    given = [f for f in ("vocalEnd", "vocalStart") if f in entry.fields]
    given += [f for f in ("vocalEnd", "vocalStart") if f in entry.defaults]
    fault = given[0]
    other = "vocalStart" if fault == "vocalEnd" else "vocalEnd"
    related = _related(entry, other)
    if end <= start:
        if fault == "vocalEnd":
            words = f"must be greater than vocalStart: {_number(end)} is not above {_number(start)}"
        else:
            words = f"must be less than vocalEnd: {_number(start)} is not below {_number(end)}"
        assumed = ", which the API assumes" if related is None else ""
        yield Diagnostic(
            Severity.ERROR,
            "empty-segment",
            f"{entry.name(fault)} {words}{assumed}",
            entry.place(fault),
            _segment_hint(entry, other, start),
            () if related is None else (related,),
        )
    else:
        yield Diagnostic(
            Severity.WARNING,
            "segment-length",
            f"{entry.name(fault)}: the segment from {_number(start)} to {_number(end)} s "
            f"is {_number(round(end - start, 6))} s long",
            entry.place(fault),
            f"the API asks for {SHORTEST_SEGMENT} to {LONGEST_SEGMENT} seconds"
            + (", not milliseconds" if end >= _SURELY_MILLISECONDS else ""),
            () if related is None else (related,),
        )


def _segment_hint(entry: ManifestEntry, other: str, start: float) -> str:
    if other == "vocalEnd" and other not in entry.fields:
        return f"give vocalEnd too, such as vocalEnd: {_number(start + LONGEST_SEGMENT)}"
    if other == "vocalStart" and other not in entry.fields:
        end = _seconds(entry, "vocalEnd")
        return "give a greater vocalEnd" + (", or a vocalStart of its own" if end else "")
    return "both are seconds from the start of the track"


def _seconds(entry: ManifestEntry, field: str) -> float | None:
    """Return what a field is in effect; ``None`` when it is given, but unusable."""
    seconds: float | None = entry.fields.get(field)
    if seconds is not None or field in entry.entry:
        return seconds
    defaults = entry.root.get("defaults")
    if isinstance(defaults, Map) and field in defaults:
        return entry.defaults.get(field)
    return _API_DEFAULTS[field]


def _related(entry: ManifestEntry, field: str) -> Related | None:
    if field not in entry.fields and field not in entry.defaults:
        return None
    value = entry.fields.get(field, entry.defaults.get(field))
    return Related(f"{entry.name(field)} is {_number(value)}", entry.place(field))


def _number(value: float) -> str:
    text = f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{value:.6g}"


def _id_problems(entry: ManifestEntry) -> Iterator[Diagnostic]:
    fields = entry.fields
    others = [fields[field] for field in ("taskId", "audioId") if field in fields]
    for field in _IDS:
        if field in fields:
            trouble = id_trouble(field, fields[field], *(others if field == "personaId" else ()))
            if trouble is not None:
                yield _problem(entry, field, *trouble)


def _same_ids(entry: ManifestEntry) -> Iterator[Diagnostic]:
    if entry.fields.get("taskId") == entry.fields.get("audioId"):
        yield Diagnostic(
            Severity.WARNING,
            "same-id",
            f"{entry.name('audioId')} is the same as taskId",
            entry.place("audioId"),
            "taskId names a generation task, audioId a track of it",
            (Related("taskId is given here", entry.place("taskId")),),
        )


def _problem(
    entry: ManifestEntry,
    field: str,
    code: str,
    message: str,
    hint: str,
    severity: Severity = Severity.ERROR,
) -> Diagnostic:
    return Diagnostic(severity, code, f"{entry.name(field)} {message}", entry.place(field), hint)
