"""Columns that align: how wide a text is on a terminal, and how it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.render.layout import display_width, pad, shorten


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("Neon Siren", 10),
        ("", 0),
        ("夜の歌姫", 8),
        ("네온", 4),
        ("ＮＥＯＮ", 8),
        ("เสียงร้องแห่งค่ำคืน", 14),  # marks above and below take no cell
        ("रात की गायिका", 13),  # those beside their letter take one
        ("Cafe\u0301", 4),
        ("🎤🎶", 4),
        ("مغنية", 5),
    ],
)
def test_a_text_is_as_wide_as_a_terminal_shows_it(text: str, cells: int) -> None:
    assert display_width(text) == cells
    assert pad(text, 20) == text + " " * (20 - cells)


scripts = st.text(st.sampled_from("a é夜🎤का\u0301ำ한"), max_size=30)


@given(scripts, st.integers(1, 30))
def test_a_cut_text_fits_and_begins_as_it_did(text: str, width: int) -> None:
    shown = shorten(text, width)
    assert display_width(shown) <= max(width, 1)
    if display_width(text) <= width:
        assert shown == text
    else:
        assert shown.endswith("…")
        assert text.startswith(shown[:-1].rstrip())


@given(scripts, scripts)
def test_padded_columns_are_equally_wide(one: str, other: str) -> None:
    width = max(display_width(one), display_width(other))
    assert display_width(pad(one, width)) == display_width(pad(other, width)) == width
