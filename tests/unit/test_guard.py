"""The guards of ``tests/conftest.py``: they hold, and they can fail a test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ReachedOut
from tests.helpers.support import Tool, clean_environment

ROOT = Path(__file__).resolve().parents[2]

SECRETS = {
    "PERSONASYNC_API_KEY": "a-key-of-the-user",
    "PERSONASYNC_BASE_URL": "https://user.example",
    "HTTPS_PROXY": "http://proxy.example",
    "NO_COLOR": "1",
    "GITHUB_STEP_SUMMARY": "summary.md",
}


@pytest.mark.parametrize(
    "address",
    [("192.0.2.1", 443), ("example.com", 443), ("2001:db8::1", 443, 0, 0), ("0.0.0.0", 80)],
    ids=lambda address: address[0],
)
@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_no_test_reaches_the_network(method: str, address: tuple[object, ...]) -> None:
    family = socket.AF_INET6 if len(address) == 4 else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(0.1)
        with pytest.raises(ReachedOut, match=f"tried to reach {address[0]}"):
            getattr(client, method)(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_open(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection((host, server.getsockname()[1]), timeout=5).close()


def test_the_home_folder_is_another() -> None:
    home = Path.home()
    assert list(home.iterdir()) == []
    assert Path(os.path.expanduser("~")) == home  # noqa: PTH111 - what a library would use


def test_no_setting_of_the_user_reaches_a_test(tmp_path: Path) -> None:
    """A test run started with the user's settings hands on none of them."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import _guard\n")
    (tmp_path / "test_inner.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "def test_settings():\n"
        f"    assert not {set(SECRETS)!r} & set(os.environ)\n"
        "def test_home():\n"
        f"    assert Path.home() != Path({str(tmp_path)!r})\n"
        "def test_network():\n"
        "    import socket\n"
        "    socket.create_connection(('192.0.2.1', 443), timeout=0.1)\n"
    )
    environment = {**os.environ, **SECRETS, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir=.", "-q"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    assert ended.returncode == 1, ended.stdout
    assert "1 failed, 2 passed" in ended.stdout
    assert "ReachedOut: a test tried to reach 192.0.2.1" in ended.stdout


def test_the_command_gets_a_clean_environment(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    assert not set(SECRETS) & set(clean_environment(tool.folder))
    assert not set(SECRETS) & set(Tool(tool.folder).environment)
    assert Tool(tool.folder).environment["HOME"] == str(tool.folder / "home")


def test_a_traceback_of_the_command_fails_the_test(tool: Tool) -> None:
    for name in [name for name in tool.environment if name.startswith("COVERAGE_")]:
        del tool.environment[name]  # what follows is not the package that is measured
    (tool.folder / "personasync").mkdir()
    (tool.folder / "personasync" / "__init__.py").touch()
    (tool.folder / "personasync" / "__main__.py").write_text("raise ValueError('oops')\n")
    with pytest.raises(AssertionError, match="Traceback"):
        tool("--version")
