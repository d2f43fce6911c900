"""The sandbox's sockets: HTTP/1.1 on loopback, and the faults that only a socket can show."""

from __future__ import annotations

import logging
import os
import re
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Final, Self

from personasync.model.errors import ConfigurationError
from personasync.sandbox.books import Books, MadePersona
from personasync.sandbox.config import SandboxConfig
from personasync.sandbox.exchange import SUCCESS, Answer, ReceivedRequest, Reply, SandboxRequest
from personasync.sandbox.faults import FaultKind
from personasync.sandbox.service import TRAP_PATH, SandboxStatistics, Service

Log = Callable[[SandboxRequest], None]

HOST: Final = "127.0.0.1"
MAX_BODY: Final = 1 << 20
"""Bytes of a request's body that are read; a longer one gets 413."""

_MAX_LINE: Final = 1 << 16
_MAX_DRAINED: Final = 16 << 20
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_GARBAGE: Final = b"<html><body><h1>Back soon</h1><p>Something went wrong.</p></body></html>"
_REASONS: Final = {455: "Down For Maintenance"}
_LENGTH: Final = re.compile(r"[0-9]{1,18}")

_logger = logging.getLogger(__name__)


class Sandbox:
    """The stand-in for the API, served from a daemon thread of this process.

    ``log`` is called once for each request answered, one call at a time, from
    the threads that answer. Use it as a context manager, or call
    :meth:`start` and :meth:`close`; a closed sandbox cannot be started again.
    """

    def __init__(self, config: SandboxConfig | None = None, *, log: Log | None = None) -> None:
        self.config = config or SandboxConfig()
        self._log = log
        self._server: _Server | None = None

    def start(self) -> None:
        """Open the books, listen, and serve.

        Raises :class:`PersonasyncError` when the port is taken or the books
        cannot be used.
        """
        if self._server is not None:
            raise RuntimeError("the sandbox was started before")
        books = Books(self.config.books)
        try:
            server = _Server(self.config, books, self._log)
        except (OSError, OverflowError) as error:
            books.close()
            reason = error.strerror if isinstance(error, OSError) else "no such port"
            raise ConfigurationError(
                f"The sandbox cannot listen on {HOST}:{self.config.port}: {reason}",
                hint="Choose another port, or 0 for any free one.",
            ) from error
        self._server = server
        threading.Thread(target=server.serve, name="personasync-sandbox", daemon=True).start()

    def close(self) -> None:
        """Stop listening, break off every connection, and close the books. May be called twice."""
        if self._server is not None:
            self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._started.port

    @property
    def base_url(self) -> str:
        """What to use as the API's base."""
        return f"http://{HOST}:{self.port}"

    def statistics(self) -> SandboxStatistics:
        """Return the counts since the start."""
        return self._started.service.statistics()

    def received(self) -> tuple[ReceivedRequest, ...]:
        """Return the requests received, without the key; empty unless ``record_requests``."""
        return self._started.service.received()

    def personas(self) -> Mapping[str, MadePersona]:
        """Return what the books hold, by ``audioId``, the work of earlier runs included."""
        return self._started.books.personas()

    @property
    def _started(self) -> _Server:
        if self._server is None:
            raise RuntimeError("the sandbox was not started")
        return self._server


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Accepts connections, one thread each, and can be stopped at once.

    Not ``http.server.HTTPServer``, which asks the resolver for the host's name,
    and not ``serve_forever``, which notices its end only at the next poll.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024
    allow_reuse_address = os.name == "posix"  # elsewhere it would share a port in use

    def __init__(self, config: SandboxConfig, books: Books, log: Log | None) -> None:
        super().__init__((HOST, config.port), _Handler)
        self.config = config
        self.books = books
        self.service = Service(config, books)
        self.closing = threading.Event()
        self.port: int = self.socket.getsockname()[1]
        self._log = log
        self._log_lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._connections_changed = threading.Condition()
        self._stopped = threading.Event()

    def serve(self) -> None:
        """Accept connections until stopped."""
        while not self.closing.is_set():
            try:
                connection, address = self.get_request()
            except OSError:  # out of file descriptors, or a client gone before we came
                self.closing.wait(0.05)
                continue
            with self._connections_changed:
                self._connections.add(connection)
            try:
                self.process_request(connection, address)
            except RuntimeError:  # no more threads to be had
                self.shutdown_request(connection)
        self.server_close()
        self._stopped.set()

    def stop(self) -> None:
        """End :meth:`serve` and every connection; returns when all is quiet, or in 2 s."""
        already = self.closing.is_set()
        self.closing.set()
        if not already:
            self._wake()
        self._stopped.wait(1)
        with self._connections_changed:
            for connection in self._connections:
                with suppress(OSError):  # it was closed just now
                    connection.shutdown(socket.SHUT_RDWR)
            self._connections_changed.wait_for(lambda: not self._connections, 1)
        self.books.close()

    def _wake(self) -> None:
        """Make the pending accept return."""
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            _logger.debug("the sandbox was not listening any more")

    def shutdown_request(self, request: Any) -> None:
        """Close a connection without the orderly FIN first: a reset must be nothing but one."""
        request.close()
        with self._connections_changed:
            self._connections.discard(request)
            self._connections_changed.notify_all()

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """Keep quiet about clients that are gone; anything else is a bug of ours."""
        if not isinstance(sys.exception(), OSError):
            _logger.exception("the sandbox failed")

    def log(self, entry: SandboxRequest) -> None:
        """Pass on one line for the log."""
        if self._log is not None:
            with self._log_lock:
                self._log(entry)


@dataclass(frozen=True, slots=True)
class _Wire:
    """One HTTP response; ``code`` is the one its body carries, if any."""

    status: int
    code: int | None
    body: bytes
    headers: Mapping[str, str]


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, delivers the replies, as well or badly as is asked."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def handle_one_request(self) -> None:
        """Read one request and deliver the reply."""
        self.command = self.path = ""
        self.raw_requestline = self.rfile.readline(_MAX_LINE + 1)
        arrived = time.monotonic()
        if not self.raw_requestline:
            self.close_connection = True
            return
        if len(self.raw_requestline) > _MAX_LINE:
            self.send_error(414)
            return
        if not self.parse_request():
            return
        body, refusal = self._read_body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = ReceivedRequest(self.command, self.path, headers, body, arrived)
        service = self.server.service
        reply = service.refuse(refusal, request) if refusal else service.reply(request)
        self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        """Deliver the reply after the latency, and log it, whether or not it got through."""
        if self.server.closing.wait(self.server.config.latency):
            self.close_connection = True
            return
        wire = self._wire(reply)
        try:
            if wire is None:
                self._reset()
            else:
                self._send(wire, reply.fault)
        finally:
            self.server.log(
                SandboxRequest(
                    method=self.command or "",
                    path=self.path,
                    status=wire.status if wire else None,
                    code=wire.code if wire else None,
                    audio_id=reply.audio_id,
                    fault=reply.fault,
                )
            )

    def _wire(self, reply: Reply) -> _Wire | None:
        """Return what goes over the wire; ``None`` is a reset."""
        if reply.fault is FaultKind.GARBAGE:
            return _Wire(SUCCESS, None, _GARBAGE, {"Content-Type": "text/html"})
        if reply.fault is FaultKind.REDIRECT:
            location = f"http://{HOST}:{self.server.port}{TRAP_PATH}"
            return _Wire(302, None, b"", {"Location": location})
        answer = reply.answer
        if answer is None or reply.fault is FaultKind.RESET_AFTER:
            return None
        headers = {"Content-Type": "application/json"}
        if answer.retry_after is not None:
            headers["Retry-After"] = str(answer.retry_after)
        status = SUCCESS if self.server.config.errors_in_body else answer.code
        return _Wire(status, answer.code, answer.body(), headers)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close_connection = True

    def _send(self, wire: _Wire, fault: FaultKind | None) -> None:
        self.send_response(wire.status, _REASONS.get(wire.status))
        self.send_header("X-Personasync-Sandbox", "1")
        for name, value in wire.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(wire.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if fault is FaultKind.CUT_OFF:
            self.wfile.write(wire.body[: len(wire.body) // 2])
            self.close_connection = True
        elif fault is FaultKind.SLOW:
            self._drip(wire.body)
        elif self.command != "HEAD":
            self.wfile.write(wire.body)
        self.wfile.flush()

    def _drip(self, body: bytes) -> None:
        for position in range(len(body)):
            self.wfile.flush()
            if self.server.closing.wait(self.server.config.drip):
                self.close_connection = True
                return
            self.wfile.write(body[position : position + 1])

    def _read_body(self) -> tuple[bytes, Answer | None]:
        """Return the body, or how a request is refused whose body cannot be read."""
        length = self.headers.get("Content-Length", "0").strip()
        if "Transfer-Encoding" in self.headers or not _LENGTH.fullmatch(length):
            self.close_connection = True
            return b"", Answer(422, "the body must come with its Content-Length")
        if int(length) > MAX_BODY:
            self.close_connection = True
            self._drain(min(int(length), _MAX_DRAINED))
            return b"", Answer(413, f"the body is longer than {MAX_BODY} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError("the client left in the middle of the body")
        return body, None

    def _drain(self, length: int) -> None:
        """Read on, so that a client that is still sending gets to see the answer."""
        while length > 0 and (data := self.rfile.read(min(length, _MAX_LINE))):
            length -= len(data)

    def handle_expect_100(self) -> bool:
        """Tell the client at once to go on with the body."""
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not HTTP in the API's envelope, and close."""
        self.close_connection = True
        self.request_version = self.protocol_version
        self._answer(self.server.service.refuse(Answer(code, message or explain or "not HTTP")))

    def version_string(self) -> str:
        """Say in the ``Server`` header who answers."""
        return "personasync-sandbox"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing; the log is the one that :class:`Sandbox` was given."""
