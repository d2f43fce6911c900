"""A whole run: what is on disk before what, who goes when, and an account whatever happens."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from personasync.engine import ApplyOptions, apply
from personasync.engine.messages import Ended
from personasync.engine.run import Mailbox
from personasync.engine.schedule import Schedule
from personasync.model.answer import KeptAnswer
from personasync.model.errors import StateWriteError
from personasync.model.outcome import Created, NotSent, Refused, Throttled, Unclear
from personasync.model.units import Rate
from personasync.state import FileStateLog, Origin, Status, load_state
from personasync.state.entry import Entry
from tests.helpers.waiting import wait_for
from tests.unit.engine.fakes import API, LONG, MemoryLog, Ran, ScriptedApi, persona, plan_of, run

UNANSWERED = Unclear("no whole answer within 60s")


def known(number: int, key: Any = None, status: Any = Status.CREATED, **changes: Any) -> Any:
    if status is Status.CREATED:
        changes = {"persona_id": f"id-a-{number}", "origin": Origin.APPLY, **changes}
    request = persona(number).request
    return Entry(f"a-{number}", key or f"p-{number}", status, request=request, **changes)


def deliver(number: int) -> None:
    """Send ourselves a signal, and wait until the system has handed it over: none is merged."""
    os.kill(os.getpid(), number)
    while waiting_signals() >> (number - 1) & 1:
        time.sleep(0.001)


def waiting_signals() -> Any:
    """The signals sent to this process that no thread has taken yet, as a bit mask (proc(5))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("ShdPnd:")), 16)


def answer_when(event: Any, answer: Any = UNANSWERED) -> Any:
    """Answer once an event has come to pass."""

    def answer_then() -> Any:
        event.wait(LONG)
        return answer

    return answer_then


def place(journal: Any, *step: Any) -> Any:
    return journal.index(step)


class TestOrder:
    @pytest.mark.parametrize("parallelism", [1, 7])
    def test_pending_is_durable_before_the_request_and_the_id_before_it_is_told(
        self, parallelism: Any
    ) -> None:
        ran = run(30, parallelism=parallelism, latency=0.002)
        journal = ran.log.journal
        for number in range(1, 31):
            audio = f"a-{number}"
            steps = [
                place(journal, "append", "pending", audio),
                place(journal, "send", audio),
                place(journal, "append", "created", audio),
                place(journal, "event", "create_done", audio),
            ]
            assert steps == sorted(steps)
            assert journal.count(("send", audio)) == 1
        assert ran.account.complete
        assert len(ran.log.entries) == 60

    def test_so_it_is_with_a_real_file(self, tmp_path: Path) -> None:
        path = tmp_path / "state.jsonl"
        seen = []

        class Api(ScriptedApi):
            def create(self, request: Any) -> Any:
                seen.append(load_state(path).entries[request.audio_id].status)
                return super().create(request)

        def listen(event: Any) -> None:
            if event.persona_id:
                seen.append(load_state(path).entries[event.audio_id].persona_id == event.persona_id)

        log = FileStateLog(path, api=API)
        with log.lock():
            ran = Ran(plan_of(12), log, Api(latency=0.01), listener=listen)
        assert ran.account.complete
        assert sorted(map(str, seen)) == ["True"] * 12 + ["pending"] * 12
        assert {e.persona_id for e in load_state(path).entries.values()} == {
            f"id-a-{number}" for number in range(1, 13)
        }

    def test_one_at_a_time_goes_in_the_order_of_the_manifest(self) -> None:
        ran = run(20, parallelism=1)
        assert ran.api.asked == [f"a-{number}" for number in range(1, 21)]
        assert [event.key for event in ran.events if event.kind == "create_start"] == [
            f"p-{number}" for number in range(1, 21)
        ]

    def test_several_at_a_time_keep_to_the_order_as_far_as_they_can(self) -> None:
        ran = run(40, parallelism=4, together=4)
        numbers = [int(audio[2:]) for audio in ran.api.asked]
        for first in range(0, 40, 4):
            assert sorted(numbers[first : first + 4]) == list(range(first + 1, first + 5))

    def test_as_many_at_a_time_as_allowed_and_no_more(self) -> None:
        ran = run(24, parallelism=6, latency=0.02, together=6)
        assert ran.account.complete
        assert ran.api.most_at_once == 6

    def test_no_more_workers_than_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        start, started = threading.Thread.start, []

        def noted(thread: Any) -> None:
            if thread.name.startswith("worker-"):
                started.append(thread.name)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", noted)
        ran = run(2, parallelism=64, together=2)
        assert ran.api.most_at_once == 2
        assert started == ["worker-0", "worker-1"]

    def test_an_audio_with_an_id_is_never_asked_for_again(self) -> None:
        ran = run(3, entries=[known(1), known(2, status=Status.PENDING)])
        assert sorted(ran.api.asked) == ["a-2", "a-3"]

    def test_parallelism_is_at_least_one(self) -> None:
        with pytest.raises(ValueError, match="parallelism is at least 1"):
            ApplyOptions(parallelism=0)

    def test_with_fewer_threads_than_asked_for_the_work_is_done_all_the_same(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start, started = threading.Thread.start, []

        def scarce(thread: Any) -> Any:
            if thread.name.startswith("worker-"):
                started.append(thread)
                if len(started) > 2:
                    raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", scarce)
        ran = run(10, parallelism=5, together=2)
        assert ran.account.complete
        assert ran.api.most_at_once == 2

    def test_without_any_thread_the_run_fails_in_words(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def none_left(_thread: Any) -> Any:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", none_left)
        ran = run(2)
        assert ran.rows == {"p-1": "not attempted", "p-2": "not attempted"}
        assert isinstance(ran.account.failure, RuntimeError)
        assert ran.told[-1] == ("run_end", None)


class TestKnownIds:
    def test_imports_and_renames_are_one_append_and_no_request(self) -> None:
        entries = [known(1, "old"), known(3, status=Status.FORGOTTEN, persona_id="kept")]
        personas = [persona(1), persona(2, persona_id="given"), persona(3)]
        appends = []

        class Log(MemoryLog):
            def append(self, entries: Any) -> None:
                appends.append([entry.key for entry in entries])
                super().append(entries)

        api = ScriptedApi()
        ran = Ran(plan_of(personas, entries), Log(entries), api)
        assert appends == [["p-1", "p-2", "p-3"]]
        assert api.asked == []
        assert ran.told == [
            ("run_start", None),
            ("renamed", "p-1"),
            ("imported", "p-2"),
            ("imported", "p-3"),
            ("run_end", None),
        ]
        assert [event.persona_id for event in ran.events[1:4]] == ["id-a-1", "given", "kept"]
        assert [event.previous_key for event in ran.events[1:4]] == ["old", None, None]
        assert ran.events[0].total == 3
        found = ran.log.folded()
        assert {e.key: (e.status, e.persona_id, e.origin) for e in found.values()} == {
            "p-1": ("created", "id-a-1", "apply"),
            "p-2": ("created", "given", "manifest"),
            "p-3": ("created", "kept", "manifest"),
        }
        assert found["a-2"].request == persona(2).request
        assert ran.rows == {"p-1": "renamed", "p-2": "imported", "p-3": "imported"}
        assert ran.account.exit_code == 0

    def test_two_keys_are_swapped_in_one_apply(self) -> None:
        entries = [known(1, "one"), known(2, "two")]
        ran = run([persona(1, key="two"), persona(2, key="one")], entries=entries)
        found = ran.log.folded()
        assert (found["a-1"].key, found["a-2"].key) == ("two", "one")
        assert ran.api.asked == []

    def test_a_rename_keeps_all_that_is_known(self) -> None:
        before = known(1, "old", extra={"later": 1}, message="hello", at="then", run="before")
        ran = run([persona(1, name="another")], entries=[before])
        found = ran.log.folded()["a-1"]
        assert found.extra == {"later": 1}
        assert found.message == "hello"
        assert found.request == before.request
        assert (found.key, found.run) == ("p-1", ran.account.run)

    def test_where_they_cannot_be_written_nothing_is_sent(self) -> None:
        ran = run(
            [persona(1), persona(2, persona_id="given")],
            fails=lambda entry: entry.status is Status.CREATED,
        )
        assert ran.api.asked == []
        assert ran.rows == {"p-1": "not attempted", "p-2": "not attempted"}
        assert ran.account.stopped == "cannot write the state: no space"
        assert ran.account.exit_code == 1

    def test_a_log_that_fails_in_a_way_of_its_own_still_ends_with_an_account(self) -> None:
        ran = run([persona(1, persona_id="x"), persona(2)], fails=lambda _entry: KeyError("odd"))
        assert ran.told == [("run_start", None), ("run_end", None)]
        assert isinstance(ran.account.failure, KeyError)
        assert ran.account.stopped == "unexpected error: KeyError"
        assert ran.rows == {"p-1": "not attempted", "p-2": "not attempted"}


class TestNothingToDo:
    def test_nothing_is_done(self) -> None:
        ran = run(2, entries=[known(1), known(2)])
        assert ran.told == [("run_start", None), ("run_end", None)]
        assert ran.account.complete
        assert ran.account.exit_code == 0
        assert ran.log.entries == [known(1), known(2)]

    def test_what_is_in_conflict_is_accounted_for(self) -> None:
        entries = [known(1, status=Status.CONFLICT, code=409)]
        ran = run(2, entries=entries)
        assert ran.api.asked == ["a-2"]
        assert ran.rows == {"p-1": "conflict", "p-2": "created"}
        assert ran.account.exit_code == 3
        assert ran.events[0].total == 1


class TestOneIdForSeveral:
    def test_it_is_recorded_as_the_api_gave_it_and_told(self) -> None:
        script = {audio: [Created("same")] for audio in ("a-1", "a-3")}
        ran = run(4, script)
        assert ran.account.complete
        assert ran.account.repeated == {"same": ("p-1", "p-3")}
        assert ran.log.folded()["a-3"].persona_id == "same"

    def test_so_is_one_that_was_recorded_before(self) -> None:
        before = known(2)
        log = MemoryLog([before])
        ran = Ran(plan_of(2, [before]), log, ScriptedApi({"a-1": [Created("id-a-2")]}))
        assert ran.account.repeated == {"id-a-2": ("p-1", "p-2")}

    def test_what_was_so_before_is_not_told_again(self) -> None:
        before = [known(1), known(2, persona_id="id-a-1")]
        ran = Ran(plan_of(3, before), MemoryLog(before), ScriptedApi())
        assert ran.account.repeated == {}


class TestStateThatCannotBeWritten:
    def test_at_pending_nothing_is_sent(self) -> None:
        ran = run(9, fails=lambda entry: entry.audio_id == "a-3", parallelism=1)
        assert ran.api.asked == ["a-1", "a-2"]
        assert list(ran.rows.values()) == ["created"] * 2 + ["not attempted"] * 7
        assert {row.reason for row in ran.account.results[2:]} == {
            "cannot write the state: no space"
        }
        assert ("create_start", "p-3") not in ran.told
        assert ran.account.stopped == "cannot write the state: no space"
        assert ran.account.exit_code == 3
        assert ran.account.failure is None

    def test_at_the_first_pending_it_is_an_error(self) -> None:
        ran = run(5, fails=lambda _entry: True)
        assert ran.api.asked == []
        assert ran.account.exit_code == 1

    def test_at_created_the_id_is_rescued_and_nothing_more_is_sent(self) -> None:
        ran = run(9, fails=lambda entry: entry.status is Status.CREATED, parallelism=1)
        assert ran.api.asked == ["a-1"]
        assert [(e.audio_id, e.persona_id) for e in ran.log.rescued] == [("a-1", "id-a-1")]
        done = next(event for event in ran.events if event.kind == "create_done")
        assert (done.persona_id, done.rescued) == ("id-a-1", "state.rescue")
        row = ran.account.results[0]
        assert (row.result, row.rescued, row.entry.persona_id) == (
            "created",
            "state.rescue",
            "id-a-1",
        )
        assert not ran.account.complete
        assert ran.account.exit_code == 3
        assert ran.account.stopped == "cannot write the state: no space"

    @pytest.mark.parametrize("rescue", [None, OSError("worse"), KeyError("worst")])
    def test_where_it_cannot_be_rescued_it_is_told_all_the_same(self, rescue: Any) -> None:
        ran = run(1, fails=lambda entry: entry.status is Status.CREATED, rescue=rescue)
        done = next(event for event in ran.events if event.kind == "create_done")
        assert (done.persona_id, done.rescued) == ("id-a-1", "")
        assert ran.account.results[0].rescued == ""
        assert ran.account.exit_code == 3

    @pytest.mark.parametrize("error", [MemoryError(), ValueError("odd"), StateWriteError("full")])
    def test_whatever_the_log_raises_the_id_is_rescued(self, error: Any) -> None:
        ran = run(3, parallelism=1, fails=lambda e: e.status is Status.CREATED and error)
        assert ran.api.asked == ["a-1"]
        assert [entry.persona_id for entry in ran.log.rescued] == ["id-a-1"]
        assert ran.account.results[0].rescued == "state.rescue"

    def test_ids_in_flight_are_rescued_too(self) -> None:
        ran = run(20, fails=lambda e: e.status is Status.CREATED, parallelism=4, together=4)
        assert len(ran.api.asked) == 4
        assert {entry.persona_id for entry in ran.log.rescued} == {
            f"id-{audio}" for audio in ran.api.asked
        }

    @pytest.mark.parametrize("status", [Status.FAILED, Status.CONFLICT])
    def test_at_another_outcome_it_stays_pending(self, status: Any) -> None:
        from personasync.model.outcome import Conflict

        outcome = Refused(404, "no") if status is Status.FAILED else Conflict(409, "")
        ran = run(3, {"a-1": [outcome]}, fails=lambda e: e.status is status, parallelism=1)
        assert ran.rows == {"p-1": "unknown", "p-2": "not attempted", "p-3": "not attempted"}
        assert ran.log.folded()["a-1"].status is Status.PENDING
        assert ran.account.results[0].reason == (
            "its outcome could not be recorded: cannot write the state: no space"
        )

    @pytest.mark.parametrize("rescue", ["x.rescue", None, RuntimeError("odd")])
    def test_what_the_log_has_lost_by_the_end_is_rescued_and_told_again(self, rescue: Any) -> None:
        log = MemoryLog(rescue=rescue)
        log.taken = {"a-2"}
        ran = Ran(plan_of(3), log, ScriptedApi())
        assert ran.account.exit_code == 3
        assert ran.account.stopped == "something else changed the state during the run"
        assert [row.rescued for row in ran.account.results] == [
            None,
            rescue if isinstance(rescue, str) else "",
            None,
        ]
        told = [(e.key, e.rescued) for e in ran.events if e.kind == "create_done"]
        assert told[-1] == ("p-2", ran.account.results[1].rescued)
        assert len(told) == 4

    def test_a_run_that_is_left_at_once_looks_at_nothing_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = MemoryLog()
        log.taken = {"a-1"}
        release = threading.Event()

        def interrupt() -> Any:
            deliver(signal.SIGTERM)
            deliver(signal.SIGTERM)
            release.wait(60)
            return UNANSWERED

        ran = Ran(
            plan_of(2), log, ScriptedApi({"a-2": [interrupt]}), parallelism=1, handle_signals=True
        )
        release.set()
        assert ran.account.abandoned
        assert [row.rescued for row in ran.account.results] == [None, None]

    def test_an_answer_that_may_hold_the_id_is_rescued(self) -> None:
        script = {"a-1": [Unclear("odd", 200, KeptAnswer.of_text('{"personaId": 7}'))]}
        ran = run(2, script, fails=lambda entry: entry.answer is not None, parallelism=1)
        assert ran.api.asked == ["a-1"]
        assert [entry.answer for entry in ran.log.rescued] == [
            KeptAnswer.of_text('{"personaId": 7}')
        ]
        assert ran.rows == {"p-1": "unknown", "p-2": "not attempted"}
        assert ran.account.results[0].entry.answer == KeptAnswer.of_text('{"personaId": 7}')
        assert "create_retry" not in [event.kind for event in ran.events]

    def test_a_real_file_that_is_deleted_loses_no_id(self, tmp_path: Path) -> None:
        path = tmp_path / "state" / "s.jsonl"
        path.parent.mkdir()

        def delete() -> Any:
            path.unlink(missing_ok=True)
            return Created("id-a-3")

        log = FileStateLog(path, api=API)
        with log.lock():
            ran = Ran(plan_of(6), log, ScriptedApi({"a-3": [delete]}), parallelism=1)
        assert ran.account.results[2].rescued == f"{path}.rescue"
        assert list(ran.rows.values()) == ["created"] * 3 + ["not attempted"] * 3
        with FileStateLog(path, api=API).lock():
            assert load_state(path).entries["a-3"].persona_id == "id-a-3"


class TestListener:
    def test_one_that_fails_ends_the_run_since_nothing_may_happen_unseen(self, ending: Any) -> None:
        heard = []
        second_left = threading.Event()

        def answer_the_second() -> Any:
            second_left.set()
            ending.begun.wait(LONG)
            return Created("i")

        def listen(event: Any) -> Any:
            heard.append(event.kind)
            if event.kind == "create_done":
                second_left.wait(LONG)
                raise BrokenPipeError(32, "Broken pipe")

        ran = run(9, {"a-2": [answer_the_second]}, listener=listen, parallelism=1)
        assert heard == ["run_start", "create_start", "create_done"]
        assert isinstance(ran.account.failure, BrokenPipeError)
        assert ran.account.stopped == "what happens cannot be shown: [Errno 32] Broken pipe"
        assert len(ran.api.asked) == 2  # the second had left already
        assert {ran.rows[f"p-{n}"] for n in (1, 2)} == {"created"}
        assert ran.account.exit_code == 1

    def test_one_that_fails_at_the_start_lets_nothing_be_sent(self) -> None:
        def listen(_event: Any) -> Any:
            raise ValueError("deaf")

        ran = run(3, listener=listen)
        assert ran.api.asked == []
        assert isinstance(ran.account.failure, ValueError)

    def test_one_that_fails_at_the_end_is_in_the_account(self) -> None:
        def listen(event: Any) -> Any:
            if event.kind == "run_end":
                raise ValueError("deaf")

        ran = run(1, listener=listen)
        assert isinstance(ran.account.failure, ValueError)
        assert ran.account.complete
        assert ran.account.exit_code == 1

    def test_it_is_called_in_the_calling_thread_for_one_event_at_a_time(self) -> None:
        threads = set()
        inside = threading.Lock()

        def listen(_event: Any) -> None:
            assert inside.acquire(blocking=False)
            threads.add(threading.current_thread())
            time.sleep(0.001)
            inside.release()

        ran = run(12, listener=listen, parallelism=4)
        assert ran.account.failure is None
        assert threads == {threading.current_thread()}

    def test_none_is_needed(self) -> None:
        account = apply(plan_of(1), log=MemoryLog(), api=ScriptedApi())
        assert account.complete

    def test_run_end_carries_the_account(self) -> None:
        ran = run(2)
        assert ran.events[-1].account == ran.account
        assert {event.run for event in ran.events} == {ran.account.run}


class TestUnexpectedErrors:
    def test_an_api_that_raises_leaves_it_pending_and_ends_the_run(self) -> None:
        def explode() -> Any:
            raise ZeroDivisionError("secret")

        ran = run(9, {"a-2": [explode]}, parallelism=1)
        assert ran.api.asked == ["a-1", "a-2"]
        assert ran.rows["p-2"] == "unknown"
        assert ran.log.folded()["a-2"].status is Status.PENDING
        assert ("create_unknown", "p-2") in ran.told
        assert ran.told[-1] == ("run_end", None)
        assert isinstance(ran.account.failure, ZeroDivisionError)
        assert ran.account.stopped == "unexpected error: ZeroDivisionError"
        assert ran.account.results[1].reason == "unexpected error: ZeroDivisionError"
        assert ran.account.exit_code == 1

    def test_the_others_are_seen_through(self, ending: Any) -> None:
        def explode() -> Any:
            raise SystemExit(9)

        later = answer_when(ending.begun, Created("i"))
        script = {"a-1": [later], "a-2": [explode], "a-3": [later], "a-4": [later]}
        ran = run(20, script, parallelism=4, together=4)
        assert isinstance(ran.account.failure, SystemExit)
        assert ran.rows["p-2"] == "unknown"
        assert sorted(ran.api.asked) == ["a-1", "a-2", "a-3", "a-4"]
        assert list(ran.rows.values()).count("created") == 3


class TestPaceOfARun:
    @pytest.mark.usefixtures("slots_until_answered")
    def test_never_above_the_rate_and_in_order_again_after_it(self) -> None:
        ran = run(9, rate=Rate(3, 0.3), parallelism=5)
        times = ran.api.times
        assert all(later >= earlier + 0.3 for earlier, later in zip(times, times[3:], strict=False))
        assert ran.account.complete

    @pytest.mark.usefixtures("slots_until_answered")
    def test_retries_count_too(self) -> None:
        script = {"a-1": [UNANSWERED] * 3, "a-2": [UNANSWERED] * 3}
        ran = run(2, script, rate=Rate(2, 0.25), parallelism=2)
        times = ran.api.times
        assert len(times) == 8
        assert all(b >= a + 0.25 for a, b in zip(times, times[2:], strict=False))

    @pytest.mark.usefixtures("slots_until_answered")
    def test_a_slow_state_does_not_squeeze_requests_together(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The window begins when the request leaves, not when its ``pending`` is begun."""
        late = [0.0]

        class SlowLog(MemoryLog):
            def append(self, entries: Any) -> None:
                if entries[0].audio_id == "a-1" and entries[0].status is Status.PENDING:
                    late[0] = 10_000.0  # seconds that it takes; none need pass
                super().append(entries)

        monkeypatch.setattr(Mailbox, "now", lambda _self: time.monotonic() + late[0])
        journal: list[Any] = []
        api = ScriptedApi(journal=journal)
        Ran(plan_of(2), SlowLog(journal=journal), api, rate=Rate(1, 0.25), parallelism=2)
        assert api.asked == ["a-1", "a-2"]
        assert api.times[1] - api.times[0] >= 0.25 - 1e-6

    def test_one_that_is_throttled_slows_them_all_down(self) -> None:
        throttled, slowed = [], threading.Event()
        all_left = threading.Barrier(4, timeout=LONG)

        def throttle() -> Any:
            all_left.wait()
            throttled.append(time.monotonic())
            return Throttled(429, "", 0.5)

        def answer_later() -> Any:
            all_left.wait()
            slowed.wait(LONG)
            return Created("i")

        def listen(event: Any) -> None:
            if event.kind == "create_retry":
                slowed.set()

        script = {f"a-{number}": [answer_later] for number in (2, 3, 4)}
        api = ScriptedApi({"a-1": [throttle], **script})
        ran = Ran(plan_of(8), MemoryLog(), api, listener=listen, parallelism=4)
        assert sorted(api.asked[:4]) == ["a-1", "a-2", "a-3", "a-4"]  # only what was in flight
        assert all(sent >= throttled[0] + 0.5 for sent in api.times[4:])
        assert len(api.times) == 9
        assert ran.account.complete

    def test_one_that_is_about_to_leave_is_held_back_too(self, answered: Any) -> None:
        throttled, about_to_leave = [], threading.Event()

        class SlowLog(MemoryLog):
            def append(self, entries: Any) -> None:
                super().append(entries)
                if ("a-3", Status.PENDING) in [(e.audio_id, e.status) for e in entries]:
                    about_to_leave.set()
                    answered["a-1"].wait(LONG)

        def throttle() -> Any:
            about_to_leave.wait(LONG)
            throttled.append(time.monotonic())
            return Throttled(429, "", 0.4)

        journal: list[Any] = []
        api = ScriptedApi({"a-1": [throttle]}, journal=journal)
        Ran(plan_of(3), SlowLog(journal=journal), api, parallelism=2)
        assert len(api.times) == 4
        assert all(sent >= throttled[0] + 0.4 for sent in api.times[2:])

    def test_the_end_of_a_run_wakes_whoever_waits_for_the_rate(self, waiting: Any) -> None:
        both_left = threading.Barrier(2, timeout=LONG)

        def create() -> Any:
            both_left.wait()
            return Created("i")

        def refuse() -> Any:
            both_left.wait()
            waiting.wait(LONG)
            return Refused(401, "", stops_run=True)

        started = time.monotonic()
        script = {"a-1": [create], "a-2": [refuse]}
        ran = run(9, script, rate=Rate(2, 2 * LONG), parallelism=4)
        assert time.monotonic() - started < LONG
        assert len(ran.api.asked) == 2

    def test_the_end_of_a_run_wakes_whoever_waits_to_try_again(self, waiting: Any) -> None:
        refuse = answer_when(waiting, Refused(402, "", stops_run=True))
        busy = Unclear("busy", 503, None, 2 * LONG)
        started = time.monotonic()
        ran = run(2, {"a-1": [busy], "a-2": [refuse]}, retry_for=9 * LONG)
        assert time.monotonic() - started < LONG
        assert ran.rows == {"p-1": "unknown", "p-2": "failed"}

    @pytest.mark.parametrize("resumed", [False, True])
    def test_one_that_has_not_left_when_the_run_ends_never_leaves(
        self, answered: Any, resumed: Any
    ) -> None:
        about_to_leave = threading.Event()

        class SlowLog(MemoryLog):
            def append(self, entries: Any) -> None:
                super().append(entries)
                if ("a-3", Status.PENDING) in [(e.audio_id, e.status) for e in entries]:
                    about_to_leave.set()
                    answered["a-1"].wait(LONG)

        def refuse() -> Any:
            about_to_leave.wait(LONG)
            return Refused(401, "no", stops_run=True)

        before = [known(3, status=Status.PENDING)] if resumed else []
        journal: list[Any] = []
        log = SlowLog(before, journal=journal)
        api = ScriptedApi({"a-1": [refuse]}, journal=journal)
        ran = Ran(plan_of(3, before), log, api, parallelism=2)
        assert sorted(api.asked) == ["a-1", "a-2"]
        assert ran.rows == {"p-1": "failed", "p-2": "created", "p-3": "not attempted"}
        found = log.folded()["a-3"]
        if resumed:  # an earlier run may have made it
            assert found.status is Status.PENDING
        else:
            assert (found.status, found.message) == (
                Status.FAILED,
                "the run ended before this was sent",
            )
        assert ("create_start", "p-3") not in ran.told
        assert ran.account.results[2].reason == "the API answered 401: no"


class TestSignals:
    @pytest.fixture(autouse=True)
    def _survive(self) -> Any:
        """A signal that comes once the run is over must not end the tests."""
        numbers = (
            signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGXCPU,
        )  # fmt: skip
        before = [signal.signal(number, lambda *_: None) for number in numbers]
        yield
        for thread in threading.enumerate():
            if thread.name.startswith("worker-"):
                thread.join(LONG)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
    )
    def test_the_first_lets_what_is_in_flight_end_and_sends_nothing_new(
        self, number: int, code: Any, ending: Any
    ) -> None:
        def interrupt() -> Any:
            os.kill(os.getpid(), number)
            ending.begun.wait(LONG)
            return Created("late")

        before = signal.getsignal(number)
        ran = run(20, {"a-2": [interrupt]}, parallelism=1, handle_signals=True)
        assert signal.getsignal(number) is before
        assert ran.api.asked == ["a-1", "a-2"]
        assert ran.log.folded()["a-2"].persona_id == "late"
        assert ran.rows["p-2"] == "created"
        assert ran.rows["p-3"] == "not attempted"
        assert ran.account.signal == number
        assert ran.account.stopped == f"interrupted by {signal.Signals(number).name}"
        assert ran.account.exit_code == code
        assert not ran.account.abandoned
        assert ran.told[-1] == ("run_end", None)

    def test_the_first_lets_go_what_is_already_written_down_as_pending(self, ending: Any) -> None:
        class SlowLog(MemoryLog):
            def append(self, entries: Any) -> None:
                super().append(entries)
                if entries[0].status is Status.PENDING:
                    os.kill(os.getpid(), signal.SIGTERM)
                    ending.begun.wait(LONG)

        journal: list[Any] = []
        api = ScriptedApi(journal=journal)
        ran = Ran(plan_of(9), SlowLog(journal=journal), api, parallelism=1, handle_signals=True)
        assert ran.rows["p-1"] == "created"
        assert {entry.status for entry in ran.log.folded().values()} == {Status.CREATED}
        assert ran.account.exit_code == 143

    def test_the_first_wakes_a_run_that_waits_for_the_rate(self, waiting: Any) -> None:
        def listen(event: Any) -> None:
            if event.kind == "create_done":
                waiting.wait(LONG)
                os.kill(os.getpid(), signal.SIGTERM)

        started = time.monotonic()
        ran = run(5, rate=Rate(1, 2 * LONG), listener=listen, handle_signals=True)
        assert time.monotonic() - started < LONG
        assert list(ran.rows.values()) == ["created", *["not attempted"] * 4]

    def test_the_first_wakes_a_run_that_waits_to_try_again(self, waiting: Any) -> None:
        def listen(event: Any) -> None:
            if event.kind == "create_retry":
                waiting.wait(LONG)
                os.kill(os.getpid(), signal.SIGINT)

        started = time.monotonic()
        ran = run(
            1,
            {"a-1": [Unclear("down", 503, KeptAnswer.of_text("<html>"), 2 * LONG)]},
            retry_for=9 * LONG,
            listener=listen,
            handle_signals=True,
        )
        assert time.monotonic() - started < LONG
        assert ran.rows == {"p-1": "unknown"}
        assert ran.account.exit_code == 130

    def test_no_connection_before_the_first_is_still_a_failure(self) -> None:
        def listen(event: Any) -> None:
            if event.kind == "create_retry" and event.attempt == 2:
                os.kill(os.getpid(), signal.SIGINT)

        script = {"a-1": [NotSent("refused")] * 9999}
        ran = run(1, script, retry_for=9 * LONG, listener=listen, handle_signals=True)
        assert ran.rows == {"p-1": "failed"}
        assert ran.account.exit_code == 130

    def test_the_same_one_again_leaves_at_once(self) -> None:
        release = threading.Event()

        def interrupt() -> Any:
            deliver(signal.SIGINT)
            deliver(signal.SIGTERM)
            deliver(signal.SIGINT)
            release.wait(LONG)
            return UNANSWERED

        started = time.monotonic()
        ran = run(9, {"a-1": [interrupt]}, parallelism=1, handle_signals=True)
        took = time.monotonic() - started
        release.set()
        assert took < LONG / 2
        assert ran.account.abandoned
        assert ran.account.exit_code == 130
        assert ran.rows["p-1"] == "unknown"
        assert ran.account.results[0].reason == "the run left before its answer came"
        assert ran.rows["p-2"] == "not attempted"
        assert ran.told[-1] == ("run_end", None)
        assert ran.log.folded()["a-1"].status is Status.PENDING

    def test_another_one_after_the_first_goes_on_waiting(self) -> None:
        """A CI host sends SIGINT, then SIGTERM, then SIGKILL: what comes until then counts."""

        def interrupt() -> Any:
            deliver(signal.SIGINT)
            deliver(signal.SIGTERM)
            deliver(signal.SIGHUP)
            return Created("late")

        ran = run(9, {"a-1": [interrupt]}, parallelism=1, handle_signals=True)
        assert ran.rows["p-1"] == "created"
        assert not ran.account.abandoned
        assert ran.account.exit_code == 130
        assert [kind for kind, _key in ran.told].count("stopping") == 1

    @pytest.mark.parametrize("name", ["SIGHUP", "SIGQUIT", "SIGUSR1", "SIGXCPU"])
    def test_whatever_asks_to_end_ends_the_run_in_order(self, name: Any, ending: Any) -> None:
        number = getattr(signal, name)

        def interrupt() -> Any:
            deliver(number)
            ending.begun.wait(LONG)
            return Created("late")

        ran = run(9, {"a-1": [interrupt]}, parallelism=1, handle_signals=True)
        assert ran.rows["p-1"] == "created"
        assert ran.rows["p-2"] == "not attempted"
        assert ran.account.exit_code == 128 + number

    def test_a_console_that_is_closed_ends_the_run_in_order(
        self, ending: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On Windows, where the process ends once the handler has returned."""
        handlers: list[Any] = []
        slept: list[float] = []

        def set_handler(handler: Any, add: Any) -> None:
            (handlers.append if add else handlers.remove)(handler)

        kernel = SimpleNamespace(SetConsoleCtrlHandler=set_handler)
        windows = SimpleNamespace(kernel32=kernel)
        monkeypatch.setattr(ctypes, "windll", windows, raising=False)
        monkeypatch.setattr(ctypes, "WINFUNCTYPE", lambda *_: lambda f: f, raising=False)
        monkeypatch.setattr(signal, "SIGBREAK", signal.SIGTTIN, raising=False)  # 21 on both
        monkeypatch.setattr("personasync.engine.signals.sys", SimpleNamespace(platform="win32"))
        monkeypatch.setattr("personasync.engine.signals.time", SimpleNamespace(sleep=slept.append))

        def close() -> Any:
            [handler] = handlers
            assert handler(0) == 0, "Ctrl-C is a signal"
            assert handler(2) == 1
            ending.begun.wait(LONG)
            return Created("late")

        ran = run(9, {"a-1": [close]}, parallelism=1, handle_signals=True)
        assert slept, "it keeps the console open"
        assert handlers == []
        assert ran.rows["p-1"] == "created"
        assert ran.rows["p-2"] == "not attempted"
        assert ran.account.exit_code == 128 + 21

    def test_what_is_waited_for_is_said_at_once(self) -> None:
        said = threading.Event()

        def interrupt() -> Any:
            deliver(signal.SIGTERM)
            said.wait(LONG)
            return Created("late")

        def listen(event: Any) -> None:
            events.append(event)
            if event.kind == "stopping":
                said.set()

        events: list[Any] = []
        run(9, {"a-1": [interrupt]}, parallelism=1, handle_signals=True, listener=listen)
        [stopping] = [event for event in events if event.kind == "stopping"]
        assert stopping.reason == "interrupted by SIGTERM"
        assert [row.key for row in stopping.underway] == ["p-1"]
        kinds = [event.kind for event in events]
        assert kinds.index("stopping") < kinds.index("create_done")

    @pytest.mark.parametrize("ahead", [0, 2])
    def test_what_an_append_that_hangs_holds_is_kept_before_the_run_is_left(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ahead: Any
    ) -> None:
        """Also where the log is far away, and the append goes on beside the conductor."""
        monkeypatch.setattr(Schedule, "ahead", ahead)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        hangs, release = threading.Event(), threading.Event()

        class Hanging(FileStateLog):
            def append(self, entries: Any) -> None:
                if entries[0].status is Status.CREATED:
                    if not hangs.is_set():
                        hangs.set()
                        deliver(signal.SIGINT)
                        deliver(signal.SIGINT)
                    release.wait(LONG)
                super().append(entries)

        def answer_later() -> Any:
            hangs.wait(LONG)
            return Created("id-a-2")

        monkeypatch.setattr(sys.modules["personasync.engine.run"], "_LAST_WORDS_SECONDS", 0.2)
        api = ScriptedApi({"a-2": [answer_later]}, together=2)
        log = Hanging(tmp_path / "s.jsonl", api=API)
        with log.lock():
            ran = Ran(plan_of(2), log, api, handle_signals=True, parallelism=2)
            known = FileStateLog(Path(log.location), api=API).read().fold().entries
            release.set()
        told = {e.persona_id: e.rescued for e in ran.events if e.kind == "create_done"}
        assert told.keys() == {"id-a-1", "id-a-2"}
        assert all(Path(kept or "").is_file() for kept in told.values())
        assert [each.persona_id for each in known.values()] == ["id-a-1", "id-a-2"]
        assert ran.account.exit_code == 130

    @pytest.mark.parametrize(("where", "turn"), [("append", 1), ("confirm", 2)])
    def test_what_hangs_until_the_run_is_left_sends_nothing(
        self, where: Any, turn: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The account has said that nothing was attempted."""
        turns: list[str] = []
        release = threading.Event()

        def hang(*args: Any) -> Any:
            turns.append(where)
            if len(turns) == turn:  # append() confirms as well
                deliver(signal.SIGINT)
                deliver(signal.SIGINT)
                release.wait(LONG)
            return getattr(FileStateLog, where)(*args)

        # Of this log alone: what an earlier test left may still append to another.
        hanging = type("Hanging", (FileStateLog,), {where: hang})
        monkeypatch.setattr(sys.modules["personasync.engine.run"], "_LAST_WORDS_SECONDS", 0.2)
        api = ScriptedApi()
        log = hanging(tmp_path / "s.jsonl", api=API)
        with log.lock():
            ran = Ran(plan_of(2), log, api, handle_signals=True)
            release.set()
            conductors = [each for each in threading.enumerate() if each.name == "conductor"]
            for thread in conductors:
                thread.join(LONG)
        assert set(ran.rows.values()) == {"not attempted"}
        assert conductors
        assert api.requests == []

    def test_what_arrives_after_the_run_was_left_is_kept(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        left = threading.Event()

        def interrupt_and_answer_late() -> Any:
            deliver(signal.SIGINT)
            deliver(signal.SIGINT)
            left.wait(LONG)
            return Created("late")

        log = FileStateLog(tmp_path / "s.jsonl", api=API)
        api = ScriptedApi({"a-1": [interrupt_and_answer_late]})
        with log.lock():
            ran = Ran(plan_of(1), log, api, handle_signals=True)
            assert ran.rows == {"p-1": "unknown"}
            left.set()
            reader = FileStateLog(Path(log.location), api=API)
            wait_for(lambda: reader.read().fold().entries["a-1"].persona_id, "the late ID")

    def test_a_log_far_away_is_appended_to_where_no_thread_is_left(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Schedule, "ahead", 2)

        def no_thread(_mailbox: Any, _append: Any) -> Any:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(Mailbox, "beside", no_thread)
        assert run(3, handle_signals=True).rows == {
            f"p-{number}": "created" for number in (1, 2, 3)
        }

    def test_two_that_come_while_the_main_thread_is_busy_are_two(self) -> None:
        release = threading.Event()

        script = b"""
            sleep 0.1  # until pclose() waits
            kill -INT %d
            until grep -q "^ShdPnd:.0*$" /proc/%d/status; do :; done  # as deliver()
            kill -INT %d
        """

        def listen(event: Any) -> None:
            if event.kind == "create_start":  # pclose() waits in C, whatever signals come
                libc.pclose(libc.popen(script % ((os.getpid(),) * 3), b"r"))

        libc = ctypes.CDLL(None)
        libc.popen.restype = ctypes.c_void_p
        libc.pclose.argtypes = [ctypes.c_void_p]
        ran = run(1, {"a-1": [answer_when(release)]}, listener=listen, handle_signals=True)
        release.set()
        assert ran.account.abandoned
        assert ran.rows == {"p-1": "unknown"}

    def test_the_second_still_lets_an_answer_that_is_here_reach_the_disk(
        self, monkeypatch: pytest.MonkeyPatch, ending: Any
    ) -> None:
        class SlowLog(MemoryLog):
            def append(self, entries: Any) -> None:
                if entries[0].status is Status.CREATED:
                    deliver(signal.SIGINT)
                    deliver(signal.SIGINT)
                    ending.at_once.wait(LONG)
                    time.sleep(0.1)  # for a run that does not wait to be gone
                super().append(entries)

        monkeypatch.setattr(sys.modules["personasync.engine.run"], "_LAST_WORDS_SECONDS", LONG)
        journal: list[Any] = []
        api = ScriptedApi(journal=journal)
        ran = Ran(plan_of(3), SlowLog(journal=journal), api, parallelism=1, handle_signals=True)
        assert ran.account.abandoned
        assert ran.log.folded()["a-1"].persona_id == "id-a-1"
        assert ("create_done", "p-1") in ran.told
        assert ran.rows["p-1"] == "created"

    def test_a_third_changes_nothing(self) -> None:
        release = threading.Event()

        def interrupt() -> Any:
            for _ in range(3):
                deliver(signal.SIGTERM)
            release.wait(LONG)
            return UNANSWERED

        ran = run(1, {"a-1": [interrupt]}, handle_signals=True)
        release.set()
        assert ran.account.abandoned
        assert ran.account.exit_code == 143

    def test_one_that_comes_before_the_first_request_stops_it(self) -> None:
        def listen(event: Any) -> None:
            if event.kind == "imported":
                os.kill(os.getpid(), signal.SIGTERM)

        ran = run([persona(1, persona_id="x"), persona(2)], listener=listen, handle_signals=True)
        assert ran.api.asked == []
        assert ran.rows == {"p-1": "imported", "p-2": "not attempted"}
        assert ran.account.exit_code == 143

    def test_one_that_is_ignored_stays_ignored(self) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:

            def hang_up() -> Any:
                os.kill(os.getpid(), signal.SIGHUP)
                return Created("i")

            ran = run(3, {"a-1": [hang_up]}, handle_signals=True)
        finally:
            signal.signal(signal.SIGHUP, before)
        assert ran.account.complete
        assert ran.account.signal is None

    def test_without_handlers_of_ours_ctrl_c_still_ends_the_run_in_order(self, ending: Any) -> None:
        def interrupt() -> Any:
            os.kill(os.getpid(), signal.SIGINT)
            ending.begun.wait(LONG)
            return Created("late")

        ran = run(9, {"a-1": [interrupt]}, parallelism=1)
        assert ran.rows["p-1"] == "created"
        assert ran.rows["p-2"] == "not attempted"
        assert ran.account.exit_code == 130
        assert ran.told[-1] == ("run_end", None)

    def test_ctrl_c_while_the_conductor_starts_does_not_leave_it_behind(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = threading.Thread.start

        def interrupted(thread: Any) -> Any:
            start(thread)
            if thread.name == "conductor":
                raise KeyboardInterrupt

        monkeypatch.setattr(threading.Thread, "start", interrupted)
        ran = run(20, parallelism=4)
        assert list(ran.rows.values()) == ["not attempted"] * 20
        assert ran.api.asked == []
        assert ran.account.exit_code == 130
        assert not ran.account.abandoned

    def test_ctrl_c_in_a_listener_ends_the_run_in_order(self, ending: Any) -> None:
        heard = []

        def listen(event: Any) -> Any:
            heard.append(event.kind)
            if event.kind == "create_start" and len(heard) == 2:
                raise KeyboardInterrupt

        script = {"a-1": [answer_when(ending.begun, Created("i"))]}
        ran = run(9, script, listener=listen, parallelism=1)
        assert ran.account.signal == signal.SIGINT
        assert ran.api.asked == ["a-1"]
        assert heard[-1] == "run_end"

    def test_a_message_that_ctrl_c_swallowed_is_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        module = sys.modules["personasync.engine.run"]
        monkeypatch.setattr(module, "_LOOK_SECONDS", 0.05)
        swallow = module._Run._receive

        def swallowing(self: Any, message: Any) -> Any:
            if isinstance(message, Ended):
                raise KeyboardInterrupt
            swallow(self, message)

        monkeypatch.setattr(module._Run, "_receive", swallowing)
        ran = run(1)
        assert ran.log.folded()["a-1"].persona_id == "id-a-1"
        assert ran.rows == {"p-1": "created"}
