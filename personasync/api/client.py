"""The API client: one request, one classified outcome."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Final

import requests

from personasync.api.classify import classify, kept
from personasync.api.key import ApiKey
from personasync.api.transport import (
    EXCHANGE_ERRORS,
    Body,
    Route,
    describe,
    environment_route,
    new_session,
)
from personasync.model.outcome import Created, NotSent, Outcome, Unclear
from personasync.model.persona import PersonaRequest

PATH: Final = "/api/v1/generate/generate-persona"
"""Where a persona is made (api.md §1)."""

ANSWER_LIMIT: Final = 1 << 20
"""Bytes; a longer answer is given up on."""

_CHUNK: Final = 1 << 16
_REASON_LIMIT: Final = 200
_log = logging.getLogger(__name__)


class HttpApi:
    """The API behind one base URL.

    ``connect_timeout`` and ``read_timeout`` are seconds: to connect, TLS
    included, and for the whole answer to arrive, however slowly it drips.
    Safe to use from several threads: each has a session of its own. Proxies
    and a private CA come from the environment; raises ``ConfigurationError``
    when those there cannot be used. ``direct`` leaves the proxies out: it is
    for a server inside this process, which no proxy needs to reach.
    """

    def __init__(
        self,
        base_url: str,
        key: ApiKey,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        direct: bool = False,
    ) -> None:
        self._base_url = base_url
        self._route = Route(base_url) if direct else environment_route(base_url)
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
            reason = self._say(error, sent=body.sent)
            outcome = Unclear(reason) if body.sent else NotSent(reason)
        self._note(request, outcome, time.monotonic() - started)
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
        text = received.decode("utf-8", "replace")
        redact = self._key.redact if failure is None else self._key.redact_cut
        outcome = classify(response.status_code, response.headers, text, redact=redact)
        if failure is None or isinstance(outcome, Created):
            return outcome  # an ID that arrived whole counts, whatever became of the rest
        return Unclear(failure, response.status_code, kept(redact(text)))

    def _read(self, response: requests.Response) -> tuple[bytes, str | None]:
        """Return what arrived of the answer and, if that is not all, why."""
        received = bytearray()
        try:
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                received += chunk
                if len(received) > ANSWER_LIMIT:
                    return bytes(received), f"the answer is longer than {ANSWER_LIMIT >> 20} MiB"
        except EXCHANGE_ERRORS as error:
            return bytes(received), self._say(error)
        return bytes(received), None

    def _note(self, request: PersonaRequest, outcome: Outcome, seconds: float) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            about = f"for audio {request.audio_id!r} took {seconds:.3f} s: {outcome!r}"
            _log.debug(
                "POST %s%s (Authorization: Bearer ***) %s",
                self._base_url,
                PATH,
                about.replace("##", r"#\x23"),  # a CI log may obey ##[…] wherever it stands
            )

    def _say(self, error: BaseException, *, sent: bool = True) -> str:
        words = self._key.redact(describe(error, self._timeouts, sent=sent))
        return words[:_REASON_LIMIT]

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = new_session(self._route, self._key)
            self._sessions.session = session
        return session
