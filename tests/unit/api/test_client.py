"""The client against servers that do everything wrong, over real sockets."""

from __future__ import annotations

import gzip
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from personasync import __version__
from personasync.api import transport
from personasync.api.client import HttpApi
from personasync.api.key import ApiKey
from personasync.model.outcome import (
    Conflict,
    Created,
    Moved,
    NotSent,
    Outcome,
    Refused,
    Throttled,
    Unclear,
)
from personasync.model.persona import PersonaRequest
from tests.helpers.nasty import (
    CERTIFICATES,
    Behaviour,
    NastyServer,
    Talk,
    answer,
    chunk,
    closed_port,
    created,
    creates,
    cut_off,
    drip,
    flood,
    hang_up,
    never_accepting,
    raw,
    reset_after_body,
    reset_after_headers,
    reset_at_once,
    says,
    silence,
)
from tests.unit.api.said import body_of, plainly, unclear

KEY = "sk-4f9a1c7e2b8d6053"
REQUEST = PersonaRequest("task-1", "audio-1", "Näme", "A warm voice", 0, 30.5, "Soul")
OK_BODY = json.dumps({"code": 200, "msg": "success", "data": {"personaId": "a1b2"}}).encode()
OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(OK_BODY)
CLOSED = "the connection was closed before the answer was whole"
CUT_OFF = "the answer was cut off"
NO_OBJECT = "the answer is not a JSON object"
TOO_LONG = "the answer is longer than 1 MiB"


def api(url: str, *, connect: float = 60.0, read: float = 60.0, key: str = KEY) -> HttpApi:
    return HttpApi(url, ApiKey(key), connect_timeout=connect, read_timeout=read)


def outcome_of(*behaviours: Behaviour, **options: Any) -> Outcome:
    with NastyServer(*behaviours) as server:
        outcome = api(server.url, **options).create(REQUEST)
        assert len(server.requests) <= 1, "one call is one request"
    return outcome


# What is sent.


def test_the_request_is_the_contract_s_to_the_letter() -> None:
    with NastyServer(created("a1b2")) as server:
        assert api(server.url).create(REQUEST) == Created("a1b2")
    [request] = server.requests
    assert (request.method, request.target) == ("POST", "/api/v1/generate/generate-persona")
    assert dict(request.headers) == {
        "Host": f"127.0.0.1:{server.port}",
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Content-Length": str(len(request.body)),
        "User-Agent": f"personasync/{__version__}",
    }
    assert request.fields == {
        "taskId": "task-1",
        "audioId": "audio-1",
        "name": "Näme",
        "description": "A warm voice",
        "vocalStart": 0,
        "vocalEnd": 30.5,
        "style": "Soul",
    }
    assert isinstance(request.fields["vocalStart"], int)


def test_fields_that_were_not_given_are_not_sent() -> None:
    with NastyServer(created("a1b2")) as server:
        api(server.url).create(PersonaRequest("t", "a", "n", "d"))
    assert server.requests[0].fields == {
        "taskId": "t",
        "audioId": "a",
        "name": "n",
        "description": "d",
    }


def test_a_base_with_a_path_keeps_it() -> None:
    with NastyServer(created("a1b2")) as server:
        api(f"{server.url}/gateway/v2").create(REQUEST)
    assert server.requests[0].target == "/gateway/v2/api/v1/generate/generate-persona"


@pytest.mark.parametrize("text", ["\ud800", "\x00\x1b[31m", "🎙️" * 50_000, "\r\nX-Evil: 1"])
def test_any_text_goes_out_as_json(text: str) -> None:
    with NastyServer(created("a1b2")) as server:
        api(server.url).create(PersonaRequest("t", "a", "n", text))
    assert server.requests[0].fields["description"] == text
    assert "X-Evil" not in server.requests[0].headers


def test_ipv6() -> None:
    with NastyServer(created("a1b2"), host="::1") as server:
        assert api(server.url).create(REQUEST) == Created("a1b2")


# What comes back.


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (created("a1b2"), Created("a1b2")),
        (created("a1b2", chunked=True), Created("a1b2")),
        (created("a1b2", status=500), Created("a1b2")),
        (raw(OK_HEAD + b"\r\n" + OK_BODY), Created("a1b2")),
        (raw(b"HTTP/1.0 200 OK\r\n\r\n" + OK_BODY), Created("a1b2")),
        (raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK_HEAD + LENGTH + OK_BODY), Created("a1b2")),
        (
            answer(gzip.compress(OK_BODY), headers=[("Content-Encoding", "gzip")]),
            Created("a1b2"),
        ),
        (
            answer(zlib.compress(OK_BODY), headers=[("Content-Encoding", "deflate")], chunked=True),
            Created("a1b2"),
        ),
        (answer(b"\xef\xbb\xbf" + OK_BODY), Created("a1b2")),
        (answer(OK_BODY, headers=[("Content-Type", "text/html; charset=utf-16")]), Created("a1b2")),
        (says(409, "exists"), Conflict(409, "exists")),
        (says(409, "exists", status=409), Conflict(409, "exists")),
        (answer(status=409), Conflict(409, "")),
        (answer(status=404), Refused(404, "")),
        (says(422, "bad name"), Refused(422, "bad name")),
        (says(401, "who?", status=401), Refused(401, "who?", stops_run=True)),
        (says(429, "slow", headers=[("retry-AFTER", "3")]), Throttled(429, "slow", 3.0)),
        (answer(status=429, headers=[("Retry-After", "3")]), Throttled(429, "", 3.0)),
        (
            answer(status=503, headers=[("Retry-After", "x"), ("Retry-After", "y")]),
            unclear("the API answered 503", 503),
        ),
        (answer(status=204), unclear("the API answered 204", 204)),
        (answer(), unclear("the answer is not a JSON object", 200)),
        (
            answer(b"<h1>Back soon</h1>"),
            unclear("the answer is not a JSON object", 200, "<h1>Back soon</h1>"),
        ),
        (
            answer(b"<h1>Bad gateway</h1>", 502),
            unclear("the API answered 502", 502, "<h1>Bad gateway</h1>"),
        ),
        (
            answer(b"\xff\xfe\x00"),
            unclear("the answer is not a JSON object", 200, "//4A"),
        ),
        (raw(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), unclear("the API answered 101", 101)),
        (raw(b"HTTP/1.1 999 Who Knows\r\n\r\n"), unclear("the API answered 999", 999)),
    ],
)
def test_answers(behaviour: Behaviour, outcome: Outcome) -> None:
    assert plainly(outcome_of(behaviour)) == plainly(outcome)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (hang_up, CLOSED),
        (reset_after_body, CLOSED),
        (raw(b"\x00\x01\x02\x03\r\n\r\n"), "the answer is not HTTP"),
        (raw(b"SSH-2.0-OpenSSH_9.9\r\n"), "the answer is not HTTP"),
        (raw(b"<html>no status line</html>"), "the answer is not HTTP"),
        (raw(b"HTTP/9.9 200 OK\r\n\r\n"), NO_OBJECT),
        (raw(b"HTTP/1.1 abc OK\r\n\r\n"), "the answer is not HTTP"),
        (raw(b"HTTP/1.1 200 " + b"O" * 70_000 + b"\r\n\r\n"), NO_OBJECT),
        (raw(OK_HEAD + b"X: " + b"y" * 70_000 + b"\r\n\r\n"), NO_OBJECT),
        (raw(OK_HEAD + b"X: y\r\n" * 200 + b"\r\n"), NO_OBJECT),
        (flood(OK_HEAD, b"X: y\r\n" * 100), TOO_LONG),
        (raw(b"HTTP/1.1 200 OK\r\nContent-"), CUT_OFF),
    ],
)
def test_what_is_no_answer_is_unclear(behaviour: Behaviour, reason: str) -> None:
    said = outcome_of(behaviour)
    assert isinstance(said, Unclear)
    assert said.reason == reason


HALF = OK_BODY[: len(OK_BODY) // 2]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (OK_HEAD + LENGTH + HALF, CUT_OFF),
        (OK_HEAD + LENGTH, CUT_OFF),
        (OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(HALF), CUT_OFF),
        (OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(OK_BODY)[:20], CUT_OFF),
        (OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", NO_OBJECT),
        (OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", CUT_OFF),
    ],
)
def test_an_answer_that_is_cut_off_is_unclear_and_kept(data: bytes, reason: str) -> None:
    said = outcome_of(raw(data))
    assert isinstance(said, Unclear)
    assert said.reason == reason
    assert said.code == 200
    assert body_of(said).encode() in OK_BODY or body_of(said) == "zz\r\n"


@pytest.mark.parametrize(
    "data",
    [
        OK_HEAD + b"Content-Length: 5000\r\n\r\n" + OK_BODY,
        OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(OK_BODY),
        OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(OK_BODY) + b"zz\r\n",
        OK_HEAD + b"\r\n" + OK_BODY,
    ],
)
@pytest.mark.parametrize("end", [raw, cut_off])
def test_an_id_that_arrived_whole_counts_whatever_became_of_the_rest(data: bytes, end: Any) -> None:
    assert plainly(outcome_of(end(data)))[:2] == plainly(Created("a1b2"))[:2]


def test_half_an_answer_and_a_reset_is_unclear() -> None:
    said = outcome_of(cut_off(OK_HEAD + LENGTH + HALF))
    assert plainly(said) == plainly(unclear(CLOSED, 200, HALF.decode()))


def test_the_first_4_kib_of_an_answer_are_kept() -> None:
    page = "<p>" + "é" * 10_000
    said = outcome_of(answer(page))
    assert plainly(said) == plainly(unclear(NO_OBJECT, 200, "<p>" + "é" * 2046))


# What is too long.


def test_an_answer_of_two_megabytes_is_given_up_on() -> None:
    body = json.dumps({"code": 200, "data": {"personaId": "a1b2"}, "pad": "x" * (2 << 20)})
    assert plainly(outcome_of(answer(body))) == plainly(unclear(TOO_LONG, 200, body[:4096]))


def test_an_answer_just_short_of_the_limit_is_read() -> None:
    body = json.dumps({"code": 200, "data": {"personaId": "a1b2"}, "pad": "x" * (1_048_000)})
    assert len(body) < transport.ANSWER_LIMIT
    assert outcome_of(answer(body)) == Created("a1b2")


ENDLESS: dict[str, Behaviour] = {
    "body": flood(OK_HEAD + b"\r\n", b"x" * 65536),
    "chunks": flood(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"x" * 65536)),
    "one huge chunk": flood(
        OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n", b"x" * 65536
    ),
    "negative chunk": flood(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n", b"x" * 65536),
    "huge length": flood(OK_HEAD + b"Content-Length: 999999999999\r\n\r\n", b"x" * 65536),
    "error page": flood(b"HTTP/1.1 503 Sorry\r\n\r\n", b"x" * 65536),
    "redirect": flood(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b"x" * 65536),
}


@pytest.mark.parametrize("behaviour", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_answer_is_given_up_on_before_it_fills_the_memory(behaviour: Behaviour) -> None:
    tracemalloc.start()
    try:
        said = outcome_of(behaviour)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(said, Unclear)
    assert said.reason in (TOO_LONG, "the API redirected (302), which is not followed")
    assert "x" * 4000 in body_of(said)
    assert len(body_of(said)) <= 4096
    assert peak < 20 << 20


def test_a_gzip_bomb_is_given_up_on_before_it_fills_the_memory() -> None:
    bomb = gzip.compress(gzip.compress(bytes(64 << 20), 9), 9)
    tracemalloc.start()
    try:
        said = outcome_of(answer(bomb, headers=[("Content-Encoding", "gzip, gzip")]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(said, Unclear)
    assert said.reason == "the answer is longer than 1 MiB"
    assert peak < 50 << 20


# What takes too long. Nothing is timed here; the bound only tells an end from a hang.

SLOW: dict[str, Behaviour] = {
    "silence": silence,
    "headers that drip": drip(b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n"),
    "a status line that drips": drip(b"", b"HTTP/1.1 200 OK"),
    "a body that drips": drip(OK_HEAD + b"Content-Length: 99999\r\n\r\n", b'{"code": 200 '),
    "chunks that drip": drip(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"{")),
    "endless 100 Continue": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "endless trailers": flood(
        OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: 1\r\n" * 100
    ),
    "endless empty gzip": flood(
        OK_HEAD + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"") * 100
    ),
}


@pytest.mark.parametrize("behaviour", SLOW.values(), ids=SLOW)
def test_no_answer_takes_longer_than_the_read_time_out(behaviour: Behaviour) -> None:
    started = time.monotonic()
    said = outcome_of(behaviour, read=0.4)
    assert time.monotonic() - started < 30
    assert isinstance(said, Unclear)
    assert said.reason in ("no whole answer within 0.4s", TOO_LONG)


def test_what_arrived_before_the_silence_is_kept() -> None:
    def stop_halfway(talk: Talk) -> None:
        talk.receive()
        talk.send(OK_HEAD + LENGTH + HALF)
        talk.wait_until_gone()

    said = outcome_of(stop_halfway, read=2)  # enough for the half to arrive
    assert plainly(said) == plainly(unclear("no whole answer within 2s", 200, HALF.decode()))


def test_a_time_out_starts_anew_with_each_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + later)
    monkeypatch.setattr(transport, "time", clock)
    with NastyServer(created("a1b2")) as server:
        client = api(server.url, read=60)
        for _ in range(4):
            assert client.create(REQUEST) == Created("a1b2")
            later += 100


# What was never sent.


def test_a_connection_refused() -> None:
    with closed_port() as port:
        said = api(f"http://127.0.0.1:{port}").create(REQUEST)
    assert said == NotSent("the connection was refused")


def test_a_connection_that_is_never_made() -> None:
    with never_accepting() as port:
        started = time.monotonic()
        said = api(f"http://127.0.0.1:{port}", connect=0.4).create(REQUEST)
    assert time.monotonic() - started < 30
    assert said == NotSent("no connection within 0.4s")


@pytest.mark.parametrize("behaviour", [reset_at_once, reset_after_headers])
def test_a_reset_is_not_sent_only_if_no_byte_of_the_body_was(behaviour: Behaviour) -> None:
    marker = b"A warm voice"
    for _ in range(20):
        with NastyServer(behaviour) as server:
            said = api(server.url).create(REQUEST)
        assert isinstance(said, NotSent | Unclear)
        assert said.reason == CLOSED
        if isinstance(said, NotSent):
            assert marker not in server.seen


def test_a_reset_while_a_long_body_is_sent_is_unclear() -> None:
    request = PersonaRequest("t", "a", "n", "x" * (8 << 20))
    with NastyServer(reset_after_headers) as server:
        said = api(server.url).create(request)
    assert said == unclear(CLOSED)


def test_a_server_that_does_not_read_a_long_body_is_given_up_on() -> None:
    def read_the_headers_only(talk: Talk) -> None:
        talk.receive_head()
        talk.sleep(600)

    request = PersonaRequest("t", "a", "n", "x" * (64 << 20))
    with NastyServer(read_the_headers_only) as server:
        started = time.monotonic()
        said = api(server.url, connect=0.4, read=0.4).create(request)
    assert time.monotonic() - started < 60
    assert isinstance(said, Unclear)


# No connection is used twice: what a server says too late or too often is nobody else's answer.


@pytest.mark.parametrize(
    "behaviour",
    [
        created("a1b2"),
        created("a1b2", chunked=True),
        answer(OK_BODY + b" " * 200_000),
        says(409, "exists", status=409),
        says(429, "slow", headers=[("Retry-After", "0")]),
        answer(b"<h1>Sorry</h1>", 503),
        answer(status=204),
        answer(status=404),
        answer(status=302, headers=[("Location", "/elsewhere")]),
        answer(gzip.compress(OK_BODY), headers=[("Content-Encoding", "gzip")], chunked=True),
    ],
)
def test_each_request_has_a_connection_of_its_own(behaviour: Behaviour) -> None:
    with NastyServer(behaviour) as server:
        client = api(server.url)
        outcomes = {client.create(REQUEST) for _ in range(3)}
    assert len(outcomes) == 1
    assert [request.connection for request in server.requests] == [1, 2, 3]


def test_each_of_several_threads_gets_its_own_answers() -> None:
    barrier = threading.Barrier(3)
    wrong: list[str] = []
    with NastyServer(creates()) as server:
        client = api(server.url)

        def work(number: int) -> None:
            barrier.wait(60)
            for turn in range(3):
                audio = f"audio-{number}-{turn}"
                if client.create(replace(REQUEST, audio_id=audio)) != Created(f"id-of-{audio}"):
                    wrong.append(audio)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(server.requests), wrong) == (9, [])


@pytest.mark.parametrize("code", [100, 102, 103, 199])
def test_any_number_of_interim_answers_may_come_before_the_one_that_counts(code: int) -> None:
    interim = b"HTTP/1.1 %d Wait\r\nX: y\r\n\r\n" % code * 3
    with NastyServer(raw(interim + OK_HEAD + LENGTH + OK_BODY)) as server:
        assert api(server.url).create(REQUEST) == Created("a1b2")


def test_a_change_of_protocol_is_no_answer() -> None:
    with NastyServer(raw(b"HTTP/1.1 101 Switching\r\n\r\n" + OK_HEAD + LENGTH + OK_BODY)) as server:
        said = api(server.url).create(REQUEST)
    assert isinstance(said, Unclear)
    assert said.code == 101


def test_a_connection_that_breaks_sends_nothing_twice() -> None:
    with NastyServer(created("a1b2"), hang_up, created("c3d4")) as server:
        client = api(server.url)
        assert client.create(REQUEST) == Created("a1b2")
        assert client.create(REQUEST) == unclear(CLOSED)
    assert len(server.requests) == 2


def test_what_is_left_of_a_long_answer_is_not_taken_for_the_next() -> None:
    smuggled = OK_HEAD + LENGTH + OK_BODY
    with NastyServer(
        raw(OK_HEAD + b"Content-Length: 2\r\n\r\n{}" + smuggled, close=False), created("c3d4")
    ) as server:
        client = api(server.url)
        said = client.create(REQUEST)
        assert isinstance(said, Unclear)
        assert said.reason == "the answer says success, but holds no personaId"
        assert body_of(said).startswith("{}")
        assert client.create(REQUEST) == Created("c3d4")


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next() -> None:
    given_up, answered = threading.Event(), threading.Event()

    def answer_late(talk: Talk) -> None:
        talk.receive()
        given_up.wait(60)
        try:
            created("of-the-first")(talk)
        finally:  # it may find that nobody listens any more
            answered.set()

    with NastyServer(answer_late, created("of-the-second")) as server:
        client = api(server.url, read=2)  # enough for the second
        assert client.create(REQUEST) == Unclear("no whole answer within 2s", late=True)
        given_up.set()
        assert answered.wait(60)
        assert client.create(REQUEST) == Created("of-the-second")
    assert [request.connection for request in server.requests] == [1, 2]


# A process that is stopped, and a machine that sleeps.


_STOPPED = """
import sys
from personasync.api.client import HttpApi
from personasync.api.key import ApiKey
from personasync.model.persona import PersonaRequest
client = HttpApi(sys.argv[1], ApiKey("sk-1"), read_timeout=0.5)
print(client.create(PersonaRequest("t", "a", "n", "d")))
"""


def _in_records(head: bytes, *parts: bytes) -> Behaviour:
    """Send an answer to a client that is stopped meanwhile, part by part."""

    def behave(talk: Talk) -> None:
        talk.receive()
        server = talk.server
        assert isinstance(server, _Stopping)
        os.kill(server.pid, signal.SIGSTOP)
        for part in (head, *parts):
            talk.send(part)
            talk.sleep(0.05)
        talk.sleep(1.0)  # twice the time to read
        os.kill(server.pid, signal.SIGCONT)
        talk.wait_until_gone()

    return behave


class _Stopping(NastyServer):
    pid = 0


ARRIVALS = {
    "at once": (OK_HEAD + LENGTH + OK_BODY,),
    "head and body": (OK_HEAD + LENGTH, OK_BODY),
    "chunks": (
        OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        *(chunk(OK_BODY[at : at + 9]) for at in range(0, len(OK_BODY), 9)),
        chunk(b""),
    ),
}


@pytest.mark.parametrize("parts", ARRIVALS.values(), ids=ARRIVALS)
@pytest.mark.parametrize("certificate", [None, "server.pem"])
def test_what_came_while_the_process_was_stopped_is_read(
    parts: tuple[bytes, ...], certificate: str | None
) -> None:
    environment = {**os.environ, "SSL_CERT_FILE": str(CERTIFICATES / "ca.pem")}
    with _Stopping(_in_records(*parts), certificate=certificate) as server:
        client = subprocess.Popen(
            [sys.executable, "-c", _STOPPED, server.url],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[3],
        )
        server.pid = client.pid
        said, _ = client.communicate(timeout=60)
    assert said == "Created(persona_id='a1b2', from_conflict=False, answer=None)\n"


# Redirects.


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308, 399])
@pytest.mark.parametrize("here", [True, False])
def test_a_redirect_is_not_followed_and_the_key_goes_nowhere(status: int, here: bool) -> None:
    with NastyServer(created("evil")) as elsewhere:
        place = "/again" if here else f"{elsewhere.url}/steal"
        with NastyServer(
            answer(OK_BODY, status, headers=[("Location", place), ("Retry-After", "2")])
        ) as server:
            said = api(server.url).create(REQUEST)
    assert body_of(said) == OK_BODY.decode()
    if status in (301, 308):
        assert isinstance(said, Moved)
        assert said.location == (None if here else f"{elsewhere.url}/steal")
    else:
        reason = f"the API redirected ({status}), which is not followed"
        assert plainly(said) == plainly(unclear(reason, status, OK_BODY.decode(), 2.0))
    assert (len(server.requests), elsewhere.connections) == (1, 0)


@pytest.mark.parametrize(
    "place", ["http://[", "http://a:b:c", "https://\x1b[31m", "\u00ff", "//", "x" * 60_000, KEY]
)
def test_a_redirect_to_nonsense_is_no_different(place: str) -> None:
    said = outcome_of(answer(b"", 302, headers=[("Location", place)]))
    assert said == unclear("the API redirected (302), which is not followed", 302)


def test_no_cookie_is_kept() -> None:
    cookies = [("Set-Cookie", "id=1; Path=/"), ("Set-Cookie", "\x01\x02=;;;Expires=never")]
    with NastyServer(says(429, headers=cookies)) as server:
        client = api(server.url)
        client.create(REQUEST)
        client.create(REQUEST)
    assert [request.headers.get("Cookie") for request in server.requests] == [None, None]


# The key is told to nobody.

ECHOES: dict[str, Behaviour] = {
    "msg": says(422, f"bad header: Bearer {KEY}"),
    "msg in escapes": answer(
        '{"code": 409, "msg": "' + "".join(f"\\u{ord(c):04x}" for c in KEY) + '"}'
    ),
    "msg at the cut": says(422, "x" * 490 + KEY),
    "a long msg": says(500, f"{KEY} " * 1000),
    "body": answer(f"<pre>Authorization: Bearer {KEY}</pre>", 500),
    "body at the cut": answer("x" * 4090 + KEY),
    "body cut off": raw(OK_HEAD + b"Content-Length: 999\r\n\r\nBearer " + KEY[:-1].encode()),
    "body in escapes": answer('{"code": "x", "e": "' + KEY.replace("s", "\\u0073") + '"}'),
    "body percent-encoded": answer("?key=" + "".join(f"%{ord(c):02X}" for c in KEY)),
    "persona ID": created(f"id-{KEY}"),
    "reason phrase": answer(b"", 500, reason=f"Bad key {KEY}"),
    "status line": raw(f"Bearer {KEY}\r\n".encode()),
    "status line at the cut": raw(b"x" * 160 + KEY.encode() + b"\r\n"),
    "chunk size": raw(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + KEY.encode() + b"\r\n"),
    "header line": raw(OK_HEAD + f"Bearer {KEY}\r\nContent-Length: 0\r\n\r\n".encode()),
    "header name": raw(OK_HEAD + f"{KEY}: {KEY}\r\nContent-Length: 0\r\n\r\n".encode()),
    "location": answer(b"", 302, headers=[("Location", f"https://elsewhere.example/?{KEY}")]),
    "bad location": answer(b"", 302, headers=[("Location", f"http://[{KEY}")]),
    "retry-after": answer(b"", 429, headers=[("Retry-After", KEY)]),
    "encoding": answer(b"x", headers=[("Content-Encoding", f"gzip, {KEY}")]),
    "cookie": answer(b"", 500, headers=[("Set-Cookie", f"{KEY}={KEY}")]),
}


@pytest.mark.parametrize("behaviour", ECHOES.values(), ids=ECHOES)
def test_the_key_is_nowhere_even_if_the_server_echoes_it(
    behaviour: Behaviour, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "personasync")
    said = outcome_of(behaviour)
    assert not isinstance(said, Created)
    shown = f"{said!r}{caplog.text}{''.join(capfd.readouterr())}"
    assert KEY not in shown
    assert KEY[:-1] not in shown
    assert "".join(f"\\u{ord(c):04x}" for c in KEY) not in shown
    assert "Authorization: Bearer ***" in caplog.text


@pytest.mark.parametrize("key", ["k", "test", "id", "persona", "200"])
def test_a_short_key_spoils_no_answer(key: str) -> None:
    with NastyServer(created("id-2-test-persona-k-200")) as server:
        assert api(server.url, key=key).create(REQUEST) == Created("id-2-test-persona-k-200")


def test_the_log_tells_the_request_and_holds_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "personasync")
    request = PersonaRequest("t", "audio\n::error::x\x1b[31m\u202e", "n", "d")
    with NastyServer(says(422, "no\n::error::y\x1b[31m\u202e##[error]z")) as server:
        api(server.url).create(request)
    [record] = caplog.records
    message = record.getMessage()
    assert message.startswith(
        f"POST {server.url}/api/v1/generate/generate-persona (Authorization: Bearer ***)"
        r" for audio 'audio\n::error::x\x1b[31m\u202e' took "
    )
    assert message.isprintable()
    assert "##[" not in message


@pytest.mark.parametrize(
    "behaviour",
    [
        raw(OK_HEAD + b"\x1b[31m no colon at all\r\n" + LENGTH + OK_BODY),
        raw(OK_HEAD + b": no name\r\n" + LENGTH + OK_BODY),
        raw(OK_HEAD + b" a folded first line\r\n" + LENGTH + OK_BODY),
        raw(OK_HEAD + b"Content-Type: multipart/mixed\r\n" + LENGTH + OK_BODY),
    ],
)
def test_odd_headers_are_nobody_s_business(
    behaviour: Behaviour, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    outcome_of(behaviour)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_the_package_loads_no_http_library() -> None:
    source = Path(__import__("personasync.api").api.__file__).read_text(encoding="utf-8")
    assert "import" not in source.split('"""', 2)[2]
