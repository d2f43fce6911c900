"""Events: one line each, valid under the published schema, and nothing in them that steers."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.engine.events import Account, Event, EventKind, PersonaResult, Result, Underway
from personasync.model.units import Rate
from personasync.plan.compute import Action, ActionKind
from personasync.render.commands import Shell
from personasync.render.events import render_json, render_text, waiting_for

AT = "2026-11-22T10:00:00Z"
SCHEMA = json.loads(
    (Path(__file__).parents[3] / "schemas" / "events.schema.json").read_text(encoding="utf-8")
)


def event(kind: EventKind, **fields: object) -> Event:
    if kind not in (EventKind.RUN_START, EventKind.RUN_END):
        fields = {"key": "neon-siren", "audio_id": "audio-1", **fields}
    return Event(kind, AT, "run-1", **fields)  # type: ignore[arg-type]


def account(*results: Result, **fields: object) -> Account:
    rows = tuple(
        PersonaResult(Action(ActionKind.CREATE, f"k{n}", f"a{n}"), result)
        for n, result in enumerate(results)
    )
    return Account("run-1", rows, **fields)  # type: ignore[arg-type]


HEAD = {"at": AT, "run": "run-1"}
PERSONA = {**HEAD, "key": "neon-siren", "audioId": "audio-1"}
CASES = [
    (
        event(EventKind.RUN_START, total=2),
        {"event": "run_start", **HEAD, "total": 2},
        "run run-1: 2 personas to act on",
    ),
    (
        event(EventKind.RUN_START, total=1),
        {"event": "run_start", **HEAD, "total": 1},
        "run run-1: 1 persona to act on",
    ),
    (
        event(EventKind.IMPORTED, persona_id="p1", rescued="x.rescue"),
        {"event": "imported", **PERSONA, "personaId": "p1", "rescued": "x.rescue"},
        "neon-siren: imported p1; not in the state, which could not be written, but kept in"
        " x.rescue; to record it: personasync import neon-siren p1 --state 'my state'",
    ),
    (
        Event(
            EventKind.STOPPING,
            AT,
            "run-1",
            reason="interrupted by SIGTERM",
            underway=(Underway("a", "audio-1", 3.0), Underway("b", "audio-2", 1.0)),
        ),
        {
            "event": "stopping",
            **HEAD,
            "reason": "interrupted by SIGTERM",
            "waitingFor": ["a", "b"],
        },
        "interrupted by SIGTERM: nothing new is sent; waiting for 2 answers (a, b). Leaving now, by"
        " the same signal again, may lose their IDs: the API gives each only once",
    ),
    (
        Event(EventKind.STOPPING, AT, "run-1", reason="interrupted by SIGINT"),
        {
            "event": "stopping",
            **HEAD,
            "reason": "interrupted by SIGINT",
            "waitingFor": [],
        },
        "interrupted by SIGINT: nothing new is sent, and nothing is in flight",
    ),
    (
        event(EventKind.RUN_END, account=account(Result.CREATED, repeated={"p1": ("a", "b")})),
        {
            "event": "run_end",
            **HEAD,
            "created": 1,
            "imported": 0,
            "renamed": 0,
            "failed": 0,
            "conflict": 0,
            "unknown": 0,
            "notAttempted": 0,
            "exitCode": 0,
            "repeated": {"p1": ["a", "b"]},
        },
        None,
    ),
    (event(EventKind.CREATE_START), {"event": "create_start", **PERSONA}, "neon-siren: creating"),
    (
        event(
            EventKind.CREATE_RETRY, attempt=2, wait=1.40004, code=500, reason="the API answered 500"
        ),
        {
            "event": "create_retry",
            **PERSONA,
            "attempt": 2,
            "wait": 1.4,
            "code": 500,
            "reason": "the API answered 500",
        },
        "neon-siren: retry in 1.4s (attempt 2): the API answered 500",
    ),
    (
        event(EventKind.CREATE_RETRY, attempt=9, wait=75.0),
        {"event": "create_retry", **PERSONA, "attempt": 9, "wait": 75.0},
        "neon-siren: retry in 1m15s (attempt 9)",
    ),
    (
        event(EventKind.CREATE_DONE, persona_id="p-1"),
        {"event": "create_done", **PERSONA, "personaId": "p-1"},
        "neon-siren: created p-1",
    ),
    (
        event(EventKind.CREATE_DONE, persona_id="p-1", rescued="s.rescue"),
        {"event": "create_done", **PERSONA, "personaId": "p-1", "rescued": "s.rescue"},
        "neon-siren: created p-1; not in the state, which could not be written, but kept in"
        " s.rescue; to record it: personasync import neon-siren p-1 --state 'my state'",
    ),
    (
        event(EventKind.CREATE_DONE, persona_id="p-1", rescued=""),
        {"event": "create_done", **PERSONA, "personaId": "p-1", "rescued": ""},
        "neon-siren: created p-1; not in the state, which could not be written, but kept nowhere"
        " but here; to record it: personasync import neon-siren p-1 --state 'my state'",
    ),
    (
        event(EventKind.CREATE_FAILED, code=422, reason="the API answered 422: name"),
        {
            "event": "create_failed",
            **PERSONA,
            "code": 422,
            "reason": "the API answered 422: name",
        },
        "neon-siren: failed: the API answered 422: name",
    ),
    (
        event(EventKind.CREATE_CONFLICT, code=409, reason="the API answered 409"),
        {"event": "create_conflict", **PERSONA, "code": 409, "reason": "the API answered 409"},
        "neon-siren: in conflict: the API answered 409",
    ),
    (
        event(EventKind.CREATE_UNKNOWN, reason="timed out"),
        {"event": "create_unknown", **PERSONA, "reason": "timed out"},
        "neon-siren: outcome unknown: timed out",
    ),
    (
        event(EventKind.IMPORTED, persona_id="p-1"),
        {"event": "imported", **PERSONA, "personaId": "p-1"},
        "neon-siren: imported p-1",
    ),
    (
        event(EventKind.RENAMED, persona_id="p-1", previous_key="old"),
        {"event": "renamed", **PERSONA, "personaId": "p-1", "previousKey": "old"},
        "neon-siren: renamed, before old",
    ),
    (
        event(
            EventKind.RUN_END,
            account=account(
                *[Result.CREATED] * 3, Result.RENAMED, Result.UNKNOWN, Result.NOT_ATTEMPTED
            ),
        ),
        {
            "event": "run_end",
            **HEAD,
            "created": 3,
            "imported": 0,
            "renamed": 1,
            "failed": 0,
            "conflict": 0,
            "unknown": 1,
            "notAttempted": 1,
            "exitCode": 3,
        },
        None,
    ),
    (
        event(
            EventKind.RUN_END,
            account=account(Result.FAILED, Result.CONFLICT, stopped="SIGINT", signal=2),
        ),
        {
            "event": "run_end",
            **HEAD,
            "created": 0,
            "imported": 0,
            "renamed": 0,
            "failed": 1,
            "conflict": 1,
            "unknown": 0,
            "notAttempted": 0,
            "exitCode": 130,
            "stopped": "SIGINT",
        },
        None,
    ),
]


@pytest.mark.parametrize(
    ("told", "fields", "line"), CASES, ids=[str(number) for number in range(len(CASES))]
)
def test_every_event(told: Event, fields: dict[str, object], line: str | None) -> None:
    document = json.loads(render_json(told))
    assert document == fields
    assert list(document)[:3] == ["event", "at", "run"]
    jsonschema.validate(document, SCHEMA)
    assert render_text(told, shell=Shell(state="my state")) == line


def test_the_cases_leave_no_event_out() -> None:
    assert {told.kind for told, _, _ in CASES} == {*EventKind} - {EventKind.WAITING}


@pytest.mark.parametrize(
    ("seconds", "wait", "text"),
    [
        ([], None, None),
        ([4.9], None, None),
        ([64.0, 5.0, 1.0], None, "waiting for the answer for k0 (1m04s), k1 (5s)"),
        ([], 6.3, "waiting for the rate (20/10s), next in 6 s"),
        (
            [9.0],
            0.2,
            "waiting for the answer for k0 (9s); waiting for the rate (20/10s), next in 1 s",
        ),
        (
            [9.0] * 10,
            None,
            f"waiting for the answer for {', '.join(f'k{n} (9s)' for n in range(8))} and 2 more",
        ),
    ],
)
def test_what_is_waited_for(seconds: list[float], wait: float | None, text: str | None) -> None:
    underway = tuple(Underway(f"k{n}", f"a{n}", age) for n, age in enumerate(seconds))
    told = Event(EventKind.WAITING, AT, "run-1", wait=wait, underway=underway)
    assert waiting_for(told, rate=Rate(20, 10.0)) == text


def test_a_wait_that_the_api_asks_for_is_not_put_down_to_the_rate() -> None:
    told = Event(EventKind.WAITING, AT, "run-1", wait=57.0, reason="the API asks to wait")
    assert waiting_for(told, rate=Rate(20, 10.0)) == "the API asks to wait, next in 57 s"


@pytest.mark.parametrize("missing", ["run", "audioId", "personaId"])
def test_the_schema_refuses_an_event_without_what_it_promises(missing: str) -> None:
    document = json.loads(render_json(event(EventKind.CREATE_DONE, persona_id="p-1")))
    del document[missing]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


hostile = st.text(st.characters(), max_size=30) | st.sampled_from(
    ["::error::x", "\n::add-mask::x", "##[group]x", "\x1b[2J", "\u2028", "\ud800"]
)


@given(st.sampled_from(sorted({*EventKind} - {EventKind.WAITING})), hostile, hostile, hostile)
def test_one_line_that_steers_nothing(kind: EventKind, key: str, reason: str, other: str) -> None:
    told = Event(
        kind,
        AT,
        "run-1",
        key=key,
        audio_id=other,
        persona_id=reason,
        attempt=1,
        wait=0.5,
        reason=reason,
        rescued=other,
        previous_key=other,
        total=1,
        account=account(Result.FAILED, stopped=reason) if kind is EventKind.RUN_END else None,
    )
    line = render_json(told)
    assert line.isascii()
    assert line.isprintable()
    assert "##[" not in line
    document = json.loads(line)
    jsonschema.validate(document, SCHEMA)
    assert (document["key"], document["reason"]) == (key, reason)
    text = render_text(told)
    if text is not None:
        text.encode()
        assert all(ch.isprintable() or ord(ch) >= 160 for ch in text)
        assert not text.lstrip().startswith("::")
        assert "##[" not in text
