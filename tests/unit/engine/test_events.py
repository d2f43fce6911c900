"""The account of a run: what it counts, when it is complete, the exit code it calls for."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from personasync.engine.events import Account, PersonaResult, Result
from personasync.plan.compute import Action, ActionKind

ACTION = Action(ActionKind.CREATE, "k", "a")


def account(*results: Any, rescued: Any = None, **fields: Any) -> Any:
    rows = tuple(PersonaResult(ACTION, result, rescued=rescued) for result in results)
    return Account("r", rows, **fields)


R = Result
DONE = (R.CREATED, R.IMPORTED, R.RENAMED)


def test_every_result_is_counted_also_those_there_are_none_of() -> None:
    assert account(R.CREATED, R.CREATED, R.UNKNOWN).counts() == {
        R.CREATED: 2,
        R.IMPORTED: 0,
        R.RENAMED: 0,
        R.FAILED: 0,
        R.CONFLICT: 0,
        R.UNKNOWN: 1,
        R.NOT_ATTEMPTED: 0,
    }


@pytest.mark.parametrize("result", R)
def test_complete_is_when_every_persona_is_recorded(result: Any) -> None:
    assert account().complete
    assert account(*DONE).complete
    assert account(*DONE, result).complete is (result in DONE)


@pytest.mark.parametrize("rescued", ["/tmp/x.rescue", ""])
def test_an_id_that_is_not_in_the_state_is_not_recorded(rescued: Any) -> None:
    assert not account(R.CREATED, rescued=rescued).complete
    assert account(R.CREATED, rescued=rescued).exit_code == 3


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (account(), 0),
        (account(*DONE), 0),
        (account(R.CREATED, R.FAILED), 3),
        (account(R.FAILED), 3),
        (account(R.CONFLICT), 3),
        (account(R.UNKNOWN), 3),
        (account(R.NOT_ATTEMPTED), 3),
        (account(R.FAILED, R.NOT_ATTEMPTED, refused=True), 1),
        (account(R.CREATED, R.FAILED, refused=True), 3),
        (account(R.RENAMED, R.FAILED, refused=True), 3),
        (account(R.IMPORTED, R.FAILED, refused=True), 3),
        (account(R.CREATED, failure=ValueError()), 1),
        (account(R.UNKNOWN, failure=ValueError()), 1),
        (account(R.CREATED, signal=signal.SIGINT), 130),
        (account(R.UNKNOWN, signal=signal.SIGTERM, abandoned=True), 143),
        (account(R.FAILED, signal=signal.SIGTERM, refused=True, failure=ValueError()), 143),
    ],
)
def test_the_exit_code(ended: Any, code: Any) -> None:
    assert ended.exit_code == code
