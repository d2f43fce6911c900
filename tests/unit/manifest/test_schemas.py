"""The compiled check and jsonschema give one verdict, and the schemas are what editors can use."""

import copy
import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personasync.manifest.schemas import (
    SCHEMA_NAMES,
    Violation,
    compile_schema,
    load_schema,
    schema_text,
    violations,
)

SCHEMA = load_schema("manifest")
CHECK = compile_schema(SCHEMA)
REFERENCE = jsonschema.Draft7Validator(SCHEMA)

# Arbitrary values, made of the words and the edges that the schema knows.
_WORDS = ["", " ", "x", "a b", "x\n", "\n", "1", "20/10s", "5/s", "0/1s", "5/s\n", "5/S", "5/٣s"]
_WORDS += ["k" * 64, "k" * 65, "k\n", "-k", "ü", "~" * 256, "~" * 257, "\u3000", "a\u200bb", "\0"]
_FIELDS = ["version", "settings", "defaults", "personas", "taskId", "audioId", "name"]
_FIELDS += ["description", "vocalStart", "vocalEnd", "style", "personaId", "parallelism"]
_FIELDS += ["rateLimit", "maxCreates", "other"]
_NUMBERS = [0, -0.0, 1, 1.0, -1, 64, 64.0, 65, 2.5, 30, 10**30, 1e300, -1e-9]
_SCALARS = st.one_of(
    st.sampled_from(_WORDS),
    st.sampled_from(_NUMBERS),
    st.text(max_size=8),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(_FIELDS + _WORDS), inner, max_size=5)
    ),
    max_leaves=20,
)

_ID = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z._:-]{2,39}[0-9]", fullmatch=True)
_TEXT = st.text(st.characters(exclude_categories=["Cc"]), max_size=20).map(lambda t: f"x{t}x")
_SECONDS = st.integers(0, 10**6) | st.floats(0, 1e6)
_PERSONA = st.fixed_dictionaries(
    {"taskId": _ID, "audioId": _ID, "name": _TEXT, "description": _TEXT},
    optional={"vocalStart": _SECONDS, "vocalEnd": _SECONDS, "style": _TEXT, "personaId": _ID},
)
_VALID = st.fixed_dictionaries(
    {
        "version": st.sampled_from([1, 1.0]),
        "personas": st.dictionaries(
            st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True), _PERSONA, max_size=3
        ),
    },
    optional={
        "settings": st.fixed_dictionaries(
            {},
            optional={
                "parallelism": st.integers(1, 64),
                "rateLimit": st.from_regex(
                    r"[1-9][0-9]{0,8}/([1-9][0-9]{0,8})?(ms|s|m|h)", fullmatch=True
                ),
                "maxCreates": st.integers(0, 10**9),
            },
        ),
        "defaults": st.fixed_dictionaries(
            {}, optional={"vocalStart": _SECONDS, "vocalEnd": _SECONDS, "style": _TEXT}
        ),
    },
)


@st.composite
def _mutated(draw: st.DrawFn) -> Any:
    """A valid manifest in which one value, at any depth, is replaced, added or removed."""
    document = copy.deepcopy(draw(_VALID))
    target = document
    while draw(st.booleans()):
        inner = [value for value in target.values() if isinstance(value, dict) and value]
        if not inner:
            break
        target = draw(st.sampled_from(inner))
    name = draw(st.sampled_from(list(target)) | st.sampled_from(_FIELDS + _WORDS))
    if draw(st.booleans()):
        target[name] = draw(_VALUES)
    else:
        target.pop(name, None)
    return document


@given(_VALID)
def test_valid_manifests_pass_both(document: Any) -> None:
    assert REFERENCE.is_valid(document)
    assert CHECK(document)


@given(_mutated() | _VALUES)
@settings(max_examples=250)
def test_the_verdict_is_that_of_jsonschema(document: Any) -> None:
    assert CHECK(document) == REFERENCE.is_valid(document)
    assert CHECK(document) == (not list(violations(SCHEMA, document)))


@given(_VALUES, st.sampled_from(["key", "trackId", "text", "persona", "settings", "defaults"]))
@settings(max_examples=200)
def test_so_it_is_for_each_part(value: Any, part: str) -> None:
    reference = jsonschema.Draft7Validator(
        SCHEMA["definitions"][part] | {"definitions": SCHEMA["definitions"]}
    )
    assert compile_schema(SCHEMA, part)(value) == reference.is_valid(value)


@pytest.mark.parametrize(
    "schema",
    [
        {"minLength": 1},
        {"type": "array"},
        {"type": ["object", "array"]},
        {"const": "text"},
        {"properties": {"a": {"format": "date"}}},
        {"additionalProperties": {"oneOf": []}},
        {"allOf": [{"enum": [1]}]},
        {"$ref": "#/definitions/nothing"},
        {"$ref": "https://example.org/schema.json"},
    ],
)
def test_what_is_not_implemented_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        compile_schema(schema)


def test_violations_say_where_and_what() -> None:
    document = {"version": 2, "personas": {"a b": {}}}
    found = {(v.path, v.keyword) for v in violations(SCHEMA, document)}
    assert found == {
        (("version",), "const"),
        (("personas",), "pattern"),
        (("personas", "a b"), "required"),
    }
    assert Violation(("version",), "const", 1, 2) in {
        v for v in violations(SCHEMA, document) if v.keyword == "const"
    }


def _published() -> list[str]:
    found = []
    for name in SCHEMA_NAMES:
        try:
            load_schema(name)
        except FileNotFoundError:
            continue
        found.append(name)
    return found


@pytest.mark.parametrize("name", _published())
def test_published_schemas_are_sound_and_fetch_nothing(name: str) -> None:
    schema = load_schema(name)
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["$id"].endswith(f"/personasync/main/schemas/{name}.schema.json")
    assert json.loads(schema_text(name)) == schema


def test_an_unknown_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no schema 'persona'; there are manifest, state"):
        load_schema("persona")


def _fields(schema: Any) -> list[dict[str, Any]]:
    found = []
    for part in [schema, *schema["definitions"].values()]:
        for field in part.get("properties", {}).values():
            name = field.get("$ref", "").removeprefix("#/definitions/")
            found.append(schema["definitions"][name] if name else field)
    return found


def test_every_field_explains_itself_to_an_editor() -> None:
    for field in _fields(SCHEMA):
        assert field["title"]
        assert field["description"].endswith(".")


def test_examples_and_defaults_are_what_the_schema_says() -> None:
    parts = [*SCHEMA["properties"].values(), *_fields(SCHEMA)]
    checked = 0
    for part in parts:
        if "$ref" in part:
            continue
        check = compile_schema({**part, "definitions": SCHEMA["definitions"]})
        for example in [
            *part.get("examples", []),
            *([part["default"]] if "default" in part else []),
        ]:
            assert check(example), example
            checked += 1
    assert checked > 20


def _patterns(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
        return own + [found for value in schema.values() for found in _patterns(value)]
    if isinstance(schema, list):
        return [found for value in schema for found in _patterns(value)]
    return []


@pytest.mark.parametrize("pattern", sorted(set(_patterns(SCHEMA))))
def test_patterns_mean_the_same_in_python_and_in_editors(pattern: str) -> None:
    plain = pattern.replace("(?![\\s\\S])", "")
    assert not re.search(r"\\[dDwWsSbBAZ]", plain)  # these differ between the two
    assert "$" not in plain  # in Python it also matches before a last line break
