"""What an apply says while it runs: a line an event, JSON, or a bar where someone watches."""

import io
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from personasync.cli.console import Console
from personasync.cli.exits import Terminated
from personasync.cli.progress import Telling, _Count
from personasync.engine.events import Account, Event, EventKind, PersonaResult, Result, Underway
from personasync.model.errors import StateLockedError
from personasync.model.units import Rate
from personasync.plan.compute import Action, ActionKind
from personasync.render.commands import Shell

AT = "2026-11-22T10:00:00Z"
ACTION = Action(ActionKind.CREATE, "neon", "audio-1")
DONE = Account("run-1", (PersonaResult(ACTION, Result.CREATED),))
FAILED = Account("run-1", (PersonaResult(ACTION, Result.FAILED, reason="refused"),))


def events(account: Account = DONE, **done: object) -> Iterator[Event]:
    about = {"key": "neon", "audio_id": "audio-1"}
    yield Event(EventKind.RUN_START, AT, "run-1", total=1)
    yield Event(EventKind.CREATE_START, AT, "run-1", **about)  # type: ignore[arg-type]
    yield Event(EventKind.CREATE_DONE, AT, "run-1", persona_id="id-1", **about, **done)  # type: ignore[arg-type]
    yield Event(EventKind.RUN_END, AT, "run-1", account=account)


def tell(console: Console, output_format: str, told: Iterator[Event]) -> set[EventKind]:
    telling = Telling(console, output_format == "json", shell=Shell(sandbox=True))
    with telling, telling.listening() as listener:
        for event in told:
            listener(event)
    return telling.told


def test_a_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Console(), "text", events())
    said = capsys.readouterr()
    assert said.err == "run run-1: 1 persona to act on\nneon: creating\nneon: created id-1\n"
    assert said.out == "Apply complete: 1 created, 0 imported, 0 renamed.\n"


def test_quiet_leaves_the_account_and_what_must_be_seen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell(Console(quiet=True), "text", events(rescued=""))
    said = capsys.readouterr()
    assert said.out == "Apply complete: 1 created, 0 imported, 0 renamed.\n"
    assert said.err.startswith("neon: created id-1; not in the state, which could not be written")
    assert said.err.endswith("to record it: personasync import neon id-1 --sandbox\n")


@pytest.mark.parametrize(("account", "loud"), [(DONE, False), (FAILED, True)])
def test_json_is_alone_on_stdout(
    capsys: pytest.CaptureFixture[str], account: Account, loud: bool
) -> None:
    kinds = tell(Console(quiet=True), "json", events(account, rescued="beside.rescue"))
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [row["event"] for row in rows] == [
        "run_start",
        "create_start",
        "create_done",
        "run_end",
    ]
    assert kinds == {EventKind(row["event"]) for row in rows}
    assert "personasync import neon id-1 --sandbox" in said.err
    assert ("Apply incomplete" in said.err) is loud


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_where_someone_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    tell(Console(no_color=True), "text", events())
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "neon: created id-1" in shown
    assert "1/1" in shown
    assert capsys.readouterr().out == "Apply complete: 1 created, 0 imported, 0 renamed.\n"


def test_no_bar_where_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    told = [Event(EventKind.RUN_START, AT, "run-1", total=0)]
    tell(Console(), "text", iter(told))
    assert "/0" not in screen.getvalue()


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (StateLockedError("held"), 4, "held"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Terminated(), 143, "interrupted"),
        (ZeroDivisionError(), 1, "unexpected error: ZeroDivisionError"),
    ],
)
def test_json_ends_even_where_no_run_began(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, reason: str
) -> None:
    with pytest.raises(type(error)), Telling(Console(), as_json=True):
        raise error
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (row["event"], row["exitCode"], row["stopped"]) == ("run_end", code, reason)


@pytest.mark.parametrize(("as_json", "told"), [(False, set()), (True, {EventKind.RUN_START})])
def test_nothing_is_ended_twice(
    capsys: pytest.CaptureFixture[str], as_json: bool, told: set[EventKind]
) -> None:
    with pytest.raises(KeyboardInterrupt), Telling(Console(), as_json, told=told):
        raise KeyboardInterrupt
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("kinds", "rows"),
    [
        (set(), 0),
        ({EventKind.RUN_START}, 1),
        ({EventKind.RUN_START, EventKind.RUN_END}, 0),
    ],
)
def test_an_account_that_perhaps_nobody_heard_is_given_again(
    capsys: pytest.CaptureFixture[str], kinds: set[EventKind], rows: int
) -> None:
    with Telling(Console(), as_json=True, told=kinds) as telling:
        telling.complain(FAILED)
    said = capsys.readouterr()
    assert [json.loads(line)["event"] for line in said.out.splitlines()] == ["run_end"] * rows
    assert said.err.endswith(
        "Apply incomplete: 0 created, 1 failed, 0 in conflict, 0 unknown, 0 not attempted.\n"
    )


WAITING = Event(
    EventKind.WAITING, AT, "run-1", wait=6.2, underway=(Underway("neon", "audio-1", 9.0),)
)


def test_while_it_waits_it_says_so_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    telling = Telling(Console(), rate=Rate(20, 10.0))
    with telling, telling.listening() as listener:
        for second in range(61):
            now[0] = float(second)
            listener(WAITING)
    lines = capsys.readouterr().err.splitlines()
    assert set(lines) == {
        "waiting for the answer for neon (9s); waiting for the rate (20/10s), next in 6 s"
    }
    assert 6 <= len(lines) <= 11  # less and less often
    with telling, telling.listening() as listener:
        for second in range(600):
            now[0] = float(second)
            listener(WAITING)
    lines = capsys.readouterr().err.splitlines()
    assert 600 / 30 <= len(lines) <= 600 / 20  # but never silent for more than half a minute


def test_what_is_slow_is_named_though_others_get_their_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    telling = Telling(Console(), rate=Rate(20, 10.0))
    with telling, telling.listening() as listener:
        for second in range(21):
            now[0] = float(second)
            listener(Event(EventKind.CREATE_START, AT, "run-1", f"k{second}", f"a{second}"))
            listener(WAITING)
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("waiting for the answer for neon (9s)") == 4
    assert len(lines) == 21 + 4  # that the rate is waited for is no news while all goes on


def test_scripts_are_told_only_what_happened_and_people_what_is_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    telling = Telling(Console(), as_json=True)
    with telling, telling.listening() as listener:
        now[0] = 5.0
        listener(WAITING)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "waiting for the answer for neon (9s); waiting for the rate, next in 6 s\n"


def test_what_a_signal_leaves_waiting_is_said_even_when_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stopping = Event(EventKind.STOPPING, AT, "run-1", reason="interrupted by SIGINT")
    for output_format in ("text", "json"):
        tell(Console(quiet=True), output_format, iter([stopping]))
        assert capsys.readouterr().err.startswith("interrupted by SIGINT: nothing new is sent")


def test_the_time_left_knows_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    counts = {rate: _Count(50, rate) for rate in (None, Rate(20, 10.0))}
    few = _Count(3, Rate(20, 10.0))  # all may leave at once, and no answer says how long it takes
    few.hear(Event(EventKind.CREATE_START, AT, "r", key="k", audio_id="a"))
    assert few.words() == "1 in flight, 0ms elapsed"
    now[0] = 1.0
    for rate, count in counts.items():
        for number in range(20):
            about: dict[str, Any] = {"key": f"k{number}", "audio_id": f"a{number}"}
            count.hear(Event(EventKind.CREATE_START, AT, "r", **about))
            assert count.hear(Event(EventKind.CREATE_DONE, AT, "r", **about)), rate
    assert counts[None].words() == "0 in flight, 1s elapsed, about 2s left"
    assert counts[Rate(20, 10.0)].words() == "0 in flight, 1s elapsed, about 20s left"
