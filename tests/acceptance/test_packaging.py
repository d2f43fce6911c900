"""The package as it is installed: from a wheel, from an sdist, and in place."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from email.parser import Parser
from pathlib import Path

import pytest

from tests.helpers.support import Tool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = sorted(path.name for path in (ROOT / "schemas").glob("*.json"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist, and the wheel that was built from it, out of the checkout."""
    out = tmp_path_factory.mktemp("built")
    python = [sys.executable, "-W", "ignore", "-m", "build", "--no-isolation"]
    subprocess.run([*python, "--outdir", str(out), str(ROOT)], check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has all that the tests have, except for personasync itself."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    library = next(folder.glob("lib/python*/site-packages"))
    (library / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def install(environment: Path, *what: str) -> None:
    """Install with pip, from this machine alone."""
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--force-reinstall", "--quiet"]
    python = str(environment / "python")
    subprocess.run([python, "-m", "pip", "install", *offline, *what], check=True)


def run(tool: Tool, command: Sequence[str], *args: str) -> str:
    """Run the installed command, which must work, and return its stdout."""
    ended = subprocess.run(
        [*command, *args],
        cwd=tool.folder,
        env=tool.environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return ended.stdout


def rehearse(environment: Path, tool: Tool) -> None:
    """Use the installed command as a stranger would, called in both ways."""
    script = [str(environment / "personasync")]
    module = [str(environment / "python"), "-m", "personasync"]
    tool.manifest(2)
    for command in (script, module):
        assert run(tool, command, "--version").startswith("personasync, version ")
        for name in SCHEMAS:
            published = (ROOT / "schemas" / name).read_text(encoding="utf-8")
            assert run(tool, command, "schema", name.partition(".")[0]) == published
    assert run(tool, script, "plan", "--sandbox").endswith(" 0 unchanged.\n")
    assert run(tool, script, "apply", "--sandbox", "--auto-approve").endswith(
        "\nApply complete: 2 created, 0 imported, 0 renamed.\n"
    )
    assert run(tool, module, "plan", "--sandbox").endswith(" is recorded.\n")


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_package_the_schemas_and_nothing_else(wheel: Path) -> None:
    files = {name for name in names_in(wheel) if ".dist-info/" not in name}
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "personasync").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert files == package | {f"personasync/schemas/{name}" for name in SCHEMAS}
    assert "personasync/py.typed" in files


def test_the_metadata_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    assert (metadata["Name"], metadata["License-Expression"]) == ("personasync", "MIT")
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names_in(wheel))
    assert metadata.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_sdist_builds_the_same_wheel_as_the_checkout(wheel: Path, tmp_path: Path) -> None:
    python = [sys.executable, "-W", "ignore", "-m", "build", "--no-isolation", "--wheel"]
    subprocess.run([*python, "--outdir", str(tmp_path), str(ROOT)], check=True, capture_output=True)
    direct = next(tmp_path.glob("*.whl"))
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(direct) as second:
        assert {name: first.read(name) for name in first.namelist()} == {
            name: second.read(name) for name in second.namelist()
        }


def test_the_sdist_is_the_project(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = {name.partition("/")[0] for name in names}
    assert top == {
        ".ci",
        ".github",
        ".gitignore",  # hatchling always takes it along
        ".pre-commit-hooks.yaml",
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "examples",
        "personasync",
        "pyproject.toml",
        "schemas",
        "tests",
    }
    assert not [name for name in names if "sandbox." in name and "jsonl" in name]


def test_it_works_from_a_wheel(wheel: Path, environment: Path, tool: Tool) -> None:
    install(environment, str(wheel))
    rehearse(environment, tool)


def test_it_works_from_an_sdist(built: Path, environment: Path, tool: Tool) -> None:
    install(environment, str(next(built.glob("*.tar.gz"))))
    rehearse(environment, tool)


def test_it_works_in_place(environment: Path, tool: Tool) -> None:
    install(environment, "--editable", str(ROOT))
    rehearse(environment, tool)
    where = subprocess.run(
        [environment / "python", "-c", "import personasync; print(personasync.__file__)"],
        cwd=tool.folder,
        env=tool.environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(where.stdout.strip()) == ROOT / "personasync" / "__init__.py"
