"""The published schemas: what they promise, and that nothing the tool says breaks the promise.

``tests.helpers.published`` checks the outputs of every run that the suite makes; here
are the runs that leave no kind of output out, and the check's own test.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from personasync.sandbox import SandboxConfig
from tests.helpers.published import NAMES, SCHEMAS, check, check_run, outputs, validator
from tests.helpers.sandbox import Sandbox
from tests.helpers.support import Ended, Tool
from tests.helpers.waiting import HANG, answers_held, read_until

KEY = "an-api-key-that-nobody-has"


@pytest.fixture
def bad_day(tool: Tool) -> Callable[..., Tool]:
    """A tool whose personas meet, in turn, everything that can happen to one."""

    def start(sandbox: Sandbox) -> Tool:
        tool.environment.update(PERSONASYNC_BASE_URL=sandbox.base_url, PERSONASYNC_API_KEY=KEY)
        lines = ["version: 1", "personas:"]
        for key, task, audio in (
            ("fine", "task-1", "audio-1"),
            ("missing", "missing-task", "audio-2"),
            ("broken", "task-3", "broken-audio"),
            ("twice", "task-4", "audio-4"),
            ("adopted", "task-5", "audio-5"),
        ):
            lines += [
                f"  {key}:",
                f"    {{taskId: {task}, audioId: {audio}, name: {key}, description: A voice}}",
            ]
        lines[-1] = lines[-1].replace("{", "{personaId: known-id, ")
        tool.write("personas.yaml", "\n".join(lines) + "\n")
        return tool

    return start


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_sound_schema_that_says_how_stable_it_is(name: str, tool: Tool) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert schema["$id"].startswith("https://")
    assert schema["$id"].endswith(f"/schemas/{name}.schema.json")
    assert "Stable: within" in schema["description"]
    assert json.loads(tool("schema", name).stdout) == schema


def test_no_schema_is_left_out(tool: Tool) -> None:
    assert sorted(path.name for path in SCHEMAS.iterdir()) == sorted(
        f"{name}.schema.json" for name in NAMES
    )
    usage = tool("schema", "--help").stdout
    assert "{" + "|".join(NAMES) + "}" in usage


def test_every_kind_of_event_follows_its_schema(bad_day: Callable[..., Tool]) -> None:
    with Sandbox(SandboxConfig(faults=())) as sandbox:
        tool = bad_day(sandbox)
        made_elsewhere(sandbox, "task-4", "audio-4")
        args = ("apply", "--auto-approve", "--format", "json", "--retry-for", "3s")
        ended = tool(*args, "--rate-limit", "none", "--parallelism", "5")
        assert ended.code == 3, ended.stderr
        tool.write(
            "personas.yaml",
            (tool.folder / "personas.yaml").read_text("utf-8").replace("  fine:", "  finer:"),
        )
        again = tool(*args, "--target", "finer")
        tool.manifest(1, "more.yaml")
        with answers_held() as held:
            process = tool.start(*args, "-f", "more.yaml")
            stopped = read_until(process.stdout, b'"create_start"')
            process.send_signal(signal.SIGINT)
            stopped += read_until(process.stdout, b'"stopping"')
            held.let()
            stopped += process.communicate(timeout=HANG)[0]
    lines = (ended.stdout + again.stdout + stopped.decode()).splitlines()
    told = [json.loads(line) for line in lines]
    for event in told:
        check("events", event)
    schema: Any = validator("events").schema
    kinds = set(schema["properties"]["event"]["enum"])
    assert {event["event"] for event in told} == kinds


def test_every_status_that_an_apply_leaves_follows_the_schema(
    bad_day: Callable[..., Tool],
) -> None:
    with Sandbox(SandboxConfig()) as sandbox:
        tool = bad_day(sandbox)
        made_elsewhere(sandbox, "task-4", "audio-4")
        tool("apply", "--auto-approve", "--retry-for", "1s", "--rate-limit", "none")
    tool("state", "rm", "fine")
    path = tool.folder / "personas.state.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        check("state", line)
    statuses = {line["status"] for line in lines[1:]}
    assert statuses == {"pending", "created", "conflict", "failed", "forgotten"}
    listed = tool("state", "list", "--format", "json", "--base-url", sandbox.base_url)
    assert len(json.loads(listed.stdout)) == 4
    assert tool("state", "set-api", "https://api.elsewhere.example").code == 0
    check("state", json.loads(path.read_text(encoding="utf-8").splitlines()[-1]))


def test_a_plan_with_every_action_follows_the_schema(bad_day: Callable[..., Tool]) -> None:
    with Sandbox(SandboxConfig()) as sandbox:
        tool = bad_day(sandbox)
        made_elsewhere(sandbox, "task-4", "audio-4")
        tool("apply", "--auto-approve", "--retry-for", "1s", "--rate-limit", "none")
    text = (tool.folder / "personas.yaml").read_text("utf-8").replace("  fine:", "  finer:")
    text = text.replace("  adopted:", "  new:").replace("audioId: audio-5", "audioId: audio-6")
    text = text.replace("personaId: known-id", "personaId: another-id")
    tool.write("personas.yaml", text)
    ended = tool("plan", "--format", "json", "--out", "saved.json", "--json-out", "shown.json")
    plan = json.loads(ended.stdout)
    assert plan["summary"] == {
        "create": 1,
        "resume": 1,
        "import": 1,
        "rename": 1,
        "unchanged": 0,
        "changed": 0,
        "removed": 1,
        "conflict": 1,
        "leftOut": 0,
    }
    for name in ("saved.json", "shown.json"):
        assert (tool.folder / name).read_text(encoding="utf-8") == ended.stdout


def test_diagnostics_of_anything_follow_the_schema(tool: Tool) -> None:
    examples = Path(__file__).parents[1] / "examples" / "invalid"
    found = sorted(path for path in examples.iterdir() if path.suffix in (".yaml", ".yml"))
    assert found
    for path in found[::8]:
        ended = tool("validate", "--format", "json", "-f", str(path))
        assert ended.code == 1
        assert json.loads(ended.stdout)["summary"]["errors"] >= 1


@pytest.mark.parametrize(
    ("args", "stdout", "said"),
    [
        (["plan", "--format", "json"], '{"format": "personasync.plan/1"}', "plan.schema.json, $: "),
        (["-f", "x", "plan", "--format=json"], '{"format": 1}', "plan.schema.json, $"),
        (["apply", "--format", "json"], '{"event": "run_over"}', "events.schema.json, $"),
        (["validate", "--format", "json"], "[]", "[] is not of type 'object'"),
        (["state", "list", "--format", "json"], '[{"audioId": "a"}]', "state.schema.json, $: "),
    ],
)
def test_the_check_sees_a_broken_promise(
    tool: Tool, args: list[str], stdout: str, said: str
) -> None:
    with pytest.raises(AssertionError, match=re.escape(said)):
        check_run(tool.folder, args, {}, Ended(0, stdout, ""))


def test_the_check_reads_what_a_run_wrote(tool: Tool) -> None:
    tool.write("x.json", "{}")
    tool.write("personas.state.jsonl", '{"format": 1}\n')
    ended = Ended(0, "", "")
    found: list[tuple[str, Any]] = [
        *outputs(tool.folder, ["plan", "--out", "x.json"], {}, ended),
        *outputs(tool.folder, ["plan"], {"PERSONASYNC_JSON_OUT": "x.json"}, ended),
        *outputs(tool.folder, ["import", "a", "b"], {}, ended),
        *outputs(tool.folder, ["plan", "--format", "text"], {}, Ended(0, "words", "")),
    ]
    assert found == [("plan", {}), ("plan", {}), ("state", {"format": 1})]


def made_elsewhere(sandbox: Sandbox, task: str, audio: str) -> None:
    """Make a persona as another tool would, so that the API answers 409."""
    import requests

    body = {"taskId": task, "audioId": audio, "name": "n", "description": "A voice"}
    answer = requests.post(
        f"{sandbox.base_url}/api/v1/generate/generate-persona",
        json=body,
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=60,
    )
    assert answer.json()["code"] == 200
