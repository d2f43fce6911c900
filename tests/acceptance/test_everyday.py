"""What a team does every day, against the sandbox over real HTTP."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from personasync.sandbox import SandboxConfig
from tests.helpers.sandbox import Sandbox
from tests.helpers.support import Ended, Tool, manifest_text
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import HANG, answers_held, wait_for

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "examples" / "quickstart" / "personas.yaml"
STATE = "personas.state.jsonl"
KEY = "an-api-key-that-nobody-has"
NO_CHANGES = "No changes. Every persona in the manifest is recorded."
FIELDS = ["taskId", "audioId", "name", "description", "vocalStart", "vocalEnd", "style"]
COMMANDS = [
    (),
    ("init",),
    ("validate",),
    ("plan",),
    ("apply",),
    ("output",),
    ("import",),
    ("state",),
    ("state", "list"),
    ("state", "show"),
    ("state", "mv"),
    ("state", "rm"),
    ("schema",),
    ("sandbox",),
    ("completion",),
]


@pytest.fixture
def serve(tool: Tool) -> Iterator[Callable[..., Sandbox]]:
    """Serve a sandbox that the command uses; it is in this process, the command in another."""
    started: list[Sandbox] = []

    def start(**config: Any) -> Sandbox:
        sandbox = Sandbox(SandboxConfig(**config))
        sandbox.start()
        started.append(sandbox)
        tool.environment.update(PERSONASYNC_BASE_URL=sandbox.base_url, PERSONASYNC_API_KEY=KEY)
        return sandbox

    yield start
    for sandbox in started:
        sandbox.close()


@pytest.fixture
def api(serve: Callable[..., Sandbox]) -> Sandbox:
    """A sandbox that has a good day."""
    return serve()


def bodies(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the bodies received, by ``audioId``."""
    received = [
        json.loads(request.body)
        for request in sandbox.received()
        if isinstance(request.body, bytes)
    ]
    return sorted(received, key=lambda body: str(body["audioId"]))


def ids(sandbox: Sandbox) -> dict[str, str]:
    """Return what the sandbox has made: persona IDs by ``audioId``."""
    return {audio: made.persona_id for audio, made in sandbox.personas().items()}


def recorded(tool: Tool, name: str = STATE) -> dict[str, str]:
    """Return what the state records: persona IDs by ``audioId``, the last entry of each."""
    last = {entry["audioId"]: entry for entry in tool.entries(name)}
    return {a: entry["personaId"] for a, entry in last.items() if entry["status"] == "created"}


def effective(path: Path) -> dict[str, dict[str, Any]]:
    """Return what a manifest says that should be sent, by ``audioId``."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    personas = ({**document.get("defaults", {}), **p} for p in document["personas"].values())
    return {persona["audioId"]: persona for persona in personas}


def apply(tool: Tool, *args: str, **options: Any) -> Ended:
    return tool("apply", "--auto-approve", "--rate-limit", "none", *args, **options)


def snapshot(path: Path) -> tuple[bytes, int, int]:
    """Return all by which a file that was written could be told from one that was not."""
    status = path.stat()
    return path.read_bytes(), status.st_mtime_ns, status.st_ino


# plan


def test_plan_lists_every_persona_with_no_key_and_no_connection(tool: Tool) -> None:
    keys = list(yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))["personas"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        base = f"http://127.0.0.1:{server.getsockname()[1]}"
        ended = tool("plan", "-f", str(QUICKSTART), "--base-url", base)
        with pytest.raises(BlockingIOError):
            server.accept()
    *rows, empty, summary = ended.stdout.splitlines()
    assert [row.split()[:3] for row in rows] == [["+", key, "create"] for key in keys]
    assert len(keys) == 12
    assert (empty, summary) == (
        "",
        "Plan: 12 to create, 0 to resume, 0 to import, 0 to rename. 0 unchanged.",
    )
    assert (ended.code, ended.stderr) == (0, "")


def test_plan_leaves_the_folder_as_it_was(tool: Tool, api: Sandbox) -> None:
    tool.manifest(3)
    assert tool("plan").code == 0
    assert [path.name for path in tool.folder.iterdir()] == ["personas.yaml"]
    assert api.statistics().requests == 0


def test_plan_counts_what_is_unchanged(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    apply(tool)
    tool.manifest(3)
    assert tool("plan").stdout == (
        "  + p-002  create    Persona 2\n"
        "\n"
        "Plan: 1 to create, 0 to resume, 0 to import, 0 to rename. 2 unchanged.\n"
    )


def test_detailed_exit_codes(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    assert tool("plan").code == 0
    assert tool("plan", "--detailed-exitcode").code == 2
    apply(tool)
    assert tool("plan", "--detailed-exitcode").code == 0
    tool.manifest(3)
    assert tool("plan", "--detailed-exitcode").code == 2


def test_a_saved_plan_is_carried_out_once(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    saved = tool("plan", "--out", "plan.json")
    assert (saved.code, saved.stderr) == (
        0,
        "Saved the plan; carry it out with: personasync apply plan.json\n",
    )
    assert apply(tool, "plan.json").last_line == (
        "Apply complete: 2 created, 0 imported, 0 renamed."
    )
    before = snapshot(tool.folder / STATE)
    assert apply(tool, "plan.json").code == 5
    assert snapshot(tool.folder / STATE) == before
    assert api.statistics().requests == 2


# apply


def test_apply_sends_just_the_fields_of_the_api(tool: Tool, api: Sandbox) -> None:
    tool.write(
        "personas.yaml",
        """\
version: 1
personas:
  bare:
    taskId: task-bare
    audioId: audio-1
    name: Bare
    description: A plain voice with nothing around it but a room and an upright piano
  full:
    taskId: task-full
    audioId: audio-2
    name: "Ünï ☃ \\"quoted\\" 歌手"
    description: |
      Two lines of text,
      and the line break between them.
    vocalStart: 12.5
    vocalEnd: 40
    style: Electronic Pop
  zero:
    taskId: "0123"
    audioId: audio-3
    name: "no"
    description: Everything here that looks like something else than text is quoted
    vocalStart: 0
    vocalEnd: 10.0
""",
    )
    assert apply(tool).code == 0
    assert bodies(api) == [
        {
            "taskId": "task-bare",
            "audioId": "audio-1",
            "name": "Bare",
            "description": "A plain voice with nothing around it but a room and an upright piano",
        },
        {
            "taskId": "task-full",
            "audioId": "audio-2",
            "name": 'Ünï ☃ "quoted" 歌手',
            "description": "Two lines of text,\nand the line break between them.\n",
            "vocalStart": 12.5,
            "vocalEnd": 40,
            "style": "Electronic Pop",
        },
        {
            "taskId": "0123",
            "audioId": "audio-3",
            "name": "no",
            "description": "Everything here that looks like something else than text is quoted",
            "vocalStart": 0,
            "vocalEnd": 10,
        },
    ]


def test_apply_posts_json_to_the_one_endpoint(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    apply(tool)
    [request] = api.received()
    assert (request.method, request.target) == ("POST", "/api/v1/generate/generate-persona")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == f"Bearer {KEY}"


def test_apply_of_the_quickstart_records_and_prints_every_id(tool: Tool, api: Sandbox) -> None:
    wanted = effective(QUICKSTART)
    shutil.copy(QUICKSTART, tool.folder)
    ended = apply(tool)
    assert (ended.code, ended.last_line) == (
        0,
        "Apply complete: 12 created, 0 imported, 0 renamed.",
    )
    assert {body["audioId"]: body for body in bodies(api)} == wanted
    assert all(list(body) == [f for f in FIELDS if f in body] for body in bodies(api))
    assert recorded(tool) == ids(api)
    assert {entry["audioId"]: entry["request"] for entry in tool.entries()} == wanted
    for persona_id in ids(api).values():
        assert persona_id in ended.stderr
    printed = json.loads(tool("output", "--format", "json").stdout)
    assert {each["audioId"]: each["personaId"] for each in printed.values()} == ids(api)


def test_apply_of_a_folder_gives_each_file_its_own_defaults(tool: Tool, api: Sandbox) -> None:
    shutil.copytree(ROOT / "examples" / "team", tool.folder / "team")
    files = sorted((tool.folder / "team").glob("*.yaml"))
    assert apply(tool, "-f", "team").code == 0
    sent = {body["audioId"]: body for body in bodies(api)}
    assert sent == {audio: p for file in files for audio, p in effective(file).items()}
    assert len({persona["style"] for persona in sent.values()}) > 2
    assert recorded(tool, f"team/{STATE}") == ids(api)


def test_a_second_apply_sends_nothing_and_writes_nothing(tool: Tool, api: Sandbox) -> None:
    tool.manifest(5)
    apply(tool)
    before = snapshot(tool.folder / STATE)
    again = apply(tool)
    assert (again.code, again.stdout) == (
        0,
        f"{NO_CHANGES}\nApply complete: 0 created, 0 imported, 0 renamed.\n",
    )
    assert snapshot(tool.folder / STATE) == before
    assert api.statistics().requests == 5


def test_an_apply_with_nothing_to_send_needs_no_key(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    apply(tool)
    assert apply(tool, env={"PERSONASYNC_API_KEY": ""}).code == 0


def test_the_state_is_one_sorted_line_a_persona(tool: Tool, api: Sandbox) -> None:
    tool.write("personas.yaml", manifest_text([7, 2, 5]))
    apply(tool)
    header = json.loads((tool.folder / STATE).read_text(encoding="utf-8").splitlines()[0])
    assert (header["format"], header["api"]) == ("personasync.state/1", api.base_url)
    assert [entry["key"] for entry in tool.entries()] == ["p-002", "p-005", "p-007"]
    assert {entry["status"] for entry in tool.entries()} == {"created"}
    assert {entry["origin"] for entry in tool.entries()} == {"apply"}


def test_events_are_one_json_object_a_line(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    ended = apply(tool, "--format", "json", "--parallelism", "1")
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [(event["event"], event.get("key")) for event in events] == [
        ("run_start", None),
        ("create_start", "p-000"),
        ("create_done", "p-000"),
        ("create_start", "p-001"),
        ("create_done", "p-001"),
        ("run_end", None),
    ]
    done = {e["audioId"]: e["personaId"] for e in events if e["event"] == "create_done"}
    assert done == ids(api)
    assert (events[-1]["created"], events[-1]["exitCode"]) == (2, 0)


def test_the_embedded_sandbox_needs_nothing_and_remembers(tool: Tool) -> None:
    tool.manifest(2)
    first = tool("apply", "--sandbox", "--auto-approve")
    assert (first.code, first.last_line) == (0, "Apply complete: 2 created, 0 imported, 0 renamed.")
    assert first.stderr.startswith("This is a rehearsal: the sandbox, a stand-in for the API")
    assert not (tool.folder / STATE).exists()
    state = tool.folder / "personas.sandbox.state.jsonl"
    state.unlink()
    healed = tool("plan", "--sandbox")
    assert healed.stdout == "No changes. Every persona in the manifest is recorded.\n"
    state.with_name(f"{state.name}.backup").unlink()
    second = tool("apply", "--sandbox", "--auto-approve")
    assert (second.code, second.last_line) == (
        3,
        "Apply incomplete: 0 created, 0 failed, 2 in conflict, 0 unknown, 0 not attempted.",
    )


# what the API refuses


@pytest.mark.parametrize("errors_in_body", [False, True], ids=["http-status", "code-in-body"])
@pytest.mark.parametrize(
    ("manifest", "options"),
    [("personas.yaml", []), ("some folder/p.yaml", ["-f", "some folder/p.yaml"])],
    ids=["default", "named"],
)
def test_a_lost_state_is_mended_by_the_commands_that_are_printed(
    tool: Tool,
    serve: Callable[..., Sandbox],
    errors_in_body: bool,
    manifest: str,
    options: list[str],
) -> None:
    sandbox = serve(errors_in_body=errors_in_body)
    path = tool.manifest(2, manifest)
    apply(tool, *options)
    for beside in path.parent.glob(f"{STATE}*"):
        beside.unlink()

    again = apply(tool, *options)
    assert (again.code, again.last_line) == (
        3,
        "Apply incomplete: 0 created, 0 failed, 2 in conflict, 0 unknown, 0 not attempted.",
    )
    assert "Answer" not in again.stderr
    commands = re.findall(r"^ +(personasync import p-00\d PERSONA_ID.*)$", again.stdout, re.M)
    assert [command.split()[2] for command in commands] == ["p-000", "p-001"]
    last = {entry["audioId"]: entry["status"] for entry in tool.entries(str(path.parent / STATE))}
    assert last == {"audio-000": "conflict", "audio-001": "conflict"}
    for number, command in enumerate(commands):
        persona_id = ids(sandbox)[f"audio-00{number}"]
        program, *words = shlex.split(command.replace("PERSONA_ID", persona_id))
        assert program == "personasync"
        ended = tool(*words)
        assert (ended.code, ended.stdout) == (0, f"p-00{number}: imported {persona_id}\n")
    assert tool("plan", *options).stdout == f"{NO_CHANGES}\n"
    assert recorded(tool, str(path.parent / STATE)) == ids(sandbox)


def test_without_a_key_nothing_is_sent(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    ended = apply(tool, env={"PERSONASYNC_API_KEY": ""})
    assert (ended.code, ended.stderr) == (
        1,
        "Error: there is no API key\n"
        "  set PERSONASYNC_API_KEY, or PERSONASYNC_API_KEY_FILE to the file that holds it;"
        " or rehearse without one: personasync apply --sandbox\n",
    )
    assert api.statistics().requests == 0
    assert not (tool.folder / STATE).exists()


def test_the_key_may_come_from_a_file(tool: Tool, serve: Callable[..., Sandbox]) -> None:
    serve(api_key="from-a-file")
    tool.manifest(1)
    tool.write("key", "from-a-file\n")
    environment = {"PERSONASYNC_API_KEY": "", "PERSONASYNC_API_KEY_FILE": "key"}
    assert apply(tool, env=environment).code == 0


def test_a_wrong_key_stops_the_run(tool: Tool, serve: Callable[..., Sandbox]) -> None:
    sandbox = serve(api_key="another")
    tool.manifest(3)
    ended = apply(tool, "--parallelism", "1")
    assert ended.code == 1
    assert ended.last_line == (
        "Apply incomplete: 0 created, 1 failed, 0 in conflict, 0 unknown, 2 not attempted."
    )
    assert "Failed: the API does not accept the API key (401)." in ended.stdout
    assert "check PERSONASYNC_API_KEY" in ended.stdout
    assert KEY not in ended.stdout + ended.stderr
    assert sandbox.statistics().requests == 1
    assert tool("plan").last_line == (
        "Plan: 3 to create, 0 to resume, 0 to import, 0 to rename. 0 unchanged."
    )


def test_credits_that_run_out_stop_the_run(tool: Tool, serve: Callable[..., Sandbox]) -> None:
    sandbox = serve(credits=2)
    tool.manifest(5)
    ended = apply(tool, "--parallelism", "1")
    assert ended.code == 3
    assert ended.last_line == (
        "Apply incomplete: 2 created, 1 failed, 0 in conflict, 0 unknown, 2 not attempted."
    )
    assert "Failed: the account has no credits left (402)." in ended.stdout
    assert recorded(tool) == ids(sandbox)
    assert len(ids(sandbox)) == 2
    assert sandbox.statistics().requests == 3


def test_a_task_that_is_not_there_fails_alone(tool: Tool, api: Sandbox) -> None:
    lost = manifest_text([1], taskId="missing-1").partition("personas:\n")[2]
    tool.write("personas.yaml", manifest_text([0]) + lost + manifest_text([2])[21:])
    ended = apply(tool)
    assert ended.code == 3
    assert ended.last_line == (
        "Apply incomplete: 2 created, 1 failed, 0 in conflict, 0 unknown, 0 not attempted."
    )
    assert "Failed: the API knows no such task or audio (404)." in ended.stdout
    assert "check taskId and audioId" in ended.stdout
    assert recorded(tool) == ids(api)
    assert sorted(ids(api)) == ["audio-000", "audio-002"]


# kill -9


def test_a_killed_apply_goes_on_where_it_stopped(tool: Tool, serve: Callable[..., Sandbox]) -> None:
    sandbox = serve(repeat="same-id")
    tool.manifest(200)
    parallel = 8
    command = ["apply", "--auto-approve", "--rate-limit", "none", "--parallelism", str(parallel)]
    with answers_held() as held:
        held.let(60)
        process = tool.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: sandbox.statistics().made >= 60, "the 60th persona")
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert 60 <= sandbox.statistics().made <= 60 + parallel
    before = recorded(tool)
    assert len(before) >= 60 - parallel

    ended = tool(*command)
    assert ended.code == 0, ended.stdout
    assert recorded(tool) == ids(sandbox)
    assert len(ids(sandbox)) == sandbox.statistics().made == 200
    requests = sandbox.statistics().audios
    assert {audio for audio in before if requests[audio] != 1} == set()
    assert sum(requests.values()) <= 200 + parallel
    assert tool("plan").stdout == f"{NO_CHANGES}\n"


# approval


def test_yes_approves(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    terminal = Terminal(tool, "apply", width=120)
    shown = terminal.read_until("Answer: ")
    assert "Plan: 2 to create" in shown
    assert "Only 'yes' will be accepted." in shown
    assert api.statistics().requests == 0
    terminal.type("yes\n")
    code, shown = terminal.ended()
    assert code == 0
    assert "Apply complete: 2 created, 0 imported, 0 renamed." in shown
    assert recorded(tool) == ids(api)
    for persona_id in ids(api).values():
        assert persona_id in shown


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("no\n", 1, "Answer: no\nError: not approved; nothing was changed\n"),
        ("y\n", 1, "Answer: y\nError: not approved; nothing was changed\n"),
        ("YES\n", 1, "Answer: YES\nError: not approved; nothing was changed\n"),
        ("\n", 1, "Answer: \nError: not approved; nothing was changed\n"),
        ("\x04", 1, "Answer: \nError: not approved; nothing was changed\n"),
        ("\x03", 130, "\nInterrupted by SIGINT; nothing more was sent.\n"),
    ],
    ids=["no", "y", "YES", "empty", "end-of-file", "ctrl-c"],
)
def test_anything_else_does_not(tool: Tool, api: Sandbox, typed: str, code: int, said: str) -> None:
    tool.manifest(1)
    terminal = Terminal(tool, "apply", "--no-color", width=120)
    terminal.read_until("Answer: ")
    terminal.type(typed)
    ended, shown = terminal.ended()
    assert ended == code
    assert shown.endswith(said)
    assert api.statistics().requests == 0
    assert not (tool.folder / STATE).exists()


def test_nothing_to_do_asks_nobody(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    apply(tool)
    code, shown = Terminal(tool, "apply", width=120).ended()
    assert code == 0
    assert "Answer: " not in shown


@pytest.mark.parametrize("typed", [None, "yes\n"], ids=["no-stdin", "a-pipe"])
def test_without_a_terminal_nobody_can_approve(tool: Tool, api: Sandbox, typed: str | None) -> None:
    tool.manifest(1)
    ended = tool("apply", input=typed)
    assert (ended.code, ended.stderr) == (
        1,
        "Error: nobody can be asked: standard input is not a terminal\n"
        "  say --auto-approve to apply without being asked\n",
    )
    assert api.statistics().requests == 0


def test_approval_is_not_inherited(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    assert tool("apply", env={"PERSONASYNC_AUTO_APPROVE": "1"}).code == 1
    assert api.statistics().requests == 0


# output


def test_output_formats(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    apply(tool)
    tool.manifest(3)
    first, second = ids(api)["audio-000"], ids(api)["audio-001"]
    assert tool("output").stdout == f"p-000\t{first}\np-001\t{second}\n"
    assert json.loads(tool("output", "--format", "json").stdout) == {
        "p-000": {
            "personaId": first,
            "audioId": "audio-000",
            "taskId": "task-000",
            "name": "Persona 0",
        },
        "p-001": {
            "personaId": second,
            "audioId": "audio-001",
            "taskId": "task-001",
            "name": "Persona 1",
        },
    }
    assert list(csv.reader(io.StringIO(tool("output", "--format", "csv").stdout))) == [
        ["key", "personaId", "audioId", "taskId", "name"],
        ["p-000", first, "audio-000", "task-000", "Persona 0"],
        ["p-001", second, "audio-001", "task-001", "Persona 1"],
    ]
    assert tool("output", "--format", "env").stdout == (
        f"PERSONA_P_000={first}\nPERSONA_P_001={second}\n"
    )


def test_env_output_is_safe_to_source(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    hostile = "$(touch,owned);`touch,owned`'\"\\"
    assert tool("import", "p-000", hostile).code == 0
    tool.write("ids.sh", tool("output", "--format", "env").stdout)
    shell = subprocess.run(
        ["bash", "-c", 'set -eu; . ./ids.sh; printf %s "$PERSONA_P_000"'],
        cwd=tool.folder,
        env=tool.environment,
        capture_output=True,
        check=True,
    )
    assert shell.stdout.decode() == hostile
    assert not (tool.folder / "owned").exists()


def test_output_of_one_key_is_the_id_and_nothing_else(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    apply(tool)
    one = tool("output", "p-001")
    assert (one.code, one.stdout, one.stderr) == (0, ids(api)["audio-001"] + "\n", "")


def test_output_of_what_is_not_recorded_says_why(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    not_yet = tool("output", "p-000")
    assert (not_yet.code, not_yet.stdout, not_yet.stderr) == (
        1,
        "",
        "Error: there is no ID for 'p-000': it has not been created yet\n"
        "  run: personasync apply\n",
    )
    unknown = tool("output", "p-00")
    assert (unknown.code, unknown.stdout, unknown.stderr) == (
        1,
        "",
        "Error: no persona has the key 'p-00', in the manifest or the state\n"
        "  did you mean 'p-000'?\n",
    )
    assert tool("output", "--require", "p-000").code == 1


# import and state


def test_import_refuses_to_lose_an_id(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    apply(tool, "--target", "p-000")
    known = ids(api)["audio-000"]
    before = snapshot(tool.folder / STATE)
    refused = tool("import", "p-000", "another")
    assert (refused.code, refused.stdout) == (1, "")
    assert known in refused.stderr
    assert "--force" in refused.stderr
    assert tool("import", "p-001", known).code == 1
    assert snapshot(tool.folder / STATE) == before
    assert tool("import", "p-000", "another", "--force").code == 0
    assert tool("output", "p-000").stdout == "another\n"


def test_state_list_and_show(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    apply(tool)
    first, second = ids(api)["audio-000"], ids(api)["audio-001"]
    assert tool("state", "list").stdout == (
        f"p-000  created  {first}  audio-000\np-001  created  {second}  audio-001\n"
    )
    assert tool("state", "list", "*1").stdout == f"p-001  created  {second}  audio-001\n"
    assert json.loads(tool("state", "list", "--format", "json").stdout) == tool.entries()
    shown = json.loads(tool("state", "show", "p-000", "--format", "json").stdout)
    assert {name: shown[name] for name in tool.entries()[0]} == tool.entries()[0]
    text = tool("state", "show", "p-000").stdout
    assert text.startswith("p-000\n  status:    created\n")
    assert f"  personaId: {first}\n" in text


def test_state_show_prints_an_entry_to_put_back(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1, name="personas.yaml", style="Dub: heavy", vocalStart=3.5)
    apply(tool)
    entry = tool("state", "show", "p-000", "--format", "manifest").stdout
    tool.write("again.yaml", "version: 1\npersonas:\n" + entry)
    assert tool("plan", "-f", "again.yaml").stdout == f"{NO_CHANGES}\n"


def test_state_mv_is_a_rename_without_a_request(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    apply(tool)
    moved = tool("state", "mv", "p-000", "renamed")
    assert (moved.code, moved.stdout) == (0, "p-000: now recorded as renamed\n")
    text = (tool.folder / "personas.yaml").read_text(encoding="utf-8")
    tool.write("personas.yaml", text.replace("p-000:", "renamed:"))
    assert tool("plan").stdout == f"{NO_CHANGES}\n"
    assert api.statistics().requests == 1


def test_state_rm_hides_and_keeps_the_id(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    apply(tool)
    known = ids(api)["audio-001"]
    tool.manifest(1)
    assert "Needs attention: 0 changed, 1 removed, 0 in conflict." in tool("plan").stdout
    assert tool("state", "rm", "p-001").stdout == "p-001: dropped from view\n"
    assert tool("plan").stdout == f"{NO_CHANGES}\n"
    tool.manifest(2)
    assert tool("plan").last_line == (
        "Plan: 0 to create, 0 to resume, 1 to import, 0 to rename. 1 unchanged."
    )
    assert apply(tool).code == 0
    assert tool("output", "p-001").stdout == f"{known}\n"
    assert api.statistics().requests == 2


# init, schema, completion


def test_init_writes_a_manifest_that_works_and_never_overwrites(tool: Tool) -> None:
    first = tool("init", "voices")
    assert first.code == 0
    assert sorted(first.stdout.splitlines()) == [
        "voices/.gitattributes",
        "voices/.gitignore",
        "voices/personas.schema.json",
        "voices/personas.yaml",
    ]
    assert first.stderr == (
        "Next: write a persona into it, then run: personasync plan -f voices/personas.yaml\n"
    )
    manifest = tool.folder / "voices" / "personas.yaml"
    assert tool("validate", "--strict", "-f", str(manifest)).code == 0
    empty = tool("plan", "-f", str(manifest))
    assert (empty.code, empty.stdout) == (0, f"The manifest has no personas.\n{NO_CHANGES}\n")
    before = {path: snapshot(path) for path in manifest.parent.iterdir()}
    again = tool("init", "voices")
    assert (again.code, again.stdout, again.stderr) == (
        1,
        "",
        "Error: voices/personas.yaml is there already; nothing was written\n"
        "  see what it says with: personasync validate -f voices/personas.yaml\n",
    )
    assert {path: snapshot(path) for path in manifest.parent.iterdir()} == before


@pytest.mark.parametrize("command", [["plan"], ["validate"], ["apply"], ["list"]], ids=" ".join)
def test_the_other_suffix_is_what_was_meant(tool: Tool, command: list[str]) -> None:
    tool.write("personas.yml", "version: 1\npersonas: {}\n")
    ended = tool(*command)
    assert "there is no personas.yaml here" in ended.stderr
    assert "did you mean personas.yml? name it with -f personas.yml" in ended.stderr
    assert tool(*command, "-f", "personas.yml").stderr.count("personas.yml?") == 0


@pytest.mark.parametrize("uncommented", ["personas", "settings defaults personas"])
def test_the_blocks_of_init_are_uncommented_as_they_stand(tool: Tool, uncommented: str) -> None:
    tool("init")
    paragraphs = (tool.folder / "personas.yaml").read_text(encoding="utf-8").split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        block = re.search(r"^(?:# )?([a-z]+):.*\n( *# .*\n?)+\Z", paragraph, re.MULTILINE)
        if block is not None and block[1] in uncommented:
            as_editors_do = re.sub("^( *)# ", r"\1", block[0], flags=re.MULTILINE)
            paragraphs[number] = paragraph[: block.start()] + as_editors_do
    tool.write("personas.yaml", "\n\n".join(paragraphs))
    for command in (["validate", "--strict"], ["plan", "--sandbox", "--strict"]):
        ended = tool(*command)
        assert (ended.code, "no personas" in ended.stdout + ended.stderr) == (0, False)
    applied = tool("apply", "--sandbox", "--auto-approve")
    assert (applied.code, applied.last_line) == (
        0,
        "Apply complete: 1 created, 0 imported, 0 renamed.",
    )


@pytest.mark.parametrize("name", ["manifest", "state", "plan", "events", "diagnostics"])
def test_schema_prints_the_published_file(tool: Tool, name: str) -> None:
    published = ROOT / "schemas" / f"{name}.schema.json"
    ended = tool("schema", name)
    assert (ended.code, ended.stdout) == (0, published.read_text(encoding="utf-8"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(tool: Tool, shell: str) -> None:
    ended = tool("completion", shell)
    assert (ended.code, ended.stderr) == (0, "")
    assert f"_PERSONASYNC_COMPLETE={shell}_complete" in ended.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=ended.stdout.encode(), check=True)


def test_completion_knows_the_keys_of_the_manifest(tool: Tool) -> None:
    tool.manifest(2)
    words = {"COMP_WORDS": "personasync output p", "COMP_CWORD": "2"}
    ended = tool(env={"_PERSONASYNC_COMPLETE": "bash_complete", **words})
    assert (ended.code, ended.stdout) == (0, "plain,p-000\nplain,p-001\n")


# what is said, and where


@pytest.mark.parametrize(
    ("environment", "options"),
    [({}, []), ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, []), ({"FORCE_COLOR": "1"}, ["--no-color"])],
    ids=["no-terminal", "NO_COLOR", "--no-color"],
)
def test_no_colour_where_none_is_wanted(
    tool: Tool, api: Sandbox, environment: dict[str, str], options: list[str]
) -> None:
    tool.manifest(1)
    for args in (["plan"], ["apply", "--auto-approve"], ["plan", "-f", "missing.yaml"]):
        ended = tool(*args, *options, env=environment)
        assert "\x1b" not in ended.stdout + ended.stderr


def test_colour_where_it_is_asked_for(tool: Tool) -> None:
    tool.manifest(1)
    assert "\x1b[" in tool("plan", env={"FORCE_COLOR": "1"}).stdout


def test_no_color_on_a_terminal(tool: Tool) -> None:
    tool.manifest(1)
    assert "\x1b[" in Terminal(tool, "plan").ended()[1]
    assert "\x1b[" not in Terminal(tool, "plan", "--no-color").ended()[1]


def test_quiet_leaves_results_and_errors(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1, vocalEnd=5)
    quiet = apply(tool, "-q")
    assert (quiet.code, quiet.stderr) == (0, "")
    assert quiet.last_line == "Apply complete: 1 created, 0 imported, 0 renamed."
    assert tool("-q", "plan").stderr == ""
    assert tool("plan", "-q", "--target", "nobody").stderr != ""


def test_shared_options_may_stand_before_the_command(tool: Tool) -> None:
    tool.manifest(1, "elsewhere.yaml")
    assert tool("-f", "elsewhere.yaml", "plan").stdout == (
        tool("plan", "-f", "elsewhere.yaml").stdout
    )


def test_every_option_has_an_environment_variable(tool: Tool) -> None:
    tool.manifest(1, "elsewhere.yaml")
    ended = tool(
        "plan", env={"PERSONASYNC_MANIFEST": "elsewhere.yaml", "PERSONASYNC_FORMAT": "json"}
    )
    assert json.loads(ended.stdout)["summary"]["create"] == 1


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "-")
def test_help(tool: Tool, command: tuple[str, ...]) -> None:
    ended = tool(*command, "--help")
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"Usage: {' '.join(['personasync', *command])} ")


def test_version(tool: Tool) -> None:
    ended = tool("--version")
    assert (ended.code, ended.stderr) == (0, "")
    assert re.fullmatch(r"personasync, version \d+\.\d+\.\d+\n", ended.stdout)


def test_nothing_at_all_is_answered_with_the_help(tool: Tool) -> None:
    ended = tool()
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Usage: personasync [OPTIONS] COMMAND [ARGS]...")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["state"], "Usage: personasync state [OPTIONS] COMMAND [ARGS]..."),
        (["bogus"], "No such command 'bogus'."),
        (["state", "bogus"], "No such command 'bogus'."),
        (["plan", "--bogus"], "No such option '--bogus'."),
        (["plan", "--format", "xml"], "'xml' is not one of"),
        (["plan", "surplus"], "unexpected extra argument (surplus)"),
        (["plan", "personas.yaml"], "(personas.yaml); a manifest is named with -f"),
        (["plan", *["surplus"] * 999], " surplus sur…"),
        (["plan", "-f", "v", "personas.yaml"], "put quotes around a pattern, such as -f 'voices/"),
        (["plan", "--max-creates", "-1"], "-1 is not in the range"),
        (["apply", "--parallelism", "0"], "0 is not in the range"),
        (["apply", "--rate-limit", "fast"], "'fast' is not a rate; write it like 20/10s, or none"),
        (["apply", "--retry-for", "soon"], "'soon' is not a duration; write it like"),
        (["import", "p-000"], "Missing argument 'PERSONA_ID'."),
        (["import", "p-000", "two words"], "an ID is printable ASCII without spaces"),
        (["state", "mv", "p-000", "-x"], "No such option"),
        (["state", "mv", "p-000", "a b"], "a key is 1 to 64 letters"),
        (["schema", "bogus"], "'bogus' is not one of"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["sandbox", "--fault", "gremlins"], "gremlins"),
        (["sandbox", "--port", "65536"], "65536 is not in the range"),
        (["plan", "--sandbox", "--base-url", "https://a.example"], "exclude each other"),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else "",
)
def test_usage_errors_exit_64(tool: Tool, args: list[str], said: str) -> None:
    tool.manifest(1)
    ended = tool(*args)
    assert (ended.code, ended.stdout) == (64, "")
    assert said in " ".join(ended.stderr.split())


def test_a_bare_command_is_a_question_for_help(tool: Tool) -> None:
    ended = tool()
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout == tool("--help").stdout


# the sandbox as a command


@contextmanager
def served(tool: Tool, *args: str) -> Iterator[str]:
    """Serve the sandbox in another process and yield its base URL."""
    process = tool.start("sandbox", "--port", "0", *args, stderr=subprocess.DEVNULL)
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG) in (0, 130)
        process.stdout.close()


def test_a_served_sandbox_remembers_across_its_runs(tool: Tool) -> None:
    tool.manifest(3)
    for expected in (0, 3):
        with served(tool, "--books", "books.db", "--key", KEY) as base:
            environment = {"PERSONASYNC_BASE_URL": base, "PERSONASYNC_API_KEY": KEY}
            ended = apply(tool, "--state", f"{expected}.state.jsonl", env=environment)
            assert ended.code == expected


def test_a_served_sandbox_rehearses_a_bad_day(tool: Tool) -> None:
    tool.manifest(4)
    faults = ["--fault", "reset-after:0.4", "--seed", "1"]  # the first of them is reset
    with served(tool, "--repeat", "same-id", *faults) as base:
        environment = {"PERSONASYNC_BASE_URL": base, "PERSONASYNC_API_KEY": KEY}
        ended = apply(tool, env=environment)
    assert ended.last_line == "Apply complete: 4 created, 0 imported, 0 renamed."
    assert "retry in" in ended.stderr


# two at once, gates, and outputs that nobody reads


def test_a_second_run_is_told_who_holds_the_state(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    terminal = Terminal(tool, "apply", width=120)
    terminal.read_until("Answer: ")
    second = apply(tool)
    assert second.code == 4
    assert re.search(
        r"^Error: another run holds the state \S*personas\.state\.jsonl: "
        r".+@\S+, pid \d+, .*\bapply\b.*, since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$",
        second.stderr,
        re.M,
    )
    assert tool("plan").code == 0  # reading needs no lock
    waiting = tool.start("apply", "--auto-approve", "--lock-timeout", "5m", bufsize=0)
    assert b"Waiting for the state" in waiting.stderr.readline()
    terminal.type("yes\n")
    assert terminal.ended()[0] == 0
    stdout, _ = waiting.communicate(timeout=HANG)
    assert stdout.decode().splitlines() == [
        NO_CHANGES,
        "Apply complete: 0 created, 0 imported, 0 renamed.",
    ]
    assert waiting.returncode == 0
    assert api.statistics().requests == 1


@pytest.mark.parametrize("command", [["plan"], ["apply", "--auto-approve"]], ids=["plan", "apply"])
@pytest.mark.parametrize(
    "gate", [["--max-creates", "1"], ["--strict"], ["--target", "p-0O0"]], ids=lambda gate: gate[0]
)
def test_a_gate_that_refuses_sends_nothing(
    tool: Tool, api: Sandbox, command: list[str], gate: list[str]
) -> None:
    tool.manifest(2, vocalEnd=5)  # too short a segment: a warning
    ended = tool(*command, *gate)
    assert ended.code == 1
    assert "Error: " in ended.stderr
    assert api.statistics().requests == 0
    assert not (tool.folder / STATE).exists()


def test_part_of_a_plan(tool: Tool, api: Sandbox) -> None:
    tool.manifest(4)
    assert apply(tool, "--target", "p-00[0-2]", "--exclude", "p-001").code == 0
    assert sorted(ids(api)) == ["audio-000", "audio-002"]


def test_the_summary_of_a_github_step(tool: Tool) -> None:
    tool.manifest(2)
    ended = tool("plan", "--format", "github", env={"GITHUB_STEP_SUMMARY": "summary.md"})
    assert ended.code == 0
    assert ended.stdout.startswith("::notice title=personasync plan::Plan: 2 to create")
    tool("plan", "--markdown-out", "comment.md")
    summary = (tool.folder / "summary.md").read_text(encoding="utf-8")
    assert summary == (tool.folder / "comment.md").read_text(encoding="utf-8")


def test_verbose_tells_of_requests_and_not_of_the_key(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    ended = apply(tool, "-vv")
    assert f"POST {api.base_url}/api/v1/generate/generate-persona" in ended.stderr
    assert "Bearer ***" in ended.stderr
    assert KEY not in ended.stdout + ended.stderr


def test_output_into_a_closed_pipe_ends_quietly(tool: Tool) -> None:
    tool.manifest(2000)
    process = tool.start("plan")
    process.stdout.close()
    _, stderr = process.communicate(timeout=HANG)
    assert process.returncode != 0
    assert "Traceback" not in stderr.decode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_output_that_cannot_be_written_is_an_error(tool: Tool) -> None:
    tool.manifest(2)
    with Path("/dev/full").open("w") as full:
        process = tool.start("plan", stdout=full)
        _, stderr = process.communicate(timeout=HANG)
    assert process.returncode == 1
    assert "No space left on device" in stderr.decode()
    assert "Traceback" not in stderr.decode()
