"""Apply heeds what a check finds, and waits for tasks that are still running."""

from __future__ import annotations

import json
import re
import signal
import time

from personasync.sandbox import Status, Task, Track
from tests.helpers.serving import made, serving
from tests.helpers.support import Tool
from tests.helpers.waiting import wait_for

TRACKS = [Track(f"audio-{number:03}", "Neon", 183.2) for number in range(4)]


def finished(number: int, **more: float) -> Task:
    return Task(tracks=(TRACKS[number],), **more)  # type: ignore[arg-type]


def test_what_would_be_refused_is_not_sent(tool: Tool) -> None:
    tool.manifest(4)
    tasks = {
        "task-000": finished(0),
        "task-001": Task(tracks=(TRACKS[0],)),
        "task-002": Task(Status.PENDING),
        "task-003": Task(tracks=(TRACKS[3],), model="V3_5"),
    }
    with serving(tool, tasks=tasks) as sandbox:
        ended = tool("apply", "--check", "--auto-approve")
        assert set(sandbox.statistics().audios) == {"audio-000"}
    assert ended.code == 3
    assert ended.last_line == (
        "Apply incomplete: 1 created, 0 failed, 0 in conflict, 0 unknown, 3 not attempted."
    )
    said = " ".join(ended.stdout.split())
    assert "the audio 'audio-001' is not in the task 'task-001'" in said
    assert "made with V3_5" in said
    assert "Not attempted: still being generated" in said
    assert "correct the entry" not in said
    assert {entry["audioId"] for entry in tool.entries()} == {"audio-000"}


def test_a_persona_whose_task_finishes_is_created_in_the_same_run(tool: Tool) -> None:
    tool.manifest(2)
    with serving(tool, tasks={"task-000": finished(0, after=4.0), "task-001": finished(1)}) as box:
        ended = tool("apply", "--check", "--wait-for-tasks", "60s", "--auto-approve")
        targets = [each.target for each in box.received()]
        assert set(made(box)) == {"audio-000", "audio-001"}
    assert (ended.code, ended.last_line) == (
        0,
        "Apply complete: 2 created, 0 imported, 0 renamed.",
    )
    looks = [place for place, target in enumerate(targets) if target.endswith("task-000")]
    if len(looks) > 1:  # else this machine was so slow that the task had finished before
        assert any("persona" in target for target in targets[: looks[-1]]), "made meanwhile"


def test_the_end_of_the_time_is_no_failure(tool: Tool) -> None:
    tool.manifest(2)
    with serving(tool, tasks={"task-000": Task(Status.TEXT_SUCCESS), "task-001": finished(1)}):
        ended = tool(
            "apply", "--wait-for-tasks", "1s", "--auto-approve", "--json-out", "events.jsonl"
        )
    assert ended.code == 3
    said = " ".join(ended.stdout.split())
    assert "Not attempted: still being generated" in said
    assert "correct the entry" not in said
    events = (tool.folder / "events.jsonl").read_text().splitlines()
    assert json.loads(events[-1])["notAttempted"] == 1


def test_a_task_that_fails_while_it_is_waited_for(tool: Tool) -> None:
    tool.manifest(1)
    task = Task(Status.SENSITIVE_WORD_ERROR, after=1.5)
    with serving(tool, tasks={"task-000": task}) as sandbox:
        ended = tool("apply", "--wait-for-tasks", "60s", "--auto-approve")
        assert sandbox.statistics().audios == {}
    assert ended.code == 3
    assert "sensitive words" in ended.stdout


def test_a_wait_for_a_task_heeds_signals(tool: Tool) -> None:
    tool.manifest(2)
    with serving(tool, tasks={"task-000": Task(Status.PENDING), "task-001": finished(1)}) as box:
        process = tool.start("apply", "--wait-for-tasks", "10m", "--auto-approve")
        wait_for(lambda: len(made(box)) == 1, "the persona that can be made")
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"1 created" in stdout
    assert b"still being generated" in stdout


def test_questions_and_requests_share_the_rate(tool: Tool) -> None:
    tool.manifest(3)
    tasks = {f"task-{number:03}": finished(number) for number in range(3)}
    with serving(tool, tasks=tasks) as sandbox:
        began = time.monotonic()
        ended = tool("apply", "--check", "--auto-approve", "--rate-limit", "4/1s")
        assert time.monotonic() - began >= 1, "four questions fill the first window"
        assert sandbox.statistics().requests == 7
    assert ended.code == 0


def test_warnings_can_count(tool: Tool) -> None:
    tool.manifest(1)
    with serving(tool, tasks={"task-000": Task(expired=True)}) as sandbox:
        ended = tool("apply", "--check", "--auto-approve", "--fail-on", "warnings")
        assert sandbox.statistics().audios == {}
    assert ended.code == 1
    assert re.search(r"p-000: the API has no record of the task 'task-000'", ended.stderr)
    assert not (tool.folder / "personas.state.jsonl").exists()


def test_nothing_is_asked_where_nothing_is_to_be_created(tool: Tool) -> None:
    tool.manifest(1)
    with serving(tool, tasks={"task-000": finished(0)}) as sandbox:
        assert tool("apply", "--auto-approve").code == 0
        before = sandbox.statistics().requests
        assert tool("apply", "--check", "--auto-approve").code == 0
        assert sandbox.statistics().requests == before
