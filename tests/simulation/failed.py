"""Stories that broke a rule, by what had to be mended in the code."""

from __future__ import annotations

from typing import Final

from tests.simulation.story import Story

FAILED_ONCE: Final[dict[str, Story]] = {
    "who stood still in the middle of a renewal went on to ask": Story(
        seed=1566,
        personas=1,
        machines=2,
        applies=1,
        kind="rows",
        troubles=("stops", "people", "clocks", "outage"),
        repeat="same",
    ),
    "a rescue was removed although what the state held of it was not durable": Story(
        seed=1795717370,
        personas=4,
        machines=3,
        applies=2,
        kind="file",
        troubles=("people", "power", "disk", "service", "signals"),
        repeat="conflict",
    ),
    "what a killed run had written and not synced was believed, and gone after a power cut": Story(
        seed=146,
        personas=2,
        machines=1,
        applies=1,
        kind="file",
        troubles=("stops", "network", "disk", "power", "outage"),
        repeat="same",
    ),
    "a thread that hung until the run was left asked for what was not attempted": Story(
        seed=4127,
        personas=6,
        machines=2,
        applies=2,
        kind="objects",
        troubles=("stops", "signals", "store", "service", "disk", "clocks", "outage"),
        repeat="same",
    ),
    "a request left when the hold had been looked at, though the run was left meanwhile": Story(
        seed=5005198,
        personas=1,
        machines=1,
        applies=1,
        kind="objects",
        troubles=("stops", "signals", "store", "disk", "clocks"),
        repeat="conflict",
    ),
    "a state whose new name was not durable was believed": Story(
        seed=6037877,
        personas=1,
        machines=2,
        applies=1,
        kind="file",
        troubles=("stops", "signals", "disk", "people"),
        repeat="conflict",
    ),
    "a slot was counted from before a look at the hold that took seconds": Story(
        seed=11045566,
        personas=3,
        machines=3,
        applies=1,
        kind="rows",
        troubles=("kills", "store", "service", "outage"),
        repeat="conflict",
    ),
}
"""Told as the box was at that time: what it asks of chance since may tell another story."""
