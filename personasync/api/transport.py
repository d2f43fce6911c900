"""HTTP as the API client needs it: a deadline for the whole answer, and a key that stays ours."""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from personasync import __version__
from personasync.base_url import is_loopback
from personasync.credentials import ApiKey

EXCHANGE_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)
"""What a request can raise that is the network's or the server's doing."""


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


def new_session(base_url: str, key: ApiKey) -> requests.Session:
    """Return a session that sends the key to one base URL and nowhere else.

    Proxies and a private CA come from the environment (``HTTPS_PROXY``,
    ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``, ``SSL_CERT_FILE``); a
    ``.netrc`` does not. A base on this machine is not reached through a proxy
    on another.
    """
    session = requests.Session()
    session.auth = _Bearer(key)  # being set, it keeps .netrc out
    session.headers["User-Agent"] = f"personasync/{__version__}"
    session.headers["Accept-Encoding"] = "identity"
    session.verify = os.environ.get("SSL_CERT_FILE") or True
    if _would_leave_this_machine(base_url):
        session.trust_env = False
    adapter = _Adapter(pool_connections=1, pool_maxsize=1, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def describe(error: BaseException, timeouts: tuple[float, float]) -> str:
    """Say in words what went wrong with a connection; ``timeouts`` are connect and read."""
    chain = list(_causes(error))
    texts = " ".join(str(cause) for cause in chain)
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {timeouts[0]:g}s"
    for cause in chain:
        match cause:
            case ssl.SSLCertVerificationError():
                return f"the server's certificate is not trusted: {cause.verify_message}"
            case ssl.SSLError():
                return f"the TLS connection failed: {cause.reason or cause}"
            case socket.gaierror():
                return "the host name could not be resolved"
            case ConnectionRefusedError():
                return "the connection was refused"
            case ConnectionError() | http.client.RemoteDisconnected():
                return "the connection was closed before the answer was whole"
            case TimeoutError() | requests.ReadTimeout():
                return f"no whole answer within {timeouts[1]:g}s"
            case http.client.IncompleteRead() | urllib3.exceptions.IncompleteRead():
                return "the answer was cut off"
            case OSError() if cause.strerror:
                return cause.strerror
    return (texts or type(error).__name__)[:200]


class _Bearer(AuthBase):
    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key.value}"
        return request


def _would_leave_this_machine(base_url: str) -> bool:
    if not is_loopback(urlsplit(base_url).hostname or ""):
        return False
    proxies = get_environ_proxies(base_url, no_proxy=None).values()
    return not all(is_loopback(urlsplit(str(proxy)).hostname or "") for proxy in proxies)


def _causes(error: BaseException | None) -> Any:
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
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


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
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
