"""What holds for every test: no network but loopback, no home folder, a clean environment."""

from __future__ import annotations

import compileall
import ipaddress
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers.support import Tool, clean_environment

# A machine that is busy with other things is no defect of what is tested.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    """Prepare what every test and every command that it starts inherits."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what has a "&"
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGQUIT") and signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if not hasattr(config, "workerinput"):  # once, as an installation does, for thousands of runs
        compileall.compile_dir(Path(__file__).parents[1] / "personasync", quiet=2)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Run more quick tests at a time than there are cores: what they do half the time is wait."""
    if config.option.markexpr != "not slow" or "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return 2 * (os.cpu_count() or 1)


class ReachedOut(AssertionError):
    """A test tried to leave this machine."""


def _refuse_the_world(address: object) -> None:
    if not isinstance(address, tuple):
        return  # a Unix socket
    host = str(address[0])
    try:
        allowed = ipaddress.ip_address(host).is_loopback
    except ValueError:
        allowed = host == "localhost" or host.endswith(".invalid")  # by RFC 2606, nowhere
    if not allowed:
        raise ReachedOut(f"a test tried to reach {host}")


@pytest.fixture(autouse=True)
def _guard(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    clean = clean_environment(home)
    for name in list(os.environ):
        if name not in clean:
            monkeypatch.delenv(name)
    for name, value in clean.items():
        monkeypatch.setenv(name, value)

    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    lookup = socket.getaddrinfo

    def guarded_lookup(host: Any, *args: Any, **options: Any) -> Any:
        _refuse_the_world((host or "localhost",))
        return lookup(host, *args, **options)

    def guarded(self: socket.socket, address: Any) -> None:
        _refuse_the_world(address)
        connect(self, address)

    def guarded_ex(self: socket.socket, address: Any) -> int:
        _refuse_the_world(address)
        return connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_lookup)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A command run in the test's own process sets handlers, which must not outlive it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    """The installed command, in an empty folder."""
    return Tool(tmp_path)
