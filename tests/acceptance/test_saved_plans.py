"""A plan that is saved, reviewed and carried out later does just what it says, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from personasync.plan.saved import plan_digest
from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import KEY, STATE, apply_here, made, recorded, serving
from tests.helpers.support import Ended, Tool, manifest_text

ANOTHER = "make a new one: personasync plan --out FILE"
AGAIN = f"nothing was changed; look at a new plan, and {ANOTHER}"


@pytest.fixture
def api(tool: Tool) -> Iterator[Sandbox]:
    with serving(tool) as sandbox:
        yield sandbox


@pytest.fixture
def saved(tool: Tool, api: Sandbox) -> Tool:
    """A tool with two personas recorded, two more wanted, and the plan for those saved."""
    tool.manifest(2)
    apply_here(tool, api)
    tool.manifest(4)
    assert tool("plan", "--out", "plan.json").code == 0
    return tool


def apply(tool: Tool, *args: str, **options: Any) -> Ended:
    return tool("apply", "--auto-approve", "--rate-limit", "none", *args, **options)


def plan_of(tool: Tool, name: str = "plan.json") -> dict[str, Any]:
    document: dict[str, Any] = json.loads((tool.folder / name).read_text(encoding="utf-8"))
    return document


# Just what it says


def test_it_does_just_what_it_says(saved: Tool, api: Sandbox) -> None:
    ended = apply(saved, "plan.json")
    assert (ended.code, ended.last_line) == (0, "Apply complete: 2 created, 0 imported, 0 renamed.")
    assert recorded(saved.folder / STATE) == made(api)
    assert len(made(api)) == 4


def test_a_narrowed_plan_does_no_more(tool: Tool, api: Sandbox) -> None:
    tool.manifest(5)
    tool("plan", "--out", "plan.json", "--target", "p-00[13]")
    assert [action["key"] for action in plan_of(tool)["actions"]] == ["p-001", "p-003"]
    assert apply(tool, "plan.json").code == 0
    assert set(made(api)) == {"audio-001", "audio-003"}


def test_it_asks_like_any_apply(saved: Tool, api: Sandbox) -> None:
    ended = saved("apply", "plan.json")
    assert ended.code == 1
    assert "nobody can be asked" in ended.stderr
    assert len(made(api)) == 2


def test_it_names_manifest_and_state_so_that_nobody_has_to(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1, "voices/a.yaml")
    tool.write("voices/b.yaml", manifest_text(range(1, 2)))
    tool("plan", "-f", "voices", "--state", "kept/team.state.jsonl", "--out", "plan.json")
    (tool.folder / "kept").mkdir()
    assert plan_of(tool)["manifest"]["paths"] == ["voices"]
    assert apply(tool, "plan.json").code == 0
    assert recorded(tool.folder / "kept" / "team.state.jsonl") == made(api)
    assert not (tool.folder / STATE).exists()


def test_a_plan_of_nothing_needs_no_key(saved: Tool, api: Sandbox) -> None:
    apply(saved)
    saved("plan", "--out", "plan.json")
    before = (saved.folder / STATE).read_bytes()
    ended = saved("apply", "plan.json", env={"PERSONASYNC_API_KEY": ""})
    assert (ended.code, ended.last_line) == (0, "Apply complete: 0 created, 0 imported, 0 renamed.")
    assert (saved.folder / STATE).read_bytes() == before


def test_a_rehearsal_stays_one(tool: Tool) -> None:
    tool.manifest(2)
    tool("plan", "--sandbox", "--out", "plan.json")
    assert plan_of(tool)["api"] == "sandbox"
    assert apply(tool, "plan.json").code == 0
    assert (tool.folder / "personas.sandbox.state.jsonl").exists()
    assert not (tool.folder / STATE).exists()


# Stale


def edited(tool: Tool) -> None:
    text = (tool.folder / "personas.yaml").read_text(encoding="utf-8")
    tool.write("personas.yaml", text.replace('"Persona 3"', '"Persona Three"'))


def added(tool: Tool) -> None:
    tool.manifest(5)


def dropped(tool: Tool) -> None:
    tool.manifest(3)


def renamed(tool: Tool) -> None:
    text = (tool.folder / "personas.yaml").read_text(encoding="utf-8")
    tool.write("personas.yaml", text.replace("p-001:", "q-001:"))


def applied_by_another(tool: Tool) -> None:
    assert apply(tool, "--target", "p-002").code == 0


def forgotten_by_another(tool: Tool) -> None:
    assert tool("state", "rm", "p-000").code == 0


def begun_anew(tool: Tool) -> None:
    (tool.folder / STATE).unlink()
    (tool.folder / f"{STATE}.backup").unlink(missing_ok=True)
    assert tool("import", "p-000", "elsewhere").code == 0


MOVED: dict[str, tuple[Callable[[Tool], None], str]] = {
    "a persona edited": (edited, "the manifest has changed"),
    "a persona added": (added, "the manifest has changed; p-004 is not in it"),
    "a persona dropped": (dropped, "the manifest has changed; p-003 is gone"),
    "a persona renamed": (renamed, "the manifest has changed; p-001 is now q-001"),
    "applied by another": (
        applied_by_another,
        "the state has changed; p-002 was create, now unchanged",
    ),
    "forgotten by another": (
        forgotten_by_another,
        "the state has changed; p-000 was unchanged, now import",
    ),
    "another state": (
        begun_anew,
        f"it was made for another state ({STATE}, and this one is {STATE}); p-000 differs,"
        " p-001 was unchanged, now create",
    ),
}


@pytest.mark.parametrize("move", MOVED)
def test_a_stale_plan_says_what_moved_and_changes_nothing(
    saved: Tool, api: Sandbox, move: str
) -> None:
    change, said = MOVED[move]
    change(saved)
    before, asked = (saved.folder / STATE).read_bytes(), api.statistics().requests
    ended = apply(saved, "plan.json")
    assert (ended.code, ended.stdout) == (5, "")
    assert ended.stderr == f"Error: the saved plan is stale: {said}\n  {AGAIN}\n"
    assert (saved.folder / STATE).read_bytes() == before
    assert api.statistics().requests == asked


def test_a_new_file_in_the_folder_makes_it_stale(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1, "voices/a.yaml")
    tool("plan", "-f", "voices", "--out", "plan.json")
    tool.write("voices/b.yaml", manifest_text(range(1, 2)))
    ended = apply(tool, "plan.json")
    assert ended.code == 5
    assert "the manifest has changed; p-001 is not in it" in ended.stderr
    assert api.statistics().requests == 0


def test_another_api_makes_it_stale(saved: Tool, api: Sandbox, tmp_path: Path) -> None:
    other = Tool(saved.folder)
    saved_for = api.base_url
    with serving(other) as elsewhere:
        (saved.folder / STATE).unlink()
        (saved.folder / f"{STATE}.backup").unlink(missing_ok=True)
        ended = apply(other, "plan.json")
        assert ended.code == 5
        used = f"it was made for the API at {saved_for}, and this run uses {elsewhere.base_url}"
        assert used in ended.stderr
        assert elsewhere.statistics().requests == 0


def test_it_is_carried_out_once(saved: Tool, api: Sandbox) -> None:
    apply(saved, "plan.json")
    asked = api.statistics().requests
    assert apply(saved, "plan.json").code == 5
    assert api.statistics().requests == asked


def test_comments_and_layout_do_not_make_it_stale(saved: Tool, api: Sandbox) -> None:
    text = (saved.folder / "personas.yaml").read_text(encoding="utf-8")
    saved.write(
        "personas.yaml", "# reviewed\n\n" + text.replace("  p-003", "\n  # the last\n  p-003")
    )
    assert apply(saved, "plan.json").code == 0
    assert len(made(api)) == 4


# Edited, foreign, or no plan at all


def another_action(plan: dict[str, Any]) -> None:
    plan["actions"][2]["action"] = "import"
    plan["summary"].update({"create": 1, "import": 1})


def another_audio(plan: dict[str, Any]) -> None:
    plan["actions"][2]["audioId"] = "audio-999"


def one_less(plan: dict[str, Any]) -> None:
    del plan["actions"][3]
    plan["summary"]["create"] = 1


def one_less_uncounted(plan: dict[str, Any]) -> None:
    del plan["actions"][3]


def one_more(plan: dict[str, Any]) -> None:
    plan["actions"].append({**plan["actions"][3], "key": "extra", "audioId": "audio-extra"})
    plan["summary"]["create"] = 3


def another_base(plan: dict[str, Any]) -> None:
    plan["api"] = "https://evil.example"


def another_state(plan: dict[str, Any]) -> None:
    plan["state"]["location"] = "/etc/passwd"


EDITS = [
    another_action,
    another_audio,
    one_less,
    one_less_uncounted,
    one_more,
    another_base,
    another_state,
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_a_plan_edited_by_hand_is_refused(
    saved: Tool, api: Sandbox, edit: Callable[[dict[str, Any]], None]
) -> None:
    plan = plan_of(saved)
    edit(plan)
    saved.write("plan.json", json.dumps(plan, indent=2))
    before, asked = (saved.folder / STATE).read_bytes(), api.statistics().requests
    ended = apply(saved, "plan.json")
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: plan.json is not a usable plan: it")
    assert ended.stderr.endswith(f"\n  {ANOTHER}\n")
    assert (saved.folder / STATE).read_bytes() == before
    assert api.statistics().requests == asked


@pytest.mark.parametrize(
    "edit", [another_action, another_audio, one_less, one_more], ids=lambda edit: edit.__name__
)
def test_not_even_an_edit_with_a_new_digest_does_what_does_not_follow(
    saved: Tool, api: Sandbox, edit: Callable[[dict[str, Any]], None]
) -> None:
    plan = plan_of(saved)
    edit(plan)
    saved.write("plan.json", json.dumps({**plan, "digest": plan_digest(plan)}))
    ended = apply(saved, "plan.json")
    assert (ended.code in (1, 5), api.statistics().requests) == (True, 2)


def test_another_version_is_named(saved: Tool) -> None:
    plan = {**plan_of(saved), "format": "personasync.plan/2"}
    saved.write("plan.json", json.dumps(plan))
    ended = apply(saved, "plan.json")
    assert (ended.code, ended.stderr) == (
        1,
        "Error: plan.json was made by another version: its format is 'personasync.plan/2', and"
        f" this version reads 'personasync.plan/1'\n  {ANOTHER}\n",
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Error: plan.json is not a saved plan: it is not JSON\n"),
        (b"\x00\xff\xfe", "Error: plan.json is not a saved plan: it is not JSON\n"),
        (b"[" * 100_000, "Error: plan.json is not a saved plan: it is not JSON\n"),
        (b"[]", "Error: plan.json is not a usable plan: it is not a JSON object\n"),
        (b"{}", "Error: plan.json is not a usable plan: its format is missing\n"),
        (b'{"format": "\\u001b[31m"}', "Error: plan.json is not a usable plan: its format is '"),
        (b'{"version": 1, "personas": {}}', "Error: plan.json is not a usable plan: its format"),
    ],
    ids=["empty", "binary", "deep", "a list", "an object", "escapes", "a manifest"],
)
def test_what_is_no_plan_is_refused(saved: Tool, api: Sandbox, content: bytes, said: str) -> None:
    (saved.folder / "plan.json").write_bytes(content)
    ended = apply(saved, "plan.json")
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(said)
    assert "\x1b" not in ended.stderr
    assert api.statistics().requests == 2


@pytest.mark.parametrize("name", ["nowhere.json", ".", "personas.yaml/plan.json"])
def test_a_plan_that_cannot_be_read(saved: Tool, name: str) -> None:
    ended = apply(saved, name)
    assert ended.code == 1
    assert ended.stderr.startswith(f"Error: cannot read the plan {name}: ")


# What is in it, and where it goes


def test_no_secret_is_in_it(tool: Tool, api: Sandbox) -> None:
    tool.manifest(3)
    secrets = {"PERSONASYNC_API_KEY": KEY, "GITHUB_TOKEN": "ghs_nobody", "HOME": "/home/nobody"}
    args = ("--format", "json", "--out", "plan.json", "--markdown-out", "plan.md", "-vv")
    ended = tool("plan", *args, env=secrets)
    assert ended.code == 0
    written = [
        (tool.folder / name).read_text(encoding="utf-8") for name in ("plan.json", "plan.md")
    ]
    for text in (*written, ended.stdout, ended.stderr):
        for secret in secrets.values():
            assert secret not in text


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--out", "personas.yaml"),
        ("--out", STATE),
        ("--json-out", f"{STATE}.backup"),
        ("--markdown-out", f"./voices/../{STATE}.rescue"),
        ("--json-out", "personas.sandbox.state.jsonl"),
    ],
)
def test_an_output_never_lands_on_what_must_be_kept(
    saved: Tool, api: Sandbox, option: str, name: str
) -> None:
    (saved.folder / "voices").mkdir()
    before = {path: path.read_bytes() for path in saved.folder.iterdir() if path.is_file()}
    ended = saved("plan", option, name)
    assert (ended.code, ended.stdout) == (64, "")
    assert ended.stderr == (
        f"Error: {name} belongs to the manifest or a state, and a plan would overwrite it\n"
        "  name another file\n"
    )
    assert {path: path.read_bytes() for path in saved.folder.iterdir() if path.is_file()} == before


def test_two_outputs_are_two_files(saved: Tool) -> None:
    ended = saved("plan", "--out", "x.json", "--markdown-out", "./x.json")
    assert (ended.code, ended.stderr) == (
        64,
        "Error: two outputs would both be ./x.json\n  name another file\n",
    )


def test_one_run_gives_every_form_of_one_plan(saved: Tool) -> None:
    alone = {name: saved("plan", "--format", name).stdout for name in ("text", "json", "markdown")}
    files = ("--out", "a.json", "--json-out", "b.json", "--markdown-out", "c.md")
    ended = saved("plan", *files)
    assert ended.stdout == alone["text"]
    assert (saved.folder / "a.json").read_text(encoding="utf-8") == alone["json"]
    assert (saved.folder / "b.json").read_text(encoding="utf-8") == alone["json"]
    assert (saved.folder / "c.md").read_text(encoding="utf-8") == alone["markdown"]


def test_a_refused_plan_is_shown_but_not_saved(saved: Tool) -> None:
    (saved.folder / "plan.json").unlink()
    files = ("--out", "plan.json", "--json-out", "shown.json")
    ended = saved("plan", *files, "--max-creates", "1")
    assert ended.code == 1
    assert "Plan: 2 to create" in ended.stdout
    assert plan_of(saved, "shown.json")["summary"]["create"] == 2
    assert not (saved.folder / "plan.json").exists()


@pytest.mark.parametrize("name", ["nowhere/plan.json", "personas.yaml/plan.json", "."])
def test_a_file_that_cannot_be_written(saved: Tool, name: str) -> None:
    ended = saved("plan", "--out", name)
    assert ended.code == 1
    assert ended.stderr.startswith(f"Error: cannot write {name}: ")


def test_the_command_that_is_shown_can_be_pasted(saved: Tool) -> None:
    ended = saved("plan", "--out", "the plan.json")
    assert ended.stderr == "Saved the plan; carry it out with: personasync apply 'the plan.json'\n"


# Where it may lead


def named(tool: Tool, **state: str) -> None:
    """Let plan.json name another state, with a digest that fits it."""
    plan = plan_of(tool)
    plan["state"].update(state)
    tool.write("plan.json", json.dumps({**plan, "digest": plan_digest(plan)}))


@pytest.mark.parametrize("where", ["outside", "a linked folder", "a URL", "up and back"])
def test_a_plan_leads_to_no_state_outside_the_working_folder(
    tool: Tool, api: Sandbox, tmp_path_factory: pytest.TempPathFactory, where: str
) -> None:
    tool.manifest(1)
    tool("plan", "--out", "plan.json")
    outside = tmp_path_factory.mktemp("outside")
    (tool.folder / "link").symlink_to(outside, target_is_directory=True)
    location = {
        "outside": str(outside / "s.jsonl"),
        "a linked folder": "link/s.jsonl",
        "a URL": "s3://bucket/prefix",
        "up and back": f"sub/../../{outside.name}/s.jsonl",
    }[where]
    named(tool, location=location)
    ended = apply(tool, "plan.json")
    assert ended.code == 5
    assert f"it was made for the state {location}, and this one is {STATE}" in ended.stderr
    assert list(outside.iterdir()) == []
    assert api.statistics().requests == 0


@pytest.mark.parametrize("spelled", ["./{}", "../work/{}", "{folder}/{}"])
def test_the_same_state_spelt_another_way_is_the_same(
    tool: Tool, api: Sandbox, spelled: str
) -> None:
    folder = tool.folder / "work"
    folder.mkdir()
    here = Tool(folder, environment=tool.environment)
    here.manifest(1)
    location = spelled.format(STATE, folder=folder)
    assert here("plan", "--state", location, "--out", "plan.json").code == 0
    assert apply(here, "plan.json", "--state", STATE).code == 0
    assert len(made(api)) == 1


def test_an_option_goes_before_the_state_that_a_plan_names(tool: Tool, api: Sandbox) -> None:
    tool.manifest(1)
    tool("plan", "--state", "a.jsonl", "--out", "plan.json")
    ended = apply(tool, "plan.json", "--state", "b.jsonl")
    assert ended.code == 5
    assert "it was made for the state a.jsonl, and this one is b.jsonl" in ended.stderr


def test_an_emptied_plan_says_nothing_of_every_persona(saved: Tool, api: Sandbox) -> None:
    plan = plan_of(saved)
    plan["actions"] = []
    plan["summary"] = dict.fromkeys(plan["summary"], 0)
    for left_out, code, said in ((0, 1, "does not follow"), (4, 0, "No changes among the 0")):
        plan["summary"]["leftOut"] = left_out
        saved.write("plan.json", json.dumps({**plan, "digest": plan_digest(plan)}))
        ended = apply(saved, "plan.json")
        assert (ended.code, said in ended.stdout + ended.stderr) == (code, True)
        assert "No changes. Every persona" not in ended.stdout
    assert api.statistics().requests == 2


def test_the_secrets_of_a_file_that_a_plan_names_are_not_shown(
    tool: Tool, api: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("outside") / "secret"
    secret.write_text("password: hunter2\n", encoding="utf-8")
    tool.manifest(1)
    tool("plan", "--out", "plan.json")
    plan = plan_of(tool)
    plan["manifest"]["paths"] = [str(secret)]
    tool.write("plan.json", json.dumps({**plan, "digest": plan_digest(plan)}))
    ended = apply(tool, "plan.json")
    assert ended.code == 1
    assert "the manifest that the plan names cannot be used here" in ended.stderr
    assert "hunter2" not in ended.stdout + ended.stderr
    assert "password" not in ended.stdout + ended.stderr


# What it says


@pytest.mark.parametrize("form", ["text", "json", "markdown", "github"])
def test_a_saved_plan_is_shown_as_the_plan_was(saved: Tool, form: str) -> None:
    saved("state", "mv", "p-000", "old")
    shown = saved("plan", "--out", "plan.json", "--format", form, "--exclude", "p-003")
    again = saved("show", "plan.json", "--format", form)
    assert (again.code, again.stderr) == (0, "")
    assert again.stdout == shown.stdout
    assert "left" in shown.stdout


def test_a_plan_is_shown_where_nothing_else_is(saved: Tool, tmp_path: Path) -> None:
    elsewhere = Tool(tmp_path / "elsewhere")
    elsewhere.folder.mkdir()
    elsewhere.write("plan.json", (saved.folder / "plan.json").read_text(encoding="utf-8"))
    ended = elsewhere("show", "plan.json")
    assert ended.last_line == (
        "Plan: 2 to create, 0 to resume, 0 to import, 0 to rename. 2 unchanged."
    )


@pytest.mark.parametrize("summary", [True, False])
def test_a_plan_that_was_emptied_never_says_that_all_is_recorded(
    saved: Tool, summary: bool
) -> None:
    assert saved("plan", "--out", "plan.json").code == 0
    plan = plan_of(saved)
    plan["actions"] = []
    if summary:
        plan["summary"] = dict.fromkeys(plan["summary"], 0)
    plan["digest"] = plan_digest(plan)
    saved.write("plan.json", json.dumps(plan))
    for command in (("show", "plan.json"), ("apply", "plan.json", "--auto-approve")):
        ended = saved(*command)
        assert (ended.code, ended.stdout) == (1, "")
        assert "the plan contradicts itself" in ended.stderr or "does not follow" in ended.stderr


def test_a_hostile_plan_is_shown_inert(saved: Tool) -> None:
    plan = plan_of(saved)
    nasty = "\x1b]0;x\x07\n::error::pwned\u202e"
    for action in plan["actions"]:
        action.update(key=nasty, reason=nasty, action="removed", personaId=nasty)
    plan["shown"] = {
        each["audioId"]: {"name": nasty, "recordedKey": nasty, "status": "created"}
        for each in plan["actions"]
    }
    saved.write("plan.json", json.dumps({**plan, "digest": plan_digest(plan)}))
    for form in ("text", "markdown", "github", "json"):
        shown = saved("show", "plan.json", "--format", form).stdout
        assert not any(sign in shown for sign in ("\x1b", "\x07", "\u202e", "\n::error::"))
