"""What a run's parts say to each other: the conductor hears messages, and tells what is durable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from personasync.engine.events import Event, PersonaResult
from personasync.model.outcome import Outcome
from personasync.model.persona import PersonaRequest
from personasync.model.tasks import TaskAnswer
from personasync.state.entry import Entry


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the request for an audio; ``failure`` is what the API's client raised."""

    audio_id: str
    outcome: Outcome | None
    failure: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Halt:
    """An order to send nothing new and to wait for what is in flight.

    ``refused`` says that the reason would stop any run. Unless ``at_once``, a
    request whose ``pending`` is written counts as in flight.
    """

    reason: str
    refused: bool = False
    at_once: bool = True


@dataclass(frozen=True, slots=True)
class Leave:
    """An order to record what has arrived, and to wait for nothing more."""


@dataclass(frozen=True, slots=True)
class Go:
    """Word that what needed no request has been told, so that requests may begin."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What the API says of a task that personas wait for."""

    task_id: str
    answer: TaskAnswer


@dataclass(frozen=True, slots=True)
class Appended:
    """Word that what is being appended beside the conductor has ended, well or not."""


Message: TypeAlias = Answer | Looked | Halt | Leave | Go | Appended


@dataclass(frozen=True, slots=True)
class KnownTold:
    """Word to the teller that the events of what needed no request end here."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Word to the teller that this was the last."""


Told: TypeAlias = Event | KnownTold | Ended


class World(Protocol):
    """Time, and what arrives in it."""

    def now(self) -> float:
        """Return the seconds on a clock that only goes forward."""

    def written(self) -> str:
        """Return the time as entries give it."""

    def receive(self, until: float) -> Sequence[Message]:
        """Return all that has arrived; wait for something until a moment of ``now``."""

    def beside(self, append: Callable[[], None]) -> Callable[[float], None]:
        """Append beside the conductor; ``Appended`` comes when that has ended.

        Returns what waits for it, so many seconds, and raises what it raised.
        Raises ``RuntimeError`` where nothing can be done beside.
        """


class Asker(Protocol):
    """Puts requests to the API, several at a time; their answers come as messages."""

    def hire(self, count: int) -> bool:
        """See that so many requests can be under way; ``False`` when fewer will have to do.

        Raises ``RuntimeError`` when not even one can.
        """

    def ask(self, request: PersonaRequest) -> None:
        """Put a request."""


@dataclass(frozen=True, slots=True)
class Known:
    """An entry that needs no request, with what to tell once it is durable."""

    entry: Entry
    event: Event
    result: PersonaResult
