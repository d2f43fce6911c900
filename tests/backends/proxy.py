"""Proxies that stand between the tool and a store, and let things go wrong on purpose."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Final

Choose = Callable[[str, str], "Fault | None"]


class Fault(StrEnum):
    """What may become of a request."""

    RESET_BEFORE = "reset before it was applied"
    CUT_AFTER = "applied, its answer cut"
    RESET_AFTER = "applied, then reset"
    HANG_AFTER = "applied, never answered"
    HANG_BEFORE = "not applied, never answered"
    ERROR_AFTER = "applied, and answered with 500"
    CONFLICT = "409 with nothing there"
    BUSY = "503"
    DENIED = "403"
    EXPIRED = "400 with an expired token"
    OTHER_REGION = "400 from another region"
    MOVED = "301 to another region"


_ANSWERS: Final = {
    Fault.ERROR_AFTER: (500, "InternalError"),
    Fault.CONFLICT: (409, "ConditionalRequestConflict"),
    Fault.BUSY: (503, "SlowDown"),
    Fault.DENIED: (403, "AccessDenied"),
    Fault.EXPIRED: (400, "ExpiredToken"),
    Fault.OTHER_REGION: (400, "AuthorizationHeaderMalformed"),
    Fault.MOVED: (301, "PermanentRedirect"),
}
_MESSAGES: Final = {
    Fault.OTHER_REGION: "the region 'us-east-1' is wrong; expecting 'eu-central-1'",
}
_APPLIED: Final = frozenset(
    {Fault.CUT_AFTER, Fault.RESET_AFTER, Fault.HANG_AFTER, Fault.ERROR_AFTER}
)
HARMLESS: Final = (
    Fault.RESET_BEFORE,
    Fault.CUT_AFTER,
    Fault.RESET_AFTER,
    Fault.ERROR_AFTER,
    Fault.CONFLICT,
    Fault.BUSY,
)
"""Faults that a run gets over without a wait for an answer."""


class _Listener:
    """Accepts connections on loopback, each in a thread, until it is closed."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self._open: set[socket.socket] = set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self._open.add(client)
            threading.Thread(target=self._serve_and_close, args=(client,), daemon=True).start()

    def _serve_and_close(self, client: socket.socket) -> None:
        try:
            with suppress(OSError):
                self.serve(client)
        finally:
            client.close()
            self._open.discard(client)

    def serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.cut()

    def cut(self) -> None:
        """Cut every connection that is open now."""
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _reach(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.upstream))


def reset(client: socket.socket) -> None:
    """Close so that the other side is told of a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class HttpProxy(_Listener):
    """Before an object store: ``choose(method, path)`` says what becomes of a request.

    ``delay`` is what every put takes more, in seconds.
    """

    def __init__(self, upstream: int, choose: Choose | None = None, *, delay: float = 0) -> None:
        self.choose: Choose = choose or (lambda _method, _path: None)
        self.delay = delay
        self.seen: list[tuple[str, str]] = []
        self.going_wrong: list[Fault] = []
        super().__init__(upstream)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, client: socket.socket) -> None:
        request = _read_message(client)
        if not request:
            return
        method, path = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")[:2]
        self.seen.append((method, path))
        fault = self.choose(method, path)
        if fault is not None:
            self.going_wrong.append(fault)
        if method == "PUT":
            time.sleep(self.delay)
        answer = b""
        if fault is None or fault in _APPLIED:
            answer = self._forward(request)
        match fault:
            case None:
                client.sendall(answer)
            case Fault.CUT_AFTER:
                client.sendall(answer[:20])
            case Fault.RESET_BEFORE | Fault.RESET_AFTER:
                reset(client)
            case Fault.HANG_BEFORE | Fault.HANG_AFTER:
                client.recv(1)  # until the other side gives up, or the proxy is closed
            case _:
                status, code = _ANSWERS[fault]
                message = _MESSAGES.get(fault, code)
                body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
                head = f"HTTP/1.1 {status} Fault\r\nContent-Length: {len(body)}\r\n"
                client.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)

    def _forward(self, request: bytes) -> bytes:
        """Ask the store, on a connection of its own, and read its answer to the end."""
        first, _, rest = request.partition(b"\r\n")
        with self._reach() as server:
            server.sendall(first + b"\r\nConnection: close\r\n" + rest)
            answer = b""
            while data := server.recv(1 << 16):
                answer += data
        return answer


def _read_message(client: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(1 << 16)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    if b"100-continue" in head.lower():
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = re.sub(rb"(?i)\r\nexpect: 100-continue", b"", head)
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    wanted = int(length[1]) if length else 0
    while len(body) < wanted:
        more = client.recv(1 << 16)
        if not more:
            return b""
        body += more
    return head + b"\r\n\r\n" + body


class Cut(StrEnum):
    """What may become of a message to PostgreSQL."""

    BEFORE = "the connection lost before the server had it"
    AFTER = "the connection lost after the server did it"


class PostgresProxy(_Listener):
    """Before PostgreSQL: ``choose(text)`` says what becomes of a query and its connection."""

    def __init__(self, upstream: int, choose: Callable[[str], Cut | None] | None = None) -> None:
        self.choose = choose or (lambda _text: None)
        self.cuts: list[Cut] = []
        super().__init__(upstream)

    def serve(self, client: socket.socket) -> None:
        with self._reach() as server:
            cutting = threading.Event()
            threading.Thread(target=self._back, args=(server, client, cutting), daemon=True).start()
            while data := client.recv(1 << 16):
                cut = self.choose(data.decode("latin-1")) if data[:1] == b"Q" else None
                if cut is not None:
                    self.cuts.append(cut)
                if cut is Cut.BEFORE:
                    return
                if cut is Cut.AFTER:
                    cutting.set()
                server.sendall(data)

    def _back(self, server: socket.socket, client: socket.socket, cutting: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if cutting.is_set():
                    break  # it is done, and nobody hears of it
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def before_store(
    upstream: int, choose: Choose | None = None, *, delay: float = 0
) -> Iterator[HttpProxy]:
    proxy = HttpProxy(upstream, choose, delay=delay)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def before_postgres(
    upstream: int, choose: Callable[[str], Cut | None] | None = None
) -> Iterator[PostgresProxy]:
    proxy = PostgresProxy(upstream, choose)
    try:
        yield proxy
    finally:
        proxy.close()
