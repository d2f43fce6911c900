"""A saved plan: what is written is what is read, and what has moved on is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personasync.model.answer import KeptAnswer
from personasync.model.diagnostics import Place
from personasync.model.errors import PlanError, StalePlanError
from personasync.model.persona import Manifest, Persona, PersonaRequest
from personasync.plan.compute import ActionKind, Plan, compute_plan
from personasync.plan.gates import select
from personasync.plan.saved import Document, check_fresh, parse, plan_digest, to_document, to_plan
from personasync.render.plan import render_json, summary_lines
from personasync.state.codec import encode_entry, encode_header
from personasync.state.entry import Entry, Header, Origin, Status
from personasync.state.fold import State

API = "https://api.example"
WHERE = "personas.state.jsonl"
SCHEMAS = Path(__file__).parents[3] / "schemas"
HINT = "make a new one: personasync plan (out=FILE)"


def schema(name: str) -> dict[str, object]:
    document: dict[str, object] = json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))
    return document


PLAN_SCHEMA, STATE_SCHEMA = schema("plan"), schema("state")


def persona(
    key: str, audio_id: str, line: int = 1, name: str = "Neon", **fields: object
) -> Persona:
    return Persona(
        key,
        PersonaRequest("task", audio_id, name, "A bright voice", **fields),  # type: ignore[arg-type]
        Place("personas.yaml", line, 3),
    )


def created(key: str, audio_id: str, **fields: object) -> Entry:
    request = PersonaRequest("task", audio_id, "Neon", "A bright voice", **fields)  # type: ignore[arg-type]
    return Entry(
        audio_id,
        key,
        Status.CREATED,
        persona_id=f"id-{audio_id}",
        origin=Origin.APPLY,
        request=request,
    )


def plan(
    personas: list[Persona], entries: list[Entry] | None = None, lineage: str | None = "lineage-1"
) -> Plan:
    header = Header(lineage, API) if lineage else None
    known = {each.audio_id: each for each in entries or []}
    return compute_plan(Manifest(tuple(personas), files=("personas.yaml",)), State(header, known))


def saved(from_plan: Plan) -> Document:
    return parse(render_json(from_plan, api=API, location=WHERE), "plan.json")


def check(saved_plan: Document, now: Plan, api: str = API, location: str = WHERE) -> Plan:
    return check_fresh(saved_plan, now, api=api, location=location)


# What is written is what is read.

texts = st.text(st.characters(), min_size=1, max_size=20)
numbers = st.none() | st.integers(0, 100) | st.floats(0, 1e9) | st.just(float("inf"))
requests = st.builds(
    PersonaRequest, texts, texts, texts, texts, numbers, numbers, st.none() | texts
)
places = st.builds(Place, texts, st.integers(1, 10**6), st.integers(1, 100))
personas_ = st.builds(Persona, texts, requests, places)
entries_ = st.builds(
    Entry,
    audio_id=texts,
    key=texts,
    status=st.sampled_from(Status),
    persona_id=texts,
    origin=st.none() | st.sampled_from(Origin),
    at=st.none() | texts,
    request=st.none()
    | requests.filter(lambda each: float("inf") not in (each.vocal_start, each.vocal_end)),
    code=st.none() | st.integers(100, 999),
    message=st.none() | texts,
    answer=st.none() | texts.map(KeptAnswer.of_text),
    after_pending=st.none() | st.booleans(),
    extra=st.none() | st.just({"note": [1, {"of": "a later version"}]}),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    wanted = draw(st.lists(personas_, max_size=6, unique_by=lambda each: each.audio_id))
    known = draw(st.lists(entries_, max_size=4))
    for each in draw(st.lists(st.sampled_from(wanted), max_size=4)) if wanted else []:
        known.append(replace(draw(entries_), audio_id=each.audio_id))
    header = draw(st.none() | st.builds(Header, texts, texts))
    files = tuple(draw(st.lists(texts, max_size=3)))
    state = State(header, {each.audio_id: each for each in known})
    return compute_plan(Manifest(tuple(wanted), files=files), state)


@given(plans(), texts, texts)
@settings(max_examples=150)
def test_what_is_written_is_what_is_read(any_plan: Plan, api: str, location: str) -> None:
    text = render_json(any_plan, api=api, location=location)
    jsonschema.validate(json.loads(text), PLAN_SCHEMA)
    read = parse(text, "plan.json")
    assert read == to_document(any_plan, api=api, location=location)
    assert check_fresh(read, any_plan, api=api, location=location) == any_plan


@given(entries_, st.builds(Header, texts, texts))
def test_every_line_of_a_state_is_valid_under_its_schema(entry: Entry, header: Header) -> None:
    for line in (encode_entry(entry), encode_header(header)):
        jsonschema.validate(json.loads(line), STATE_SCHEMA)


@pytest.mark.parametrize(
    "line",
    [
        {"audioId": "a", "key": "k", "status": "created"},
        {"audioId": "a", "key": "k", "status": "lost"},
        {"audioId": "a", "status": "pending"},
        {"format": "personasync.state/2", "lineage": "l", "api": "a"},
        {"format": "personasync.state/1", "lineage": "l"},
    ],
)
def test_the_schema_of_the_state_refuses_what_the_tool_refuses(line: dict[str, str]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(line, STATE_SCHEMA)


# What cannot be read as a plan.

GOOD = json.loads(render_json(plan([persona("a", "a1", 5)]), api=API, location=WHERE))


CHANGE = {"field": "name", "recorded": 1, "wanted": 1}


def changed(*path: str | int, to: object) -> str:
    document = json.loads(json.dumps(GOOD))
    target = document
    for step in path[:-1]:
        target = target[step]
    if to is None:
        del target[path[-1]]
    else:
        target[path[-1]] = to
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p.json is not a saved plan: it is not JSON"),
        ("version: 1\n", "p.json is not a saved plan: it is not JSON"),
        ("NaN", "p.json is not a saved plan: it is not JSON"),
        ("[" * 100_000, "p.json is not a saved plan: it is not JSON"),
        ("[]", "p.json is not a usable plan: it is not a JSON object"),
        ("null", "p.json is not a usable plan: it is not a JSON object"),
        ("{}", "p.json is not a usable plan: its format is missing"),
        (
            changed("format", to=1),
            "p.json is not a usable plan: its format is 1, which this version does not know",
        ),
        (
            changed("format", to="personasync.state/1"),
            "p.json is not a usable plan: its format is 'personasync.state/1',"
            " and this version reads 'personasync.plan/1'",
        ),
        (
            changed("format", to="personasync.plan/2"),
            "p.json was made by another version: its format is 'personasync.plan/2',"
            " and this version reads 'personasync.plan/1'",
        ),
        (changed("manifest", to=None), "p.json is not a usable plan: its manifest is missing"),
        (
            changed("manifest", "digest", to=7),
            "p.json is not a usable plan: its manifest.digest is not a text",
        ),
        (
            changed("manifest", "files", to=["a", 1]),
            "p.json is not a usable plan: its manifest.files[1] is not a text",
        ),
        (changed("state", to=[]), "p.json is not a usable plan: its state is not a JSON object"),
        (changed("api", to=None), "p.json is not a usable plan: its api is missing"),
        (changed("actions", to={}), "p.json is not a usable plan: its actions is not a list"),
        (
            changed("actions", to=[1]),
            "p.json is not a usable plan: its actions[0] is not a JSON object",
        ),
        (
            changed("actions", 0, "audioId", to=None),
            "p.json is not a usable plan: its actions[0].audioId is missing",
        ),
        (
            changed("actions", 0, "action", to="destroy"),
            "p.json is not a usable plan: its actions[0].action is 'destroy', which this version"
            " does not know",
        ),
        (
            changed("actions", 0, "changes", to=[{**CHANGE, "recorded": True}]),
            "p.json is not a usable plan:"
            " its actions[0].changes[0].recorded is not a text or a number",
        ),
        (
            changed("actions", 0, "source", "line", to="five"),
            "p.json is not a usable plan: its actions[0].source.line is not a whole number",
        ),
        (
            changed("actions", 0, "source", "line", to=True),
            "p.json is not a usable plan: its actions[0].source.line is not a whole number",
        ),
    ],
)
def test_what_is_no_plan_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(PlanError) as raised:
        parse(text, "p.json")
    assert raised.value.message == message
    assert str(raised.value.hint) == HINT
    assert raised.value.exit_code == 1


inside = st.recursive(
    st.none() | st.booleans() | texts | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
paths = [
    *([name] for name in GOOD),
    *(["state", name] for name in GOOD["state"]),
    *(["actions", 0, name] for name in GOOD["actions"][0]),
]


@given(st.sampled_from(paths), inside)
def test_whatever_stands_in_a_field_it_is_read_or_refused(
    path: list[str | int], value: object
) -> None:
    text = changed(*path, to=value)
    try:
        read = parse(text, "p.json")
    except PlanError:
        return
    document = json.loads(text)
    assert read == document


def test_fields_that_a_later_version_adds_are_no_obstacle() -> None:
    later = json.loads(changed("state", "serial", to=7))
    text = json.dumps({**later, "digest": plan_digest(later)}, indent=7)
    assert parse("\ufeff" + text, "p.json")["actions"] == GOOD["actions"]


TWO = json.loads(
    render_json(plan([persona("a", "a1"), persona("b", "a2")]), api=API, location=WHERE)
)


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    """Leave an action out as carefully as a person can."""
    [dropped] = [action for action in document["actions"] if action["key"] == key]
    kept = [action for action in document["actions"] if action is not dropped]
    count = document["summary"][dropped["action"]] - 1
    return {
        **document,
        "actions": kept,
        "summary": {**document["summary"], dropped["action"]: count},
    }


@pytest.mark.parametrize(
    "edit",
    [
        lambda document: without(document, document["actions"][0]["key"]),
        lambda document: {**document, "actions": document["actions"][::-1]},
        lambda document: {**document, "note": "approved"},
        lambda document: {**document, "manifest": {**document["manifest"], "files": ["b.yaml"]}},
        lambda document: {**document, "digest": "sha256:" + "0" * 64},
    ],
    ids=["an action left out", "another order", "a field added", "another manifest", "the digest"],
)
def test_an_edit_that_keeps_the_form_is_seen(
    edit: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    with pytest.raises(PlanError) as caught:
        parse(json.dumps(edit(TWO)), "p.json")
    assert caught.value.message == (
        "p.json is not a usable plan: it was edited after it was saved, and does not match its"
        " digest"
    )
    assert str(caught.value.hint) == HINT


def test_layout_is_no_edit() -> None:
    assert parse(json.dumps(GOOD, indent=1, sort_keys=True), "p.json") == GOOD


# What has moved on.


def test_a_fresh_plan_is_narrowed_to_what_was_saved() -> None:
    whole = plan([persona("a", "a1"), persona("b", "a2"), persona("c", "a3")])
    narrowed = select(whole, ["b", "c"])
    assert check(saved(narrowed), whole) == narrowed
    assert narrowed.left_out == 1


def test_comments_and_layout_do_not_make_a_plan_stale() -> None:
    now = plan([persona("a", "a1", line=99)])
    assert check(saved(plan([persona("a", "a1", line=5)])), now) == now


def test_a_state_that_began_empty_since_is_no_change() -> None:
    before, now = plan([persona("a", "a1")], lineage=None), plan([persona("a", "a1")])
    assert check(saved(before), now) == now


def test_the_same_state_in_another_folder_is_the_same_state() -> None:
    now = plan([persona("a", "a1")])
    assert check(saved(now), now, location="/elsewhere/personas.state.jsonl") == now


@pytest.mark.parametrize(
    ("now", "api", "location", "message"),
    [
        (
            plan([persona("a", "a1"), persona("b", "a2", name="New")]),
            API,
            WHERE,
            "the manifest has changed",
        ),
        (
            plan([persona("a", "a1"), persona("c", "a2")]),
            API,
            WHERE,
            "the manifest has changed; b is now c",
        ),
        (
            plan([persona("a", "a1"), persona("b", "a2"), persona("n", "a3")]),
            API,
            WHERE,
            "the manifest has changed; n is not in it",
        ),
        (plan([persona("a", "a1")]), API, WHERE, "the manifest has changed; b is gone"),
        (
            plan([persona("a", "a1"), persona("b", "a2")], [created("b", "a2")]),
            API,
            WHERE,
            "the state has changed; b was create, now unchanged",
        ),
        (
            plan([persona("a", "a1"), persona("b", "a2")], [created("b", "a2")]),
            "https://other.example",
            WHERE,
            "the state has changed; it was made for the API at https://api.example,"
            " and this run uses https://other.example; b was create, now unchanged",
        ),
        (
            plan([persona("a", "a1"), persona("b", "a2")], lineage="lineage-2"),
            API,
            "other.jsonl",
            "it was made for another state (personas.state.jsonl, and this one is other.jsonl)",
        ),
        (
            plan([persona("a", "a1"), persona("b", "a2")], lineage=None),
            API,
            "other.jsonl",
            "it was made for the state personas.state.jsonl, and this one is other.jsonl",
        ),
        (
            plan([persona(f"k{n}", f"b{n}") for n in range(9)]),
            API,
            WHERE,
            "the manifest has changed; a is gone, b is gone, k0 is not in it, k1 is not in it,"
            " k2 is not in it and 6 more",
        ),
    ],
)
def test_a_stale_plan_says_what_changed(now: Plan, api: str, location: str, message: str) -> None:
    before = saved(plan([persona("a", "a1"), persona("b", "a2")]))
    with pytest.raises(StalePlanError) as raised:
        check(before, now, api, location)
    assert raised.value.message == f"the saved plan is stale: {message}"
    assert raised.value.exit_code == 5


def test_a_change_of_what_a_row_says_is_named() -> None:
    before = plan([persona("a", "a1", name="Two")], [created("a", "a1")])
    now = plan([persona("a", "a1", name="Three")], [created("a", "a1")])
    with pytest.raises(StalePlanError, match=r"the manifest has changed; a differs$"):
        check(saved(before), now)


def again(document: Document, **fields: Any) -> Document:
    """Return an edited plan with a digest that fits it, as whoever knows the format can make."""
    edited = {**document, **fields}
    return parse(json.dumps({**edited, "digest": plan_digest(edited)}), "p.json")


def edited_action(document: Document, **fields: Any) -> Document:
    return again(document, actions=[{**document["actions"][0], **fields}, document["actions"][1]])


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda document: edited_action(document, action="create"), "a"),
        (lambda document: edited_action(document, key="z"), "z"),
        (lambda document: edited_action(document, audioId="other"), "a, b"),
        (lambda document: edited_action(document, personaId="p-2"), "a"),
        (lambda document: edited_action(document, reason="because"), "a"),
        (lambda document: again(document, actions=document["actions"][::-1]), "b, a"),
        (lambda document: again(document, actions=document["actions"][1:] * 2), "b"),
        (lambda document: again(document, actions=document["actions"][1:]), "its summary"),
        (lambda document: again(document, actions=[], summary=EMPTY), "its summary"),
    ],
    ids=["kind", "key", "audio", "ID", "reason", "order", "twice", "one less", "emptied"],
)
def test_an_edit_with_a_digest_of_its_own_is_refused(
    edit: Callable[[Document], Document], named: str
) -> None:
    now = plan([persona("a", "a1"), persona("b", "a2")], [created("a", "a1")])
    with pytest.raises(PlanError) as raised:
        check(edit(saved(now)), now)
    assert raised.value.message == (
        f"the saved plan does not follow from the manifest and the state it was made for: {named}"
    )
    assert str(raised.value.hint) == f"it was edited by hand or made by another version; {HINT}"
    assert not isinstance(raised.value, StalePlanError)


EMPTY: dict[str, int] = {**{kind.value: 0 for kind in ActionKind}, "leftOut": 0}


@given(plans())
@settings(max_examples=100)
def test_a_saved_plan_is_shown_as_the_plan_itself(any_plan: Plan) -> None:
    text = render_json(any_plan, api=API, location=WHERE)
    again = to_plan(parse(text, "plan.json"))
    assert again.counts() == any_plan.counts()
    assert summary_lines(again) == summary_lines(any_plan)
