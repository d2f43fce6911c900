"""What personasync is measured beside, and the one environment that all of them run in.

One virtual environment for all, so that no command starts with packages, hooks
or an installation that another lacks. It is made once, in a folder that git
ignores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".benchmarks"
_INSTALL_SECONDS = 300

_SCRIPT = """\
#!{python}
from personasync.__main__ import run
run()
"""


@dataclass(frozen=True)
class Bench:
    """Where the commands are. ``octodns`` is ``None`` where it could not be installed: ``why``."""

    python: Path
    personasync: Path
    octodns: Path | None
    octodns_version: str = ""
    why: str = ""


def prepare() -> Bench:
    """Make the environment, or find the one made before; what cannot be had is left out."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n", encoding="utf-8")
    folder = CACHE / f"venv-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    problem = "" if python.exists() else _run(sys.executable, "-m", "venv", str(folder))
    problem = problem or _run(str(python), "-m", "pip", "install", "-q", *_dependencies())
    if problem:
        return Bench(Path(sys.executable), _script(Path(sys.executable)), None, why=problem)
    problem = _run(str(python), "-m", "pip", "install", "-q", "octodns")
    if problem:
        return Bench(python, _script(python), None, why=problem)
    say_version = "import importlib.metadata as m; print(m.version('octodns'))"
    version = subprocess.check_output([str(python), "-c", say_version], text=True).strip()
    return Bench(python, _script(python), folder / "bin" / "octodns-sync", version)


def _dependencies() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *extras["s3"], *extras["postgres"]]


def _script(python: Path) -> Path:
    """Write what an installer writes for the entry point."""
    script = CACHE / "personasync"
    script.write_text(_SCRIPT.format(python=python), encoding="utf-8")
    script.chmod(0o755)
    return script


def _run(*args: str) -> str:
    """Run a command of the preparation; return why it failed, or nothing."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        ended = subprocess.run(
            args, capture_output=True, text=True, timeout=_INSTALL_SECONDS, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if ended.returncode == 0:
        return ""
    last = ended.stderr.strip().splitlines() or ["it failed without a word"]
    return last[-1]


def environment() -> dict[str, str]:
    """Return the environment of every command: this checkout, its bytecode kept, as installed."""
    unsettled = ("PERSONASYNC_", "PYTHON", "COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unsettled)}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode"),
        "NO_COLOR": "1",
        "NO_PROXY": "127.0.0.1",
        "PERSONASYNC_API_KEY": "any",
    }
