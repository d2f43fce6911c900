"""What is recorded when an ID is imported."""

from personasync.model.persona import PersonaRequest
from personasync.state import Entry, FileStateLog, Origin, Status
from tests.unit.cli.conftest import Cli

SENT = PersonaRequest("task-000", "audio-000", "As sent", "A warm and steady voice")


def last(cli: Cli) -> Entry:
    [entry] = (
        FileStateLog(cli.folder / "personas.state.jsonl", api=None).read().fold().entries.values()
    )
    return entry


def test_a_new_state_belongs_to_the_api_in_use(cli: Cli) -> None:
    cli.manifest(1)
    assert cli("import", "p-000", "id-0", "--base-url", "https://api.example/").code == 0
    header = FileStateLog(cli.folder / "personas.state.jsonl", api=None).read().header
    assert header is not None
    assert header.api == "https://api.example"
    entry = last(cli)
    assert (entry.key, entry.status, entry.persona_id, entry.origin) == (
        "p-000",
        Status.CREATED,
        "id-0",
        Origin.IMPORT,
    )
    assert entry.request is not None
    assert entry.request.name == "Persona 0"


def test_what_we_sent_stays_and_so_does_what_a_later_version_wrote(cli: Cli) -> None:
    cli.record(Entry("audio-000", "old", Status.PENDING, request=SENT, extra={"later": 1}))
    cli.manifest(1)
    assert cli("import", "p-000", "id-0").code == 0
    entry = last(cli)
    assert (entry.key, entry.request, entry.extra) == ("p-000", SENT, {"later": 1})


def test_the_audio_id_names_what_the_key_does_not(cli: Cli) -> None:
    cli.record(Entry("audio-old", "p-000", Status.CONFLICT, code=409))
    cli.manifest(1)
    ended = cli("import", "audio-old", "id-9")
    assert (ended.code, ended.stdout) == (0, "p-000: imported id-9\n")
    state = FileStateLog(cli.folder / "personas.state.jsonl", api=None).read().fold()
    assert {a: e.persona_id for a, e in state.entries.items()} == {"audio-old": "id-9"}


def test_a_slip_takes_no_lock_and_leaves_nothing(cli: Cli) -> None:
    cli.manifest(1)
    assert cli("import", "p-00", "id-0").code == 1
    assert [path.name for path in cli.folder.iterdir()] == ["personas.yaml"]


def test_force_is_given_again_with_what_looks_like_an_option(cli: Cli) -> None:
    cli.record(Entry("audio-000", "p-000", Status.CREATED, "id-0"))
    refused = cli("import", "--", "p-000", "-x")
    assert refused.stderr == (
        "Error: 'p-000' is recorded with another ID, id-0\n"
        "  the API cannot tell which is right: the new one would take its place;"
        " to record it all the same: personasync import --force -- p-000 -x\n"
    )
    assert cli("import", "--force", "--", "p-000", "-x").code == 0
    assert last(cli).persona_id == "-x"
