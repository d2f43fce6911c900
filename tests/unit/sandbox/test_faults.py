"""Faults: how they are written, and when they strike."""

import pytest

from personasync.sandbox.faults import Fault, FaultDice, FaultKind


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("reset-before", Fault(FaultKind.RESET_BEFORE, 1.0)),
        ("persona_id", Fault(FaultKind.SNAKE_CASE, 1.0)),
        ("moved", Fault(FaultKind.MOVED, 1.0, 301)),
        ("301", Fault(FaultKind.MOVED, 1.0, 301)),
        ("308:0.5", Fault(FaultKind.MOVED, 0.5, 308)),
        ("403", Fault(FaultKind.CODE, 1.0, 403)),
        ("404-page:0.5", Fault(FaultKind.CODE_PAGE, 0.5, 404)),
        ("504-after", Fault(FaultKind.CODE_AFTER, 1.0, 504)),
        ("429", Fault(FaultKind.RATE_LIMIT, 1.0)),
        ("455:0.25", Fault(FaultKind.MAINTENANCE, 0.25)),
        ("500:1", Fault(FaultKind.SERVER_ERROR, 1.0)),
        (" reset-after:0.3 ", Fault(FaultKind.RESET_AFTER, 0.3)),
        ("slow:0", Fault(FaultKind.SLOW, 0.0)),
    ],
)
def test_a_fault_is_read_as_written(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


def test_a_fault_is_written_as_it_is_read() -> None:
    for text in ("reset-after:0.3", "504-after:1", "403:0.25"):
        assert str(Fault.parse(text)) == text


@pytest.mark.parametrize("kind", FaultKind)
def test_every_kind_can_be_asked_for(kind: FaultKind) -> None:
    assert Fault.parse(kind.replace("CODE", "503")).kind is kind


KINDS = ", ".join(FaultKind)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "reset-aftr:0.3",
            "'reset-aftr' is not a kind of fault (did you mean reset-after?); there are: " + KINDS,
        ),
        ("", "'' is not a kind of fault; there are: " + KINDS),
        ("600", "'600' is not a kind of fault (did you mean 500?); there are: " + KINDS),
        ("204-page", "'204-page' is not a kind of fault; there are: " + KINDS),
        (
            "slow:often",
            "'often' is not a probability; write it like slow:0.3, from 0 to 1",
        ),
        ("slow:", "'' is not a probability; write it like slow:0.3, from 0 to 1"),
        ("slow:1.5", "'1.5' is not a probability; write it like slow:0.3, from 0 to 1"),
        ("slow:nan", "'nan' is not a probability; write it like slow:0.3, from 0 to 1"),
        ("slow:-1", "'-1' is not a probability; write it like slow:0.3, from 0 to 1"),
    ],
)
def test_what_is_no_fault_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Fault.parse(text)
    assert str(caught.value) == message


def test_the_same_seed_rolls_the_same() -> None:
    faults = (Fault(FaultKind.SLOW, 0.3), Fault(FaultKind.GARBAGE, 0.3))
    one, same, other = (FaultDice(faults, seed) for seed in (7, 7, 8))
    rolls = [one.roll() for _ in range(200)]
    assert rolls == [same.roll() for _ in range(200)]
    assert rolls != [other.roll() for _ in range(200)]
    assert set(rolls) == {None, *faults}


def test_faults_draw_apart_and_the_first_wins() -> None:
    """A fault that never strikes leaves the others' draws as they were."""
    always = FaultDice((Fault(FaultKind.SLOW), Fault(FaultKind.GARBAGE)), 1)
    assert {always.roll() for _ in range(20)} == {Fault(FaultKind.SLOW)}
    second = (Fault(FaultKind.SLOW, 0.0), Fault(FaultKind.GARBAGE, 0.5))
    either = (Fault(FaultKind.SLOW, 0.5), Fault(FaultKind.GARBAGE, 0.5))
    quiet, busy = FaultDice(second, 3), FaultDice(either, 3)
    pairs = [(quiet.roll(), busy.roll()) for _ in range(100)]
    slow, garbage = either
    assert {after for before, after in pairs if before is None} == {None, slow}
    assert {after for before, after in pairs if before} == {garbage, slow}


def test_no_faults_never_strike() -> None:
    assert FaultDice((), None).roll() is None
