"""Times and the names of runs, as entries and events have them."""

from __future__ import annotations

import re

from personasync.model.clock import new_run, utc_now


def test_a_time_is_utc_to_the_second() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", utc_now())


def test_every_run_has_a_name_of_its_own() -> None:
    names = {new_run() for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(r"[0-9a-f]{12}", name) for name in names)
