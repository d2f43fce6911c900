"""The API client: one request, one classified outcome."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Final

import requests

from personasync.api.classify import classify, kept
from personasync.api.transport import EXCHANGE_ERRORS, Body, describe, new_session
from personasync.credentials import ApiKey
from personasync.model import PersonaRequest
from personasync.outcome import Created, NotSent, Outcome, Unclear

PATH: Final = "/api/v1/generate/generate-persona"
"""Where a persona is made (api.md §1)."""

ANSWER_LIMIT: Final = 1 << 20
"""Bytes; a longer answer is given up on."""

_CHUNK: Final = 1 << 16
_log = logging.getLogger(__name__)


class HttpApi:
    """The API behind one base URL.

    ``connect_timeout`` and ``read_timeout`` are seconds: to connect, TLS
    included, and for the whole answer to arrive, however slowly it drips.
    Safe to use from several threads: each has a session of its own.
    """

    def __init__(
        self,
        base_url: str,
        key: ApiKey,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
    ) -> None:
        self._base_url = base_url
        self._key = key
        self._timeouts = (connect_timeout, read_timeout)
        self._sessions = threading.local()

    def create(self, request: PersonaRequest) -> Outcome:
        """Ask once for a persona. What the network and the API do is an outcome, never an error."""
        body = Body(json.dumps(request.to_json(), allow_nan=False).encode())
        started = time.monotonic()
        try:
            outcome = self._exchange(body)
        except EXCHANGE_ERRORS as error:
            reason = self._key.redact(describe(error, self._timeouts))
            outcome = Unclear(reason) if body.sent else NotSent(reason)
        _log.debug(
            "POST %s%s (Authorization: Bearer ***) for audio %s took %.3f s: %r",
            self._base_url,
            PATH,
            request.audio_id,
            time.monotonic() - started,
            outcome,
        )
        return outcome

    def _exchange(self, body: Body) -> Outcome:
        response = self._session().post(
            self._base_url + PATH,
            data=body,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            timeout=self._timeouts,
            allow_redirects=False,
            stream=True,
        )
        try:
            received, failure = self._read(response)
        finally:
            response.close()
        text = self._key.redact(received.decode("utf-8", "replace"))
        outcome = classify(response.status_code, response.headers, text)
        if failure is None or isinstance(outcome, Created):
            return outcome  # an ID that arrived whole counts, whatever became of the rest
        return Unclear(failure, response.status_code, kept(text))

    def _read(self, response: requests.Response) -> tuple[bytes, str | None]:
        """Return what arrived of the answer and, if that is not all, why."""
        received = bytearray()
        try:
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                received += chunk
                if len(received) > ANSWER_LIMIT:
                    return bytes(received), f"the answer is longer than {ANSWER_LIMIT >> 20} MiB"
            response.raw.drain_conn()  # lets the connection be used again
        except EXCHANGE_ERRORS as error:
            return bytes(received), self._key.redact(describe(error, self._timeouts))
        return bytes(received), None

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = new_session(self._base_url, self._key)
            self._sessions.session = session
        return session
