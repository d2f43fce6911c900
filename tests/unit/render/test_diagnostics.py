"""Diagnostics read well in each format, and nothing hostile gets out of them."""

import json
import re

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from personasync.manifest.schemas import load_schema
from personasync.model.diagnostics import Diagnostic, Place, Related, Severity
from personasync.render.diagnostics import (
    DIAGNOSTIC_FORMATS,
    render_github,
    render_json,
    render_text,
)

ERROR = Diagnostic(
    Severity.ERROR,
    "empty-segment",
    "vocalEnd must be greater than vocalStart: 5 is not above 10",
    Place("pop.yaml", 120, 15, 120, 16),
    "both are seconds",
    (Related("vocalStart is 10", Place("soul.yaml", 9, 3, 9, 17), "  vocalStart: 10"),),
    "    vocalEnd: 5",
)
WARNING = Diagnostic(Severity.WARNING, "more-problems", "7 more problems are not shown")
FILE = Diagnostic(Severity.ERROR, "no-such-file", "there is no such file", Place("x.yaml", 0, 0))


def test_text() -> None:
    assert render_text([ERROR, FILE, WARNING]) == (
        "pop.yaml:120:15: error: vocalEnd must be greater than vocalStart: 5 is not above 10\n"
        " 120 |     vocalEnd: 5\n"
        "     |               ^\n"
        "  soul.yaml:9:3: vocalStart is 10\n"
        "   9 |   vocalStart: 10\n"
        "     |   --------------\n"
        "  hint: both are seconds\n"
        "\n"
        "x.yaml: error: there is no such file\n"
        "\n"
        "warning: 7 more problems are not shown\n"
    )


def test_nothing_to_say() -> None:
    assert render_text([]) == ""
    assert render_github([]) == ""
    assert json.loads(render_json([]))["diagnostics"] == []


def test_colour_changes_no_text() -> None:
    colored = render_text([ERROR, FILE, WARNING], color=True)
    assert "\x1b[1;31merror:\x1b[0m" in colored
    assert "\x1b[1;33mwarning:\x1b[0m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render_text([ERROR, FILE, WARNING])


def excerpt(source: str, start: int, end: int, end_line: int = 1) -> list[str]:
    """The source line and the underline for columns ``start`` to ``end``."""
    place = Place("f", 1, start, end_line, end)
    return render_text([Diagnostic(Severity.ERROR, "x", "m", place, source=source)]).splitlines()[
        1:
    ]


@pytest.mark.parametrize(
    ("source", "start", "end", "lines"),
    [
        ("夜: 歌姫", 4, 6, ["  1 | 夜: 歌姫", "    |     ^^^^"]),
        ("\ta:\tb", 5, 6, ["  1 |     a:    b", "    |           ^"]),
        ("a\x1b[0mb", 2, 3, [r"  1 | a\x1b[0mb", "    |  ^^^^"]),
        ("e\u0301 x", 4, 5, ["  1 | e\u0301 x", "    |   ^"]),
        ("a", 2, 2, ["  1 | a", "    |  ^"]),
        ("a", 99, 120, ["  1 | a", "    |  ^"]),
        ("a\0b", 3, 4, [r"  1 | a\x00b", "    |      ^"]),
        ("  ", 1, 2, []),
    ],
)
def test_the_underline_is_under_the_value(
    source: str, start: int, end: int, lines: list[str]
) -> None:
    assert excerpt(source, start, end) == lines


def test_a_span_of_several_lines_is_underlined_to_the_end_of_the_first() -> None:
    assert excerpt("name: 'a b   ", 7, 3, end_line=4) == ["  1 | name: 'a b", "    |       ^^^^"]


def test_where_only_the_start_is_known_one_character_is_marked() -> None:
    assert excerpt("- a: 1", 1, 0, end_line=0) == ["  1 | - a: 1", "    | ^"]


def test_a_long_line_is_cut_around_the_value() -> None:
    source = "a" * 500 + "HERE" + "b" * 500
    assert excerpt(source, 501, 505) == [
        f"  1 | …{'a' * 40}HERE{'b' * 56}…",
        f"    |  {' ' * 40}^^^^",
    ]
    assert excerpt(source, 1, 1005) == [f"  1 | {'a' * 100}…", f"    | {'^' * 100}"]
    assert excerpt("x" * 300, 300, 301) == [f"  1 | …{'x' * 100}", f"    |  {' ' * 99}^"]


@given(st.text(max_size=150), st.integers(1, 160), st.integers(0, 160))
def test_line_and_underline_are_always_two_lines_of_one_width(
    source: str, start: int, width: int
) -> None:
    lines = excerpt(source, start, start + width)
    assert len(lines) in (0, 2)
    if lines:
        assert re.fullmatch(r"    \| +\^+|    \| *\^+", lines[1])
        assert cell_len(lines[1]) <= cell_len(lines[0]) + 1 or not source[start - 1 :].strip()


def test_json() -> None:
    assert json.loads(render_json([ERROR, FILE, WARNING])) == {
        "format": "personasync.diagnostics/1",
        "summary": {"errors": 2, "warnings": 1},
        "diagnostics": [
            {
                "severity": "error",
                "code": "empty-segment",
                "message": "vocalEnd must be greater than vocalStart: 5 is not above 10",
                "place": {
                    "file": "pop.yaml",
                    "line": 120,
                    "column": 15,
                    "endLine": 120,
                    "endColumn": 16,
                },
                "hint": "both are seconds",
                "related": [
                    {
                        "message": "vocalStart is 10",
                        "place": {
                            "file": "soul.yaml",
                            "line": 9,
                            "column": 3,
                            "endLine": 9,
                            "endColumn": 17,
                        },
                    }
                ],
            },
            {
                "severity": "error",
                "code": "no-such-file",
                "message": "there is no such file",
                "place": {"file": "x.yaml"},
                "hint": None,
                "related": [],
            },
            {
                "severity": "warning",
                "code": "more-problems",
                "message": "7 more problems are not shown",
                "place": None,
                "hint": None,
                "related": [],
            },
        ],
    }


def test_github() -> None:
    assert render_github([ERROR, FILE, WARNING]).splitlines() == [
        "::error file=pop.yaml,line=120,endLine=120,col=15,endColumn=16,"
        "title=personasync empty-segment"
        "::vocalEnd must be greater than vocalStart: 5 is not above 10"
        "%0Asoul.yaml:9:3: vocalStart is 10%0Ahint: both are seconds",
        "::error file=x.yaml,title=personasync no-such-file::there is no such file",
        "::warning title=personasync more-problems::7 more problems are not shown",
    ]


def test_github_takes_columns_on_one_line_only() -> None:
    several = Diagnostic(Severity.ERROR, "x", "m", Place("f", 3, 7, 5, 2))
    assert render_github([several]) == "::error file=f,line=3,endLine=5,title=personasync x::m\n"


def test_github_escapes_what_it_reads_itself() -> None:
    place = Place("a,b:c%d.yaml", 1, 1)
    (line,) = render_github([Diagnostic(Severity.ERROR, "x", "100%0A, a: b", place)]).splitlines()
    assert line == (
        "::error file=a%2Cb%3Ac%25d.yaml,line=1,endLine=1,col=1,endColumn=2,"
        "title=personasync x::100%250A, a: b"
    )


_HOSTILE = st.text(st.characters() | st.sampled_from("\r\n:%,\x1b\x9b\u202e\u2028"), max_size=40)


@given(_HOSTILE, _HOSTILE, _HOSTILE, st.sampled_from(sorted(DIAGNOSTIC_FORMATS)))
def test_hostile_text_stays_inside(message: str, file: str, source: str, name: str) -> None:
    place = Place(file, 1, 1, 1, 5)
    related = (Related(message, place, source),)
    diagnostic = Diagnostic(Severity.ERROR, "x", message, place, message, related, source)
    shown = DIAGNOSTIC_FORMATS[name]([diagnostic])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]", shown)
    if name == "json":
        document = json.loads(shown)
        jsonschema.validate(document, load_schema("diagnostics"))
        assert document["diagnostics"][0]["message"] == message
    elif name == "github":
        assert len(shown.splitlines()) == 1
        assert re.match(
            r"::error file=[^:,]*,line=1,endLine=1,col=1,endColumn=5,title=[^:,]*::", shown
        )
    else:
        assert not re.search(r"^\s*::|##\w*\[", shown, re.MULTILINE)
        assert len(shown.splitlines()) <= 7
