"""What an apply tells while it runs, and its account at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from personasync.model.steps import NextStep
from personasync.plan.compute import Action
from personasync.plan.preflight import Verdict
from personasync.state.entry import Entry


class EventKind(StrEnum):
    """The name of an event.

    ``WAITING`` is for who watches, about once a second while nothing else
    happens; it is not among the events that scripts are given.
    """

    RUN_START = "run_start"
    CREATE_START = "create_start"
    CREATE_RETRY = "create_retry"
    CREATE_DONE = "create_done"
    CREATE_FAILED = "create_failed"
    CREATE_CONFLICT = "create_conflict"
    CREATE_UNKNOWN = "create_unknown"
    IMPORTED = "imported"
    RENAMED = "renamed"
    STOPPING = "stopping"
    WAITING = "waiting"
    RUN_END = "run_end"


class Result(StrEnum):
    """How an apply left one persona that its plan wanted to act on."""

    CREATED = "created"
    IMPORTED = "imported"
    RENAMED = "renamed"
    FAILED = "failed"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"
    NOT_ATTEMPTED = "not attempted"


@dataclass(frozen=True, slots=True)
class PersonaResult:
    """One persona's row of the account.

    ``entry`` is what is recorded now; ``reason`` says why, when it is not
    created; ``rescued`` is set when the ID, or an answer that shows one, is not
    in the state: where it is kept instead, or an empty text when nowhere but on
    the screen. ``held`` is why it was not asked for, where a check found that
    it must not be yet.
    """

    action: Action
    result: Result
    entry: Entry | None = None
    reason: str | None = None
    rescued: str | None = None
    held: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """The full account of a run: every persona that its plan wanted to act on, or in conflict.

    ``stopped`` says why the run ended before its plan did, and ``next_step``
    what to change; ``signal`` is the number of the signal that interrupted it.
    ``refused`` tells that the reason stops any run: the API refuses them all,
    or the state cannot be written.
    ``abandoned`` tells that the run left requests in flight, ``failure`` is an
    error nobody expected, for the caller to raise once the account is given.
    ``repeated`` has each ID that the API gave though another audio has it, with
    the keys of them all.
    """

    run: str
    results: tuple[PersonaResult, ...]
    stopped: str | None = None
    next_step: NextStep | None = None
    signal: int | None = None
    refused: bool = False
    abandoned: bool = False
    failure: BaseException | None = None
    repeated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def counts(self) -> Mapping[Result, int]:
        """Return how many personas ended each way, none left out."""
        found = Counter(row.result for row in self.results)
        return {result: found[result] for result in Result}

    @property
    def complete(self) -> bool:
        """Whether every persona that the plan wanted is recorded."""
        done = (Result.CREATED, Result.IMPORTED, Result.RENAMED)
        return all(row.result in done and row.rescued is None for row in self.results)

    @property
    def exit_code(self) -> int:
        """The exit code that the account calls for."""
        if self.signal is not None:
            return 128 + self.signal
        if self.failure is not None:
            return 1
        if self.complete:
            return 0
        counts = self.counts()
        recorded = counts[Result.CREATED] + counts[Result.IMPORTED] + counts[Result.RENAMED]
        return 1 if self.refused and not recorded else 3


@dataclass(frozen=True, slots=True)
class Underway:
    """A request that has no answer yet; ``seconds`` is how long ago it left."""

    key: str
    audio_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run, told only once it is durable.

    ``at`` is a UTC time (RFC 3339). ``attempt`` counts the requests for one
    persona from 1; ``wait`` is the seconds until the next. ``total`` is how
    many personas the run will act on (``run_start``); ``account`` is set on
    ``run_end``. ``underway`` are the requests that are waited for
    (``stopping``, ``waiting``), oldest first; ``wait`` of ``waiting`` is the
    seconds until the next may leave, where the rate holds it back, or for the
    ``reason`` that it gives, and ``waiting`` of it are the keys of those whose
    tasks are still being generated.
    """

    kind: EventKind
    at: str
    run: str
    key: str | None = None
    audio_id: str | None = None
    persona_id: str | None = None
    attempt: int | None = None
    wait: float | None = None
    code: int | None = None
    reason: str | None = None
    rescued: str | None = None
    previous_key: str | None = None
    total: int | None = None
    underway: tuple[Underway, ...] = ()
    waiting: tuple[str, ...] = ()
    account: Account | None = None
