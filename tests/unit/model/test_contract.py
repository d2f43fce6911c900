"""What is an ID, and what only stands where one belongs."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.model.contract import PLAIN_ID, is_persona_id, is_placeholder, is_url

NONE = """
    PERSONA_ID persona-id personaId TASK_ID taskId audio_id AUDIOID ID id <ID> <persona_id>
    your-id your-task1-id your_audio_id YOUR-PERSONA-ID-HERE yourPersonaId paste-id-here
    INSERT_ID put_it_here null Null undefined None NaN nil n/a N/A #N/A #REF! unknown true
    a1b2****c3d4 a1b2••••c3d4 a1b2…c3d4 a1b2... xxx xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx
    a1b2xxxxc3d4 {{personaId}} ${PERSONA_ID} $PERSONA_ID {id} %PERSONA_ID%
    todo TBD tba FIXME changeme change_me placeholder string uuid - ? --- __
    00000000-0000-0000-0000-000000000000 https://example.org/persona/a1b2 HTTP://x
    www.example.org //cdn.example.org/a.mp3 example.org/persona/a1b2 file:///tmp/a1b2
"""
IDS = """
    a1b2 5c79be8e e231c2d4-58b6-4b6d-9a0c-1f2e8cadc7dc task-1 audio-1 persona-1 a x1 p_1 A.b:c
    idol identity-1 persona-id-1 here nullable none-of-it p-null-1 a/b a.b x-1 100 0a0 pid
"""


@pytest.mark.parametrize("text", [*NONE.split(), "[object Object]"])
def test_what_is_no_id(text: str) -> None:
    assert is_placeholder(text)
    assert is_placeholder(f" {text}\n")


@pytest.mark.parametrize("text", IDS.split())
def test_what_can_be_one(text: str) -> None:
    assert not is_placeholder(text)


def test_an_id_of_something_else_is_none() -> None:
    assert is_placeholder("5c79be8e", "e231c2d4", "5c79be8e")
    assert not is_placeholder("a1b2", "e231c2d4", "5c79be8e")


@given(st.uuids() | st.from_regex(r"[0-9a-f]{8,40}|[0-9A-Za-z]{12,32}", fullmatch=True))
def test_what_a_service_makes_is_an_id(text: uuid.UUID | str) -> None:
    if not str(text).strip("0-") or "xxx" in str(text).lower():
        return
    assert is_persona_id(str(text))
    assert not is_placeholder(str(text))
    assert not is_url(str(text))


@given(st.text("0123456789abcdefx-", max_size=12))
def test_what_is_passed_at_a_glance_is_no_placeholder(text: str) -> None:
    assert not (PLAIN_ID.fullmatch(text) and is_placeholder(f" {text}"))
