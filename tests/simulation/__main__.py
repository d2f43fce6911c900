"""``python -m tests.simulation --seeds N --from S``: stories for the night."""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
import traceback
from collections import Counter

from click import echo

from tests.simulation.failed import FAILED_ONCE
from tests.simulation.story import KINDS, Story, play, shrink


def main() -> int:
    """Play the stories of many seeds; print the first that breaks a rule, shrunk."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so long")
    parser.add_argument("--only", choices=sorted(set(KINDS)), help="stories of one kind of state")
    parser.add_argument("--story", action="store_true", help="print the story of --from")
    given = parser.parse_args()
    if given.story:
        echo(Story.of(given.first))
        play(Story.of(given.first), told=echo)
        return 0
    began, told, deadline = time.process_time(), [], time.monotonic() + 60 * given.minutes
    echo(f"all that ever failed, and seeds from {given.first}")
    seeds = range(given.first, given.first + given.seeds)
    for story in itertools.chain(FAILED_ONCE.values(), map(Story.of, seeds)):
        if time.monotonic() > deadline:
            break
        if given.only and story.kind != given.only:
            continue
        try:
            told.append(play(story))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return _broken(story, error)
    seconds = time.process_time() - began
    if not told:
        return 0
    steps = statistics.median(each.steps for each in told)
    tally = sum((each.tally for each in told), Counter[str]())
    echo(
        f"{len(told):,} stories, {len(told) / seconds:.0f} a second a core,"
        f" {steps:.0f} steps in the median; none broke a rule:"
    )
    echo(", ".join(f"{count:,} {what}" for what, count in sorted(tally.items())))
    return 0


def _broken(story: Story, error: BaseException) -> int:
    def breaks(smaller: Story) -> bool:
        try:
            play(smaller)
        except BaseException as other:  # noqa: BLE001 - whatever breaks it
            return type(other) is type(error)
        return False

    story = shrink(story, breaks)
    echo(story)
    try:
        play(story, told=echo)
    except BaseException:  # noqa: BLE001 - shown
        traceback.print_exc(file=sys.stdout)
    return 1


if __name__ == "__main__":
    sys.exit(main())
