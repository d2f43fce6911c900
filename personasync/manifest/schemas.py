"""The published JSON Schemas, and two ways to check a value against one.

``compile_schema`` gives a plain yes or no, fast and without jsonschema;
``violations`` explains a no, with jsonschema. Both give the same verdict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

SCHEMA_NAMES: Final = ("manifest", "state", "plan", "events", "diagnostics")
"""The names of the published schemas."""

Check: TypeAlias = Callable[[Any], bool]


def schema_text(name: str) -> str:
    """Return a published schema as it stands in its file.

    Raises ``ValueError`` when there is none of that name.
    """
    if name not in SCHEMA_NAMES:
        raise ValueError(f"there is no schema {name!r}; there are {', '.join(SCHEMA_NAMES)}")
    return _folder().joinpath(f"{name}.schema.json").read_text(encoding="utf-8")


@cache
def load_schema(name: str) -> dict[str, Any]:
    """Return a published schema as a value, which callers must not change."""
    schema: dict[str, Any] = json.loads(schema_text(name))
    return schema


def _folder() -> Path:
    """Return where the schemas are: inside the installed package, else beside it."""
    package = Path(__file__).parents[1]
    installed = package / "schemas"
    return installed if installed.is_dir() else package.parent / "schemas"


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a value is not what its schema says.

    ``path`` leads to the value, ``keyword`` is the schema's word that refused
    it, and ``expected`` is what the schema says there.
    """

    path: tuple[str | int, ...]
    keyword: str
    expected: Any
    value: Any


def violations(schema: Mapping[str, Any], value: Any) -> Iterator[Violation]:
    """Yield every way in which ``value`` is not what ``schema`` says.

    A name refused by ``propertyNames`` comes with the path of its mapping,
    and with the name as its value.
    """
    from jsonschema import Draft7Validator  # slow to load, and rarely needed

    for error in Draft7Validator(schema).iter_errors(value):
        yield Violation(
            tuple(error.absolute_path),
            str(error.validator),
            error.validator_value,
            error.instance,
        )


_ANNOTATIONS: Final = frozenset(
    {
        "$schema",
        "$id",
        "title",
        "description",
        "default",
        "examples",
        "definitions",
    }
)


def compile_schema(schema: Mapping[str, Any], part: str | None = None) -> Check:
    """Return a function that says whether a value is what ``schema`` says.

    ``part`` names one of the schema's definitions to check against instead.
    Values are plain data: dict, list, str, int, float, bool and None.
    Raises ``ValueError`` for a keyword that is not implemented here, so that
    none is ever silently left out.
    """
    definitions = schema.get("definitions", {})
    return _compile(definitions[part] if part is not None else schema, definitions)


def _compile(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Check:
    if "$ref" in schema:  # draft-07: whatever stands beside a reference is ignored
        name = schema["$ref"].removeprefix("#/definitions/")
        if name not in definitions:
            raise ValueError(f"the reference {schema['$ref']} leads nowhere")
        return _compile(definitions[name], definitions)
    checks: list[Check] = []
    keywords = dict(schema)
    if keywords.keys() & _OBJECT_KEYWORDS:
        checks.append(_object(keywords, definitions))
    for keyword, expected in keywords.items():
        if keyword in _ANNOTATIONS or keyword in _OBJECT_KEYWORDS or keyword == "type":
            continue
        if keyword == "allOf":
            checks += [_compile(part, definitions) for part in expected]
        elif keyword in _KEYWORDS:
            checks.append(_KEYWORDS[keyword](expected))
        else:
            raise ValueError(f"the keyword {keyword} is not implemented")
    if keywords.keys() >= {"type", "pattern"} and keywords["type"] == "string" and len(checks) == 1:
        return _text(keywords["pattern"])
    if "type" in keywords:
        checks.insert(0, _type(keywords["type"]))
    return _all(checks)


def _all(checks: list[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        first, second = checks
        return lambda value: first(value) and second(value)
    return lambda value: all(check(value) for check in checks)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


_TYPES: Final[dict[str, Check]] = {
    "object": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": _is_integer,
}


def _type(expected: str | list[str]) -> Check:
    if not isinstance(expected, str):
        either = [_type(name) for name in expected]
        return lambda value: any(is_one(value) for is_one in either)
    if expected not in _TYPES:
        raise ValueError(f"the type {expected} is not implemented")
    return _TYPES[expected]


def _pattern(expected: str) -> Check:
    search = re.compile(expected).search
    return lambda value: not isinstance(value, str) or search(value) is not None


def _text(pattern: str) -> Check:
    """A type and a pattern in one: most values of a manifest are checked by this."""
    search = re.compile(pattern).search
    return lambda value: isinstance(value, str) and search(value) is not None


def _minimum(expected: float) -> Check:
    return lambda value: not _is_number(value) or value >= expected


def _maximum(expected: float) -> Check:
    return lambda value: not _is_number(value) or value <= expected


def _const(expected: Any) -> Check:
    if not _is_number(expected):
        raise ValueError("const is implemented for numbers only")
    return lambda value: _is_number(value) and value == expected


_KEYWORDS: Final[dict[str, Callable[[Any], Check]]] = {
    "pattern": _pattern,
    "minimum": _minimum,
    "maximum": _maximum,
    "const": _const,
}
_OBJECT_KEYWORDS: Final = frozenset(
    {"properties", "required", "additionalProperties", "propertyNames"}
)


def _object(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Check:
    properties = {
        name: _compile(part, definitions) for name, part in schema.get("properties", {}).items()
    }
    required = tuple(schema.get("required", ()))
    others = schema.get("additionalProperties", {})
    other = (lambda _: bool(others)) if isinstance(others, bool) else _compile(others, definitions)
    names = schema.get("propertyNames")
    check_name = (lambda _: True) if names is None else _compile(names, definitions)
    property_check = properties.get

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        for name in required:
            if name not in value:
                return False
        for name, item in value.items():
            if not property_check(name, other)(item):
                return False
        return names is None or all(map(check_name, value))

    return check
