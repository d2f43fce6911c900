"""What plan and apply leave in files and in a workflow's log, and what they refuse to write to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from personasync.sandbox import Fault
from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import made, serving
from tests.helpers.support import Ended, Tool, manifest_text


@pytest.fixture
def api(tool: Tool) -> Iterator[Sandbox]:
    with serving(tool) as sandbox:
        yield sandbox


def apply(tool: Tool, *args: str, **options: object) -> Ended:
    return tool("apply", "--auto-approve", "--rate-limit", "none", *args, **options)  # type: ignore[arg-type]


def test_an_apply_gives_its_events_and_its_account_in_files(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    ended = apply(tool, "--json-out", "events.jsonl", "--markdown-out", "comment.md")
    assert ended.last_line == "Apply complete: 2 created, 0 imported, 0 renamed."
    lines = (tool.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in (events[0], events[-1])] == ["run_start", "run_end"]
    assert events[-1]["exitCode"] == 0
    ids = made(api)
    assert (tool.folder / "comment.md").read_text(encoding="utf-8") == (
        "<!-- personasync apply -->\n\n### personasync apply\n\n"
        "**Apply complete: 2 created, 0 imported, 0 renamed.**\n\n"
        "| key | result | details |\n| --- | --- | --- |\n"
        f"| <code>p-000</code> | created | <code>{ids['audio-000']}</code> |\n"
        f"| <code>p-001</code> | created | <code>{ids['audio-001']}</code> |\n"
    )


@pytest.mark.parametrize("option", ["--json-out", "--markdown-out"])
@pytest.mark.parametrize("name", ["nowhere/x", ".", "personas.yaml/x"])
def test_a_place_that_cannot_be_written_to_costs_nothing(
    tool: Tool, api: Sandbox, option: str, name: str
) -> None:
    tool.manifest(2)
    ended = apply(tool, option, name)
    assert ended.code == 1
    assert ended.stderr.startswith(f"Error: cannot write {name}: ")
    assert made(api) == {}


def test_a_workflow_is_shown_each_persona_that_is_not_recorded(tool: Tool) -> None:
    summary = tool.folder / "summary.md"
    tool.manifest(2)
    with serving(tool, faults=(Fault.parse("422"),)) as api:
        ended = apply(
            tool,
            *("--format", "github"),
            env={"GITHUB_STEP_SUMMARY": str(summary)},
        )
        assert made(api) == {}
    assert ended.code == 3
    errors = [line for line in ended.stdout.splitlines() if line.startswith("::error ")]
    assert len(errors) == 2
    assert errors[0].startswith("::error file=personas.yaml,line=3,title=personasync%3A p-000")
    assert ended.last_line == (
        "::warning title=personasync apply::Apply incomplete: 0 created, 2 failed, 0 in conflict,"
        " 0 unknown, 0 not attempted."
    )
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("<!-- personasync plan -->")
    assert "### personasync apply\n\n**Apply incomplete: 0 created, 2 failed" in text


def test_an_error_before_the_run_is_an_annotation_too(tool: Tool, api: Sandbox) -> None:
    tool.write("personas.yaml", manifest_text(range(1)).replace("taskId", "taskid"))
    ended = apply(tool, "--format", "github")
    assert ended.code == 1
    assert "::error file=personas.yaml,line=" in ended.stdout


# Links that a pull request could have placed


@pytest.mark.parametrize("option", ["--out", "--json-out", "--markdown-out"])
@pytest.mark.parametrize("kind", ["a file", "a folder", "nothing", "a folder above"])
def test_nothing_is_written_through_a_link(tool: Tool, option: str, kind: str) -> None:
    outside = tool.folder / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "kept").write_text("kept", encoding="utf-8")
    work = Tool(tool.folder / "work")
    work.folder.mkdir()
    work.manifest(1)
    target = {"a file": "kept", "nothing": "new"}.get(kind, ".")
    (work.folder / "link").symlink_to(outside / target)
    name = {"a folder": "link/new", "a folder above": "link/deep/new"}.get(kind, "link")
    before = sorted(outside.rglob("*"))
    ended = work("plan", option, name)
    assert ended.code == 1
    assert f"Error: {name} is not written: link is a link\n" in ended.stderr
    assert (sorted(outside.rglob("*")), (outside / "kept").read_text("utf-8")) == (before, "kept")
    assert work("plan", option, str(work.folder / name)).code == 1


def test_what_is_open_may_be_written_to(tool: Tool) -> None:
    tool.manifest(1)
    ended = tool("plan", "-q", "--markdown-out", "/dev/stdout")
    assert ended.code == 0
    assert "### personasync plan" in ended.stdout
    assert "Plan: 1 to create" in ended.stdout


def test_a_file_keeps_its_mode_and_a_new_one_is_for_all(tool: Tool) -> None:
    tool.manifest(1)
    old = tool.folder / "old.md"
    old.touch(0o640)
    for name in ("old.md", "new.md"):
        assert tool("plan", "--markdown-out", name).code == 0
    umask = os.umask(0)
    os.umask(umask)
    assert old.stat().st_mode & 0o777 == 0o640
    assert (tool.folder / "new.md").stat().st_mode & 0o777 == 0o666 & ~umask


def test_two_runs_at_once_leave_one_whole_file(tool: Tool) -> None:
    tool.manifest(300)
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: tool("plan", "--out", "plan.json"), range(4)))
    assert [each.code for each in ended] == [0] * 4
    json.loads((tool.folder / "plan.json").read_text(encoding="utf-8"))
    assert not list(Path(tool.folder).glob("*.tmp")) + list(Path(tool.folder).glob(".*.tmp"))


# One kind of complaint


@pytest.mark.parametrize(
    ("option", "refused"),
    [
        (["--fail-on", "warnings"], "Error: --fail-on warnings: the manifest has 1 warning\n"),
        (["--strict"], "Error: --strict: the manifest has 1 warning\n"),
        (["--fail-on", "attention"], ""),
        ([], ""),
    ],
)
@pytest.mark.parametrize("command", [["plan"], ["apply", "--auto-approve"]])
def test_a_warning_is_an_error_where_that_is_asked_for(
    tool: Tool, api: Sandbox, option: list[str], refused: str, command: list[str]
) -> None:
    tool.write("personas.yaml", manifest_text(range(1), vocalEnd=5))
    ended = tool(*command, *option)
    assert ended.code == (1 if refused else 0), ended.stderr
    assert refused in ended.stderr


def test_what_needs_attention_is_an_error_where_that_is_asked_for(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    apply(tool)
    tool.manifest(1)
    for option in (["--fail-on", "attention"], ["--strict"]):
        ended = tool("plan", *option)
        assert ended.code == 1
        assert ended.stderr == (
            "Error: 1 of the plan's rows needs attention: p-001 (removed)\n"
            f"  settle them, or leave out {' '.join(option)}\n"
        )
    assert tool("plan", "--fail-on", "warnings").code == 0
    assert tool("plan", env={"PERSONASYNC_FAIL_ON": "warnings attention"}).code == 1
    assert tool("plan", "--fail-on", "everything").code == 64
