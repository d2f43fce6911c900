"""From task IDs to a manifest: what ``tracks`` prints, and that it can be used as it stands."""

from __future__ import annotations

import json
import re

import pytest

from personasync.sandbox import Status, Task, Track
from tests.helpers.nasty import NastyServer, says
from tests.helpers.serving import KEY, made, serving
from tests.helpers.support import Tool

TASKS = {
    "t-1": Task(tracks=(Track("a-1", "Neon Siren", 183.2), Track("a-2", "Neon Siren", 21.7))),
    "t-2": Task(tracks=(Track("a-3", "Düstere Straße: №5", 61.0),)),
    "t-3": Task(tracks=(Track("a-4", "夜", 30.2), Track("a-5", "", 9.4))),
    "old": Task(tracks=(Track("a-6", "Old", 99.0),), model="V3_5"),
    "soon": Task(Status.PENDING),
    "bad": Task(Status.GENERATE_AUDIO_FAILED),
    "gone": Task(expired=True),
}
WRITTEN = "A bright, dynamic voice over warm synths and a steady four to the floor"


def write_descriptions(tool: Tool) -> None:
    path = tool.folder / "personas.yaml"
    text = re.sub(r'description"?: "?<.*>"?', f"description: {WRITTEN}", path.read_text("utf-8"))
    text = re.sub(r'^( *)"description:', r"\1description:", text, flags=re.MULTILINE)
    path.write_text(text, "utf-8")


def test_from_three_tasks_to_personas(tool: Tool) -> None:
    with serving(tool, tasks=TASKS) as sandbox:
        ended = tool("tracks", "t-1", "t-2", "t-3")
        assert ended.code == 0
        tool.write("personas.yaml", ended.stdout)
        refused = tool("validate")
        assert (refused.code, refused.stderr.count("is a placeholder")) == (1, 5)
        assert refused.stderr.count(": error: ") == 5, "nothing but what a person must write"
        write_descriptions(tool)
        assert tool("validate").code == 0
        assert tool("plan").last_line.startswith("Plan: 5 to create")
        assert tool("apply", "--check", "--auto-approve", "--rate-limit", "none").code == 0
        assert set(made(sandbox)) == {"a-1", "a-2", "a-3", "a-4", "a-5"}
        again = tool("tracks", "t-1")
    assert "in the manifest, as neon-siren\n" in again.stdout
    assert all(line.lstrip().startswith("#") for line in again.stdout.splitlines())


def test_each_entry_has_a_key_a_name_and_a_segment_of_its_own(tool: Tool) -> None:
    tool.write("personas.yaml", "version: 1\npersonas:\n  neon-siren:\n    name: Neon Siren\n")
    with serving(tool, tasks=TASKS):
        ended = tool("tracks", "t-1", "t-2", "t-3", "--format", "json")
    personas = json.loads(ended.stdout)["personas"]
    assert list(personas) == [
        "neon-siren-2",
        "neon-siren-3",
        "dustere-strae-no5",
        "track",
        "track-a-5",
    ]
    assert [persona["name"] for persona in personas.values()] == [
        *("Neon Siren 2", "Neon Siren 3", "Düstere Straße: №5", "夜", "Track a-5"),
    ]
    assert [persona["vocalEnd"] for persona in personas.values()] == [30, 21, 30, 30, 9]


def test_what_cannot_be_used_is_a_comment_with_its_reason(tool: Tool) -> None:
    tool.manifest(1)
    with serving(tool, tasks=TASKS):
        ended = tool("tracks", "old", "soon", "bad", "gone")
    assert ended.code == 1
    old, soon, bad, gone = ended.stdout.splitlines()
    assert old == (
        "  # no entry for a-6, 'Old', 1m39s, V3_5 chirp-v3-5; electronic pop, female vocals:"
        " made with V3_5, and personas are made only of V4 and newer"
    )
    assert soon == "  # no entry for the task soon: it is still being generated (PENDING)"
    assert "it has failed (GENERATE_AUDIO_FAILED" in bad
    assert "recordInfo is null" in gone
    assert "No entry for the task soon" in ended.stderr


def test_what_is_recorded_is_not_offered_again(tool: Tool) -> None:
    with serving(tool, tasks=TASKS):
        assert tool("import", "siren", "persona-1", "--audio-id", "a-1").code in (0, 64)
        tool.write("personas.yaml", tool("tracks", "t-2").stdout)
        write_descriptions(tool)
        assert tool("apply", "--auto-approve").code == 0
        (tool.folder / "personas.yaml").unlink()
        ended = tool("tracks", "t-2")
    assert "in the state, as dustere-strae-no5" in ended.stdout


@pytest.mark.parametrize(
    "title",
    [
        "::error::x",
        "##vso[x]",
        "a\nb: c",
        "\x1b[31mred",
        "null",
        "{x",
        "x: y # z",
        "-" * 500,
        "61e9540",
    ],
)
def test_a_hostile_title_steers_nothing(tool: Tool, title: str) -> None:
    track = {"id": "a-1", "title": title, "tags": title, "duration": 60, "modelName": title}
    data = {"status": "SUCCESS", "response": {"sunoData": [track]}}
    with NastyServer(says(200, "success", data)) as server:
        env = {"PERSONASYNC_BASE_URL": server.url, "PERSONASYNC_API_KEY": KEY}
        ended = tool("tracks", "t-1", env=env)
    assert ended.code == 0
    assert "\x1b" not in ended.stdout
    assert not re.search(r"^::|##\w*\[", ended.stdout, re.MULTILINE)
    tool.write("personas.yaml", ended.stdout)
    write_descriptions(tool)
    assert tool("validate").code == 0, ended.stdout
