"""Why there is no ID, and what gives one."""

import pytest

from personasync.model.answer import KeptAnswer
from personasync.state import Entry, Status
from tests.unit.cli.conftest import Cli

SHOW = "personasync state show audio-000 --format manifest"
PUT_BACK = f"put it back into the manifest, as this prints it: {SHOW}; then run: {{}}"
APPLY = "personasync apply --base-url https://api.example"


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize(
    ("entry", "why", "hint"),
    [
        (
            Entry("audio-000", "p-000", Status.PENDING),
            "an earlier run was cut off before its answer was recorded",
            None,
        ),
        (
            Entry("audio-000", "p-000", Status.FAILED, code=422, message="too long"),
            "the API refused it: too long",
            None,
        ),
        (
            Entry("audio-000", "p-000", Status.FAILED, code=422),
            "the API refused it: 422",
            None,
        ),
        (
            Entry("audio-000", "p-000", Status.FAILED, message="no connection"),
            "nothing was made: no connection",
            None,
        ),
        (
            Entry("audio-000", "p-000", Status.FAILED),
            "nothing was made: no request was sent",
            None,
        ),
        (Entry("audio-000", "p-000", Status.FORGOTTEN, "id-0"), "it was dropped from view", None),
        (
            Entry("audio-000", "p-000", Status.FORGOTTEN, code=409),
            "its persona exists, but the ID is not known",
            "run: personasync import p-000 PERSONA_ID",
        ),
        (
            Entry(
                "audio-000",
                "p-000",
                Status.CONFLICT,
                answer=KeptAnswer.of_text('"personaId": "id-9"'),
            ),
            "its persona exists, but the ID is not known",
            "run: personasync import p-000 id-9",
        ),
    ],
)
def test_there_is_always_a_reason_and_a_next_step(
    cli: Cli, entry: Entry, why: str, hint: str | None, wanted: bool
) -> None:
    cli.record(entry, api="https://api.example")
    cli.manifest(1 if wanted else 0)
    expected = hint or (f"run: {APPLY}" if wanted else PUT_BACK.format(APPLY))
    for args in (["p-000"], ["--require", "p-000"], ["audio-000"]):
        ended = cli("output", *args)
        assert (ended.code, ended.stdout, ended.stderr) == (
            1,
            "",
            f"Error: there is no ID for 'p-000': {why}\n  {expected}\n",
        )


def test_a_requirement_that_is_met_prints_what_was_asked_for(cli: Cli) -> None:
    cli.record(Entry("audio-000", "p-000", Status.CREATED, "id-0"))
    assert cli("output", "p-000", "--require", "p-000").stdout == "id-0\n"
    assert cli("output", "--require", "p-000").stdout == "p-000\tid-0\n"
    assert cli("output", "--require", "p-000", "--require", "p-001").code == 1


def test_quiet_leaves_the_notes_out(cli: Cli) -> None:
    twice = [Entry(f"audio-{n}", "k", Status.CREATED, f"id-{n}") for n in range(2)]
    cli.record(*twice)
    loud = cli("output", "--state", "personas.state.jsonl")
    assert (loud.code, loud.stdout) == (0, "")
    assert loud.stderr == (
        "Note: 2 audios are recorded under 'k', and the manifest has none of them; left out."
        " They are shown by: personasync state list k\n"
        "No ID of a current audio is recorded in personas.state.jsonl.\n"
    )
    assert cli("output", "-q").stderr == ""


def test_a_manifest_that_cannot_be_read_is_an_error(cli: Cli) -> None:
    cli.record(Entry("audio-000", "p-000", Status.CREATED, "id-0"))
    (cli.folder / "personas.yaml").write_text("version: 1\npersonas: [\n")
    ended = cli("output", "p-000")
    assert (ended.code, ended.stdout) == (1, "")
    assert "personas.yaml:" in ended.stderr


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["a-1"], "id-1\n"),
        (["a-1", "--format", "map"], '{\n  "a-1": "id-1"\n}\n'),
        (["a-1", "--format", "env"], "PERSONA_A_1=id-1\n"),
        (["a-2", "b-3"], "a-2\tid-2\nb-3\tid-3\n"),
        (["b-3", "a-2", "b-3"], "b-3\tid-3\na-2\tid-2\n"),
        (["a-*"], "a-1\tid-1\na-2\tid-2\n"),
        (["[ab]-[23]", "a-1"], "a-2\tid-2\nb-3\tid-3\na-1\tid-1\n"),
        (["audio-3", "--format", "map"], '{\n  "b-3": "id-3"\n}\n'),
    ],
)
def test_several_keys_and_every_format(cli: Cli, args: list[str], text: str) -> None:
    keys = {1: "a-1", 2: "a-2", 3: "b-3"}
    cli.record(*(Entry(f"audio-{n}", keys[n], Status.CREATED, f"id-{n}") for n in keys))
    assert (cli("output", *args).code, cli("output", *args).stdout) == (0, text)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["a", "nothing"], "Error: no persona has the key 'nothing'"),
        (["x*"], "Error: no persona has a key like 'x*'"),
        (["a", "lost", "--format", "json"], "Error: there is no ID for 'lost'"),
    ],
)
def test_a_key_that_gives_no_id_prints_none_at_all(cli: Cli, args: list[str], said: str) -> None:
    cli.record(
        Entry("audio-0", "a", Status.CREATED, "id-0"), Entry("audio-1", "lost", Status.CONFLICT)
    )
    ended = cli("output", *args)
    assert (ended.code, ended.stdout) == (1, "")
    assert said in ended.stderr


def test_a_format_for_a_whole_job_is_heeded_where_it_is_known(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.manifest(1)
    api = "https://apibox.erweima.ai"
    cli.record(Entry("audio-000", "p-000", Status.CREATED, "id-0"), api=api)
    monkeypatch.setenv("PERSONASYNC_FORMAT", "github")
    assert cli("output", "p-000").stdout == "id-0\n"
    assert cli("plan").stdout.startswith("::notice")
    assert cli("output", "--format", "github").code == 64
    monkeypatch.setenv("PERSONASYNC_FORMAT", "csv")
    assert cli("output").stdout.startswith("key,personaId")
    assert cli("plan").stdout == "No changes. Every persona in the manifest is recorded.\n"
    monkeypatch.setenv("PERSONASYNC_FORMAT", "xml")
    assert cli("output").code == 64


def test_an_id_of_an_audio_that_was_replaced_is_not_denied(cli: Cli) -> None:
    cli.record(Entry("audio-old", "p-000", Status.CREATED, "id-old"))
    cli.manifest(1)
    ended = cli("output")
    assert (ended.code, ended.stdout, ended.stderr) == (
        0,
        "",
        "No ID of a current audio is recorded in personas.state.jsonl.\n",
    )
