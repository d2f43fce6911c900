"""What is said of a shared state, whatever keeps it: above all where it cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from personasync.model.errors import NoStateError, StateError, StateLockedError, StateWriteError
from personasync.model.spelling import plural
from personasync.model.steps import Command, NextStep, Option
from personasync.state.bucket import BucketError, NothingBegunError
from personasync.state.log import Held


@contextmanager
def telling(doing: str, place: str) -> Iterator[None]:
    """Say of what a store did not do what it was for; raises ``StateError``."""
    try:
        yield
    except NothingBegunError:
        raise no_state(place) from None
    except BucketError as error:
        raise StateError(f"cannot {doing} the state {place}: {error}") from error


def no_state(place: str) -> StateError:
    """Nothing was ever begun here."""
    return NoStateError(
        f"there is no state at {place}",
        hint=NextStep("begin one: ", Command("state init", (place,))),
    )


def begun_already(place: str) -> StateError:
    """There is no beginning what has begun."""
    return StateError(f"there is a state at {place} already", hint="nothing was changed")


def locked(place: str, held: Held) -> StateLockedError:
    """Say who holds a state, and what can be done about it."""
    who = f": {held.holder}" if held.holder else ""
    last = f", last sign of life {held.at}" if held.at else ""
    return StateLockedError(
        f"another run holds the state {place}{who}{last}",
        hint=NextStep(
            "wait for it with ",
            Option("lock-timeout", "90s"),
            ", which takes over by itself from a run that died; or free the state now: ",
            Command("state unlock"),
        ),
    )


def not_locked(place: str) -> StateWriteError:
    """Who has not taken a state may not write to it."""
    return StateWriteError(f"the state {place} is not locked")


def not_written(place: str, error: BucketError) -> StateWriteError:
    """An append came to nothing, or nobody knows what came of it."""
    return StateWriteError(
        f"cannot write the state {place}: {error}",
        hint="mend that, and run the same command again",
    )


def fenced_off(place: str, why: str = "") -> StateWriteError:
    """What is being appended comes after what another has appended."""
    return StateWriteError(
        f"another run has taken the state {place} over{why}",
        hint="what was not appended is rescued, and taken in by the next run",
    )


def taken_in(count: int, place: str) -> list[str]:
    """Note how much was rescued beside a state and is part of what is known; of nothing, none."""
    were = plural(count, "entry was", "entries were")
    return [f"{count} {were} rescued beside {place} and taken in"] if count else []
