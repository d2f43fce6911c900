"""``apply --format json``: what a program that reads along can rely on, however a run ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.published import check
from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import STATE, made, recorded, serving
from tests.helpers.support import Tool, manifest_text
from tests.helpers.waiting import HANG, answers_held, deliver

APPLY = ("apply", "--auto-approve", "--format", "json", "--rate-limit", "none")
COUNTS = ("created", "imported", "renamed", "failed", "conflict", "unknown", "notAttempted")
ENDS_A_PERSONA = {"create_done", "create_failed", "create_conflict", "create_unknown"}


@pytest.fixture
def api(tool: Tool) -> Iterator[Sandbox]:
    with serving(tool) as sandbox:
        yield sandbox


def events(stdout: str | bytes) -> list[dict[str, Any]]:
    """Read a whole stdout as events; anything else on it is a failure."""
    text = stdout if isinstance(stdout, str) else stdout.decode()
    assert text.endswith("\n")
    assert text.isascii()
    told = [json.loads(line) for line in text.splitlines()]
    for event in told:
        check("events", event)
    assert [event["event"] for event in told].count("run_start") == 1
    assert [event["event"] for event in told].count("run_end") == 1
    assert (told[0]["event"], told[-1]["event"]) == ("run_start", "run_end")
    assert len({event["run"] for event in told}) == 1
    return told


def reading(tool: Tool, *options: str) -> Any:
    """Start an apply whose events are read as they come, by nobody but ``next_event``."""
    return tool.start(*APPLY, *options, bufsize=0)


def next_event(process: Any) -> dict[str, Any]:
    line = process.stdout.readline()
    assert line, process.stderr.read().decode()
    event: dict[str, Any] = json.loads(line)
    return event


def wait_for(process: Any, kind: str) -> list[dict[str, Any]]:
    """Read along until an event of a kind."""
    told = [next_event(process)]
    while told[-1]["event"] != kind:
        told.append(next_event(process))
    return told


def finish(process: Any, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Read what is left; return all events once they are seen to be whole."""
    rest, stderr = process.communicate(timeout=HANG)
    assert b"Traceback" not in stderr, stderr.decode()
    lines = "".join(f"{json.dumps(event)}\n" for event in told)
    return events(lines + rest.decode())


# In order


def test_events_come_in_order_and_add_up(tool: Tool, api: Sandbox) -> None:
    tool.manifest(20)
    ended = tool(*APPLY, "--parallelism", "6")
    told = events(ended.stdout)
    assert told[0]["total"] == 20
    assert {name: told[-1][name] for name in COUNTS} == dict.fromkeys(COUNTS, 0) | {"created": 20}
    assert (ended.code, told[-1]["exitCode"]) == (0, 0)
    for audio, persona_id in made(api).items():
        [start, done] = [event for event in told if event.get("audioId") == audio]
        assert (start["event"], done["event"]) == ("create_start", "create_done")
        assert done["personaId"] == persona_id
        assert start["key"] == done["key"] == audio.replace("audio", "p")
    assert [event["at"] for event in told] == sorted(event["at"] for event in told)


def test_retries_stand_between_start_and_end(tool: Tool) -> None:
    with serving(tool, faults=(), rate_limit=None, credits=None) as sandbox:
        tool.write("personas.yaml", manifest_text(range(3)).replace("audio-001", "broken-audio"))
        ended = tool(*APPLY, "--retry-for", "3s")
        assert set(made(sandbox)) == {"audio-000", "audio-002"}
    told = events(ended.stdout)
    kinds = [event["event"] for event in told if event.get("audioId") == "broken-audio"]
    assert kinds[0] == "create_start"
    assert set(kinds[1:-1]) == {"create_retry"}
    assert kinds[-1] == "create_unknown"
    attempts = [event["attempt"] for event in told if event["event"] == "create_retry"]
    assert attempts == list(range(2, 2 + len(attempts)))
    assert (ended.code, told[-1]["exitCode"], told[-1]["unknown"]) == (3, 3, 1)


# At once


def test_each_event_is_there_when_it_happens(tool: Tool) -> None:
    tool.manifest(3)
    with serving(tool), answers_held() as held:
        process = reading(tool, "--parallelism", "1")
        assert next_event(process)["event"] == "run_start"
        assert next_event(process)["event"] == "create_start"  # and no answer can be there
        assert recorded(tool.folder / STATE) == {}
        held.let(1)
        done = next_event(process)
        assert done["event"] == "create_done"
        # What is told is on disk, and the run goes on.
        assert recorded(tool.folder / STATE) == {done["audioId"]: done["personaId"]}
        assert process.poll() is None
        held.let()
        process.communicate(timeout=HANG)
    assert process.returncode == 0


# To the end


def test_nothing_to_do_has_its_two_events(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    tool(*APPLY)
    ended = tool(*APPLY, env={"PERSONASYNC_API_KEY": ""})
    told = events(ended.stdout)
    assert [event["event"] for event in told] == ["run_start", "run_end"]
    assert (ended.code, told[0]["total"], told[-1]["exitCode"]) == (0, 0, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_in_order(tool: Tool, number: signal.Signals) -> None:
    tool.manifest(60)
    with serving(tool, latency=0.3) as sandbox:
        process = reading(tool, "--parallelism", "2")
        told = wait_for(process, "create_done")
        process.send_signal(number)
        told = finish(process, told)
        assert process.returncode == 128 + number == told[-1]["exitCode"]
        done = {e["audioId"]: e["personaId"] for e in told if e["event"] == "create_done"}
        assert done == made(sandbox) == recorded(tool.folder / STATE)
    end = told[-1]
    assert end["created"] == len(done)
    assert end["notAttempted"] == 60 - len(done) > 0
    assert sum(end[name] for name in COUNTS) == 60
    assert number.name in end["stopped"]


def test_a_second_signal_leaves_at_once_and_still_says_so(tool: Tool) -> None:
    tool.manifest(6)
    with serving(tool), answers_held():
        process = reading(tool, "--parallelism", "2")
        told = wait_for(process, "create_start")
        told += [next_event(process)]
        deliver(process, signal.SIGTERM)
        time.sleep(0.3)
        assert process.poll() is None, "it waits for what is in flight"
        process.send_signal(signal.SIGTERM)
        told = finish(process, told)  # for an answer, it would wait for ever
    end = told[-1]
    assert process.returncode == end["exitCode"] == 143
    assert (end["unknown"], end["notAttempted"]) == (2, 4)
    statuses = [entry["status"] for entry in tool.entries()]
    assert statuses == ["pending", "pending"]


def run_code(tool: Tool, code: str, *args: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program that changes something and then is the command."""
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=tool.folder,
        env=tool.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


INJECTED = """\
import sys
import personasync.state.file, personasync.cli.commands.apply as command
class Bug(Exception): pass
def buggy(*args, **options): raise Bug("nobody expected this")
{injection}
from personasync.__main__ import run
sys.argv[0] = "personasync"
run()
"""
INJECTIONS = {
    "before the run": ("import personasync.plan.compute as p; p.compute_plan = buggy", 1, 0),
    "in the state": ("personasync.state.file.FileStateLog.append = buggy", 1, 4),
    "in the API": ("import personasync.api.client as c; c.HttpApi.create = buggy", 1, 4),
    "in what shows the plan": ("command.render_text = buggy", 1, 0),
    "in an event": (
        "import personasync.cli.progress as p\n"
        "real = p.render_json\n"
        "p.render_json = lambda e: buggy() if e.kind == 'create_done' else real(e)",
        1,
        4,
    ),
    "in the conductor": (
        "import personasync.engine.schedule as s; s.RetryBudget.heard = buggy",
        1,
        4,
    ),
    "while it tidies up": ("personasync.state.file.FileStateLog.compact = buggy", 1, 4),
}


@pytest.mark.parametrize("where", INJECTIONS)
def test_a_bug_of_ours_ends_in_order(tool: Tool, api: Sandbox, where: str) -> None:
    injection, code, total = INJECTIONS[where]
    tool.manifest(4)
    ended = run_code(tool, INJECTED.format(injection=injection), *APPLY)
    stderr = ended.stderr.decode()
    assert "personasync failed in a way that it should not: Bug: nobody expected this" in stderr
    assert "Traceback" not in stderr
    told = events(ended.stdout)
    assert told[0]["total"] == total
    # What is already told stands: a run that is over has ended well, whatever comes after it.
    tidying = where == "while it tidies up"
    assert told[-1]["exitCode"] == (0 if tidying else code)
    assert ended.returncode == code
    known = recorded(tool.folder / STATE) if (tool.folder / STATE).exists() else {}
    assert known.items() <= made(api).items()
    for audio, persona_id in made(api).items():
        assert known.get(audio) == persona_id or persona_id in stderr, f"{audio} is lost"


def refusals() -> Iterator[Any]:
    """Yield what ends an apply before it begins, with its exit code and its reason."""

    def no_manifest(tool: Tool) -> None:
        (tool.folder / "personas.yaml").unlink()

    def broken_manifest(tool: Tool) -> None:
        tool.write("personas.yaml", "version: 1\npersonas: [::error::x]\n")

    def broken_state(tool: Tool) -> None:
        tool.write(STATE, "not a state\n")

    def no_key(tool: Tool) -> None:
        tool.environment["PERSONASYNC_API_KEY"] = ""

    def stale_plan(tool: Tool) -> None:
        tool("plan", "--out", "plan.json")
        tool.manifest(1)

    def nothing(tool: Tool) -> None:
        pass

    yield pytest.param(no_manifest, (), 1, "there is no personas.yaml here", id="no manifest")
    yield pytest.param(broken_manifest, (), 1, "the manifest has", id="a broken manifest")
    yield pytest.param(broken_state, (), 1, "neither a header nor an entry", id="a broken state")
    yield pytest.param(no_key, (), 1, "there is no API key", id="no key")
    yield pytest.param(stale_plan, ("plan.json",), 5, "the saved plan is stale", id="a stale plan")
    yield pytest.param(nothing, ("--max-creates", "1"), 1, "would create 2", id="a gate")
    yield pytest.param(nothing, ("--target", "nobody"), 1, "no persona matches", id="no target")
    yield pytest.param(nothing, ("none.json",), 1, "cannot read the plan", id="no plan")
    yield pytest.param(nothing, ("--sandbox",), 64, "exclude each other", id="usage")
    yield pytest.param(
        nothing, ("--base-url", "http://example.com"), 1, "plain http", id="a base URL"
    )


@pytest.mark.parametrize(("prepare", "options", "code", "reason"), list(refusals()))
def test_a_refusal_has_its_two_events(
    tool: Tool, api: Sandbox, prepare: Any, options: tuple[str, ...], code: int, reason: str
) -> None:
    tool.manifest(2)
    prepare(tool)
    ended = tool(*APPLY, *options)
    told = events(ended.stdout)
    assert [event["event"] for event in told] == ["run_start", "run_end"]
    assert ended.code == told[-1]["exitCode"] == code
    assert reason in told[-1]["stopped"]
    assert reason in ended.stderr
    assert {told[-1][name] for name in COUNTS} == {0}
    assert api.statistics().requests == 0


def test_nobody_to_ask_is_a_refusal(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    ended = tool("apply", "--format", "json")
    told = events(ended.stdout)
    assert (ended.code, told[-1]["exitCode"]) == (1, 1)
    assert told[-1]["stopped"] == "nobody can be asked: standard input is not a terminal"


def test_a_state_that_another_run_holds_is_a_refusal(tool: Tool) -> None:
    tool.manifest(2)
    with serving(tool), answers_held() as held:
        first = reading(tool)
        wait_for(first, "create_start")
        second = tool(*APPLY)
        assert first.poll() is None
        held.let()
        first.communicate(timeout=HANG)
    told = events(second.stdout)
    assert second.code == told[-1]["exitCode"] == 4


def test_a_full_disk_is_told_with_the_ids_that_it_did_not_take(tool: Tool) -> None:
    tool.manifest(6)
    limit = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "from personasync.__main__ import run\n"
        "sys.argv[0] = 'personasync'\n"
        "run()\n"
    )
    with serving(tool) as sandbox:
        ended = run_code(tool, limit, *APPLY, "--parallelism", "1")
        told = events(ended.stdout)
        done = {e["audioId"]: e["personaId"] for e in told if e["event"] == "create_done"}
        assert done == made(sandbox)
    assert told[-1]["exitCode"] == ended.returncode != 0
    assert "cannot write the state" in told[-1]["stopped"]
    assert told[-1]["notAttempted"] > 0
    known = recorded(tool.folder / STATE)
    rescued = [event for event in told if event.get("rescued")]
    for event in rescued:
        known |= recorded(Path(event["rescued"]))
    assert known == done


def test_a_reader_that_leaves_costs_no_id(tool: Tool) -> None:
    tool.manifest(100)
    with serving(tool, latency=0.1) as sandbox:
        process = reading(tool, "--parallelism", "2")
        wait_for(process, "create_done")
        process.stdout.close()
        with process.stderr:
            stderr = process.stderr.read().decode()
        assert process.wait(HANG) == 1
        assert recorded(tool.folder / STATE) == made(sandbox)
        assert len(made(sandbox)) < 100, "nothing more may happen unseen"
    assert "Apply incomplete" in stderr
    assert "Traceback" not in stderr


# Alone


@pytest.mark.parametrize(
    "options", [(), ("-v",), ("-q",), ("--sandbox",), ("--no-color",)], ids=" ".join
)
def test_nothing_else_is_on_stdout(tool: Tool, api: Sandbox, options: tuple[str, ...]) -> None:
    name = '::error::x {"event":"run_end"} ##[group]'
    tool.write(
        "personas.yaml",
        manifest_text(range(2), vocalEnd=5).replace('"Persona 0"', json.dumps(name)),
    )
    if "--sandbox" in options:
        tool.environment["PERSONASYNC_BASE_URL"] = ""
    ended = tool(*APPLY, *options, env={"FORCE_COLOR": "1", "CI": "true"})
    told = events(ended.stdout)
    assert (ended.code, told[-1]["created"]) == (0, 2)
    assert "\x1b" not in ended.stdout
    assert "##[" not in ended.stdout
    if options == ("-q",):
        assert ended.stderr == ""
    else:
        assert "Apply complete: 2 created" in ended.stderr
