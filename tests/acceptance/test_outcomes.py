"""The table of outcomes, row by row, through the command and over real sockets."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.helpers.nasty import (
    CERTIFICATES,
    Behaviour,
    NastyServer,
    Talk,
    answer,
    by_audio,
    chunk,
    closed_port,
    created,
    creates,
    drip,
    flood,
    hang_up,
    never_accepting,
    raw,
    reset_after_body,
    reset_after_headers,
    says,
    silence,
    sit_there,
)
from tests.helpers.support import Ended, Tool
from tests.helpers.waiting import HANG

KEY = "sk-4f9a1c7e2b8d6053"
OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
HALF = b'{"code": 200, "msg": "success", "data": {"personaId": "a1b2c3d4", "na'
CLOSED = "the connection was closed before the answer was whole"
NO_OBJECT = "the answer is not a JSON object"
NO_CODE = "the answer's code cannot be one"
AN_ID = {"personaId": "a1"}
CUT_OFF = OK_HEAD + b"Content-Length: 999\r\n\r\n" + HALF


def apply(tool: Tool, url: str, *args: str, retry_for: str = "0s", **env: str) -> Ended:
    env = {"PERSONASYNC_API_KEY": KEY, "PERSONASYNC_BASE_URL": url, **env}
    return tool("apply", "--auto-approve", "--retry-for", retry_for, *args, env=env)


def plan(tool: Tool, url: str) -> str:
    return tool("plan", "--base-url", url).stdout


def last_entries(tool: Tool) -> list[dict[str, Any]]:
    """Return the last entry of each audio."""
    return list({entry["audioId"]: entry for entry in tool.entries()}.values())


def incomplete(**counts: int) -> str:
    named = {"created": 0, "failed": 0, "conflict": 0, "unknown": 0, "not_attempted": 0, **counts}
    return (
        f"Apply incomplete: {named['created']} created, {named['failed']} failed,"
        f" {named['conflict']} in conflict, {named['unknown']} unknown,"
        f" {named['not_attempted']} not attempted."
    )


# Created.


@pytest.mark.parametrize(
    "behaviour",
    [
        created("a1b2"),
        created("a1b2", chunked=True),
        created("a1b2", status=500),
        answer('{"data": {"personaId": "a1b2"}}'),
        raw(OK_HEAD + b"Content-Length: 999\r\n\r\n" + b'{"code":200,"data":{"personaId":"a1b2"}}'),
    ],
)
def test_a_success_is_recorded(tool: Tool, behaviour: Behaviour) -> None:
    tool.manifest(1)
    with NastyServer(behaviour) as server:
        ended = apply(tool, server.url)
        assert (ended.code, ended.last_line) == (
            0,
            "Apply complete: 1 created, 0 imported, 0 renamed.",
        )
        [entry] = last_entries(tool)
        assert (entry["status"], entry["personaId"]) == ("created", "a1b2")
        assert plan(tool, server.url) == (
            "No changes. Every persona in the manifest is recorded.\n"
        )
    assert len(server.requests) == 1


# Conflict.


@pytest.mark.parametrize("behaviour", [says(409, "exists"), says(409, "exists", status=409)])
def test_a_conflict_goes_on(tool: Tool, behaviour: Behaviour) -> None:
    tool.manifest(3)
    with NastyServer(by_audio({"audio-001": behaviour}, creates())) as server:
        ended = apply(tool, server.url)
        assert (ended.code, ended.last_line) == (3, incomplete(created=2, conflict=1))
        assert "the API answered 409: exists" in ended.stdout
        assert "personasync import p-001 PERSONA_ID" in ended.stdout
        entry = {entry["key"]: entry for entry in last_entries(tool)}["p-001"]
        assert (entry["status"], entry["code"], entry["message"], entry["afterPending"]) == (
            "conflict",
            409,
            "exists",
            False,
        )
        assert "Needs attention: 0 changed, 0 removed, 1 in conflict.\n" in plan(tool, server.url)
        again = apply(tool, server.url)
        assert again.code == 3
        assert len(server.requests) == 3, "a conflict is never asked again"


# Failed.


GATEWAY = [
    *[says(code, "because", status=code) for code in (408, 421, 425, 460, 499)],
    *[answer(b"", code) for code in (400, 408, 410, 422, 451, 499)],
    *[answer("<h1>Sorry</h1>", code) for code in (400, 408, 410, 418, 421, 422, 425, 451, 460)],
    answer('{"error": "no"}', 422),
]


@pytest.mark.parametrize("behaviour", GATEWAY, ids=range(len(GATEWAY)))
def test_a_gateway_s_word_settles_nothing(tool: Tool, behaviour: Behaviour) -> None:
    tool.manifest(2)
    with NastyServer(by_audio({"audio-000": behaviour}, creates())) as server:
        ended = apply(tool, server.url)
        assert (ended.code, ended.last_line) == (3, incomplete(created=1, unknown=1))
        assert plan(tool, server.url).endswith(
            "\nPlan: 0 to create, 1 to resume, 0 to import, 0 to rename. 1 unchanged.\n"
        )


@pytest.mark.parametrize("code", [403, 404, 413])
@pytest.mark.parametrize("page", ["", "<h1>Sorry</h1>", '{"error": "no"}'])
def test_a_few_codes_refuse_in_any_form(tool: Tool, code: int, page: str) -> None:
    tool.manifest(2)
    with NastyServer(by_audio({"audio-000": answer(page, code)}, creates())) as server:
        ended = apply(tool, server.url)
    assert (ended.code, ended.last_line) == (3, incomplete(created=1, failed=1))
    assert [entry["status"] for entry in last_entries(tool)] == ["failed", "created"]


@dataclass(frozen=True)
class Refusal:
    code: int
    means: str
    mended_by: str


REFUSALS = [
    Refusal(400, "could not read the request (400)", "correct the entry"),
    Refusal(403, "does not allow this (403)", "check that the API key may make personas"),
    Refusal(404, "knows no such task or audio (404)", "check taskId and audioId"),
    Refusal(413, "too long for the API (413)", "shorten name, description or style"),
    Refusal(422, "did not pass the API's checks (422)", "correct the entry"),
    Refusal(451, "could not fetch the audio (451)", "check that the track still exists"),
    Refusal(418, "refused it (418)", "correct the entry"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.code)
@pytest.mark.parametrize("where", ["body", "both"])
def test_a_refusal_is_recorded_and_the_run_goes_on(
    tool: Tool, refusal: Refusal, where: str
) -> None:
    code = refusal.code
    behaviour = {
        "body": says(code, "because"),
        "both": says(code, "because", status=code),
    }[where]
    tool.manifest(2)
    with NastyServer(by_audio({"audio-000": behaviour}, creates())) as server:
        ended = apply(tool, server.url)
        assert (ended.code, ended.last_line) == (3, incomplete(created=1, failed=1))
        assert refusal.means in ended.stdout
        assert refusal.mended_by in " ".join(ended.stdout.split())
        entry = last_entries(tool)[0]
        assert (entry["status"], entry["code"]) == ("failed", code)
        assert entry["message"].endswith("because")
        assert plan(tool, server.url).endswith(
            "\nPlan: 1 to create, 0 to resume, 0 to import, 0 to rename. 1 unchanged.\n"
        )
    assert len(server.requests) == 2, "a refusal is not asked again"


STOPS = {
    "401": (says(401, "who are you?"), "401", "check PERSONASYNC_API_KEY"),
    "401 as status": (answer(b"", 401), "401", "check PERSONASYNC_API_KEY"),
    "402": (says(402, "insufficient"), "402", "add credits"),
    "429 of credits": (says(429, "No credits left"), "429", "add credits"),
    "430 of credits": (says(430, "Insufficient credits"), "430", ""),
}


@pytest.mark.parametrize(("behaviour", "code", "remedy"), STOPS.values(), ids=STOPS)
def test_what_stops_the_run_at_once_is_an_error(
    tool: Tool, behaviour: Behaviour, code: str, remedy: str
) -> None:
    tool.manifest(4)
    with NastyServer(behaviour) as server:
        ended = apply(tool, server.url, "--parallelism", "1", retry_for="10s")
    assert (ended.code, ended.last_line) == (1, incomplete(failed=1, not_attempted=3))
    assert f"Stopped: the API answered {code}" in ended.stdout
    assert remedy in ended.stdout
    assert len(server.requests) == 1
    [entry, *others] = last_entries(tool)
    assert (entry["status"], entry["code"]) == ("failed", int(code))
    assert all(other["status"] == "failed" for other in others)


@pytest.mark.parametrize("behaviour", [says(401, "expired"), says(402, "insufficient")])
def test_what_was_made_before_the_stop_is_recorded(tool: Tool, behaviour: Behaviour) -> None:
    tool.manifest(5)
    with NastyServer(creates(), creates(), behaviour) as server:
        ended = apply(tool, server.url, "--parallelism", "1")
        assert (ended.code, ended.last_line) == (
            3,
            incomplete(created=2, failed=1, not_attempted=2),
        )
        assert tool("output", "p-001").stdout == "id-of-audio-001\n"
    assert len(server.requests) == 3


# Called too often.


@pytest.mark.parametrize("code", [405, 429, 430])
@pytest.mark.parametrize("status", [200, 429])
def test_a_throttle_is_waited_out(tool: Tool, code: int, status: int) -> None:
    tool.manifest(1)
    with NastyServer(
        says(code, "slow down", status=status, headers=[("Retry-After", "0")]), created("a1b2")
    ) as server:
        ended = apply(tool, server.url, retry_for="20s")
    assert (ended.code, ended.last_line) == (
        0,
        "Apply complete: 1 created, 0 imported, 0 renamed.",
    )
    assert f"p-000: retry in 0.{ended.stderr.partition('retry in 0.')[2]}" in ended.stderr
    assert len(server.requests) == 2


@pytest.mark.parametrize("retry_after", ["3600", "Sun, 22 Nov 2099 10:00:00 GMT", "-1", "soon"])
def test_a_throttle_beyond_the_budget_stays_pending(tool: Tool, retry_after: str) -> None:
    tool.manifest(1)
    with NastyServer(says(429, "slow down", headers=[("Retry-After", retry_after)])) as server:
        ended = apply(tool, server.url, retry_for="1s")
        assert (ended.code, ended.last_line) == (3, incomplete(unknown=1))
        [entry] = last_entries(tool)
        assert entry["status"] == "pending"
        assert plan(tool, server.url).endswith(
            "\nPlan: 0 to create, 1 to resume, 0 to import, 0 to rename. 0 unchanged.\n"
        )
    assert len(server.requests) <= 4


def test_a_throttle_slows_every_worker(tool: Tool) -> None:
    tool.manifest(12)
    with NastyServer(says(429, "slow", headers=[("Retry-After", "1")]), creates()) as server:
        ended = apply(
            tool, server.url, "--parallelism", "4", "--rate-limit", "none", retry_for="20s"
        )
    assert ended.code == 0
    assert len(server.requests) == 13


# Nothing was sent.


def failed_without_a_request(tool: Tool, ended: Ended, said: str) -> None:
    assert (ended.code, ended.last_line) == (3, incomplete(failed=1))
    assert said in " ".join(ended.stdout.split())
    assert "no request reached the API, and nothing was made" in ended.stdout
    [entry] = last_entries(tool)
    assert entry["status"] == "failed"
    assert "code" not in entry


def test_a_connection_refused(tool: Tool) -> None:
    tool.manifest(1)
    with closed_port() as port:
        url = f"http://127.0.0.1:{port}"
        failed_without_a_request(tool, apply(tool, url), "the connection was refused")
        assert "Plan: 1 to create, 0 to resume" in plan(tool, url)


def test_a_connection_that_is_never_made(tool: Tool) -> None:
    tool.manifest(1)
    with never_accepting() as port:
        ended = apply(tool, f"http://127.0.0.1:{port}", "--connect-timeout", "300ms")
    failed_without_a_request(tool, ended, "no connection within 0.3s")


@pytest.mark.parametrize(
    ("certificate", "said"),
    [
        ("self-signed.pem", "is not trusted: self-signed certificate"),
        ("server.pem", "is not trusted: unable to get local issuer certificate"),
    ],
)
def test_a_certificate_that_is_not_trusted(tool: Tool, certificate: str, said: str) -> None:
    tool.manifest(1)
    with NastyServer(created("a1b2"), certificate=certificate) as server:
        ended = apply(tool, server.url)
    failed_without_a_request(tool, ended, said)
    assert server.seen == b""


def test_a_tls_handshake_that_stalls(tool: Tool) -> None:
    tool.manifest(1)
    with NastyServer(created("a1b2"), certificate="server.pem", greet=sit_there) as server:
        ended = apply(tool, server.url, "--connect-timeout", "300ms")
    failed_without_a_request(tool, ended, "no connection within 0.3s")


def test_a_server_that_comes_up_in_time_is_reached(tool: Tool) -> None:
    tool.manifest(1)

    def refuse_tls(talk: Talk) -> None:
        if talk.number == 1:
            talk.close()

    ca = str(CERTIFICATES / "ca.pem")
    with NastyServer(created("a1b2"), certificate="server.pem", greet=refuse_tls) as server:
        ended = apply(tool, server.url, retry_for="20s", SSL_CERT_FILE=ca)
    assert ended.code == 0
    assert (server.connections, len(server.requests)) == (2, 1)


# Unknown.


def reset_once_it_is_read(data: bytes) -> Behaviour:
    """Send a part of an answer and, long after, reset: a reset overtakes what is not read."""

    def behave(talk: Talk) -> None:
        talk.receive()
        talk.send(data)
        talk.sleep(3)
        talk.reset()

    return behave


UNKNOWN: dict[str, tuple[Behaviour, str, int | None, str | None]] = {
    "455": (says(455, "maintenance"), "the API answered 455: maintenance", 455, '{"code": 455'),
    "500": (says(500, "oops"), "the API answered 500: oops", 500, '{"code": 500'),
    "500 in HTTP": (answer(b"", 500), "the API answered 500", 500, None),
    "502": (answer("<h1>Bad gateway</h1>", 502), "the API answered 502", 502, "<h1>Bad gateway"),
    "503": (answer("<h1>Back soon</h1>", 503), "the API answered 503", 503, "<h1>Back soon"),
    "HTML with 200": (answer("<h1>Back soon</h1>"), NO_OBJECT, 200, "<h1>Back soon</h1>"),
    "nothing with 200": (answer(b""), NO_OBJECT, 200, None),
    "204": (answer(b"", 204), "the API answered 204", 204, None),
    "a list": (answer("[200]"), NO_OBJECT, 200, "[200]"),
    "code a word": (says("ok", "", AN_ID), NO_CODE, 200, '{"code": "ok"'),
    "code null": (says(None, "", AN_ID), NO_CODE, 200, '{"code": null'),
    "code true": (says(True, "", AN_ID), NO_CODE, 200, '{"code": true'),
    "code of another world": (says(777, "?"), "the API answered 777: ?", 777, '{"code": 777'),
    "data null": (says(200, "success"), "holds no personaId", 200, '{"code": 200'),
    "data a list": (says(200, "success", ["a1"]), "holds no personaId", 200, '{"code": 200'),
    "ID empty": (created(""), "personaId cannot be one", 200, '{"code": 200'),
    "ID a number": (created(7), "personaId cannot be one", 200, '{"code": 200'),
    "ID of 10,000": (created("a" * 10_000), "personaId cannot be one", 200, '{"code": 200'),
    "ID with escapes": (created("a\x1b[31m"), "personaId cannot be one", 200, '{"code": 200'),
    "ID not ASCII": (created("é1"), "personaId cannot be one", 200, '{"code": 200'),
    "redirect": (
        answer("gone", 302, headers=[("Location", "https://elsewhere.example")]),
        "redirected (302), which is not followed",
        302,
        "gone",
    ),
    "hang-up": (hang_up, CLOSED, None, None),
    "reset": (reset_after_body, CLOSED, None, None),
    "cut off": (raw(CUT_OFF), "cut off", 200, HALF.decode()),
    "cut off in chunks": (
        raw(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(HALF)),
        "cut off",
        200,
        HALF.decode(),
    ),
    "reset in the answer": (
        reset_once_it_is_read(CUT_OFF),
        CLOSED,
        200,
        HALF.decode(),
    ),
    "no HTTP": (raw(b"SSH-2.0-OpenSSH_9.9\r\n"), "the answer is not HTTP", None, "SSH-2.0"),
    "silence": (silence, "no whole answer within 0.3s", None, None),
    "headers that drip": (drip(OK_HEAD, b"X: y\r\n"), "no whole answer within 0.3s", 200, None),
    "body that drips": (
        drip(OK_HEAD + b"\r\n{", b" "),
        "no whole answer within 3s",
        200,
        "{",
    ),
    "endless 100": (
        flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99),
        "no whole answer within 0.3s",
        None,
        None,
    ),
    "endless body": (
        flood(OK_HEAD + b"\r\n", b"x" * 65536),
        "the answer is longer than 1 MiB",
        200,
        "x" * 4096,
    ),
    "two megabytes": (answer(b"y" * (2 << 20)), "longer than 1 MiB", 200, "y" * 4096),
    "deep": (answer("[" * 50_000), NO_OBJECT, 200, "[" * 4096),
}  # fmt: skip


@pytest.mark.parametrize(("behaviour", "said", "code", "kept"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_settles_nothing_stays_pending_and_keeps_the_answer(
    tool: Tool, behaviour: Behaviour, said: str, code: int | None, kept: str | None
) -> None:
    tool.manifest(1)
    limit = re.search("within (.+)", said)
    read_timeout = limit[1] if limit else "20s"
    with NastyServer(behaviour) as server:
        ended = apply(tool, server.url, "--read-timeout", read_timeout)
        assert (ended.code, ended.last_line) == (3, incomplete(unknown=1))
        assert said in " ".join(ended.stdout.split())
        assert "run `personasync apply` again" in ended.stdout
        [entry] = last_entries(tool)
        assert (entry["status"], entry.get("code")) == ("pending", code)
        assert entry["request"]["audioId"] == "audio-000"
        assert "personaId" not in entry
        if kept is None:
            # The deadline may come in the middle of a head.
            assert "HTTP/1.1 100 Continue".startswith(entry.get("answer", ""))
        else:
            assert entry["answer"].startswith(kept)
            assert len(entry["answer"].encode()) <= 4096
        assert plan(tool, server.url).endswith(
            "\nPlan: 0 to create, 1 to resume, 0 to import, 0 to rename. 0 unchanged.\n"
        )
        assert len(server.requests) == 1
        assert tool("output", "p-000").code == 1


def test_a_reset_before_the_body_never_counts_as_made(tool: Tool) -> None:
    tool.manifest(1)
    with NastyServer(reset_after_headers) as server:
        ended = apply(tool, server.url)
    assert ended.code == 3
    assert ended.last_line in (incomplete(unknown=1), incomplete(failed=1))
    [entry] = last_entries(tool)
    assert entry["status"] in ("pending", "failed")


# Retries and their budget.

PASSING: dict[str, Behaviour] = {
    "500": says(500, "oops"),
    "455": says(455, "maintenance"),
    "HTML": answer("<h1>Back soon</h1>"),
    "hang-up": hang_up,
    "reset": reset_after_body,
    "cut off": raw(CUT_OFF),
    "silence": silence,
    "redirect": answer(b"", 307, headers=[("Location", "/")]),
    "no ID": says(200, "success"),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_fault_that_passes_is_retried_and_the_same_id_recorded(
    tool: Tool, fault: Behaviour
) -> None:
    tool.manifest(1)
    with NastyServer(fault, created("a1b2")) as server:
        read_timeout = "3s" if fault is silence else "20s"
        ended = apply(tool, server.url, "--read-timeout", read_timeout, retry_for="30s")
    assert (ended.code, ended.last_line) == (
        0,
        "Apply complete: 1 created, 0 imported, 0 renamed.",
    )
    assert "p-000: retry in " in ended.stderr
    assert len(server.requests) == 2
    assert server.requests[0].body == server.requests[1].body
    [entry] = last_entries(tool)
    assert (entry["status"], entry["personaId"]) == ("created", "a1b2")


def test_a_fault_that_does_not_pass_ends_with_the_budget(tool: Tool) -> None:
    tool.manifest(1)
    with NastyServer(says(500, "oops")) as server:
        ended = apply(tool, server.url, retry_for="3s")
    assert (ended.code, ended.last_line) == (3, incomplete(unknown=1))
    assert 2 <= len(server.requests) <= 4


def test_a_dead_api_does_not_cost_each_persona_the_budget(tool: Tool) -> None:
    tool.manifest(30)
    with closed_port() as port:
        ended = apply(tool, f"http://127.0.0.1:{port}", retry_for="1s")
    assert ended.code == 3
    assert "not attempted." in ended.last_line
    assert "the API gives no usable answer: the connection was refused" in ended.stdout
    assert len(tool.entries()) < 30


def test_one_bad_persona_does_not_cost_the_others(tool: Tool) -> None:
    tool.manifest(8)
    with NastyServer(by_audio({"audio-000": says(500, "oops")}, creates())) as server:
        ended = apply(tool, server.url, retry_for="1s")
    assert (ended.code, ended.last_line) == (3, incomplete(created=7, unknown=1))


# What an interrupted request leaves, the next run settles.


def test_a_resume_that_meets_the_same_id_is_recorded(tool: Tool) -> None:
    tool.manifest(1)
    with NastyServer(hang_up, created("a1b2")) as server:
        assert apply(tool, server.url).code == 3
        ended = apply(tool, server.url)
    assert (ended.code, ended.last_line) == (
        0,
        "Apply complete: 1 created, 0 imported, 0 renamed.",
    )


def test_a_resume_that_meets_a_conflict_says_that_ours_explains_it(tool: Tool) -> None:
    tool.manifest(1)
    with NastyServer(hang_up, says(409, "exists")) as server:
        assert apply(tool, server.url).code == 3
        ended = apply(tool, server.url)
        assert (ended.code, ended.last_line) == (3, incomplete(conflict=1))
        [entry] = last_entries(tool)
        assert (entry["status"], entry["afterPending"]) == ("conflict", True)
        assert "a request of ours" in " ".join(plan(tool, server.url).split())


@pytest.mark.parametrize("between", [[], [answer("<h1>Back soon</h1>", 503)]])
def test_an_id_in_an_answer_that_was_cut_off_is_not_lost(
    tool: Tool, between: list[Behaviour]
) -> None:
    tool.manifest(1)
    cut = raw(CUT_OFF)
    with NastyServer(cut, *between, says(409, "exists")) as server:
        ended = apply(tool, server.url, retry_for="30s")
        assert (ended.code, ended.last_line) == (3, incomplete(conflict=1))
        command = "personasync import p-000 a1b2c3d4"
        assert command in ended.stdout
        assert command in plan(tool, server.url)
        assert tool(*command.split()[1:]).code == 0
        assert plan(tool, server.url) == (
            "No changes. Every persona in the manifest is recorded.\n"
        )


def test_an_id_of_an_answer_that_was_cut_off_is_recorded_when_it_comes_again(tool: Tool) -> None:
    tool.manifest(1)
    cut = raw(CUT_OFF)
    with NastyServer(cut, created("a1b2c3d4")) as server:
        assert apply(tool, server.url, retry_for="30s").code == 0
    assert tool("output", "p-000").stdout == "a1b2c3d4\n"


# All at once.


def test_a_bad_day_in_one_run(tool: Tool) -> None:
    tool.manifest(9)
    behaviours = {
        "audio-001": says(409, "exists"),
        "audio-002": says(422, "too short"),
        "audio-003": says(404, "no task"),
        "audio-004": says(451, "no access"),
        "audio-005": answer("<h1>Sorry</h1>"),
    }
    with NastyServer(by_audio(behaviours, creates())) as server:
        ended = apply(tool, server.url, "--format", "json", "--parallelism", "1")
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    by_key = {event["key"]: event for event in events if "key" in event}
    assert {key: event["event"] for key, event in by_key.items()} == {
        "p-000": "create_done",
        "p-001": "create_conflict",
        "p-002": "create_failed",
        "p-003": "create_failed",
        "p-004": "create_failed",
        "p-005": "create_unknown",
        "p-006": "create_done",
        "p-007": "create_done",
        "p-008": "create_done",
    }
    end = events[-1]
    assert (end["event"], end["exitCode"]) == ("run_end", 3)
    assert [end[name] for name in ("created", "failed", "conflict", "unknown", "notAttempted")] == [
        4, 3, 1, 1, 0,
    ]  # fmt: skip
    statuses = [entry["status"] for entry in sorted(last_entries(tool), key=lambda e: e["key"])]
    assert statuses == [
        "created", "conflict", "failed", "failed", "failed", "pending",
        "created", "created", "created",
    ]  # fmt: skip


# Answers that are not what was asked for.


@pytest.mark.parametrize("code", [100, 102, 103, 199])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
def test_an_interim_answer_is_not_the_answer(tool: Tool, code: int, at_once: bool) -> None:
    """RFC 9110 §15.2: any number of them may come before the one that counts."""
    tool.manifest(3)
    interim = f"HTTP/1.1 {code} Wait\r\nLink: </style.css>\r\n\r\n".encode() * 2

    def behave(talk: Talk) -> None:
        audio = talk.receive().fields["audioId"]
        body = json.dumps({"code": 200, "data": {"personaId": f"id-of-{audio}"}}).encode()
        final = OK_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
        for part in [interim + final] if at_once else [interim, final]:
            talk.send(part)
            time.sleep(0.1)

    with NastyServer(behave) as server:
        ended = apply(tool, server.url, "--parallelism", "1")
    assert ended.code == 0, ended.stdout
    assert recorded(tool) == {f"audio-{n:03d}": f"id-of-audio-{n:03d}" for n in range(3)}
    assert len(server.requests) == 3


@pytest.mark.parametrize("first", ["a second answer", "an answer after 204"])
def test_what_a_server_says_too_late_is_nobody_elses_answer(tool: Tool, first: str) -> None:
    tool.manifest(3)
    tool_late = threading.Event()

    def late(talk: Talk) -> None:
        if first == "a second answer":
            created("id-of-audio-000")(talk)
        else:
            raw(b"HTTP/1.1 204 Nothing\r\n\r\n", close=False)(talk)
        tool_late.wait(HANG)  # until the next request is there
        with contextlib.suppress(OSError):
            created("id-of-audio-000-again")(talk)

    def then(talk: Talk) -> None:
        talk.receive()
        tool_late.set()
        time.sleep(0.2)
        creates()(talk)

    with NastyServer(by_audio({"audio-000": late}, then)) as server:
        apply(tool, server.url, "--parallelism", "1")
    assert len(server.requests) == server.connections == 3
    ids = recorded(tool)
    assert {audio: ids[audio] for audio in ("audio-001", "audio-002")} == {
        "audio-001": "id-of-audio-001",
        "audio-002": "id-of-audio-002",
    }
    assert ids.get("audio-000", "id-of-audio-000") == "id-of-audio-000"


def recorded(tool: Tool) -> dict[str, str]:
    return {e["audioId"]: e["personaId"] for e in last_entries(tool) if "personaId" in e}
