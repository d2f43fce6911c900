"""The sandbox with eyes: what it was sent, and what became of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import personasync.sandbox
from personasync.model.contract import SUCCESS
from personasync.sandbox import FaultKind, MadePersona
from personasync.sandbox.effects import TRAP_PATH
from personasync.sandbox.exchange import Reply, Request


@dataclass(frozen=True)
class Statistics:
    """What a sandbox has seen since it started."""

    requests: int
    """Every HTTP request, whatever became of it."""
    made: int
    """Personas newly made; those recorded by earlier runs don't count."""
    refused: Mapping[int, int]
    """Answers with an error, by code, whether or not they arrived."""
    audios: Mapping[str, int]
    """Requests for a persona, by ``audioId``, whatever became of them."""
    faults: Mapping[FaultKind, int]
    redirects_followed: int
    """Requests to where the ``redirect`` fault points."""
    keys_leaked: int
    """Those among them that brought an ``Authorization``."""


class Sandbox(personasync.sandbox.Sandbox):
    """A sandbox that counts and keeps what it is asked."""

    def start(self) -> None:
        """Serve, and remember what earlier runs had made."""
        self._seen: list[tuple[Request, Reply | None]] = []
        self._seeing = threading.Lock()
        self._at_the_end: Mapping[str, MadePersona] | None = None
        super().start()
        self._before = {persona.persona_id for persona in self.personas().values()}

    def close(self) -> None:
        """Keep what was made for those who ask later."""
        if self._server is not None and self._at_the_end is None:
            self._server.stop()
            self._at_the_end = super().personas()
        super().close()

    def personas(self) -> Mapping[str, MadePersona]:
        """Return what the books hold, or held at the end."""
        return super().personas() if self._at_the_end is None else self._at_the_end

    def reply(self, request: Request) -> Reply:
        """Decide, and keep what was asked before it is, and what was decided after."""
        with self._seeing:
            place = len(self._seen)
            self._seen.append((request, None))
        reply = super().reply(request)
        with self._seeing:
            self._seen[place] = (request, reply)
        return reply

    def received(self) -> tuple[Request, ...]:
        """Return the requests as they came."""
        with self._seeing:
            return tuple(request for request, _ in self._seen)

    def ids(self) -> list[str]:
        """Return the IDs that were answered, in their order, whether or not they arrived."""
        with self._seeing:
            answers = [reply.answer for _, reply in self._seen if reply is not None]
        return [
            str(answer.data["personaId"])
            for answer in answers
            if answer is not None and isinstance(answer.data, dict) and "personaId" in answer.data
        ]

    def statistics(self) -> Statistics:
        """Return the counts since the start."""
        with self._seeing:
            seen = list(self._seen)
        replies = [reply for _, reply in seen if reply is not None]
        answers = [reply.answer for reply in replies if reply.answer is not None]
        ids = {
            answer.data["personaId"]
            for answer in answers
            if answer.code == SUCCESS
            and isinstance(answer.data, dict)
            and "personaId" in answer.data
        }
        trapped = [request for request, _ in seen if request.target == TRAP_PATH]
        return Statistics(
            requests=len(seen),
            made=len(ids - self._before),
            refused=Counter(answer.code for answer in answers if answer.code != SUCCESS),
            audios=Counter(reply.audio_id for reply in replies if reply.audio_id is not None),
            faults=Counter(reply.fault.kind for reply in replies if reply.fault is not None),
            redirects_followed=len(trapped),
            keys_leaked=sum("authorization" in request.headers for request in trapped),
        )
