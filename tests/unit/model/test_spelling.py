"""Words for numbers and names of things."""

import pytest

from personasync.model.spelling import listed


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, ""),
        (1, "n0"),
        (3, "n0, n1, n2"),
        (4, "n0, n1, n2 and 1 more"),
        (2000, "n0, n1, n2 and 1997 more"),
    ],
)
def test_a_long_list_is_cut(count: int, said: str) -> None:
    assert listed([f"n{number}" for number in range(count)], 3) == said
