"""A server that misbehaves on purpose: raw sockets that play a script, one behaviour a request.

A behaviour is a function of the ``Talk`` it is to spoil; the functions below
make the common ones. The server keeps every byte that it saw, so a test can
assert what was sent, how often, and over how many connections.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import select
import socket
import ssl
import struct
import termios
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

CERTIFICATES = Path(__file__).parents[1] / "unit" / "api" / "certificates"

_TICK = 0.02


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    connection: int
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON body."""
        fields: dict[str, Any] = json.loads(self.body)
        return fields


class _Gone(Exception):
    """The client has closed, or the server is closing."""


class Talk:
    """One connection as the server has it; ``request`` is the one being answered."""

    def __init__(self, server: NastyServer, sock: socket.socket, number: int) -> None:
        self.server = self._server = server
        self.sock = sock
        self.number = number
        self.seen = bytearray()
        self.open = True
        self._unread = b""
        self._request: Received | None = None
        sock.setblocking(False)

    def receive_head(self) -> bytes:
        """Read up to the empty line that ends the headers, and leave the rest unread."""
        while b"\r\n\r\n" not in self._unread:
            self._unread += self._recv()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        return head

    def receive(self) -> Received:
        """Read the whole request; asked again in the same turn, return the same."""
        if self._request is None:
            first, *lines = self.receive_head().decode("latin-1").split("\r\n")
            method, target, _version = first.split(" ")
            headers = {
                name.strip().title(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            length = int(headers.get("Content-Length", "0"))
            while len(self._unread) < length:
                self._unread += self._recv()
            body, self._unread = self._unread[:length], self._unread[length:]
            self._request = Received(self.number, method, target, headers, body)
            self._server.requests.append(self._request)
        return self._request

    def send(self, data: bytes) -> None:
        """Send all, unless the client has gone."""
        while data:
            self._wait(write=True)
            try:
                data = data[self.sock.send(data) :]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                continue
            except OSError as error:
                raise _Gone from error

    def pump(self, other: socket.socket) -> None:
        """Pass bytes on in both directions until one side ends."""
        while True:
            ready = select.select([self.sock, other], [], [], _TICK)[0]
            self._raise_if_closing()
            if self.sock in ready:
                other.sendall(self._recv())
            if other in ready:
                data = other.recv(65536)
                if not data:
                    return
                self.send(data)

    def sleep(self, seconds: float) -> None:
        """Do nothing for a while, unless the server is closed."""
        if self._server.closing.wait(seconds):
            raise _Gone

    def wait_until_gone(self) -> None:
        """Hold the connection until the client gives up."""
        while True:
            self._recv()

    def wait_until_delivered(self) -> None:
        """Return once all that was sent is where the client reads it; there no reset undoes it."""
        while any(fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4))):
            self.sleep(0.001)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """End the connection."""
        self.open = False
        self.sock.close()

    def wait_for_bytes(self) -> None:
        """Return once there is something to read; raise when there never will be."""
        while not self._unread:
            self._unread += self._recv()

    def next_turn(self) -> None:
        """Forget the request that was answered."""
        self._request = None

    def _recv(self) -> bytes:
        while True:
            if not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
                self._wait()
            try:
                data = self.sock.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                continue
            except OSError as error:
                raise _Gone from error
            if not data:
                raise _Gone
            self.seen += data
            return data

    def _wait(self, write: bool = False) -> None:
        sockets = [self.sock]
        while True:
            self._raise_if_closing()
            readable, writable, _ = select.select(
                [] if write else sockets, sockets if write else [], [], _TICK
            )
            if readable or writable:
                return

    def _raise_if_closing(self) -> None:
        if self._server.closing.is_set():
            raise _Gone


Behaviour: TypeAlias = Callable[[Talk], None]


class NastyServer:
    """Plays its behaviours, one a request over all connections; the last one for ever.

    With ``certificate``, a file of ``CERTIFICATES``, it speaks TLS. ``greet``
    is called with each connection before anything else, TLS included.
    """

    def __init__(
        self,
        *behaviours: Behaviour,
        certificate: str | None = None,
        greet: Behaviour | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self._script = list(behaviours)
        self._greet = greet
        self._tls = _tls_context(certificate) if certificate else None
        self._guard = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.requests: list[Received] = []
        self.talks: list[Talk] = []
        self.failures: list[BaseException] = []
        self.refused_handshakes = 0
        self.closing = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.socket(family)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind((host, 0))
        self._listening.listen(128)
        self.port: int = self._listening.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if certificate else 'http'}://{name}:{self.port}"
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if self.failures and error is None:
            raise self.failures[0]

    def close(self) -> None:
        """Stop, and end every connection."""
        self.closing.set()
        for thread in list(self._threads):
            thread.join(10)
        self._listening.close()

    @property
    def connections(self) -> int:
        """How many connections there were."""
        return len(self.talks)

    @property
    def seen(self) -> bytes:
        """Every byte that clients sent, connection by connection."""
        return b"".join(bytes(talk.seen) for talk in self.talks)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.closing.is_set():
            if not select.select([self._listening], [], [], _TICK)[0]:
                continue
            sock, _ = self._listening.accept()
            talk = Talk(self, sock, len(self.talks) + 1)
            self.talks.append(talk)
            self._start(self._serve, talk)

    def _serve(self, talk: Talk) -> None:
        try:
            if self._greet is not None:
                self._greet(talk)
            if talk.open and self._secure(talk):
                self._play(talk)
        except _Gone:
            pass
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            self.failures.append(error)
        finally:
            talk.sock.close()

    def _secure(self, talk: Talk) -> bool:
        if self._tls is None:
            return True
        talk.sock.settimeout(10)
        try:
            talk.sock = self._tls.wrap_socket(talk.sock, server_side=True)
        except OSError:
            self.refused_handshakes += 1
            return False
        talk.sock.setblocking(False)
        return True

    def _play(self, talk: Talk) -> None:
        while talk.open:
            talk.wait_for_bytes()
            self._next()(talk)
            talk.next_turn()

    def _next(self) -> Behaviour:
        with self._guard:
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]


def _tls_context(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / certificate)
    return context


def by_audio(behaviours: Mapping[str, Behaviour], otherwise: Behaviour) -> Behaviour:
    """Behave as the request's ``audioId`` says."""

    def behave(talk: Talk) -> None:
        behaviours.get(talk.receive().fields["audioId"], otherwise)(talk)

    return behave


def answer(
    body: bytes | str = b"",
    status: int = 200,
    *,
    headers: Iterable[tuple[str, str]] = (),
    reason: str = "Said",
    length: int | None = None,
    chunked: bool = False,
    close: bool = False,
) -> Behaviour:
    """Read the request and answer it; ``length`` claims another length than the body has."""
    data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        data = b"".join(chunk(data[at : at + 7]) for at in range(0, len(data), 7)) + chunk(b"")
    elif status != 204:
        lines.append(f"Content-Length: {len(data) if length is None else length}")
    return raw("\r\n".join([*lines, "", ""]).encode("latin-1") + data, close=close)


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body; the empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def says(
    code: object, msg: object = "", data: object = None, *, status: int = 200, **options: Any
) -> Behaviour:
    """Answer as the API does."""
    body = json.dumps({"code": code, "msg": msg, "data": data})
    return answer(body, status, **options)


def created(persona_id: object, **options: Any) -> Behaviour:
    """Answer with success and an ID."""
    return says(
        200, "success", {"personaId": persona_id, "name": "n", "description": "d"}, **options
    )


def creates() -> Behaviour:
    """Answer each request with the ID ``id-of-`` and its audio."""

    def behave(talk: Talk) -> None:
        created(f"id-of-{talk.receive().fields['audioId']}")(talk)

    return behave


def raw(data: bytes, *, close: bool = True) -> Behaviour:
    """Read the request and send these bytes, whatever they are."""

    def behave(talk: Talk) -> None:
        talk.receive()
        talk.send(data)
        if close:
            talk.close()

    return behave


def hang_up(talk: Talk) -> None:
    """Read the request and close without a word."""
    talk.receive()
    talk.close()


def reset_at_once(talk: Talk) -> None:
    """Reset the connection with nothing read."""
    talk.reset()


def reset_after_headers(talk: Talk) -> None:
    """Read the headers and reset."""
    talk.receive_head()
    talk.reset()


def reset_after_body(talk: Talk) -> None:
    """Read the whole request and reset."""
    talk.receive()
    talk.reset()


def silence(talk: Talk) -> None:
    """Read the request and never answer."""
    talk.receive()
    talk.wait_until_gone()


def sit_there(talk: Talk) -> None:
    """Read nothing and say nothing, as long as the server lives."""
    talk.sleep(600)


def drip(start: bytes, data: bytes, every: float = 0.05) -> Behaviour:
    """Send ``start``, then ``data`` byte by byte, for ever from its beginning."""

    def behave(talk: Talk) -> None:
        talk.receive()
        talk.send(start)
        while True:
            for at in range(len(data)):
                talk.send(data[at : at + 1])
                talk.sleep(every)

    return behave


def flood(start: bytes, more: bytes) -> Behaviour:
    """Send ``start``, then ``more`` without an end."""

    def behave(talk: Talk) -> None:
        talk.receive()
        talk.send(start)
        while True:
            talk.send(more)

    return behave


def cut_off(data: bytes) -> Behaviour:
    """Send a part of an answer and reset."""

    def behave(talk: Talk) -> None:
        talk.receive()
        talk.send(data)
        talk.wait_until_delivered()
        talk.reset()

    return behave


def tunnel_to(port: int) -> Behaviour:
    """Be a proxy that connects every CONNECT to one port of this machine."""

    def behave(talk: Talk) -> None:
        request = talk.receive()
        if request.method != "CONNECT":
            answer("only CONNECT", 400, close=True)(talk)
            return
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            talk.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            talk.pump(upstream)
        talk.close()

    return behave


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port of this machine that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextlib.contextmanager
def never_accepting() -> Iterator[int]:
    """Yield a port whose queue is full, so that no connection to it is ever made."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
