"""A bucket that is asked again, for as long as its answers are unclear and that is worth it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from personasync.state.bucket import Bucket, Clock, Found, RefusedError, UnclearError, patiently


@dataclass(frozen=True, slots=True)
class PatientBucket:
    """A bucket, and the clock by which its answers are waited for."""

    bucket: Bucket
    clock: Clock

    def names(self, folder: str) -> list[str]:
        """Return the names below a folder; a listing is a hint."""
        return patiently(self.clock, lambda: self.bucket.names(folder))

    def get(self, name: str) -> Found | None:
        """Return an object; ``None`` where there is none."""
        return patiently(self.clock, lambda: self.bucket.get(name))

    def get_many(self, names: Iterable[str]) -> Iterator[Found | None]:
        """Return objects in order, several at a time; what fails is asked for again, alone."""
        left = deque(names)
        while left:
            try:
                for found in self.bucket.get_many(list(left)):
                    left.popleft()
                    yield found
            except UnclearError:
                yield self.get(left.popleft())

    def settle(self, name: str, data: bytes, seconds: float) -> bool:
        """Put an object until it is known what its name holds: these bytes, or another's.

        "It exists already" means nothing yet: an earlier try of ours, cut off
        on its way back, may be what exists; and some say it of nothing.
        """
        began, pause = self.clock.monotonic(), 0.1
        problem: UnclearError | None = None
        while True:
            try:
                self.bucket.create(name, data)
                return True
            except UnclearError as error:
                problem = error
            except RefusedError as error:
                if problem is None:
                    raise
                raise UnclearError(str(error)) from error  # what came before it may still land
            try:
                found = self.bucket.get(name)
            except UnclearError as error:
                problem = error
            except RefusedError as error:
                raise UnclearError(str(error)) from error  # of the put, this says nothing
            else:
                if found is not None:
                    return found.data == data
            if self.clock.monotonic() - began + pause > seconds:
                raise problem
            self.clock.sleep(pause)
            pause = min(2 * pause, 5.0)
