"""The manifest: YAML files to a typed ``Manifest``, with every problem in them at once."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from personasync.manifest.find import File, find_files, read_bytes
from personasync.manifest.lines import with_sources
from personasync.manifest.reader import (
    MAX_BYTES,
    MAX_PROBLEMS,
    SEVERAL_TWICE,
    Document,
    collector_paused,
    read_document,
)
from personasync.manifest.rules import (
    ManifestEntry,
    cut_by_comments,
    entry_problems,
    taken_for_marks,
)
from personasync.manifest.schemas import Check, compile_schema, load_schema, violations
from personasync.manifest.values import BROKEN, Map, Value
from personasync.manifest.words import explain, with_quoted, wrong_altogether
from personasync.model.diagnostics import Diagnostic, Place, Related, Severity
from personasync.model.errors import ManifestError
from personasync.model.persona import Manifest, Persona, PersonaRequest, Settings
from personasync.model.spelling import counted, plural, quoted
from personasync.model.units import Rate


def load_manifest(paths: Sequence[str | os.PathLike[str]]) -> Manifest:
    """Read files, folders, globs and, as ``-``, standard input as one manifest.

    A folder stands for the ``*.yaml`` and ``*.yml`` files in it, sorted, the
    hidden ones left out; folders inside it are not searched. In a glob, ``**``
    stands for folders at any depth. A file that is reached twice is read once.
    Raises ``ManifestError`` with every problem of every file as its
    ``diagnostics``, sorted by place.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    with collector_paused():
        assembly = _Assembly()
        files, problems = find_files(paths)
        assembly.diagnostics += problems
        for file in files:
            assembly.read(file)
        return assembly.finish(tuple(file.name for file in files))


# The shape: what the schema says


@dataclass(frozen=True, slots=True)
class _Checks:
    manifest: Check
    key: Check
    persona: Check
    parts: Mapping[str, Mapping[str, Check]]


@cache
def _checks() -> _Checks:
    schema = load_schema("manifest")
    definitions = schema["definitions"]

    def fields(part: str) -> dict[str, Check]:
        whole = {"definitions": definitions}
        properties: dict[str, Any] = definitions[part]["properties"]
        return {name: compile_schema({**whole, **rule}) for name, rule in properties.items()}

    return _Checks(
        compile_schema(schema),
        compile_schema(schema, "key"),
        compile_schema(schema, "persona"),
        {part: fields(part) for part in ("settings", "defaults", "persona")},
    )


def _shape_problems(document: Document, *, enough: bool) -> tuple[list[Diagnostic], int]:
    """Return what the schema has against a document, and how many bad personas it leaves out.

    Where there is ``enough`` to show already nothing is explained, only counted.
    """
    root: Any = document.root
    omitted = 0
    if isinstance(root, dict) and isinstance(root.get("personas"), dict):
        check_key, check_persona = _checks().key, _checks().persona
        bad = {
            key: value
            for key, value in root["personas"].items()
            if not (check_key(key) and check_persona(value))
        }
        if enough:
            return [], max(1, len(bad))
        omitted = max(0, len(bad) - MAX_PROBLEMS)
        root = {**root, "personas": dict(list(bad.items())[:MAX_PROBLEMS])}
    return list(explain(document, violations(load_schema("manifest"), root))), omitted


def _sound(part: str, value: Value) -> dict[str, Any]:
    """Return the fields of a mapping that are as they should be, for the rules to look at."""
    if not isinstance(value, dict):
        return {}
    fields = _checks().parts[part]
    return {name: item for name, item in value.items() if name in fields and fields[name](item)}


# All files together


class _Assembly:
    """The personas of all files, held against each other as they come in."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._omitted = 0
        self._errors = self._counted = 0  # errors among the first so many diagnostics
        self._documents: list[Document] = []
        self._hidden: set[str] = set()  # files whose lines are nobody's business
        self._starts: list[int] = []  # how many personas came before each document
        self._keys: list[str] = []
        self._entries: list[Value] = []
        self._personas: list[Persona] = []
        self._seen: dict[str, dict[str, int]] = {
            name: {} for name in ("key", "audioId", "personaId", "name")
        }
        self._settings: dict[str, tuple[Any, Place]] = {}

    def read(self, file: File) -> None:
        """Take in one file."""
        data = read_bytes(file, MAX_BYTES + 1)
        if isinstance(data, Diagnostic):
            self.diagnostics.append(data)
            return
        document = read_document(file.name, data)
        sound = document.root is not BROKEN and _checks().manifest(document.root)
        if not file.shown:
            self._hidden.add(file.name)
            if document.problems or not sound:
                self.diagnostics.append(_foreign(file.name))
                return
        self._documents.append(document)
        self._starts.append(len(self._entries))
        self.diagnostics += [_in_a_manifest(problem) for problem in document.problems]
        self._omitted += document.omitted
        if document.root is BROKEN:
            return
        wrong = None if sound else wrong_altogether(document)
        if wrong is not None:
            self.diagnostics.append(wrong)
            return
        if not sound:
            problems, omitted = _shape_problems(document, enough=self._enough())
            self.diagnostics += problems
            self._omitted += omitted
        if isinstance(document.root, Map):
            self._take_settings(document, document.root)
            self._take_personas(document, document.root, sound)

    def finish(self, files: tuple[str, ...]) -> Manifest:
        """Return the manifest, or raise ``ManifestError`` with all that was found."""
        diagnostics = self._reported()
        errors = sum(d.count for d in diagnostics if d.severity is Severity.ERROR)
        if errors:
            message = f"the manifest has {counted(errors, 'error')}"
            raise ManifestError(message, diagnostics=diagnostics)
        settings = {name: value for name, (value, _) in self._settings.items()}
        return Manifest(
            personas=tuple(self._personas),
            settings=Settings(
                parallelism=settings.get("parallelism"),
                rate_limit=settings.get("rateLimit"),
                max_creates=settings.get("maxCreates"),
            ),
            files=files,
            warnings=tuple(diagnostics),
        )

    def _enough(self) -> bool:
        """Whether more errors are told of already than are shown; then they are only counted."""
        new = self.diagnostics[self._counted :]
        self._errors += sum(d.severity is Severity.ERROR for d in new)
        self._counted += len(new)
        return self._errors > MAX_PROBLEMS

    def _reported(self) -> list[Diagnostic]:
        """Return the diagnostics sorted by place, the source lines added, cut to what helps."""
        errors = [d for d in self.diagnostics if d.severity is Severity.ERROR]
        warnings = [d for d in self.diagnostics if d.severity is Severity.WARNING]
        errors.sort(key=_by_place)
        warnings.sort(key=_by_place)
        kept = sorted((errors + warnings)[:MAX_PROBLEMS], key=_by_place)
        texts = {d.file: d.data for d in self._documents if d.file not in self._hidden}
        room = max(0, MAX_PROBLEMS - len(errors))
        return [
            *map(with_quoted, with_sources(kept, texts)),
            *_not_shown(Severity.ERROR, self._omitted + max(0, len(errors) - MAX_PROBLEMS)),
            *_not_shown(Severity.WARNING, max(0, len(warnings) - room)),
        ]

    def _take_settings(self, document: Document, root: Map) -> None:
        settings = root.get("settings")
        for name, value in _sound("settings", settings).items():
            assert isinstance(settings, Map)
            meaning = Rate.parse(value) if name == "rateLimit" else int(value)
            place = document.value_place(settings, name)
            first, first_place = self._settings.setdefault(name, (meaning, place))
            if first != meaning:
                self.diagnostics.append(
                    Diagnostic(
                        Severity.ERROR,
                        "contradicting-setting",
                        f"settings.{name} is {value} here, and {first} in another file",
                        place,
                        "keep one of the two",
                        (Related(f"settings.{name} is first given here", first_place),),
                    )
                )

    def _take_personas(self, document: Document, root: Map, sound: bool) -> None:
        personas = Map() if root.get("personas") is None else root["personas"]
        if not isinstance(personas, Map):
            return
        defaults = _sound("defaults", root.get("defaults"))
        told: set[tuple[str, Place | None]] = set()  # what a default does wrong is told once
        start, first = len(self._entries), len(self.diagnostics)
        self._keys += personas
        self._entries += personas.values()
        for index, (key, value) in enumerate(personas.items()):
            fields: Mapping[str, Any] = (
                value if sound and isinstance(value, Map) else _sound("persona", value)
            )
            self._check_unique(start + index, key, fields)
            if sound:
                self._personas.append(_persona(document, personas, index, key, fields, defaults))
            if isinstance(value, Map):
                entry = ManifestEntry(document, root, key, value, fields, defaults)
                for problem in entry_problems(entry):
                    if (problem.code, problem.place) not in told:
                        told.add((problem.code, problem.place))
                        self.diagnostics.append(problem)

        cut = list(cut_by_comments(document, root, personas))
        cut += taken_for_marks(document, root, personas)
        places = {problem.place for problem in cut}  # what is left of a text is no text to judge
        if cut:
            kept = [d for d in self.diagnostics[first:] if d.place not in places]
            self.diagnostics[first:] = kept + cut

    # Uniqueness across files

    def _check_unique(self, ordinal: int, key: str, fields: Mapping[str, Any]) -> None:
        seen = self._seen
        if seen["key"].setdefault(key, ordinal) != ordinal:
            self._duplicate("key", key, ordinal)
        for name in ("audioId", "personaId", "name"):
            value = fields.get(name)
            if value is not None and seen[name].setdefault(value, ordinal) != ordinal:
                self._duplicate(name, value, ordinal)

    def _duplicate(self, field: str, value: str, ordinal: int) -> None:
        first = self._seen[field][value]
        place, first_place = self._place(field, ordinal), self._place(field, first)
        if place == first_place:  # one anchored value, used by two personas
            place, first_place = self._place("key", ordinal), self._place("key", first)
        severity, message, hint = _DUPLICATES[field]
        self.diagnostics.append(
            Diagnostic(
                severity,
                f"duplicate-{_CODES[field]}",
                message.format(value=quoted(value), key=self._keys[ordinal]),
                place,
                hint,
                (Related(f"first used here, by {self._keys[first]}", first_place),),
            )
        )

    def _place(self, field: str, ordinal: int) -> Place:
        number = bisect_right(self._starts, ordinal) - 1
        document, entry = self._documents[number], self._entries[ordinal]
        if field != "key" and isinstance(entry, Map):
            return document.value_place(entry, field)
        root: Any = document.root
        return document.nth_key_place(root["personas"], ordinal - self._starts[number])


_CODES: Final = {
    "key": "key",
    "audioId": "audio-id",
    "personaId": "persona-id",
    "name": "name",
}
_DUPLICATES: Final = {
    "key": (
        Severity.ERROR,
        "the key {key} is used for two personas",
        "give each its own key: all files are read as one manifest",
    ),
    "audioId": (
        Severity.ERROR,
        "personas.{key}.audioId is {value}, which another persona has too",
        "each audio can produce one persona, once: remove one of the two, or give its own audioId",
    ),
    "personaId": (
        Severity.ERROR,
        "personas.{key}.personaId is {value}, which another persona has too",
        "each persona has an ID of its own: correct one of the two",
    ),
    "name": (
        Severity.WARNING,
        "personas.{key}.name is {value}, which another persona has too",
        "give each a name that tells them apart",
    ),
}


def _not_shown(severity: Severity, count: int) -> Iterator[Diagnostic]:
    """Yield what to say of problems that are only counted."""
    if count:
        message = f"{counted(count, f'more {severity}')} {plural(count, 'is', 'are')} not shown"
        yield Diagnostic(severity, "more-problems", message, count=count)


def _by_place(diagnostic: Diagnostic) -> tuple[bool, Place | None, str]:
    return (diagnostic.place is not None, diagnostic.place, diagnostic.message)


def _foreign(name: str) -> Diagnostic:
    """Return all that is said of a file elsewhere that is no manifest: it may be anything.

    Even the name of a key could be what readers of the message must not see.
    """
    return Diagnostic(
        Severity.ERROR,
        "foreign-file",
        "it is a link to a file elsewhere that is no valid manifest, and nothing of it is shown",
        Place(name, 0, 0),
        "name the file itself, where it really is, to see what is wrong with it",
    )


def _in_a_manifest(problem: Diagnostic) -> Diagnostic:
    """Return a problem of a document, with advice that knows what the document is to be."""
    if problem.hint == SEVERAL_TWICE:
        hint = "remove them; or, if another persona begins here, write its key on the line above"
        return replace(problem, hint=hint)
    if problem.code != "empty-file":
        return problem
    hint = "begin with version: 1 and personas:, or let personasync init write a manifest"
    return replace(problem, hint=hint)


def _persona(
    document: Document,
    personas: Map,
    index: int,
    key: str,
    fields: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> Persona:
    get = fields.get
    request = PersonaRequest(
        fields["taskId"],
        fields["audioId"],
        fields["name"],
        fields["description"],
        get("vocalStart", defaults.get("vocalStart")),
        get("vocalEnd", defaults.get("vocalEnd")),
        get("style", defaults.get("style")),
    )
    place = document.nth_key_place(personas, index)
    persona_id = get("personaId")
    if persona_id is None:
        return Persona(key, request, place)
    assert isinstance(fields, Map)
    return Persona(key, request, place, persona_id, document.value_place(fields, "personaId"))
