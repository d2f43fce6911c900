"""What the sandbox decides, apart from how it is carried: requests in, replies out."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs, urlsplit

from personasync.model.contract import CREDIT_PATH, GENERATE_PATH, RECORD_INFO_PATH, SUCCESS
from personasync.model.persona import PersonaRequest
from personasync.model.units import Rate
from personasync.sandbox.books import Books
from personasync.sandbox.config import SandboxConfig
from personasync.sandbox.contract import (
    NO_SUCH_ENDPOINT,
    RATE_LIMITED,
    decode_body,
    magic_refusal,
    read_request,
    refusal,
)
from personasync.sandbox.effects import EFFECTS
from personasync.sandbox.exchange import Answer, Reply, Request
from personasync.sandbox.faults import FaultDice
from personasync.sandbox.maker import PersonaMaker
from personasync.sandbox.tasks import Tasks

_CREDIT_PATHS: Final = (CREDIT_PATH, "/api/v1/chat/credit")
"""The call for the credits left, by the names of this host and of a sibling."""

_PER_TASK: Final = Rate(3, 1.0)
"""How often the same task may be asked about."""


class SlidingWindow:
    """Admits at most ``rate.count`` in any window of ``rate.seconds``; refusals don't count."""

    def __init__(self, rate: Rate) -> None:
        self._seconds = rate.seconds
        self._admitted: deque[float] = deque(maxlen=rate.count)

    def admit(self, now: float) -> float:
        """Admit one at ``now`` and return 0, or return the seconds until one is admitted."""
        admitted = self._admitted
        if len(admitted) == admitted.maxlen and now - admitted[0] < self._seconds:
            return admitted[0] + self._seconds - now
        admitted.append(now)
        return 0.0


class Service:
    """The API's rules, played on books. Thread-safe: one request is decided at a time."""

    def __init__(
        self, config: SandboxConfig, books: Books, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._clock = clock
        self._lock = threading.Lock()
        self._dice = FaultDice(config.faults, config.seed)
        self._window = SlidingWindow(config.rate_limit) if config.rate_limit else None
        self._tasks = Tasks(config.tasks, config.tracks)
        self._asked: defaultdict[str, SlidingWindow] = defaultdict(lambda: SlidingWindow(_PER_TASK))
        self._began = clock()
        self._maker = PersonaMaker(config.repeat, config.credits, books)

    def reply(self, request: Request) -> Reply:
        """Decide about a request; a persona it makes is in the books when this returns."""
        with self._lock:
            return self._route(request)

    def _route(self, request: Request) -> Reply:
        if isinstance(request.body, Answer):
            return Reply(request.body)
        try:
            target = urlsplit(request.target)
        except ValueError:
            return Reply(NO_SUCH_ENDPOINT)
        call = (request.method, target.path)
        if call == ("POST", GENERATE_PATH):
            return self._generate(request, request.body)
        if call == ("GET", RECORD_INFO_PATH):
            return Reply(self._unauthorized(request) or self._record_info(target.query))
        if request.method == "GET" and target.path in _CREDIT_PATHS:
            return Reply(self._unauthorized(request) or self._credit())
        return Reply(NO_SUCH_ENDPOINT)

    def _generate(self, request: Request, body: bytes) -> Reply:
        """Answer a request for a persona; a fault strikes only what passes key and rate limit."""
        fault = self._dice.roll()
        fields = decode_body(body)
        named = None if isinstance(fields, Answer) else fields.get("audioId")
        audio_id = named if isinstance(named, str) else None
        if turned_away := self._unauthorized(request) or self._too_often(self._window):
            return Reply(turned_away, audio_id)
        if fault is not None and not EFFECTS[fault.kind].made:
            return Reply(EFFECTS[fault.kind].answer(fault), audio_id, fault)
        wanted = fields if isinstance(fields, Answer) else read_request(fields)
        before = self._maker.spent
        answer = wanted if isinstance(wanted, Answer) else self._make(wanted)
        return Reply(answer, audio_id, fault, made=self._maker.spent > before)

    def _make(self, request: PersonaRequest) -> Answer:
        refused = magic_refusal(request.audio_id) or self._tasks.refuse(request, self._elapsed)
        return refused or self._maker.make(request)

    def _unauthorized(self, request: Request) -> Answer | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            return refusal(401, "send the header Authorization: Bearer <API key>")
        if self._config.api_key is not None and key != self._config.api_key:
            return refusal(401)
        return None

    def _too_often(self, window: SlidingWindow | None) -> Answer | None:
        wait = window.admit(self._clock()) if window else 0.0
        return replace(RATE_LIMITED, retry_after=math.ceil(wait)) if wait else None

    def _credit(self) -> Answer:
        return Answer(SUCCESS, "success", self._maker.credits_left)

    def _record_info(self, query: str) -> Answer:
        task_id = parse_qs(query).get("taskId", [""])[0]
        too_often = self._too_often(self._asked[task_id])
        return too_often or self._tasks.describe(task_id, self._elapsed)

    @property
    def _elapsed(self) -> float:
        return self._clock() - self._began
