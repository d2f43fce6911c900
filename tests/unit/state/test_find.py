"""What a key of the command line means."""

from collections.abc import Sequence

import pytest

from personasync.model.diagnostics import Place
from personasync.model.errors import PersonasyncError
from personasync.model.persona import Manifest, Persona, PersonaRequest
from personasync.render.commands import Shell
from personasync.state import Entry, Header, State, Status
from personasync.state.find import Record, Standing, by_key, find, records, unambiguous_name


def persona(key: str, audio_id: str) -> Persona:
    return Persona(key, PersonaRequest("t", audio_id, "n", "d"), Place("personas.yaml", 1, 1))


def entry(key: str, audio_id: str, status: Status = Status.CREATED) -> Entry:
    has_id = status in (Status.CREATED, Status.FORGOTTEN)
    return Entry(audio_id, key, status, persona_id=f"id-{audio_id}" if has_id else None)


def known(personas: Sequence[Persona], entries: Sequence[Entry]) -> tuple[Record, ...]:
    state = State(Header("lineage", "api"), {each.audio_id: each for each in entries})
    return records(Manifest(tuple(personas)), state)


def test_there_is_a_record_for_each_audio_the_manifests_first() -> None:
    found = known(
        [persona("b", "a2"), persona("a", "a3")],
        [entry("z", "a1"), entry("old", "a2"), entry("y", "a0")],
    )
    assert [(record.key, record.audio_id, record.persona_id) for record in found] == [
        ("b", "a2", "id-a2"),
        ("a", "a3", None),
        ("y", "a0", "id-a0"),
        ("z", "a1", "id-a1"),
    ]


@pytest.mark.parametrize("status", Status)
def test_only_what_is_in_view_has_an_id(status: Status) -> None:
    [record] = known([], [entry("k", "a1", status)])
    assert (record.persona_id is not None) is (status is Status.CREATED)


@pytest.mark.parametrize(
    ("personas", "entries", "audios"),
    [
        ([persona("k", "a2")], [entry("k", "a1")], ["a2"]),
        ([persona("k", "a2")], [entry("k", "a1"), entry("k", "a2")], ["a2"]),
        ([], [entry("k", "a1", Status.FAILED), entry("k", "a2", Status.PENDING)], ["a2"]),
        ([], [entry("k", "a1", Status.FORGOTTEN), entry("k", "a2", Status.FAILED)], ["a2"]),
        ([], [entry("k", "a1", Status.FORGOTTEN)], ["a1"]),
        ([], [entry("k", "a1"), entry("k", "a2", Status.CONFLICT)], ["a1", "a2"]),
    ],
)
def test_what_counts_more_is_what_a_key_means(
    personas: list[Persona], entries: list[Entry], audios: list[str]
) -> None:
    found = known(personas, entries)
    assert [record.audio_id for record in by_key(found)["k"]] == audios
    if len(audios) == 1:
        assert find(found, "k").audio_id == audios[0]


def test_an_audio_id_means_its_audio_unless_it_is_a_key() -> None:
    found = known([persona("a2", "a1")], [entry("a2", "a1"), entry("k", "a2"), entry("k", "a3")])
    assert find(found, "a2").audio_id == "a1"
    assert find(found, "a3").audio_id == "a3"
    twice = known([], [entry("k", "k"), entry("k", "a3")])
    assert find(twice, "k").audio_id == "k"


def test_what_nothing_tells_apart_is_an_error_with_the_audios() -> None:
    found = known([], [entry("k", f"a{number}") for number in range(7)])
    with pytest.raises(PersonasyncError) as caught:
        find(found, "k")
    assert caught.value.message == (
        "7 audios are recorded under 'k', and nothing here tells which is current"
    )
    assert caught.value.hint == (
        "name one by its audioId in place of the key:"
        " a0 (created), a1 (created), a2 (created), a3 (created), a4 (created) and 2 more"
    )
    assert find(found, "k", several=True).audio_id == "a0"


@pytest.mark.parametrize(
    ("found", "message", "hint"),
    [
        (
            known([persona("neon", "a1")], []),
            "no persona has the key 'x', in the manifest or the state",
            "to see the keys of the manifest: personasync plan --sandbox",
        ),
        (
            known([persona("neon", "a1")], [entry("neon", "a1")]),
            "no persona has the key 'x', in the manifest or the state",
            "to see what is recorded: personasync state list --sandbox",
        ),
        (
            known([], [entry("xy", "a1")]),
            "no persona has the key 'x', in the state",
            "did you mean 'xy'?",
        ),
        (
            known([persona("neon", "a1")], [entry("x", "a1")]),
            "no persona has the key 'x', in the manifest or the state",
            "the manifest calls it 'neon' now",
        ),
        (
            (),
            "no persona has the key 'x', in the manifest or the state",
            "nothing is recorded there; name the manifest with -f, or the state with --state",
        ),
    ],
)
def test_what_is_not_there_has_a_next_step(
    found: tuple[Record, ...], message: str, hint: str
) -> None:
    with pytest.raises(PersonasyncError) as caught:
        find(found, "x")
    shell = Shell(sandbox=True)
    assert (caught.value.message, shell.text(caught.value.hint or "")) == (message, hint)


def test_a_command_names_the_audio_where_the_key_means_another() -> None:
    new, old = known([persona("k", "a2")], [entry("k", "a1")])
    assert unambiguous_name((new, old), new) == "k"
    assert unambiguous_name((new, old), old) == "a1"
    assert (new.standing, old.standing) == (Standing.WANTED, Standing.IN_VIEW)
