"""One writer at a time, named, and never longer than it lives."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from personasync.model.errors import StateError, StateLockedError
from personasync.state.lock import _write_holder, hold

HOLDER = """
    import sys, time
    from pathlib import Path
    from personasync.state.lock import hold
    with hold(Path(sys.argv[1])):
        print("held", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def other(path: Path) -> Any:
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), str(path), "--second-word"],
        stdout=subprocess.PIPE,
        cwd=os.getcwd(),  # noqa: PTH109
        env={**os.environ, "USER": "ada", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_told_who_the_first_is(path: Path, other: Any) -> None:
    with pytest.raises(StateLockedError) as caught, hold(path):
        raise AssertionError("two hold it")
    told = caught.value.message
    assert told.startswith(
        f"another run holds the state {path}: ada@{socket.gethostname()}, pid {other.pid},"
        f" personasync {path} --second-word, since 20"
    )
    assert caught.value.exit_code == 4
    assert "lock_timeout=5m" in str(caught.value.hint)


def test_the_lock_of_a_killed_process_is_free_at_once(path: Path, other: Any) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    with hold(path):
        pass


def test_a_waiter_is_told_once_whom_it_waits_for_and_gets_its_turn(path: Path, other: Any) -> None:
    told: list[Any] = []

    def on_wait(holder: Any) -> None:
        told.append(holder)
        other.kill()

    started = time.monotonic()
    with hold(path, timeout=30, on_wait=on_wait):
        assert [holder.pid for holder in told] == [other.pid]
    assert time.monotonic() - started < 10


def test_a_waiter_does_not_wait_for_ever(path: Path, other: Any) -> None:
    told: list[Any] = []
    started = time.monotonic()
    with pytest.raises(StateLockedError), hold(path, timeout=0.3, on_wait=told.append):
        raise AssertionError("two hold it")
    assert 0.25 < time.monotonic() - started < 5
    assert len(told) == 1


def test_without_a_timeout_nobody_waits(path: Path, other: Any) -> None:
    told: list[Any] = []
    with pytest.raises(StateLockedError), hold(path, on_wait=told.append):
        raise AssertionError("two hold it")
    assert told == []


def test_threads_of_one_process_exclude_each_other(path: Path) -> None:
    inside, most = [], []

    def work() -> None:
        with hold(path, timeout=20):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4


def test_one_thread_cannot_hold_it_twice(path: Path) -> None:
    with (
        hold(path),
        pytest.raises(StateLockedError, match=f"pid {os.getpid()}"),
        hold(path, timeout=0.1),
    ):
        raise AssertionError("held twice")


def test_it_is_free_after_an_error_inside(path: Path) -> None:
    with pytest.raises(KeyError), hold(path):
        raise KeyError
    with hold(path):
        pass


def test_the_holder_is_named_while_it_holds_and_not_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "grace")
    monkeypatch.setattr(sys, "argv", ["/opt/x/__main__.py", "apply", "\udcff", "a" * 500])
    label = path.with_name(f"{path.name}.lock")
    with hold(path):
        holder = json.loads(label.read_text())
    assert label.read_text() == ""
    assert holder.pop("since").endswith("Z")
    assert holder == {
        "user": "grace",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": ("personasync apply \udcff " + "a" * 500)[:200],
    }


def test_the_holder_can_be_read_where_a_lock_forbids_reading(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The lock of Windows is on the first byte: nobody else can read it, or write it."""
    label = path.with_name(f"{path.name}.lock")
    read, write = os.read, os.write

    def at_the_lock(descriptor: int) -> Any:
        return os.path.samestat(os.fstat(descriptor), label.stat()) and not os.lseek(
            descriptor, 0, os.SEEK_CUR
        )

    def forbid(real: Any) -> Any:
        def call(descriptor: int, *args: Any) -> Any:
            if at_the_lock(descriptor):
                raise PermissionError(13, "another process has locked a portion of the file")
            return real(descriptor, *args)

        return call

    with hold(path):
        monkeypatch.setattr("personasync.state.lock.os.read", forbid(read))
        monkeypatch.setattr("personasync.state.durable.os.write", forbid(write))
        _write_holder(label)
        with pytest.raises(StateLockedError) as caught, hold(path):
            raise AssertionError("two hold it")
    assert f", pid {os.getpid()}," in caught.value.message


def test_a_user_without_a_name_is_a_number(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    with hold(path):
        label = path.with_name(f"{path.name}.lock").read_text()
    assert json.loads(label)["user"] == f"uid {os.getuid()}"


@pytest.mark.parametrize(
    "label", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 4096, b'{"user":1,"x":2}']
)
def test_a_label_that_says_nothing_is_no_hindrance(path: Path, label: Any) -> None:
    with hold(path):
        path.with_name(f"{path.name}.lock").write_bytes(label)
        with pytest.raises(StateLockedError) as caught, hold(path):
            raise AssertionError("two hold it")
    assert caught.value.message == f"another run holds the state {path}"


def test_a_lock_without_room_for_its_label_is_a_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    def full(*_args: Any, **_options: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("personasync.state.lock.write_all", full)
    with hold(path), pytest.raises(StateLockedError), hold(path):
        raise AssertionError("two hold it")


def test_where_no_lock_can_be_had_is_an_error(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("a file where a folder should be")
    with pytest.raises(StateError) as caught, hold(path):
        raise AssertionError("held")
    assert caught.value.message == f"cannot lock the state {path}: there is no such folder"


def test_where_no_lock_file_can_be_made_nobody_holds_the_state() -> None:
    with pytest.raises(StateError) as caught, hold(Path("/proc/self/fd/state.jsonl")):
        pass
    assert not isinstance(caught.value, StateLockedError)


def test_a_folder_that_is_not_there_is_not_made(path: Path) -> None:
    path.parent.rmdir()
    with pytest.raises(StateError) as caught, hold(path):
        raise AssertionError("held")
    assert caught.value.message == f"cannot lock the state {path}: there is no such folder"
    assert not path.parent.exists()
