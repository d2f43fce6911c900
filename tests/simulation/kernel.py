"""The box itself: time, processes that take turns, and chance, all from one seed.

Every process is a set of greenlets in one thread. The code under test runs as it is; whatever
it asks of its world (a write, a wait, a request) is a *step*: the world may do it, break it, kill
the process before it or behind it, stop it for a while, or let somebody else go first. Nothing
waits: the clock jumps to whoever comes next.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

TURNS_OF_A_STORY = 40_000
"""A story of more turns than that will never end."""


class Gone(BaseException):
    """This process is dead: nothing that it still tries has any effect."""


class NeverEndsError(AssertionError):
    """A story that goes on and on."""


class Process:
    """A running program: it has its tasks, and dies with all of them."""

    def __init__(self, name: str, machine: str) -> None:
        self.name = name
        self.machine = machine
        self.number = 2 + sum(name.encode())
        """What ``os.getpid`` says; another process may have had it before."""
        self.spared = machine == "ether" or "/cron" in name
        """Whether nothing befalls it: it belongs to the world, not to the code under test."""
        self.dead = False
        self.stopped_since = self.stopped_until = -math.inf
        self.locks: dict[Any, None] = {}
        """What the operating system takes back from it when it ends."""
        self.parents: list[Task] = []
        """Who waits for its end."""

    def __repr__(self) -> str:
        return self.name


class Task:
    """One thread of a process."""

    def __init__(self, process: Process, call: Callable[[], Any], hub: greenlet) -> None:
        self.process = process
        self.ended = False
        self.error: BaseException | None = None
        self.turn = 0
        """How often it has gone on: who was woken for an earlier turn is not woken again."""
        self._call = call
        # Whoever ends goes back to the hub, and not to who started it, who may be asleep.
        self.green: greenlet = greenlet(self._run, hub)

    def _run(self) -> None:
        try:
            self._call()
        except (Gone, GreenletExit):
            pass
        except BaseException as error:  # noqa: BLE001 - the story looks at it
            self.error = error
        self.ended = True


class Kernel:
    """Who goes when. ``tell`` hears the story, step by step."""

    def __init__(self, seed: int, tell: Callable[[str], None] | None = None) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.steps = 0
        self.tally: Counter[str] = Counter()
        """How often what happened, for the account of a night."""
        self.calm = False
        """Whether nothing breaks any more: the good day at the end of a story."""
        self.meddle: Callable[[Process, str], None] = lambda _process, _what: None
        """What may happen to a process at a step of its."""
        self._tell = tell
        self._queue: list[tuple[float, int, Task, int]] = []
        self._number = itertools.count()
        self._turns = 0
        self._hub = getcurrent()
        self._nobody = Task(Process("nobody", "nowhere"), lambda: None, self._hub)
        self.current = self._nobody
        """The task that is running, and the process whose it is."""
        self.process = self._nobody.process
        self.broken: str | None = None
        """Which rule was broken: then nobody goes on."""
        self._graves: list[Task] = []

    # What processes do.

    def processes(self, machine: str) -> list[Process]:
        """Return the processes of a machine, in the order in which they began."""
        return [p for p in dict.fromkeys(t.process for t in self._graves) if p.machine == machine]

    def start(self, process: Process, call: Callable[[], Any]) -> Task:
        """Give a process one more thread."""
        task = Task(process, call, self._hub)
        self._graves.append(task)
        self.wake(task)
        return task

    def step(self, what: str, seconds: float = 0.0) -> None:
        """Do a step that takes a while; whatever happens to the process happens around it."""
        process = self.process
        if process.dead:
            raise Gone
        self.steps += 1
        if self._tell:
            self.say(f"{process}: {what}")
        self.meddle(process, what)
        self.sleep(seconds)

    def check_alive(self) -> None:
        """Raise ``Gone`` in a process that is dead."""
        if self.process.dead:
            raise Gone

    def sleep(self, seconds: float) -> None:
        """Wait, and let others go on."""
        task, moment = self.current, self.now + seconds
        others = self._queue and self._queue[0][0] <= moment
        if not others and self.process.stopped_until <= moment and self._turns < TURNS_OF_A_STORY:
            self.now = moment  # nobody else has a turn in between: this one goes straight on
            self._turns += 1
            task.turn += 1
            return
        self.wake(task, seconds)
        self.pause()

    def pause(self) -> None:
        """Wait until somebody wakes this task."""
        process = self.process
        self._hub.switch()
        if process.dead:
            raise Gone

    def wake(self, task: Task, seconds: float = 0.0) -> None:
        """Let a task go on in a while, unless it has gone on by then."""
        moment = (self.now + seconds, next(self._number), task, task.turn)
        heapq.heappush(self._queue, moment)

    # What befalls them.

    def kill(self, process: Process) -> None:
        """End a process at once; what is its own goes with it. May not return."""
        if process.dead:
            return
        process.dead = True
        self.tally["kills"] += 1
        self.say(f"{process} is killed")
        self.bury(process)
        if self.process is process:
            raise Gone

    def bury(self, process: Process) -> None:
        """Take back what a process had of the operating system."""
        process.dead = True
        for lock in tuple(process.locks):
            lock.owner_died(process)
        process.locks.clear()
        for task in process.parents:
            self.wake(task)

    def wait_for(self, process: Process) -> None:
        """Wait until a process has ended."""
        process.parents.append(self.current)
        if not process.dead:
            self.pause()

    def stop(self, process: Process, seconds: float) -> None:
        """Let a process stand still for a while, as SIGSTOP or a sleeping machine does."""
        process.stopped_since = self.now
        process.stopped_until = max(process.stopped_until, self.now + seconds)
        self.tally["stops"] += 1
        self.say(f"{process} stands still for {seconds:.1f} s")

    def say(self, words: str) -> None:
        """Add to the story."""
        if self._tell:
            self._tell(f"{self.now:10.3f}  {words}")

    # The loop.

    def run(self, until: Task | None = None) -> None:
        """Let everybody have their turns until nothing is left to do, or a task has ended."""
        queue = self._queue
        while queue and self.broken is None and not (until and until.ended):
            when, number, task, turn = heapq.heappop(queue)
            process = task.process
            if task.turn != turn or task.ended or process.dead:
                continue
            if process.stopped_until > when:
                heapq.heappush(queue, (process.stopped_until, number, task, turn))
                continue
            self.now = max(self.now, when)
            self._turns += 1
            if self._turns > TURNS_OF_A_STORY:
                raise NeverEndsError(f"{process} is still at it")
            self._switch(task)
        self._take_over(self._nobody)

    def errors(self) -> Iterator[BaseException]:
        """Yield what nobody expected, and ended a task."""
        return (task.error for task in self._graves if task.error is not None)

    def close(self) -> None:
        """Let go of what is still waiting; nothing that it does has any effect."""
        for task in self._graves:
            task.process.dead = True
        for task in self._graves:
            while task.green and not task.green.dead:
                self._take_over(task)
                task.green.throw(GreenletExit)
        self._graves.clear()

    def _switch(self, task: Task) -> None:
        task.turn += 1
        self._take_over(task)
        task.green.switch()

    def _take_over(self, task: Task) -> None:
        self.current, self.process = task, task.process
