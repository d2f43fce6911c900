"""The hook for pre-commit, installed and run by pre-commit itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.missing import check_index
from tests.helpers.repository import Repository
from tests.helpers.support import manifest_text

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not here"),
]

ROOT = Path(__file__).resolve().parents[2]
# pre-commit has pip install the hook as for any user; how pip reaches its index is the machine's.
PIP = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_CERT"))}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """This project as a repository of its own, at a commit."""
    folder = tmp_path_factory.mktemp("published")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    repository = Repository.begin(folder)
    repository.commit("A version")
    return repository


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pre-commit keeps the environments that it makes."""
    return tmp_path_factory.mktemp("pre-commit")


@pytest.fixture
def repository(tmp_path: Path, published: Repository, home: Path) -> Repository:
    repository = Repository.begin(tmp_path / "voices", {**PIP, "PRE_COMMIT_HOME": str(home)})
    repository.environment["HOME"] = str(home)
    configure(repository, published)
    return repository


def configure(repository: Repository, published: Repository, hook: str = "") -> None:
    version = published.git("rev-parse", "HEAD").strip()
    repository.write(
        ".pre-commit-config.yaml",
        "repos:\n"
        f"- repo: {published.folder.as_uri()}\n"
        f"  rev: {version}\n"
        "  hooks:\n"
        f"  - id: personasync-validate\n{hook}",
    )


def pre_commit(repository: Repository, *args: str) -> tuple[int, str]:
    repository.git("add", "--all")
    ended = subprocess.run(
        [sys.executable, "-m", "pre_commit", *args],
        cwd=repository.folder,
        env=repository.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    told = ended.stdout + ended.stderr
    check_index(told)
    return ended.returncode, told


def test_the_list_of_hooks_is_sound() -> None:
    check = [sys.executable, "-m", "pre_commit", "validate-manifest", ".pre-commit-hooks.yaml"]
    subprocess.run(check, cwd=ROOT, check=True)


def test_a_sound_manifest_passes_and_a_wrong_one_is_explained(repository: Repository) -> None:
    repository.manifest(2)
    code, told = pre_commit(repository, "run")
    assert code == 0, told
    assert "personasync validate" in told
    assert "Passed" in told

    repository.write("personas.yaml", manifest_text(range(2)).replace("    name:", "    nmae:", 1))
    code, told = pre_commit(repository, "run")
    assert code == 1
    assert "personas.yaml:6:5: error: " in told
    assert "did you mean name?" in told
    assert "\x1b" not in told


@pytest.mark.parametrize("name", ["notes.yaml", "deep/personas.yaml", "personas/old.yaml"])
def test_what_validate_does_not_read_is_left_alone(repository: Repository, name: str) -> None:
    repository.write(name, "personas: []\n")
    code, told = pre_commit(repository, "run")
    assert (code, "Skipped" in told) == (0, True)


def test_every_entry_of_readme_is_for_what_it_reads(
    repository: Repository, published: Repository
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [config] = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.S) if "rev: " in block]
    place = "https://github.com/YOUR-ORGANIZATION/personasync"
    config = config.replace(place, published.folder.as_uri())
    version = published.git("rev-parse", "HEAD").strip()
    repository.write(".pre-commit-config.yaml", re.sub("rev: .*", f"rev: {version}", config))
    for number, name in enumerate(("personas.yaml", "voices/a.yaml", "choir/b.yml")):
        repository.write(name, manifest_text([number]).replace("    name:", "    nmae:"))
    code, told = pre_commit(repository, "run")
    assert code == 1
    for name in ("personas.yaml", "voices/a.yaml", "choir/b.yml"):
        assert told.count(f"{name}:6:5: error: ") == 1, told


def test_another_place_is_named_by_args(repository: Repository, published: Repository) -> None:
    configure(repository, published, "    args: [-f, choir]\n    files: ^choir/\n")
    repository.manifest(2, "choir/a.yaml")
    code, told = pre_commit(repository, "run")
    assert (code, "Passed" in told) == (0, True), told
    repository.manifest(2, "choir/b.yaml")  # the same keys and audios once more
    code, told = pre_commit(repository, "run")
    assert code == 1
    assert "choir/b.yaml:3:3: error: " in told


def test_a_commit_is_stopped(repository: Repository) -> None:
    code, told = pre_commit(repository, "install")
    assert code == 0, told
    repository.write("personas.yaml", "version: 1\npersonas: []\n")
    repository.git("add", "--all")
    told = repository.git("commit", "--message=Wrong", check=False)
    assert "personas.yaml:2:11: error: " in told
    repository.manifest(1)
    repository.commit("Right")
    assert repository.git("log", "--format=%s").split() == ["Right"]
