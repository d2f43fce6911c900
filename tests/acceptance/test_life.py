"""The life of a persona after its creation: imports, renames, edits, new audios, removals."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from personasync.sandbox import SandboxConfig
from personasync.sandbox.faults import Fault
from personasync.state import FileStateLog
from tests.helpers.sandbox import Sandbox
from tests.helpers.support import Ended, Tool
from tests.helpers.waiting import HANG

STATE = "personas.state.jsonl"
NO_CHANGES = "No changes. Every persona in the manifest is recorded."
RECORDED = "Apply complete: 0 created, {} imported, {} renamed."
DESCRIPTION = "A modern electronic pop singer with bright, dynamic synth tones"


@pytest.fixture
def serve(tool: Tool) -> Iterator[Callable[..., Sandbox]]:
    """Serve a sandbox that the command uses; a second call puts another in its place."""
    running: list[Sandbox] = []

    def start(**config: Any) -> Sandbox:
        port = running[-1].port if running else 0
        for sandbox in running:
            sandbox.close()
        books = tool.folder / "books.db"
        sandbox = Sandbox(SandboxConfig(port=port, books=books, **config))
        sandbox.start()
        running.append(sandbox)
        tool.environment.update(PERSONASYNC_BASE_URL=sandbox.base_url, PERSONASYNC_API_KEY="any")
        return sandbox

    yield start
    for sandbox in running:
        sandbox.close()


@pytest.fixture
def api(serve: Callable[..., Sandbox]) -> Sandbox:
    """A sandbox that has a good day."""
    return serve()


def manifest(tool: Tool, personas: dict[str, dict[str, Any] | str], **top: Any) -> Path:
    """Write a manifest; a persona given as a text is that audio with nothing special about it."""
    entries = {
        key: {"taskId": "task-1", "name": f"The {given}", "description": DESCRIPTION}
        | ({"audioId": given} if isinstance(given, str) else given)
        for key, given in personas.items()
    }
    document = {"version": 1, **top, "personas": entries}
    text = yaml.safe_dump(document, sort_keys=False)  # which leaves a key of YAML 1.2 bare
    return tool.write("personas.yaml", text.replace("\n  1e3:", '\n  "1e3":'))


def apply(tool: Tool, *args: str, **options: Any) -> Ended:
    return tool("apply", "--auto-approve", "--rate-limit", "none", *args, **options)


def made(sandbox: Sandbox) -> dict[str, str]:
    """Return what the sandbox has made: persona IDs by ``audioId``."""
    return {audio: persona.persona_id for audio, persona in sandbox.personas().items()}


def plan_rows(tool: Tool, *args: str) -> list[tuple[str, str]]:
    """Return the plan's actions as (action, key), those that are unchanged left out."""
    actions = json.loads(tool("plan", "--format", "json", *args).stdout)["actions"]
    return [(row["action"], row["key"]) for row in actions if row["action"] != "unchanged"]


def last(tool: Tool, audio: str) -> dict[str, Any]:
    """Return the last line about an audio."""
    return [entry for entry in tool.entries() if entry["audioId"] == audio][-1]


def commands(text: str) -> list[list[str]]:
    """Return the commands that a text shows, as a shell would split them."""
    found = re.findall(r"(?:^ *|: )(personasync .*?)(?:;|\n|$)", text, re.M)
    return [shlex.split(command)[1:] for command in found]


def edited_by_one_append(tool: Tool, edit: Callable[[], Ended], *, lines: int = 1) -> Ended:
    """Make an edit of the state and see that it does nothing but append."""
    path = tool.folder / STATE
    before, inode = path.read_bytes(), path.stat().st_ino
    ended = edit()
    after = path.read_bytes()
    assert (after[: len(before)], path.stat().st_ino) == (before, inode)
    assert after[len(before) :].count(b"\n") == lines
    return ended


# import


def test_import_records_an_id_with_no_request(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1", "velvet": "audio-2"})
    assert tool("import", "neon", "known-1").stdout == "neon: imported known-1\n"
    entry = last(tool, "audio-1")
    assert (entry["status"], entry["personaId"], entry["origin"]) == (
        "created",
        "known-1",
        "import",
    )
    assert plan_rows(tool) == [("create", "velvet")]
    again = edited_by_one_append(tool, lambda: tool("import", "neon", "known-1"), lines=0)
    assert (again.code, again.stderr) == (
        0,
        "neon is recorded with this ID already; nothing was changed.\n",
    )
    assert api.statistics().requests == 0


def test_import_needs_no_manifest_for_what_the_state_knows(tool: Tool, api: Sandbox) -> None:
    path = manifest(tool, {"neon": "audio-1"})
    apply(tool)
    known = made(api)["audio-1"]
    path.unlink()
    assert tool("state", "rm", "neon").code == 0
    assert tool("import", "neon", known).code == 0
    assert tool("output", "neon").stdout == f"{known}\n"


@pytest.mark.parametrize(
    ("key", "persona_id", "said"),
    [
        ("neon", "other", "'neon' is recorded with another ID, known-1"),
        ("velvet", "known-1", "known-1 is recorded for another audio, audio-1 (neon)"),
        ("velvet", "other", "the manifest gives 'velvet' another ID, wanted-2"),
        ("third", "wanted-2", "the manifest gives wanted-2 to another audio, audio-2 (velvet)"),
    ],
)
def test_import_refuses_contradictions_unless_forced(
    tool: Tool, api: Sandbox, key: str, persona_id: str, said: str
) -> None:
    manifest(
        tool,
        {
            "neon": "audio-1",
            "velvet": {"audioId": "audio-2", "name": "Velvet", "personaId": "wanted-2"},
            "third": "audio-3",
        },
    )
    state = str(tool.folder / "other.jsonl")
    assert tool("import", "neon", "known-1", "--state", state).code == 0
    before = Path(state).read_bytes()
    refused = tool("import", key, persona_id, "--state", state)
    assert (refused.code, refused.stdout) == (1, "")
    assert said in refused.stderr
    assert Path(state).read_bytes() == before
    [force] = commands(refused.stderr)
    assert force == ["import", key, persona_id, "--force", "--state", state]
    forced = tool(*force)
    assert (forced.code, forced.stdout) == (0, f"{key}: imported {persona_id}\n")
    assert said in forced.stderr
    assert tool("output", key, "--state", state).stdout == f"{persona_id}\n"
    contradicted = key == "velvet" or "manifest" in said
    assert tool("plan", "--state", state).code == (1 if contradicted else 0)


def test_import_does_not_drop_an_answer_that_shows_another_id(
    tool: Tool, serve: Callable[..., Sandbox]
) -> None:
    sandbox = serve(faults=(Fault.parse("cut-off"),))
    manifest(tool, {"neon": "audio-1"})
    apply(tool, "--retry-for", "0s")
    entry = {**last(tool, "audio-1"), "answer": '{"data": {"personaId": "shown-1", "na'}
    entry.pop("answered", None)
    with (tool.folder / STATE).open("a") as file:
        file.write(json.dumps(entry) + "\n")
    refused = tool("import", "neon", "other")
    assert refused.code == 1
    assert "shows another ID, " in refused.stderr
    assert "shown-1" in refused.stderr
    assert tool("import", "neon", "shown-1").code == 0
    assert list(made(sandbox)) == ["audio-1"]


@pytest.mark.parametrize("persona_id", ["", "two words", "tab\t", "ünï", "x" * 257, "::error::x"])
def test_import_refuses_what_is_no_id(tool: Tool, persona_id: str) -> None:
    manifest(tool, {"neon": "audio-1"})
    refused = tool("import", "neon", persona_id)
    assert refused.code == 64
    assert "PERSONA_ID" in refused.stderr
    assert not (tool.folder / STATE).exists()


def test_import_begins_a_state_that_an_empty_file_stands_for(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1"})
    tool.write(STATE, "")
    assert tool("import", "neon", "known-1").code == 0
    assert plan_rows(tool) == []


def test_the_manifest_adopts_an_id_and_the_plan_shows_it_first(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": {"audioId": "audio-1", "name": "Neon", "personaId": "known-1"}})
    assert tool("plan").stdout == (
        "  < neon  import    Neon  known-1 (the manifest gives its ID)\n"
        "\n"
        "Plan: 0 to create, 0 to resume, 1 to import, 0 to rename. 0 unchanged.\n"
    )
    not_yet = tool("output", "neon")
    assert (not_yet.code, not_yet.stderr) == (
        1,
        "Error: there is no ID for 'neon': the manifest gives it, but it is not recorded yet\n"
        "  run: personasync apply\n",
    )
    assert apply(tool).last_line == RECORDED.format(1, 0)
    assert last(tool, "audio-1")["origin"] == "manifest"
    manifest(tool, {"neon": {"audioId": "audio-1", "name": "Neon"}})
    assert tool("plan").stdout == f"{NO_CHANGES}\n"
    assert api.statistics().requests == 0


def test_a_manifest_that_contradicts_the_state_is_an_error(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1", "velvet": "audio-2"})
    apply(tool)
    first, second = made(api)["audio-1"], made(api)["audio-2"]
    manifest(
        tool,
        {
            "neon": {"audioId": "audio-1", "name": "Neon", "personaId": "other-1"},
            "third": {"audioId": "audio-3", "name": "Third", "personaId": second},
        },
    )
    before = (tool.folder / STATE).read_bytes()
    for command in (["plan"], ["apply", "--auto-approve"]):
        refused = tool(*command)
        assert (refused.code, refused.stdout) == (1, "")
        assert f"personaId is other-1, but {first} is recorded for this audio" in refused.stderr
        assert f"personaId {second} is recorded for another audio, audio-2" in refused.stderr
        assert refused.stderr.count("personas.yaml:") == 2
        assert re.search(r"personaId: other-1\n    \| +\^{7}\n", refused.stderr)
    assert (tool.folder / STATE).read_bytes() == before

    for command in commands(tool("plan").stderr):  # the manifest is right, says the team
        assert tool(*command).code == 0
    assert plan_rows(tool) == [("removed", "velvet")]
    assert tool("output", "third").stdout == f"{second}\n"
    assert api.statistics().requests == 2


# rename


def test_a_rename_needs_no_request(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1"})
    apply(tool)
    manifest(tool, {"neon-siren": "audio-1"})
    assert tool("plan").stdout == (
        "  > neon-siren  rename    The audio-1  neon -> neon-siren\n"
        "\n"
        "Plan: 0 to create, 0 to resume, 0 to import, 1 to rename. 0 unchanged.\n"
    )
    assert tool("output", "neon-siren").stdout == f"{made(api)['audio-1']}\n"
    old = tool("output", "neon")
    assert (old.code, old.stderr) == (
        1,
        "Error: no persona has the key 'neon', in the manifest or the state\n"
        "  the manifest calls it 'neon-siren' now\n",
    )
    assert apply(tool).last_line == RECORDED.format(0, 1)
    assert tool("plan").stdout == f"{NO_CHANGES}\n"
    assert api.statistics().requests == 1


def test_two_keys_swap_in_one_apply(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1", "velvet": "audio-2"})
    apply(tool)
    manifest(tool, {"neon": "audio-2", "velvet": "audio-1"})
    assert plan_rows(tool) == [("rename", "neon"), ("rename", "velvet")]
    assert apply(tool).last_line == RECORDED.format(0, 2)
    assert tool("plan").stdout == f"{NO_CHANGES}\n"
    assert tool("output", "neon").stdout == f"{made(api)['audio-2']}\n"
    assert tool("output", "velvet").stdout == f"{made(api)['audio-1']}\n"
    assert api.statistics().requests == 2


def test_a_rename_with_an_edit_says_that_the_edit_changes_nothing(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": {"audioId": "audio-1", "name": "Neon"}})
    apply(tool)
    manifest(tool, {"siren": {"audioId": "audio-1", "name": "Siren", "vocalEnd": 25}})
    assert tool("plan").stdout == (
        "  > siren  rename    Siren  neon -> siren\n"
        '      name: "Neon" -> "Siren"\n'
        "      vocalEnd: 30 -> 25\n"
        "\n"
        "rename: fields that differ stay as they are recorded, since the API cannot change a"
        " persona: put\n"
        "  them back, or use another audio\n"
        "\n"
        "Plan: 0 to create, 0 to resume, 0 to import, 1 to rename. 0 unchanged.\n"
    )
    assert apply(tool).code == 0
    assert plan_rows(tool) == [("changed", "siren")]


def test_mv_renames_by_hand(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1", "velvet": "audio-2"})
    apply(tool)
    moved = edited_by_one_append(tool, lambda: tool("state", "mv", "neon", "siren"))
    assert moved.stdout == "neon: now recorded as siren\n"
    assert plan_rows(tool) == [("rename", "neon")]
    manifest(tool, {"siren": "audio-1", "velvet": "audio-2"})
    assert tool("plan").stdout == f"{NO_CHANGES}\n"
    same = edited_by_one_append(tool, lambda: tool("state", "mv", "siren", "siren"), lines=0)
    assert (same.code, same.stderr) == (
        0,
        "siren is recorded as siren already; nothing was changed.\n",
    )


def test_mv_keeps_a_key_from_meaning_two_audios(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1", "velvet": "audio-2"})
    apply(tool)
    refused = edited_by_one_append(tool, lambda: tool("state", "mv", "neon", "velvet"), lines=0)
    assert (refused.code, refused.stderr) == (
        1,
        "Error: the key 'velvet' belongs to another audio, audio-2\n"
        "  choose another key, or first give that one another:"
        " personasync state mv audio-2 OTHER_KEY\n",
    )
    [first] = commands(refused.stderr)
    for move in (first, ["state", "mv", "neon", "velvet"], ["state", "mv", "OTHER_KEY", "neon"]):
        assert tool(*move).code == 0
    manifest(tool, {"neon": "audio-2", "velvet": "audio-1"})
    assert tool("plan").stdout == f"{NO_CHANGES}\n"


@pytest.mark.parametrize("key", ["", "-x", ".x", "with space", "x" * 65, "ключ"])
def test_mv_refuses_what_is_no_key(tool: Tool, api: Sandbox, key: str) -> None:
    manifest(tool, {"neon": "audio-1"})
    apply(tool)
    refused = edited_by_one_append(tool, lambda: tool("state", "mv", "--", "neon", key), lines=0)
    assert refused.code == 64
    assert "NEW_KEY" in refused.stderr


# changed


def put_back(tool: Tool, entry: str) -> None:
    """Write the manifest anew with one entry, as it was printed."""
    text = (tool.folder / "personas.yaml").read_text()
    head, _, _ = text.partition("personas:")
    tool.write("personas.yaml", f"{head}personas:\n{entry}")


HOSTILE = {
    "audioId": "audio-1",
    "name": "no",
    "description": "  Two lines: \u202etext #1\n::error::and 'quotes' ##[group]\n\n- ! & * {}  ",
    "style": "12:30",
    "vocalStart": 0.1,
    "vocalEnd": 1e-3 + 20,
}


@pytest.mark.parametrize(
    ("sent", "edited", "top"),
    [
        ({"audioId": "audio-1"}, {"audioId": "audio-1", "name": "Other"}, {}),
        (HOSTILE, {"audioId": "audio-1", "description": f"{DESCRIPTION}, and more"}, {}),
        (
            {"audioId": "audio-1", "style": "Dub"},
            {"audioId": "audio-1", "style": "Dub"},
            {"defaults": {"vocalStart": 5, "vocalEnd": 25, "style": "Pop"}},
        ),
    ],
    ids=["plain", "hostile", "defaults"],
)
def test_what_is_shown_can_be_put_back(
    tool: Tool, api: Sandbox, sent: dict[str, Any], edited: dict[str, Any], top: dict[str, Any]
) -> None:
    manifest(tool, {"1e3": {"name": "The one", **sent}})
    assert apply(tool).code == 0
    manifest(tool, {"1e3": {"name": "The one", **edited}}, **top)
    changed = tool("plan").stdout
    assert plan_rows(tool) == [("changed", "1e3")]
    [show] = commands(changed)
    assert show == ["state", "show", "1e3", "--format", "manifest"]
    entry = tool(*show).stdout
    assert entry.isascii() or "::" not in entry
    assert not re.search(r"^\s*::|##\[|\u202e", entry, re.M)
    put_back(tool, entry)
    assert tool("plan").stdout == f"{NO_CHANGES}\n"


def test_a_style_that_was_not_sent_cannot_come_from_the_defaults(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1"})
    apply(tool)
    manifest(tool, {"neon": "audio-1"}, defaults={"style": "Dub"})
    shown = tool("state", "show", "neon", "--format", "manifest").stdout
    assert shown.endswith("    # no style was sent: take it out of this file's defaults, too\n")
    manifest(tool, {})
    put_back(tool, shown)
    assert tool("plan").stdout == f"{NO_CHANGES}\n"


def test_an_edit_is_shown_field_by_field_with_the_two_ways_out(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": {"audioId": "audio-1", "name": "Neon", "style": "Dub"}})
    apply(tool, "-f", "personas.yaml")
    manifest(tool, {"neon": {"audioId": "audio-1", "name": "Siren", "vocalEnd": 25.5}})
    state = ["--state", STATE]
    assert tool("plan", *state).stdout == (
        "  ! neon  changed   Siren\n"
        '      name: "Neon" -> "Siren"\n'
        "      vocalEnd: 30 -> 25.5\n"
        '      style: "Dub" -> not given\n'
        "      already created, and the API cannot change a persona\n"
        "      use another audio, accept it (state accept), or put it back as it"
        " was sent; to print that:\n"
        "        personasync state show neon --format manifest\n"
        "\n"
        f"{NO_CHANGES}\n"
        "Needs attention: 1 changed, 0 removed, 0 in conflict.\n"
    )
    strict = tool("plan", "--strict")
    assert (strict.code, strict.stderr) == (
        1,
        "Error: 1 of the plan's rows needs attention: neon (changed)\n"
        "  settle them, or leave out --strict\n",
    )
    before = (tool.folder / STATE).read_bytes()
    assert apply(tool).code == 0
    assert (tool.folder / STATE).read_bytes() == before
    assert api.statistics().requests == 1


# new audio for a key


def test_a_new_audio_makes_a_new_persona_and_keeps_the_old_id(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1"})
    apply(tool)
    old = made(api)["audio-1"]
    manifest(tool, {"neon": "audio-2"})
    assert tool("plan").stdout == (
        "  + neon  create    The audio-2\n"
        f"      its key had the audio audio-1, whose persona {old} stays\n"
        f"  ! neon  removed   The audio-1  {old} (audio audio-1)\n"
        "      its key has another audio in the manifest now; it stays, since the API cannot"
        " delete\n"
        "      put it back into the manifest, or hide it (its ID is kept):\n"
        "        personasync state rm audio-1\n"
        "\n"
        "Plan: 1 to create, 0 to resume, 0 to import, 0 to rename. 0 unchanged.\n"
        "Needs attention: 0 changed, 1 removed, 0 in conflict.\n"
    )
    not_yet = tool("output", "neon")
    assert (not_yet.code, not_yet.stdout) == (1, "")
    assert old not in tool("output").stdout

    assert apply(tool).code == 0
    new = made(api)["audio-2"]
    assert tool("output", "neon").stdout == f"{new}\n"
    assert tool("output", "audio-1").stdout == f"{old}\n"
    assert tool("output", "--format", "env").stdout == f"PERSONA_NEON={new}\n"
    assert plan_rows(tool) == [("removed", "neon")]
    assert "audioId:   audio-2\n" in tool("state", "show", "neon").stdout
    [hide] = commands(tool("plan").stdout)
    assert tool(*hide).stdout == "audio-1: dropped from view\n"
    assert tool("plan").stdout == f"{NO_CHANGES}\n"
    assert tool("output", "neon").stdout == f"{new}\n"
    assert last(tool, "audio-1")["personaId"] == old


def test_what_was_edited_after_a_new_audio_can_still_be_put_back(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1"})
    apply(tool)
    manifest(tool, {"neon": "audio-2"})
    apply(tool)
    manifest(tool, {"neon": {"audioId": "audio-2", "name": "Other"}})
    show, hide = commands(tool("plan").stdout)
    assert show == ["state", "show", "audio-2", "--format", "manifest"]
    assert hide == ["state", "rm", "audio-1"]
    put_back(tool, tool(*show).stdout)
    assert plan_rows(tool) == [("removed", "neon")]


def test_without_a_manifest_nothing_guesses_which_audio_is_current(
    tool: Tool, api: Sandbox
) -> None:
    path = manifest(tool, {"neon": "audio-1", "velvet": "audio-3"})
    apply(tool)
    manifest(tool, {"neon": "audio-2", "velvet": "audio-3"})
    apply(tool)
    path.unlink()
    for command in (["output", "neon"], ["state", "show", "neon"], ["state", "rm", "neon"]):
        refused = tool(*command)
        assert (refused.code, refused.stdout, refused.stderr) == (
            1,
            "",
            "Error: 2 audios are recorded under 'neon', and nothing here tells which is current\n"
            "  name one by its audioId in place of the key: audio-1 (created), audio-2 (created)\n",
        )
    every = tool("output")
    assert every.stdout == f"velvet\t{made(api)['audio-3']}\n"
    assert "2 audios are recorded under 'neon'" in every.stderr
    assert tool("output", "audio-2").stdout == f"{made(api)['audio-2']}\n"
    assert tool("state", "mv", "audio-1", "neon-old").code == 0
    assert tool("output", "neon").stdout == f"{made(api)['audio-2']}\n"


# removed


def test_what_was_removed_stays_can_be_hidden_and_returns_with_its_id(
    tool: Tool, api: Sandbox
) -> None:
    manifest(tool, {"neon": "audio-1", "velvet": "audio-2"})
    apply(tool)
    known = made(api)["audio-1"]
    manifest(tool, {"velvet": "audio-2"})
    assert plan_rows(tool) == [("removed", "neon")]
    assert apply(tool).code == 0
    assert plan_rows(tool) == [("removed", "neon")]
    assert tool("output", "neon").stdout == f"{known}\n"

    dropped = edited_by_one_append(tool, lambda: tool("state", "rm", "neon"))
    assert (dropped.stdout, dropped.stderr) == (
        "neon: dropped from view\n",
        f"Its ID, {known}, is kept: back in the manifest, it needs no request.\n",
    )
    assert tool("plan").stdout == f"{NO_CHANGES}\n"
    listed = tool("state", "list")
    assert "neon" not in listed.stdout
    assert commands(listed.stderr) == [["state", "list", "--status", "forgotten"]]
    [show_it] = commands(listed.stderr)
    assert tool(*show_it).stdout == f"neon  forgotten  {known}  audio-1\n"
    again = edited_by_one_append(tool, lambda: tool("state", "rm", "neon"), lines=0)
    assert (again.code, again.stderr) == (
        0,
        "neon was dropped from view before; nothing was changed.\n",
    )

    hidden = tool("output", "neon")
    assert (hidden.code, hidden.stdout) == (1, "")
    show, again_apply = commands(hidden.stderr)
    put_back(tool, tool(*show).stdout)
    assert tool("plan").stdout.startswith(
        "  < neon    import    The audio-1\n"
        f"      {known} (it was dropped from view, and its ID was kept)\n"
    )
    assert tool(*again_apply, "--auto-approve").last_line == RECORDED.format(1, 0)
    assert tool("output", "neon").stdout == f"{known}\n"
    assert last(tool, "audio-1")["origin"] == "apply"
    assert api.statistics().requests == 2


def test_many_removed_personas_share_one_note(tool: Tool, api: Sandbox) -> None:
    tool.manifest(11)
    apply(tool)
    tool.manifest(0)
    rows, summary = tool("plan").stdout.split("\n\n")
    assert rows.splitlines()[11:] == [
        "      no longer in the manifest; it stays, since the API cannot delete",
        "      put it back into the manifest, or hide it (its ID is kept):",
        "        personasync state rm KEY",
    ]
    assert summary.endswith("Needs attention: 0 changed, 11 removed, 0 in conflict.\n")


def test_what_is_pending_cannot_be_hidden(tool: Tool, serve: Callable[..., Sandbox]) -> None:
    serve(faults=(Fault.parse("reset-after"),))
    manifest(tool, {"neon": "audio-1"})
    assert apply(tool, "--retry-for", "0s").code == 3
    refused = edited_by_one_append(tool, lambda: tool("state", "rm", "neon"), lines=0)
    assert refused.code == 1
    assert "'neon' is pending: its persona may exist" in refused.stderr

    manifest(tool, {})
    assert tool("plan").stdout == (
        "  ! neon  removed   The audio-1  its ID is not known\n"
        "      no longer in the manifest; its request's outcome is unknown, so its persona may"
        " exist\n"
        "      put it back into the manifest and apply, which asks again and spends nothing twice;"
        " to print\n      its entry:\n"
        "        personasync state show neon --format manifest\n"
        "\n"
        "The manifest has no personas.\n"
        f"{NO_CHANGES}\n"
        "Needs attention: 0 changed, 1 removed, 0 in conflict.\n"
    )
    sandbox = serve(repeat="same-id")
    [show] = commands(tool("plan").stdout)
    put_back(tool, tool(*show).stdout)
    assert plan_rows(tool) == [("resume", "neon")]
    assert apply(tool).code == 0
    assert tool("output", "neon").stdout == f"{made(sandbox)['audio-1']}\n"
    assert tool("state", "rm", "neon").code == 0


# conflict


@pytest.mark.parametrize("ours", [True, False])
def test_a_conflict_is_explained_and_mended(
    tool: Tool, serve: Callable[..., Sandbox], ours: bool
) -> None:
    manifest(tool, {"neon": "audio-1"})
    if ours:
        serve(faults=(Fault.parse("reset-after"),))
        apply(tool, "--retry-for", "0s")
    else:
        serve()
        apply(tool)
        (tool.folder / STATE).unlink()
        (tool.folder / f"{STATE}.backup").unlink(missing_ok=True)
    sandbox = serve()
    assert apply(tool).code == 3
    why = (
        "its persona exists, made most likely by a request of ours whose answer never arrived"
        if ours
        else "its persona exists, made elsewhere or by a run whose state is lost"
    )
    plan = " ".join(tool("plan").stdout.split())
    assert f"! neon conflict The audio-1 {why}; the API gives an ID only once" in plan
    assert why in " ".join(tool("state", "show", "neon").stdout.split())
    assert last(tool, "audio-1")["afterPending"] is ours
    spent = sandbox.statistics().requests
    assert apply(tool).code == 3
    assert sandbox.statistics().requests == spent

    no_id = tool("output", "neon")
    assert (no_id.code, no_id.stderr) == (
        1,
        "Error: there is no ID for 'neon': its persona exists, but the ID is not known\n"
        "  run: personasync import neon PERSONA_ID\n",
    )
    for said in (tool("plan").stdout, no_id.stderr, tool("state", "show", "neon").stdout):
        assert ["import", "neon", "PERSONA_ID"] in commands(said)
    assert tool("import", "neon", made(sandbox)["audio-1"]).code == 0
    assert tool("plan").stdout == f"{NO_CHANGES}\n"


@pytest.mark.parametrize("code", [409, None])
def test_a_conflict_that_was_hidden_is_one_still(
    tool: Tool, api: Sandbox, code: int | None
) -> None:
    manifest(tool, {"neon": "audio-1"})
    apply(tool)
    lose_state(tool)
    apply(tool)
    if code is None:  # a state that other hands wrote
        path = tool.folder / STATE
        path.write_text(path.read_text().replace('"code":409,', ""))
    dropped = edited_by_one_append(tool, lambda: tool("state", "rm", "neon"))
    assert dropped.stderr == (
        "Its persona exists, and its ID is not known: back in the manifest, it is in conflict.\n"
    )
    spent = api.statistics().requests
    assert plan_rows(tool) == [("conflict", "neon")]
    assert apply(tool).code == 3
    assert api.statistics().requests == spent
    manifest(tool, {})
    assert plan_rows(tool) == []


def test_an_imported_persona_is_compared_with_the_manifest_that_adopted_it(
    tool: Tool, api: Sandbox
) -> None:
    manifest(tool, {"neon": "audio-1"})
    apply(tool)
    lose_state(tool)
    apply(tool)  # refused: what was sent now made nothing
    manifest(tool, {"neon": {"audioId": "audio-1", "name": "As it was made"}})
    assert tool("import", "neon", made(api)["audio-1"]).code == 0
    assert tool("plan").stdout == f"{NO_CHANGES}\n"


def lose_state(tool: Tool) -> None:
    """Lose a state for good: the copy beside it would heal it."""
    for path in (tool.folder / STATE, tool.folder / f"{STATE}.backup"):
        path.unlink()


# state list, show and edits of any state


def test_state_list_filters(tool: Tool, api: Sandbox) -> None:
    manifest(
        tool,
        {
            "neon-a": "audio-1",
            "neon-b": {"audioId": "audio-2", "name": "No task", "taskId": "missing-1"},
            "velvet": "audio-3",
        },
    )
    assert apply(tool).code == 3

    def listed(*args: str) -> list[str]:
        entries = json.loads(tool("state", "list", "--format", "json", *args).stdout)
        return [entry["key"] for entry in entries]

    assert listed() == ["neon-a", "neon-b", "velvet"]
    assert listed("neon-*") == ["neon-a", "neon-b"]
    assert listed("neon-*", "--status", "failed") == ["neon-b"]
    assert listed("--status", "failed", "--status", "created") == ["neon-a", "neon-b", "velvet"]
    assert listed("velvet", "audio-1") == ["neon-a", "velvet"]
    assert listed("nothing-*") == []
    assert tool("state", "list", "nothing-*").stdout == "No entries.\n"
    assert tool("state", "list", "--status", "wrong").code == 64
    slip = tool("state", "list", "velvte")
    assert (slip.code, slip.stdout, slip.stderr) == (
        1,
        "",
        "Error: no persona has the key 'velvte', in the state\n  did you mean 'velvet'?\n",
    )


def test_state_show_tells_the_history_that_the_log_has(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1"})
    assert apply(tool).code == 0
    known = made(api)["audio-1"]
    assert "History" not in tool("state", "show", "neon").stdout  # compacted: one line an audio
    assert tool("state", "mv", "neon", "siren").code == 0
    assert tool("state", "rm", "siren").code == 0
    text = tool("state", "show", "siren").stdout
    history = text.partition("\nHistory:\n")[2].splitlines()
    assert [line.split()[1:] for line in history] == [
        ["created", "neon", known],
        ["created", "siren", known],
        ["forgotten", "siren", known],
    ]
    shown = json.loads(tool("state", "show", "siren", "--format", "json").stdout)
    assert [past["status"] for past in shown["history"]] == ["created", "created", "forgotten"]
    assert shown["status"] == "forgotten"


@pytest.mark.parametrize(
    "command",
    [
        ["output", "noen-siren"],
        ["output", "--require", "NEON-SIREN"],
        ["import", "noen-siren", "id-1"],
        ["state", "show", "noen-siren"],
        ["state", "mv", "noen-siren", "other"],
        ["state", "rm", "noen-siren"],
        ["state", "list", "neon"],
        ["plan", "--target", "Noen-Siren"],
        ["plan", "--exclude", "noen-siren"],
        ["apply", "--target", "noen-siren"],
    ],
    ids=" ".join,
)
def test_a_slip_of_the_finger_is_told_the_nearest_key(
    tool: Tool, api: Sandbox, command: list[str]
) -> None:
    manifest(tool, {"neon-siren": "audio-1", "velvet": "audio-2"})
    apply(tool)
    slip = tool(*command)
    assert (slip.code, slip.stdout) == (1, "")
    assert slip.stderr.endswith("  did you mean 'neon-siren'?\n")


def test_where_there_is_no_state(tool: Tool) -> None:
    missing = (
        "Error: there is no state at personas.state.jsonl\n"
        "  the first apply or import begins one; name another with --state, or the sandbox's with"
        " --sandbox\n"
    )
    for command in (["show", "neon"], ["mv", "neon", "siren"], ["rm", "neon"]):
        ended = tool("state", *command)
        assert (ended.code, ended.stdout, ended.stderr) == (1, "", missing)
    listed = tool("state", "list")
    assert (listed.code, listed.stdout) == (0, "No entries.\n")
    assert "there is no state at personas.state.jsonl" in listed.stderr
    every = tool("output", "--format", "json")
    assert (every.code, every.stdout, every.stderr) == (
        0,
        "{}\n",
        "No ID is recorded in personas.state.jsonl.\n",
    )
    assert tool("output").stdout == ""
    assert tool("output", "neon").code == 1
    assert list(tool.folder.iterdir()) == []


def test_where_the_state_holds_nothing_yet(tool: Tool) -> None:
    header = {"format": "personasync.state/1", "lineage": "l-1", "api": "https://api.example"}
    tool.write(STATE, json.dumps(header) + "\n")
    listed = tool("state", "list")
    assert (listed.code, listed.stdout, listed.stderr) == (0, "No entries.\n", "")
    assert tool("state", "rm", "neon").stderr == (
        "Error: no persona has the key 'neon', in the manifest or the state\n"
        "  nothing is recorded there; name the manifest with -f, or the state with --state\n"
    )


def test_state_commands_work_on_the_state_of_any_api(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1", "velvet": "audio-2"})
    apply(tool, "--target", "neon")
    known = made(api)["audio-1"]
    base = tool.environment.pop("PERSONASYNC_BASE_URL")
    assert tool("state", "list").stdout == f"neon  created  {known}  audio-1\n"
    assert tool("state", "show", "neon").code == 0
    assert tool("output", "neon").stdout == f"{known}\n"
    assert tool("state", "mv", "neon", "siren").code == 0
    assert tool("state", "rm", "siren").code == 0
    assert tool("import", "neon", known).code == 0
    not_yet = tool("output", "velvet")
    [again] = commands(not_yet.stderr)
    assert again == ["apply", "--base-url", base]
    assert tool(*again, "--auto-approve").code == 0
    other = tool("state", "list", "--base-url", "https://api.example")
    assert other.code == 1
    assert "holds IDs of http://127.0.0.1" in other.stderr


def test_the_sandboxs_state_has_its_own_hints(tool: Tool) -> None:
    manifest(tool, {"neon": "audio-1", "velvet": "audio-2"})
    assert apply(tool, "--sandbox", "--target", "neon").code == 0
    state = "personas.sandbox.state.jsonl"
    assert commands(tool("output", "velvet", "--sandbox").stderr) == [["apply", "--sandbox"]]
    [again] = commands(tool("output", "velvet", "--state", state).stderr)
    assert again == ["apply", "--sandbox", "--state", state]
    assert tool(*again, "--auto-approve").code == 0
    manifest(tool, {"velvet": "audio-2"})
    [hide] = commands(tool("plan", "--sandbox").stdout)
    assert hide == ["state", "rm", "neon", "--sandbox"]
    assert tool(*hide).code == 0


def test_edits_wait_for_the_lock_and_reads_do_not(tool: Tool, api: Sandbox) -> None:
    manifest(tool, {"neon": "audio-1"})
    apply(tool)
    known = made(api)["audio-1"]
    edits = (
        ["state", "mv", "neon", "x"],
        ["state", "rm", "neon"],
        ["import", "neon", "y", "--force"],
    )
    with FileStateLog(tool.folder / STATE, api=None).lock():
        for edit in edits:
            held = edited_by_one_append(tool, partial(tool, *edit), lines=0)
            assert (held.code, held.stdout) == (4, "")
            assert "another run holds the state" in held.stderr
        assert tool("output", "neon").stdout == f"{known}\n"
        assert tool("state", "show", "neon").code == 0
        assert tool("state", "list").code == 0
        waiting = tool.start("state", "mv", "neon", "siren", "--lock-timeout", "5m", bufsize=0)
        assert b"Waiting for the state" in waiting.stderr.readline()
        assert waiting.poll() is None
    stdout, stderr = waiting.communicate(timeout=HANG)
    assert (waiting.returncode, stdout) == (0, b"neon: now recorded as siren\n")
    assert b"Error" not in stderr


def test_the_place_that_is_shown_is_the_file_that_holds_the_value(tool: Tool, api: Sandbox) -> None:
    entry = "  {0}:\n    taskId: t-1\n    audioId: {1}\n    name: The {0}\n    description: {2}\n"
    tool.write("team/a.yaml", "version: 1\npersonas:\n" + entry.format("a", "audio-1", DESCRIPTION))
    tool.write(
        "team/b.yaml",
        "version: 1\ndefaults:\n  vocalStart: 5\npersonas:\n"
        + entry.format("b", "audio-2", DESCRIPTION),
    )
    assert apply(tool, "-f", "team").code == 0
    tool.write("team/b.yaml", (tool.folder / "team/b.yaml").read_text().replace("rt: 5", "rt: 6"))
    plan = json.loads(tool("plan", "-f", "team", "--format", "json").stdout)
    [changed] = [row for row in plan["actions"] if row["action"] == "changed"]
    assert changed["source"] == {"file": "team/b.yaml", "line": 5}
    [show] = commands(tool("plan", "-f", "team").stdout)
    assert show == ["state", "show", "b", "--format", "manifest", "-f", "team"]
    assert "    vocalStart: 5\n" in tool(*show).stdout
    with (tool.folder / "team/a.yaml").open("a") as file:
        file.write("    personaId: other\n")
    refused = tool("plan", "-f", "team")
    assert refused.stderr.startswith("team/a.yaml:8:16: error: personaId is other, but ")
