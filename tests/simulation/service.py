"""The API as it is on a bad day: once per audio, whatever becomes of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from personasync.api.classify import classify
from personasync.model.outcome import NotSent, Outcome, Unclear
from personasync.model.persona import PersonaRequest
from tests.simulation.kernel import Kernel, Process
from tests.simulation.threads import Waiters

READ_TIMEOUT = 90.0


OUTAGES: Final = ("unreachable", "silent", "busy", "gone", "throttled")


@dataclass(frozen=True, slots=True)
class Outage:
    """A while in which every request meets the same, and makes nothing."""

    kind: str
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Weather:
    """How likely each kind of trouble is, and what a second question is answered."""

    repeat: str = "conflict"
    unreachable: float = 0.0
    lost: float = 0.0
    slow: float = 0.0
    gateway: float = 0.0
    throttled: float = 0.0
    broken: float = 0.0
    cut: float = 0.0
    refusing: float = 0.0
    """The share of audios that the API refuses, always."""
    outage: Outage | None = None


@dataclass(slots=True)
class Service:
    """What the service has made; ``asked`` are the arrivals of each process, in time."""

    kernel: Kernel
    weather: Weather
    made: dict[str, str] = field(default_factory=dict)
    makers: dict[str, Process] = field(default_factory=dict)
    """Whose request it was."""
    under_way: dict[str, list[Process]] = field(default_factory=dict)
    """Who waits for an answer, by audio."""
    asked: dict[Process, list[float]] = field(default_factory=dict)
    delivered: dict[str, Process] = field(default_factory=dict)
    """Each ID whose answer a run had in its hands, whole."""
    over: set[Process] = field(default_factory=set)
    """Whose account has been given."""
    came: dict[str, float] = field(default_factory=dict)
    """When an ID was delivered to a run that waited for it no more."""
    waits: Callable[[Process], bool] = lambda _process: True
    """Whether a run waits for answers: one that was told twice to leave does not."""
    on_send: Callable[[Process, str], None] = lambda _process, _audio: None
    on_arrival: Callable[[Process], None] = lambda _process: None

    def answer(self, process: Process, request: PersonaRequest) -> tuple[int, bytes]:
        """Handle a request that has arrived: an HTTP status and a body."""
        audio = request.audio_id
        weather, chance = self.weather_now(), self.kernel.chance
        if chance.random() < weather.throttled:
            return 429, _body(429, "too many requests")
        if chance.random() < weather.broken:
            return 500, _body(500, "something went wrong")
        if self.refuses(audio):
            return 200, _body(422, "a parameter is wrong")
        if audio in self.made:
            again = {"personaId": self.made[audio]}
            if weather.repeat == "same":
                return 200, _body(200, "success", again)
            known = again if weather.repeat == "conflict with ID" else None
            return 409, _body(409, "a persona exists already", known)
        self.made[audio], self.makers[audio] = f"persona-{len(self.made)}-of-{audio}", process
        self.kernel.say(f"the API makes {self.made[audio]}")
        return 200, _body(200, "success", {"personaId": self.made[audio], "name": request.name})

    def refuses(self, audio: str) -> bool:
        """Whether an audio is one of those that the API never takes."""
        return int(audio.rpartition("-")[2]) % 10 < self.weather.refusing * 10

    def weather_now(self) -> Weather:
        """Return what may go wrong at this moment."""
        return Weather(self.weather.repeat) if self.kernel.calm else self.weather

    def outage_now(self) -> str | None:
        """Return what every request meets at this moment, if it is that bad."""
        outage = self.weather_now().outage
        return outage.kind if outage and outage.begins <= self.kernel.now < outage.ends else None


class SimulatedClient:
    """One request, one outcome, over a network that may do anything.

    What is under way is under way in the ether: it does not stand still with the process.
    """

    def __init__(self, service: Service, ether: Process) -> None:
        self._service = service
        self._kernel = service.kernel
        self._ether = ether

    def create(self, request: PersonaRequest) -> Outcome:
        """Ask once."""
        kernel, process, audio = self._kernel, self._kernel.process, request.audio_id
        chance, service = kernel.chance, self._service
        unreachable = chance.random() < service.weather_now().unreachable
        if unreachable or service.outage_now() == "unreachable":
            kernel.step(f"cannot reach the API for {audio}", 0.1)
            return NotSent("the connection was refused")
        kernel.check_alive()  # the code under test may have caught its own end
        service.on_send(process, audio)
        under_way = service.under_way.setdefault(audio, [])
        under_way.append(process)
        try:
            return self._ask(process, request)
        finally:
            under_way.remove(process)

    def _ask(self, process: Process, request: PersonaRequest) -> Outcome:
        kernel, audio = self._kernel, request.audio_id
        arrived: list[tuple[int, bytes] | None] = []
        here = Waiters(kernel)

        def travel() -> None:
            arrived.append(self._journey(process, request))
            here.wake()

        kernel.start(self._ether, travel)
        kernel.step(f"ask for {audio}")
        if not arrived:
            here.wait(READ_TIMEOUT)  # what is there when the time is over is read all the same
        reply = arrived[0] if arrived else None
        if reply is None:
            kernel.tally["lost answers"] += 1
            return Unclear("no whole answer")
        kernel.step(f"answer {reply[0]} for {audio}")
        made = self._service.made.get(audio)
        if made and f'"{made}"'.encode() in reply[1]:
            self._service.delivered[made] = process
            if not self._service.waits(process):
                self._service.came[made] = kernel.now
        return classify(_on_the_wire(*reply))

    def _journey(self, process: Process, request: PersonaRequest) -> tuple[int, bytes] | None:
        kernel, chance, weather = self._kernel, self._kernel.chance, self._service.weather_now()
        kernel.sleep(chance.uniform(0.01, 0.05))
        outage = self._service.outage_now()
        if outage is not None:
            kernel.sleep(READ_TIMEOUT if outage == "silent" else 0.1)
            return _OUTAGE_ANSWERS.get(outage)
        if chance.random() < weather.gateway:
            kernel.start(self._ether, lambda: self._later(process, request))
            kernel.sleep(chance.choice([0.1, 5.0]))
            return chance.choice([502, 504, 408, 499]), _GATEWAY
        if chance.random() < weather.lost / 2:
            kernel.sleep(chance.choice([0.0, READ_TIMEOUT]))
            return None
        self._service.asked.setdefault(process, []).append(kernel.now)
        self._service.on_arrival(process)
        status, body = self._service.answer(process, request)
        slow = chance.random() < weather.slow
        kernel.sleep(chance.uniform(1.0, 90.0) if slow else chance.uniform(0.01, 0.2))
        if chance.random() < weather.lost / 2:
            return None
        if chance.random() < weather.cut:
            body = body[: chance.randrange(len(body))]
            kernel.tally["answers cut short"] += 1
        return status, body

    def _later(self, process: Process, request: PersonaRequest) -> None:
        self._kernel.sleep(self._kernel.chance.uniform(0.0, 20.0))
        self._service.answer(process, request)


def _on_the_wire(status: int, body: bytes) -> bytes:
    """Return an answer as a socket hands it over; one that was cut says how long it would be."""
    head = f"HTTP/1.1 {status} \r\nContent-Type: application/json\r\n"
    length = "" if body.endswith((b"}", b">")) else f"Content-Length: {len(body) + 1}\r\n"
    return f"{head}{length}\r\n".encode() + body


def _body(code: int, message: str, data: dict[str, str] | None = None) -> bytes:
    return json.dumps({"code": code, "msg": message, "data": data}).encode()


_GATEWAY: Final = b"<html>the gateway has no answer</html>"
_OUTAGE_ANSWERS: Final = {
    "busy": (500, _body(500, "the service is busy")),
    "gone": (503, _GATEWAY),
    "throttled": (429, _body(429, "too many requests")),
}
