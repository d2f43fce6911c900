"""What ``check`` says of each thing that the API can say of a task, and what it exits with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from personasync.sandbox import Status, Task, Track
from tests.helpers.nasty import Behaviour, NastyServer, Talk, answer, says
from tests.helpers.serving import KEY, serving
from tests.helpers.support import Tool

AUDIO = "audio-000"
TRACK = Track(AUDIO, "Neon", 183.2)
TABLE: dict[str, tuple[Task, str, int, str]] = {
    "finished": (Task(tracks=(TRACK,)), "ok", 0, ""),
    "only the callback failed": (Task(Status.CALLBACK_EXCEPTION, (TRACK,)), "ok", 0, ""),
    "pending": (Task(Status.PENDING, (TRACK,)), "notFinished", 0, "being generated (PENDING)"),
    "text": (Task(Status.TEXT_SUCCESS, (TRACK,)), "notFinished", 0, "being generated"),
    "first": (Task(Status.FIRST_SUCCESS, (TRACK,)), "notFinished", 0, "being generated"),
    "not begun": (Task(Status.CREATE_TASK_FAILED), "refused", 1, "Failed to create the task"),
    "failed": (Task(Status.GENERATE_AUDIO_FAILED), "refused", 1, "Failed to generate the audio"),
    "words": (Task(Status.SENSITIVE_WORD_ERROR), "refused", 1, "contains sensitive words"),
    "another audio": (
        Task(tracks=(Track("audio-0001", "Neon", 183.2), Track("b2", "Glow", 61.5))),
        "refused",
        1,
        "did you mean 'audio-0001'? its tracks are audio-0001 ('Neon', 3m03s), b2 ('Glow'",
    ),
    "V3": (Task(tracks=(TRACK,), model="V3_5"), "refused", 1, "made with V3_5"),
    "a model nobody knows": (Task(tracks=(TRACK,), model="V9_TURBO"), "ok", 0, ""),
    "short": (Task(tracks=(Track(AUDIO, "Neon", 20.0),)), "ok", 0, "vocalEnd 30 (the default)"),
    "a little short": (Task(tracks=(Track(AUDIO, "Neon", 29.6),)), "ok", 0, ""),
    "no tracks": (Task(tracks=()), "unknown", 0, "names no track"),
    "expired": (Task(expired=True), "unknown", 0, "recordInfo is null"),
}


@pytest.mark.parametrize(("task", "verdict", "code", "said"), TABLE.values(), ids=TABLE)
def test_what_the_sandbox_says_of_a_task(
    tool: Tool, task: Task, verdict: str, code: int, said: str
) -> None:
    tool.manifest(1)
    with serving(tool, tasks={"task-000": task}) as sandbox:
        ended = tool("check", "--format", "json")
        told = tool("check")
    document = json.loads(ended.stdout)
    assert document["format"] == "personasync.check/1"
    [persona] = document["personas"]
    assert (persona["key"], persona["verdict"], ended.code) == ("p-000", verdict, code)
    assert persona["source"]["line"] == 3
    assert (persona["reasons"] == []) is (said == "")
    assert said in told.stdout
    assert told.code == code
    assert told.stdout.splitlines()[-1].startswith("Check: ")
    assert sandbox.personas() == {}
    assert not (tool.folder / "personas.state.jsonl").exists()


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"vocalStart": 0, "vocalEnd": 20}, 0, ""),
        ({"vocalStart": 0, "vocalEnd": 20.5}, 0, ""),
        ({"vocalStart": 0, "vocalEnd": 21}, 1, "vocalEnd 21 is beyond the end of the track"),
        ({"vocalStart": 25, "vocalEnd": 40}, 1, "vocalStart 25 is beyond the end of the track"),
        ({"vocalStart": 5}, 0, "vocalEnd 30 (the default) is beyond"),
    ],
)
def test_a_segment_beyond_the_track(
    tool: Tool, fields: dict[str, Any], code: int, said: str
) -> None:
    tool.manifest(1, **fields)
    with serving(tool, tasks={"task-000": Task(tracks=(Track(AUDIO, "Neon", 20.0),))}):
        ended = tool("check")
    assert ended.code == code
    assert said in ended.stdout


def record(status: str, track: dict[str, Any] | None = None, **more: Any) -> Behaviour:
    """Answer as a server that is not the sandbox describes a task."""
    tracks = {"sunoData": [track]} if track else None
    return says(200, "success", {"taskId": "t", "status": status, "response": tracks, **more})


GOOD: dict[str, Any] = {"id": AUDIO, "title": "T", "modelName": "chirp-v4", "duration": 99.0}
ANSWERS: dict[str, tuple[Behaviour, str]] = {
    "as documented": (record("SUCCESS", GOOD), "ok"),
    "chunked": (
        answer(json.dumps({"code": 200, "data": {"status": "PENDING"}}), chunked=True),
        "notFinished",
    ),
    "code as text": (says("200", "success", {"status": "PENDING"}), "notFinished"),
    "status in lower case": (record("success", GOOD), "ok"),
    "duration as text": (record("SUCCESS", {**GOOD, "duration": "9.0"}), "ok"),
    "no duration": (record("SUCCESS", {**GOOD, "duration": None}), "ok"),
    "no model": (record("SUCCESS", {"id": AUDIO}), "ok"),
    "chirp-v3": (record("SUCCESS", {**GOOD, "modelName": "chirp-v3-5"}), "refused"),
    "chirp-v2": (record("SUCCESS", {**GOOD, "modelName": "chirp-v2-xxl-alpha"}), "refused"),
    "chirp-bluejay": (record("SUCCESS", {**GOOD, "modelName": "chirp-bluejay"}), "ok"),
    "V3 in param": (record("SUCCESS", GOOD, param='{"model": "V3_5"}'), "refused"),
    "param not JSON": (record("SUCCESS", GOOD, param="{"), "ok"),
    "another audio": (record("SUCCESS", {**GOOD, "id": "x"}), "refused"),
    "a track without an ID": (record("SUCCESS", {**GOOD, "id": ""}), "unknown"),
    "a status nobody knows": (record("HALF_SUCCESS"), "unknown"),
    "no status": (says(200, "success", {}), "unknown"),
    "null": (says(200, "success", None), "unknown"),
    "null record": (says(422, "recordInfo is null"), "unknown"),
    "no such task": (says(404, "not found", status=404), "unknown"),
    "a page": (answer("<h1>not here</h1>", 404), "unknown"),
    "an error": (says(500, "oops", status=500), "unknown"),
    "maintenance": (says(455, "later"), "unknown"),
    "a redirect": (answer("", 302, headers=[("Location", "/x")]), "unknown"),
    "a list": (answer("[]"), "unknown"),
    "nothing": (answer(""), "unknown"),
    "odd types": (says(200, "", {"status": 5, "response": [1, {"id": 7}], "param": []}), "unknown"),
}


def by_path(record_info: Behaviour, credit: Behaviour) -> Behaviour:
    def behave(talk: Talk) -> None:
        target = talk.receive().target
        (credit if target.endswith("/generate/credit") else record_info)(talk)

    return behave


@contextmanager
def asked(tool: Tool, record_info: Behaviour, credit: Behaviour) -> Iterator[NastyServer]:
    with NastyServer(by_path(record_info, credit)) as server:
        tool.environment.update(PERSONASYNC_BASE_URL=server.url, PERSONASYNC_API_KEY=KEY)
        yield server


@pytest.mark.parametrize(("behaviour", "verdict"), ANSWERS.values(), ids=ANSWERS)
def test_what_another_server_says_of_a_task(tool: Tool, behaviour: Behaviour, verdict: str) -> None:
    tool.manifest(1)
    with asked(tool, behaviour, says(200, "success", 7)) as server:
        ended = tool("check", "--format", "json")
    document = json.loads(ended.stdout)
    assert [persona["verdict"] for persona in document["personas"]] == [verdict]
    assert document["credits"] == 7
    assert ended.code == (1 if verdict == "refused" else 0)
    assert [request.method for request in server.requests] == ["GET", "GET"]
    assert all(request.body == b"" for request in server.requests)
    assert server.requests[1].target == "/api/v1/generate/record-info?taskId=task-000"


def test_a_key_that_is_not_accepted_stops(tool: Tool) -> None:
    tool.manifest(3)
    with serving(tool, api_key="another") as sandbox:
        ended = tool("check")
    assert (ended.code, ended.stdout) == (1, "")
    assert "does not accept the API key" in ended.stderr
    assert sandbox.statistics().requests == 1


@pytest.mark.parametrize(
    ("credit", "said"),
    [
        (says(200, "success", 0), "no credits left"),
        (says(200, "success", "0"), "no credits left"),
        (says(500, "oops"), "the credits left could not be told: the API answered 500: oops"),
        (says(200, "success", None), "could not be told"),
        (says(404, "no such endpoint"), "could not be told"),
    ],
)
def test_credits_are_a_warning_and_no_more(tool: Tool, credit: Behaviour, said: str) -> None:
    tool.manifest(1)
    with asked(tool, record("SUCCESS", GOOD), credit):
        assert said in (ended := tool("check")).stdout
        assert ended.code == 0
        assert tool("check", "--fail-on", "warnings").code == 1


def test_each_task_is_asked_about_once_and_none_that_is_recorded(tool: Tool) -> None:
    tool.manifest(3, taskId="task")
    tracks = tuple(Track(f"audio-{number:03}") for number in range(3))
    with serving(tool, tracks={"task": tracks}) as sandbox:
        assert tool("check").code == 0
        asked = [request.target for request in sandbox.received()]
        assert asked == [
            "/api/v1/generate/credit",
            "/api/v1/generate/record-info?taskId=task",
        ]
        assert tool("apply", "--auto-approve", "--rate-limit", "none").code == 0
        ended = tool("check")
        assert ended.stdout.startswith("Check: nothing to create")
        assert [request.target for request in sandbox.received()[-2:]] == [
            "/api/v1/generate/generate-persona",
            "/api/v1/generate/credit",
        ]


def test_github_sees_each_finding_at_its_line(tool: Tool) -> None:
    tool.manifest(2)
    tasks = {"task-000": Task(Status.PENDING), "task-001": Task(tracks=(Track("x"),))}
    with serving(tool, tasks=tasks):
        ended = tool("check", "--format", "github", "--markdown-out", "check.md")
    first, second, _ = ended.stdout.splitlines()
    assert first.startswith("::warning file=personas.yaml,line=3,")
    assert second.startswith("::error file=personas.yaml,line=8,")
    assert ended.code == 1
    markdown = (tool.folder / "check.md").read_text()
    assert markdown.startswith("<!-- personasync check -->\n")
    assert "| <code>p-001</code> | would be refused |" in markdown


def test_without_a_key_there_is_a_rehearsal(tool: Tool) -> None:
    tool.manifest(1)
    ended = tool("check")
    assert ended.code == 1
    assert "personasync check --sandbox" in ended.stderr
    assert tool("check", "--sandbox").code == 0
