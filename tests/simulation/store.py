"""An object store that answers as stores do: late, twice, not at all, or with a wrong no."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from personasync.state import lease
from personasync.state.bucket import ConflictError, Found, RefusedError, UnclearError
from tests.simulation.kernel import Kernel, Process


@dataclass(slots=True)
class Store:
    """What a store keeps, whoever asks; ``trouble`` is how likely a call is to go wrong."""

    trouble: float = 0.0
    heeds_conditions: bool = True
    objects: dict[str, bytes] = field(default_factory=dict)
    born: dict[str, float] = field(default_factory=dict)
    """When each object was first there."""

    def holder_now(self) -> str | None:
        """Return which process has the state, as the store knows it."""
        held = lease.decode(self.objects.get(lease.NAME, b""))
        return held.holder.command if held and held.holder else None

    def durable(self) -> list[bytes]:
        """Return all that is kept."""
        return list(self.objects.values())

    def readable(self, since: float) -> list[bytes]:
        """Return what a run that began then could know."""
        return [
            data
            for name, data in self.objects.items()
            if not name.startswith("rescue/") or self.born[name] < since
        ]


class SimulatedBucket:
    """One prefix of the store, as a process reaches it."""

    def __init__(self, kernel: Kernel, store: Store, ether: Process) -> None:
        self._kernel = kernel
        self._store = store
        self._ether = ether
        """Carries what arrives after nobody waits for it any more."""

    def names(self, folder: str) -> list[str]:
        """List; what came last may be missing still."""
        self._arrive(f"list {folder}")
        names = sorted(name for name in self._store.objects if name.startswith(folder))
        if self._goes_wrong() and names and folder != "rescue/":
            del names[-self._kernel.chance.randint(1, 3) :]
        return names

    def get(self, name: str) -> Found | None:
        """Get."""
        self._arrive(f"get {name}")
        if self._goes_wrong():
            raise UnclearError("the answer was cut off")
        data = self._store.objects.get(name)
        return None if data is None else Found(data, _version(data))

    def get_many(self, names: Sequence[str]) -> Iterator[Found | None]:
        """Get in turn; trying again is the caller's where one fails."""
        for name in names:
            yield self._patient_get(name)

    def create(self, name: str, data: bytes) -> str:
        """Put where nothing is."""

        def put() -> bool:
            there = name in self._store.objects
            if not there or not self._store.heeds_conditions:
                self._store.objects[name] = data
                self._store.born.setdefault(name, self._kernel.now)
            return not there or not self._store.heeds_conditions

        return self._put(f"create {name}", put, data)

    def replace(self, name: str, data: bytes, version: str) -> str:
        """Put in place of what was there."""

        def put() -> bool:
            there = self._store.objects.get(name)
            fits = there is not None and _version(there) == version
            if fits or not self._store.heeds_conditions:
                self._store.objects[name] = data
            return fits or not self._store.heeds_conditions

        return self._put(f"replace {name}", put, data)

    def other(self, version: str) -> str:
        """Return a version that nothing has."""
        return f"not-{version}"

    def _put(self, what: str, put: Callable[[], bool], data: bytes) -> str:
        self._arrive(what)
        chance = self._kernel.chance
        if self._goes_wrong():
            match chance.choice(
                ["refused before", "lost", "cut", "late", "twice", "conflict", "slow", "no"]
            ):
                case "no" if chance.random() < 0.2:
                    raise RefusedError("403: the key may not do this")
                case "slow":
                    self._kernel.sleep(chance.choice([3.0, 20.0]))
                    if not put():
                        raise ConflictError("412: a condition does not hold")
                    return _version(data)
                case "conflict":
                    raise ConflictError("409: something else is going on")
                case "cut":
                    put()
                    raise UnclearError("the answer was cut off")
                case "twice":  # a library between has tried again by itself
                    put()
                    if not put():
                        raise ConflictError("412: it exists already")
                case "late":
                    wait = chance.choice([0.2, 3.0, 40.0, 200.0])
                    self._kernel.start(self._ether, lambda: self._later(what, put, wait))
                    raise UnclearError("no answer in time")
                case _:
                    raise UnclearError("503: try again")
            return _version(data)
        done = put()
        self._kernel.step(f"answer to {what}", chance.uniform(0.005, 0.02))
        if not done:
            raise ConflictError("412: a condition does not hold")
        return _version(data)

    def _later(self, what: str, put: Callable[[], bool], wait: float) -> None:
        self._kernel.sleep(wait)
        self._kernel.say(f"late, {what} arrives: {'done' if put() else 'refused'}")

    def _patient_get(self, name: str) -> Found | None:
        for _ in range(20):
            try:
                return self.get(name)
            except UnclearError:
                self._kernel.sleep(0.2)
        return self.get(name)

    def _arrive(self, what: str) -> None:
        self._kernel.step(what, self._kernel.chance.uniform(0.005, 0.02))

    def _goes_wrong(self) -> bool:
        kernel = self._kernel
        return not kernel.calm and kernel.chance.random() < self._store.trouble


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
