"""A seed is a story: who is there, what they do, what befalls them, and what must hold."""

from __future__ import annotations

import gc
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from personasync.engine import ApplyOptions, apply
from personasync.engine.events import Account, Event, EventKind, Result
from personasync.model.diagnostics import Place
from personasync.model.errors import PersonasyncError, StateError
from personasync.model.persona import Manifest, Persona, PersonaRequest
from personasync.plan.compute import Plan, compute_plan
from personasync.state.background import SystemClock, beating
from personasync.state.entry import Header
from personasync.state.file import FileStateLog
from personasync.state.locations import shared_location
from personasync.state.log import Leased, LogContents, StateLog
from personasync.state.postgres import PostgresLog
from personasync.state.segments import SegmentLog, begin
from personasync.state.shared import SharedLog
from tests.simulation.accounts import Happened, faults
from tests.simulation.asking import RATE, RETRY_FOR, Asking
from tests.simulation.box import Box, Machine
from tests.simulation.kernel import Kernel, Process, Task
from tests.simulation.misfortune import Misfortunes
from tests.simulation.people import Lost, by_command, by_hand
from tests.simulation.rows import SimulatedDatabase, Tables
from tests.simulation.service import OUTAGES, Outage, Service, SimulatedClient, Weather
from tests.simulation.store import SimulatedBucket, Store

API: Final = "https://api.example"
PLACE: Final = "s3://bucket/personas"
DATABASE: Final = shared_location("postgresql://database.example/personas")
_TIME_TO_WRITE: Final = 0.05
"""Seconds that a rescue file takes on a disk that is well."""
LOCK_TIMEOUTS: Final = (0.0, 5.0, 90.0, 90.0)
"""Seconds; only the longest outlives a lease."""

TROUBLES: Final = (
    *("kills", "stops", "signals", "store", "network", "service", "disk", "people", "clocks"),
    *("power", "outage"),
)
KINDS: Final = ("file", "objects", "rows")
"""A file, an object store, PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Story:
    """What a seed stands for; a smaller one is told from the same seed with less in it.

    ``kind`` is where the state lives. Several machines share one that lives in a store; beside a
    file, they are several jobs of one machine.
    """

    seed: int
    personas: int
    machines: int
    applies: int
    kind: str
    troubles: tuple[str, ...]
    repeat: str

    @classmethod
    def of(cls, seed: int) -> Story:
        """Return the whole story of a seed."""
        chance = Kernel(seed).chance
        short = chance.random() < 0.6  # most of what goes wrong takes no more
        return cls(
            seed,
            personas=chance.choice([1, 1, 2] if short else [1, 2, 3, 6]),
            machines=chance.choice([1, 1, 2] if short else [1, 2, 3]),
            applies=1 if short else chance.choice([1, 1, 2, 3]),
            kind=chance.choice(KINDS),
            troubles=tuple(t for t in TROUBLES if chance.random() < 0.5),
            repeat=chance.choice(["conflict", "conflict", "same", "conflict with ID"]),
        )


class BrokenRuleError(AssertionError):
    """What must always hold did not."""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a story: figures for the account of a night."""

    steps: int
    tally: Counter[str]


def play(story: Story, *, told: Callable[[str], None] | None = None) -> Told:
    """Play a story to its end. Raises ``BrokenRuleError`` where a rule is broken."""
    gc.disable()  # what is dropped is closed at its own moment, and at no other
    try:
        return _Play(story, told).play()
    finally:
        gc.enable()


class _Play:
    def __init__(self, story: Story, told: Callable[[str], None] | None) -> None:
        self.story = story
        self.kernel = Kernel(story.seed + 1, told)
        chance = self.kernel.chance
        clocks = "clocks" in story.troubles
        self.machines = {
            f"m{number}": Machine(
                f"m{number}",
                drift=chance.uniform(0.9995, 1.0005) if clocks else 1.0,
                ahead=chance.choice([-86400.0, 0.0, 86400.0]) if clocks else 0.0,
            )
            for number in range(1 if story.kind == "file" else story.machines)
        }
        self.machines["ether"] = Machine("ether")
        self.box = Box(self.kernel, self.machines)
        self.ether = Process("ether", "ether")
        trouble = 0.15 if "store" in story.troubles else 0.0
        self.store: Store | Tables = (
            Tables(self.kernel, trouble) if story.kind == "rows" else Store(trouble)
        )
        self.service = Service(self.kernel, self._weather())
        self.misfortunes = Misfortunes(self.box, story.troubles)
        self.disturbed = self.misfortunes.disturbed
        self.asking = Asking(
            self.kernel,
            self.service,
            disturbed=self.disturbed,
            holds_are_sure=story.kind == "file" or "store" not in story.troubles,
            broken=self._break,
        )
        self.service.on_send = self._asks
        self.service.waits = self._waits
        self.service.on_arrival = self.asking.arrives
        self.box.on_decision, self.box.on_hearing = self._decides, self.asking.hears
        self.runs: dict[Process, str] = {}
        self.began: dict[Process, float] = {}
        self.comers: set[Process] = set()
        """Who has come to the state, whether it got to hold it or not."""
        self.plans: dict[Process, Plan] = {}
        self.told: dict[Process, dict[str, str]] = {}
        """Who showed which ID of a persona, by key."""
        self.shown: set[str] = set()
        self.known: set[str] = set()
        """IDs that a run has read under the lock."""
        self.told_only: set[str] = set()
        """IDs that a run could keep nowhere, and showed."""
        self.lost = Lost()
        self.questions: set[Process] = set()
        """Runs that wait for somebody's yes."""
        self.ended: list[tuple[Process, int, Account | None]] = []
        self.exits: dict[Process, float] = {}
        self.kernel.meddle = self.misfortunes.meddle

    def _weather(self) -> Weather:
        network, service = "network" in self.story.troubles, "service" in self.story.troubles
        return Weather(
            self.story.repeat,
            unreachable=0.1 * network,
            lost=0.1 * network,
            slow=0.2 * network,
            cut=0.05 * network,
            gateway=0.1 * network,
            throttled=0.1 * service,
            broken=0.1 * service,
            refusing=0.2 * service,
            outage=self._outage() if "outage" in self.story.troubles else None,
        )

    def _outage(self) -> Outage:
        chance = self.kernel.chance
        begins = chance.choice([0.0, 1.0, 30.0])
        return Outage(chance.choice(OUTAGES), begins, begins + chance.choice([20.0, 100.0, 1000.0]))

    # The cast.

    def play(self) -> Told:
        kernel, story = self.kernel, self.story
        with self.box.closed():
            try:
                if story.kind != "file":
                    kernel.start(Process("begin", "ether"), self._begin_state)
                    self._run()
                for number, machine in enumerate(self._jobs()):
                    cron = Process(f"{machine}/cron-{number}", machine)
                    kernel.start(cron, partial(self._cron, machine, number))
                if "people" in story.troubles:
                    self._people()
                self._run()
                self._good_day()
            finally:
                kernel.close()
        kernel.tally["IDs"] = len(self.service.made)
        return Told(kernel.steps, kernel.tally)

    def _people(self) -> None:
        kernel = self.kernel
        machine = self.machines["m0"]
        if self.story.kind == "file":
            hands = partial(by_hand, kernel, machine, self.service, self.lost, self.questions)
            kernel.start(Process("somebody", "ether"), hands)
        desk = Process("m0/desk", "m0")
        commands = partial(by_command, kernel, self._log, self.manifest, self.service)
        kernel.start(desk, lambda: self.shown.update(commands()))

    def _jobs(self) -> Iterator[str]:
        """Name the machine of each job that applies."""
        for number in range(self.story.machines):
            yield "m0" if self.story.kind == "file" else f"m{number}"

    def _begin_state(self) -> None:
        header = Header("lineage", API)
        if isinstance(self.store, Tables):
            self.store.header = header
        else:
            bucket = SimulatedBucket(self.kernel, Store(objects=self.store.objects), self.ether)
            begin(bucket, SystemClock(), PLACE, header)

    def _cron(self, machine: str, job: int) -> None:
        """Apply again and again, as a job does."""
        for number in range(self.story.applies):
            process = Process(f"{machine}/apply-{job}-{number}", machine)
            self.kernel.start(process, partial(self._main, process))
            self.kernel.wait_for(process)
            self.kernel.sleep(self.kernel.chance.choice([0.0, 1.0, 30.0]))

    def _good_day(self) -> None:
        """All is well: a few more applies, then everything must be known."""
        self.kernel.calm = True
        self.kernel.say("from here on all is well")
        machines = [name for name in self.machines if name != "ether"]
        for number, machine in enumerate([*machines, machines[0]]):
            self._well(Process(f"{machine}/good-{number}", machine), self._main)
        looked: list[set[str]] = []
        reader = Process(f"{machines[-1]}/reader", machines[-1])  # what others kept is in the state
        self._well(reader, lambda _process: looked.append(_ids_in(self._log().read())))
        [known] = looked
        must = {
            persona_id
            for persona_id, process in self.service.delivered.items()
            if (not process.dead or process in self.finished) and not self._too_late(persona_id)
        }
        lost = (must | self.shown | self.known) - known - self.told_only - self.lost.ids
        if lost:
            raise BrokenRuleError(f"IDs are lost: {sorted(lost)}")

    def _well(self, process: Process, call: Callable[[Process], None]) -> None:
        """Let a process have its way to the end."""
        task = self.kernel.start(process, partial(call, process))
        self._run(task)

    @property
    def finished(self) -> set[Process]:
        return {process for process, _code, _account in self.ended}

    def _waits(self, process: Process) -> bool:
        told_twice = any(count > 1 for count in Counter(self.box.sent.get(process, ())).values())
        return process not in self.service.over and not told_twice

    def _too_late(self, persona_id: str) -> bool:
        """Whether an ID came when nobody waited, and no disk took it, or no time was left for one.

        A run that was told twice to leave can neither show it any more nor wait.
        """
        came = self.service.came.get(persona_id)
        if came is None:
            return False
        gone = self.exits.get(self.service.delivered[persona_id], math.inf)
        return "disk" in self.story.troubles or gone - came < _TIME_TO_WRITE

    def _read(self, process: Process, log: StateLog, waited_with: set[str]) -> LogContents:
        """Read the state: what one reading knew, every later one knows.

        Who may have lost its hold unseen need know no more than when it began to wait for it.
        """
        before = set(self.known)
        contents = log.read()
        if process in self.disturbed or not self.asking.holds_are_sure:
            before = waited_with
        known = _ids_in(contents) & set(self.service.made.values())  # some are but a part of one
        gone = before - known - self.lost.ids
        if gone:
            self._break(f"{process} knows nothing of {sorted(gone)}, which another has read")
        self.known |= known
        durable = b"".join(self._durable(process.machine))
        for persona_id in known - self.lost.ids:
            if self.story.kind == "file" and f'"{persona_id}"'.encode() not in durable:
                self._break(f"{process} believes in {persona_id}, which is on no disk")
        return contents

    # A run of the tool.

    def _main(self, process: Process) -> None:
        code, account = 0, None
        try:
            account = self._apply(process)
            code = account.exit_code
        except PersonasyncError as error:
            code = error.exit_code
            self.kernel.say(f"{process} ends: {error.message}")
            if self.kernel.calm:
                self._break(f"all is well, and {process} ends: {error.message}")
            if self.asking.asked(process):
                self._break(f"{process} has asked, and gives no account")
        self.kernel.say(f"{process} exits {code}")
        self.ended.append((process, code, account))
        self.exits[process] = self.kernel.now
        if account is not None:
            self._check_account(process, account)
        self.kernel.bury(process)

    def _apply(self, process: Process) -> Account:
        log = self._log()
        waited_with = set(self.known)
        with log.lock(timeout=self._patience()):
            self.began[process], places = self.kernel.now, self.kernel.chance.randint(1, 4)
            self.asking.begins(process, places)
            contents = self._read(process, log, waited_with)
            plan = self.plans[process] = compute_plan(self.manifest, contents.fold())
            if plan.applicable:
                self._question(process, log)
            account = apply(
                plan,
                log=log,
                api=SimulatedClient(self.service, self.ether),
                options=ApplyOptions(
                    parallelism=places,
                    rate=RATE,
                    retry_for=RETRY_FOR,
                    handle_signals=True,
                ),
                listener=lambda event: self._hear(process, event),
            )
            if account.complete and plan.applicable:
                with suppress(StateError):  # it is told: the state is whole as it is
                    log.compact()
        return account

    def _question(self, process: Process, log: StateLog) -> None:
        """Ask somebody, who may take a while, and may change the state meanwhile."""
        if "people" in self.story.troubles and self.kernel.chance.random() < 0.3:
            self.questions.add(process)
            self.kernel.step("asks whether to go on", self.kernel.chance.uniform(0.0, 20.0))
            self.questions.discard(process)
        if isinstance(log, Leased):
            log.confirm()

    def _patience(self) -> float:
        return LOCK_TIMEOUTS[-1] if self.kernel.calm else self.kernel.chance.choice(LOCK_TIMEOUTS)

    def _log(self) -> StateLog:
        process = self.kernel.process
        self.comers.add(process)
        if self.story.kind == "file":
            return FileStateLog(Path(self.machines[process.machine].state), api=API)
        beside = partial(beating, every=15.0)
        if isinstance(self.store, Tables):
            database = SimulatedDatabase(self.store, self.ether)
            rows = PostgresLog(
                DATABASE, database, SystemClock(), holder=self.box.holder, beating=beside
            )
            return SharedLog(rows, api=API)
        bucket = SimulatedBucket(self.kernel, self.store, self.ether)
        segments = SegmentLog(bucket, SystemClock(), PLACE, holder=self.box.holder, beating=beside)
        return SharedLog(segments, api=API)

    @property
    def manifest(self) -> Manifest:
        """What the team wants."""
        return Manifest(
            tuple(
                Persona(
                    f"persona-{number}",
                    PersonaRequest("task", f"audio-{number}", f"Persona {number}", "A voice"),
                    Place("personas.yaml", number, 1),
                )
                for number in range(self.story.personas)
            )
        )

    # The rules.

    def _break(self, words: str) -> None:
        """A rule is broken: the code under test must not get to catch that."""
        self.kernel.say(f"BROKEN: {words}")
        self.kernel.broken = self.kernel.broken or words

    def _run(self, until: Task | None = None) -> None:
        self.kernel.run(until)
        if self.kernel.broken:
            raise BrokenRuleError(self.kernel.broken)
        for error in self.kernel.errors():
            raise error

    def _decides(self, process: Process, audio: str) -> None:
        """A run has decided on a request; between its look at the hold and this is no step."""
        self.asking.decides(process, audio)
        holder = None if self.story.kind == "file" else self.store.holder_now()
        if holder not in (None, process.name):
            self._break(f"{process} asks for {audio}, and {holder} has the state")

    def _asks(self, process: Process, audio: str) -> None:
        """A request leaves."""
        self.asking.leaves(process, audio)
        texts = self._durable(process.machine)
        run = self.runs.get(process, "no run")
        if not any(_pending(text, audio, run) for text in texts):
            self._break(f"{process} asks for {audio}, and no pending is on disk")
        # Who stood still between its look at the lease and this is excused: nothing can close that.
        excused = process.stopped_since >= self.box.decided[(process, audio)]
        excused = excused or self.service.made.get(audio) in self.lost.ids
        if not excused and any(_says_id(text, audio) for text in self._readable(process)):
            self._break(f"{process} asks for {audio}, whose ID is known")

    def _readable(self, process: Process) -> list[bytes]:
        """Return what a run could know: who is fenced may rescue after it has read."""
        if self.story.kind == "file":
            files = self.machines[process.machine].disk.names.items()
            return [bytes(node.data) for name, node in files if not name.endswith(".tmp")]
        return self.store.readable(self.began.get(process, 0.0))

    def _durable(self, machine: str) -> list[bytes]:
        if self.story.kind != "file":
            return self.store.durable()
        disk = self.machines[machine].disk
        files = disk.durable_names.items()
        return [node.durable for name, node in files if not name.endswith(".tmp")]

    def _hear(self, process: Process, event: Event) -> None:
        self.kernel.step(f"shows {event.kind} {event.key or ''}")
        if event.kind is EventKind.RUN_START:
            self.runs[process], self.told[process] = event.run, {}
        if event.kind is EventKind.RUN_END:
            self.service.over.add(process)
        if event.persona_id is None:
            return
        self.told[process][event.key or ""] = event.persona_id
        if event.rescued == "":
            self.told_only.add(event.persona_id)
            return
        self.shown.add(event.persona_id)
        quoted = f'"{event.persona_id}"'.encode()
        places = self._durable(process.machine)
        places += [n.durable for n in self.machines[process.machine].disk.names.values()]
        if not any(quoted in text for text in places):
            self._break(f"{event.persona_id} is shown before it is durable")

    def _check_account(self, process: Process, account: Account) -> None:
        for row in account.results:
            if row.rescued == "" and row.entry and row.entry.answer:
                self.told_only |= set(row.entry.answer.shown_ids)
        happened = Happened(
            self.plans[process],
            self.service.made,
            self.asking.asked(process),
            self.told[process],
            self.box.sent.get(process, ()),
            unsure=self.service.made if process in self.disturbed else self.lost.audios,
            alone=process not in self.disturbed and self.comers == {process},
        )
        for fault in faults(account, happened):
            self._break(fault)
        open_ends = [
            row
            for row in account.results
            if row.result in _OPEN_ENDS and not self.service.refuses(row.action.audio_id)
        ]
        if self.kernel.calm and open_ends:
            self._break(f"all is well, and {process} leaves {open_ends[0].action.key} open")


_OPEN_ENDS: Final = (Result.UNKNOWN, Result.NOT_ATTEMPTED)


def _ids_in(contents: LogContents) -> set[str]:
    ids = {entry.persona_id for entry in contents.entries if entry.persona_id}
    for entry in contents.entries:
        ids |= set(entry.answer.shown_ids if entry.answer else ())
    return ids


def _about(text: bytes, audio: str) -> list[bytes]:
    """Return the entries of an audio; somebody may have put two on one line."""
    quoted = f'"{audio}"'.encode()
    if quoted not in text:
        return []
    return [line for line in text.replace(b"}{", b"}\n{").splitlines() if quoted in line]


def _pending(text: bytes, audio: str, run: str) -> bool:
    quoted = f'"{run}"'.encode()
    return any(b'"pending"' in line and quoted in line for line in _about(text, audio))


_ID: Final = re.compile(rb'"personaId":"[^"]+"')


def _says_id(text: bytes, audio: str) -> bool:
    return any(_ID.search(line.partition(b'"answer"')[0]) for line in _about(text, audio))


def shrink(story: Story, breaks: Callable[[Story], bool]) -> Story:
    """Return a smaller story of the same seed that breaks a rule as well."""
    smaller = True
    while smaller:
        smaller = False
        for less in _less(story):
            if breaks(less):
                story, smaller = less, True
                break
    return story


def _less(story: Story) -> Iterator[Story]:
    for trouble in story.troubles:
        yield replace(story, troubles=tuple(t for t in story.troubles if t != trouble))
    for name, least in (("machines", 1), ("applies", 1), ("personas", 1)):
        if getattr(story, name) > least:
            yield replace(story, **{name: getattr(story, name) - 1})
