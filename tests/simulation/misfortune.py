"""What befalls a run, and the machine that it runs on, at a step of its."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from tests.simulation.box import Box, Machine
from tests.simulation.kernel import Process

_ODDS: Final = {
    "kills": (0.01, {"sync": 0.04, "answer": 0.02}),
    "power": (0.003, {"shows run": 0.03}),
    "stops": (0.01, {"answer": 0.09, "shows create_retry": 0.1}),
    "clocks": (0.004, {"answer": 0.15, "shows create_retry": 0.2}),
    "signals": (0.006, {}),
    "disk": (0.01, {}),
}
"""How likely each is at any step, and where it is more so: what a run knows is in few places
there, or it goes on to something that it had looked at before."""
_TENDER: Final = ("answer", "sync", "shows run", "shows create_retry")


class Misfortunes:
    """The troubles of a story that come from outside of the run; it is told of none."""

    def __init__(self, box: Box, troubles: Collection[str]) -> None:
        self.disturbed: set[Process] = set()
        """Who has stood still: it may act on what it had looked at before."""
        self._box = box
        self._kernel = box.kernel
        happens: dict[str, Callable[[Process], None]] = {
            "kills": self._kernel.kill,
            "power": self._cut_power,
            "stops": self._stop,
            "clocks": lambda process: self._sleep(box.machines[process.machine]),
            "signals": self._signal,
            "disk": self._break_disk,
        }
        self._odds = {
            where: [
                (more.get(where, ordinary), happens[trouble])
                for trouble, (ordinary, more) in _ODDS.items()
                if trouble in troubles
            ]
            for where in (*_TENDER, "")
        }
        self._most = max(sum(odds for odds, _ in each) for each in self._odds.values())

    def meddle(self, process: Process, what: str) -> None:
        """Let something happen to a process, or not."""
        luck = self._kernel.chance.random()
        if luck >= self._most or process.spared or self._kernel.calm:
            return
        where = next((each for each in _TENDER if what.startswith(each)), "")
        for odds, happen in self._odds[where]:
            if luck < odds:
                happen(process)
                return
            luck -= odds

    def _cut_power(self, process: Process) -> None:
        self._kernel.tally["power cuts"] += 1
        self._kernel.say(f"the power of {process.machine} goes")
        self._box.machines[process.machine].disk.power_cut()
        for other in self._kernel.processes(process.machine):
            if other is not process and not other.spared:
                self._kernel.kill(other)
        self._kernel.kill(process)

    def _signal(self, process: Process) -> None:
        number = self._kernel.chance.choice([2, 15])
        for _ in range(self._kernel.chance.choice([1, 1, 2])):  # the same again: leave at once
            self._box.signal(process, number)

    def _stop(self, process: Process) -> None:
        self.disturbed.add(process)
        self._kernel.stop(process, self._kernel.chance.choice([1.0, 130.0, 130.0]))

    def _sleep(self, machine: Machine) -> None:
        """Close the lid of a machine: all of it stands still, and one of its clocks as well."""
        seconds = self._kernel.chance.choice([5.0, 130.0, 130.0])
        self._kernel.say(f"{machine.name} sleeps")
        for process in self._kernel.processes(machine.name):
            if not process.dead:
                self.disturbed.add(process)
                self._kernel.stop(process, seconds)
        machine.slept += seconds

    def _break_disk(self, process: Process) -> None:
        disk, chance = self._box.machines[process.machine].disk, self._kernel.chance
        disk.full = chance.random() < 0.3
        disk.failing = chance.choice([0.0, 0.0, 0.1])
        disk.slow = chance.choice([0.0, 0.0, 0.0, 20.0])
