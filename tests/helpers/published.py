"""Holds every machine-readable output that the test suite produces to its published schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
from jsonschema.exceptions import best_match

if TYPE_CHECKING:
    from tests.helpers.support import Ended

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
NAMES = ("manifest", "state", "plan", "events", "diagnostics")
_COMMANDS = ("validate", "plan", "apply", "output", "import", "state")
_WRITING = ("apply", "import", "state")
_MOST_LINES = 1000


@cache
def validator(name: str) -> jsonschema.Draft7Validator:
    """Return the validator of a published schema, formats included."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft7Validator(
        schema, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER
    )


def check_run(
    folder: Path, args: Sequence[str], environment: Mapping[str, str], ended: Ended
) -> None:
    """Check all that one run of the command printed and wrote."""
    for name, document in outputs(folder, args, environment, ended):
        check(name, document)


def check(name: str, document: Any) -> None:
    """Raise ``AssertionError``, saying what is wrong in one line, for a document that is not so."""
    error = best_match(validator(name).iter_errors(document))
    if error is not None:
        where = f"{name}.schema.json, {error.json_path}"
        raise AssertionError(f"{where}: {error.message}: {json.dumps(document)[:300]}")


def outputs(
    folder: Path, args: Sequence[str], environment: Mapping[str, str], ended: Ended
) -> Iterator[tuple[str, Any]]:
    """Yield each document of a run with the name of the schema that it promises to follow."""
    if "--help" in args:
        return
    command = next((word for word in args if word in _COMMANDS), None)
    as_json = _value(args, "--format", environment) == "json"
    if as_json and ended.stdout:
        yield from _printed(command, args, ended)
    for option in ("--out", "--json-out"):
        written = _value(args, option, environment) if command == "plan" else None
        if written and ended.code in (0, 2) and (folder / written).is_file():
            yield "plan", json.loads((folder / written).read_text(encoding="utf-8"))
    if command in _WRITING and ended.code in (0, 3):
        for path in sorted(folder.glob("*.state.jsonl")):
            lines = path.read_text(encoding="utf-8").splitlines()[:_MOST_LINES]
            yield from (("state", json.loads(line)) for line in lines)


def _printed(command: str | None, args: Sequence[str], ended: Ended) -> Iterator[tuple[str, Any]]:
    match command:
        case "plan" if ended.code in (0, 2):
            yield "plan", json.loads(ended.stdout)
        case "apply":
            yield from (("events", json.loads(line)) for line in ended.stdout.splitlines())
        case "validate":
            yield "diagnostics", json.loads(ended.stdout)
        case "state" if "list" in args:
            yield from (("state", entry) for entry in json.loads(ended.stdout))
        case "state" if "show" in args:
            shown = json.loads(ended.stdout)
            yield from (("state", each) for each in (shown if isinstance(shown, list) else [shown]))


def _value(args: Sequence[str], option: str, environment: Mapping[str, str]) -> str | None:
    """Return an option's value as the command takes it: from its words, else its variable."""
    value = environment.get("PERSONASYNC_" + option[2:].upper().replace("-", "_"))
    for index, word in enumerate(args):
        if word == option and index + 1 < len(args):
            value = args[index + 1]
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
    return value
