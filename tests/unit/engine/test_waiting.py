"""When a task that personas wait for is looked at again, and what comes of it."""

from __future__ import annotations

from personasync.engine.waiting import Waiting
from personasync.model.diagnostics import Place
from personasync.model.persona import Persona, PersonaRequest
from personasync.model.tasks import Task, Track, Unanswered
from personasync.plan.compute import Action, ActionKind
from personasync.plan.preflight import Finding, Verdict

RUNNING = Task("t", "PENDING")


def finding(key: str, task_id: str = "t") -> Finding:
    request = PersonaRequest(task_id, f"audio-{key}", "n", "d")
    persona = Persona(key, request, Place("personas.yaml", 3, 3))
    action = Action(ActionKind.CREATE, key, request.audio_id, task_id, persona=persona)
    return Finding(action, Verdict.RUNNING)


def test_each_task_is_looked_at_at_growing_intervals_until_the_end_of_the_time() -> None:
    waiting = Waiting([finding("a"), finding("b")], now=100.0, seconds=60.0)
    looks = []
    given_up: list[Finding] = []
    while waiting:
        due = waiting.next_look()
        assert due is not None
        assert waiting.take_due(due - 0.1) is None
        assert waiting.take_due(due) == "t"
        assert waiting.next_look() is None, "one question at a time"
        looks.append(due - 100.0)
        _, given_up = waiting.heard("t", RUNNING, due)
    assert looks == [5.0, 10.0, 17.5, 28.75, 45.625, 60.0]
    assert [each.action.key for each in given_up] == ["a", "b"]


def test_who_is_ready_and_who_is_refused() -> None:
    waiting = Waiting([finding("a"), finding("b")], now=0.0, seconds=60.0)
    assert waiting.take_due(5.0) == "t"
    ready, refused = waiting.heard("t", Task("t", "SUCCESS", (Track("audio-a"),)), 5.0)
    assert [action.key for action in ready] == ["a"]
    assert [(each.action.key, each.verdict) for each in refused] == [("b", Verdict.REFUSED)]
    assert not waiting


def test_no_answer_is_no_news_and_its_wait_is_heeded() -> None:
    waiting = Waiting([finding("a")], now=0.0, seconds=60.0)
    assert waiting.take_due(5.0) == "t"
    assert waiting.heard("t", Unanswered("429", retry_after=20.0, throttled=True), 5.0) == ([], [])
    assert waiting.next_look() == 25.0
    assert waiting.keys == ("a",)
