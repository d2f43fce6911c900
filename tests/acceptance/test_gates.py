"""Gates: what lets a job go on, what stops it, and what it may touch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import NO_CHANGES, STATE, apply_here, made, serving
from tests.helpers.support import Ended, Tool, manifest_text


@pytest.fixture
def api(tool: Tool) -> Iterator[Sandbox]:
    with serving(tool) as sandbox:
        yield sandbox


def apply(tool: Tool, *args: str, **options: Any) -> Ended:
    return tool("apply", "--auto-approve", "--rate-limit", "none", *args, **options)


def with_settings(tool: Tool, count: int, settings: str) -> None:
    text = manifest_text(range(count))
    tool.write("personas.yaml", text.replace("personas:", f"settings: {settings}\npersonas:", 1))


# --detailed-exitcode


def test_two_means_that_an_apply_would_do_something(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    assert tool("plan", "--detailed-exitcode").code == 2
    assert tool("plan").code == 0
    apply_here(tool, api)
    assert tool("plan", "--detailed-exitcode").code == 0
    tool.write("personas.yaml", manifest_text(range(1)).replace("p-000", "q-000"))
    assert tool("plan", "--detailed-exitcode").code == 2, "a rename is something"
    assert tool("plan", env={"PERSONASYNC_DETAILED_EXITCODE": "1"}).code == 2


def test_what_only_a_person_can_settle_is_no_change(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    apply_here(tool, api)
    tool.manifest(1, name="personas.yaml", vocalEnd=25)
    ended = tool("plan", "--detailed-exitcode")
    assert (ended.code, ended.last_line) == (
        0,
        "Needs attention: 1 changed, 1 removed, 0 in conflict.",
    )
    assert ended.stdout.splitlines()[-2] == NO_CHANGES


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--no-such-option",), 64),
        (("--max-creates", "-1"), 64),
        (("--format", "xml"), 64),
        (("too", "many"), 64),
        (("-f", "missing.yaml"), 1),
        (("--max-creates", "0"), 1),
        (("--target", "nobody"), 1),
        (("--out", "nowhere/plan.json"), 1),
        (("--base-url", "ftp://example.com"), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_nothing_else_is_two(tool: Tool, args: tuple[str, ...], code: int) -> None:
    tool.manifest(1)
    assert tool("plan", "--detailed-exitcode", *args).code == code


# --max-creates


@pytest.mark.parametrize("command", [("plan",), ("apply", "--auto-approve")], ids=lambda c: c[0])
def test_a_plan_that_would_spend_more_is_shown_and_refused(
    tool: Tool, api: Sandbox, command: tuple[str, ...]
) -> None:
    tool.manifest(3)
    ended = tool(*command, "--max-creates", "2")
    assert (ended.code, ended.last_line) == (
        1,
        "Plan: 3 to create, 0 to resume, 0 to import, 0 to rename. 0 unchanged.",
    )
    assert ended.stderr == (
        "Error: the plan would create 3 personas, and at most 2 are allowed\n"
        "  raise --max-creates (or settings.maxCreates), or choose some with --target\n"
    )
    assert api.statistics().requests == 0
    assert not (tool.folder / STATE).exists()


def test_as_many_as_are_allowed_are_created(tool: Tool, api: Sandbox) -> None:
    tool.manifest(3)
    assert apply(tool, "--max-creates", "3").code == 0
    assert apply(tool, "--max-creates", "0").code == 0, "nothing is left to create"


def test_the_manifest_sets_a_limit_and_the_option_another(tool: Tool, api: Sandbox) -> None:
    with_settings(tool, 3, "{maxCreates: 2}")
    refused = apply(tool)
    assert (refused.code, api.statistics().requests) == (1, 0)
    assert "at most 2 are allowed" in refused.stderr
    assert apply(tool, "--target", "p-00[01]").code == 0, "the limit is for what would be done"
    assert apply(tool, "--max-creates", "0").code == 1
    assert apply(tool, env={"PERSONASYNC_MAX_CREATES": "5"}).code == 0
    assert len(made(api)) == 3


def test_what_may_spend_again_counts(tool: Tool) -> None:
    tool.manifest(2)
    with serving(tool):
        tool.write("personas.yaml", manifest_text(range(2)).replace("audio-", "broken-"))
        assert apply(tool, "--retry-for", "0s").code == 3
        ended = tool("plan", "--max-creates", "1")
    assert ended.last_line.startswith("Plan: 0 to create, 2 to resume, ")
    assert (ended.code, "would create 2" in ended.stderr) == (1, True)


# --strict


def test_strict_takes_a_warning_for_an_error(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1, vocalEnd=5)
    assert tool("plan").code == 0
    for command in (("plan",), ("apply", "--auto-approve")):
        ended = tool(*command, "--strict")
        assert (ended.code, ended.stdout) == (1, "")
        assert "--strict: the manifest has 1 warning" in ended.stderr
    assert api.statistics().requests == 0
    assert tool("plan", env={"PERSONASYNC_STRICT": "true"}).code == 1


def test_strict_takes_what_needs_attention_for_an_error(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    apply_here(tool, api)
    tool.write("personas.yaml", manifest_text(range(1)) + manifest_text([2]).split("\n", 2)[2])
    before = (tool.folder / STATE).read_bytes()
    assert tool("plan").code == 0
    for command in (("plan",), ("apply", "--auto-approve")):
        ended = tool(*command, "--strict")
        assert (ended.code, ended.last_line) == (
            1,
            "Needs attention: 0 changed, 1 removed, 0 in conflict.",
        )
        assert "1 of the plan's rows needs attention: p-001 (removed)" in ended.stderr
    assert (tool.folder / STATE).read_bytes() == before
    assert apply(tool).code == 0, "without --strict what can be done is done"
    assert set(made(api)) == {"audio-000", "audio-001", "audio-002"}


# --target, --exclude


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (("--target", "p-001"), [1]),
        (("--target", "p-001", "--target", "p-003"), [1, 3]),
        (("--target", "p-00[0-2]"), [0, 1, 2]),
        (("--exclude", "p-00[0-2]"), [3, 4]),
        (("--target", "*", "--exclude", "p-004"), [0, 1, 2, 3]),
        (("--target", "p-004", "--exclude", "*"), []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_only_what_was_chosen_is_touched(
    tool: Tool, api: Sandbox, options: tuple[str, ...], numbers: list[int]
) -> None:
    tool.manifest(5)
    assert apply(tool, *options).code == 0
    assert sorted(made(api)) == [f"audio-{number:03}" for number in numbers]


def test_targets_may_come_from_the_environment(tool: Tool, api: Sandbox) -> None:
    tool.manifest(3)
    assert apply(tool, env={"PERSONASYNC_TARGET": "p-000 p-002"}).code == 0
    assert set(made(api)) == {"audio-000", "audio-002"}


@pytest.mark.parametrize("option", ["--target", "--exclude"])
@pytest.mark.parametrize("command", [("plan",), ("apply", "--auto-approve")], ids=lambda c: c[0])
def test_a_slip_of_the_finger_is_no_empty_plan(
    tool: Tool, api: Sandbox, command: tuple[str, ...], option: str
) -> None:
    tool.manifest(3)
    ended = tool(*command, option, "p-02")
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: no persona matches 'p-02'\n  did you mean 'p-0")
    assert api.statistics().requests == 0


def test_gates_look_at_what_was_chosen(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    apply_here(tool, api)
    tool.manifest(1)
    assert tool("plan", "--strict").code == 1
    assert tool("plan", "--strict", "--exclude", "p-001").code == 0


# Approval, and the key


def test_what_needs_no_request_needs_no_key(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    apply_here(tool, api)
    no_key = {"PERSONASYNC_API_KEY": ""}
    assert apply(tool, env=no_key).code == 0
    text = manifest_text(range(2)).replace("p-000", "first")
    tool.write("personas.yaml", text.replace("p-001:", "second:"))
    renamed = apply(tool, env=no_key)
    assert renamed.last_line == "Apply complete: 0 created, 0 imported, 2 renamed."
    tool.write(
        "personas.yaml", f"{text}    personaId: known-elsewhere\n".replace("audio-001", "a-9")
    )
    adopted = apply(tool, env=no_key)
    assert adopted.last_line == "Apply complete: 0 created, 1 imported, 0 renamed."
    assert api.statistics().requests == 2


def test_the_key_is_asked_for_before_the_approval(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    ended = tool("apply", env={"PERSONASYNC_API_KEY": ""})
    assert (ended.code, "there is no API key" in ended.stderr) == (1, True)
    assert "nobody can be asked" not in ended.stderr


def test_nothing_to_do_asks_nobody_and_opens_nothing(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    apply_here(tool, api)
    ended = tool("apply", env={"PERSONASYNC_API_KEY": ""})
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout == f"{NO_CHANGES}\nApply complete: 0 created, 0 imported, 0 renamed.\n"
