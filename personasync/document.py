"""YAML text to plain values, each with its place. Nothing here knows what a manifest is.

One pass over the parser's events: no tree of nodes is ever built, and what a
hostile document can cost in memory and time has a limit.
"""

from __future__ import annotations

import gc
import math
import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypeAlias

import yaml

from personasync.diagnostics import Diagnostic, Place, Related, Severity
from personasync.source import pick_lines
from personasync.syntax import explain_bytes, explain_syntax

MAX_BYTES: Final = 64 * 1024 * 1024
"""The largest document that is read: well above 100,000 personas."""

MAX_DEPTH: Final = 32
MAX_KEYS: Final = 150_000
"""The most entries of one mapping or list."""

MAX_NODES: Final = 3_000_000
"""The most values of a document, with every alias counted as what it stands for."""

MAX_PROBLEMS: Final = 500
"""The most problems that are told apart; further ones are only counted."""

_CACHED_SCALARS: Final = 1024
_SPAN: Final = 4


class Oddity(StrEnum):
    """Why a value is no plain value that everybody reads alike."""

    DATE = "a date"
    BASE_60 = "a base-60 number"
    OCTAL = "an octal number"
    BINARY = "a binary number"
    GROUPED = "a number with underscores"
    NOT_FINITE = "an infinite or undefined number"
    TOO_LARGE = "a number too large to be meant"
    BROKEN = "a value already reported"


@dataclass(frozen=True, slots=True)
class Odd:
    """A scalar that YAML reads as something its writer rarely means, kept as its text.

    ``meaning`` is the number that YAML 1.1 makes of it, where it makes one.
    """

    oddity: Oddity
    text: str = ""
    meaning: int | float | None = None


class Map(dict[str, "Value"]):
    """A mapping, in the order of the document; ``spans`` is where its places begin."""

    __slots__ = ("spans",)
    spans: int


Value: TypeAlias = "str | int | float | bool | Odd | Map | list[Value] | None"
Span: TypeAlias = tuple[int, int, int, int]

BROKEN: Final = Odd(Oddity.BROKEN)


class Document:
    """The values of one YAML text, and where each stands.

    ``root`` is ``BROKEN`` when nothing could be read; ``problems`` then says
    why. ``omitted`` counts the problems beyond ``MAX_PROBLEMS``.
    """

    __slots__ = ("_root_span", "_spans", "data", "file", "omitted", "problems", "root")

    def __init__(self, file: str, data: bytes) -> None:
        self.file = file
        self.data = data
        self.root: Value = BROKEN
        self.problems: list[Diagnostic] = []
        self.omitted = 0
        self._root_span: Span = (1, 1, 0, 0)
        self._spans = array("I")

    def root_place(self) -> Place:
        """Return where the document's value begins."""
        return Place(self.file, *self._root_span)

    def key_place(self, mapping: Map, key: str) -> Place:
        """Return where a key of a mapping stands."""
        return self.nth_key_place(mapping, list(mapping).index(key))

    def nth_key_place(self, mapping: Map, index: int) -> Place:
        """Return where the key stands that a mapping holds at ``index``, counted from 0."""
        return self._place(mapping.spans + 2 * _SPAN * index)

    def value_place(self, mapping: Map, key: str) -> Place:
        """Return where the value of a key stands, or the key when the value is empty."""
        start = mapping.spans + 2 * _SPAN * list(mapping).index(key)
        place = self._place(start + _SPAN)
        if (place.line, place.column) == (place.end_line, place.end_column):
            return self._place(start)
        return place

    def _place(self, start: int) -> Place:
        return Place(self.file, *self._spans[start : start + _SPAN])

    def with_sources(self, diagnostics: list[Diagnostic]) -> list[Diagnostic]:
        """Return the diagnostics, each place in this document with the text of its line."""
        places = [d.place for d in diagnostics if d.place is not None]
        places += [related.place for d in diagnostics for related in d.related]
        lines = pick_lines(self.data, {p.line for p in places if p.file == self.file})
        return [self._with_source(diagnostic, lines) for diagnostic in diagnostics]

    def _with_source(self, diagnostic: Diagnostic, lines: dict[int, str]) -> Diagnostic:
        related = tuple(
            replace(r, source=lines.get(r.place.line)) if r.place.file == self.file else r
            for r in diagnostic.related
        )
        source = diagnostic.source
        if diagnostic.place is not None and diagnostic.place.file == self.file:
            source = lines.get(diagnostic.place.line)
        return replace(diagnostic, source=source, related=related)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Hold the garbage collector off while only new objects are made, which it would walk."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_document(file: str, data: bytes) -> Document:
    """Read one YAML document; what is wrong with it is in ``problems``, never raised.

    ``file`` is the name that places show. The encoding is UTF-8, with or
    without a byte order mark.
    """
    document = Document(file, data.removeprefix(b"\xef\xbb\xbf"))
    problem = explain_bytes(file, document.data, MAX_BYTES)
    if problem is not None:
        document.problems.append(problem)
        return document
    with collector_paused():
        _Builder(document).build()
    return document


class _Stop(Exception):  # noqa: N818  - a way out of the loop, no error
    """Nothing more can be read."""


class _Frame:
    """A mapping or list that is being built."""

    __slots__ = ("anchor", "key", "key_event", "merges", "nodes", "spans", "start", "value")

    def __init__(self, value: Map | list[Value], start: Any, nodes: int) -> None:
        self.value = value
        self.start = start
        self.anchor: str | None = start.anchor
        self.nodes = nodes
        self.key: Value | object = _NO_KEY
        self.key_event: Any = None
        self.spans: list[int] = []
        self.merges: list[tuple[Value, Any]] = []


_NO_KEY: Final = object()
_SKIPPED_KEY: Final = object()
_MERGE: Final = object()
_UNFINISHED: Final = object()


class _Builder:
    """Builds the values of a document from the parser's events, without recursion."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._spans = document._spans  # the document's own builder
        self._stack: list[_Frame] = []
        self._anchors: dict[str, Value | object] = {}
        self._sizes: dict[str, int] = {}
        self._nodes = 0
        self._key_memo: dict[str, str] = {}
        self._scalars: dict[str, Value] = {}
        self._last_scalar: Any = None
        self._parser: Any = _parser(document.data)

    def build(self) -> None:
        document = self._document
        try:
            self._run()
        except _Stop:
            document.root = BROKEN
        except yaml.YAMLError as error:
            document.root = BROKEN
            document.problems.append(
                explain_syntax(document.file, document.data, error, self._last_scalar)
            )
        finally:
            self._parser.dispose()

    def _run(self) -> None:
        next_event = self._parser.get_event
        scalar_event = yaml.ScalarEvent
        mapping_start = yaml.MappingStartEvent
        mapping_end = yaml.MappingEndEvent
        documents = 0
        while (event := next_event()) is not None:
            kind = type(event)
            if kind is scalar_event:
                self._put(self._scalar(event), event, event.end_mark)
            elif kind is mapping_start:
                self._open(Map(), event)
            elif kind is mapping_end:
                self._close_mapping(event)
            elif kind is yaml.SequenceStartEvent:
                self._open([], event)
            elif kind is yaml.SequenceEndEvent:
                self._close(event)
            elif kind is yaml.AliasEvent:
                self._put(self._alias(event), event, event.end_mark)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    self._second_document(event)
        if documents == 0:
            self._empty()

    # Where a finished value goes

    def _put(self, value: Value, start: Any, end_mark: Any) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._count(0, start)
        if not self._stack:
            self._document.root = value
            if value is None:
                self._empty()
            self._document._root_span = _span(start.start_mark, end_mark)
            return
        frame = self._stack[-1]
        target = frame.value
        if type(target) is list:
            target.append(value)
            if len(target) > MAX_KEYS:
                self._too_much(start, f"more than {MAX_KEYS:,} entries in one list")
            return
        if frame.key is _NO_KEY:
            frame.key = self._key(frame, value, start)
            frame.key_event = (start, end_mark)
            return
        self._put_entry(frame, value, start.start_mark, end_mark)

    def _put_entry(self, frame: _Frame, value: Value, start: Any, end: Any) -> None:
        key, frame.key = frame.key, _NO_KEY
        if type(key) is str:
            mapping: Any = frame.value
            mapping[key] = value
            key_start, key_end_mark = frame.key_event
            key_mark = key_start.start_mark
            frame.spans += (
                key_mark.line + 1,
                key_mark.column + 1,
                key_end_mark.line + 1,
                key_end_mark.column + 1,
                start.line + 1,
                start.column + 1,
                end.line + 1 if end is not None else 0,
                end.column + 1 if end is not None else 0,
            )
            if len(mapping) > MAX_KEYS:
                self._too_much(key_start, f"more than {MAX_KEYS:,} keys in one mapping")
        elif key is _MERGE:
            frame.merges.append((value, frame.key_event[0]))

    def _key(self, frame: _Frame, value: Value, event: Any) -> str | object:
        if type(value) is str:
            if value == "<<" and event.__class__ is yaml.ScalarEvent and event.implicit[0]:
                if frame.merges:
                    self._problem(
                        "duplicate-key",
                        event,
                        "the key << is given twice in one mapping",
                        hint="merge several mappings with one list: <<: [*first, *second]",
                    )
                return _MERGE
            if value in frame.value:
                return self._duplicate(frame, value, event)
            memo = self._key_memo.setdefault(value, value) if len(value) < 20 else value
            if len(self._key_memo) > _CACHED_SCALARS:
                self._key_memo.clear()
            return memo
        return self._odd_key(value, event)

    def _duplicate(self, frame: _Frame, key: str, event: Any) -> object:
        if self._full():
            return _SKIPPED_KEY
        mapping: Any = frame.value
        start = 2 * _SPAN * list(mapping).index(key)
        first = Place(self._document.file, *frame.spans[start : start + _SPAN])
        self._problem(
            "duplicate-key",
            event,
            f"the key {_shown(key)} is given twice in one mapping",
            hint="remove one of the two, or give it another key",
            related=(Related(f"{_shown(key)} is first given here", first),),
        )
        return _SKIPPED_KEY

    def _odd_key(self, value: Value, event: Any) -> object:
        if value is BROKEN:
            return _SKIPPED_KEY
        if isinstance(value, (dict, list)):
            self._problem(
                "key-not-text",
                event,
                "a key must be text, not a " + ("mapping" if isinstance(value, dict) else "list"),
                hint="write a plain word before the colon",
            )
            return _SKIPPED_KEY
        text = event.value if isinstance(event, yaml.ScalarEvent) else ""
        self._problem(
            "key-not-text",
            event,
            f"a key must be text, but YAML reads {text} as {kind_of(value)}"
            if text
            else "a key is missing before the colon",
            hint=f'quote it: "{text}":' if text else "write the key before the colon",
        )
        return _SKIPPED_KEY

    # Mappings and lists

    def _open(self, value: Map | list[Value], event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._problem(
                "too-deep",
                event,
                f"values are nested more than {MAX_DEPTH} deep",
                hint="check the brackets and the indentation",
            )
            raise _Stop
        if event.tag is not None and event.tag not in (
            "!",
            "tag:yaml.org,2002:map" if isinstance(value, dict) else "tag:yaml.org,2002:seq",
        ):
            self._unknown_tag(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _UNFINISHED
        self._stack.append(_Frame(value, event, self._nodes))

    def _close_mapping(self, event: Any) -> None:
        frame = self._stack[-1]
        mapping: Any = frame.value
        if frame.merges:
            self._merge(frame)
        mapping.spans = len(self._spans)
        self._spans.extend(frame.spans)
        self._close(event)

    def _close(self, event: Any) -> None:
        frame = self._stack.pop()
        if frame.anchor is not None:
            self._anchors[frame.anchor] = frame.value
            self._sizes[frame.anchor] = self._nodes - frame.nodes
        # A block ends where the next token begins, which is of no use to a reader.
        end = event.end_mark if frame.start.flow_style else None
        self._put(frame.value, frame.start, end)

    def _merge(self, frame: _Frame) -> None:
        """Add the entries of ``<<``: own keys win, then the mapping that comes first."""
        target: Any = frame.value
        for value, event in frame.merges:
            for source in value if isinstance(value, list) else [value]:
                if isinstance(source, Map):
                    self._merge_one(target, frame.spans, source, event)
                elif source is not BROKEN:
                    self._problem(
                        "merge-not-mapping",
                        event,
                        f"<< merges mappings, and this is {kind_of(source)}",
                        hint="write <<: *name, with &name at the mapping to merge",
                    )

    def _merge_one(self, target: Map, spans: list[int], source: Map, event: Any) -> None:
        self._count(len(source), event)
        width = 2 * _SPAN
        for index, (key, value) in enumerate(source.items()):
            if key not in target:
                target[key] = value
                start = source.spans + width * index
                spans.extend(self._spans[start : start + width])

    # Scalars and aliases

    def _scalar(self, event: Any) -> Value:
        self._last_scalar = event
        text: str = event.value
        value: Value = text
        if event.implicit[0]:
            if text[:1] in _MAY_BE_TYPED:
                value = self._plain(text)
        elif event.tag is not None:
            value = self._tagged(text, event)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
            self._sizes[event.anchor] = 1
        return value

    def _plain(self, text: str) -> Value:
        scalars = self._scalars
        if text in scalars:
            return scalars[text]
        value = resolve_plain(text)
        if len(scalars) < _CACHED_SCALARS:
            scalars[text] = value
        return value

    def _tagged(self, text: str, event: Any) -> Value:
        name = event.tag.removeprefix("tag:yaml.org,2002:")
        if event.tag == "!" or name == "str":
            return text
        if name == event.tag or name not in _TAGGED:
            self._unknown_tag(event)
            return BROKEN
        value = resolve_plain(text)
        if name == "float" and type(value) is int:
            return float(value)
        if isinstance(value, Odd) or type(value) is _TAGGED[name]:
            return value
        self._problem(
            "wrong-tag",
            event,
            f"{_shown(text)} is not what its tag !!{name} says",
            hint="remove the tag",
        )
        return BROKEN

    def _unknown_tag(self, event: Any) -> None:
        tag = event.tag
        shown = tag.replace("tag:yaml.org,2002:", "!!", 1)
        self._problem(
            "unknown-tag",
            event,
            f"the tag {_shown(shown)} is not known here",
            hint="remove the tag, or quote the text if it is meant to begin with '!'"
            if not tag.startswith("tag:yaml.org,2002:")
            else "remove the tag: only plain YAML data is read, and nothing is constructed",
        )

    def _alias(self, event: Any) -> Value:
        name = event.anchor
        value = self._anchors.get(name)
        if name not in self._anchors:
            self._problem(
                "undefined-alias",
                event,
                f"*{name} refers to an anchor &{name} that is not defined above",
                hint=f'quote it if it is meant as text: "*{name}"',
            )
            return BROKEN
        if value is _UNFINISHED:
            self._problem(
                "recursive-alias",
                event,
                f"*{name} stands inside the very value that &{name} names",
                hint="write the value out instead",
            )
            return BROKEN
        self._count(self._sizes[name], event)
        return value  # type: ignore[return-value]  # _UNFINISHED was the only other object

    # Limits and problems

    def _count(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._too_much(
                event,
                f"more than {MAX_NODES:,} values, each alias counted as what it stands for",
            )

    def _too_much(self, event: Any, what: str) -> None:
        self._problem(
            "too-large",
            event,
            f"the document holds {what}",
            hint="spread it over several files",
        )
        raise _Stop

    def _second_document(self, event: Any) -> None:
        self._problem(
            "second-document",
            event,
            "a second YAML document begins here",
            hint="a file holds one document: remove the ---, or move what follows to its own file",
        )
        raise _Stop

    def _empty(self) -> None:
        self._document.problems.append(
            Diagnostic(
                Severity.ERROR,
                "empty-file",
                "the file is empty" if not self._document.data else "the file holds no values",
                Place(self._document.file, 1, 1),
            )
        )
        raise _Stop

    def _full(self) -> bool:
        if len(self._document.problems) < MAX_PROBLEMS:
            return False
        self._document.omitted += 1
        return True

    def _problem(
        self,
        code: str,
        event: Any,
        message: str,
        *,
        hint: str,
        related: tuple[Related, ...] = (),
    ) -> None:
        if not self._full():
            place = Place(self._document.file, *_span(event.start_mark, event.end_mark))
            self._document.problems.append(
                Diagnostic(Severity.ERROR, code, message, place, hint, related)
            )


def _parser(data: bytes) -> Any:
    if yaml.__with_libyaml__:
        return yaml.CSafeLoader(data)
    return yaml.SafeLoader(data)


def _span(start: Any, end: Any) -> Span:
    if end is None:
        return (start.line + 1, start.column + 1, 0, 0)
    return (start.line + 1, start.column + 1, end.line + 1, end.column + 1)


def _shown(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def kind_of(value: Value) -> str:
    """Return what a value is, in words: ``a number``, ``true or false``, ``a list``."""
    if isinstance(value, Odd):
        return str(value.oddity)
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float)):
        return "a number"
    return "a mapping" if isinstance(value, dict) else "a list"


# The scalars of YAML 1.1 (https://yaml.org/type/), as PyYAML resolves them.
_MAY_BE_TYPED: Final = frozenset("-+.0123456789~nNyYtTfFoO") | {""}
_TRUE: Final = re.compile("yes|Yes|YES|true|True|TRUE|on|On|ON")
_PLAIN: Final = re.compile(
    r"""
      (?P<null>   ~ | null | Null | NULL | )
    | (?P<bool>   yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF )
    | (?P<int>    [-+]?(?:0|[1-9][0-9_]*) )
    | (?P<hex>    [-+]?0x[0-9a-fA-F_]+ )
    | (?P<octal>  [-+]?0[0-7_]+ )
    | (?P<binary> [-+]?0b[01_]+ )
    | (?P<float>  [-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?
                | \.[0-9][0-9_]*(?:[eE][-+][0-9]+)? )
    | (?P<base60> [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*
                | [-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+ )
    | (?P<notfinite> [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN) )
    | (?P<date>   [0-9]{4}-[0-9]{2}-[0-9]{2}
                | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2} (?:[Tt]|[ \t]+) [0-9]{1,2}:[0-9]{2}:[0-9]{2}
                  (?:\.[0-9]*)? (?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))? )
    """,
    re.VERBOSE,
)
_TAGGED: Final[dict[str, type]] = {"int": int, "float": float, "bool": bool, "null": type(None)}
_LARGEST: Final = 2**63


def resolve_plain(text: str) -> Value:
    """Return what YAML 1.1 makes of an unquoted scalar.

    What the two versions of YAML read differently, and what is no finite
    number of a sane size, comes back as ``Odd``.
    """
    match = _PLAIN.fullmatch(text)
    if match is None:
        return text
    kind = match.lastgroup
    if kind == "null":
        return None
    if kind == "bool":
        return _TRUE.fullmatch(text) is not None
    if kind == "date":
        return Odd(Oddity.DATE, text)
    if kind == "notfinite":
        return Odd(Oddity.NOT_FINITE, text)
    return _number(str(kind), text)


def _number(kind: str, text: str) -> Value:
    digits = text.replace("_", "")
    if len(digits) > 400 or (kind != "float" and len(digits) > 70):
        return Odd(Oddity.TOO_LARGE, text)
    value: int | float
    if kind == "base60":
        value = _base_60(digits)
    elif kind == "float":
        value = float(digits)
    else:
        if not digits.strip("+-").removeprefix("0x").removeprefix("0b"):
            return text
        value = int(digits, {"int": 10, "hex": 16, "octal": 8, "binary": 2}[kind])
    if not math.isfinite(value) or abs(value) >= _LARGEST:
        return Odd(Oddity.TOO_LARGE, text)
    if kind in _ODD_NUMBERS:
        return Odd(_ODD_NUMBERS[kind], text, value)
    return Odd(Oddity.GROUPED, text, value) if "_" in text else value


_ODD_NUMBERS: Final = {
    "base60": Oddity.BASE_60,
    "octal": Oddity.OCTAL,
    "binary": Oddity.BINARY,
}


def _base_60(text: str) -> int | float:
    sign = -1 if text.startswith("-") else 1
    value: int | float = 0
    for part in text.lstrip("+-").split(":"):
        value = value * 60 + (float(part) if "." in part else int(part))
    return sign * value
