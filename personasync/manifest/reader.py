"""YAML text to plain values, each with its place. Nothing here knows what a manifest is.

One pass over the parser's events: no tree of nodes is ever built, and what a
hostile document can cost in memory and time has a limit.
"""

from __future__ import annotations

import gc
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
from typing import Any, Final, NoReturn

import yaml

from personasync.manifest.layout import LOST_INDENTATION
from personasync.manifest.slips import MAX_DEPTH, TOO_DEEP, explain_bytes, explain_syntax
from personasync.manifest.texts import IF_TEXT
from personasync.manifest.values import (
    BROKEN,
    MAY_BE_TYPED,
    TAGGED,
    Map,
    Odd,
    Oddity,
    Span,
    Value,
    kind_of,
    resolve_plain,
)
from personasync.model.diagnostics import Diagnostic, Place, Related, Severity
from personasync.model.spelling import cut, joined

MAX_BYTES: Final = 64 * 1024 * 1024
"""The largest document that is read: well above 100,000 personas."""

MAX_KEYS: Final = 150_000
"""The most entries of one mapping or list."""

MAX_NODES: Final = 1_600_000
"""The most values of a document, with every alias counted as what it stands for."""

MAX_PROBLEMS: Final = 500
"""The most problems that are told apart; further ones are only counted."""

SEVERAL_TWICE: Final = "remove them; or write above them the key of what they belong to"
"""What to do about several keys in a row that are given twice."""

_LONGEST_QUOTED: Final = 64
_CACHED_SCALARS: Final = 1024
_SPAN: Final = 4  # numbers that make a place: line and column of its start and of its end
_POSITION: Final = attrgetter("line", "column")
_MARKS: Final = 4  # marks of an entry: start and end of its key and of its value


class Document:
    """The values of one YAML text, and where each stands.

    ``root`` is ``BROKEN`` when nothing could be read; ``problems`` then says
    why. ``omitted`` counts the problems beyond ``MAX_PROBLEMS``. ``refused`` are
    keys that are told of already, and whose values are there all the same;
    ``unused`` are marks that serve nothing, an anchor that no alias refers to
    or an ``!`` alone, and line and column of the scalars behind them.
    """

    __slots__ = (
        "_lines",
        "_root_span",
        "_spans",
        "data",
        "file",
        "omitted",
        "problems",
        "refused",
        "root",
        "unused",
    )

    def __init__(self, file: str, data: bytes) -> None:
        self.file = file
        self.data = data
        self.root: Value = BROKEN
        self.problems: list[Diagnostic] = []
        self.omitted = 0
        self.refused: set[str] = set()
        self.unused: dict[str, tuple[int, int]] = {}
        self._root_span: Span = (1, 1, 0, 0)
        self._lines: list[bytes] = []
        self._spans = array("i")  # lines and columns as the parser counts them, from 0

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

    def line(self, number: int) -> str:
        """Return a line of the text, counted from 1; nothing beyond its end."""
        if not self._lines:  # split once for all that ask: most documents are never asked
            self._lines = self.data.splitlines()
        return self._lines[number - 1].decode() if number <= len(self._lines) else ""

    def _place(self, start: int) -> Place:
        line, column, end_line, end_column = self._spans[start : start + _SPAN]
        return Place(self.file, line + 1, column + 1, end_line + 1, end_column + 1)


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


class _UnreadableError(Exception):
    """Nothing more can be read."""


class _Frame:
    """A mapping or list that is being built.

    ``marks`` collects four of the parser's marks for each entry: where its
    key and its value begin and end. ``key_event`` is the key whose value comes
    next; where it is ``None``, a key does.
    """

    __slots__ = (
        "key",
        "key_event",
        "mapping",
        "marks",
        "merges",
        "nodes",
        "start",
        "twice",
        "value",
    )

    def __init__(self, value: Map | list[Value], start: Any, nodes: int) -> None:
        self.value: Any = value
        self.mapping = isinstance(value, Map)
        self.start = start
        self.nodes = nodes
        self.key: str | object | None = None
        self.key_event: Any = None
        self.marks: list[Any] = []
        self.merges: list[tuple[Value, Any]] = []
        self.twice: _Twice | None = None


@dataclass(frozen=True, slots=True)
class _Twice:
    """Keys that were given before, one after the other, and which of the problems tells of them.

    ``size`` is how many good keys came before them.
    """

    problem: int
    size: int
    keys: list[str]


class _Unknown:
    """A mark for the end of a block, which is wherever the next token begins."""

    line = column = -1


class _Unfinished:
    """What an anchor names as long as its value is not whole."""


_MERGE: Final = object()


class _Builder:
    """Builds the values of a document from the parser's events, without recursion."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._spans = document._spans  # the document's own builder
        self._frame: _Frame | None = None
        self._outer: list[_Frame | None] = []
        self._anchors: dict[str, Value | _Unfinished] = {}
        self._sizes: dict[str, int] = {}
        self._nodes = 0
        self._names: dict[str, str] = {}  # keys that are text, in quotes or not; each kept once
        self._scalars: dict[str, Value] = {}
        self._last_scalar: Any = None
        self._documents = 0
        self._parser: Any = None

    def build(self) -> None:
        """Read the document; every end of it, good or bad, leaves a value and the problems."""
        document = self._document
        try:
            self._parser = _parser(document.data)
            self._run()
        except _UnreadableError:
            document.root = BROKEN
        except yaml.YAMLError as error:
            document.root = BROKEN
            problem = explain_syntax(document.file, document.data, error, self._last_scalar)
            if problem.code == LOST_INDENTATION:
                document.problems.clear()
            document.problems.append(problem)

    def _run(self) -> None:
        """Take in every event.

        Nearly all are keys that were seen before, and plain text: 10 % of the
        time is saved where they are taken for that at once.
        """
        next_event, scalar_event = self._parser.get_event, yaml.ScalarEvent
        others = {
            yaml.MappingStartEvent: lambda event: self._open(Map(), event),
            yaml.MappingEndEvent: self._close_mapping,
            yaml.SequenceStartEvent: lambda event: self._open([], event),
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: lambda event: self._put(self._alias(event), event, event.end_mark),
            yaml.DocumentStartEvent: self._begin_document,
        }
        names, put = self._names, self._put
        while (event := next_event()) is not None:
            kind = type(event)
            if kind is not scalar_event:
                if kind in others:
                    others[kind](event)
                continue
            self._last_scalar = event  # what a syntax error follows
            text, frame = event.value, self._frame
            if event.tag is not None or event.anchor is not None or frame is None:
                put(self._scalar(event), event, event.end_mark)
            elif (
                text in names
                and frame.key_event is None
                and frame.mapping
                and text not in frame.value
            ):
                frame.key, frame.key_event = names[text], event
            else:
                value = text if text[:1] not in MAY_BE_TYPED else self._scalar(event)
                put(value, event, event.end_mark)
        if self._documents == 0:
            self._empty()

    def _begin_document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._problem(
                "second-document",
                event,
                "a second YAML document begins here",
                hint="a file holds one document: "
                "remove the ---, or move what follows to its own file",
            )
            raise _UnreadableError

    # Where a finished value goes

    def _put(self, value: Value, event: Any, end_mark: Any) -> None:
        frame = self._frame
        if frame is None:
            self._put_root(value, event, end_mark)
        elif (key_event := frame.key_event) is not None:
            key, frame.key_event = frame.key, None
            if type(key) is str:
                frame.value[key] = value
                marks = (key_event.start_mark, key_event.end_mark, event.start_mark, end_mark)
                frame.marks += marks
            elif key is _MERGE:
                frame.merges.append((value, key_event))
        elif frame.mapping:
            frame.key, frame.key_event = self._key(frame, value, event), event
        else:
            frame.value.append(value)
            if len(frame.value) > MAX_KEYS:
                self._too_much(event, f"more than {MAX_KEYS:,} entries in one list")

    def _put_root(self, value: Value, event: Any, end_mark: Any) -> None:
        self._document.root = value
        if value is None:
            self._empty()
        self._document._root_span = _span(event.start_mark, end_mark)

    def _key(self, frame: _Frame, value: Value, event: Any) -> str | object | None:
        """Return the key, ``_MERGE``, or ``None`` where the entry is not to be kept."""
        if type(value) is not str:
            self._odd_key(value, event)
            text = event.value if isinstance(event, yaml.ScalarEvent) else None
            if text is None or text in frame.value:
                return None
            self._document.refused.add(text)
            return str(text)  # so that what stands below it is looked at
        if value == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            return self._merge_key(frame, event)
        if value in frame.value:
            self._duplicate(frame, value, event)
            return None
        if len(frame.value) >= MAX_KEYS:
            self._too_much(event, f"more than {MAX_KEYS:,} keys in one mapping")
        plain = value != "<<" and type(resolve_plain(value)) is str
        if plain and len(self._names) < _CACHED_SCALARS:
            self._names[value] = value
        return value

    def _merge_key(self, frame: _Frame, event: Any) -> object:
        if frame.merges:
            self._problem(
                "duplicate-key",
                event,
                "the key << is given twice in one mapping",
                hint="merge several mappings with one list: <<: [*first, *second]",
            )
        return _MERGE

    def _duplicate(self, frame: _Frame, key: str, event: Any) -> None:
        run, problems = frame.twice, self._document.problems
        if run is not None and run.size == len(frame.value) and key not in run.keys:
            run.keys.append(key)
            problems[run.problem] = replace(
                problems[run.problem],
                message=f"the keys {_listed(run.keys)} are given twice in one mapping",
                hint=SEVERAL_TWICE,
            )
            return
        if self._full():
            return
        frame.twice = _Twice(len(problems), len(frame.value), [key])
        start = _MARKS * list(frame.value).index(key)
        first = Place(self._document.file, *_span(*frame.marks[start : start + 2]))
        self._problem(
            "duplicate-key",
            event,
            f"the key {cut(key, 60)} is given twice in one mapping",
            hint="remove one of the two, or give it another key",
            related=(Related(f"{cut(key, 60)} is first given here", first),),
        )

    def _odd_key(self, value: Value, event: Any) -> None:
        if value is BROKEN:
            return
        message = f"a key must be text, not {kind_of(value)}"
        hint = "write a plain word before the colon"
        if isinstance(event, yaml.ScalarEvent):
            message, hint = "a key is missing before the colon", "write the key before the colon"
            if event.value:
                message = f"a key must be text, but YAML reads {event.value} as {kind_of(value)}"
                if isinstance(value, Odd) and value.oddity is Oddity.YAML_1_2:
                    message = f"some YAML readers take the key {event.value} for a number"
                hint = "write a word before the colon, or put it in quotes"
                if event.value[:1].isalnum() and len(event.value) <= _LONGEST_QUOTED:
                    hint = f'quote it: "{event.value}":'
        self._problem("key-not-text", event, message, hint=hint)

    # Mappings and lists

    def _open(self, value: Map | list[Value], event: Any) -> None:
        if len(self._outer) >= MAX_DEPTH:
            code, message, hint = TOO_DEEP
            self._problem(code, event, message, hint=hint)
            raise _UnreadableError
        if event.anchor is not None:
            self._anchors[event.anchor] = _Unfinished()
        self._outer.append(self._frame)
        self._frame = _Frame(value, event, self._nodes)

    def _close_mapping(self, event: Any) -> None:
        frame = self._frame
        assert frame is not None
        spans = self._spans
        frame.value.spans = len(spans)
        spans.extend(chain.from_iterable(map(_POSITION, frame.marks)))
        for value, merge_event in frame.merges:
            self._merge(frame.value, value, merge_event)
        self._close(event)

    def _close(self, event: Any) -> None:
        frame = self._frame
        assert frame is not None
        self._frame = self._outer.pop()
        start = frame.start
        self._count(len(frame.value) + 1, start)
        value = frame.value if self._is_plain(frame) else BROKEN
        if start.anchor is not None:
            self._anchors[start.anchor] = value
            self._sizes[start.anchor] = self._nodes - frame.nodes
        self._put(value, start, event.end_mark if start.flow_style else _Unknown)

    def _is_plain(self, frame: _Frame) -> bool:
        tag = frame.start.tag
        if tag in (
            None,
            "!",
            "tag:yaml.org,2002:map" if frame.mapping else "tag:yaml.org,2002:seq",
        ):
            return True
        self._unknown_tag(frame.start)
        return False

    def _merge(self, target: Map, value: Value, event: Any) -> None:
        """Add the entries of ``<<``: own keys win, then the mapping that comes first."""
        for source in value if isinstance(value, list) else [value]:
            if isinstance(source, Map):
                self._merge_one(target, source, event)
            elif source is not BROKEN:
                self._problem(
                    "merge-not-mapping",
                    event,
                    f"<< merges mappings, and this is {kind_of(source)}",
                    hint="write <<: *name, with &name at the mapping to merge",
                )

    def _merge_one(self, target: Map, source: Map, event: Any) -> None:
        self._count(len(source), event)
        for index, (key, value) in enumerate(source.items()):
            if key not in target:
                target[key] = value
                start = source.spans + 2 * _SPAN * index
                self._spans.extend(self._spans[start : start + 2 * _SPAN])

    # Scalars and aliases

    def _scalar(self, event: Any) -> Value:
        text: str = event.value
        value: Value = text
        if event.tag is not None and not event.implicit[0]:
            value = self._tagged(text, event)
        elif text[:1] in MAY_BE_TYPED and event.implicit[0]:
            value = self._plain(text)
        mark = event.start_mark
        if event.anchor is not None:
            self._anchors[event.anchor] = value
            self._sizes[event.anchor] = 1
            self._document.unused[f"&{event.anchor}"] = (mark.line + 1, mark.column + 1)
        elif event.tag == "!" and not event.style:
            self._document.unused[f"! {event.start_mark.index}"] = (mark.line + 1, mark.column + 1)
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
        if name == event.tag or name not in TAGGED:
            self._unknown_tag(event)
            return BROKEN
        value = resolve_plain(text)
        if name == "float" and type(value) is int:
            return float(value)
        if isinstance(value, Odd) or type(value) is TAGGED[name]:
            return value
        self._problem(
            "wrong-tag",
            event,
            f"{cut(text, 60)} is not what its tag !!{name} says",
            hint="remove the tag",
        )
        return BROKEN

    def _unknown_tag(self, event: Any) -> None:
        tag = event.tag
        shown = tag.replace("tag:yaml.org,2002:", "!!", 1)
        self._problem(
            "unknown-tag",
            event,
            f"the tag {cut(shown, 60)} is not known here",
            hint=IF_TEXT
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
                hint=IF_TEXT,
            )
            return BROKEN
        if isinstance(value, _Unfinished):
            self._problem(
                "recursive-alias",
                event,
                f"*{name} stands inside the very value that &{name} names",
                hint="write the value out instead",
            )
            return BROKEN
        self._count(self._sizes[name], event)
        self._document.unused.pop(f"&{name}", None)
        return value

    # Limits and problems

    def _count(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            many = f"more than {MAX_NODES:,} values"
            if not self._anchors:
                self._too_much(event, many)
            self._too_much(
                event,
                many + ", each alias counted as what it stands for",
                hint="write out what is meant: aliases of aliases multiply",
            )

    def _too_much(
        self, event: Any, what: str, hint: str = "spread it over several files"
    ) -> NoReturn:
        self._problem(
            "too-large",
            event,
            f"the document holds {what}",
            hint=hint,
        )
        raise _UnreadableError

    def _empty(self) -> None:
        self._document.problems.append(
            Diagnostic(
                Severity.ERROR,
                "empty-file",
                "the file is empty" if not self._document.data else "the file holds no values",
                Place(self._document.file, 1, 1),
            )
        )
        raise _UnreadableError

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


def _listed(keys: list[str]) -> str:
    shown = [cut(key, 60) for key in keys[:4]] + ([f"{len(keys) - 4} more"] if keys[4:] else [])
    return joined(shown)


def _parser(data: bytes) -> Any:
    if yaml.__with_libyaml__:
        return yaml.CSafeLoader(data)
    return yaml.SafeLoader(data)


def _span(start: Any, end: Any) -> Span:
    return (start.line + 1, start.column + 1, end.line + 1, end.column + 1)
