"""What the log of segments asks of an object store, and how a store may answer.

The real stores, the one in memory and a simulated world all fit it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, TypeVar

_T = TypeVar("_T")

Version: TypeAlias = str
"""What a store calls the present content of an object, in a form that only it understands."""


class BucketError(Exception):
    """A store did not do what it was asked; the text is one line, without secrets."""


class RefusedError(BucketError):
    """A definite no: nothing was written, and asking again will not help."""


class NothingBegunError(RefusedError):
    """Whatever would keep a state was never made there."""


class UnclearError(BucketError):
    """It may have been done or not: cut answers, time-outs, whatever a server fails with."""


class ConflictError(UnclearError):
    """Something is there already, or is not what was expected.

    Of an earlier try of the same put that seemed to fail this says just as
    much: so by itself it means nothing yet.
    """


@dataclass(frozen=True, slots=True)
class Found:
    """An object as it was read."""

    data: bytes
    version: Version


class Bucket(Protocol):
    """The objects below one prefix of a store.

    Every call may raise ``RefusedError`` or ``UnclearError``; none tries again by itself.
    """

    def names(self, folder: str) -> list[str]:
        """Return the names below a folder, as the store lists them: it may lag or leave out."""

    def get(self, name: str) -> Found | None:
        """Return an object; ``None`` where there is none."""

    def get_many(self, names: Sequence[str]) -> Iterator[Found | None]:
        """Return objects in the order of their names, several at a time."""

    def create(self, name: str, data: bytes) -> Version:
        """Put an object where none is; ``ConflictError`` where one is."""

    def replace(self, name: str, data: bytes, version: Version) -> Version:
        """Put an object in place of this version of it, else ``ConflictError``."""

    def other(self, version: Version) -> Version:
        """Return a version of the same form that no object has."""


class Clock(Protocol):
    """The time and the waiting, which a simulated world brings along."""

    def monotonic(self) -> float:
        """Return seconds that only grow; they may stand still while the machine sleeps."""

    def with_sleep(self) -> float:
        """Return seconds that count the machine's sleep, where the system knows it."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


READ_SECONDS: Final = 4.0
"""So long is a reading tried again; the last try may take five seconds more."""


def patiently(clock: Clock, call: Callable[[], _T], seconds: float = READ_SECONDS) -> _T:
    """Make a call that can be made twice again and again while it stays unclear."""
    began, pause = clock.monotonic(), 0.1
    while True:
        try:
            return call()
        except UnclearError:
            if clock.monotonic() - began + pause > seconds:
                raise
        clock.sleep(pause)
        pause = min(2 * pause, 2.0)
