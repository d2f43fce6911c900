"""The API client: one request, one classified outcome."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

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

_T = TypeVar("_T")
_REASON_LIMIT: Final = 200
_log = logging.getLogger(__name__)


class Line:
    """The way to the API behind one base URL, with one key.

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

    def _ask(
        self,
        call: tuple[str, str],
        read: Callable[[Exchange], _T],
        *,
        body: bytes = b"",
        query: str = "",
        about: str = "",
    ) -> _T:
        """Make one call, by its method and path, and return what ``read`` makes of the exchange."""
        started = time.monotonic()
        said = read(self._send(*call, body, query))
        self._note(*call, about, time.monotonic() - started, said)
        return said

    def _send(self, method: str, path: str, body: bytes, query: str) -> Exchange:
        """Send one request; what the network does is in the exchange, never raised."""
        exchange = Exchange(body)
        headers = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        try:
            self._session().request(
                method,
                self._base_url + path + query,
                data=exchange,
                headers=headers,
                timeout=self._timeouts,
                allow_redirects=False,
                stream=True,
            ).close()
        except EXCHANGE_ERRORS as error:
            exchange.failure = exchange.failure or error
        return exchange

    def _note(self, method: str, path: str, about: str, seconds: float, said: object) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            told = f"{about} took {seconds:.3f} s: {said!r}"
            _log.debug(
                "%s %s%s (Authorization: Bearer ***) %s",
                method,
                self._base_url,
                path,
                told.replace("##", r"#\x23"),  # a CI log may obey ##[…] wherever it stands
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


class HttpApi(Line):
    """Makes personas."""

    def create(self, request: PersonaRequest) -> Outcome:
        """Ask once for a persona. What the network and the API do is an outcome, never an error."""
        return self._ask(
            ("POST", GENERATE_PATH),
            partial(self._outcome, (request.audio_id, request.task_id)),
            body=json.dumps(request.to_json(), allow_nan=False).encode(),
            about=f"for audio {request.audio_id!r}",
        )

    def _outcome(self, others: tuple[str, str], exchange: Exchange) -> Outcome:
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
