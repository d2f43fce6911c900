"""Carries out a plan: the only thing that spends anything.

Workers create personas, each one at a time. The calling thread tells what
they did, one event after another, and takes signals; both reach it through one
mailbox, so nothing is told twice, out of turn or inside a signal handler.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias

from personasync.engine.attempt import Creation, PersonaApi, Workshop
from personasync.engine.events import Account, Event, EventKind, PersonaResult, Result
from personasync.engine.pace import Pace
from personasync.engine.patience import Patience
from personasync.engine.signals import no_signals, signals
from personasync.model.clock import new_run, utc_now
from personasync.model.errors import StateWriteError
from personasync.model.units import Rate
from personasync.plan.compute import APPLICABLE, SPENDING, Action, ActionKind, Plan, adopted_origin
from personasync.state.adopt import sent_request
from personasync.state.entry import Entry, Status
from personasync.state.log import StateLog
from personasync.state.rescue import missing, rescue

DEFAULT_RATE: Final = Rate(20, 10.0)
"""The published rate: 20 requests in any 10 seconds for one account (api.md §2)."""

_LAST_WORDS_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.1
"""A signal that comes just before a wait begins does not end it: so waits are short."""

Listener: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How an apply goes about it.

    ``parallelism`` requests at a time; at most ``rate`` (``None``: no limit);
    retries for up to ``retry_for`` seconds without a usable answer.
    ``handle_signals`` makes the first SIGINT, SIGTERM or SIGHUP end the run in
    order and the second end it at once; only the main thread can.
    """

    parallelism: int = 4
    rate: Rate | None = DEFAULT_RATE
    retry_for: float = 120.0
    handle_signals: bool = False

    def __post_init__(self) -> None:
        if self.parallelism < 1:
            raise ValueError("parallelism is at least 1")


DEFAULT_OPTIONS: Final = ApplyOptions()


def apply(
    plan: Plan,
    *,
    log: StateLog,
    api: PersonaApi,
    options: ApplyOptions = DEFAULT_OPTIONS,
    listener: Listener | None = None,
) -> Account:
    """Carry out a plan and account for every persona in it.

    The caller holds the log's lock, and has held it since the state that the
    plan was computed from was read. What goes wrong with a persona, the state
    or the listener is in the account; nothing is raised for it. ``listener``
    is called in the calling thread, for one event at a time.
    """
    return _Run(plan, log, api, options, listener or (lambda _event: None)).carry_out()


@dataclass(frozen=True, slots=True)
class _Done:
    result: PersonaResult


@dataclass(frozen=True, slots=True)
class _WorkerEnded:
    failure: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Signalled:
    pass


_SIGNALLED: Final = _Signalled()

_Message: TypeAlias = Event | _Done | _WorkerEnded | _Signalled


class _Run:
    def __init__(
        self,
        plan: Plan,
        log: StateLog,
        api: PersonaApi,
        options: ApplyOptions,
        listener: Listener,
    ) -> None:
        self._id = new_run()
        self._plan = plan
        self._log = log
        self._options = options
        self._listener: Listener | None = listener
        self._rows = [
            action
            for action in plan.actions
            if action.kind in APPLICABLE or action.kind is ActionKind.CONFLICT
        ]
        self._to_send = deque(action for action in self._rows if action.kind in SPENDING)
        self._mailbox: SimpleQueue[_Message] = SimpleQueue()
        self._pace = Pace(options.rate)
        self._workshop = Workshop(
            run=self._id,
            log=log,
            api=api,
            pace=self._pace,
            patience=Patience(options.retry_for),
            tell=self._mailbox.put,
            halt=self._halt,
            recording=set(),
        )
        self._turn = threading.Lock()
        self._started: set[str] = set()
        self._results: dict[str, PersonaResult] = {}
        self._stopped: str | None = None
        self._refused = False
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._arrived: Callable[[], list[int]] = list
        self._signal: int | None = None
        self._abandoned = False
        self._failure: BaseException | None = None

    def carry_out(self) -> Account:
        handling = signals if self._options.handle_signals else no_signals
        # To the last word: no signal may cut the account short.
        with handling(lambda: self._mailbox.put(_SIGNALLED)) as self._arrived:
            self._tell(self._event(EventKind.RUN_START, total=self._total()))
            self._carry_out()
            account = self._account()
            self._tell(self._event(EventKind.RUN_END, account=account))
        return self._account() if self._failure is not account.failure else account

    def _carry_out(self) -> None:
        try:
            self._record_known_ids()
            self._create()
            self._check_that_all_is_held()
        except KeyboardInterrupt:  # no handler of ours is set, and nothing was sent yet
            self._interrupt(signal.SIGINT)
        except Exception as error:  # noqa: BLE001 - every run ends with an account
            self._fail(error)

    # What needs no request.

    def _record_known_ids(self) -> None:
        """Append every import and rename at once: IDs that are known need no request."""
        actions = [action for action in self._rows if action.kind in _RECORDED]
        entries = [self._recorded(action) for action in actions]
        if not entries:
            return
        try:
            self._log.append(entries)
        except StateWriteError as error:
            self._halt(error.message, True)
            return
        for action, entry in zip(actions, entries, strict=True):
            kind, result = _RECORDED[action.kind]
            self._results[action.audio_id] = PersonaResult(action, result, entry)
            previous = action.entry.key if action.entry else None
            self._tell(
                self._event(
                    kind,
                    key=action.key,
                    audio_id=action.audio_id,
                    persona_id=entry.persona_id,
                    previous_key=previous if previous != action.key else None,
                )
            )

    def _recorded(self, action: Action) -> Entry:
        known, persona = action.entry, action.persona
        if action.kind is ActionKind.RENAME and known is not None:
            return replace(known, key=action.key, at=utc_now(), run=self._id)
        return Entry(
            audio_id=action.audio_id,
            key=action.key,
            status=Status.CREATED,
            persona_id=action.persona_id,
            origin=adopted_origin(action),
            at=utc_now(),
            run=self._id,
            request=sent_request(known, persona.request if persona else None, action.persona_id),
        )

    # What needs requests.

    def _create(self) -> None:
        self._receive_waiting()  # a signal that came meanwhile comes before the first request
        while not self._abandoned:
            try:
                self._start_workers()
                self._await_workers()
                return
            except KeyboardInterrupt:  # no handler of ours is set
                self._interrupt(signal.SIGINT)

    def _start_workers(self) -> None:
        wanted = 0 if self._pace.closed else min(self._options.parallelism, len(self._to_send))
        for number in range(len(self._threads), wanted):
            thread = threading.Thread(target=self._work, name=f"worker-{number}", daemon=True)
            # Counted first: a KeyboardInterrupt may come when it has just begun to work.
            self._threads.append(thread)
            self._running += 1
            try:
                thread.start()
            except RuntimeError as error:  # the system has no more threads: fewer will do
                self._threads.pop()
                self._running -= 1
                if not self._threads:
                    self._fail(error)
                return

    def _await_workers(self) -> None:
        while self._running and not self._abandoned:
            try:
                self._receive(self._mailbox.get(timeout=_LOOK_SECONDS))
            except Empty:
                self._receive(_SIGNALLED)
                if not any(thread.is_alive() for thread in self._threads):
                    # A KeyboardInterrupt can swallow a message: never wait for one for ever.
                    self._receive_waiting()
                    return

    def _receive(self, message: _Message) -> None:
        match message:
            case Event() as event:
                self._tell(event)
            case _Done(result):
                self._results[result.action.audio_id] = result
            case _WorkerEnded(failure):
                self._running -= 1
                self._fail(failure)
            case _Signalled():
                for number in self._arrived():
                    self._interrupt(number)

    def _receive_waiting(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                self._receive(self._mailbox.get_nowait())

    def _work(self) -> None:
        failure: BaseException | None = None
        try:
            while self._create_next():
                pass
        except BaseException as caught:  # noqa: BLE001 - told, accounted for and raised by the caller
            failure = caught
            self._pace.close()
        self._mailbox.put(_WorkerEnded(failure))

    def _create_next(self) -> bool:
        with self._turn:  # one at a time, so that personas go out in the plan's order
            slot = self._pace.admit() if self._to_send else None
            if slot is None:
                return False
            action = self._to_send.popleft()
        if action.persona is None:
            raise AssertionError("a persona to create is always in the manifest")
        self._started.add(action.audio_id)
        creation = Creation(self._workshop, action, action.persona)
        try:
            self._mailbox.put(_Done(creation.run(slot)))
        except BaseException as error:
            self._mailbox.put(_Done(creation.unknown(_unexpected(error))))
            raise
        finally:
            self._workshop.recording.discard(action.audio_id)
        return True

    def _check_that_all_is_held(self) -> None:
        """Rescue the IDs of this run that the log held, and that something else took from it."""
        if self._abandoned:
            return
        rows = {
            row.entry.audio_id: row
            for row in self._results.values()
            if row.entry is not None and row.entry.persona_id and row.rescued is None
        }
        lost = missing(self._log, [row.entry for row in rows.values() if row.entry]) if rows else []
        if not lost:
            return
        self._halt("something else changed the state during the run", True)
        try:
            where = rescue(self._log, lost) or ""
        except Exception:  # noqa: BLE001 - there is still the screen
            where = ""
        for entry in lost:
            row = self._results[entry.audio_id] = replace(rows[entry.audio_id], rescued=where)
            self._tell(
                self._event(
                    _TOLD_AS[row.result],
                    key=entry.key,
                    audio_id=entry.audio_id,
                    persona_id=entry.persona_id,
                    rescued=where,
                )
            )

    # How a run ends early.

    def _halt(self, reason: str, refused: bool, *, at_once: bool = True) -> None:
        """Send nothing new; what is in flight is waited for. Any thread may call it.

        Unless ``at_once``, a request whose ``pending`` is written counts as in flight.
        """
        self._stopped = self._stopped or reason
        self._refused = self._refused or refused
        self._pace.close(at_once=at_once)

    def _fail(self, failure: BaseException | None) -> None:
        if failure is not None:
            self._failure = self._failure or failure
            self._halt(_unexpected(failure), False)

    def _interrupt(self, number: int) -> None:
        if self._signal is None:
            self._signal = number
            name = signal.Signals(number).name
            self._halt(f"interrupted by {name}", False, at_once=False)
        elif not self._abandoned:
            self._abandoned = True
            self._pace.close()
            self._take_last_words()

    def _take_last_words(self) -> None:
        """Before leaving at once, let the answers that are already here reach the disk."""
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while self._workshop.recording and time.monotonic() < deadline:
            time.sleep(0.005)
        self._receive_waiting()

    # What is said.

    def _event(self, kind: EventKind, **fields: Any) -> Event:
        return Event(kind, utc_now(), self._id, **fields)

    def _total(self) -> int:
        return sum(action.kind in APPLICABLE for action in self._rows)

    def _tell(self, event: Event) -> None:
        """Tell the listener; if it cannot hear, nothing more may happen unseen."""
        if self._listener is None:
            return
        try:
            self._listener(event)
        except Exception as error:  # noqa: BLE001 - the state counts more than who listens
            self._listener = None
            self._failure = self._failure or error
            self._halt(f"what happens cannot be shown: {error}", False)

    def _account(self) -> Account:
        return Account(
            run=self._id,
            results=tuple(self._row(action) for action in self._rows),
            stopped=self._stopped,
            signal=self._signal,
            refused=self._refused,
            abandoned=self._abandoned,
            failure=self._failure,
            repeated=self._repeated(),
        )

    def _repeated(self) -> dict[str, tuple[str, ...]]:
        """Find what no API should do: give one ID to several audios."""
        rows = self._results.values()
        made = [row.entry for row in rows if row.entry and row.result is Result.CREATED]
        keys: dict[str, list[str]] = {entry.persona_id: [] for entry in made if entry.persona_id}
        for action in self._plan.actions:
            known = self._results.get(action.audio_id)
            entry = known.entry if known else action.entry
            if entry is not None and entry.persona_id in keys:
                keys[entry.persona_id].append(action.key)
        return {persona_id: tuple(found) for persona_id, found in keys.items() if len(found) > 1}

    def _row(self, action: Action) -> PersonaResult:
        known = self._results.get(action.audio_id)
        if known is not None and known.result is not Result.NOT_ATTEMPTED:
            return known
        if action.kind is ActionKind.CONFLICT:
            return PersonaResult(action, Result.CONFLICT, action.entry, action.reason)
        if known is None and action.audio_id in self._started:
            reason = "the run left before its answer came"
            return PersonaResult(action, Result.UNKNOWN, action.entry, reason)
        return PersonaResult(action, Result.NOT_ATTEMPTED, action.entry, self._stopped)


def _unexpected(error: BaseException) -> str:
    return f"unexpected error: {type(error).__name__}"


_TOLD_AS: Final = {
    Result.CREATED: EventKind.CREATE_DONE,
    Result.IMPORTED: EventKind.IMPORTED,
    Result.RENAMED: EventKind.RENAMED,
}
_RECORDED: Final = {
    ActionKind.IMPORT: (EventKind.IMPORTED, Result.IMPORTED),
    ActionKind.RENAME: (EventKind.RENAMED, Result.RENAMED),
}
