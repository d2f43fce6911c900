"""HTTP as the API client needs it: a deadline for the whole answer, and a key that stays ours."""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import time
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import get_environ_proxies, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from personasync.api.key import ApiKey
from personasync.model.errors import ConfigurationError
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

_SWITCHING_PROTOCOLS: Final = 101
_UNKNOWN_ISSUER: Final = frozenset({18, 19, 20, 21})
"""OpenSSL's verify codes for a chain that ends at nobody it trusts."""


class Body(io.BytesIO):
    """A request body that knows whether any of it was sent.

    The connection is made, TLS included, before the first byte is read. So as
    long as ``sent`` is false, the server cannot have seen the request.
    """

    sent = False

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
        case TimeoutError() | requests.Timeout():
            if not sent or isinstance(cause, requests.ConnectTimeout):
                return f"no connection within {connect:g}s"
            return f"no whole answer within {read:g}s"
        case ConnectionError():
            return "the connection was closed before the answer was whole"
        case http.client.IncompleteRead():
            return "the answer was cut off"
        case http.client.HTTPException():
            return "the answer is not HTTP"
        case urllib3.exceptions.DecodeError():
            return "the answer is compressed in a way that cannot be read"
        case OSError() if cause.strerror or type(cause) is OSError:
            return cause.strerror or str(cause)
    return None


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    words = f"the server's certificate is not trusted: {error.verify_message}"
    if error.verify_code in _UNKNOWN_ISSUER:
        return f"{words} (SSL_CERT_FILE can name the file of a private CA)"
    return words


class _Bearer(AuthBase):
    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key.value}"
        return request


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
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
    for variable in CA_VARIABLES:
        path = os.environ.get(variable)
        if path:
            _check_certificates(variable, path)
            return path
    return True


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


class _DeadlineIO(io.RawIOBase):
    """Reads a socket until a moment in time, however many reads that takes."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._raw = sock.makefile("rb", buffering=0)
        seconds = sock.gettimeout()
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineSocket:
    """The one thing ``http.client`` asks of a socket when it reads an answer."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def makefile(self, *_args: object, **_options: object) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineIO(self._socket))


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(_DeadlineSocket(sock), *args, **options)  # type: ignore[arg-type]

    def _read_status(self) -> tuple[str, int, str]:
        """Take every interim answer for a 100, which Python skips: it knows no other (RFC 9110)."""
        version, status, reason = super()._read_status()  # type: ignore[misc]
        interim = 100 < status < 200 and status != _SWITCHING_PROTOCOLS
        return version, http.client.CONTINUE if interim else status, reason

    def begin(self) -> None:
        super().begin()
        self.msg.defects = []  # urllib3 would log what it cannot read of them, raw
        self.msg.set_payload("")


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


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
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> urllib3.ProxyManager:
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager
