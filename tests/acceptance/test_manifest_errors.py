"""Manifests that cannot be used: one clear message each, exit 1, nothing sent or written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.helpers.support import Tool

ONE_PERSONA = """\
version: 1
personas:
  ada:
    taskId: task-1
    audioId: audio-1
    name: Ada
    description: A calm and even alto over a string quartet in a small wooden hall
"""
SECOND_PERSONA = ONE_PERSONA.partition("personas:\n")[2].replace("task-1", "task-2")

CASES: dict[str, tuple[str | bytes, str]] = {
    "empty file": (
        "",
        """\
personas.yaml:1:1: error: the file is empty
  hint: begin with version: 1 and personas:, or let personasync init write a manifest
Error: the manifest has 1 error
""",
    ),
    "list where a mapping belongs": (
        "version: 1\npersonas:\n  - ada\n",
        """\
personas.yaml:3:3: error: personas must be a mapping, not a list
  3 |   - ada
    |   ^
  hint: write each entry as key: instead of a dash
Error: the manifest has 1 error
""",
    ),
    "unknown field": (
        ONE_PERSONA + "    tempo: 120\n",
        """\
personas.yaml:8:5: error: personas.ada.tempo is not a field of a persona
  8 |     tempo: 120
    |     ^^^^^
  hint: the fields are taskId, audioId, name, description, vocalStart, vocalEnd, style, personaId
Error: the manifest has 1 error
""",
    ),
    "duplicate key": (
        ONE_PERSONA + SECOND_PERSONA.replace("audio-1", "audio-2"),
        """\
personas.yaml:8:3: error: the key ada is given twice in one mapping
  8 |   ada:
    |   ^^^
  personas.yaml:3:3: ada is first given here
  3 |   ada:
    |   ---
  hint: remove one of the two, or give it another key
Error: the manifest has 1 error
""",
    ),
    "duplicate audioId": (
        ONE_PERSONA + SECOND_PERSONA.replace("ada:", "bob:").replace("Ada", "Bob"),
        """\
personas.yaml:10:14: error: personas.bob.audioId is "audio-1", which another persona has too
 10 |     audioId: audio-1
    |              ^^^^^^^
  personas.yaml:5:14: first used here, by ada
  5 |     audioId: audio-1
    |              -------
  hint: each audio can produce one persona, once: remove one of the two, or give its own audioId
Error: the manifest has 1 error
""",
    ),
    "vocalEnd not above what the API assumes for vocalStart": (
        ONE_PERSONA + "    vocalEnd: 0\n",
        """\
personas.yaml:8:15: error: personas.ada.vocalEnd must be greater than vocalStart: 0 is not \
above 0, which the API assumes
  8 |     vocalEnd: 0
    |               ^
  hint: give a greater vocalEnd
Error: the manifest has 1 error
""",
    ),
    "vocalEnd not above a default": (
        ONE_PERSONA.replace("version: 1\n", "version: 1\ndefaults:\n  vocalStart: 20\n")
        + "    vocalEnd: 20\n",
        """\
personas.yaml:10:15: error: personas.ada.vocalEnd must be greater than vocalStart: 20 is not \
above 20
 10 |     vocalEnd: 20
    |               ^^
  personas.yaml:3:15: defaults.vocalStart is 20
  3 |   vocalStart: 20
    |               --
  hint: give a greater vocalEnd, or a vocalStart of its own
Error: the manifest has 1 error
""",
    ),
    "not UTF-8": (
        ONE_PERSONA.replace("Ada", "Adé").encode("latin-1"),
        """\
personas.yaml:6:13: error: the file is not UTF-8: the byte 0xe9 cannot stand here
  6 |     name: Ad\\xe9
    |             ^
  hint: save it as UTF-8
Error: the manifest has 1 error
""",
    ),
}


@pytest.mark.parametrize(("content", "said"), CASES.values(), ids=CASES.keys())
def test_a_manifest_that_cannot_be_used(tool: Tool, content: str | bytes, said: str) -> None:
    data = content.encode() if isinstance(content, str) else content
    (tool.folder / "personas.yaml").write_bytes(data)
    for command in (["validate"], ["plan"], ["apply", "--auto-approve", "--sandbox"], ["output"]):
        ended = tool(*command)
        assert (ended.code, ended.stdout, ended.stderr) == (1, "", said)
    assert [path.name for path in tool.folder.iterdir()] == ["personas.yaml"]


def _nothing_there(tool: Tool) -> str:
    return "-f personas.yaml"


def _empty_folder(tool: Tool) -> str:
    (tool.folder / "voices").mkdir()
    tool.write("voices/README.md", "Not a manifest")
    return "-f voices"


def _all_sorts(tool: Tool) -> str:
    tool.write("good.yaml", ONE_PERSONA)
    tool.write("list.yaml", "- ada\n")
    return "-f missing.yaml -f good.yaml -f list.yaml"


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (
            _nothing_there,
            "personas.yaml: error: there is no such file\n"
            "  hint: personasync init writes a manifest to start from;"
            " -f names another file or folder\n"
            "Error: the manifest has 1 error\n",
        ),
        (
            _empty_folder,
            "voices: error: the folder has no *.yaml or *.yml file in it\n"
            "  hint: name another folder, or a file\n"
            "Error: the manifest has 1 error\n",
        ),
        (
            _all_sorts,
            "list.yaml:1:1: error: the manifest is a list, not a mapping\n"
            "  1 | - ada\n"
            "    | ^\n"
            "  hint: write keys without dashes: version: 1, then personas:\n"
            "\n"
            "missing.yaml: error: there is no such file\n"
            "  hint: personasync init writes a manifest to start from;"
            " -f names another file or folder\n"
            "Error: the manifest has 2 errors\n",
        ),
    ],
)
def test_files_that_cannot_be_used(tool: Tool, prepare: Callable[[Tool], str], said: str) -> None:
    options = prepare(tool).split()
    for command in ("validate", "plan"):
        ended = tool(command, *options)
        assert (ended.code, ended.stdout, ended.stderr) == (1, "", said)


def test_no_manifest_and_none_named(tool: Tool) -> None:
    ended = tool("plan")
    assert (ended.code, ended.stdout, ended.stderr) == (
        1,
        "",
        "Error: there is no personas.yaml here\n"
        "  name a manifest with -f, or write one to start from: personasync init\n",
    )


def _without_privileges() -> list[str]:
    """Return what makes a command heed file modes, if this user needs anything for that."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root reads every file, and there is no setpriv to take that away")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.mark.parametrize("unreadable", ["personas.yaml", "voices"])
def test_no_permission(tool: Tool, unreadable: str) -> None:
    tool.write("personas.yaml", ONE_PERSONA)
    tool.write("voices/personas.yaml", ONE_PERSONA)
    path = tool.folder / unreadable
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        ended = subprocess.run(
            [*_without_privileges(), sys.executable, "-m", "personasync", "plan", "-f", unreadable],
            cwd=tool.folder,
            env=tool.environment,
            capture_output=True,
            check=False,
        )
    finally:
        path.chmod(mode)
    assert (ended.returncode, ended.stdout.decode(), ended.stderr.decode()) == (
        1,
        "",
        f"{unreadable}: error: there is no permission to read it\n"
        "Error: the manifest has 1 error\n",
    )


def test_every_problem_of_every_file_at_once(tool: Tool) -> None:
    tool.write("voices/a.yaml", ONE_PERSONA + "    tempo: 120\n    key: C\n")
    tool.write("voices/b.yaml", ONE_PERSONA.replace("    name: Ada\n", ""))
    ended = tool("plan", "-f", "voices")
    places = [
        line.split(": error: ")[0] for line in ended.stderr.splitlines() if ": error: " in line
    ]
    assert places == [
        "voices/a.yaml:8:5",
        "voices/a.yaml:9:5",
        "voices/b.yaml:3:3",
        "voices/b.yaml:3:3",
        "voices/b.yaml:5:14",
    ]
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.endswith("\nError: the manifest has 5 errors\n")
