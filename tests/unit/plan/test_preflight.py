"""What an answer about a task means for a persona, and that only a contradiction blocks."""

from __future__ import annotations

import pytest

from personasync.model.diagnostics import Place, Severity
from personasync.model.persona import Persona, PersonaRequest
from personasync.model.tasks import Credits, NoRecord, Task, TaskAnswer, Track, Unanswered
from personasync.plan.compute import Action, ActionKind
from personasync.plan.preflight import Check, Verdict, examine


def action(start: float | None = None, end: float | None = None) -> Action:
    request = PersonaRequest("t", "a", "n", "d", start, end)
    persona = Persona("key", request, Place("personas.yaml", 3, 3))
    return Action(ActionKind.CREATE, "key", "a", "t", persona=persona)


def task(status: str = "SUCCESS", *tracks: Track, **more: str) -> Task:
    return Task("t", status, tracks or (Track("a", "Title", duration=60.0),), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (task(), Verdict.OK),
        (task("CALLBACK_EXCEPTION"), Verdict.OK),
        (task("CALLBACK_EXCEPTION", Track("b")), Verdict.REFUSED),
        (Task("t", "CALLBACK_EXCEPTION"), Verdict.UNKNOWN),
        (task("A_NEW_STATUS"), Verdict.OK),
        (task("A_NEW_STATUS", Track("b")), Verdict.UNKNOWN),
        (task("FIRST_SUCCESS"), Verdict.RUNNING),
        (task("GENERATE_AUDIO_FAILED"), Verdict.REFUSED),
        (task("SUCCESS", Track("b"), Track("c")), Verdict.REFUSED),
        (Task("t", "SUCCESS", (Track("b"),), complete=False), Verdict.UNKNOWN),
        (task(model="V3"), Verdict.REFUSED),
        (task(model="v3_5"), Verdict.REFUSED),
        (task(model="V4"), Verdict.OK),
        (task(model="V40_NEW"), Verdict.OK),
        (task("SUCCESS", Track("a", model="chirp-v3-5")), Verdict.REFUSED),
        (task("SUCCESS", Track("a", model="chirp-v4")), Verdict.OK),
        (task("SUCCESS", Track("a", model="something")), Verdict.OK),
        (NoRecord("422"), Verdict.UNKNOWN),
        (Unanswered("500"), Verdict.UNKNOWN),
    ],
    ids=repr,
)
def test_verdicts(answer: TaskAnswer, verdict: Verdict) -> None:
    finding = examine(action(), answer)
    assert finding.verdict is verdict
    errors = [each for each in finding.diagnostics if each.severity is Severity.ERROR]
    assert bool(errors) is (verdict is Verdict.REFUSED)
    assert (finding.diagnostics == ()) is (verdict is Verdict.OK)


def test_every_reason_is_told_at_once() -> None:
    old = task("SUCCESS", Track("a", duration=12.0), model="V3_5")
    finding = examine(action(20, 45), old)
    assert [each.code for each in finding.diagnostics] == [
        "old-model",
        "beyond-the-track",
        "beyond-the-track",
    ]
    assert finding.reason.startswith("the track was made with V3_5, a model older than V4; vocal")


@pytest.mark.parametrize(
    ("left", "codes"), [(0.0, ["no-credits"]), (-1.0, ["no-credits"]), (0.5, []), (100.0, [])]
)
def test_credits_are_a_note(left: float, codes: list[str]) -> None:
    assert [each.code for each in Check((), Credits(left)).diagnostics] == codes
