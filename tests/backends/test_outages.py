"""The installed command on a store that hangs, goes away, is careless, elsewhere or damaged."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.backends import servers
from tests.backends.conftest import Place, begun_server
from tests.backends.proxy import Fault, HttpProxy, before_store
from tests.backends.servers import S3, free_ports
from tests.backends.test_command import APPLY, recorded, said, use
from tests.helpers.serving import NO_CHANGES, made, serving
from tests.helpers.support import Tool
from tests.helpers.waiting import HANG, answers_held, read_until, wait_for


@pytest.fixture
def on_s3(tool: Tool, place_of: Callable[[str], Place]) -> Place:
    """A place on S3 that the command uses."""
    place = place_of("s3")
    use(tool, place)
    return place


def test_the_second_ctrl_c_leaves_an_append_that_hangs_and_shows_every_id(
    tool: Tool, on_s3: Place, s3_server: S3
) -> None:
    tool.manifest(2)
    hangs = threading.Event()

    def choose(method: str, path: str) -> Fault | None:
        hanging = hangs.is_set() and method == "PUT" and "/log/" in path
        return Fault.HANG_BEFORE if hanging else None

    with (
        serving(tool, repeat="same-id") as sandbox,
        answers_held() as held,
        before_store(s3_server.port, choose) as proxy,
    ):
        assert tool("state", "init").code == 0
        process = tool.start(*APPLY, env={"AWS_ENDPOINT_URL": proxy.address})
        wait_for(lambda: sandbox.statistics().requests == 2, "the requests")
        hangs.set()
        held.let()
        wait_for(lambda: proxy.going_wrong, "the append that hangs")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        said_first = read_until(process.stderr, b"SIGINT")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=HANG)
        assert time.monotonic() - began < 15  # and not the minute that an append may take
        assert process.returncode == 130
        shown = (said_first + stderr + stdout).decode()
        for persona_id in made(sandbox).values():
            assert re.search(rf"personasync import \S+ {persona_id}", shown), shown
        assert tool("state", "unlock", "--auto-approve").code == 0
        assert tool(*APPLY).code == 0
        assert recorded(tool) == made(sandbox)


@contextmanager
def lost(kind: str, place: Place, tool: Tool, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Yield what ends the store, and what brings it back."""
    if kind == "s3":
        server: S3 = request.getfixturevalue("s3_server")
        with before_store(server.port) as proxy:
            use(tool, place, AWS_ENDPOINT_URL=proxy.address)
            yield proxy.close, lambda: use(tool, place)
        return
    with servers.open_folder() as folder, begun_server(kind, servers.postgres(folder)) as own:
        use(tool, Place(kind, own.url(), own.environment()))
        yield own.stop, own.start


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["s3", "postgres"])
def test_a_store_that_goes_away_for_good(
    tool: Tool, place_of: Callable[[str], Place], request: pytest.FixtureRequest, kind: str
) -> None:
    """What was in flight is on this machine a minute later, and nothing more was sent."""
    tool.manifest(4)
    with (
        serving(tool) as sandbox,
        answers_held() as held,
        lost(kind, place_of(kind), tool, request) as (goes, comes_back),
    ):
        tool.environment["XDG_STATE_HOME"] = str(tool.folder / "kept")
        assert tool("state", "init").code == 0
        process = tool.start(*APPLY, "--parallelism=2")
        wait_for(lambda: sandbox.statistics().requests == 2, "the requests")
        goes()
        held.let()
        stdout, stderr = process.communicate(timeout=150)
        assert process.returncode == 3, stderr.decode()
        [file] = (tool.folder / "kept" / "personasync").iterdir()
        assert file.name in (stdout + stderr).decode()
        assert sandbox.statistics().requests == 2
        comes_back()
        assert tool("state", "unlock", "--auto-approve").code == 0  # else it waits a lease long
        after = tool(*APPLY)
        assert after.code == 0, after.stderr
        assert recorded(tool) == made(sandbox)
        assert set(sandbox.statistics().audios.values()) == {1}
        assert not file.exists()


class _Careless(HttpProxy):
    """Takes the conditions off every put."""

    def _forward(self, request: bytes) -> bytes:
        name = rb"(?i)\r\nx-goog-if-generation-match: [^\r]*"
        return super()._forward(re.sub(name, b"", request, count=1))


def test_a_store_that_has_stopped_to_heed_conditions(
    tool: Tool, place_of: Callable[[str], Place], gcs_server: str
) -> None:
    use(tool, place_of("gcs"))
    tool.manifest(1)
    proxy = _Careless(int(gcs_server.rpartition(":")[2]))
    careless = {"STORAGE_EMULATOR_HOST": proxy.address}
    try:
        with serving(tool) as sandbox:
            assert tool("state", "init").code == 0
            for command in (APPLY, ("state", "rm", "p-000"), ("import", "p-000", "an-id-1")):
                said(tool(*command, env=careless), 1, "ignores conditions")
            other = {**careless, "PERSONASYNC_STATE": "gs://voices/other"}
            said(tool("state", "init", env=other), 1, "ignores conditions")
            assert tool("plan", env=careless).code == 0
            assert sandbox.statistics().requests == 0
    finally:
        proxy.close()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.OTHER_REGION, ("400 Bad Request", "expecting 'eu-central-1'")),
        (Fault.MOVED, ("another region",)),
    ],
)
def test_a_bucket_in_another_region(
    tool: Tool, on_s3: Place, s3_server: S3, fault: Fault, words: tuple[str, ...]
) -> None:
    tool.manifest(1)
    with (
        serving(tool) as sandbox,
        before_store(s3_server.port, lambda _method, _path: fault) as proxy,
    ):
        tool.environment["AWS_ENDPOINT_URL"] = proxy.address
        for command in (("state", "init"), ("plan",), APPLY, ("output",)):
            said(tool(*command), 1, on_s3.location, *words)
        assert sandbox.statistics().requests == 0


def put_and_deleted(server: S3) -> Any:
    """Return a client of the store's that may do anything."""
    from obstore.store import S3Store

    return S3Store(
        server.bucket,
        endpoint=server.endpoint,
        access_key_id="user-key",
        secret_access_key="user-secret",
        region="us-east-1",
        client_options={"allow_http": True},
    )


@pytest.mark.parametrize("lost_part", ["middle", "last", "beginning"])
def test_what_was_deleted_is_named_and_nothing_is_written(
    tool: Tool, on_s3: Place, s3_server: S3, lost_part: str
) -> None:
    tool.manifest(3)
    store, prefix = put_and_deleted(s3_server), on_s3.location.rpartition("/")[2]

    def names() -> list[str]:
        return sorted(each["path"] for chunk in store.list(prefix) for each in chunk)

    with serving(tool) as sandbox:
        assert tool("state", "init").code == 0
        assert tool(*APPLY, "--parallelism=1").code == 0
        segments = [name for name in names() if "/log/" in name]
        gone = {
            "middle": segments[2],
            "last": segments[-1],
            "beginning": f"{prefix}/personasync.json",
        }[lost_part]
        store.delete(gone)
        before, asked = names(), sandbox.statistics().requests
        tool.manifest(4)
        for command in (("plan",), ("state", "verify"), APPLY, ("state", "rm", "p-000")):
            said(tool(*command), 1, gone.removeprefix(f"{prefix}/"))
        assert names() == before
        assert sandbox.statistics().requests == asked


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_in_a_snapshot(tool: Tool, on_s3: Place, s3_server: S3, after: bool) -> None:
    tool.manifest(70)
    process: Any = None

    def choose(method: str, path: str) -> Fault | None:
        if method != "PUT" or "/snapshots/" not in path:
            return None
        os.kill(process.pid, signal.SIGKILL)
        return Fault.CUT_AFTER if after else Fault.RESET_BEFORE

    with serving(tool) as sandbox, before_store(s3_server.port, choose) as proxy:
        assert tool("state", "init").code == 0
        process = tool.start(*APPLY, "--parallelism=1", env={"AWS_ENDPOINT_URL": proxy.address})
        process.communicate(timeout=HANG)
        assert process.returncode == -signal.SIGKILL
        assert recorded(tool) == made(sandbox)
        assert tool("state", "verify").code == 0
        assert tool("state", "unlock", "--auto-approve").code == 0
        assert tool("plan").last_line == NO_CHANGES
        assert len(made(sandbox)) == 70


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_in_a_rescue(tool: Tool, on_s3: Place, s3_server: S3, after: bool) -> None:
    tool.manifest(1)
    stopped: Any = None

    def choose(method: str, path: str) -> Fault | None:
        if method != "PUT" or "/rescue/" not in path:
            return None
        os.kill(stopped.pid, signal.SIGKILL)
        return Fault.CUT_AFTER if after else Fault.RESET_BEFORE

    with (
        serving(tool, repeat="same-id") as sandbox,
        answers_held() as held,
        before_store(s3_server.port, choose) as proxy,
    ):
        assert tool("state", "init").code == 0
        stopped = tool.start(*APPLY, env={"AWS_ENDPOINT_URL": proxy.address})
        wait_for(lambda: sandbox.statistics().requests == 1, "the request")
        stopped.send_signal(signal.SIGSTOP)
        assert tool("state", "unlock", "--auto-approve").code == 0
        stopped.send_signal(signal.SIGCONT)
        held.let()
        stopped.communicate(timeout=HANG)
        assert stopped.returncode == -signal.SIGKILL
        assert tool("plan").last_line.startswith(NO_CHANGES if after else "Plan: 0 to create, 1 to")
        assert tool(*APPLY).code == 0
        assert recorded(tool) == made(sandbox)
        assert tool("state", "verify").code == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["s3", "postgres"])
def test_a_run_stopped_for_longer_than_its_lease(
    tool: Tool, place_of: Callable[[str], Place], kind: str
) -> None:
    """Stopped with an answer on its way, and taken over by who waited a lease long."""
    use(tool, place_of(kind))
    tool.manifest(2)
    with serving(tool, repeat="same-id") as sandbox, answers_held() as held:
        assert tool("state", "init").code == 0
        stopped = tool.start(*APPLY)
        wait_for(lambda: sandbox.statistics().requests == 2, "the requests")
        stopped.send_signal(signal.SIGSTOP)
        held.let()
        other = tool(*APPLY, "--target", "p-000", "--lock-timeout=90s", timeout=120)
        assert other.code == 0, other.stderr
        stopped.send_signal(signal.SIGCONT)
        stdout, stderr = stopped.communicate(timeout=HANG)
        assert stopped.returncode == 3, stderr.decode()
        assert b"Stopped: another run has taken the state" in stdout
        after = tool("plan")
        assert after.last_line == NO_CHANGES
        assert "2 entries were rescued" in after.stderr
        assert recorded(tool) == made(sandbox)


SECRET = "s3cr3t-s3cr3t-s3cr3t"


@pytest.mark.parametrize(
    "fault",
    [
        Fault.DENIED,
        pytest.param(Fault.RESET_BEFORE, marks=pytest.mark.slow),
        pytest.param(None, id="nobody", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    ("location", "environment"),
    [
        ("s3://voices/a", {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": SECRET}),
        (
            "s3://voices/a",
            {
                "AWS_ACCESS_KEY_ID": "someone",
                "AWS_SECRET_ACCESS_KEY": "any",
                "AWS_SESSION_TOKEN": SECRET,
            },
        ),
        (
            "az://voices/a?account=someone",
            {"AZURE_STORAGE_SAS_TOKEN": f"sv=2021-08-06&sr=c&sig={SECRET}"},
        ),
        (
            "az://voices/a",
            {
                "AZURE_STORAGE_CONNECTION_STRING": "AccountName=someone;BlobEndpoint={address};"
                f"SharedAccessSignature=sv=2021-08-06&sig={SECRET}"
            },
        ),
        ("az://voices/a?account=someone", {"AZURE_STORAGE_ACCOUNT_KEY": SECRET}),
        ("gs://voices/a", {"GOOGLE_BEARER_TOKEN": SECRET}),
    ],
)
def test_no_error_shows_a_secret(
    tool: Tool,
    s3_server: S3,
    location: str,
    environment: Mapping[str, str],
    fault: Fault | None,
) -> None:
    """Of a store that refuses, of one that hangs up, and of one that is not there."""
    tool.manifest(1)
    tool.environment.update(PERSONASYNC_STATE=location, AWS_REGION="us-east-1")
    (nobody,) = free_ports(1)
    with before_store(s3_server.port, lambda _method, _path: fault) as proxy:
        address = proxy.address if fault else f"http://127.0.0.1:{nobody}"
        given = {name: text.format(address=address) for name, text in environment.items()}
        names = ("AWS_ENDPOINT_URL", "AZURE_STORAGE_ENDPOINT", "STORAGE_EMULATOR_HOST")
        tool.environment.update(dict.fromkeys(names, address) | given)
        for command in (("plan", "-v"), ("state", "verify", "-v"), ("state", "init", "-v")):
            ended = tool(*command)
            assert ended.code == 1, ended.stderr
            assert SECRET not in ended.stdout + ended.stderr
