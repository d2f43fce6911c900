"""A bucket in memory that fails as real stores do, and a clock that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from personasync.state.bucket import Bucket, ConflictError, Found, RefusedError, UnclearError


class Clock:
    """A world's time: waiting moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asleep = 0.0

    def monotonic(self) -> float:
        return self.now

    def with_sleep(self) -> float:
        return self.now + self.asleep

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class MemoryBucket:
    """Objects in a dictionary, with conditions heeded."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.versions: dict[str, int] = {}
        self._count = 0

    def names(self, folder: str) -> list[str]:
        return sorted(name for name in self.objects if name.startswith(folder))

    def get(self, name: str) -> Found | None:
        data = self.objects.get(name)
        return None if data is None else Found(data, str(self.versions[name]))

    def get_many(self, names: Sequence[str]) -> Iterator[Found | None]:
        for name in names:
            yield self.get(name)

    def create(self, name: str, data: bytes) -> str:
        if name in self.objects:
            raise ConflictError("412 Precondition Failed")
        return self._put(name, data)

    def replace(self, name: str, data: bytes, version: str) -> str:
        if str(self.versions.get(name)) != version:
            raise ConflictError("412 Precondition Failed")
        return self._put(name, data)

    def other(self, version: str) -> str:
        return f"not {version}"

    def _put(self, name: str, data: bytes) -> str:
        self._count += 1
        self.objects[name] = data
        self.versions[name] = self._count
        return str(self._count)


class Careless(MemoryBucket):
    """A store that ignores conditions, as several do."""

    def create(self, name: str, data: bytes) -> str:
        return self._put(name, data)

    def replace(self, name: str, data: bytes, version: str) -> str:
        return self._put(name, data)


class Fault(StrEnum):
    """What may become of a put."""

    BEFORE = "reset before it was applied"
    AFTER = "applied, and its answer cut"
    CONFLICT = "409 with nothing there"
    CONFLICT_AFTER = "applied, repeated on the way, and told that it exists already"
    LATE = "applied only when the next request comes"
    REFUSED = "403"


@dataclass
class Faulty:
    """A bucket before which things go wrong; ``choose`` says what becomes of a put of a name."""

    bucket: Bucket
    choose: Callable[[str], Fault | None]
    puts: list[str] = field(default_factory=list)
    late: list[Callable[[], object]] = field(default_factory=list)

    def names(self, folder: str) -> list[str]:
        self._let_late_ones_in()
        return self.bucket.names(folder)

    def get(self, name: str) -> Found | None:
        found = self.bucket.get(name)  # a late put lands behind the look for it
        self._let_late_ones_in()
        return found

    def get_many(self, names: Sequence[str]) -> Iterator[Found | None]:
        return self.bucket.get_many(names)

    def create(self, name: str, data: bytes) -> str:
        return self._put(name, lambda: self.bucket.create(name, data))

    def replace(self, name: str, data: bytes, version: str) -> str:
        return self._put(name, lambda: self.bucket.replace(name, data, version))

    def other(self, version: str) -> str:
        return self.bucket.other(version)

    def _put(self, name: str, put: Callable[[], str]) -> str:
        self._let_late_ones_in()
        self.puts.append(name)
        match self.choose(name):
            case None:
                return put()
            case Fault.BEFORE:
                raise UnclearError("the connection was reset")
            case Fault.AFTER:
                put()
                raise UnclearError("the connection was cut off")
            case Fault.CONFLICT:
                raise ConflictError("409 Conflict")
            case Fault.CONFLICT_AFTER:
                put()
                raise ConflictError("412 Precondition Failed")
            case Fault.LATE:
                self.late.append(put)
                raise UnclearError("it does not answer in time")
            case Fault.REFUSED:
                raise RefusedError("403 Forbidden")

    def _let_late_ones_in(self) -> None:
        late, self.late = self.late, []
        for put in late:
            try:
                put()
            except ConflictError:
                continue
