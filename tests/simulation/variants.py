"""Wrong variants of the code, which the box must find: else the box must be mended.

Each is a mistake that somebody could make, put in by the test alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest import mock

from personasync.engine import conductor
from personasync.engine.attempt import Attempt
from personasync.engine.conductor import Conductor
from personasync.engine.events import Account, PersonaResult, Result
from personasync.engine.run import _Run
from personasync.engine.schedule import RetryBudget, Schedule, Window
from personasync.engine.stopping import after_answer
from personasync.model.outcome import Conflict, Created, NotSent, Outcome, Unclear
from personasync.state import file_writer, hold, lease, postgres, postgres_rows, shared
from personasync.state.appender import Appender
from personasync.state.bucket import ConflictError
from personasync.state.entry import Entry, Status
from personasync.state.file import FileStateLog
from personasync.state.hold import Hold
from personasync.state.patient import PatientBucket
from personasync.state.postgres_rows import StateRows
from personasync.state.segment_reader import SegmentReader
from personasync.state.segment_writer import SegmentWriter
from personasync.state.segments import SegmentLog
from personasync.state.state_file import StateFile
from tests.simulation import rows
from tests.simulation.rows import Tables
from tests.simulation.service import SimulatedClient

folding = sys.modules["personasync.state.fold"]

Variant = Callable[[ExitStack], None]


def _instead(stack: ExitStack, where: Any, name: str, what: Any) -> None:
    stack.enter_context(mock.patch.object(where, name, what))


def say_before_it_is_synced(stack: ExitStack) -> None:
    record = Conductor._record

    def eager(self: Any) -> None:
        for _attempt, step in self._steps:
            if step.event is not None:
                self._tell(step.event)
        record(self)

    _instead(stack, Conductor, "_record", eager)


def send_before_pending_is_durable(stack: ExitStack) -> None:
    append = Conductor._append

    def lazy(self: Any, entries: Iterable[Entry]) -> None:
        append(self, [entry for entry in entries if entry.status is not Status.PENDING])

    _instead(stack, Conductor, "_append", lazy)


def never_sync(stack: ExitStack) -> None:
    append = Appender.append

    def unsynced(self: Any, data: bytes) -> None:
        with mock.patch.object(os, "fsync", return_value=None):
            append(self, data)

    _instead(stack, Appender, "append", unsynced)


def exists_already_is_anothers(stack: ExitStack) -> None:
    def hasty(self: Any, name: str, data: bytes, _seconds: float) -> bool:
        try:
            self.bucket.create(name, data)
        except ConflictError:
            return False
        return True

    _instead(stack, PatientBucket, "settle", hasty)


def exists_already_is_ours(stack: ExitStack) -> None:
    settle = PatientBucket.settle

    def trusting(self: Any, name: str, data: bytes, seconds: float) -> bool:
        try:
            self.bucket.create(name, data)
        except ConflictError:
            return True
        except Exception:  # noqa: BLE001 - only the conflict is misunderstood
            return settle(self, name, data, seconds)
        return True

    _instead(stack, PatientBucket, "settle", trusting)


def no_fence(stack: ExitStack) -> None:
    fence = SegmentWriter.fence

    def open_gate(self: Any, reader: Any) -> bool:
        with mock.patch.object(SegmentWriter, "_create_next", return_value=True):
            return fence(self, reader)

    _instead(stack, SegmentWriter, "fence", open_gate)
    settle = PatientBucket.settle

    def overwrite(self: Any, name: str, data: bytes, seconds: float) -> bool:
        if name.startswith("log/"):
            self.bucket._store.objects[name] = data
            return True
        return settle(self, name, data, seconds)

    _instead(stack, PatientBucket, "settle", overwrite)


def a_listing_is_the_end(stack: ExitStack) -> None:
    read_on = SegmentReader.read_on

    def believe(self: Any, reading: Any, listed: int, **options: bool) -> None:
        read_on(self, reading, listed, **{**options, "look": False})

    _instead(stack, SegmentReader, "read_on", believe)


def the_lease_is_not_looked_at(stack: ExitStack) -> None:
    _instead(stack, SegmentLog, "confirm", lambda _self: None)
    _instead(stack, shared.SharedLog, "confirm", lambda _self: None)


def the_lease_is_judged_by_the_wrong_clock(stack: ExitStack) -> None:
    """By the one that stands still while the machine sleeps."""
    for module in (hold, lease, postgres):
        _instead(stack, module, "now", lambda clock: (clock.monotonic(), clock.monotonic()))


def segments_are_deleted(stack: ExitStack) -> None:
    compact = SegmentLog.compact

    def tidy(self: Any) -> None:
        compact(self)
        for name in list(self._bucket.bucket._store.objects):
            if name.startswith("log/"):
                del self._bucket.bucket._store.objects[name]

    _instead(stack, SegmentLog, "compact", tidy)


def sync_after_the_send(stack: ExitStack) -> None:
    append, ask = Appender.append, SimulatedClient.create
    behind: list[Callable[[], None]] = []

    def unsynced(self: Any, data: bytes) -> None:
        with mock.patch.object(os, "fsync", return_value=None):
            append(self, data)
        behind.append(lambda: os.fsync(self._file))

    def send(self: Any, request: Any) -> Any:
        try:
            return ask(self, request)
        finally:
            while behind:
                behind.pop()()

    _instead(stack, Appender, "append", unsynced)
    _instead(stack, SimulatedClient, "create", send)


def the_lease_is_taken_at_once(stack: ExitStack) -> None:
    _instead(stack, lease, "SECONDS", 3.0)


def no_fence_of_rows(stack: ExitStack) -> None:
    def whoever(answer: Callable[..., Any]) -> Callable[..., Any]:
        def at_once(self: Any, values: Any) -> Any:
            return answer(self, {**values, "epoch": self.epoch, "expected": len(self.log)})

        return at_once

    open_gates = {
        postgres_rows.APPEND: whoever(Tables.append),
        postgres_rows.RENEW: whoever(Tables.renew),
    }
    for statement, answer in open_gates.items():
        answer.__name__ = "whoever"
        stack.enter_context(mock.patch.dict(rows._ANSWERS, {statement: answer}))


def nothing_asks_whether_rows_were_added(stack: ExitStack) -> None:
    ask = StateRows.ask

    def believe(self: Any, statement: str, **values: Any) -> Any:
        found = ask(self, statement, **values)
        return [[(1,)], found[1]] if statement == postgres_rows.APPEND else found

    _instead(stack, StateRows, "ask", believe)


def _everywhere(stack: ExitStack, name: str, what: Any) -> None:
    """Put something in place of a function in each module that has taken it in."""
    real = getattr(folding, name)
    for module in [m for n, m in sys.modules.items() if n.startswith("personasync.")]:
        if getattr(module, name, None) is real:
            _instead(stack, module, name, what)


def no_rescue(stack: ExitStack) -> None:
    _instead(stack, conductor, "rescue", lambda _log, _entries: "somewhere")


def a_rescue_is_removed_before_it_is_taken_in(stack: ExitStack) -> None:
    _instead(stack, SegmentReader, "rescued", lambda _self, _reading: {})


def the_last_line_of_a_merge_wins(stack: ExitStack) -> None:
    def last_wins(entries: Iterable[Entry]) -> dict[str, Entry]:
        return {entry.audio_id: entry for entry in entries}

    _everywhere(stack, "fold", last_wins)


def the_backup_is_not_read(stack: ExitStack) -> None:
    _instead(stack, StateFile, "_read_backup", lambda *_args: None)


def what_was_read_is_taken_for_durable(stack: ExitStack) -> None:
    _instead(stack, file_writer, "sync_file", lambda _path: None)


def compaction_drops_a_line(stack: ExitStack) -> None:
    compacted = folding.compacted
    _instead(stack, StateFile, "_read_backup", lambda *_args: None)
    _everywhere(stack, "compacted", lambda entries: compacted(entries)[:-1])


def the_rate_counts_nothing(stack: ExitStack) -> None:
    _instead(stack, Window, "room", lambda _self, _now: 1)


def a_slot_is_free_when_the_answer_comes(stack: ExitStack) -> None:
    def free(self: Any, slot: Any, now: float) -> None:
        slot.expires = now

    _instead(stack, Schedule, "answered", free)


def an_unclear_answer_is_a_failure(stack: ExitStack) -> None:
    heard = Attempt.heard

    def forget(self: Any, outcome: Outcome) -> None:
        heard(self, outcome)
        self._maybe_made = False

    def failed(self: Any, outcome: Outcome, at: str) -> Any:
        return settle(self, NotSent("?") if isinstance(outcome, Unclear) else outcome, at)

    settle = Attempt.settle
    _instead(stack, Attempt, "heard", forget)
    _instead(stack, Attempt, "settle", failed)


def the_id_of_a_conflict_is_dropped(stack: ExitStack) -> None:
    heard, settle = Attempt.heard, Attempt.settle

    def without(outcome: Outcome) -> Outcome:
        dropped = isinstance(outcome, Created) and outcome.from_conflict
        return Conflict(409, "it exists") if dropped else outcome

    _instead(stack, Attempt, "heard", lambda self, outcome: heard(self, without(outcome)))
    _instead(stack, Attempt, "settle", lambda self, outcome, at: settle(self, without(outcome), at))


def a_409_that_resets_the_patience(stack: ExitStack) -> None:
    """It is taken for an answer like any other, also where it says that one was lost."""

    def goes_on(outcome: Outcome, attempt: Attempt, **options: bool) -> Any:
        return None if isinstance(outcome, Conflict) else after_answer(outcome, attempt, **options)

    _instead(stack, conductor, "after_answer", goes_on)


def patience_begins_anew_with_every_answer(stack: ExitStack) -> None:
    heard, wait = RetryBudget.heard, RetryBudget.wait

    def usable(self: Any, outcome: Outcome, now: float) -> None:
        heard(self, outcome, now)
        self._trouble_since = now

    def anew(self: Any, outcome: Outcome, *, now: float, **options: Any) -> float | None:
        return wait(self, outcome, now=now, **{**options, "since": now})

    _instead(stack, RetryBudget, "heard", usable)
    _instead(stack, RetryBudget, "wait", anew)


def nobody_gives_up_on_a_dead_api(stack: ExitStack) -> None:
    _instead(stack, RetryBudget, "gave_up", lambda _self, _outcome: False)


def answers_are_not_kept(stack: ExitStack) -> None:
    entry = Attempt._entry

    def blank(self: Any, *args: Any, **fields: Any) -> Entry:
        return replace(entry(self, *args, **fields), answer=None)

    _instead(stack, Attempt, "_entry", blank)


def two_at_once_for_one_audio(stack: ExitStack) -> None:
    ask = Conductor._ask

    def twice(self: Any, attempt: Any, now: float) -> None:
        ask(self, attempt, now)
        self._asker.ask(attempt.persona.request)

    _instead(stack, Conductor, "_ask", twice)


def the_lock_is_no_lock(stack: ExitStack) -> None:
    @contextmanager
    def open_door(self: Any, **_options: Any) -> Iterator[None]:
        yield

    _instead(stack, Hold, "_take", lambda *_args: None)
    _instead(stack, FileStateLog, "lock", open_door)


def _other_rows(stack: ExitStack, change: Callable[[PersonaResult], PersonaResult | None]) -> None:
    account = _Run._account

    def other(self: Any) -> Account:
        given: Account = account(self)
        return replace(given, results=tuple(filter(None, map(change, given.results))))

    _instead(stack, _Run, "_account", other)


def what_failed_is_not_in_the_account(stack: ExitStack) -> None:
    _other_rows(stack, lambda row: None if row.result is Result.FAILED else row)


def what_has_no_answer_counts_as_not_attempted(stack: ExitStack) -> None:
    def not_attempted(row: PersonaResult) -> PersonaResult:
        unknown = row.result is Result.UNKNOWN
        return replace(row, result=Result.NOT_ATTEMPTED) if unknown else row

    _other_rows(stack, not_attempted)


def an_exit_code_of_its_own(stack: ExitStack) -> None:
    _instead(stack, Account, "exit_code", property(lambda _self: 0))


VARIANTS: Final[dict[str, Variant]] = {
    name.replace("_", " "): value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", "") == __name__ and not name.startswith("_")
}


@contextmanager
def switched_in(variant: Variant) -> Iterator[None]:
    """Run with a wrong variant of the code."""
    with ExitStack() as stack:
        variant(stack)
        yield
