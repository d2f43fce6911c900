"""Tasks and their tracks."""

import json
from dataclasses import replace
from typing import Any

import pytest

from personasync.model.persona import PersonaRequest
from personasync.sandbox.contract import NO_SUCH_TASK, refusal
from personasync.sandbox.described import named_tracks, read_tasks
from personasync.sandbox.tasks import (
    MAGIC_TASKS,
    MODELS,
    RECORD_IS_NULL,
    Status,
    Task,
    Tasks,
    Track,
)

REQUEST = PersonaRequest("t", "a", "N", "D")


def record(tasks: Tasks, task_id: str, elapsed: float = 0.0) -> Any:
    answer = tasks.describe(task_id, elapsed)
    assert answer.code == 200, answer
    return answer.data


def refused(tasks: Tasks, request: PersonaRequest = REQUEST, elapsed: float = 0.0) -> str | None:
    answer = tasks.refuse(request, elapsed)
    return answer.msg.partition("checks: ")[2] if answer else None


def test_a_record_has_every_field_that_captured_answers_have() -> None:
    data = record(Tasks(), "t")
    assert set(data) == {
        "taskId",
        "parentMusicId",
        "param",
        "response",
        "status",
        "type",
        "operationType",
        "errorCode",
        "errorMessage",
        "createTime",
    }
    assert json.loads(data["param"])["model"] == "V4_5PLUS"
    assert isinstance(data["createTime"], int)
    assert data["createTime"] > 1_000_000_000_000  # milliseconds
    first, second = data["response"]["sunoData"]
    assert set(first) == {
        "id",
        "audioUrl",
        "sourceAudioUrl",
        "streamAudioUrl",
        "imageUrl",
        "prompt",
        "modelName",
        "title",
        "tags",
        "createTime",
        "duration",
    }
    assert first["id"] != second["id"]
    assert record(Tasks(), "t") == data


@pytest.mark.parametrize(("model", "name"), MODELS.items())
def test_models_have_names_that_exist_together(model: str, name: str) -> None:
    data = record(Tasks({"t": Task(model=model)}), "t")
    assert json.loads(data["param"])["model"] == model
    assert {track["modelName"] for track in data["response"]["sunoData"]} == {name}
    old = refused(Tasks({"t": Task(model=model)}))
    assert bool(old) == (model in ("V2", "V3", "V3_5"))


@pytest.mark.parametrize("status", Status)
def test_what_each_status_tells_and_lets_happen(status: Status) -> None:
    tasks = Tasks({"t": Task(status, (Track("a"), Track("b")))})
    data = record(tasks, "t")
    assert data["status"] == status
    ids = data["response"] and [track["id"] for track in data["response"]["sunoData"]]
    finished = status in ("SUCCESS", "CALLBACK_EXCEPTION")
    assert ids == {
        "TEXT_SUCCESS": ["", ""],
        "FIRST_SUCCESS": ["a", ""],
        "SUCCESS": ["a", "b"],
        "CALLBACK_EXCEPTION": ["a", "b"],
    }.get(status)
    assert (refused(tasks) is None) is finished
    assert bool(data["errorMessage"]) == ("FAILED" in status or status.endswith(("TION", "ERROR")))


@pytest.mark.parametrize("word", MAGIC_TASKS)
def test_magic_words_without_a_manifest_take_any_audio(word: str) -> None:
    good = {"soon": 6.0, "callback-exception": 0.0, "short-track": 0.0}
    said = refused(Tasks(), replace(REQUEST, task_id=f"{word}-7"), good.get(word, 0.0))
    assert (said is None) is (word in good)


@pytest.mark.parametrize(
    ("task_id", "answer"),
    [
        ("missing-1", NO_SUCH_TASK),
        ("expired", RECORD_IS_NULL),
        ("", refusal(422, "taskId is required")),
    ],
)
def test_tasks_without_a_record(task_id: str, answer: object) -> None:
    assert Tasks().describe(task_id, 0.0) == answer


MANIFEST = named_tracks(
    [
        REQUEST,
        replace(REQUEST, audio_id="b", name="Second", vocal_end=400.5),
        replace(REQUEST, task_id="short-track", audio_id="c", vocal_end=30),
        replace(REQUEST, task_id="old-model-1", audio_id="d"),
        replace(REQUEST, task_id="other-tracks", audio_id="e"),
    ]
)


def test_a_manifest_says_which_audios_belong_to_a_task() -> None:
    tasks = Tasks(named=MANIFEST)
    tracks = record(tasks, "t")["response"]["sunoData"]
    assert [(track["id"], track["title"], track["duration"]) for track in tracks] == [
        ("a", "N", 183.2),
        ("b", "Second", 400.5),
    ]
    assert refused(tasks) is None
    assert refused(tasks, replace(REQUEST, audio_id="c")) == "audioId: no such audio in this task"
    assert tasks.describe("elsewhere", 0.0) == RECORD_IS_NULL
    assert tasks.refuse(replace(REQUEST, task_id="elsewhere"), 0.0) == NO_SUCH_TASK


@pytest.mark.parametrize(
    ("task_id", "audio_id", "said"),
    [
        ("short-track", "c", "vocalEnd (30) is beyond the track's end (20)"),
        ("old-model-1", "d", "the music was made with V3_5, a model older than V4"),
        ("other-tracks", "e", "audioId: no such audio in this task"),
    ],
)
def test_magic_words_work_in_a_manifest_too(task_id: str, audio_id: str, said: str) -> None:
    request = replace(REQUEST, task_id=task_id, audio_id=audio_id, vocal_end=30)
    assert refused(Tasks(named=MANIFEST), request) == said
    if task_id != "other-tracks":
        tracks = record(Tasks(named=MANIFEST), task_id)["response"]["sunoData"]
        assert [track["id"] for track in tracks] == [audio_id]


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (None, None, None),
        (None, 20.5, None),
        (None, 20.6, "vocalEnd (20.6) is beyond the track's end (20)"),
        (21, None, "vocalStart (21) is beyond the track's end (20)"),
    ],
)
def test_a_segment_beyond_the_end_is_refused_where_it_is_asked_for(
    start: float | None, end: float | None, said: str | None
) -> None:
    request = replace(REQUEST, task_id="short-track", vocal_start=start, vocal_end=end)
    assert refused(Tasks(), request) == said


DESCRIBED = {
    "tasks": {
        "late": {
            "status": "SUCCESS",
            "after": "20s",
            "model": "V4_5",
            "tracks": [{"audioId": "a", "title": "Dawn", "duration": 183.2}],
        },
        "bad": {"status": "SENSITIVE_WORD_ERROR", "errorMessage": "rude"},
        "gone": {"expired": True},
        "t": {"after": 1},
    }
}


def test_tasks_are_described_one_by_one() -> None:
    tasks = Tasks(read_tasks(DESCRIBED), MANIFEST)
    assert record(tasks, "late", 19.9)["response"] is None
    [track] = record(tasks, "late", 20.0)["response"]["sunoData"]
    assert (track["id"], track["title"], track["duration"]) == ("a", "Dawn", 183.2)
    assert record(tasks, "bad")["errorMessage"] == "rude"
    assert tasks.describe("gone", 0.0) == RECORD_IS_NULL
    ids = [track["id"] for track in record(tasks, "t", 1)["response"]["sunoData"]]
    assert ids == ["a", "b"]  # as the manifest has it
