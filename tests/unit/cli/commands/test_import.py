"""What is recorded when an ID is imported."""

import json

import pytest

from personasync.model.contract import DEFAULT_BASE_URL
from personasync.model.persona import PersonaRequest
from personasync.state import Entry, FileStateLog, Origin, Status
from tests.helpers.support import Ended
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


# Many at once


def ids(cli: Cli, text: str, *args: str) -> Ended:
    (cli.folder / "ids.csv").write_text(text, encoding="utf-8")
    return cli("import", "--from", "ids.csv", *args)


def test_many_are_recorded_with_one_append(cli: Cli) -> None:
    cli.manifest(80)
    rows = "".join(f"p-{number:03},id-{number}\n" for number in range(79))
    ended = ids(cli, f"key,personaId\n{rows}p-079,\n")
    assert ended.code == 0
    assert len(ended.stdout.splitlines()) == 79
    assert ended.stderr == "Imported 79 IDs; 1 row without an ID passed over.\n"
    entries = FileStateLog(cli.folder / "personas.state.jsonl", api=None).read().entries
    assert len(entries) == 79
    again = ids(cli, f"key,personaId\n{rows}p-079,id-79\n")
    assert again.stderr == "Imported 1 ID; 79 recorded already.\n"
    assert json.loads(cli("plan", "--format", "json").stdout)["summary"]["unchanged"] == 80


def test_a_name_or_an_audio_finds_the_persona(cli: Cli) -> None:
    cli.manifest(2)
    assert ids(cli, "name;personaId;audioId\nPersona 0;a;\n;b;audio-001\n").stdout == (
        "p-000: imported a\np-001: imported b\n"
    )


@pytest.mark.parametrize(
    "name", ["Persona 0", "persona 0", "  Persona   0 ", "Persona\u00a00", "Ｐersona 0"]
)
def test_a_name_is_known_whatever_became_of_its_spaces_and_case(cli: Cli, name: str) -> None:
    cli.manifest(2)
    assert ids(cli, f"name;personaId\n{name};a\n").stdout == "p-000: imported a\n"


def test_of_names_that_differ_in_case_alone_each_is_itself(cli: Cli) -> None:
    cli.manifest(2)
    text = (cli.folder / "personas.yaml").read_text(encoding="utf-8")
    text = text.replace("Persona 0", "Siren").replace("Persona 1", "siren")
    (cli.folder / "personas.yaml").write_text(text, encoding="utf-8")
    assert ids(cli, "name;personaId\nsiren;a\n").stdout == "p-001: imported a\n"
    assert "2 personas have the name 'SIREN'" in ids(cli, "name;personaId\nSIREN;b\n").stderr


DOUBTFUL = {
    "p-000,a,audio-001,": "its audioId is of 'p-001', but its key of another persona, 'p-000'",
    "p-000,a,,Persona 1": "it is 'p-000', but its name is of another persona, 'p-001'",
    ",a,audio-000,Persona 1": "it is 'p-000', but its name is of another persona, 'p-001'",
    "p-000,1.2E+31,,": "1.2E+31 looks like a number that a spreadsheet made of the ID",
}


@pytest.mark.parametrize("row", DOUBTFUL)
def test_a_row_that_contradicts_itself_is_recorded_by_force_alone(cli: Cli, row: str) -> None:
    cli.manifest(2)
    refused = ids(cli, f"key,personaId,audioId,name\n{row}\n")
    assert (refused.code, refused.stderr.splitlines()[0]) == (1, f"line 2: {DOUBTFUL[row]}")
    assert not (cli.folder / "personas.state.jsonl").exists()
    assert ids(cli, f"key,personaId,audioId,name\n{row}\n", "--force").code == 0


def test_a_table_from_before_a_renaming_is_no_contradiction(cli: Cli) -> None:
    cli.manifest(1)
    table = "key,personaId,audioId,name\nold-key,a,audio-000,Old name\n"
    assert ids(cli, table).stdout == "p-000: imported a\n"


def test_rows_are_counted_and_not_their_troubles(cli: Cli) -> None:
    cli.manifest(2)
    cli("import", "p-000", "old")
    ended = ids(cli, "key,personaId\np-001,old\np-000,old\np-01,new\np-000,null\n")
    assert "line 4: no persona has the key 'p-01', in the manifest or the state; did you mean" in (
        ended.stderr
    )
    assert "Error: nothing was imported: 4 rows cannot be\n" in ended.stderr
    assert len(ended.stderr.splitlines()) > 4


WRONG = {
    ",a,,": "line 2: it names no persona: it has no key, name or audioId",
    "p-009,a,,": "line 2: no persona has the key 'p-009', in the manifest or the state",
    ",a,audio-9,": "line 2: no persona has the audioId 'audio-9'",
    ",a,,Nobody": "line 2: no persona has the name 'Nobody'",
    ",a,,Alike": "line 2: 2 personas have the name 'Alike': p-000, p-001",
    "p-000,null,,": "line 2: null is no ID, but stands for one",
    "p-000,two words,,": "line 2: PERSONA_ID 'two words' cannot be one",
    "p-000,audio-000,,": "line 2: audio-000 is the audioId of this persona, not its ID",
    "p-000,a,,\np-001,a,,": "line 3: a stands in line 2 too, for another audio",
    "p-000,a,,\np-000,b,,": "line 3: 'p-000' has another ID, a, in line 2",
}


@pytest.mark.parametrize("rows", WRONG)
def test_all_or_nothing_is_recorded(cli: Cli, rows: str) -> None:
    cli.manifest(3, name="one.yaml")
    text = (cli.folder / "one.yaml").read_text(encoding="utf-8")
    alike = text.replace("Persona 0", "Alike").replace("Persona 1", "Alike")
    (cli.folder / "personas.yaml").write_text(alike, encoding="utf-8")
    ended = ids(cli, f"key,personaId,audioId,name\n{rows}\np-002,good,,\n")
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(WRONG[rows])
    assert "\nError: nothing was imported: 1 row cannot be\n" in ended.stderr
    assert not (cli.folder / "personas.state.jsonl").exists()


def test_another_id_is_recorded_by_force_alone(cli: Cli) -> None:
    cli.manifest(1)
    cli("import", "p-000", "old")
    refused = ids(cli, "key,personaId\np-000,new\n")
    assert (refused.code, refused.stdout) == (1, "")
    assert "'p-000' is recorded with another ID, old" in refused.stderr
    assert "--force" in refused.stderr
    assert ids(cli, "key,personaId\np-000,new\n", "--force").code == 0
    assert last(cli).persona_id == "new"


def test_an_old_state_brings_what_nothing_else_knows(cli: Cli) -> None:
    old = Entry("audio-9", "gone", Status.CREATED, "id-9", request=SENT)
    cli.record(
        old, Entry("audio-000", "p-000", Status.PENDING), name="old", api="https://a.example"
    )
    cli.manifest(1)
    ended = cli("import", "--from", "old", "--base-url", "https://a.example")
    assert (ended.code, ended.stdout) == (0, "gone: imported id-9\n")
    assert ended.stderr == "Imported 1 ID; 1 row without an ID passed over.\n"
    assert (last(cli).audio_id, last(cli).request) == ("audio-9", SENT)
    other = cli("import", "--from", "old", "--state", "new", "--base-url", "https://b.example")
    assert (other.code, other.stderr.splitlines()[0]) == (
        1,
        "Error: old holds IDs of https://a.example, but the state is of https://b.example",
    )


def test_an_old_state_loses_no_id_and_shows_nothing_that_was_hidden(cli: Cli) -> None:
    cli.record(
        Entry("audio-000", "p-000", Status.CREATED, "one"),
        Entry("audio-000", "p-000", Status.CREATED, "two"),
        Entry("audio-8", "hidden", Status.FORGOTTEN, "id-8"),
        name="old",
        api=DEFAULT_BASE_URL,
    )
    cli.manifest(1)
    ended = cli("import", "--from", "old")
    assert (ended.code, ended.stdout) == (
        0,
        "p-000: imported one\np-000: imported two\nhidden: imported id-8\n",
    )
    assert ended.stderr.startswith("Note: 'p-000' has 2 IDs in old, one and two\n")
    plan = cli("plan").stdout
    assert "personasync import p-000 two --force" in plan
    assert "hidden" not in plan
    assert cli("import", "--from", "old").stderr.endswith("Imported 0 IDs; 3 recorded already.\n")


@pytest.mark.parametrize("args", [["--from", "x", "p-000"], ["p-000"], []])
def test_one_or_many_must_be_named(cli: Cli, args: list[str]) -> None:
    cli.manifest(1)
    assert cli("import", *args).code == 64


def test_a_list_that_is_not_there_is_told(cli: Cli) -> None:
    assert cli("import", "--from", "none.csv").stderr == (
        "Error: cannot read none.csv: No such file or directory\n"
    )
