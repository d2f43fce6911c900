"""The sandbox as the command serves it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.helpers.serving import KEY
from tests.helpers.support import Ended, Tool
from tests.helpers.waiting import HANG


@contextmanager
def served(tool: Tool, *args: str, port: str = "0") -> Iterator[str]:
    """Serve the sandbox as the installed command does; what is started here uses it."""
    process = tool.start("sandbox", "--port", port, "-q", *args, stderr=subprocess.DEVNULL)
    try:
        base = process.stdout.readline().decode().strip()
        tool.environment.update(PERSONASYNC_BASE_URL=base, PERSONASYNC_API_KEY=KEY)
        yield base
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG) in (0, 130)
        process.stdout.close()


def apply(tool: Tool, *args: str) -> Ended:
    return tool("apply", "--auto-approve", "--rate-limit", "none", "--retry-for", "0s", *args)


def statuses(tool: Tool) -> set[str]:
    """Return the statuses that the state ends with."""
    return set({entry["audioId"]: entry["status"] for entry in tool.entries()}.values())


def ask(url: str, body: object = None) -> Any:
    """Return the envelope of an answer, whatever its status."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Authorization": "Bearer any"})
    try:
        with urllib.request.urlopen(request, timeout=HANG) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return json.load(error)


# Tasks


RECORD = "/api/v1/generate/record-info?taskId="


def test_the_served_sandbox_knows_a_manifest(tool: Tool) -> None:
    tool.manifest(2)
    with served(tool, "-f", "personas.yaml") as base:
        data = ask(f"{base}{RECORD}task-001")["data"]
        assert [track["id"] for track in data["response"]["sunoData"]] == ["audio-001"]
        assert ask(f"{base}{RECORD}elsewhere")["code"] == 422
        body = {"taskId": "task-001", "audioId": "audio-000", "name": "n", "description": "d"}
        assert ask(f"{base}/api/v1/generate/generate-persona", body)["code"] == 422
        assert apply(tool).code == 0


@pytest.mark.parametrize("name", ["tasks.yaml", "tasks.json"])
def test_the_served_sandbox_knows_described_tasks(tool: Tool, name: str) -> None:
    tool.manifest(1)
    tool.write(
        name,
        "{tasks: {task-000: {status: SUCCESS, after: 1h, model: V4_5, tracks: [{audioId:"
        " audio-000, title: Dawn, duration: 183.2}]}, bad: {status: GENERATE_AUDIO_FAILED}}}"
        if name.endswith("yaml")
        else json.dumps(
            {"tasks": {"task-000": {"after": "1h"}, "bad": {"status": "GENERATE_AUDIO_FAILED"}}}
        ),
    )
    with served(tool, "--tasks", name) as base:
        assert ask(f"{base}{RECORD}task-000")["data"]["status"] == "PENDING"
        assert ask(f"{base}{RECORD}bad")["data"]["errorMessage"]
        assert apply(tool).code == 3


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("{tasks: {x: {status: DONE}}}", 64, "tasks.x.status: 'DONE' is none of PENDING"),
        ("{tasks: {x: {trakcs: []}}}", 64, "did you mean tracks?"),
        ("[", 1, "tasks.yaml"),
        ("[]", 64, "the file is not a mapping"),
        (None, 64, "No such file or directory"),
    ],
)
def test_a_file_of_tasks_that_cannot_be_used(
    tool: Tool, text: str | None, code: int, said: str
) -> None:
    if text is not None:
        tool.write("tasks.yaml", text)
    ended = tool("sandbox", "--tasks", "tasks.yaml", "--port", "0")
    assert (ended.code, ended.stdout) == (code, "")
    assert said in ended.stderr


def test_the_list_explains_every_name_in_help(tool: Tool) -> None:
    explained = re.findall(r"^  (\S+) ", tool("sandbox", "--fault", "list").stdout, re.MULTILINE)
    help_ = tool("sandbox", "--help").stdout
    assert len(explained) > 40
    assert [name for name in explained if not re.search(rf"\b{name}\b", help_)] == []


def test_books_of_an_earlier_version_are_refused(tool: Tool) -> None:
    tool.write("books.jsonl", '{"format":"personasync.sandbox/1"}\n')
    ended = tool("sandbox", "--books", "books.jsonl", "--port", "0")
    assert (ended.code, ended.stdout) == (1, "")
    assert "written by an earlier version" in ended.stderr
    assert "Delete or move the file away" in ended.stderr
