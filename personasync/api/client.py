"""The API client: one request, one classified outcome."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import replace
from typing import Final

import requests

from personasync.api.classify import classify
from personasync.api.key import ApiKey
from personasync.api.transport import (
    EXCHANGE_ERRORS,
    Exchange,
    Route,
    describe,
    environment_route,
    new_session,
    out_of_patience,
    proxy_wants_a_password,
)
from personasync.model.contract import GENERATE_PATH
from personasync.model.outcome import NotSent, Outcome, Unclear
from personasync.model.persona import PersonaRequest

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
        read_timeout: float = 600.0,
        direct: bool = False,
    ) -> None:
        self._base_url = base_url
        self._route = Route(base_url) if direct else environment_route(base_url)
        self._key = key
        self._timeouts = (connect_timeout, read_timeout)
        self._sessions = threading.local()

    def create(self, request: PersonaRequest) -> Outcome:
        """Ask once for a persona. What the network and the API do is an outcome, never an error."""
        exchange = Exchange(json.dumps(request.to_json(), allow_nan=False).encode())
        started = time.monotonic()
        try:
            self._exchange(exchange)
        except EXCHANGE_ERRORS as error:
            exchange.failure = exchange.failure or error
        outcome = self._outcome(exchange, (request.audio_id, request.task_id))
        self._note(request, outcome, time.monotonic() - started)
        return outcome

    def _exchange(self, exchange: Exchange) -> None:
        self._session().post(
            self._base_url + GENERATE_PATH,
            data=exchange,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            timeout=self._timeouts,
            allow_redirects=False,
            stream=True,
        ).close()

    def _outcome(self, exchange: Exchange, others: tuple[str, str]) -> Outcome:
        if not exchange.sent:
            error = exchange.failure or OSError("the request was not sent")
            reason = self._say(error, sent=False)
            return NotSent(reason, stops_run=proxy_wants_a_password(error))
        failure = None if exchange.failure is None else self._say(exchange.failure)
        outcome = classify(
            bytes(exchange.received),
            failure=failure,
            redact=self._key.redact,
            redact_cut=self._key.redact_cut,
            others=others,
        )
        if isinstance(outcome, Unclear) and out_of_patience(exchange.failure):
            return replace(outcome, late=True)
        return outcome

    def _note(self, request: PersonaRequest, outcome: Outcome, seconds: float) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            about = f"for audio {request.audio_id!r} took {seconds:.3f} s: {outcome!r}"
            _log.debug(
                "POST %s%s (Authorization: Bearer ***) %s",
                self._base_url,
                GENERATE_PATH,
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
