"""The sandbox's sockets: HTTP/1.1 on loopback, and the faults that only a socket can show."""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from personasync.model.contract import SUCCESS
from personasync.sandbox.body import MAX_LINE, read_body
from personasync.sandbox.books import Books, MadePersona
from personasync.sandbox.config import SandboxConfig
from personasync.sandbox.effects import EFFECTS
from personasync.sandbox.errors import SandboxError
from personasync.sandbox.exchange import Answer, Exchange, Reply, Request, Wire
from personasync.sandbox.service import Service

Log = Callable[[Exchange], None]

HOST: Final = "127.0.0.1"

_POLL: Final = 0.05
"""Seconds between looks for the end: the most that closing a sandbox has to wait for."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_REASONS: Final = {455: "Down For Maintenance"}

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
        self._log_lock = threading.Lock()
        self._server: _Server | None = None

    def start(self) -> None:
        """Open the books, listen, and serve.

        Raises :class:`SandboxError` when the port is taken or the books cannot be used.
        """
        if self._server is not None:
            raise RuntimeError("the sandbox was started before")
        self._books = Books(self.config.books)
        self._service = Service(self.config, self._books)
        try:
            self._server = _Server(self)
        except (OSError, OverflowError) as error:
            self._books.close()
            reason = error.strerror if isinstance(error, OSError) else "no such port"
            raise SandboxError(
                f"The sandbox cannot listen on {HOST}:{self.config.port}: {reason}",
                hint="Choose another port, or 0 for any free one.",
            ) from error
        threading.Thread(
            target=self._server.serve_forever, args=[_POLL], name="personasync-sandbox", daemon=True
        ).start()

    def close(self) -> None:
        """Stop listening, break off every connection, and close the books. May be called twice."""
        if self._server is not None:
            self._server.stop()
            self._books.close()

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
        if self._server is None:
            raise RuntimeError("the sandbox was not started")
        return self._server.server_port

    @property
    def base_url(self) -> str:
        """What to use as the API's base."""
        return f"http://{HOST}:{self.port}"

    def personas(self) -> Mapping[str, MadePersona]:
        """Return what the books hold, by ``audioId``, the work of earlier runs included."""
        return self._books.personas()

    def reply(self, request: Request) -> Reply:
        """Decide what a request is answered; called from the threads that answer."""
        return self._service.reply(request)

    def log(self, exchange: Exchange) -> None:
        """Pass on one line for the log."""
        if self._log is not None:
            with self._log_lock:
                self._log(exchange)


class _Server(ThreadingHTTPServer):
    """Accepts connections, one thread each, and breaks them off when it is stopped."""

    request_queue_size = 1024
    allow_reuse_address = os.name == "posix"  # elsewhere it would share a port in use
    allow_reuse_port = False

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.closing = threading.Event()
        self._connections: set[Any] = set()
        super().__init__((HOST, sandbox.config.port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the resolver for the host's name, which may take its time."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, self.allow_reuse_address)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember a connection, so that it can be broken off."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection without the orderly FIN first: a reset must be nothing but one."""
        self._connections.discard(request)
        request.close()

    def stop(self) -> None:
        """Stop listening and break off every connection."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        for connection in self._connections.copy():
            with suppress(OSError):  # it was closed just now
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """Keep quiet about clients that are gone; anything else is a bug of ours."""
        if not isinstance(sys.exception(), OSError):
            _logger.exception("the sandbox failed")


def _wire(reply: Reply, errors_in_body: bool) -> Wire | None:
    """Return what goes over the wire; ``None`` is a reset."""
    wire = Wire(SUCCESS)
    if answer := reply.answer:
        headers = {"Content-Type": "application/json"}
        if answer.retry_after is not None:
            headers["Retry-After"] = str(answer.retry_after)
        status = SUCCESS if errors_in_body else answer.code
        wire = Wire(status, answer.code, answer.body(), headers)
    if reply.fault is None:
        return wire
    return EFFECTS[reply.fault.kind].distort(wire, reply.fault)


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, delivers the replies, as well or badly as is asked."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def handle_one_request(self) -> None:
        """Read one request and deliver the reply."""
        self.command = self.path = ""
        self.raw_requestline = self.rfile.readline(MAX_LINE + 1)
        if not self.raw_requestline:
            self.close_connection = True
        elif len(self.raw_requestline) > MAX_LINE:
            self.send_error(414)
        elif self.parse_request():
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = read_body(self.rfile, headers)
            if not isinstance(body, bytes):
                self.close_connection = True  # what is left of it would be read as a request
            self._answer(Request(self.command, self.path, headers, body))

    def _answer(self, request: Request) -> None:
        """Deliver the reply after the latency, and log it, whether or not it got through."""
        arrived = time.monotonic()
        sandbox = self.server.sandbox
        reply = sandbox.reply(request)
        wire = _wire(reply, sandbox.config.errors_in_body)
        first = sandbox.config.first_latency if reply.made else None
        latency = sandbox.config.latency if first is None else first
        if self.server.closing.wait(max(0.0, arrived + latency - time.monotonic())):
            self.close_connection = True
            return
        try:
            if wire is None:
                self._reset()
            else:
                self._send(wire)
        finally:
            sandbox.log(
                Exchange(
                    method=request.method,
                    path=request.target,
                    status=wire.status if wire else None,
                    code=wire.code if wire else None,
                    audio_id=reply.audio_id,
                    fault=reply.fault.name if reply.fault else None,
                )
            )

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close_connection = True

    def _send(self, wire: Wire) -> None:
        self.send_response(wire.status, _REASONS.get(wire.status))
        self.send_header("X-Personasync-Sandbox", "1")
        for name, value in wire.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(wire.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if wire.cut is not None:
            self.wfile.write(wire.body[: wire.cut])
            self.close_connection = True
        elif wire.drip:
            self._drip(wire.body)
        elif self.command != "HEAD":
            self.wfile.write(wire.body)
        self.wfile.flush()

    def _drip(self, body: bytes) -> None:
        for position in range(len(body)):
            self.wfile.flush()
            if self.server.closing.wait(self.server.sandbox.config.drip):
                self.close_connection = True
                return
            self.wfile.write(body[position : position + 1])

    def handle_expect_100(self) -> bool:
        """Tell the client at once to go on with the body."""
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not HTTP in the API's envelope, and close."""
        self.close_connection = True
        self.request_version = self.protocol_version
        refusal = Answer(code, message or explain or "not HTTP")
        self._answer(Request(self.command or "", self.path, {}, refusal))

    def version_string(self) -> str:
        """Say in the ``Server`` header who answers."""
        return "personasync-sandbox"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing; the log is the one that :class:`Sandbox` was given."""
