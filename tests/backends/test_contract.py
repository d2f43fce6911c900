"""One contract, over every place where a state may be kept."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import personasync
from personasync.model.answer import KeptAnswer
from personasync.model.errors import StateError, StateLockedError, StateWriteError
from personasync.state import Entry, Holder, Origin, Status
from personasync.state.log import Leased, SelfRescuing
from personasync.state.rescue import rescue
from tests.backends.conftest import API, Place

NASTY = 'quote " backslash \\ line\nbreak \t tab \u2028 \U0001f600 é \x00 end'


def entry(number: int, persona_id: str | None = None, **fields: Any) -> Entry:
    """Return an entry: created where it has an ID, else pending."""
    status = Status.CREATED if persona_id else Status.PENDING
    return Entry(
        f"audio-{number}", f"p-{number}", status, persona_id=persona_id, run="run", **fields
    )


def test_what_is_appended_is_what_others_read(place: Place) -> None:
    written = [
        entry(1),
        entry(1, "id-1", origin=Origin.APPLY, at="2026-11-22T10:00:00Z"),
        entry(
            2,
            message=NASTY,
            answer=KeptAnswer.of_text(NASTY),
            code=-1,
            extra={"later": [1, {"a": None}]},
        ),
    ]
    log = place.open()
    with log.lock():
        log.append(written[:1])
        log.append(written[1:])
        assert list(log.read().entries) == written
    contents = place.open().read()
    assert list(contents.entries) == written
    assert contents.notes == ()
    assert contents.header is not None


def test_the_lineage_stays(place: Place) -> None:
    log = place.open()
    with log.lock():
        log.append([entry(1)])
    first = place.open().read().header
    with log.lock():
        log.append([entry(2)])
    assert place.open().read().header == first


def test_reading_needs_no_lock(place: Place) -> None:
    log = place.open()
    with log.lock():
        log.append([entry(1, "id-1")])
        assert len(place.open().read().entries) == 1


def test_one_writer_at_a_time(place: Place) -> None:
    waited: list[Holder | None] = []
    with place.open().lock():
        with pytest.raises(StateLockedError) as caught, place.open().lock():
            pass
        with pytest.raises(StateLockedError), place.open().lock(timeout=1.2, on_wait=waited.append):
            pass
    assert place.location in caught.value.message
    assert "pid" in caught.value.message
    assert len(waited) == 1
    with place.open().lock():
        pass


def test_who_waits_goes_on_when_the_other_ends(place: Place) -> None:
    waits, ended = threading.Event(), threading.Event()

    def second() -> None:
        log = place.open()
        with log.lock(timeout=30, on_wait=lambda _holder: waits.set()):
            log.append([entry(2)])
        ended.set()

    thread = threading.Thread(target=second, daemon=True)
    log = place.open()
    with log.lock():
        thread.start()
        assert waits.wait(20)
        log.append([entry(1)])
    assert ended.wait(30)
    assert [each.audio_id for each in place.open().read().entries] == ["audio-1", "audio-2"]


def test_compacting_changes_nothing_that_is_known(place: Place) -> None:
    log = place.open()
    with log.lock():
        for number in range(70):
            log.append([entry(number), entry(number, f"id-{number}")])
        before = log.read().fold()
        log.compact()
        assert log.read().fold() == before
    assert place.open().read().fold() == before
    with log.lock():
        log.append([entry(7000)])
        log.compact()
    assert len(place.open().read().fold().entries) == 71


def test_what_is_rescued_is_read_and_taken_in_once(place: Place) -> None:
    log = place.open()
    with log.lock():
        log.append([entry(1)])
    where = rescue(log, [entry(1, "id-1"), entry(2, "id-2")])
    assert where
    assert isinstance(log, SelfRescuing)
    contents = place.open().read()
    assert contents.fold().entries["audio-2"].persona_id == "id-2"
    assert len(contents.notes) == 1
    with log.lock():
        assert log.read().fold().entries["audio-1"].persona_id == "id-1"
    contents = place.open().read()
    assert contents.notes == ()
    assert contents.fold().entries["audio-2"].persona_id == "id-2"
    assert len(contents.entries) == 3


def test_another_api_is_refused(place: Place) -> None:
    log = place.open()
    with log.lock():
        log.append([entry(1)])
    if place.kind == "memory":
        return
    from personasync.state import open_log

    with pytest.raises(StateError, match=r"https://api\.example\.com"):
        open_log(place.location, api="https://other.example.com").read()
    other = open_log(place.location, api="https://other.example.com")
    with pytest.raises(StateError, match=r"https://api\.example\.com"), other.lock():
        pass


def test_a_shared_state_that_is_not_there_is_an_error(shared: Place, place_of: object) -> None:
    missing = Place(shared.kind, f"{shared.location}-no")
    with pytest.raises(StateError, match="there is no state at"):
        missing.open().read()
    with pytest.raises(StateError, match="there is no state at"), missing.open().lock():
        pass


def test_a_state_is_begun_once(shared: Place) -> None:
    with pytest.raises(StateError, match=r"there is a state at .* already"):
        shared.begin()


def test_appending_without_the_lock_is_refused(shared: Place) -> None:
    with pytest.raises(StateWriteError, match="not locked"):
        shared.open().append([entry(1)])


def test_a_hold_is_confirmed(shared: Place) -> None:
    log = shared.open()
    assert isinstance(log, Leased)
    with log.lock():
        log.confirm()


def test_the_library_reads_and_writes_it_by_its_location(shared: Place) -> None:
    log = personasync.open_log(shared.location, api=API)
    with log.lock():
        log.append([entry(1, "id-1")])
    known = personasync.load_state(shared.location, api=API)
    assert known.entries["audio-1"].persona_id == "id-1"
    assert known.header is not None
    assert known.header.api == API
