"""PostgreSQL that stops, crashes, loses rows or keeps one waiting, and connections that are cut."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from personasync.state import StateLog, open_log
from personasync.state.bucket import BucketError
from personasync.state.shared import SharedLog
from tests.backends import servers
from tests.backends.conftest import API, Place, begun_server
from tests.backends.proxy import Cut, before_postgres
from tests.backends.servers import Postgres
from tests.backends.test_command import APPLY, recorded, said, use
from tests.backends.test_contract import entry
from tests.helpers.serving import made, serving
from tests.helpers.support import Tool
from tests.helpers.waiting import HANG, answers_held, wait_for

pytestmark = pytest.mark.slow

# Connections that are cut before the server has a message, and after it did what it says

STEPS = {
    "reading": "SELECT lineage",
    "lease": "SET epoch = epoch + 1, holder",
    "append": "WITH head AS",
    "rescue": 'INSERT INTO "personasync_rescue"',
    "renewal": "SET lease_until = clock_timestamp()",
    "release": "SET holder = NULL",
}


@pytest.fixture
def begun(place_of: Callable[[str], Place]) -> Place:
    place = place_of("postgres")
    place.begin()
    return place


@contextmanager
def through(
    place: Place, server: Postgres, choose: Callable[[str], Cut | None]
) -> Iterator[tuple[StateLog, list[Cut]]]:
    """Open the log through a proxy that cuts connections."""
    with before_postgres(server.port, choose) as proxy:
        location = place.location.replace(str(server.port), str(proxy.port))
        yield open_log(location, api=API), proxy.cuts


def run(log: StateLog) -> None:
    """Do all that a run does with a log."""
    assert isinstance(log, SharedLog)
    hold = log.store.hold
    with log.lock():
        log.append([entry(1), entry(2)])
        log.append([entry(number, f"id-{number}") for number in range(50)])
        for _ in range(4):
            with suppress(BucketError):  # the next one is in a quarter of a minute
                hold.renew()
        assert log.rescue([entry(5000, "id-5000")])
        log.append([entry(50, "id-50")])


def check(place: Place) -> None:
    """Everything is there once, and nobody is locked out."""
    log = place.open()
    with log.lock():
        contents = log.read()
    assert [each.persona_id for each in contents.entries] == [
        None,
        None,
        *(f"id-{number}" for number in range(51)),
        "id-5000",
    ]
    assert place.open().read().entries == contents.entries


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("step", STEPS)
def test_a_connection_cut_at_a_step(
    begun: Place, postgres_server: Postgres, step: str, cut: Cut, count: int
) -> None:
    left = count

    def choose(text: str) -> Cut | None:
        nonlocal left
        if STEPS[step] not in text or not left:
            return None
        left -= 1
        return cut

    with through(begun, postgres_server, choose) as (log, cuts):
        if step == "reading":
            with log.lock():  # what reads first has no good connection yet, and fails at once
                log.append([entry(1), entry(2)])
                assert log.read().entries == (entry(1), entry(2))
        else:
            run(log)
            check(begun)
        assert cuts == [cut] * count


@pytest.mark.parametrize("seed", range(4))
def test_a_third_of_all_messages_cut(begun: Place, postgres_server: Postgres, seed: int) -> None:
    chance = random.Random(seed)
    started = False

    def choose(text: str) -> Cut | None:
        return chance.choice(list(Cut)) if started and chance.random() < 1 / 3 else None

    with through(begun, postgres_server, choose) as (log, cuts):
        log.read()
        started = True
        run(log)
        assert len(cuts) > 2
        started = False
    check(begun)


def test_a_row_that_another_keeps_locked_is_waited_for(
    begun: Place, postgres_server: Postgres
) -> None:
    log = begun.open()
    appended = threading.Event()
    with log.lock(), postgres_server.connect() as other:
        with other.transaction():
            other.execute("SELECT FROM personasync_state FOR UPDATE")

            def append() -> None:
                log.append([entry(1, "id-1")])
                appended.set()

            threading.Thread(target=append, daemon=True).start()
            waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            with postgres_server.connect() as looking:
                wait_for(lambda: looking.execute(waiting).fetchall(), "the wait for the row")
            assert not appended.is_set()
        assert appended.wait(HANG)
    assert begun.open().read().fold().entries["audio-1"].persona_id == "id-1"


def test_a_row_that_stays_locked_is_asked_for_again(
    begun: Place, postgres_server: Postgres
) -> None:
    output = postgres_server.folder / "server.log"
    log = begun.open()
    appended = threading.Event()
    with log.lock(), postgres_server.connect() as other:
        before = output.read_text().count("lock timeout")
        with other.transaction():
            other.execute("SELECT FROM personasync_state FOR UPDATE")

            def append() -> None:
                log.append([entry(1, "id-1")])
                appended.set()

            threading.Thread(target=append, daemon=True).start()
            wait_for(lambda: output.read_text().count("lock timeout") > before, "a time-out")
        assert appended.wait(HANG)
    assert [each.persona_id for each in begun.open().read().entries] == ["id-1"]


# The command, and a server that does not stay as it was


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    """A server that only these tests use: it is stopped and crashed."""
    with servers.open_folder() as folder, begun_server("postgres", servers.postgres(folder)) as own:
        yield own


def place_at(server: Postgres, request: pytest.FixtureRequest, port: int | None = None) -> Place:
    name = f"{abs(hash(request.node.name)):x}"
    return Place("postgres", f"{server.url(port=port)}?state={name}", server.environment())


def restart(server: Postgres) -> None:
    server.stop()
    server.start()


def crash(server: Postgres) -> None:
    server.crash()
    server.start()


def terminate(server: Postgres) -> None:
    with server.connect() as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )


@contextmanager
def port_of(way: str, server: Postgres) -> Iterator[int]:
    if way == "direct":
        yield server.port
        return
    with (
        servers.open_folder() as folder,
        begun_server("pooler", servers.pooler(server, folder)) as port,
    ):
        yield port


@pytest.mark.parametrize("happens", [restart, crash, terminate])
@pytest.mark.parametrize("way", ["direct", "pooler"])
def test_a_server_that_goes_away_in_the_middle_of_an_apply(
    tool: Tool,
    own_server: Postgres,
    request: pytest.FixtureRequest,
    happens: Callable[[Postgres], None],
    way: str,
) -> None:
    tool.manifest(5)
    with (
        port_of(way, own_server) as port,
        serving(tool) as sandbox,
        answers_held() as held,
    ):
        use(tool, place_at(own_server, request, port))
        assert tool("state", "init").code == 0
        process = tool.start(*APPLY, "--parallelism=2")
        wait_for(lambda: sandbox.statistics().requests == 2, "the requests")
        happens(own_server)
        held.let()
        _stdout, stderr = process.communicate(timeout=HANG)
        assert process.returncode == 0, stderr.decode()
        assert recorded(tool) == made(sandbox)
        assert set(sandbox.statistics().audios.values()) == {1}
        assert tool("state", "verify").code == 0


@pytest.mark.parametrize("cut", Cut)
def test_an_apply_whose_commits_are_cut(
    tool: Tool, begun: Place, postgres_server: Postgres, cut: Cut
) -> None:
    """Every other append is cut, and the run ends complete."""
    appends = 0

    def choose(text: str) -> Cut | None:
        nonlocal appends
        appends += STEPS["append"] in text
        return cut if STEPS["append"] in text and appends % 2 else None

    tool.manifest(5)
    use(tool, begun)
    with serving(tool) as sandbox, before_postgres(postgres_server.port, choose) as proxy:
        new = begun.location + "-cut"
        assert tool("state", "init", env={"PERSONASYNC_STATE": new}).code == 0
        tool.environment["PERSONASYNC_STATE"] = new.replace(
            str(postgres_server.port), str(proxy.port)
        )
        ended = tool(*APPLY)
        assert ended.code == 0, ended.stderr
        assert len(proxy.cuts) > 1
        tool.environment["PERSONASYNC_STATE"] = new
        assert recorded(tool) == made(sandbox)
        assert set(sandbox.statistics().audios.values()) == {1}
        assert tool("state", "verify").code == 0


def test_a_replica_can_be_read_and_no_more(
    tool: Tool, own_server: Postgres, request: pytest.FixtureRequest
) -> None:
    use(tool, place_at(own_server, request))
    tool.manifest(1)
    with serving(tool) as sandbox, servers.open_folder() as folder:
        assert tool("state", "init").code == 0
        with servers.replica(own_server, folder) as replica:
            use(tool, place_at(replica, request))
            assert tool("plan", "--detailed-exitcode").code == 2
            for command in (APPLY, ("state", "mv", "a", "b")):
                said(tool(*command), 1, "this server is a read-only replica")
            assert sandbox.statistics().requests == 0


def test_a_replica_that_lacks_rows_takes_over(
    tool: Tool, own_server: Postgres, request: pytest.FixtureRequest
) -> None:
    """What the run had appended is gone with the primary: it rescues what it still has."""
    tool.manifest(3)
    with (
        serving(tool) as sandbox,
        answers_held() as held,
        servers.open_folder() as folder,
        before_postgres(own_server.port) as proxy,
    ):
        use(tool, place_at(own_server, request, proxy.port))
        assert tool("state", "init").code == 0
        with servers.replica(own_server, folder) as replica:
            process = tool.start(*APPLY, "--parallelism=2")
            wait_for(lambda: sandbox.statistics().requests == 2, "the requests")
            with replica.connect() as owner:
                owner.execute("SELECT pg_promote()")
            proxy.upstream = replica.port
            proxy.cut()
            held.let()
            stdout, stderr = process.communicate(timeout=HANG)
            assert process.returncode == 3, stderr.decode()
            said_all = " ".join((stdout + stderr).decode().split())
            assert "its server has lost rows" in said_all
            assert "personasync_rescue" in said_all
            after = tool(*APPLY)
            assert after.code == 0, after.stderr
            assert "2 entries were rescued" in after.stderr
            assert recorded(tool) == made(sandbox)
            assert set(sandbox.statistics().audios.values()) == {1}


@pytest.mark.timeout(900)
def test_a_kill_at_every_message(tool: Tool, place_of: Callable[[str], Place]) -> None:
    """Killed before the server has a message, and after it did what it says."""
    killed = 0
    for at in range(1, 13):
        for cut in Cut:
            folder = tool.folder / f"{at}-{cut.name}"
            folder.mkdir()
            killed += kill(Tool(folder), place_of("postgres"), at, cut)
    assert killed >= 14


def kill(tool: Tool, place: Place, at: int, cut: Cut) -> bool:
    use(tool, place)
    tool.manifest(3)
    port = int(place.location.partition("127.0.0.1:")[2].partition("/")[0])
    process: Any = None
    messages = 0

    def choose(text: str) -> Cut | None:
        nonlocal messages
        messages += "COMMIT" in text
        if messages != at or "COMMIT" not in text:
            return None
        if cut is Cut.BEFORE:
            wait_for(lambda: process is not None, "the process")
            os.kill(process.pid, signal.SIGKILL)
        return cut

    with serving(tool, repeat="same-id") as sandbox, before_postgres(port, choose) as proxy:
        assert tool("state", "init").code == 0
        cut_place = place.location.replace(str(port), str(proxy.port))
        started = tool.start(*APPLY, "--parallelism=1", env={"PERSONASYNC_STATE": cut_place})
        process = started
        if cut is Cut.AFTER:
            wait_for(lambda: proxy.cuts or started.poll() is not None, "the message")
            started.kill()
        _stdout, stderr = started.communicate(timeout=HANG)
        shown = {
            line.split(b"created ")[1].split()[0].rstrip(b";").decode()
            for line in stderr.splitlines()
            if b": created " in line
        }
        assert shown <= set(recorded(tool).values())
        assert tool("state", "unlock", "--auto-approve").code == 0
        assert tool(*APPLY).code == 0
        assert recorded(tool) == made(sandbox)
        assert tool("state", "verify").code == 0
        return bool(started.returncode == -signal.SIGKILL)
