"""Durations and rates as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personasync.model.units import Rate, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5), ("30s", 30), ("2m", 120), ("1.5h", 5400), ("45", 45), (" 2m ", 120),
        ("0", 0), ("0.001s", 0.001),
    ],
)  # fmt: skip
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "s", "2 m", "-1s", "+1s", "1e3", "inf", "nan", "1d", "1,5s", "٢m", "1.s", ".5s", "9" * 10],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == f"{text!r} is not a duration; write it like 500ms, 30s or 2m"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"), (0.35, "350ms"), (0.9994, "999ms"), (0.9996, "1s"), (1, "1s"), (59.4, "59s"),
        (59.6, "1m"), (60, "1m"), (125, "2m05s"), (3599.6, "1h00m"), (3780, "1h03m"),
        (90_000, "25h00m"),
    ],
)  # fmt: skip
def test_a_duration_is_written(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20/10s", Rate(20, 10)), ("5/s", Rate(5, 1)), ("1/500ms", Rate(1, 0.5)),
        ("100/1.5m", Rate(100, 90)), (" 3/h ", Rate(3, 3600)), ("2/.5s", Rate(2, 0.5)),
        ("none", None), (" none ", None),
    ],
)  # fmt: skip
def test_a_rate_is_read(text: str, rate: Any) -> None:
    assert Rate.parse(text) == rate


@pytest.mark.parametrize(
    "text",
    ["", "20", "20/10", "0/s", "-1/s", "20/0s", "20/0.0ms", "20 / 10s", "20/10s/2", "x/s", "None"],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Rate.parse(text)
    assert str(caught.value) == f"{text!r} is not a rate; write it like 20/10s, or none"


@settings(deadline=None)
@given(st.integers(1, 999_999_999), st.integers(1, 10**12 - 1))
def test_a_rate_reads_back_as_it_was_written(count: Any, milliseconds: Any) -> None:
    rate = Rate(count, milliseconds / 1000)
    assert Rate.parse(str(rate)) == rate


def test_a_rate_is_written_as_people_do() -> None:
    assert [str(Rate(20, 10.0)), str(Rate(1, 0.5)), str(Rate(5, 100.0))] == [
        "20/10s",
        "1/0.5s",
        "5/100s",
    ]
