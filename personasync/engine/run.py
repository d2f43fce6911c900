"""Carries out a plan: the only thing that spends anything.

The *caller's* thread tells the listener and takes signals, and owns nothing
that must last, so that neither a blocked terminal nor a Ctrl-C can delay or
break a record. One *conductor* decides, appends and schedules (to a log that is
far away, by the hand of a thread beside it). *Workers* only ask the API, and
*looks* after a task only the API too. All speak through two mailboxes; besides,
the caller reads of the conductor what is shown, which may be a moment old.
Where a run is left at once, the caller's thread and then a *late* one take the
place of a conductor that hangs: see ``Conductor.salvage``.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final, Protocol, TypeAlias

from personasync.engine.conductor import Conductor
from personasync.engine.events import Account, Event, EventKind, PersonaResult, Result
from personasync.engine.known import RECORDED, known
from personasync.engine.messages import (
    Answer,
    Appended,
    Ended,
    Go,
    Halt,
    KnownTold,
    Leave,
    Looked,
    Message,
    Told,
)
from personasync.engine.schedule import RetryBudget, Schedule, Window
from personasync.engine.signals import no_signals, signals
from personasync.engine.stopping import unexpected
from personasync.engine.waiting import Waiting
from personasync.model.calls import tried
from personasync.model.clock import new_run, utc_now
from personasync.model.outcome import Outcome
from personasync.model.persona import PersonaRequest
from personasync.model.tasks import TaskAnswer
from personasync.model.units import Rate
from personasync.plan.compute import APPLICABLE, SPENDING, Action, ActionKind, Plan
from personasync.plan.preflight import Finding, Verdict
from personasync.state.background import Call
from personasync.state.entry import Status
from personasync.state.log import StateLog

DEFAULT_RATE: Final = Rate(20, 10.0)
"""The rate that the service publishes: 20 requests in any 10 seconds for one account."""

_LAST_WORDS_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.1
"""A signal that comes just before a wait begins does not end it: so waits are short."""
_TELL_SECONDS: Final = 1.0
_LONGEST_WAIT: Final = 3600.0

Listener: TypeAlias = Callable[[Event], None]


class PersonaApi(Protocol):
    """What apply needs of an API. Safe to call from several threads, and never raising."""

    def create(self, request: PersonaRequest) -> Outcome:
        """Ask once for a persona and say what became of it."""


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How an apply goes about it.

    ``parallelism`` requests at a time; at most ``rate`` (``None``: no limit);
    retries for up to ``retry_for`` seconds without a usable answer.
    ``handle_signals`` makes the first SIGINT, SIGTERM or their like end the
    run in order, and the same one again end it at once; only the main thread can.
    """

    parallelism: int = 4
    rate: Rate | None = DEFAULT_RATE
    retry_for: float = 120.0
    handle_signals: bool = False

    def __post_init__(self) -> None:
        if self.parallelism < 1:
            raise ValueError("parallelism is at least 1")


DEFAULT_OPTIONS: Final = ApplyOptions()


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found, for an apply to heed.

    Who would be refused is not asked for. Whose task is still running waits
    up to ``wait_for`` seconds, and ``describe`` looks at the task again; it
    must be safe to call from several threads, and never raise. ``window`` has
    the questions that were asked already, since the rate counts them too.
    """

    findings: tuple[Finding, ...] = ()
    describe: Callable[[str], TaskAnswer] | None = None
    wait_for: float = 0.0
    window: Window | None = None

    @property
    def held(self) -> dict[str, Finding]:
        """Who is not asked for, by audio."""
        kept_back = (Verdict.RUNNING, Verdict.REFUSED)
        found = (each for each in self.findings if each.verdict in kept_back)
        return {each.action.audio_id: each for each in found}


def apply(
    plan: Plan,
    *,
    log: StateLog,
    api: PersonaApi,
    options: ApplyOptions = DEFAULT_OPTIONS,
    listener: Listener | None = None,
    checked: Checked | None = None,
) -> Account:
    """Carry out a plan and account for every persona in it.

    The caller holds the log's lock, and has held it since the state that the
    plan was computed from was read. What goes wrong with a persona, the state
    or the listener is in the account; nothing is raised for it. ``listener``
    is called in the calling thread, for one event at a time. What a check of
    the plan found keeps personas back.
    """
    listener = listener or (lambda _event: None)
    return _Run(plan, log, api, options, listener, checked or Checked()).carry_out()


class Mailbox:
    """The conductor's world: what others put in, and the time of this machine."""

    now = staticmethod(time.monotonic)
    written = staticmethod(utc_now)

    def __init__(self) -> None:
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self.put = self._messages.put

    def receive(self, until: float) -> Sequence[Message]:
        """Return all that is here; wait for something until a moment of ``now``."""
        found = []
        with contextlib.suppress(Empty):
            wait = until - self.now()
            if wait > 0:
                found.append(self._messages.get(timeout=min(wait, _LONGEST_WAIT)))
            while True:
                found.append(self._messages.get_nowait())
        return found

    def beside(self, append: Callable[[], None]) -> Callable[[float], None]:
        """See ``World``."""

        def appended() -> None:
            try:
                append()
            finally:
                self.put(Appended())

        return Call(appended).wait


class Workers:
    """Threads that ask the API and put each answer into the mailbox; nothing else."""

    def __init__(self, api: PersonaApi, put: Callable[[Message], None]) -> None:
        self._api = api
        self._put = put
        self._requests: SimpleQueue[PersonaRequest | None] = SimpleQueue()
        self._count = 0

    def hire(self, count: int) -> bool:
        """Have so many threads; ``False`` when the system gives fewer, and fewer will do."""
        if self._count >= count:
            return True
        thread = threading.Thread(target=self._work, name=f"worker-{self._count}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if self._count == 0:
                raise
            return False
        self._count += 1
        return True

    def ask(self, request: PersonaRequest) -> None:
        """Let whoever is free ask."""
        self._requests.put(request)

    def do(self, task: Callable[[], Message]) -> None:
        """Let a thread of its own find something out: no question holds up a persona."""
        threading.Thread(target=lambda: self._put(task()), name="look", daemon=True).start()

    def dismiss(self) -> None:
        """Let every thread end once it has its answer."""
        for _ in range(self._count):
            self._requests.put(None)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            outcome, failure = tried(partial(self._api.create, request))
            self._put(Answer(request.audio_id, outcome, failure))


@dataclass(frozen=True, slots=True)
class _Signalled:
    """Word that a signal came."""


class _Run:
    """The caller's side of a run: it tells, takes signals and gives the account."""

    def __init__(
        self,
        plan: Plan,
        log: StateLog,
        api: PersonaApi,
        options: ApplyOptions,
        listener: Listener,
        checked: Checked,
    ) -> None:
        self._id = new_run()
        self._describe = checked.describe
        self._plan = plan
        self._options = options
        self._listener: Listener | None = listener
        self._rows = [
            action
            for action in plan.actions
            if action.kind in APPLICABLE or action.kind is ActionKind.CONFLICT
        ]
        self._told: SimpleQueue[Told | _Signalled] = SimpleQueue()
        self._mailbox = Mailbox()
        self._workers = Workers(api, self._mailbox.put)
        self._conductor = Conductor(
            self._id,
            log,
            world=self._mailbox,
            asker=self._workers,
            schedule=Schedule(options.rate, options.parallelism, checked.window),
            budget=RetryBudget(options.retry_for),
            tell=self._told.put,
            waiting=_who_waits(checked, self._mailbox.now()),
            look=self._look,
        )
        held = checked.held
        self._conductor.held |= held
        at_once = [action for action in self._rows if action.kind in RECORDED]
        to_ask = [row for row in self._rows if row.kind in SPENDING and row.audio_id not in held]
        to_ask.sort(key=_turn)
        self._thread = threading.Thread(
            target=lambda: self._conductor.conduct(
                (known(each, self._id, utc_now()) for each in at_once), to_ask
            ),
            name="conductor",
            daemon=True,
        )
        self._ended = False
        self._arrived: Callable[[], list[int]] = list
        self._stopped: str | None = None
        self._signals: list[int] = []
        self._waiting_told_at = time.monotonic()
        self._abandoned = False
        self._failure: BaseException | None = None

    def _look(self, task_id: str) -> None:
        describe = self._describe
        if describe is not None:
            self._workers.do(lambda: Looked(task_id, describe(task_id)))

    def carry_out(self) -> Account:
        handling = signals if self._options.handle_signals else no_signals
        # To the last word: no signal may cut the account short.
        with handling(lambda: self._told.put(_Signalled())) as self._arrived:
            total = sum(action.kind in APPLICABLE for action in self._rows)
            self._tell(Event(EventKind.RUN_START, utc_now(), self._id, total=total))
            self._conduct()
            self._workers.dismiss()
            account = self._account()
            self._tell(Event(EventKind.RUN_END, utc_now(), self._id, account=account))
        return self._account() if self._failure is not account.failure else account

    def _conduct(self) -> None:
        while not self._ended:
            try:
                if self._thread.ident is None and self._failure is None:
                    self._thread.start()
                self._listen()
                return
            except KeyboardInterrupt:  # no handler of ours is set
                self._interrupt(signal.SIGINT)
            except RuntimeError as error:  # the system has no thread left
                self._fail(error)
                return

    def _listen(self) -> None:
        while not self._ended:
            try:
                self._receive(self._told.get(timeout=_LOOK_SECONDS))
                self._tell_waiting()
            except Empty:
                self._take_signals()
                self._tell_waiting()
                if not self._thread.is_alive():
                    # A KeyboardInterrupt can swallow a message: never wait for one for ever.
                    self._receive_waiting()
                    return

    def _receive(self, message: Told | _Signalled) -> None:
        match message:
            case Event() as event:
                self._tell(event)
            case KnownTold():
                self._take_signals()  # one that came meanwhile comes before the first request
                self._mailbox.put(Go())
            case Ended():
                self._ended = True
            case _Signalled():
                self._take_signals()

    def _receive_waiting(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                self._receive(self._told.get_nowait())

    def _tell_waiting(self) -> None:
        """Let who watches know now and then what this waits for, though others get answers."""
        now = time.monotonic()
        if self._ended or now - self._waiting_told_at < _TELL_SECONDS:
            return
        self._waiting_told_at = now
        held_until = self._conductor.held_until
        wait = None if held_until is None else max(0.0, held_until - self._mailbox.now())
        reason = "the API asks to wait" if self._conductor.slowed else None
        underway = self._conductor.underway()
        waiting = self._conductor.waiting_keys()
        self._tell(
            Event(
                EventKind.WAITING,
                utc_now(),
                self._id,
                wait=wait,
                reason=reason,
                underway=underway,
                waiting=waiting,
            )
        )

    # How a run ends early.

    def _take_signals(self) -> None:
        for number in self._arrived():
            self._interrupt(number)

    def _interrupt(self, number: int) -> None:
        """Take a signal: the first ends the run in order, the same one again at once.

        Another one after the first is a machine that grows impatient, such as
        a CI host that sends SIGINT, then SIGTERM, then SIGKILL: what is still to
        come is worth waiting for.
        """
        again, first = number in self._signals, not self._signals
        self._signals.append(number)
        if first:
            reason = f"interrupted by {signal.Signals(number).name}"
            self._halt(reason, at_once=False)
            underway = self._conductor.underway()
            self._tell(
                Event(EventKind.STOPPING, utc_now(), self._id, reason=reason, underway=underway)
            )
        elif again and not self._abandoned:
            self._abandoned = True
            self._mailbox.put(Leave())
            self._take_last_words()

    def _take_last_words(self) -> None:
        """Before leaving at once, let the answers that are already here reach the disk."""
        self._thread.join(_LAST_WORDS_SECONDS)
        if self._thread.is_alive():
            self._conductor.salvage()
        with contextlib.suppress(RuntimeError):  # the system has no thread left
            threading.Thread(target=self._conductor.keep_late, name="late", daemon=True).start()
        self._receive_waiting()
        self._ended = True

    def _halt(self, reason: str, *, at_once: bool = True) -> None:
        self._stopped = self._stopped or reason
        self._mailbox.put(Halt(reason, at_once=at_once))

    def _fail(self, failure: BaseException, reason: str | None = None) -> None:
        self._failure = self._failure or failure
        self._halt(reason or unexpected(failure))

    def _tell(self, event: Event) -> None:
        """Tell the listener; if it cannot hear, nothing more may happen unseen."""
        if self._listener is None:
            return
        try:
            self._listener(event)
        except Exception as error:  # noqa: BLE001 - the state counts more than who listens
            self._listener = None
            self._fail(error, f"what happens cannot be shown: {error}")

    # The account.

    def _account(self) -> Account:
        # Abandoned, the conductor may still be at work: what it adds to these is durable by then.
        results = dict(self._conductor.results)
        return Account(
            run=self._id,
            results=tuple(self._row(action, results) for action in self._rows),
            stopped=self._stopped or self._conductor.stopped,
            next_step=None if self._stopped else self._conductor.next_step,
            signal=self._signals[0] if self._signals else None,
            refused=self._conductor.refused,
            abandoned=self._abandoned,
            failure=self._failure or self._conductor.failure,
            repeated=dict(_repeated(self._plan, results)),
        )

    def _row(self, action: Action, results: dict[str, PersonaResult]) -> PersonaResult:
        row = results.get(action.audio_id)
        if row is not None and row.result is not Result.NOT_ATTEMPTED:
            return row
        if action.kind is ActionKind.CONFLICT:
            return PersonaResult(action, Result.CONFLICT, action.entry, action.reason)
        if row is None and action.audio_id in self._conductor.lineup.started:
            left = "the run left before its answer came"
            return PersonaResult(action, Result.UNKNOWN, action.entry, left)
        held = self._conductor.held.get(action.audio_id)
        if held is not None:
            return PersonaResult(
                action, Result.NOT_ATTEMPTED, action.entry, held.reason, held=held.verdict
            )
        reason = self._stopped or self._conductor.stopped
        return PersonaResult(action, Result.NOT_ATTEMPTED, action.entry, reason)


def _who_waits(checked: Checked, now: float) -> Waiting | None:
    running = [each for each in checked.findings if each.verdict is Verdict.RUNNING]
    if not running or checked.describe is None or checked.wait_for <= 0:
        return None
    return Waiting(running, now=now, seconds=checked.wait_for)


def _repeated(
    plan: Plan, results: Mapping[str, PersonaResult]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Find what no API should do: give one ID to several audios."""
    made = [row.entry for row in results.values() if row.result is Result.CREATED]
    keys: dict[str, list[str]] = {e.persona_id: [] for e in made if e and e.persona_id}
    for action in plan.actions:
        row = results.get(action.audio_id)
        entry = row.entry if row else action.entry
        if entry is not None and entry.persona_id in keys:
            keys[entry.persona_id].append(action.key)
    for persona_id, found in keys.items():
        if len(found) > 1:
            yield persona_id, tuple(found)


def _turn(action: Action) -> tuple[int, str]:
    """Return what to sort by: a few bad personas must not starve the rest, in any run.

    So what was never asked comes first; then what was refused; then what had no
    clear outcome; of these, what was asked the longest ago.
    """
    entry = action.entry
    if entry is None or (entry.status is Status.FAILED and entry.code is None):
        return 0, ""
    return (2 if action.kind is ActionKind.RESUME else 1), entry.at or ""
