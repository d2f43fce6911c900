"""The plan's own rules: what each pair of a persona and an entry comes to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.model.diagnostics import Place
from personasync.model.errors import PlanError
from personasync.model.persona import Manifest, Persona, PersonaRequest
from personasync.model.spelling import nearest
from personasync.model.steps import Command, NextStep, Option
from personasync.plan.compute import Action, ActionKind, Change, Plan, compute_plan
from personasync.plan.gates import refuse_unsafe, select
from personasync.state.adopt import sent_request
from personasync.state.entry import Entry, Header, Status
from personasync.state.fold import State

SENT = PersonaRequest("task-1", "audio-1", "Sent", "A bright voice with wide synths")
OTHER = PersonaRequest("task-1", "audio-1", "Other", "A bright voice with wide synths")


def persona(key: str, audio_id: str, persona_id: str | None = None, name: str = "Neon") -> Persona:
    request = PersonaRequest("task-1", audio_id, name, "A bright voice with wide synths")
    return Persona(key, request, Place("personas.yaml", 3, 3), persona_id)


def entry(key: str, audio_id: str, status: Status, **fields: object) -> Entry:
    request = PersonaRequest("task-1", audio_id, "Neon", "A bright voice with wide synths")
    return Entry(audio_id, key, status, request=request, **fields)  # type: ignore[arg-type]


def plan(personas: list[Persona], entries: list[Entry]) -> Plan:
    known = {each.audio_id: each for each in entries}
    return compute_plan(Manifest(tuple(personas)), State(Header("lineage", "api"), known))


def only(personas: list[Persona], entries: list[Entry]) -> Action:
    [action] = plan(personas, entries).actions
    return action


@pytest.mark.parametrize(
    ("known", "kind"),
    [
        (None, ActionKind.CREATE),
        (entry("neon", "a1", Status.PENDING), ActionKind.RESUME),
        (entry("neon", "a1", Status.CREATED, persona_id="p-1"), ActionKind.UNCHANGED),
        (entry("old", "a1", Status.CREATED, persona_id="p-1"), ActionKind.RENAME),
        (entry("neon", "a1", Status.CONFLICT, code=409), ActionKind.CONFLICT),
        (entry("neon", "a1", Status.FAILED, code=422), ActionKind.CREATE),
        (entry("neon", "a1", Status.FORGOTTEN, persona_id="p-1"), ActionKind.IMPORT),
        (entry("neon", "a1", Status.FORGOTTEN, code=409), ActionKind.CONFLICT),
        (entry("neon", "a1", Status.FORGOTTEN, code=422), ActionKind.CREATE),
        (entry("neon", "a1", Status.FORGOTTEN), ActionKind.CREATE),
    ],
)
def test_what_is_wanted_meets_what_is_known(known: Entry | None, kind: ActionKind) -> None:
    action = only([persona("neon", "a1")], [known] if known else [])
    assert (action.kind, action.key, action.changes) == (kind, "neon", ())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status.PENDING, ActionKind.IMPORT),
        (Status.CONFLICT, ActionKind.IMPORT),
        (Status.FAILED, ActionKind.IMPORT),
        (Status.FORGOTTEN, ActionKind.IMPORT),
    ],
)
def test_an_id_in_the_manifest_settles_what_has_none(status: Status, kind: ActionKind) -> None:
    action = only([persona("neon", "a1", "p-1")], [entry("neon", "a1", status)])
    assert (action.kind, action.persona_id, action.reason) == (
        kind,
        "p-1",
        "the manifest gives its ID",
    )


@pytest.mark.parametrize(
    ("known", "kind"),
    [
        (entry("neon", "a1", Status.PENDING), ActionKind.RESUME),
        (entry("neon", "a1", Status.CREATED, persona_id="p-1"), ActionKind.CHANGED),
        (entry("old", "a1", Status.CREATED, persona_id="p-1"), ActionKind.RENAME),
        (entry("old", "a1", Status.FORGOTTEN, persona_id="p-1"), ActionKind.IMPORT),
    ],
)
def test_what_differs_is_shown_whatever_else_happens(known: Entry, kind: ActionKind) -> None:
    action = only([persona("neon", "a1", name="Siren")], [known])
    assert (action.kind, action.changes) == (kind, (Change("name", "Neon", "Siren"),))


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (Status.CREATED, "no longer in the manifest; it stays, since the API cannot delete"),
        (
            Status.PENDING,
            "no longer in the manifest; its request's outcome is unknown, so its persona may exist",
        ),
        (Status.CONFLICT, "no longer in the manifest; its persona exists, and its ID is not known"),
        (Status.FAILED, None),
        (Status.FORGOTTEN, None),
    ],
)
def test_what_is_not_wanted_any_more(status: Status, reason: str | None) -> None:
    persona_id = "p-1" if status is Status.CREATED else None
    actions = plan([], [entry("neon", "a1", status, persona_id=persona_id)]).actions
    assert [(action.kind, action.reason) for action in actions] == (
        [(ActionKind.REMOVED, reason)] if reason else []
    )


def test_a_key_with_another_audio_is_not_said_to_be_gone() -> None:
    created = entry("neon", "a1", Status.CREATED, persona_id="p-1")
    _create, removed = plan([persona("neon", "a2")], [created]).actions
    assert (removed.kind, removed.reason) == (
        ActionKind.REMOVED,
        "its key has another audio in the manifest now; it stays, since the API cannot delete",
    )


RECORDED = entry("neon", "a1", Status.CREATED, persona_id="p-1")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            persona("neon", "a1", "p-2"),
            "personaId is p-2, but p-1 is recorded for this audio",
        ),
        (
            persona("velvet", "a2", "p-1"),
            "personaId p-1 is recorded for another audio, a1 (neon)",
        ),
        (
            persona("neon", "a1", "-p;2"),
            "personaId is -p;2, but p-1 is recorded for this audio",
        ),
    ],
)
def test_a_contradiction_names_the_command_that_settles_it(wanted: Persona, message: str) -> None:
    state = State(Header("lineage", "api"), {"a1": RECORDED})
    with pytest.raises(PlanError) as caught:
        compute_plan(Manifest((wanted,)), state)
    [diagnostic] = caught.value.diagnostics
    assert (diagnostic.message, diagnostic.place) == (message, wanted.place)
    assert isinstance(diagnostic.hint, NextStep)
    assert diagnostic.hint.parts[-1] == Command(
        "import", (wanted.key, wanted.persona_id or ""), (Option("force"),)
    )


@pytest.mark.parametrize("order", [1, -1])
def test_an_id_that_was_forced_on_a_second_audio_contradicts_nothing(order: int) -> None:
    entries = [RECORDED, entry("velvet", "a2", Status.CREATED, persona_id="p-1")][::order]
    actions = plan([persona("neon", "a1", "p-1"), persona("velvet", "a2")], entries).actions
    assert [action.kind for action in actions] == [ActionKind.UNCHANGED] * 2


@pytest.mark.parametrize(
    ("known", "made_with"),
    [
        (None, OTHER),
        (Entry("audio-1", "k", Status.PENDING), OTHER),
        (Entry("audio-1", "k", Status.PENDING, request=SENT), SENT),
        (Entry("audio-1", "k", Status.CONFLICT, request=SENT, after_pending=True), SENT),
        (Entry("audio-1", "k", Status.CONFLICT, request=SENT, after_pending=False), OTHER),
        (Entry("audio-1", "k", Status.FAILED, request=SENT), OTHER),
        (Entry("audio-1", "k", Status.CREATED, "p-1", request=SENT), SENT),
        (Entry("audio-1", "k", Status.FORGOTTEN, "p-1", request=SENT), SENT),
        (Entry("audio-1", "k", Status.CREATED, "p-2", request=SENT), OTHER),
    ],
)
def test_what_an_adopted_persona_was_made_with(
    known: Entry | None, made_with: PersonaRequest
) -> None:
    assert sent_request(known, OTHER, "p-1") == made_with
    assert sent_request(known, None, "p-1") == (known.request if known else None)


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("neon-sire", "neon-siren"),
        ("NEON-SIREN", "neon-siren"),
        ("neon", "neon-siren"),
        ("vel", "Velvet"),
        ("", None),
        ("nothing like it", None),
        ("x" * 10_000, None),
    ],
)
def test_the_nearest_key(word: str, key: str | None) -> None:
    assert nearest(word, ["Velvet", "neon-siren", "glass"]) == key


@given(st.text(), st.lists(st.text()))
def test_the_nearest_key_is_one_of_the_keys(word: str, keys: list[str]) -> None:
    assert nearest(word, keys) in {None, *keys}


def test_a_target_that_is_no_key_is_told_the_nearest() -> None:
    both = plan([persona("neon", "a1"), persona("velvet", "a2")], [])
    assert [action.key for action in select(both, ["n*"]).actions] == ["neon"]
    assert [action.key for action in select(both, [], ["neon"]).actions] == ["velvet"]
    for slip, hint in (
        ("Noen", "did you mean 'neon'?"),
        ("x", "the whole plan shows the keys there are: personasync plan"),
    ):
        with pytest.raises(PlanError) as caught:
            select(both, [slip])
        assert (caught.value.message, str(caught.value.hint)) == (
            f"no persona matches {slip!r}",
            hint,
        )


def test_the_gates() -> None:
    three = plan(
        [persona("new", "a2"), persona("neon", "a1", name="Siren"), persona("again", "a3")],
        [RECORDED, entry("again", "a3", Status.PENDING)],
    )
    refuse_unsafe(three, max_creates=2)
    with pytest.raises(PlanError, match="would create 2 personas, and at most 1 are allowed"):
        refuse_unsafe(three, max_creates=1)
    with pytest.raises(PlanError, match=r"1 of the plan's rows needs attention: neon \(changed\)"):
        refuse_unsafe(three, strict=Option("strict"))
