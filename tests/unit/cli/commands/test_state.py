"""The state commands inside this process: what the acceptance tests do not reach."""

import json
from dataclasses import replace

import pytest

from personasync.model.answer import KeptAnswer
from personasync.model.contract import DEFAULT_BASE_URL
from personasync.model.persona import PersonaRequest
from personasync.state import Entry, Status
from tests.unit.cli.conftest import Cli

SENT = PersonaRequest("task-000", "audio-000", "Persona 0", "A warm and steady voice")
CREATED = Entry("audio-000", "p-000", Status.CREATED, "id-0", request=SENT)
PENDING = Entry("audio-001", "p-001", Status.PENDING)
FAILED = Entry("audio-002", "p-002", Status.FAILED, code=422, message="bad")
CONFLICT = Entry("audio-003", "p-003", Status.CONFLICT)


@pytest.fixture
def state(cli: Cli) -> Cli:
    """A state with an entry of each kind, and no manifest."""
    cli.record(CREATED, PENDING, FAILED, CONFLICT)
    return cli


def statuses(cli: Cli) -> dict[str, str]:
    every = [option for status in Status for option in ("--status", status.value)]
    listed = json.loads(cli("state", "list", "--format", "json", *every).stdout)
    return {entry["key"]: entry["status"] for entry in listed}


def test_each_status_is_dropped_as_it_may_be(state: Cli) -> None:
    said = {key: state("state", "rm", key) for key in ("p-000", "p-001", "p-002", "p-003")}
    assert {key: (ended.code, ended.stderr.split(":")[0]) for key, ended in said.items()} == {
        "p-000": (0, "Its ID, id-0, is kept"),
        "p-001": (1, "Error"),
        "p-002": (0, ""),
        "p-003": (0, "Its persona exists, and its ID is not known"),
    }
    assert said["p-001"].stderr == (
        "Error: 'p-001' is pending: its persona may exist, and its ID is not known yet\n"
        "  settle it first: with it in the manifest, as this prints it:"
        " personasync state show audio-001 --format manifest;"
        " then this asks again, which spends nothing twice: personasync apply;"
        " or, if you know the ID: personasync import audio-001 PERSONA_ID;"
        " or, if its persona surely does not exist: personasync state rm audio-001 --force\n"
    )
    assert statuses(state) == {
        "p-000": "forgotten",
        "p-001": "pending",
        "p-002": "forgotten",
        "p-003": "forgotten",
    }
    state.manifest(4)
    rows = json.loads(state("plan", "--format", "json", "--state", "x.jsonl").stdout)["actions"]
    assert {row["action"] for row in rows} == {"create"}


def test_a_pending_one_that_can_never_be_made_is_given_up_by_force(state: Cli) -> None:
    assert state("state", "rm", "p-001", "--force").code == 0
    assert statuses(state)["p-001"] == "forgotten"


def test_one_whose_kept_answer_shows_its_id_is_not_given_up(cli: Cli) -> None:
    answer = '{"code":200,"data":{"personaId":"THEID"'
    cli.record(Entry("audio-001", "p-001", Status.PENDING, answer=KeptAnswer.of_text(answer)))
    refused = cli("state", "rm", "p-001", "--force")
    assert (refused.code, refused.stderr) == (
        1,
        "Error: 'p-001' is pending, and an answer that was kept for it shows its ID, THEID\n"
        "  record it: personasync import audio-001 THEID\n",
    )


def test_what_is_hidden_is_counted(state: Cli) -> None:
    state("state", "rm", "p-000")
    state("state", "rm", "p-003")
    assert state("state", "list").stderr == (
        "2 entries were dropped from view; to see: personasync state list --status forgotten\n"
    )
    assert state("state", "list", "p-000", "p-001", "--state", "./personas.state.jsonl").stderr == (
        "1 entry was dropped from view; to see: personasync state list p-000 p-001"
        " --status forgotten\n"
    )
    assert state("state", "list", "-q").stderr == ""


def test_a_key_is_taken_by_what_is_in_view_alone(state: Cli) -> None:
    assert state("state", "mv", "p-000", "p-001").code == 1
    assert state("state", "mv", "p-000", "p-002").code == 0
    assert state("state", "show", "p-002").stdout.startswith("p-002\n  status:    created\n")
    assert state("state", "show", "audio-002").stdout.startswith("p-002\n  status:    failed\n")


def test_show_takes_several_keys_and_globs(state: Cli) -> None:
    together = state("state", "show", "audio-002", "p-000").stdout
    assert together == "\n".join(state("state", "show", key).stdout for key in ("p-002", "p-000"))
    every = json.loads(state("state", "show", "p-00[012]", "p-0*", "--format", "json").stdout)
    assert [entry["key"] for entry in every] == ["p-000", "p-001", "p-002", "p-003"]
    (one,) = json.loads(state("state", "show", "*-000", "--format", "json").stdout)
    assert one == json.loads(state("state", "show", "p-000", "--format", "json").stdout)
    refused = state("state", "show", "p-000", "x*")
    assert (refused.code, refused.stdout) == (1, "")
    assert state("state", "show").code == 64


def test_what_is_shown_of_several_is_a_manifest(cli: Cli) -> None:
    cli.record(*(replace(CREATED, audio_id=each, key=each, request=SENT) for each in ("a", "b")))
    shown = cli("state", "show", "*", "--format", "manifest").stdout
    assert shown.startswith("  a:\n    taskId: ")
    assert "\n  b:\n    taskId: " in shown


def test_show_takes_the_manifests_word_where_the_state_has_two(cli: Cli) -> None:
    cli.record(CREATED, Entry("audio-009", "p-000", Status.CREATED, "id-9"))
    assert cli("state", "show", "p-000").code == 1
    cli.manifest(1)
    assert "personaId: id-0\n" in cli("state", "show", "p-000").stdout
    assert cli("state", "rm", "p-000").code == 1  # an edit guesses nothing


def test_show_finds_what_the_manifest_has_renamed(cli: Cli) -> None:
    cli.record(Entry("audio-000", "old", Status.CREATED, "id-0"))
    cli.manifest(1)
    assert cli("state", "show", "p-000").stdout.startswith("old\n")
    assert cli("state", "show", "old").stdout.startswith("old\n")


@pytest.mark.parametrize("manifest", ["personas: [", "version: 1\npersonas: {}\n"])
def test_show_needs_no_manifest_that_can_be_read(state: Cli, manifest: str) -> None:
    (state.folder / "personas.yaml").write_text(manifest)
    assert state("state", "show", "p-000").code == 0


def test_show_names_the_audio_where_the_manifest_has_another(cli: Cli) -> None:
    cli.record(Entry("audio-old", "p-000", Status.CONFLICT, code=409))
    cli.manifest(1)
    assert "personasync import audio-old PERSONA_ID\n" in cli("state", "show", "p-000").stdout


# Accepting


@pytest.fixture
def differing(cli: Cli) -> Cli:
    """Three of four that are recorded, each with another name than the manifest has."""
    cli.manifest(4)
    cli.record(
        *(
            Entry(f"audio-00{n}", f"p-00{n}", Status.CREATED, f"id-{n}", request=SENT)
            for n in range(3)
        ),
        Entry("audio-9", "gone", Status.CREATED, "id-9", request=SENT),
        api=DEFAULT_BASE_URL,
    )
    return cli


def changed(cli: Cli) -> list[str]:
    rows = json.loads(cli("plan", "--format", "json").stdout)["actions"]
    return [row["key"] for row in rows if row["action"] == "changed"]


@pytest.mark.parametrize(
    ("keys", "left"),
    [
        (["p-001"], ["p-000", "p-002"]),
        (["audio-001"], ["p-000", "p-002"]),
        (["p-000", "p-002", "p-000"], ["p-001"]),
        (["p-00[01]"], ["p-002"]),
        (["*"], []),
        (["p-00*", "p-001"], []),
    ],
    ids=" ".join,
)
def test_what_differs_is_accepted(differing: Cli, keys: list[str], left: list[str]) -> None:
    assert changed(differing) == ["p-000", "p-001", "p-002"]
    ended = differing("state", "accept", *keys)
    assert (ended.code, ended.stderr) == (0, "")
    assert len(ended.stdout.splitlines()) == 3 - len(left)
    assert changed(differing) == left
    again = differing("state", "accept", *keys)
    assert (again.code, again.stdout) == (0, "")
    assert "nothing was changed" in again.stderr


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("p-003", "'p-003' has no recorded ID, so there is nothing to accept"),
        ("gone", "'gone' is not in the manifest, so it differs from nothing there"),
        ("nobody", "no persona has the key 'nobody', in the manifest or the state"),
        ("x*", "no persona has a key like 'x*'"),
    ],
)
def test_all_or_nothing_is_accepted(differing: Cli, key: str, said: str) -> None:
    ended = differing("state", "accept", "p-000", key)
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Error: {said}\n")
    assert changed(differing) == ["p-000", "p-001", "p-002"]


def test_what_was_accepted_differs_again_when_the_manifest_does(differing: Cli) -> None:
    differing("state", "accept", "*")
    manifest = differing.folder / "personas.yaml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("Persona 1", "Another name"), encoding="utf-8")
    assert changed(differing) == ["p-001"]
    manifest.write_text(text, encoding="utf-8")
    assert changed(differing) == []
