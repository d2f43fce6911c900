"""YAML text becomes plain values with places; nothing hostile costs much or escapes."""

import gc
import math
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from personasync.manifest import reader as module
from personasync.manifest.lines import pick_lines, with_sources
from personasync.manifest.reader import MAX_KEYS, MAX_PROBLEMS, Document, read_document
from personasync.manifest.slips import MAX_DEPTH
from personasync.manifest.values import BROKEN, Map, Odd, Oddity, resolve_plain
from personasync.model.diagnostics import Place


def read(text: str | bytes) -> Document:
    return read_document("m.yaml", text.encode() if isinstance(text, str) else text)


def value_of(text: str) -> Any:
    document = read(text)
    assert document.problems == []
    return document.root


def problems(text: str | bytes) -> list[tuple[str, str]]:
    return [(str(p.place), p.code) for p in read(text).problems]


@pytest.fixture(params=["libyaml", "pure Python"])
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure Python":
        monkeypatch.setattr(yaml, "__with_libyaml__", False)


@pytest.mark.usefixtures("_parser")
class TestValues:
    def test_plain_data(self) -> None:
        text = "a: text\nb: [1, 2.5, true, null]\n'c': {d: \"e\\n\"}\nf: |\n  block\n"
        assert value_of(text) == {
            "a": "text",
            "b": [1, 2.5, True, None],
            "c": {"d": "e\n"},
            "f": "block\n",
        }

    def test_json_is_yaml(self) -> None:
        assert value_of('{"a": [1, {"b": "c"}]}') == {"a": [1, {"b": "c"}]}

    def test_tags_that_say_plain_data(self) -> None:
        text = "a: !!str 12\nb: !!int '3'\nc: !!float 4\nd: ! x\ne: !!map {}\nf: !!seq []\n"
        assert value_of(text) == {"a": "12", "b": 3, "c": 4.0, "d": "x", "e": {}, "f": []}

    def test_aliases_are_shared_not_copied(self) -> None:
        root = value_of("a: &a {x: &x 1}\nb: *a\nc: *x\n")
        assert root["b"] is root["a"]
        assert root["c"] == 1

    @pytest.mark.parametrize("merge", ["<<: *a", "<<: [*a]", "<<: {x: 1, y: 2}"])
    def test_merge_keys_add_what_is_not_given(self, merge: str) -> None:
        assert value_of(f"a: &a {{x: 1, y: 2}}\nb: {{y: 3, {merge}}}\n")["b"] == {"x": 1, "y": 3}

    def test_of_several_merged_mappings_the_first_wins(self) -> None:
        text = "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n"
        assert value_of(text)["c"] == {"x": 1, "y": 2}

    def test_a_quoted_merge_key_is_a_key_like_any_other(self) -> None:
        assert value_of("a: {'<<': 1}\nb: &b {x: 1}\nc: {<<: *b}\n") == {
            "a": {"<<": 1},
            "b": {"x": 1},
            "c": {"x": 1},
        }

    def test_a_key_that_is_text_only_in_quotes_stays_odd_without(self) -> None:
        assert problems("a: {'no': 1}\nb: {no: 1}\n") == [("m.yaml:2:5", "key-not-text")]


@given(st.text(st.sampled_from("0123456789_-+.:eExXbBoOnNaAfFiItTzZ~yYsS <="), max_size=14))
@settings(max_examples=500)
def test_scalars_are_resolved_as_pyyaml_does(text: str) -> None:
    resolver: Any = yaml.SafeLoader("")
    tag = resolver.resolve(yaml.ScalarNode, text, (True, False))
    value = resolve_plain(text)
    name = tag.removeprefix("tag:yaml.org,2002:")
    if isinstance(value, Odd) and value.oddity is Oddity.YAML_1_2:
        assert name == "str"
        return
    if isinstance(value, Odd):
        numeric = {"int": ("int",), "float": ("float",), "timestamp": ("timestamp",)}
        assert name in numeric
        assert (name == "timestamp") == (value.oddity is Oddity.DATE)
    else:
        kinds = {str: ("str", "value", "merge", "int"), type(None): ("null",), bool: ("bool",)}
        assert name in kinds.get(type(value), (type(value).__name__,))
        if name == "int" and type(value) is str:  # "0x" or "0b" and no digits: PyYAML fails
            assert not text.replace("_", "").strip("+-")[2:]
    if name in ("int", "float") and type(value) is not str:
        meaning = value.meaning if isinstance(value, Odd) else value
        expected = resolver.construct_object(yaml.ScalarNode(tag, text))
        assert meaning is None or isinstance(meaning, int | float)
        assert meaning is None or math.isclose(meaning, expected)


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("2026-11-22", Odd(Oddity.DATE, "2026-11-22")),
        ("2026-11-22 10:00:00", Odd(Oddity.DATE, "2026-11-22 10:00:00")),
        ("12:30", Odd(Oddity.BASE_60, "12:30", 750)),
        ("-1:30.5", Odd(Oddity.BASE_60, "-1:30.5", -90.5)),
        ("010", Odd(Oddity.OCTAL, "010", 8)),
        ("0b11", Odd(Oddity.BINARY, "0b11", 3)),
        ("1_000", Odd(Oddity.GROUPED, "1_000", 1000)),
        (".inf", Odd(Oddity.NOT_FINITE, ".inf")),
        (".nan", Odd(Oddity.NOT_FINITE, ".nan")),
        ("1.0e+999", Odd(Oddity.TOO_LARGE, "1.0e+999")),
        ("12e3", Odd(Oddity.YAML_1_2, "12e3", 12000.0)),
        ("61e9540", Odd(Oddity.YAML_1_2, "61e9540")),
        ("0o17", Odd(Oddity.YAML_1_2, "0o17", 15)),
        ("0o" + "7" * 398, Odd(Oddity.YAML_1_2, "0o" + "7" * 398)),
        ("08", Odd(Oddity.YAML_1_2, "08", 8.0)),
        ("9" * 19, Odd(Oddity.TOO_LARGE, "9" * 19)),
        ("9" * 9999, Odd(Oddity.TOO_LARGE, "9" * 9999)),
    ],
)
def test_what_readers_disagree_on_is_odd(text: str, odd: Odd) -> None:
    assert resolve_plain(text) == odd


class TestPlaces:
    def test_of_keys_and_values(self) -> None:
        document = read("one: first\n'two':  \"second\"\nthree: {four: 5}\nsix:\n  - 7\nempty:\n")
        root = document.root
        assert isinstance(root, Map)
        assert document.key_place(root, "two") == Place("m.yaml", 2, 1, 2, 6)
        assert document.value_place(root, "two") == Place("m.yaml", 2, 9, 2, 17)
        assert document.value_place(root, "three") == Place("m.yaml", 3, 8, 3, 17)
        assert document.value_place(root, "six") == Place("m.yaml", 5, 3)
        assert document.value_place(root, "empty") == document.key_place(root, "empty")
        inner = root["three"]
        assert isinstance(inner, Map)
        assert document.value_place(inner, "four") == Place("m.yaml", 3, 15, 3, 16)

    def test_columns_count_characters_and_no_byte_order_mark(self) -> None:
        document = read("\ufeff夜🎤: 声\r\nb: 1\r\n".encode())
        root = document.root
        assert isinstance(root, Map)
        assert document.value_place(root, "夜🎤") == Place("m.yaml", 1, 5, 1, 6)
        assert document.key_place(root, "b") == Place("m.yaml", 2, 1, 2, 2)

    def test_of_merged_entries_are_where_they_are_written(self) -> None:
        document = read("a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}\n")
        root: Any = document.root
        assert str(document.value_place(root["b"], "x")) == "m.yaml:1:11"
        assert str(document.value_place(root["b"], "y")) == "m.yaml:2:8"


class TestProblems:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a: 1\na: 2\n", [("m.yaml:2:1", "duplicate-key")]),
            (
                "a: 1\na: 2\na: 3\n",
                [("m.yaml:2:1", "duplicate-key"), ("m.yaml:3:1", "duplicate-key")],
            ),
            ("1: a\nno: b\n~: c\n", [(f"m.yaml:{n}:1", "key-not-text") for n in (1, 2, 3)]),
            ("? [a]\n: b\n", [("m.yaml:1:3", "key-not-text")]),
            ("a: !!set {b}\n", [("m.yaml:1:4", "unknown-tag")]),
            ("a: !!int x\n", [("m.yaml:1:4", "wrong-tag")]),
            ("a: *b\n", [("m.yaml:1:4", "undefined-alias")]),
            ("a: &b [*b]\n", [("m.yaml:1:8", "recursive-alias")]),
            ("a: {<<: 1}\n", [("m.yaml:1:5", "merge-not-mapping")]),
            ("a: {<<: {}, <<: {}}\n", [("m.yaml:1:13", "duplicate-key")]),
            ("a: 1\n---\nb: 2\n", [("m.yaml:2:1", "second-document")]),
            ("", [("m.yaml:1:1", "empty-file")]),
            ("# nothing\n", [("m.yaml:1:1", "empty-file")]),
            ("\ufeff", [("m.yaml:1:1", "empty-file")]),
        ],
    )
    @pytest.mark.usefixtures("_parser")
    def test_are_all_found(self, text: str, expected: list[tuple[str, str]]) -> None:
        assert problems(text) == expected

    def test_a_duplicate_names_the_first(self) -> None:
        (problem,) = read("a: 1\nb: 2\na: 3\n").problems
        assert [str(related.place) for related in problem.related] == ["m.yaml:1:1"]

    def test_the_first_of_two_values_is_kept(self) -> None:
        assert read("a: 1\na: 2\n").root == {"a": 1}

    def test_what_was_reported_is_not_a_value(self) -> None:
        assert read("a: !x 1\nb: *c\nd: !y [1]\n").root == {"a": BROKEN, "b": BROKEN, "d": BROKEN}

    def test_beyond_a_number_they_are_counted(self) -> None:
        document = read("a: 1\n" * (MAX_PROBLEMS + 8))
        assert (len(document.problems), document.omitted) == (MAX_PROBLEMS, 7)

    def test_get_the_text_of_their_lines(self) -> None:
        document = read(b"x: 1\r\na: \xe5\xa4\x9c\ra: 2\n")
        (problem,) = with_sources(document.problems, {document.file: document.data})
        assert problem.source == "a: 2"
        assert [related.source for related in problem.related] == ["a: 夜"]


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("wanted", [{1}, {2, 3}, {1, 20_000, 39_999}, {40_000}, {40_002}, set()])
def test_lines_are_found_however_far_on(wanted: set[int], line_break: str) -> None:
    lines = [f"line {number}" for number in range(1, 40_001)]
    expected = {number: lines[number - 1] for number in wanted if number <= len(lines)}
    assert pick_lines(line_break.join(lines).encode(), wanted) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param(b"[" * 100_000, "too-deep", id="nested lists"),
        pytest.param(b"{a: " * 100_000, "too-deep", id="nested mappings"),
        pytest.param(b"- " * 100_000, "too-deep", id="nested dashes"),
        pytest.param(b"a: " + b"[" * 100_000, "too-deep", id="lists nested in a mapping"),
        pytest.param(
            b"a0: &a0 {x: 1}\n"
            + b"".join(
                b"a%d: &a%d {%s}\n"
                % (i, i, b", ".join(b"k%d: *a%d" % (j, i - 1) for j in range(9)))
                for i in range(1, 30)
            ),
            "too-large",
            id="alias bomb",
        ),
        pytest.param(
            b"a: &a {%s}\n" % b", ".join(b"k%d: 1" % i for i in range(2000))
            + b"".join(b"b%d: {<<: *a}\n" % i for i in range(2000)),
            "too-large",
            id="merge bomb",
        ),
        pytest.param(b"".join(b"k%d: x\n" % i for i in range(1_000_000)), "too-large", id="keys"),
        pytest.param(b"- x\n" * (MAX_KEYS + 1), "too-large", id="entries"),
        pytest.param(b"a: '" + b"x" * 100_000_000 + b"'", "too-large", id="scalar"),
        pytest.param("a: 1\n".encode("utf-16"), "not-utf-8", id="UTF-16"),
        pytest.param("a: 1\n".encode("utf-32"), "not-utf-8", id="UTF-32"),
        pytest.param(b"a: \xff\n", "not-utf-8", id="Latin-1"),
        pytest.param(b"a: \xed\xa0\x80\n", "not-utf-8", id="surrogate"),
        pytest.param(b"a: \xe5\xa4", "not-utf-8", id="cut off"),
        pytest.param(b"a: \0\n", "control-character", id="NUL"),
        pytest.param(b"\0" * 1_000_000, "control-character", id="only NUL"),
        pytest.param("a: \u2028b\n".encode(), "unseen-line-break", id="line separator"),
    ],
)
def test_hostile_documents_end_soon_in_one_diagnostic(text: bytes, code: str) -> None:
    begun = time.process_time()
    document = read(text)
    assert [problem.code for problem in document.problems] == [code]
    assert document.root is BROKEN
    assert time.process_time() - begun < 30  # far above what it takes, far below what it could


def test_depth_is_allowed_up_to_the_limit() -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH).problems == []


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(enabled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    monkeypatch.setattr(
        module._Builder, "build", lambda _: states.append(gc.isenabled()), raising=True
    )
    was_enabled = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        read("a: 1\n")
        assert (states, gc.isenabled()) == ([False], enabled)
    finally:
        (gc.enable if was_enabled else gc.disable)()


@given(
    st.binary(max_size=60)
    | st.text("ab:-?[]{}&*!|>'\"%@`#,\t\n ~<=.0", max_size=60).map(str.encode)
)
@settings(max_examples=500)
def test_no_bytes_at_all_break_it(data: bytes) -> None:
    document = read(data)
    assert (document.root is BROKEN) <= bool(document.problems)
    for problem in with_sources(document.problems, {document.file: document.data}):
        assert problem.place is not None
        assert problem.message


def _number_in_yaml_1_2(text: str) -> bool:
    """Whether a text is one that PyYAML leaves without quotes, and is to be quoted here."""
    value = resolve_plain(text)
    return isinstance(value, Odd) and value.oddity is Oddity.YAML_1_2


TEXTS = st.text(max_size=20).filter(lambda text: not _number_in_yaml_1_2(text))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**17), 10**17) | TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=12,
    ).filter(lambda value: value is not None)
)
@settings(max_examples=300)
def test_what_pyyaml_writes_is_read_back(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=False)
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text", ["a: b\tc\n", "a:\tb\n", "a: [b,\tc]\n", "a: >\t\n  b\n", 'a: "b"\t\n']
)
def test_a_tab_that_only_libyaml_reads_is_told_as_such(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if yaml.__with_libyaml__:
        assert read(text).problems == []
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    document = read(text)
    if document.problems:
        (problem,) = document.problems
        assert problem.place is not None
        assert text[problem.place.column - 1] == "\t"
        assert problem.hint == "write spaces, or install a PyYAML with libyaml"
        assert read(text.replace("\t", " ")).problems == []
