"""The manifest: YAML files to a typed ``Manifest``, with every problem in them at once."""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from personasync.diagnostics import Diagnostic, Place, Related, Severity
from personasync.document import (
    BROKEN,
    MAX_BYTES,
    MAX_PROBLEMS,
    Document,
    Map,
    Value,
    collector_paused,
    read_document,
)
from personasync.errors import ManifestError
from personasync.explain import dotted, explain, shown
from personasync.model import (
    DEFAULT_VOCAL_END,
    DEFAULT_VOCAL_START,
    Manifest,
    Persona,
    PersonaRequest,
    Settings,
)
from personasync.schema import Check, compile_schema, load_schema, violations
from personasync.units import Rate

SHORTEST_SEGMENT: Final = 10
"""Seconds; what the API's later documentation asks for at least (api.md §2)."""

LONGEST_SEGMENT: Final = 30
"""Seconds; what the API's later documentation asks for at most (api.md §2)."""

SHORT_DESCRIPTION: Final = 15
"""Characters; below this a description can hardly capture a style (api.md §1)."""

_SUFFIXES: Final = (".yaml", ".yml")
_UNPRINTABLE: Final = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff"
_CONTROL: Final = re.compile(f"[{_UNPRINTABLE}\t\n\r]")
_CONTROL_IN_PROSE: Final = re.compile(f"[{_UNPRINTABLE}\r]")
_UNSEEN: Final = re.compile(
    "[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\U000e0000-\U000e007f]"
    # A joiner belongs between letters or emoji of the scripts that need it.
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)
_PLACEHOLDER: Final = re.compile(
    r"\*\*|…|\.\.\.|<[^<>]*>"
    r"|(?:x+(?:-x+)*|todo|tbd|fixme|changeme|change-me|placeholder|your[-_ ]?\w*[-_ ]?id)$",
    re.IGNORECASE,
)
_EMPTY_WORDS: Final = re.compile(
    r"\W*(?:todo|tbd|fixme|changeme|change me|placeholder|description|lorem ipsum\b.*)?\W*",
    re.IGNORECASE | re.DOTALL,
)


def load_manifest(paths: Sequence[str | os.PathLike[str]]) -> Manifest:
    """Read files and folders as one manifest.

    A folder stands for the ``*.yaml`` and ``*.yml`` files in it, sorted, the
    hidden ones left out; folders inside it are not searched. A file that is
    reached twice is read once. Raises ``ManifestError`` with every problem of
    every file as its ``diagnostics``, sorted by place.
    """
    with collector_paused():
        assembly = _Assembly()
        files, problems = _find_files(paths)
        assembly.diagnostics += problems
        for file in files:
            assembly.read(file)
        return assembly.finish(tuple(files))


# Files


def _find_files(
    paths: Sequence[str | os.PathLike[str]],
) -> tuple[list[str], list[Diagnostic]]:
    """Return the files that the paths stand for, each once, and what is wrong with the paths."""
    files: dict[tuple[int, int], str] = {}
    problems = []
    if not paths:
        problems.append(Diagnostic(Severity.ERROR, "no-manifest", "no manifest is given"))
    for path in paths:
        name = os.fspath(path)
        try:
            status = os.stat(name)  # noqa: PTH116 - the name stays as the user wrote it
            found = _in_folder(name) if stat.S_ISDIR(status.st_mode) else [(name, status)]
        except (OSError, ValueError) as error:
            problems.append(_unreadable(name, error))
            continue
        for file, file_status in found:
            files.setdefault((file_status.st_dev, file_status.st_ino), file)
        if not found:
            problems.append(_no_manifests(name))
    return list(files.values()), problems


def _in_folder(folder: str) -> list[tuple[str, os.stat_result]]:
    found = []
    for child in sorted(os.listdir(folder)):  # noqa: PTH208 - names, not paths
        if child.startswith(".") or not child.lower().endswith(_SUFFIXES):
            continue
        name = child if folder == os.curdir else os.path.join(folder, child)  # noqa: PTH118
        status = os.stat(name)  # noqa: PTH116
        if stat.S_ISREG(status.st_mode):
            found.append((name, status))
    return found


def _no_manifests(folder: str) -> Diagnostic:
    inner = any(Path(folder).glob("*/*.y*ml"))
    hint = "name the folders inside it one by one: they are not searched" if inner else None
    return _file_problem(
        folder, "no-manifest", "the folder has no *.yaml or *.yml file in it", hint
    )


def _unreadable(name: str, error: OSError | ValueError) -> Diagnostic:
    if isinstance(error, FileNotFoundError):
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        other = stem + {".yaml": ".yml", ".yml": ".yaml"}.get(suffix, "")
        hint = "personasync init writes a manifest to start from; -f names another file or folder"
        if other != stem and Path(other).exists():
            hint = f"did you mean {other}?"
        return _file_problem(name, "no-such-file", "there is no such file", hint)
    if isinstance(error, PermissionError):
        return _file_problem(name, "no-permission", "there is no permission to read it")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return _file_problem(name, "unreadable", f"it cannot be read: {reason}")


def _file_problem(file: str, code: str, message: str, hint: str | None = None) -> Diagnostic:
    return Diagnostic(Severity.ERROR, code, message, Place(file, 0, 0), hint)


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


def _shape_problems(document: Document) -> tuple[list[Diagnostic], int]:
    """Return what the schema has against a document, and how many bad personas it leaves out."""
    root: Any = document.root
    omitted = 0
    if isinstance(root, dict) and isinstance(root.get("personas"), dict):
        check_key, check_persona = _checks().key, _checks().persona
        bad = {
            key: value
            for key, value in root["personas"].items()
            if not (check_key(key) and check_persona(value))
        }
        omitted = max(0, len(bad) - MAX_PROBLEMS)
        root = {**root, "personas": dict(list(bad.items())[:MAX_PROBLEMS])}
    if isinstance(root, dict) and len(root) > MAX_PROBLEMS:
        omitted += len(root) - MAX_PROBLEMS
    return list(explain(document, violations(load_schema("manifest"), root))), omitted


def _sound(part: str, value: Value) -> dict[str, Any]:
    """Return the fields of a mapping that are as they should be, for the rules to look at."""
    if not isinstance(value, dict):
        return {}
    fields = _checks().parts[part]
    return {name: item for name, item in value.items() if name in fields and fields[name](item)}


# The rules: what no schema can say


class _Assembly:
    """The personas of all files, held against each other as they come in."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.omitted = 0
        self._documents: list[Document] = []
        self._starts: list[int] = []  # how many personas came before each document
        self._personas: list[Persona] = []
        self._entries: list[tuple[Map, str]] = []
        self._keys: dict[str, Place] = {}
        self._audio_ids: dict[str, int] = {}
        self._persona_ids: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._settings: dict[str, tuple[Any, Place]] = {}
