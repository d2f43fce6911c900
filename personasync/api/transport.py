"""HTTP as the API client needs it: every byte of an answer, a deadline for the whole of it, and a
key that stays ours.

Requests makes the request and the connection, with TLS, proxies and a private
CA. The answer is read here, by ``_Answer``, and taken apart in ``api/wire``: so
no odd header, length, encoding or cookie can cost what arrived. What of
urllib3 and ``http.client`` that takes which is not public is held by
``tests/unit/api/test_seams.py``, so that a new release shows it first.
"""

from __future__ import annotations

import errno
import http.client
import io
import os
import socket
import ssl
import time
from dataclasses import dataclass
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import get_environ_proxies, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from personasync.api.key import ApiKey
from personasync.api.wire import TOO_LONG, Framing, holds_object, take_apart
from personasync.model.contract import PROXY_REFUSED
from personasync.model.errors import ConfigurationError
from personasync.model.finding import SEARCHED_BYTES
from personasync.model.hosts import is_loopback
from personasync.model.version import __version__

if TYPE_CHECKING:
    from urllib3._base_connection import BaseHTTPConnection

CA_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""The environment variables that name a private CA; the first that is set counts."""

EXCHANGE_ERRORS: Final = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)
"""What a request can raise that is the network's or the server's doing."""

ANSWER_LIMIT: Final = SEARCHED_BYTES
"""Bytes; a longer answer is given up on."""

_CHUNK: Final = 1 << 16
_MOMENT: Final = 0.25
_SOCKET_OPTIONS: Final = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    # Patience is long, so that a slow answer is waited for; a peer that is gone is found by this,
    # within a minute and a half. Where a system lacks a name, its own times count.
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
        if hasattr(socket, name)
    ),
]
_UNKNOWN_ISSUER: Final = frozenset({18, 19, 20, 21})
"""OpenSSL's verify codes for a chain that ends at nobody it trusts."""


class Exchange(io.BytesIO):
    """A request body that knows whether any of it was sent, and takes what comes back.

    The connection is made, TLS included, before the first byte is read. So as
    long as ``sent`` is false, the server cannot have seen the request.
    ``received`` is what arrived of the answer, interim answers left out, and
    ``failure`` why no more of it did, if it did not end in order.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.sent = False
        self.received = bytearray()
        self.failure: BaseException | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        """Hand out bytes to the connection."""
        data = super().read(size)
        self.sent = self.sent or bool(data)
        return data


@dataclass(frozen=True, slots=True)
class Route:
    """How requests reach a base URL: through which proxy, and whose certificates are trusted.

    ``trusted`` is the path of a private CA, or ``True`` for the public ones.
    """

    base_url: str
    proxy: str | None = None
    trusted: str | bool = True


def environment_route(base_url: str) -> Route:
    """Return the route that the environment gives.

    The proxy comes from ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and
    ``NO_PROXY``; a base on this machine is not reached through a proxy on
    another. A private CA comes from the first of ``CA_VARIABLES`` that is set.
    Raises ``ConfigurationError`` for a proxy or a CA that no request could use.
    """
    return Route(base_url, _proxy(base_url), _trusted(base_url))


def new_session(route: Route, key: ApiKey) -> requests.Session:
    """Return a session that sends the key along one route and nowhere else.

    Nothing else of the environment touches it: no ``.netrc`` replaces the key,
    no redirect is followed, no cookie is kept.
    """
    session = _Session()
    session.trust_env = False
    session.auth = _Bearer(key)
    session.headers["User-Agent"] = f"personasync/{__version__}"
    session.headers["Accept-Encoding"] = "identity"
    session.headers["Connection"] = "close"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    session.verify = route.trusted
    if route.proxy is not None:
        session.proxies[urlsplit(route.base_url).scheme] = route.proxy
    adapter = _Adapter(pool_connections=1, pool_maxsize=1, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def describe(error: BaseException, timeouts: tuple[float, float], *, sent: bool = True) -> str:
    """Say in words what went wrong with a connection.

    ``timeouts`` are the seconds to connect and to answer; ``sent`` tells
    whether the request was under way.
    """
    causes = _causes(error)
    words = next(filter(None, (_words(cause, timeouts, sent) for cause in causes)), None)
    if words is None:
        words = str(error) or type(error).__name__
    through_proxy = any(isinstance(cause, urllib3.exceptions.ProxyError) for cause in causes)
    return f"through the proxy: {words}" if through_proxy else words


def proxy_wants_a_password(error: BaseException) -> bool:
    """Whether the way ended at a proxy that lets nobody through without a name (407)."""
    refused = f"Tunnel connection failed: {PROXY_REFUSED}"
    return any(str(cause).startswith(refused) for cause in _causes(error))


def out_of_patience(error: BaseException | None) -> bool:
    """Whether an answer was given up because it did not come in time."""
    return error is not None and any(
        (isinstance(cause, TimeoutError) and cause.errno != errno.ETIMEDOUT)
        or isinstance(cause, requests.ReadTimeout)
        for cause in _causes(error)
    )


def _words(cause: BaseException, timeouts: tuple[float, float], sent: bool) -> str | None:
    connect, read = timeouts
    match cause:
        case ssl.SSLCertVerificationError():
            return _untrusted(cause)
        case ssl.SSLError():
            reason = (cause.reason or str(cause)).replace("_", " ").lower()
            return f"the TLS connection failed: {reason}"
        case socket.gaierror():
            return "the host name could not be resolved"
        case ConnectionRefusedError():
            return "the connection was refused"
        case TimeoutError(errno=errno.ETIMEDOUT) if sent:
            return "the connection went dead"
        case TimeoutError() | requests.Timeout():
            if not sent or isinstance(cause, requests.ConnectTimeout):
                return f"no connection within {connect:g}s"
            return f"no whole answer within {read:g}s"
        case ConnectionError():
            return "the connection was closed before the answer was whole"
        case http.client.HTTPException():
            return "the answer is not HTTP"
        case OSError() if cause.strerror or type(cause) is OSError:
            return cause.strerror or str(cause)
    return None


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    words = f"the server's certificate is not trusted: {error.verify_message}"
    if error.verify_code not in _UNKNOWN_ISSUER:
        return words
    variable = _ca_variable()
    if variable is None:
        return f"{words} (SSL_CERT_FILE can name the file of a private CA)"
    return f"{words} ({variable}, which is set, names the CAs that are trusted)"


class _Bearer(AuthBase):
    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key.value}"
        return request


class _Session(requests.Session):
    def get_redirect_target(self, _answer: requests.Response) -> str | None:
        """Follow nothing; even to prepare what might follow, requests would read a whole body."""
        return None


def _proxy(base_url: str) -> str | None:
    named = select_proxy(base_url, get_environ_proxies(base_url, no_proxy=None))
    if not named:
        return None
    proxy = named if "://" in named else f"http://{named}"
    host = _proxy_host(proxy)
    if is_loopback(urlsplit(base_url).hostname or ""):
        return proxy if is_loopback(host) else None
    if not host:
        raise ConfigurationError(
            "the environment names a proxy that cannot be one, or that is not HTTP",
            hint="check HTTPS_PROXY and ALL_PROXY; write it like http://proxy.example:8080",
        )
    return proxy


def _proxy_host(proxy: str) -> str:
    """Return the host of an HTTP proxy; an empty text if it is none."""
    try:
        parts = urlsplit(proxy)
        host = parts.hostname or ""
        return host if parts.scheme in ("http", "https") and parts.port != 0 else ""
    except ValueError:
        return ""


def _trusted(base_url: str) -> str | bool:
    if urlsplit(base_url).scheme != "https":
        return True
    variable = _ca_variable()
    if variable is None:
        return True
    path = os.environ[variable]
    _check_certificates(variable, path)
    return path


def _ca_variable() -> str | None:
    """Return the variable that counts: others would be set in vain beside it."""
    return next((name for name in CA_VARIABLES if os.environ.get(name)), None)


def _check_certificates(variable: str, path: str) -> None:
    where = {"capath" if Path(path).is_dir() else "cafile": path}
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**where)
    except (OSError, ValueError) as error:
        why = "it holds no certificates" if isinstance(error, ssl.SSLError) else None
        why = why or getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"cannot use {path}, which {variable} names: {why}",
            hint="it must be a file of certificates in PEM form, or a folder of them",
        ) from error


def _causes(error: BaseException) -> list[BaseException]:
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and cause not in seen:
            seen.append(cause)
            waiting += [cause.__cause__, cause.__context__, getattr(cause, "reason", None)]
            waiting += cause.args
    return seen


class _Reader:
    """Reads a socket until a moment in time, however many reads that takes.

    Bytes that are there are read before the deadline counts: a process that
    was stopped, or a machine that slept, finds the answer that came meanwhile.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        seconds = sock.gettimeout()
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._late = 0

    def read(self, size: int) -> bytes:
        """Return what is there, at least a byte, or nothing at the end of the connection.

        Raises ``TimeoutError`` when the deadline has passed and nothing is there.
        """
        left = None if self._deadline is None else self._deadline - time.monotonic()
        if left is None or left > 0:
            self._socket.settimeout(left)
            try:
                return self._socket.recv(size)
            except TimeoutError as error:
                if error.errno is not None:
                    raise  # not our deadline: the peer is dead
        return self._read_late(size)

    def _read_late(self, size: int) -> bytes:
        # Whoever sends without an end would always have more there.
        if self._late > ANSWER_LIMIT:
            raise TimeoutError("timed out")
        self._socket.settimeout(0)
        try:
            data = self._socket.recv(size)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise TimeoutError("timed out") from None
        self._late += len(data)
        return data

    def linger(self, size: int) -> bytes:
        """Return what comes within a moment; nothing is no error."""
        self._socket.settimeout(_MOMENT)
        try:
            return self._socket.recv(size)
        except OSError:
            return b""


class _DeadlineIO(io.RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        self._reader = _Reader(sock)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._reader.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _DeadlineSocket:
    """The one thing ``http.client`` asks of a socket when it reads an answer."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def makefile(self, *_args: object, **_options: object) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineIO(self._socket))


def _with_deadline(sock: socket.socket) -> socket.socket:
    return cast(socket.socket, _DeadlineSocket(sock))


class _TunnelResponse(http.client.HTTPResponse):
    """What a proxy says to CONNECT: it has the time to connect, and no longer."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(_with_deadline(sock), *args, **options)


class _Answer(http.client.HTTPResponse):
    """Reads the whole answer into the exchange, whatever it is, and shows requests an empty one.

    Requests and urllib3 would look for cookies, encodings and redirects in it,
    and lose it where they are not as they should be.
    """

    def __init__(self, exchange: Exchange, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(_with_deadline(sock), *args, **options)
        self._exchange = exchange
        self._reader = _Reader(sock)

    def begin(self) -> None:
        try:
            self._read_whole()
        except EXCHANGE_ERRORS as error:
            self._exchange.failure = error
        self.version, self.status, self.reason = 11, http.client.OK, ""
        self.headers = self.msg = http.client.HTTPMessage()
        self.length, self.chunked, self.will_close = 0, False, True

    def _read_whole(self) -> None:
        received, framing = self._exchange.received, Framing()
        while not framing.is_whole(received):
            if len(received) >= ANSWER_LIMIT:
                self._exchange.failure = ValueError(TOO_LONG)
                return
            data = self._reader.read(min(_CHUNK, ANSWER_LIMIT - len(received)))
            if not data:
                return
            received += data
        # A false length, or a status that has no body, may leave the answer outside of what is
        # said to be all. The connection is closed after it, so it costs no more than a moment.
        if not holds_object(take_apart(bytes(received)).body):
            while len(received) < ANSWER_LIMIT and (data := self._reader.linger(_CHUNK)):
                received += data


class _Connection(HTTPConnection):
    """A connection whose answer goes to the exchange that is its request's body."""

    # Until the request is sent, only a proxy can answer.
    response_class: type[http.client.HTTPResponse] = _TunnelResponse

    def request(self, *args: Any, **options: Any) -> None:
        exchange = options["body"]
        super().request(*args, **_without_empty_body(options))
        exchange.sent = True
        # Whatever makes a response will do, though its type asks for a class.
        self.response_class = cast(type[_Answer], partial(_Answer, exchange))


class _TlsConnection(_Connection, HTTPSConnection):
    pass


def _without_empty_body(options: dict[str, Any]) -> dict[str, Any]:
    """Send a question as what it is: with no body, and so without a word about its length."""
    if options["body"].getbuffer().nbytes:
        return options
    framing = ("content-length", "transfer-encoding")
    headers = {k: v for k, v in options["headers"].items() if k.lower() not in framing}
    return {**options, "body": None, "headers": headers, "chunked": False}


class _Pool(HTTPConnectionPool):
    """Uses no connection twice: what a server says too late or too often is nobody else's answer.

    An ID that reached the wrong persona would be two IDs lost.
    """

    ConnectionCls: type[BaseHTTPConnection] = _Connection

    def _put_conn(self, conn: BaseHTTPConnection | None) -> None:
        if conn is not None:
            conn.close()
        super()._put_conn(None)


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, socket_options=_SOCKET_OPTIONS)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> urllib3.ProxyManager:
        manager: urllib3.ProxyManager = super().proxy_manager_for(
            proxy, **options, socket_options=_SOCKET_OPTIONS
        )
        manager.pool_classes_by_scheme = _POOLS
        return manager
