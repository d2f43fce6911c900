"""What is handed out besides the package: its lock, its container, its release."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import personasync
from personasync.sandbox import SandboxConfig
from tests.helpers.hosting import ROOT
from tests.helpers.missing import check_index, missing
from tests.helpers.repository import Repository
from tests.helpers.sandbox import Sandbox
from tests.helpers.support import Tool, manifest_text
from tests.helpers.waiting import wait_for

LOCK = ROOT / "examples" / "ci" / "requirements.txt"
RELEASE_LOCK = ROOT / ".ci" / "release.txt"
CONTAINERFILE = ROOT / "examples" / "container" / "Containerfile"
APPLY = ("-m", "personasync", "apply", "--auto-approve")
THEIR_ENVIRONMENT = dict(os.environ)


def locked(path: Path) -> dict[str, str]:
    """Return each package of a lock with its version; every one has a hash."""
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {}
    for entry in re.split(r"(?<!\\)\n", text.strip()):
        name, version = re.findall(r"^([\w.-]+)==(\S+)", entry)[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), name
        found[name] = version
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def test_the_lock_has_all_that_is_needed_at_run_time_and_to_build() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = document["project"]["optional-dependencies"]
    needed = [
        *document["project"]["dependencies"],
        *document["build-system"]["requires"],
        *(each for name in ("s3", "gcs", "azure", "postgres", "html") for each in extras[name]),
    ]
    lock = locked(LOCK)
    for requirement in needed:
        name, lowest = re.findall(r"^([\w.-]+)(?:\[\w+\])?>=([\w.]+)", requirement)[0]
        assert numbers(lock[normal(name)]) >= numbers(lowest), requirement


def test_the_locks_name_no_registry() -> None:
    for path in (LOCK, RELEASE_LOCK):
        assert "://" not in path.read_text(encoding="utf-8")
    assert {"hatchling", "twine", "cyclonedx-bom"} <= set(locked(RELEASE_LOCK))


# The release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """This project as it would be released, with what builds it installed from its lock."""
    folder = tmp_path_factory.mktemp("release") / "project"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    repository = Repository.begin(folder)
    repository.commit("A version")
    subprocess.run([sys.executable, "-m", "venv", folder.parent / "venv"], check=True)
    python = folder.parent / "venv" / "bin" / "python"
    flags = ("--quiet", "--require-hashes", "--only-binary", ":all:")
    got = subprocess.run(
        [python, "-I", "-m", "pip", "install", *flags, "-r", RELEASE_LOCK],
        env=THEIR_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    check_index(got.stderr)
    assert got.returncode == 0, got.stderr
    path = os.environ["PATH"]
    repository.environment["PATH"] = f"{python.parent}{os.pathsep}{path}"
    return repository


def build(release: Repository, version: str) -> tuple[int, str]:
    ended = subprocess.run(
        ["bash", ".ci/release", version, "dist", "sbom.json"],
        cwd=release.folder,
        env=release.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
def test_the_release_builds_checks_and_lists_what_is_in_it(release: Repository) -> None:
    version = personasync.__version__
    code, told = build(release, version)
    assert code == 1
    assert "say where the repository is before a version is published" in told

    pyproject = release.folder / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    release.write("pyproject.toml", text.replace("YOUR-ORGANIZATION", "some-team"))
    code, told = build(release, "99.0")
    assert code == 1
    assert f"the tag says 99.0, and personasync/model/version.py says {version}" in told

    changes = release.folder / ".github" / "CHANGELOG.md"
    text = changes.read_text(encoding="utf-8")
    release.write(".github/CHANGELOG.md", text.replace(f"## {version} ", "## 0.0.9 "))
    code, told = build(release, version)
    assert code == 1
    assert f"CHANGELOG.md has no section for {version}" in told

    release.write(".github/CHANGELOG.md", f"## {version} (today)\n{text}")
    release.commit("Release")
    code, told = build(release, version)
    assert code == 0, told
    first = {path.name: path.read_bytes() for path in (release.folder / "dist").iterdir()}
    assert sorted(first) == [
        f"personasync-{version}-py3-none-any.whl",
        f"personasync-{version}.tar.gz",
    ]
    listed = json.loads((release.folder / "sbom.json").read_text(encoding="utf-8"))
    assert listed["metadata"]["component"]["name"] == "personasync"
    names = {normal(each["name"]) for each in listed["components"]}
    assert names == set(map(normal, locked(LOCK)))
    assert build(release, version)[0] == 0
    again = {path.name: path.read_bytes() for path in (release.folder / "dist").iterdir()}
    assert again == first, "the same commit builds the same files"


# The container


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage of the container file."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found: list[list[tuple[str, str]]] = []
    for line in re.split(r"(?<!\\)\n", text.strip()):
        word, _, rest = line.replace("\\\n", " ").partition(" ")
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, " ".join(rest.split())))
    return found


def test_the_container_is_a_users_and_its_command_is_its_first_process() -> None:
    _build, last = stages()
    said = dict(last)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", said["USER"])
    assert said["ENTRYPOINT"] == '["personasync"]', "no shell that would keep signals to itself"
    assert not any("pip" in rest for _word, rest in last), "nothing is installed in what is kept"


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        missing("hadolint", "it has no wheel for this system")
    ended = subprocess.run([hadolint, CONTAINERFILE], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_steps_that_build_the_container_build_it(tmp_path: Path, tool: Tool) -> None:
    """The COPYs and RUNs of the first stage, on this machine, below a folder of the test's own."""
    root = tmp_path / "root"
    work = root / "src"
    work.mkdir(parents=True)
    for word, rest in stages()[0]:
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                there = work / target / (Path(source).name if target == "./" else "")
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, there)
        elif word == "RUN":
            command = re.sub(r"(?<![\w.])/(?=opt/|src\b|rescued\b)", f"{root}/", rest)
            ended = subprocess.run(
                ["sh", "-ec", command.replace("mkdir ", "mkdir -p ")],
                cwd=work,
                env={**THEIR_ENVIRONMENT, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
            )
            check_index(ended.stderr)
            assert ended.returncode == 0, ended.stderr
    assert (root / "rescued").is_dir()
    version = subprocess.run(
        [root / "opt" / "personasync" / "bin" / "personasync", "--version"],
        env=tool.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert version.stdout.startswith("personasync, version ")
    extras = "import google.auth, jinja2, obstore, psycopg"
    python = root / "opt" / "personasync" / "bin" / "python"
    subprocess.run([python, "-c", extras], env=tool.environment, check=True)


def may_make_a_process_namespace() -> bool:
    unshare = shutil.which("unshare")
    command = [str(unshare), "--mount", "--pid", "--fork", "true"]
    return (
        bool(unshare) and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(
    not may_make_a_process_namespace(), reason="needs Linux and the right to unshare"
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_reaches_the_command_where_it_is_the_first_process(
    tool: Tool, number: signal.Signals
) -> None:
    """The kernel keeps from a first process every signal that it has no handler for."""
    settings = "settings: {parallelism: 1, rateLimit: 3/1s}\npersonas:"
    tool.write("personas.yaml", manifest_text(range(40)).replace("personas:", settings, 1))
    with Sandbox(SandboxConfig()) as sandbox:
        process = subprocess.Popen(
            ["unshare", "--pid", "--fork", sys.executable, *APPLY],
            cwd=tool.folder,
            env={
                **tool.environment,
                "PERSONASYNC_BASE_URL": sandbox.base_url,
                "PERSONASYNC_API_KEY": "any",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: sandbox.statistics().made >= 2)
        [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), number)
        stdout, _stderr = process.communicate(timeout=60)
        assert "Apply incomplete: " in stdout
        made = {persona.persona_id for persona in sandbox.personas().values()}
    assert {entry.get("personaId") for entry in tool.entries()} - {None} == made


@pytest.mark.skipif(
    not may_make_a_process_namespace(), reason="needs Linux and the right to unshare"
)
def test_a_root_that_is_read_only_is_enough(tool: Tool) -> None:
    """What is mounted over it can be written, and nothing else."""
    tool.manifest(2)
    script = (
        'mount --bind "$1" "$1" && mount -o remount,bind,ro / && cd "$1" || exit 9; '
        "if touch /usr/written 2>/dev/null; then exit 8; fi; "
        'exec "$2" -m personasync apply --sandbox --auto-approve'
    )
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", tool.folder, sys.executable],
        cwd=tool.folder,
        env=tool.environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode == 9:
        pytest.skip(f"cannot mount here: {ended.stderr.strip()}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("Apply complete: 2 created, 0 imported, 0 renamed.\n")
