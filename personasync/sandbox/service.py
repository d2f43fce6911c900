"""What the sandbox decides, apart from how it is carried: requests in, replies out."""

from __future__ import annotations

import json
import math
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs, urlsplit

from personasync.model.persona import PersonaRequest
from personasync.model.units import Rate
from personasync.sandbox.books import Books, MadePersona
from personasync.sandbox.config import SandboxConfig
from personasync.sandbox.contract import (
    MAINTENANCE,
    NO_SUCH_ENDPOINT,
    NO_SUCH_TASK,
    RATE_LIMITED,
    SERVER_ERROR,
    decode_body,
    magic_refusal,
    read_request,
)
from personasync.sandbox.errors import SandboxError
from personasync.sandbox.exchange import SUCCESS, Answer, Reply, Request
from personasync.sandbox.faults import FaultDice, FaultKind

GENERATE_PATH: Final = "/api/v1/generate/generate-persona"
RECORD_INFO_PATH: Final = "/api/v1/generate/record-info"
CREDIT_PATH: Final = "/api/v1/generate/credit"

UNLIMITED_CREDITS: Final = 1_000_000
"""What the credit call answers when the sandbox's credits never run out."""

_NOTHING_MADE: Final[Mapping[FaultKind, Answer | None]] = {
    FaultKind.RESET_BEFORE: None,
    FaultKind.REDIRECT: None,
    FaultKind.RATE_LIMIT: RATE_LIMITED,
    FaultKind.MAINTENANCE: MAINTENANCE,
    FaultKind.SERVER_ERROR: SERVER_ERROR,
}


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
        self._books = books
        self._clock = clock
        self._lock = threading.Lock()
        self._dice = FaultDice(config.faults, config.seed)
        self._window = SlidingWindow(config.rate_limit) if config.rate_limit else None
        self._spent = 0

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
            return Reply(self._unauthorized(request) or _record_info(target.query))
        if call == ("GET", CREDIT_PATH):
            return Reply(self._unauthorized(request) or self._credit())
        return Reply(NO_SUCH_ENDPOINT)

    def _generate(self, request: Request, body: bytes) -> Reply:
        """Answer a request for a persona; a fault strikes only what passes key and rate limit."""
        fault = self._dice.roll()
        fields = decode_body(body)
        named = None if isinstance(fields, Answer) else fields.get("audioId")
        audio_id = named if isinstance(named, str) else None
        if refusal := self._unauthorized(request) or self._too_often():
            return Reply(refusal, audio_id)
        if fault is not None and fault in _NOTHING_MADE:
            return Reply(_NOTHING_MADE[fault], audio_id, fault)
        wanted = fields if isinstance(fields, Answer) else read_request(fields)
        answer = wanted if isinstance(wanted, Answer) else self._make(wanted)
        return Reply(answer, audio_id, fault)

    def _unauthorized(self, request: Request) -> Answer | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            return Answer(401, "no API key: send the header Authorization: Bearer <API key>")
        if self._config.api_key is not None and key != self._config.api_key:
            return Answer(401, "the API key is not valid")
        return None

    def _too_often(self) -> Answer | None:
        wait = self._window.admit(self._clock()) if self._window else 0.0
        return replace(RATE_LIMITED, retry_after=math.ceil(wait)) if wait else None

    def _make(self, request: PersonaRequest) -> Answer:
        if refusal := magic_refusal(request):
            return refusal
        try:
            with self._books.exclusive():
                known = self._books.find(request.audio_id)
                if known is None:
                    return self._make_new(request)
                if self._config.repeat == "conflict":
                    return Answer(409, "a persona already exists for this music")
                return self._record(known.persona_id, request)
        except SandboxError as error:
            return Answer(500, error.message)

    def _make_new(self, request: PersonaRequest) -> Answer:
        if self._credits_left() <= 0:
            return Answer(402, "not enough credits")
        # Never seeded: an ID must not come twice, whatever the books forgot.
        answer = self._record(os.urandom(16).hex(), request)
        self._spent += 1
        return answer

    def _record(self, persona_id: str, request: PersonaRequest) -> Answer:
        self._books.record(
            MadePersona(
                audio_id=request.audio_id,
                persona_id=persona_id,
                task_id=request.task_id,
                name=request.name,
                description=request.description,
            )
        )
        data = {
            "personaId": persona_id,
            "name": request.name,
            "description": request.description,
        }
        return Answer(SUCCESS, "success", data)

    def _credits_left(self) -> int:
        if self._config.credits is None:
            return UNLIMITED_CREDITS
        return max(0, self._config.credits - self._spent)

    def _credit(self) -> Answer:
        return Answer(SUCCESS, "success", self._credits_left())


def _record_info(query: str) -> Answer:
    """Describe a task, for as much as a stand-in can know of it."""
    task_id = parse_qs(query).get("taskId", [""])[0]
    if not task_id:
        return Answer(422, "taskId is required")
    if task_id.startswith("missing"):
        return NO_SUCH_TASK
    finished = not task_id.startswith("unfinished")
    old = task_id.startswith("old-model")
    data = {
        "taskId": task_id,
        "param": json.dumps({"model": "V3_5" if old else "V4_5PLUS"}),
        "response": _tracks(task_id, "chirp-v3-5" if old else "chirp-v4") if finished else None,
        "status": "SUCCESS" if finished else "PENDING",
    }
    return Answer(SUCCESS, "success", data)


def _tracks(task_id: str, model: str) -> dict[str, object]:
    """Invent the two tracks of a task, the same ones whenever it is asked for."""
    tracks = [
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"personasync-sandbox:{task_id}/{number}")),
            "title": f"Track {number}",
            "tags": "",
            "modelName": model,
            "duration": 180.0,
            "createTime": 0,
        }
        for number in (1, 2)
    ]
    return {"taskId": task_id, "sunoData": tracks}
