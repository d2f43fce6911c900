"""Hostile text never reaches a terminal, and ordinary text is left alone."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.render.safe import printable, told_apart


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Neon Siren", "Neon Siren"),
        ("夜の歌姫 — ร้องเพลง ✨", "夜の歌姫 — ร้องเพลง ✨"),
        (
            "\N{MAN}\N{ZERO WIDTH JOINER}\N{MICROPHONE}",
            "\N{MAN}\N{ZERO WIDTH JOINER}\N{MICROPHONE}",
        ),
        ("全角\N{IDEOGRAPHIC SPACE}空白", "全角\N{IDEOGRAPHIC SPACE}空白"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("one\ntwo\r\tthree", r"one\ntwo\r\tthree"),
        ("a\u202eb\u2028c\x9b", r"a\u202eb\u2028c\x9b"),
        ("\udc80", r"\udc80"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_shows_what_is_there_without_obeying_it(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("abc\x1bdef", 6, "abc…"),
        ("abc\x1b", 7, r"abc\x1b"),
        ("abcdef", 1, "…"),
        ("abcdef", 0, ""),
    ],
)
def test_cuts_to_the_limit_but_never_inside_an_escape(text: str, limit: int, shown: str) -> None:
    assert printable(text, limit) == shown


@given(st.text(st.characters()), st.none() | st.integers(0, 20))
def test_no_text_can_steer_a_terminal(text: str, limit: int | None) -> None:
    shown = printable(text, limit)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert limit is None or len(shown) <= limit


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("Neon", "Noir", ("Neon", "Noir")),
        ("Neon Siren", "Neon\u00a0Siren", ("Neon Siren", r"Neon\xa0Siren")),
        ("Café", "Cafe\u0301", (r"Caf\xe9", r"Cafe\u0301")),
        ("Neon", "Nеоn", ("Neon", r"N\u0435\u043en")),
        ("Neon's", "Neon’s", ("Neon's", r"Neon\u2019s")),
        ("夜の歌", "夜の声", ("夜の歌", "夜の声")),
        ("\u3164", "", (r"\u3164", "")),
    ],
)
def test_texts_that_look_alike_are_told_apart(one: str, other: str, shown: tuple[str, str]) -> None:
    assert told_apart(one, other) == shown
