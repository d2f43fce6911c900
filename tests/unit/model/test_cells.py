"""No cell is a formula, and every cell is read back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.model.cells import inert_cell, read_cell


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("Neon", "Neon"),
        ("", ""),
        ("'tis", "'tis"),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("＝1", "'＝1"),
        ("'=1", "''=1"),
    ],
)
def test_what_would_be_computed_is_quoted(text: str, cell: str) -> None:
    assert inert_cell(text) == cell
    assert read_cell(cell) == text


@given(st.text(st.sampled_from("'=+-@ a1＝"), max_size=6) | st.text())
def test_what_is_read_is_what_was_written(text: str) -> None:
    assert read_cell(inert_cell(text)) == text
    assert inert_cell(text)[:1] not in set("=+-@＝＋－＠")
