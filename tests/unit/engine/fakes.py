"""An API and a log to run the engine against, and one journal of what both of them saw."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from personasync.engine import ApplyOptions, apply
from personasync.engine.events import Account, Event
from personasync.model.diagnostics import Place
from personasync.model.errors import StateWriteError
from personasync.model.outcome import Created, Outcome
from personasync.model.persona import Manifest, Persona, PersonaRequest
from personasync.plan.compute import Plan, compute_plan
from personasync.state import Entry, Header, LogContents, State, fold
from personasync.state.entry import ServiceMoved

API = "https://api.example"

LONG = 60.0
"""Seconds that a test waits for what it needs; only a hang takes as long."""


def persona(number: int, **changes: Any) -> Persona:
    """Persona ``p-NUMBER`` of audio ``a-NUMBER``; ``key`` and ``persona_id`` can be changed."""
    key = changes.pop("key", f"p-{number}")
    persona_id = changes.pop("persona_id", None)
    values = {
        "task_id": f"t-{number}",
        "audio_id": f"a-{number}",
        "name": f"Persona {number}",
        "description": "A warm and steady voice",
        **changes,
    }
    return Persona(key, PersonaRequest(**values), Place("p.yaml", number, 3), persona_id)


def plan_of(personas: int | Iterable[Persona], entries: Sequence[Entry] = ()) -> Plan:
    """The plan for so many personas (or these), with these entries in the state."""
    if isinstance(personas, int):
        personas = [persona(number) for number in range(1, personas + 1)]
    header = Header("l", API) if entries else None
    return compute_plan(Manifest(tuple(personas)), State(header, fold(entries)))


class MemoryLog:
    """A log in memory. ``fails`` says of an entry whether, and with what, appending it fails."""

    location = "memory"

    def __init__(
        self,
        entries: Sequence[Entry] = (),
        *,
        journal: list[Any] | None = None,
        fails: Callable[[Entry], bool | Exception] = lambda _entry: False,
        rescue: str | Exception | None = "state.rescue",
    ) -> None:
        self.entries = list(entries)
        self.rescued: list[Entry] = []
        self.taken: set[str] = set()
        self.journal = journal if journal is not None else []
        self._fails = fails
        self._rescue = rescue

    def read(self) -> LogContents:
        held = [entry for entry in self.entries if entry.audio_id not in self.taken]
        return LogContents(Header("l", API), tuple(held))

    @contextmanager
    def lock(self, **_options: Any) -> Any:
        yield

    def append(self, entries: Sequence[Entry | ServiceMoved]) -> None:
        told = [entry for entry in entries if isinstance(entry, Entry)]
        for entry in told:
            failure = self._fails(entry)
            if isinstance(failure, Exception):
                raise failure
            if failure:
                raise StateWriteError("cannot write the state: no space")
        self.journal.extend(("append", entry.status.value, entry.audio_id) for entry in told)
        self.entries.extend(told)

    @property
    def header(self) -> None:
        return None

    def rescue(self, entries: Sequence[Entry]) -> str | None:
        if isinstance(self._rescue, Exception):
            raise self._rescue
        if self._rescue is not None:
            self.rescued.extend(entries)
        return self._rescue

    def intact(self) -> bool:
        return not self.taken

    def compact(self) -> None:
        raise AssertionError("the engine never compacts")

    def folded(self) -> dict[str, Entry]:
        return fold(self.entries)


class ScriptedApi:
    """Answers as it is told: what ``script`` has for an audio, one after another, else an ID.

    An answer may be a function, which is called in the worker's thread. Each
    comes after ``latency`` seconds, and once ``together`` requests wait for one.
    """

    def __init__(
        self,
        script: Mapping[str, Sequence[Outcome | Callable[[], Outcome]]] | None = None,
        *,
        journal: list[Any] | None = None,
        latency: float = 0.0,
        together: int = 1,
    ) -> None:
        self.script = {audio: deque(answers) for audio, answers in (script or {}).items()}
        self.journal = journal if journal is not None else []
        self.latency = latency
        self.together = threading.Barrier(together, timeout=LONG)
        self.asked: list[str] = []
        self.requests: list[PersonaRequest] = []
        self.times: list[float] = []
        self.most_at_once = 0
        self._at_once = 0
        self._guard = threading.Lock()

    def create(self, request: PersonaRequest) -> Outcome:
        audio = request.audio_id
        with self._guard:
            self.journal.append(("send", audio))
            self.asked.append(audio)
            self.requests.append(request)
            self.times.append(time.monotonic())
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            answers = self.script.get(audio)
            answer = answers.popleft() if answers else Created(f"id-{audio}")
        try:
            time.sleep(self.latency)
            self.together.wait()
            return answer() if callable(answer) else answer
        finally:
            with self._guard:
                self._at_once -= 1


class Ran:
    """One apply, with all that can be seen of it."""

    def __init__(self, plan: Plan, log: Any, api: Any, **options: Any) -> None:
        self.log = log
        self.api = api
        self.events: list[Event] = []
        self._journal = getattr(log, "journal", [])
        listener = options.pop("listener", self.listen)
        options = {"rate": None, "retry_for": LONG, **options}
        self.account: Account = apply(
            plan, log=log, api=api, options=ApplyOptions(**options), listener=listener
        )

    def listen(self, event: Event) -> None:
        self._journal.append(("event", event.kind.value, event.audio_id))
        self.events.append(event)

    @property
    def told(self) -> list[tuple[str, str | None]]:
        """The events, as their kind and key."""
        return [(event.kind.value, event.key) for event in self.events]

    @property
    def rows(self) -> dict[str, str]:
        """How each persona ended, by key."""
        return {row.action.key: row.result.value for row in self.account.results}


def run(
    personas: int | Iterable[Persona],
    script: Mapping[str, Sequence[Any]] | None = None,
    entries: Sequence[Entry] = (),
    *,
    fails: Callable[[Entry], bool | Exception] = lambda _entry: False,
    rescue: str | Exception | None = "state.rescue",
    latency: float = 0.0,
    together: int = 1,
    **options: Any,
) -> Ran:
    """Apply a plan for these personas, with this script, state and disk."""
    journal: list[Any] = []
    log = MemoryLog(entries, journal=journal, fails=fails, rescue=rescue)
    api = ScriptedApi(script, journal=journal, latency=latency, together=together)
    return Ran(plan_of(personas, entries), log, api, **options)
