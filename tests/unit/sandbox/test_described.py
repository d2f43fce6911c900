"""Files of tasks, and what is wrong with some."""

import pytest

from personasync.sandbox.described import read_tasks


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "the file is not a mapping"),
        ({}, "there is no mapping named tasks"),
        ({"tasks": []}, "tasks is not a mapping"),
        ({"task": {}}, "task is not known; did you mean tasks?"),
        ({"tasks": {"x": None}}, "tasks.x is not a mapping"),
        (
            {"tasks": {"x": {"stauts": "PENDING"}}},
            "tasks.x.stauts is not known; did you mean status?",
        ),
        ({"tasks": {"x": {"expired": 1}}}, "tasks.x.expired is not true or false"),
        ({"tasks": {"x": {"after": True}}}, "tasks.x.after is not a duration, such as 20s"),
        (
            {"tasks": {"x": {"after": "soon"}}},
            "tasks.x.after: 'soon' is not a duration; write it like 500ms, 30s or 2m",
        ),
        (
            {"tasks": {"x": {"tracks": [{"audioId": 5}]}}},
            "tasks.x.tracks[0].audioId is not text: quote it",
        ),
        ({"tasks": {"x": {"tracks": [{}]}}}, "tasks.x.tracks[0].audioId is missing"),
        ({"tasks": {"x": {"tracks": ["a"]}}}, "tasks.x.tracks[0] is not a mapping"),
    ],
)
def test_what_describes_no_task_is_refused(data: object, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_tasks(data)
    assert str(caught.value) == said


def test_a_status_that_is_none_is_refused_with_the_eight_that_are() -> None:
    with pytest.raises(ValueError, match=r"tasks\.x\.status: 'DONE' is none of PENDING, TEXT_"):
        read_tasks({"tasks": {"x": {"status": "DONE"}}})
