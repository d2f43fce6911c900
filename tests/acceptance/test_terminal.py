"""What is shown where: terminals narrow and wide, pipes, logs; colour, progress, any script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import NO_CHANGES, STATE, apply_here, serving
from tests.helpers.support import Tool, manifest_text
from tests.helpers.terminal import CODES, STYLES, Terminal, cells
from tests.helpers.waiting import HANG

NAMES = {
    "ascii": "Neon Siren",
    "chinese": "夜の歌姫と霓虹",
    "korean": "네온 세이렌",
    "thai": "เสียงร้องแห่งค่ำคืน",
    "hindi": "रात की गायिका",
    "arabic": "مغنية الليل",
    "emoji": "Choir 🎤🎶",
    "accents": "Cafe\u0301 Chanteuse",
    "fullwidth": "ＮＥＯＮ",
    "long": "A name of so many words that no column of a terminal has room for all of them",
}
APPLY = ("apply", "--auto-approve", "--rate-limit", "none")


@pytest.fixture
def api(tool: Tool) -> Iterator[Sandbox]:
    with serving(tool) as sandbox:
        yield sandbox


@pytest.fixture
def refused(tool: Tool, api: Sandbox) -> Tool:
    """Personas with names of every script, each refused once, so that each row has a detail."""
    lines = ["version: 1", "personas:"]
    for number, (key, name) in enumerate(NAMES.items()):
        lines += [
            f"  {key}:",
            f"    taskId: task-{number}",
            f"    audioId: toolong-{number}",
            f"    name: {json.dumps(name, ensure_ascii=False)}",
            "    description: A warm and steady voice over brushes and upright bass",
        ]
    tool.write("personas.yaml", "\n".join(lines) + "\n")
    assert tool(*APPLY).code == 3
    return tool


# No terminal


def everything(tool: Tool) -> list[tuple[str, ...]]:
    tool.write("wrong.yaml", "version: 1\npersonas: {a: {nmae: b}}\n")
    return [
        ("plan",),
        ("plan", "-f", "wrong.yaml"),
        ("plan", "--format", "markdown"),
        APPLY,
        ("state", "list"),
        ("state", "show", "p-000"),
        ("output",),
        ("output", "nobody"),
        ("validate", "-f", "wrong.yaml"),
        ("--help",),
        ("plan", "--no-such-option"),
    ]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
        {"CI": "true", "GITHUB_ACTIONS": "true"},
    ],
    ids=["plain", "a terminal's variables", "ci"],
)
def test_no_code_ever_reaches_a_pipe(tool: Tool, api: Sandbox, environment: dict[str, str]) -> None:
    tool.manifest(2)
    for command in everything(tool):
        ended = tool(*command, env=environment)
        assert "\x1b" not in ended.stdout + ended.stderr, command
        assert "\r" not in ended.stdout + ended.stderr, command


def test_forced_colour_adds_colour_and_nothing_else(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    coloured = 0
    for command in everything(tool):
        if command == APPLY:
            continue  # its times and IDs differ from run to run
        plain, forced = tool(*command), tool(*command, env={"FORCE_COLOR": "1"})
        for before, after in ((plain.stdout, forced.stdout), (plain.stderr, forced.stderr)):
            assert STYLES.sub("", after) == before
            coloured += before != after
    assert coloured >= 3


@pytest.mark.parametrize(
    ("environment", "options", "colour"),
    [
        ({}, (), True),
        ({"NO_COLOR": ""}, (), True),
        ({"NO_COLOR": "1"}, (), False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, (), False),
        ({"TERM": "dumb"}, (), False),
        ({"PERSONASYNC_NO_COLOR": "1"}, (), False),
        ({"FORCE_COLOR": "1"}, ("--no-color",), False),
    ],
    ids=["plain", "empty", "NO_COLOR", "both", "dumb", "variable", "option"],
)
def test_colour_on_a_terminal(
    tool: Tool, environment: dict[str, str], options: tuple[str, ...], colour: bool
) -> None:
    tool.manifest(1)
    code, shown = Terminal(tool, "plan", *options, env=environment).ended()
    assert code == 0
    assert bool(STYLES.search(shown)) == colour
    assert "\x1b" not in STYLES.sub("", shown)
    _code, wrong = Terminal(tool, "plan", "-f", "none.yaml", *options, env=environment).ended()
    assert bool(STYLES.search(wrong)) == colour


# Width


@pytest.mark.parametrize("width", [40, 60, 80, 120, 250])
def test_a_plan_fits_any_width(refused: Tool, width: int) -> None:
    code, shown = Terminal(refused, "plan", "--no-color", width=width).ended()
    assert code == 0
    lines = shown.splitlines()
    assert [line for line in lines if cells(line) > width] == []
    ending = " ".join(" ".join(lines[lines.index("") :]).split())
    assert ending.startswith(f"Plan: {len(NAMES)} to create, 0 to resume, 0 to import, 0 to")
    for key in NAMES:
        assert any(line.startswith(f"  + {key} ") for line in lines)
    text = " ".join(" ".join(lines).split())
    assert text.count("refused before: 413") == len(NAMES)


@pytest.mark.parametrize("width", [40, 80, 100])
def test_no_terminal_breaks_a_word(tool: Tool, width: int) -> None:
    """What is said of a run, of a mistake and of how to call the tool; but no command is broken."""
    tool.manifest(12)
    said = []
    for args in (
        ["apply", "--sandbox", "--auto-approve"],
        ["plan", "--sandbox"],
        ["validate"],
        ["apply"],
        ["apply", "--to", "x"],
        ["state", "verify", "--sandbox"],
        ["output", "absent", "--sandbox"],
    ):
        _code, shown = Terminal(tool, *args, "--no-color", width=width).ended()
        lines = [line.rpartition("\r")[2] for line in CODES.sub("", shown).splitlines()]
        wide = [line for line in lines if cells(line) > width]
        assert [line for line in wide if "personasync " not in line] == []
        said += lines
    assert any(line.endswith(" personasync apply --sandbox") for line in said)


def test_columns_align_whatever_the_script(refused: Tool) -> None:
    _code, shown = Terminal(refused, "plan", "--no-color", width=200).ended()
    rows = [line for line in shown.splitlines() if line.startswith("  + ")]
    assert len(rows) == len(NAMES)
    starts = {cells(row.partition("refused before")[0]) for row in rows}
    assert len(starts) == 1
    names = {cells(row[: row.index("create") + len("create")]) for row in rows}
    assert len(names) == 1
    for name in NAMES.values():
        assert sum(name[:20] in row for row in rows) == 1


def test_the_variable_sets_the_width_of_a_log(refused: Tool) -> None:
    ended = refused("plan", env={"COLUMNS": "50"})
    *rows, _summary = ended.stdout.splitlines()
    assert 40 < max(map(cells, rows)) <= 50
    *rows, _summary = refused("plan").stdout.splitlines()
    assert 50 < max(map(cells, rows)) <= 100


@pytest.mark.parametrize("width", [40, 80])
def test_an_account_fits_too(tool: Tool, width: int) -> None:
    tool.write("personas.yaml", manifest_text(range(4)).replace("task-002", "missing-task"))
    with serving(tool):
        code, shown = Terminal(tool, *APPLY, "--no-color", "-q", width=width).ended()
    assert code == 3
    lines = [line for line in shown.splitlines() if not line.startswith(("Plan: ", "Apply "))]
    assert len(lines) > 5
    assert [line for line in lines if cells(line) > width] == []
    assert "Apply incomplete: 3 created, 1 failed" in shown


@pytest.mark.parametrize("width", [40, 80, 100])
@pytest.mark.parametrize("command", [["list"], ["state", "list"]], ids=" ".join)
def test_no_id_is_broken_or_cut(tool: Tool, width: int, command: list[str]) -> None:
    audio_id = "e231c2d4-58b6-4b6d-9a0c-1f2e8cadc7dc"
    tool.write("personas.yaml", manifest_text(range(1)).replace("audio-000", audio_id))
    tool("import", "p-000", "c0ffee" * 5)
    _code, shown = Terminal(tool, *command, "--no-color", width=width).ended()
    assert [line for line in shown.splitlines() if cells(line) > width] == []
    assert f" {'c0ffee' * 5}" in shown
    assert "\n" not in tool("state", "list").stdout.rstrip("\n"), "a script reads an entry a line"


def test_help_fits_a_narrow_terminal(tool: Tool) -> None:
    _code, shown = Terminal(tool, "apply", "--help", width=60).ended()
    examples = shown.index("Examples:")
    assert max(map(len, shown[:examples].splitlines())) <= 60


# Many


def test_thousands_that_are_unchanged_are_counted(tool: Tool, api: Sandbox) -> None:
    count = 3_000
    tool.manifest(count)
    header = json.dumps({"format": "personasync.state/1", "lineage": "x", "api": api.base_url})
    entries = (
        {
            "audioId": f"audio-{n:03}",
            "key": f"p-{n:03}",
            "status": "created",
            "personaId": f"id-{n}",
        }
        for n in range(count)
    )
    tool.write(STATE, "\n".join([header, *map(json.dumps, entries)]) + "\n")
    ended = tool("plan")
    assert ended.stdout == f"{NO_CHANGES}\n"
    tool.manifest(count + 2)
    assert tool("plan").stdout == (
        f"  + p-{count}  create    Persona {count}\n"
        f"  + p-{count + 1}  create    Persona {count + 1}\n"
        "\n"
        f"Plan: 2 to create, 0 to resume, 0 to import, 0 to rename. {count} unchanged.\n"
    )
    (tool.folder / "personas.yaml").write_text(manifest_text(range(count, count + 2)))
    removed = tool("plan").stdout
    assert removed.count("no longer in the manifest") == 1, "what is the same is said once"


# Progress


def test_progress_is_for_a_terminal_and_leaves_no_trace(tool: Tool) -> None:
    tool.manifest(6)
    with serving(tool, latency=0.15):
        code, shown = Terminal(tool, *APPLY, "--parallelism", "2").ended()
    assert code == 0
    assert "/6" in CODES.sub("", shown), "a bar counts"
    hidden, visible = shown.rfind("\x1b[?25l"), shown.rfind("\x1b[?25h")
    assert -1 < hidden < visible, "the cursor is back"
    last = shown[visible:]
    assert "Apply complete: 6 created" in last
    assert "\x1b" not in STYLES.sub("", last).removeprefix("\x1b[?25h").replace(
        "\x1b[1A\x1b[2K", ""
    )
    for number in range(6):
        assert f"p-{number:03}: created " in CODES.sub("", shown)


def test_an_interrupt_gives_the_cursor_back(tool: Tool) -> None:
    tool.manifest(40)
    with serving(tool, latency=0.3):
        terminal = Terminal(tool, *APPLY, "--parallelism", "1")
        terminal.read_until("created ")
        terminal.type("\x03")
        code, shown = terminal.ended()
    assert code == 130
    assert shown.rfind("\x1b[?25l") < shown.rfind("\x1b[?25h")
    assert "Interrupted by SIGINT" in shown
    assert "Apply incomplete: " in shown


@pytest.mark.parametrize(
    ("options", "environment"),
    [(("-q",), {}), ((), {"TERM": "dumb"})],
    ids=["quiet", "dumb"],
)
def test_no_progress_where_it_is_unwanted(
    tool: Tool, api: Sandbox, options: tuple[str, ...], environment: dict[str, str]
) -> None:
    tool.manifest(2)
    code, shown = Terminal(tool, *APPLY, *options, env=environment).ended()
    assert code == 0
    assert "\x1b" not in STYLES.sub("", shown)
    assert ("p-000: created " in shown) == (not options)


def test_results_go_to_a_file_while_progress_is_watched(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    path = tool.folder / "results.txt"
    with path.open("wb") as file:
        code, shown = Terminal(tool, *APPLY, stdout=file.fileno()).ended()
    results = path.read_text(encoding="utf-8")
    assert code == 0
    assert "\x1b" not in results
    assert results.endswith("\nApply complete: 2 created, 0 imported, 0 renamed.\n")
    assert "p-000: created " in CODES.sub("", shown)
    assert "Apply complete" not in shown


def test_a_log_gets_a_line_an_event(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    ended = tool(*APPLY, "--parallelism", "1")
    told = [line.partition(" ")[0] for line in ended.stderr.splitlines()]
    assert told == ["run", "p-000:", "p-000:", "p-001:", "p-001:"]


# Encodings


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_shows_any_name(refused: Tool, encoding: str) -> None:
    environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    process = refused.start("plan", env=environment)
    stdout, stderr = process.communicate(timeout=HANG)
    assert (process.returncode, stderr) == (0, b"")
    # Where a locale knows nothing but ASCII, it is the locale that is wrong, not the terminal.
    shown = stdout.decode("utf-8" if encoding == "ascii" else encoding)
    assert ("\\u591c\\u306e\\u6b4c\\u59eb" if encoding == "latin-1" else "夜の歌姫") in shown
    assert f"Plan: {len(NAMES)} to create" in shown


def test_nothing_in_a_name_steers_the_terminal(tool: Tool) -> None:
    name = "\x1b]0;gone\x07\x1b[2J\u202e\u2066evil"
    tool.write("personas.yaml", manifest_text([0]).replace('"Persona 0"', json.dumps(name)))
    _code, shown = Terminal(tool, "plan").ended()
    assert "\x1b" not in STYLES.sub("", shown)
    assert "\x07" not in shown
    assert not set("\u202e\u2066") & set(shown)


def test_a_closed_stdout_is_no_crash(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    apply_here(tool, api)
    process = tool.start("plan")
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(HANG) in (0, 1)


# The question


def question(tool: Tool, *args: str, width: int = 80, **more: Any) -> str:
    terminal = Terminal(tool, "apply", *args, width=width, **more)
    terminal.read_until("Answer: ")
    terminal.type("no\n")
    code, shown = terminal.ended()
    assert code == 1
    return STYLES.sub("", shown)


@pytest.mark.parametrize("width", [40, 80, 100])
def test_the_question_says_what_is_spent_where_and_by_whose_key(tool: Tool, width: int) -> None:
    tool.manifest(2)
    with serving(tool) as api:
        key = "a-long-secret-key-c3d4"
        shown = question(tool, width=width, env={"PERSONASYNC_API_KEY": key})
        assert api.statistics().requests == 0
    asked = shown[shown.index("  spends") :]
    assert "  spends  2 audios\n" in asked
    assert f"  API     {api.base_url}\n" in asked
    assert f"  state   {STATE}\n" in asked
    assert "  key     ends in c3d4\n" in asked
    assert "secret" not in shown
    for line in asked.splitlines():
        assert cells(line) <= width
    words = " ".join(asked.split())
    assert "Apply this plan? Each audio can make a persona only once. Only 'yes' will" in words


def test_a_short_key_is_not_shown_at_all(tool: Tool) -> None:
    tool.manifest(1)
    with serving(tool):
        shown = question(tool, env={"PERSONASYNC_API_KEY": "fifteen-letters"})
    assert "key  " not in shown
    assert "ters" not in shown


def test_the_question_is_on_the_terminal_wherever_the_rest_goes(tool: Tool) -> None:
    tool.manifest(1)
    with serving(tool), (tool.folder / "out.txt").open("wb") as file:
        shown = question(tool, stdout=file.fileno(), stderr=file.fileno())
    assert "  spends  1 audio\r\n" in shown or "  spends  1 audio\n" in shown
    assert "Only 'yes' will be accepted." in shown
    text = (tool.folder / "out.txt").read_text(encoding="utf-8")
    assert "Plan: 1 to create" in text
    assert "Answer" not in text


CHANGES: dict[str, Callable[[Path], object]] = {
    "pulled": lambda state: state.write_bytes(
        state.read_bytes()
        + state.read_bytes().splitlines()[-1].replace(b"-000", b"-001").replace(b"p-000", b"p-001")
        + b"\n"
    ),
    "put in its place": lambda state: state.with_name("new").replace(state),
    "gone": lambda state: state.unlink(),
    "emptied": lambda state: state.write_bytes(b""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_state_that_changes_under_the_question_is_seen(
    tool: Tool, change: Callable[[Path], object]
) -> None:
    tool.manifest(1)
    with serving(tool) as api:
        assert tool("apply", "--auto-approve").code == 0
        state = tool.folder / STATE
        other = state.read_bytes().replace(api.base_url.encode(), b"https://other.example")
        (tool.folder / "new").write_bytes(other)
        tool.manifest(2)
        spent = api.statistics().requests
        terminal = Terminal(tool, "apply")
        terminal.read_until("Answer: ")
        change(state)
        then = state.read_bytes() if state.exists() else None
        terminal.type("yes\n")
        code, shown = terminal.ended()
        assert (code, api.statistics().requests) == (5, spent)
        assert "was changed by something else since it was read" in " ".join(shown.split())
        assert (state.read_bytes() if state.exists() else None) == then
