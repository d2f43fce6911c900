"""The installed command on shared states, with a sandbox for an API."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from personasync.state.open import open_store
from tests.backends.conftest import Place
from tests.backends.proxy import Fault, before_store
from tests.backends.servers import S3
from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import NO_CHANGES, made, serving
from tests.helpers.support import Ended, Tool
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import HANG, answers_held, wait_for

APPLY = ("apply", "--auto-approve", "--rate-limit=none")


def use(tool: Tool, place: Place, **environment: str) -> None:
    """Let the command keep its state at a place, as CI does."""
    tool.environment.update(place.environment)
    tool.environment.update(PERSONASYNC_STATE=place.location, **environment)


def recorded(tool: Tool) -> dict[str, str]:
    """Return the IDs that the command finds, by ``audioId``."""
    ended = tool("output", "--format=json")
    assert ended.code == 0, ended.stderr
    return {each["audioId"]: each["personaId"] for each in json.loads(ended.stdout).values()}


@pytest.fixture(params=["s3", "azure", "gcs", "postgres", "pooler"])
def begun(request: pytest.FixtureRequest, place_of: Callable[[str], Place]) -> Place:
    """A shared place where nothing is yet."""
    return place_of(request.param)


def test_from_init_to_no_changes(tool: Tool, begun: Place) -> None:
    tool.manifest(3)
    use(tool, begun)
    with serving(tool) as sandbox:
        missing = tool("plan")
        assert missing.code == 1
        assert missing.stderr.startswith(f"Error: there is no state at {begun.location}\n")
        assert "begin one: personasync state init " in missing.stderr
        assert tool("state", "init").code == 0
        assert tool("state", "init").code == 1
        assert tool("plan", "--detailed-exitcode").code == 2
        ended = tool(*APPLY)
        assert ended.code == 0, ended.stderr
        assert ended.last_line == "Apply complete: 3 created, 0 imported, 0 renamed."
        assert tool("plan").last_line == NO_CHANGES
        assert recorded(tool) == made(sandbox)
        assert tool("state", "mv", "p-000", "q").code == 0
        assert tool("state", "list").stdout.splitlines()[-1].startswith("q ")
        assert tool("import", "p-009", "an-id-1", "--force").code in (0, 1)
        assert tool("state", "rm", "q").code == 0
        assert tool("plan").code == 0
        verified = tool("state", "verify")
        assert verified.code == 0, verified.stderr
        assert "all is well" in verified.stdout
        assert not (tool.folder / "personas.state.jsonl").exists()


def test_another_run_is_named_and_waited_for(tool: Tool, begun: Place) -> None:
    tool.manifest(2)
    use(tool, begun)
    with serving(tool) as sandbox, answers_held() as held:
        assert tool("state", "init").code == 0
        holder = tool.start(*APPLY)
        wait_for(lambda: sandbox.statistics().requests == 2, "the requests")
        refused = tool(*APPLY)
        assert (refused.code, refused.stdout) == (4, "")
        assert f"pid {holder.pid}" in refused.stderr
        assert "--lock-timeout 90s" in refused.stderr
        assert "personasync state unlock" in refused.stderr
        waiting = tool.start(*APPLY, "--lock-timeout=60s")
        held.let()
        for process in (holder, waiting):
            process.communicate(timeout=HANG)
            assert process.returncode == 0
        assert set(sandbox.statistics().audios.values()) == {1}


def test_a_run_that_was_unlocked_tells_and_its_ids_are_taken_in(tool: Tool, begun: Place) -> None:
    """Stopped after its answer came, taken over, then continued."""
    tool.manifest(2)
    use(tool, begun)
    with serving(tool) as sandbox, answers_held() as held:
        assert tool("state", "init").code == 0
        stopped = tool.start(*APPLY)
        wait_for(lambda: sandbox.statistics().requests == 2, "the requests")
        stopped.send_signal(signal.SIGSTOP)
        held.let()
        unlocked = tool("state", "unlock", "--auto-approve")
        assert unlocked.code == 0, unlocked.stderr
        assert f"pid {stopped.pid}" in unlocked.stderr
        tool.write(
            "other.yaml", (tool.folder / "personas.yaml").read_text().replace("p-00", "x-00")
        )
        edited = tool("state", "mv", "audio-000", "other")  # another writer, whoever it is
        assert edited.code == 0, edited.stderr
        stopped.send_signal(signal.SIGCONT)
        stdout, stderr = stopped.communicate(timeout=HANG)
        assert stopped.returncode == 3, stderr.decode()
        assert b"Stopped: another run has taken the state" in stdout
        assert b"rescue" in stderr + stdout
        after = tool(*APPLY)
        assert "rescued" in after.stderr
        assert set(recorded(tool).values()) == set(made(sandbox).values())
        assert set(sandbox.statistics().audios.values()) == {1}


S3_ONLY = pytest.mark.parametrize("begun", ["s3"], indirect=True)


@pytest.fixture
def ready(tool: Tool, place_of: Callable[[str], Place]) -> Place:
    """A state on S3 that the command uses."""
    place = place_of("s3")
    use(tool, place)
    tool.environment.update(PERSONASYNC_BASE_URL="http://127.0.0.1:9", PERSONASYNC_API_KEY="any")
    return place


def said(ended: Ended, code: int, *words: str) -> None:
    """Check that a run ended with one clear message."""
    assert ended.code == code, ended.stderr
    for word in words:
        assert word in ended.stderr
    assert ended.stderr.startswith("Error: ")
    assert "secret" not in ended.stderr + ended.stdout


@pytest.mark.parametrize(
    ("environment", "location", "words"),
    [
        ({}, "s3://no-such-bucket/a", ("s3://no-such-bucket/a", "404", "NoSuchBucket")),
        ({"AWS_ACCESS_KEY_ID": "stranger"}, None, ("403 Forbidden", "InvalidAccessKeyId")),
        ({"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, None, ("403 Forbidden", "Signature")),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, None, ("connection was refused",)),
        ({"AWS_ENDPOINT_URL": "https://nowhere.invalid"}, None, ("cannot be resolved",)),
    ],
)
@pytest.mark.parametrize("command", [("plan",), ("output",), APPLY, ("state", "list")])
def test_a_store_that_does_not_let_us_in(
    tool: Tool,
    ready: Place,
    s3_server: S3,
    command: tuple[str, ...],
    environment: Mapping[str, str],
    location: str | None,
    words: tuple[str, ...],
) -> None:
    tool.manifest(1)
    tool("state", "init")
    state = {"PERSONASYNC_STATE": location} if location else {}
    began = time.monotonic()
    said(tool(*command, env={**environment, **state}), 1, *words)
    assert time.monotonic() - began < 15


def test_a_key_that_may_only_read(tool: Tool, ready: Place, s3_server: S3) -> None:
    tool.manifest(1)
    with serving(tool) as sandbox:
        assert tool("state", "init").code == 0
        reader = s3_server.environment("reader")
        assert tool("plan", env=reader).code == 0
        said(tool(*APPLY, env=reader), 1, "403 Forbidden", "AccessDenied")
        assert sandbox.statistics().requests == 0


def test_a_store_that_hangs_is_named_within_ten_seconds(
    tool: Tool, ready: Place, s3_server: S3
) -> None:
    tool.manifest(1)
    with before_store(s3_server.port, lambda _method, _path: Fault.HANG_BEFORE) as proxy:
        for command in ("plan", "output"):
            began = time.monotonic()
            ended = tool(command, env={"AWS_ENDPOINT_URL": proxy.address})
            assert time.monotonic() - began < 12  # ten, and a start on a busy machine
            said(ended, 1, ready.location, "does not answer")


@pytest.mark.parametrize("at", [1, 2, 4])
def test_ctrl_c_is_heard_while_a_put_hangs(
    tool: Tool, ready: Place, s3_server: S3, at: int
) -> None:
    """The lease's own put, one that proves the store, the fence; and what gives the lease up."""
    tool.manifest(1)
    puts = 0

    def choose(method: str, _path: str) -> Fault | None:
        nonlocal puts
        puts += method == "PUT"
        return Fault.HANG_BEFORE if method == "PUT" and puts >= at else None

    with serving(tool):
        assert tool("state", "init").code == 0
        with before_store(s3_server.port, choose) as proxy:
            process = tool.start(*APPLY, env={"AWS_ENDPOINT_URL": proxy.address})
            wait_for(lambda: proxy.going_wrong, "the put that hangs")
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            _stdout, stderr = process.communicate(timeout=HANG)
            assert time.monotonic() - began < 6
        assert process.returncode == 130, stderr
        assert b"Interrupted" in stderr


@pytest.mark.parametrize("fault", [Fault.DENIED, Fault.EXPIRED])
def test_an_apply_that_loses_the_store_rescues_on_this_machine(
    tool: Tool, ready: Place, s3_server: S3, fault: Fault
) -> None:
    tool.manifest(3)
    lost = False

    def choose(_method: str, _path: str) -> Fault | None:
        return fault if lost else None

    with (
        serving(tool) as sandbox,
        answers_held() as held,
        before_store(s3_server.port, choose) as p,
    ):
        tool.environment["AWS_ENDPOINT_URL"] = p.address
        tool.environment["XDG_STATE_HOME"] = str(tool.folder / "kept")
        assert tool("state", "init").code == 0
        process = tool.start(*APPLY, "--parallelism=2")
        wait_for(lambda: sandbox.statistics().requests == 2, "the requests")
        lost = True
        held.let()
        stdout, stderr = process.communicate(timeout=HANG)
        assert process.returncode == 3, stderr.decode()
        [file] = (tool.folder / "kept" / "personasync").iterdir()
        assert file.name.encode() in stdout + stderr
        assert sandbox.statistics().requests == 2
        lost = False
        assert tool("state", "unlock", "--auto-approve").code == 0  # else it waits a lease long
        assert tool(*APPLY).code == 0
        assert not file.exists()
        assert recorded(tool) == made(sandbox)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["s3", "postgres"])
def test_eight_applies_at_once_four_of_which_take_the_lock_by_force(
    tool: Tool, place_of: Callable[[str], Place], kind: str
) -> None:
    place = place_of(kind)
    use(tool, place)
    tool.manifest(40)
    with serving(tool, latency=0.2) as sandbox:
        assert tool("state", "init").code == 0
        heeding = [tool.start(*APPLY, "--lock-timeout=5m", "--parallelism=2") for _ in range(4)]
        forcing = []

        def has_more(count: int) -> bool:
            return sandbox.statistics().made > count

        for turn in range(4):
            wait_for(partial(has_more, 5 * turn), "a persona")
            tool("state", "unlock", "--auto-approve")
            forcing.append(tool.start(*APPLY, "--lock-timeout=5m", "--parallelism=2"))
        ended = [(run, *run.communicate(timeout=300)) for run in (*heeding, *forcing)]
        codes = [run.returncode for run, _stdout, _stderr in ended]
        assert set(codes) <= {0, 3}, [
            stderr for run, _stdout, stderr in ended if run.returncode not in (0, 3)
        ]
        acknowledged = {
            line.split(b"created ")[1].split()[0].rstrip(b";").decode()
            for _run, _stdout, stderr in ended
            for line in stderr.splitlines()
            if b": created " in line
        }
        known = set(recorded(tool).values())
        assert acknowledged <= known
        assert known <= set(made(sandbox).values())
        for run, stdout, stderr in ended:
            if run.returncode == 3:  # it was ousted, or asked for what the one it ousted had asked
                ousted = b"Stopped: another run has taken the state" in stdout
                assert ousted or b": in conflict: the API answered 409" in stderr, stderr.decode()
        assert tool("state", "verify").code == 0


@pytest.mark.parametrize("kind", ["s3", "postgres"])
def test_applies_that_heed_the_lock_ask_for_each_once(
    tool: Tool, place_of: Callable[[str], Place], kind: str
) -> None:
    use(tool, place_of(kind))
    tool.manifest(12)
    with serving(tool, latency=0.02) as sandbox:
        assert tool("state", "init").code == 0
        runs = [tool.start(*APPLY, "--lock-timeout=5m", "--parallelism=2") for _ in range(4)]
        for run in runs:
            _stdout, stderr = run.communicate(timeout=HANG)
            assert run.returncode == 0, stderr.decode()
        assert recorded(tool) == made(sandbox)
        assert set(sandbox.statistics().audios.values()) == {1}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_at_every_put(tool: Tool, place_of: Callable[[str], Place], s3_server: S3) -> None:
    """Killed before the store has a put, and after, with the answer on its way."""
    killed = 0
    for at in range(1, 12):
        for after in (False, True):
            folder = tool.folder / f"{at}-{after}"
            folder.mkdir()
            killed += kill(Tool(folder), place_of("s3"), s3_server, at, after=after)
    assert killed >= 14


def kill(tool: Tool, place: Place, server: S3, at: int, *, after: bool) -> bool:
    use(tool, place)
    tool.manifest(3)
    process: Any = None
    puts = 0

    def choose(method: str, _path: str) -> Fault | None:
        nonlocal puts
        if process is None or method != "PUT":
            return None
        puts += 1
        if puts != at:
            return None
        if not after:
            os.kill(process.pid, signal.SIGKILL)
        return Fault.CUT_AFTER if after else Fault.RESET_BEFORE

    with serving(tool, repeat="same-id") as sandbox, before_store(server.port, choose) as proxy:
        assert tool("state", "init").code == 0
        started = tool.start(*APPLY, "--parallelism=1", env={"AWS_ENDPOINT_URL": proxy.address})
        process = started
        if after:
            wait_for(lambda: proxy.going_wrong or started.poll() is not None, "the put")
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


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["s3", "postgres"])
def test_a_dead_run_is_taken_over_after_its_lease(
    tool: Tool, place_of: Callable[[str], Place], kind: str
) -> None:
    use(tool, place_of(kind))
    tool.manifest(1)
    with serving(tool, repeat="same-id") as sandbox, answers_held() as held:
        assert tool("state", "init").code == 0
        dead = tool.start(*APPLY)
        wait_for(lambda: sandbox.statistics().requests == 1, "the request")
        dead.kill()
        dead.communicate()
        held.let()
        began = time.monotonic()
        ended = tool(*APPLY, "--lock-timeout=90s", timeout=120)
        assert ended.code == 0, ended.stderr
        assert time.monotonic() - began < 80
        assert recorded(tool) == made(sandbox)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["s3", "postgres"])
def test_a_run_stopped_before_it_sends_sends_nothing(
    tool: Tool, place_of: Callable[[str], Place], kind: str
) -> None:
    """Stopped beyond its lease while its rate makes it wait, and taken over meanwhile."""
    use(tool, place_of(kind))
    tool.manifest(2)
    with serving(tool) as sandbox:
        assert tool("state", "init").code == 0
        stopped = tool.start("apply", "--auto-approve", "--rate-limit=1/5s", "--parallelism=1")
        wait_for(lambda: sandbox.statistics().requests == 1, "the first request")
        stopped.send_signal(signal.SIGSTOP)
        assert tool("state", "unlock", "--auto-approve").code == 0
        time.sleep(50)  # older than what is looked at before a send
        stopped.send_signal(signal.SIGCONT)
        stdout, _stderr = stopped.communicate(timeout=HANG)
        assert stopped.returncode == 3
        assert sandbox.statistics().requests == 1
        assert b"Stopped: another run has taken the state" in stdout


def test_copies_from_file_to_s3_to_postgresql_and_back(
    tool: Tool, place_of: Callable[[str], Place]
) -> None:
    tool.manifest(4)
    store, database = place_of("s3"), place_of("postgres")
    tool.environment.update({**store.environment, **database.environment})
    with serving(tool) as sandbox:
        assert tool(*APPLY).code == 0
        route = ["personas.state.jsonl", store.location, database.location, "back.jsonl"]
        before = tool.entries()
        for source, target in pairwise(route):
            copied = tool("state", "copy", source, target)
            assert copied.code == 0, copied.stderr
            assert copied.last_line.startswith("export PERSONASYNC_STATE=")
            assert tool("plan", "--state", target).last_line == NO_CHANGES
            assert tool("state", "copy", source, target).code == 0  # an earlier copy is kept
        assert tool.entries("back.jsonl") == before
        assert tool.entries() == before
        assert len(made(sandbox)) == 4
        apart = tool("state", "init", "apart.jsonl")
        assert apart.code == 0
        refused = tool("state", "copy", "personas.state.jsonl", "apart.jsonl")
        said(refused, 1, "holds another state")


def test_a_copy_to_a_place_that_is_held_waits_or_says_what_to_do(
    tool: Tool, place_of: Callable[[str], Place]
) -> None:
    tool.manifest(1)
    target = place_of("s3")
    tool.environment.update(target.environment)
    with serving(tool) as sandbox, answers_held() as held:
        assert tool("state", "init").code == 0
        assert tool("state", "copy", "personas.state.jsonl", target.location).code == 0
        holder = tool.start(*APPLY, "--state", target.location)
        wait_for(lambda: sandbox.statistics().requests == 1, "the request")
        refused = tool("state", "copy", "personas.state.jsonl", target.location)
        assert refused.code == 4
        assert f"personasync state unlock --state {target.location}" in refused.stderr
        waiting = tool.start(
            "state", "copy", "personas.state.jsonl", target.location, "--lock-timeout=60s"
        )
        held.let()
        holder.communicate(timeout=HANG)
        _stdout, stderr = waiting.communicate(timeout=HANG)
        assert waiting.returncode == 1  # it knows by then what the file does not
        assert b"knows something that the state to copy does not" in stderr
        assert tool("state", "unlock", "--state", target.location).code == 0


def test_verify_names_what_is_damaged(tool: Tool, ready: Place, s3_server: S3) -> None:
    from obstore.store import S3Store

    tool.manifest(1)
    with serving(tool):
        assert tool("state", "init").code == 0
        assert tool(*APPLY).code == 0
        store = S3Store(
            s3_server.bucket,
            endpoint=s3_server.endpoint,
            access_key_id="user-key",
            secret_access_key="user-secret",
            region="us-east-1",
            client_options={"allow_http": True},
        )
        prefix = ready.location.rpartition("/")[2]
        store.put(f"{prefix}/snapshots/00000000000000000002.jsonl.gz", b"garbled")
        plan = tool("plan")
        assert plan.code == 0
        assert "snapshots/00000000000000000002.jsonl.gz" in plan.stderr
        said(tool("state", "verify"), 1, "snapshots/00000000000000000002.jsonl.gz")
        store.put(f"{prefix}/log/00000000000000000002.jsonl", b"garbled")
        for command in (("plan",), ("state", "verify"), APPLY):
            said(tool(*command), 1, "log/00000000000000000002.jsonl")


@pytest.mark.parametrize("command", [("plan",), APPLY])
def test_who_watches_sees_that_a_large_state_is_read(
    tool: Tool, ready: Place, s3_server: S3, command: tuple[str, ...]
) -> None:
    tool.manifest(1)
    seen = threading.Event()

    def choose(_method: str, path: str) -> None:
        if "list-type" in path:
            seen.wait(HANG)

    with serving(tool), before_store(s3_server.port, choose) as proxy:
        assert tool("state", "init").code == 0
        watched = {"AWS_ENDPOINT_URL": proxy.address}
        terminal = Terminal(tool, *command, width=50, env=watched)
        shown = terminal.read_until(" (1 s)")
        seen.set()
        code, shown = terminal.ended()
        assert code == 0, shown
        line = f"Reading the state {ready.location}"[: 50 - len(" (1 s)") - 1] + " (1 s)"
        assert f"\r{line}" in shown
        assert f"\r{' ' * len(line)}\r" in shown
        piped = tool(*command, env=watched)
        assert "Reading" not in piped.stderr


def test_unlock_asks_and_says_who(tool: Tool, ready: Place) -> None:
    tool.manifest(1)
    with serving(tool) as sandbox, answers_held() as held:
        assert tool("state", "init").code == 0
        assert "Nobody holds" in tool("state", "unlock").stdout
        holder = tool.start(*APPLY)
        wait_for(lambda: sandbox.statistics().requests == 1, "the request")
        asked = tool("state", "unlock")
        assert asked.code == 1
        assert f"pid {holder.pid}" in asked.stderr
        assert "--auto-approve" in asked.stderr
        held.let()
        holder.communicate(timeout=HANG)


def test_no_secret_is_shown(tool: Tool, place_of: Callable[[str], Place]) -> None:
    tool.manifest(1)
    place = place_of("postgres")
    password = place.environment["PGPASSWORD"]
    with_password = place.location.replace("postgres@", f"postgres:{password}@")
    with serving(tool):
        tool.environment["PERSONASYNC_STATE"] = with_password
        everything = []
        for command in (
            ("plan", "-v"),
            ("state", "init"),
            ("plan", "-v", "--out", "plan.json"),
            ("apply", "--auto-approve", "-v", "--format=json"),
            ("state", "verify"),
            ("output", "-v"),
            ("state", "mv", "nothing", "x"),
        ):
            ended = tool(*command)
            everything += [ended.stdout, ended.stderr]
        everything.append((tool.folder / "plan.json").read_text())
        saved = tool("plan", "--out", "again.json").stderr  # where the password is, there it stays
        assert "carry it out with: personasync apply again.json\n" in saved
        assert tool("apply", "again.json", "--auto-approve").code == 0
        wrong = with_password.replace(password, "wr0ng-s3cret")
        for location in (wrong, wrong.replace("127.0.0.1:", "127.0.0.1:1"), f"{wrong}&sslmdoe=x"):
            ended = tool("plan", "-v", env={"PERSONASYNC_STATE": location})
            assert ended.code in (1, 64)
            everything += [ended.stdout, ended.stderr]
        assert password not in "".join(everything)
        assert "wr0ng-s3cret" not in "".join(everything)
        refused = tool("plan", "--state", with_password)
        assert refused.code == 64
        assert password not in refused.stderr


def test_a_plan_on_a_file_loads_no_store(tool: Tool) -> None:
    tool.manifest(1)
    probe = (
        "import sys; from personasync.cli.main import main; main(['plan']);"
        "print([name for name in ('obstore', 'psycopg', 'boto3') if name in sys.modules])"
    )
    import subprocess
    import sys

    ended = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=tool.folder,
        env=tool.environment,
        capture_output=True,
        text=True,
    )
    assert ended.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("package", "location", "extra"),
    [
        ("obstore", "s3://voices/a", "s3"),
        ("obstore", "gs://voices/a", "gcs"),
        ("obstore", "az://voices/a?account=a", "azure"),
        ("psycopg", "postgresql://h/d", "postgres"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    tool: Tool, package: str, location: str, extra: str
) -> None:
    tool.manifest(1)
    tool.write(f"{package}.py", "raise ImportError('it is not here')\n")
    ended = tool("plan", "--state", location, env={"PYTHONPATH": str(tool.folder)})
    said(ended, 1, package, f"pip install 'personasync[{extra}]'")


def test_the_store_of_another_run_can_be_opened_by_its_url(ready: Place) -> None:
    ready.begin()
    assert open_store(ready.location).hold.held() is None
    assert isinstance(Sandbox, type)
