"""A YAML language server of a pinned version, installed once, kept from the network."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.helpers.missing import missing

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "editor"
GUARD = HERE / "no-network.cjs"

_OLDEST_NODE = 18
_INSTALL_WITHIN = 80.0  # seconds; a test may take 120 together with its set-up
_NPM_OPTIONS = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
    "--fetch-timeout=20000",
)
_UNREACHABLE = re.compile(
    r"^npm (?:error|ERR!) code "
    r"(E[45]\d\d|EAI_AGAIN|ECONN\w+|E(?:HOST|NET)UNREACH|ENOTFOUND|ETIMEDOUT|ERR_SOCKET_TIMEOUT)$",
    re.MULTILINE,
)


@pytest.fixture(scope="session")
def node() -> str:
    """The path of a Node.js that is new enough; the test is skipped where there is none."""
    path = shutil.which("node")
    if path is None:
        missing("npm", "there is no node on this machine")
    version = subprocess.run([path, "--version"], capture_output=True, check=True, text=True).stdout
    if int(version.lstrip("v").partition(".")[0]) < _OLDEST_NODE:
        missing("npm", f"node is {version.strip()}, older than {_OLDEST_NODE}")
    return path


@pytest.fixture(scope="session")
def language_server(node: str) -> list[str]:
    """The command that starts the language server over stdio.

    It is set up before the first test's guard is, so npm has the settings of
    whoever runs the tests: their registry, proxy and certificates.
    """
    locked = (HERE / "package-lock.json").read_bytes()
    folder = CACHE / hashlib.sha256(locked).hexdigest()[:16]
    if not folder.is_dir():
        _install(folder)
    script = folder / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    return [node, "--require", str(GUARD), str(script), "--stdio"]


def _install(folder: Path) -> None:
    """Install the pinned packages; ``folder`` is there when all of them are."""
    npm = shutil.which("npm")
    if npm is None:
        missing("npm", "it is not on this machine")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        place = Path(scratch) / "installed"
        place.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, place)
        _run_npm([npm, "ci", "--prefix", str(place), "--cache", str(CACHE / "npm"), *_NPM_OPTIONS])
        try:
            place.rename(folder)
        except OSError:
            assert folder.is_dir()  # another run has installed the same meanwhile


def _run_npm(command: list[str]) -> None:
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=_INSTALL_WITHIN,
        )
    except subprocess.TimeoutExpired:
        missing("npm", f"its registry did not deliver within {_INSTALL_WITHIN:g} seconds")
    if unreachable := _UNREACHABLE.search(ended.stderr):
        missing("npm", f"its registry cannot be reached: {unreachable[1]}")
    assert ended.returncode == 0, ended.stderr
