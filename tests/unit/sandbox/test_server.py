"""The sandbox over real sockets."""

import contextlib
import http.client
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from personasync.model.units import Rate
from personasync.sandbox import Exchange, Fault, FaultKind, SandboxConfig, SandboxError
from personasync.sandbox.body import MAX_BODY
from personasync.sandbox.contract import refusal
from personasync.sandbox.server import Log
from tests.helpers.sandbox import Sandbox

GENERATE = "/api/v1/generate/generate-persona"
CREDIT = "/api/v1/generate/credit"
NO_LENGTH = "the body must come in chunks or with its Content-Length"
GOOD = {"taskId": "t", "audioId": "a1", "name": "N", "description": "D"}

Start = Callable[..., Sandbox]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start sandboxes that end with the test."""
    started = []

    def start_one(log: Log | None = None, **config: Any) -> Sandbox:
        sandbox = Sandbox(SandboxConfig(**config), log=log)
        sandbox.start()
        started.append(sandbox)
        return sandbox

    yield start_one
    for sandbox in started:
        sandbox.close()


class Reply:
    """An answer that was read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def connect(sandbox: Sandbox) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=10)


def send(connection: http.client.HTTPConnection, audio_id: str = "a1") -> Reply:
    body = json.dumps({**GOOD, "audioId": audio_id})
    connection.request("POST", GENERATE, body, {"Authorization": "Bearer secret"})
    return Reply(connection.getresponse())


def post(sandbox: Sandbox, audio_id: str = "a1") -> Reply:
    with closing(connect(sandbox)) as connection:
        return send(connection, audio_id)


def until(condition: Callable[[], bool]) -> None:
    """Return once it is so; the time-out of every test is the bound."""
    while not condition():
        time.sleep(0.001)


def raw(sandbox: Sandbox, data: bytes) -> bytes:
    """Send bytes and return all that comes back until the sandbox closes."""
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_an_answer_in_full(start: Start) -> None:
    sandbox = start()
    reply = post(sandbox)
    persona = sandbox.personas()["a1"]
    assert reply.status == 200
    assert reply.json == {
        "code": 200,
        "msg": "success",
        "data": {"personaId": persona.persona_id, "name": "N", "description": "D"},
    }
    assert {name: value for name, value in reply.headers.items() if name != "Date"} == {
        "Server": "personasync-sandbox",
        "X-Personasync-Sandbox": "1",
        "Content-Type": "application/json",
        "Content-Length": str(len(reply.body)),
    }


def test_it_listens_on_loopback_only(start: Start) -> None:
    sandbox = start()
    assert sandbox.base_url == f"http://127.0.0.1:{sandbox.port}"
    with socket.socket() as other, pytest.raises(OSError):
        other.connect(("127.0.0.2", sandbox.port))


def test_a_connection_is_kept_for_many_requests(start: Start) -> None:
    sandbox = start()
    with closing(connect(sandbox)) as connection:
        connection.connect()
        first = connection.sock
        codes = [send(connection, audio_id).json["code"] for audio_id in ("a1", "a1", "broken")]
        assert connection.sock is first
    assert codes == [200, 409, 500]


@pytest.mark.parametrize(("errors_in_body", "status"), [(False, 404), (True, 200)])
def test_an_error_stands_in_the_status_or_only_in_the_body(
    start: Start, errors_in_body: bool, status: int
) -> None:
    response = requests.get(f"{start(errors_in_body=errors_in_body).base_url}/x", timeout=10)
    assert response.status_code == status
    assert response.json() == {
        "code": 404,
        "msg": "The requested resource or endpoint does not exist",
        "data": None,
    }


def test_a_code_of_the_apis_own_is_a_status(start: Start) -> None:
    reply = post(start(), "maintenance")
    assert (reply.status, reply.json["code"]) == (455, 455)


def test_a_rate_limited_answer_says_when_to_retry(start: Start) -> None:
    sandbox = start(rate_limit=Rate(1, 30.0))
    assert post(sandbox, "a1").status == 200
    reply = post(sandbox, "a2")
    assert (reply.status, reply.headers["Retry-After"]) == (429, "30")


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER])
def test_a_reset_is_nothing_but_a_reset(start: Start, kind: FaultKind) -> None:
    log: list[Exchange] = []
    sandbox = start(log=log.append, faults=(Fault(kind),))
    with pytest.raises(ConnectionResetError):
        post(sandbox)
    assert ("a1" in sandbox.personas()) is (kind is FaultKind.RESET_AFTER)
    until(lambda: bool(log))
    assert log == [Exchange("POST", GENERATE, None, None, "a1", kind.value)]


def test_garbage_is_a_page_with_status_200(start: Start) -> None:
    sandbox = start(faults=(Fault(FaultKind.GARBAGE),))
    reply = post(sandbox)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html")
    assert reply.body.startswith(b"<html>")
    assert "a1" in sandbox.personas()


def test_a_cut_off_answer_ends_in_its_middle(start: Start) -> None:
    sandbox = start(faults=(Fault(FaultKind.CUT_OFF),))
    with pytest.raises(http.client.IncompleteRead) as caught:
        post(sandbox)
    whole = json.dumps(
        {
            "code": 200,
            "msg": "success",
            "data": {
                "personaId": sandbox.personas()["a1"].persona_id,
                "name": "N",
                "description": "D",
            },
        }
    ).encode()
    assert caught.value.partial == whole[: len(whole) // 2]
    assert caught.value.expected == len(whole) - len(whole) // 2


def test_a_slow_answer_drips_and_is_whole(start: Start) -> None:
    sandbox = start(faults=(Fault(FaultKind.SLOW),), drip=0.001)
    began = time.monotonic()
    reply = post(sandbox)
    assert time.monotonic() - began >= 0.001 * len(reply.body)
    assert reply.json["data"]["personaId"] == sandbox.personas()["a1"].persona_id


def test_a_redirect_leads_to_the_trap(start: Start) -> None:
    sandbox = start(faults=(Fault(FaultKind.REDIRECT),))
    headers = {"Authorization": "Bearer secret"}
    response = requests.post(sandbox.base_url + GENERATE, json=GOOD, headers=headers, timeout=10)
    assert [seen.status_code for seen in response.history] == [302]
    assert response.url == f"{sandbox.base_url}/redirected"
    statistics = sandbox.statistics()
    assert (statistics.redirects_followed, statistics.keys_leaked) == (1, 1)
    assert sandbox.personas() == {}


def test_latency_passes_before_an_answer(start: Start) -> None:
    sandbox = start(latency=0.3)
    began = time.monotonic()
    post(sandbox)
    assert time.monotonic() - began >= 0.3


def test_answers_are_parallel(start: Start) -> None:
    """All are at work before the first has its answer: the log gets a line with each answer."""
    log: list[Exchange] = []
    sandbox = start(log=log.append, latency=60.0)

    def ask(audio_id: str) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            post(sandbox, audio_id)

    threads = [threading.Thread(target=ask, args=(f"a{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(sandbox.personas()) == 8)
    assert log == []
    sandbox.close()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("request_", "status", "msg"),
    [
        (b"POST %s HTTP/1.1\r\n", b"422", "the body is missing"),
        (b"POST %s HTTP/1.0\r\n", b"422", "the body is missing"),
        (
            b"POST %s HTTP/1.1\r\nContent-Length: -1\r\n",
            b"422",
            NO_LENGTH,
        ),
        (
            b"POST %s HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n",
            b"422",
            NO_LENGTH,
        ),
        (
            b"POST %s HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n",
            b"422",
            NO_LENGTH,
        ),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    start: Start, request_: bytes, status: bytes, msg: str
) -> None:
    head = request_ % GENERATE.encode() + b"Authorization: Bearer k\r\nConnection: close\r\n\r\n"
    answer = raw(start(), head)
    assert answer.split()[1] == status
    said = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert said == {"code": 422, "msg": refusal(422, msg).msg, "data": None}


def test_a_body_too_long_is_refused_once_it_is_read(start: Start) -> None:
    with closing(connect(start())) as connection:
        connection.request("POST", GENERATE, b" " * (MAX_BODY + 1))
        reply = Reply(connection.getresponse())
    assert (reply.status, reply.json["code"], reply.headers["Connection"]) == (413, 413, "close")
    assert reply.json["msg"] == "The text is too long: the body is longer than 1048576 bytes"


CHUNKED = b"POST %s HTTP/1.1\r\nAuthorization: Bearer k\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("chunks", "code"),
    [
        (b"5;a=b\r\n%.5s\r\nFF\r\n%b\r\n0\r\nTrailer: x\r\n\r\n", 200),
        (b"0\r\n\r\n", 422),
        (b"x\r\n", 422),
        (b"-5\r\n", 422),
        (b"1\r\n{}\r\n0\r\n\r\n", 422),
    ],
)
def test_a_body_may_come_in_chunks(start: Start, chunks: bytes, code: int) -> None:
    body = json.dumps(GOOD).encode().ljust(260)
    data = chunks % (body[:5], body[5:]) if b"%" in chunks else chunks
    with socket.create_connection(("127.0.0.1", start().port), timeout=10) as connection:
        connection.sendall(CHUNKED % GENERATE.encode() + data)
        assert connection.recv(65536).startswith(b"HTTP/1.1 %d " % code)


def test_a_chunked_body_too_long_is_refused_once_it_is_read(start: Start) -> None:
    piece = b" " * 100_000
    with closing(connect(start())) as connection:
        connection.request("POST", GENERATE, iter([piece] * 20), encode_chunked=True)
        assert Reply(connection.getresponse()).status == 413


def test_only_the_answer_that_makes_a_persona_may_take_its_time(start: Start) -> None:
    sandbox = start(first_latency=60.0)
    with closing(connect(sandbox)) as connection:
        connection.request("POST", GENERATE, json.dumps(GOOD), {"Authorization": "Bearer k"})
        until(lambda: "a1" in sandbox.personas())
        assert post(sandbox).status == 409


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01 not http at all\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_not_http_gets_the_envelope_too(start: Start, data: bytes, code: int) -> None:
    sandbox = start()
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as connection:
        connection.sendall(data)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 %d " % code)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == code
    assert sandbox.statistics().refused == {code: 1}


def test_head_gets_no_body(start: Start) -> None:
    response = requests.head(f"{start().base_url}/", timeout=10)
    assert (response.status_code, response.content) == (404, b"")


def test_a_client_that_expects_to_be_asked_for_the_body_is_asked(start: Start) -> None:
    sandbox = start()
    body = json.dumps(GOOD).encode()
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as connection:
        connection.sendall(
            b"POST %s HTTP/1.1\r\nExpect: 100-continue\r\nAuthorization: Bearer k\r\n"
            b"Content-Length: %d\r\n\r\n" % (GENERATE.encode(), len(body))
        )
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_request_through_a_proxy_style_target_is_understood(start: Start) -> None:
    sandbox = start()
    answer = raw(
        sandbox,
        b"GET http://any.example%s HTTP/1.1\r\nAuthorization: Bearer k\r\nConnection: close\r\n\r\n"
        % CREDIT.encode(),
    )
    assert answer.endswith(b'{"code": 200, "msg": "success", "data": 1000000}')


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"POST /",
        b"POST %s HTTP/1.1\r\nContent-Le" % GENERATE.encode(),
        b"POST %s HTTP/1.1\r\nAuthorization: Bearer k\r\nContent-Length: 999\r\n\r\n{}"
        % GENERATE.encode(),
    ],
)
def test_a_client_that_leaves_early_causes_nothing(
    start: Start, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    sandbox = start()
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as connection:
        connection.sendall(data)
    post(sandbox)
    sandbox.close()
    assert list(sandbox.statistics().audios) == ["a1"]
    assert capfd.readouterr() == ("", "")


def test_a_client_that_leaves_before_the_answer_is_no_error(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    log: list[Exchange] = []
    sandbox = start(log=log.append, latency=0.2)
    body = json.dumps(GOOD).encode()
    head = b"POST %s HTTP/1.1\r\nAuthorization: Bearer k\r\nContent-Length: %d\r\n\r\n"
    linger = b"\x01\0\0\0\0\0\0\0"
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.sendall(head % (GENERATE.encode(), len(body)) + body)
        until(lambda: "a1" in sandbox.personas())
    post(sandbox, "a2")
    until(lambda: len(log) == 2)  # an answer is logged when it has left, or has not
    sandbox.close()
    assert {entry.audio_id for entry in log} == {"a1", "a2"}
    assert capfd.readouterr() == ("", "")


def test_a_bug_of_its_own_is_told_to_the_log_of_the_program(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_entry: Exchange) -> None:
        raise ZeroDivisionError

    sandbox = start(log=broken)
    post(sandbox)
    until(lambda: bool(caplog.records))
    sandbox.close()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "the sandbox failed")
    ]


def test_every_answer_is_logged(start: Start) -> None:
    log: list[Exchange] = []
    sandbox = start(log=log.append, errors_in_body=True)
    with closing(connect(sandbox)) as connection:
        send(connection)
        send(connection)
        connection.request("GET", "/x?y=1")
        connection.getresponse().read()
    until(lambda: len(log) == 3)
    sandbox.close()
    assert log == [
        Exchange("POST", GENERATE, 200, 200, "a1", None),
        Exchange("POST", GENERATE, 200, 409, "a1", None),
        Exchange("GET", "/x?y=1", 200, 404, None, None),
    ]


def test_what_was_made_is_known_to_the_next_run(start: Start, tmp_path: Path) -> None:
    books = tmp_path / "books.db"
    first = start(books=books)
    persona_id = post(first).json["data"]["personaId"]
    first.close()
    assert post(start(books=books)).status == 409
    assert post(start(books=books, repeat="same-id")).json["data"]["personaId"] == persona_id


KILLED = """
import json, os, signal, sys, urllib.request
from pathlib import Path
from personasync.sandbox import Sandbox, SandboxConfig
sandbox = Sandbox(SandboxConfig(books=Path(sys.argv[1])))
sandbox.start()
request = urllib.request.Request(
    sandbox.base_url + "/api/v1/generate/generate-persona",
    data=json.dumps({"taskId": "t", "audioId": "a1", "name": "N", "description": "D"}).encode(),
    headers={"Authorization": "Bearer k"},
)
with urllib.request.urlopen(request) as response:
    print(json.load(response)["data"]["personaId"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_answered_survives_a_kill_of_the_process(start: Start, tmp_path: Path) -> None:
    books = tmp_path / "books.db"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(books)], capture_output=True, text=True, check=False
    )
    assert (killed.returncode, killed.stderr) == (-9, "")
    assert start(books=books).personas()["a1"].persona_id == killed.stdout.strip()


def test_a_port_that_is_taken_is_an_error_with_a_hint(start: Start) -> None:
    taken = start().port
    with pytest.raises(SandboxError) as caught:
        start(port=taken)
    assert caught.value.message == (
        f"The sandbox cannot listen on 127.0.0.1:{taken}: Address already in use"
    )
    assert caught.value.hint == "Choose another port, or 0 for any free one."


def test_a_port_that_is_none_is_an_error() -> None:
    with pytest.raises(SandboxError, match="65536: no such port"):
        Sandbox(SandboxConfig(port=65536)).start()


def test_books_that_cannot_be_read_stop_it_from_starting(start: Start, tmp_path: Path) -> None:
    books = tmp_path / "books.db"
    books.write_text("notes\n")
    with pytest.raises(SandboxError):
        start(books=books)


def test_a_fixed_port_is_free_again_after_close(start: Start) -> None:
    first = start()
    with closing(connect(first)) as connection:
        send(connection)
        first.close()
        assert post(start(port=first.port)).status == 200


def test_close_breaks_off_what_is_under_way(start: Start) -> None:
    sandbox = start(latency=60.0)
    outcome: list[type[Exception]] = []

    def ask() -> None:
        try:
            post(sandbox)
        except (OSError, http.client.HTTPException) as error:
            outcome.append(type(error))

    asking = threading.Thread(target=ask)
    idle = socket.create_connection(("127.0.0.1", sandbox.port))
    asking.start()
    until(lambda: bool(sandbox.personas()))
    began = time.monotonic()
    sandbox.close()
    sandbox.close()
    asking.join()
    assert time.monotonic() - began < 30
    assert outcome == [http.client.RemoteDisconnected]
    with idle:
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        post(sandbox)


def test_close_breaks_off_a_drip(start: Start) -> None:
    sandbox = start(faults=(Fault(FaultKind.SLOW),), drip=60.0)
    with closing(connect(sandbox)) as connection:
        connection.request("POST", GENERATE, json.dumps(GOOD), {"Authorization": "Bearer k"})
        response = connection.getresponse()
        sandbox.close()
        with pytest.raises(http.client.IncompleteRead):
            response.read()


def test_it_is_a_context_manager_that_starts_once() -> None:
    with Sandbox() as sandbox:
        assert post(sandbox).status == 200
        with pytest.raises(RuntimeError, match="started before"):
            sandbox.start()
    assert list(sandbox.personas()) == ["a1"]


def test_before_the_start_there_is_nothing_to_ask() -> None:
    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match="not started"):
        _ = sandbox.base_url
    sandbox.close()


def test_hundreds_of_clients_at_once_are_all_answered(start: Start) -> None:
    sandbox = start(latency=0.2)
    connections = [connect(sandbox) for _ in range(200)]
    for number, connection in enumerate(connections):
        body = json.dumps({**GOOD, "audioId": f"a{number}"})
        connection.request("POST", GENERATE, body, {"Authorization": "Bearer k"})
    assert {connection.getresponse().status for connection in connections} == {200}
    for connection in connections:
        connection.close()
    assert sandbox.statistics().made == 200
