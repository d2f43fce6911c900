"""Making personas: each audio's first, what a second request gets, and what it costs."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final, Literal

from personasync.model.contract import SUCCESS
from personasync.model.persona import PersonaRequest
from personasync.sandbox.books import Books, MadePersona
from personasync.sandbox.contract import NO_CREDITS, refusal
from personasync.sandbox.errors import SandboxError
from personasync.sandbox.exchange import Answer

UNLIMITED_CREDITS: Final = 1_000_000
"""What the credit call answers when the sandbox's credits never run out."""


class PersonaMaker:
    """Makes personas and enters them in the books; one request at a time.

    ``spent`` counts the credits of this start, one a persona.
    """

    def __init__(
        self,
        repeat: Literal["conflict", "conflict-with-id", "same-id", "new-id"],
        credits: int | None,
        books: Books,
    ) -> None:
        self.spent = 0
        self._repeat = repeat
        self._credits = credits
        self._books = books

    @property
    def credits_left(self) -> int:
        """What there is to spend still."""
        if self._credits is None:
            return UNLIMITED_CREDITS
        return max(0, self._credits - self.spent)

    def make(self, request: PersonaRequest) -> Answer:
        """Answer a request for a persona that nothing else forbids."""
        try:
            with self._books.exclusive():
                known = self._books.find(request.audio_id)
                return self._make_again(request, known) if known else self._make_new(request)
        except SandboxError as error:
            return Answer(500, error.message)

    def _make_again(self, request: PersonaRequest, known: MadePersona) -> Answer:
        match self._repeat:
            case "conflict":
                return refusal(409)
            case "conflict-with-id":
                return replace(refusal(409), data={"personaId": known.persona_id})
            case "same-id":
                return self._record(known.persona_id, request)
            case "new-id":
                return self._record(_new_id(), request)

    def _make_new(self, request: PersonaRequest) -> Answer:
        if self.credits_left <= 0:
            return NO_CREDITS
        answer = self._record(_new_id(), request)
        self.spent += 1
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


def _new_id() -> str:
    """Never seeded: an ID must not come twice, whatever the books forgot."""
    return os.urandom(16).hex()
