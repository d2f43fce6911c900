"""What is sent for a persona, and what it means to the API."""

from __future__ import annotations

from typing import Any

import pytest

from personasync.model.contract import API_FIELDS
from personasync.model.diagnostics import Place
from personasync.model.persona import Persona, PersonaRequest

LEAST = PersonaRequest("t", "a", "n", "d")
MOST = PersonaRequest("t", "a", "n", "d", 0, 12.5, "Pop")


def test_what_was_not_given_is_not_sent() -> None:
    assert LEAST.to_json() == {"taskId": "t", "audioId": "a", "name": "n", "description": "d"}


def test_what_was_given_is_sent_in_the_order_of_the_contract() -> None:
    assert list(MOST.to_json().items()) == [
        ("taskId", "t"),
        ("audioId", "a"),
        ("name", "n"),
        ("description", "d"),
        ("vocalStart", 0),
        ("vocalEnd", 12.5),
        ("style", "Pop"),
    ]
    assert list(MOST.to_json()) == list(API_FIELDS)


@pytest.mark.parametrize("style", ["", "Pop"])
def test_zero_and_empty_are_values(style: Any) -> None:
    sent = PersonaRequest("t", "a", "n", "d", 0, 0, style).to_json()
    assert (sent["vocalStart"], sent["vocalEnd"], sent["style"]) == (0, 0, style)


def test_the_api_fills_in_its_own_defaults() -> None:
    assert LEAST.effective() == {
        "taskId": "t",
        "audioId": "a",
        "name": "n",
        "description": "d",
        "vocalStart": 0,
        "vocalEnd": 30,
        "style": None,
    }
    assert MOST.effective() == MOST.to_json()


def test_a_persona_is_identified_by_its_audio() -> None:
    assert Persona("k", LEAST, Place("f", 1, 1)).audio_id == "a"


def test_a_place_reads_as_editors_write_it() -> None:
    assert str(Place("p.yaml", 3, 7, 3, 12)) == "p.yaml:3:7"
    assert Place("a", 2, 1) < Place("a", 10, 1) < Place("b", 1, 1)
