"""Where each persona of a run stands; no thread, no clock."""

from __future__ import annotations

from personasync.engine.attempt import Attempt
from personasync.engine.lineup import Lineup
from personasync.engine.schedule import Schedule
from personasync.model.diagnostics import Place
from personasync.model.persona import Persona, PersonaRequest
from personasync.plan.compute import Action, ActionKind


def action(number: int) -> Action:
    request = PersonaRequest("task", f"audio-{number}", "A name", "A voice")
    persona = Persona(f"p-{number}", request, Place("personas.yaml", 1, 1))
    return Action(ActionKind.CREATE, persona.key, request.audio_id, persona=persona)


def attempt(number: int) -> Attempt:
    wanted = action(number)
    assert wanted.persona is not None
    return Attempt("run", wanted, wanted.persona)


def test_who_has_rested_comes_before_who_was_never_asked() -> None:
    lineup = Lineup(Schedule(None, places=3))
    tired, fresh = attempt(1), attempt(2)
    lineup.ready.append(fresh)
    lineup.rest(tired, 10.0)
    assert lineup.next_to_ask(9.9) is fresh
    assert lineup.next_to_ask(10.0) is tired
    lineup.leave(tired, 10.0)
    assert lineup.next_to_ask(10.0) is fresh


def test_who_rests_keeps_its_place() -> None:
    lineup = Lineup(Schedule(None, places=2))
    lineup.to_ask.extend(map(action, range(5)))
    assert lineup.wanted() == 2
    lineup.rest(attempt(7), 10.0)
    assert lineup.wanted() == 1
    lineup.ready.append(attempt(8))
    lineup.leave(lineup.ready[0], 0.0)
    assert (lineup.places(), lineup.wanted()) == (0, 0)
    assert lineup.moments(0.0) == [10.0]


def test_what_left_is_under_way_until_it_is_heard_of() -> None:
    lineup = Lineup(Schedule(None, places=2))
    for number in range(2):
        lineup.ready.append(attempt(number))
        lineup.leave(lineup.ready[0], 5.0 + number)
    assert [(each.key, each.seconds) for each in lineup.underway(8.0)] == [
        ("p-0", 3.0),
        ("p-1", 2.0),
    ]
    assert lineup.begun
    assert lineup.started == {"audio-0", "audio-1"}


def test_those_at_rest_are_taken_in_their_order() -> None:
    lineup = Lineup(Schedule(None, places=3))
    first, second, third = attempt(1), attempt(2), attempt(3)
    lineup.rest(third, 9.0)
    lineup.rest(first, 5.0)
    lineup.rest(second, 9.0)
    assert lineup.take_resting() == [first, third, second]
    assert not lineup.begun
