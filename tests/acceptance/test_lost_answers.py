"""Questions asked in vain: an API too slow, one that moved, refusals for all, and signals.

Everything over real sockets, with the installed command.
"""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.nasty import (
    Behaviour,
    NastyServer,
    Talk,
    answer,
    by_audio,
    creates,
    raw,
    says,
    silence,
)
from tests.helpers.support import Ended, Tool
from tests.helpers.waiting import HANG, deliver, read_until, wait_for

KEY = "sk-4f9a1c7e2b8d6053"


def environment(url: str) -> dict[str, str]:
    return {"PERSONASYNC_API_KEY": KEY, "PERSONASYNC_BASE_URL": url}


def apply(tool: Tool, url: str, *args: str) -> Ended:
    return tool("apply", "--auto-approve", "--rate-limit=none", *args, env=environment(url))


def statuses(tool: Tool) -> Counter[str]:
    last = {entry["audioId"]: entry["status"] for entry in tool.entries()}
    return Counter(last.values())


class Once:
    """An API that makes each persona once, and from then on says that it exists."""

    def __init__(self, first: Behaviour | None = None) -> None:
        self.made: set[str] = set()
        self.first = first
        self._guard = threading.Lock()

    def __call__(self, talk: Talk) -> None:
        audio_id = talk.receive().fields["audioId"]
        with self._guard:
            again = audio_id in self.made
            self.made.add(audio_id)
        if again:
            says(409, "exists")(talk)
        else:
            (self.first or creates())(talk)


def late(talk: Talk) -> None:
    """Answer only once whoever asked has gone."""
    talk.wait_until_gone()


def gateway_gives_up(talk: Talk) -> None:
    answer("<html>504 Gateway Time-out</html>", status=504)(talk)


@pytest.mark.parametrize(
    ("first", "args"),
    [(late, ("--read-timeout", "300ms")), (gateway_gives_up, ())],
    ids=["time-out", "gateway"],
)
def test_an_api_that_is_too_slow_costs_no_more_than_was_in_flight(
    tool: Tool, first: Behaviour, args: tuple[str, ...]
) -> None:
    tool.manifest(20)
    api = Once(first)
    with NastyServer(api) as server:
        ended = apply(tool, server.url, "--retry-for", "20s", *args)
    assert ended.code == 3
    counts = statuses(tool)
    assert counts["conflict"] >= 1
    assert counts["conflict"] + counts["pending"] <= 4
    assert counts["created"] == 0
    assert len(api.made) <= 4
    said = " ".join(ended.stdout.split())
    assert "--read-timeout" in said
    assert "lost at the API's side" in said
    assert "16 not attempted" in ended.last_line
    assert not re.search(r"\bsafe\b", said)


def test_an_api_that_is_never_in_time_is_not_asked_for_more(tool: Tool) -> None:
    tool.manifest(20)
    with NastyServer(silence) as server:
        ended = apply(tool, server.url, "--read-timeout", "300ms", "--retry-for", "2s")
        asked = {request.fields["audioId"] for request in server.requests}
    assert ended.code == 3
    assert len(asked) == 4
    assert "--read-timeout 30m" in " ".join(ended.stdout.split())
    assert "4 unknown, 16 not attempted" in ended.last_line


def test_an_id_in_a_conflict_is_no_loss(tool: Tool) -> None:
    tool.manifest(6)
    seen: Counter[str] = Counter()

    def named(talk: Talk) -> None:
        audio_id = talk.receive().fields["audioId"]
        seen[audio_id] += 1
        if seen[audio_id] == 1:
            gateway_gives_up(talk)
        else:
            body = {"code": 409, "msg": "exists", "data": {"personaId": f"id-{audio_id}"}}
            answer(json.dumps(body), status=409)(talk)

    with NastyServer(named) as server:
        ended = apply(tool, server.url, "--retry-for", "30s")
    assert ended.code == 0
    assert statuses(tool) == {"created": 6}
    assert {entry["origin"] for entry in tool.entries() if entry["status"] == "created"} == {
        "conflict"
    }
    assert "named its ID" in " ".join(ended.stdout.split())


class TestOrder:
    BAD = ("audio-000", "audio-001", "audio-002", "audio-003", "audio-004")

    @pytest.mark.parametrize("parallelism", ["1", "2", "4"])
    def test_a_few_bad_ones_at_the_head_do_not_starve_the_rest(
        self, tool: Tool, parallelism: str
    ) -> None:
        tool.manifest(12)
        bad = {audio: says(500, "create persona error") for audio in self.BAD}
        args = ("--retry-for", "1s", "--parallelism", parallelism)
        with NastyServer(by_audio(bad, creates())) as server:
            first = apply(tool, server.url, *args)
            assert first.code == 3
            assert "--exclude KEY" in " ".join(first.stdout.split())
            apply(tool, server.url, *args)
        assert statuses(tool) == {"created": 7, "pending": 5}

    def test_what_was_never_asked_goes_first(self, tool: Tool) -> None:
        tool.manifest(4)
        with NastyServer(by_audio({"audio-000": says(500)}, creates())) as server:
            apply(tool, server.url, "--retry-for", "0s", "--target", "p-000")
            apply(tool, server.url, "--retry-for", "0s", "--parallelism", "1")
            asked = [request.fields["audioId"] for request in server.requests]
        assert asked == ["audio-000", "audio-001", "audio-002", "audio-003", "audio-000"]


class TestHopeless:
    @pytest.mark.parametrize(
        "behaviour",
        [
            answer("<html>Not Found</html>", status=404),
            answer("<html>Forbidden</html>", status=403),
            says(404, "no such endpoint", status=404),
            says(403, "not allowed"),
        ],
        ids=["404 page", "403 page", "404", "403"],
    )
    def test_one_refusal_for_all_ends_the_run_after_five(
        self, tool: Tool, behaviour: Behaviour
    ) -> None:
        tool.manifest(40)
        with NastyServer(behaviour) as server:
            ended = apply(tool, server.url)
        assert ended.code == 1
        assert 5 <= len(server.requests) <= 9  # and what was in flight
        assert "base URL" in ended.stdout

    def test_refusals_that_differ_go_on(self, tool: Tool) -> None:
        tool.manifest(12)

        def differs(talk: Talk) -> None:
            says(404, f"no such audio: {talk.receive().fields['audioId']}")(talk)

        with NastyServer(differs) as server:
            ended = apply(tool, server.url)
        assert len(server.requests) == 12
        assert "12 failed" in ended.last_line

    def test_one_usable_answer_and_the_run_goes_on(self, tool: Tool) -> None:
        tool.manifest(12)
        behaviours = by_audio({"audio-000": creates()}, says(404, "no such audio"))
        with NastyServer(behaviours) as server:
            ended = apply(tool, server.url, "--parallelism", "1")
        assert "1 created, 11 failed" in ended.last_line

    @pytest.mark.parametrize("status", [301, 308])
    def test_an_api_that_moved_is_named_and_not_asked_again(self, tool: Tool, status: int) -> None:
        tool.manifest(8)
        location = "https://api.elsewhere.example/api/v1/generate/generate-persona"
        head = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        with NastyServer(raw(head.encode())) as server:
            ended = apply(tool, server.url)
        assert ended.code == 1
        assert len(server.requests) <= 4
        said = " ".join(ended.stdout.split())
        assert "https://api.elsewhere.example" in said
        assert "personasync state set-api https://api.elsewhere.example" in said

    def test_what_may_pass_is_asked_once_more(self, tool: Tool) -> None:
        tool.manifest(1)
        with NastyServer(says(451, "cannot fetch")) as server:
            ended = apply(tool, server.url, "--retry-for", "1s")
        assert len(server.requests) == 2
        assert statuses(tool) == {"failed": 1}
        assert "1 failed" in ended.last_line


class TestSignals:
    """What is in flight is worth waiting for, and the wait is said at once."""

    def start(self, tool: Tool, url: str, *args: str) -> subprocess.Popen[bytes]:
        return tool.start(
            "apply", "--auto-approve", "--rate-limit=none", *args, env=environment(url)
        )

    @pytest.mark.parametrize(
        "name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGXCPU"]
    )
    def test_the_first_is_answered_at_once_and_waits(self, tool: Tool, name: str) -> None:
        tool.manifest(8)
        release = threading.Event()
        with NastyServer(held(release)) as server:
            process = self.start(tool, server.url)
            wait_for(lambda: len(server.requests) == 4, "four requests")
            process.send_signal(getattr(signal, name))
            assert process.stderr is not None
            said = read_until(process.stderr, b"nothing new is sent")
            assert b"waiting for 4 answers (p-000, p-001, p-002, p-003)" in said
            release.set()
            _, stderr = process.communicate(timeout=HANG)
        assert process.returncode == 128 + getattr(signal, name), stderr.decode()
        assert statuses(tool) == {"created": 4}

    def test_a_ci_host_that_grows_impatient_loses_nothing(self, tool: Tool) -> None:
        tool.manifest(8)
        release = threading.Event()
        with NastyServer(held(release)) as server:
            process = self.start(tool, server.url)
            wait_for(lambda: len(server.requests) == 4, "four requests")
            deliver(process, signal.SIGINT)
            deliver(process, signal.SIGTERM)
            time.sleep(0.3)
            assert process.poll() is None
            release.set()
            process.communicate(timeout=HANG)
        assert process.returncode == 130
        assert statuses(tool) == {"created": 4}

    def test_the_same_again_leaves_and_says_what_that_may_cost(self, tool: Tool) -> None:
        tool.manifest(8)
        release = threading.Event()
        with NastyServer(held(release)) as server:
            process = self.start(tool, server.url)
            wait_for(lambda: len(server.requests) == 4, "four requests")
            deliver(process, signal.SIGTERM)
            deliver(process, signal.SIGTERM)
            stdout, _ = process.communicate(timeout=HANG)
            release.set()
        assert process.returncode == 143
        assert statuses(tool) == {"pending": 4}
        said = " ".join(stdout.decode().split())
        assert "the run was left before its answer came" in said
        assert not re.search(r"\bsafe\b", said)

    def test_a_stopped_process_loses_nothing_that_arrived(self, tool: Tool) -> None:
        tool.manifest(4)
        release = threading.Event()
        with NastyServer(held(release)) as server:
            process = self.start(tool, server.url, "--read-timeout", "1s", "--retry-for", "0s")
            wait_for(lambda: len(server.requests) == 4, "four requests")
            process.send_signal(signal.SIGSTOP)
            release.set()
            time.sleep(2)  # twice the time-out, while the answers lie there
            process.send_signal(signal.SIGCONT)
            stdout, _ = process.communicate(timeout=HANG)
        assert process.returncode == 0, stdout.decode()
        assert statuses(tool) == {"created": 4}


def held(release: threading.Event) -> Behaviour:
    """Answer with an ID once it is let go."""

    def behave(talk: Talk) -> None:
        talk.receive()
        while not release.is_set():
            talk.sleep(0.02)
        creates()(talk)

    return behave


def test_a_request_that_takes_long_is_named_while_it_is_waited_for(tool: Tool) -> None:
    tool.manifest(1)
    release = threading.Event()
    with NastyServer(held(release)) as server:
        process = tool.start("apply", "--auto-approve", env=environment(server.url))
        assert process.stderr is not None
        read_until(process.stderr, b"waiting for the answer for p-000 (")
        release.set()
        process.communicate(timeout=HANG)
    assert process.returncode == 0


def test_a_wait_for_the_rate_says_so(tool: Tool) -> None:
    tool.manifest(3)
    with NastyServer(creates()) as server:
        process = tool.start(
            "apply", "--auto-approve", "--rate-limit", "2/8s", env=environment(server.url)
        )
        assert process.stderr is not None
        read_until(process.stderr, b"waiting for the rate (2/8s), next in ")
        process.communicate(timeout=HANG)
    assert process.returncode == 0


def test_the_first_ids_come_with_where_they_are(tool: Tool) -> None:
    tool.manifest(2)
    with NastyServer(creates()) as server:
        first = apply(tool, server.url)
        assert "The IDs are in personas.state.jsonl, the only copy there is: commit it" in " ".join(
            first.stdout.split()
        )
        tool.manifest(3)
        second = apply(tool, server.url)
    assert "commit it" not in second.stdout


def test_where_the_ids_are_is_said_when_there_are_some(tool: Tool) -> None:
    tool.manifest(1)
    with NastyServer(says(404, "no such task"), creates()) as server:
        first = apply(tool, server.url)
        second = apply(tool, server.url)
    assert "commit it" not in first.stdout
    assert "commit it" in second.stdout


def test_a_terminal_that_is_closed_costs_no_answer(tool: Tool) -> None:
    tool.manifest(6)
    release = threading.Event()
    with NastyServer(held(release)) as server:
        ours, theirs = pty.openpty()
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        process = tool.start("apply", "--auto-approve", env=environment(server.url), **streams)
        wait_for(lambda: len(server.requests) == 4, "four requests")
        os.close(theirs)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        release.set()
        assert process.wait(HANG) == 128 + signal.SIGHUP
    assert statuses(tool) == {"created": 4}


def test_no_message_calls_asking_again_safe() -> None:
    package = Path(__file__).parents[2] / "personasync"
    says_so = re.compile(r"(that|which|this) is safe|safe to (ask|run|try)|safely", re.IGNORECASE)
    found = [
        f"{path.relative_to(package)}:{number}"
        for path in package.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if says_so.search(line)
    ]
    assert found == []
