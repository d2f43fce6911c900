"""README.md is true: its commands work as written, and its tables say what is there."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from personasync.cli.main import cli
from personasync.sandbox import SandboxConfig
from tests.helpers.missing import missing
from tests.helpers.sandbox import Sandbox
from tests.helpers.support import Tool

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEAM = (ROOT / "examples" / "team" / "README.md").read_text(encoding="utf-8")
MAP = (ROOT / "personasync" / "README.md").read_text(encoding="utf-8")
THEIR_ENVIRONMENT = dict(os.environ)
"""What pip may need to find its packages: settings that the tests themselves never see."""


def blocks(language: str, text: str = README) -> list[str]:
    """Return the fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def section(title: str) -> str:
    """Return what stands under a heading."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_column(text: str) -> list[str]:
    """Return the first cells of the rows of the tables in a text."""
    rows = re.findall(r"^\| *((?:[^|\\]|\\.)*?) *\|", text, re.M)
    return [row for row in rows if not row.startswith("---")]


MAIN_JOB, TESTS, *EVERYDAY = blocks("sh")
KEYS = ("neon-siren", "velvet-baritone")
"""Those of the manifest in README."""


@pytest.fixture
def folder(tool: Tool) -> Iterator[Path]:
    """A folder as README supposes it: its manifest, the examples, the command, a sandbox."""
    tool.write("personas.yaml", blocks("yaml")[0])
    shutil.copytree(
        ROOT / "examples",
        tool.folder / "examples",
        ignore=shutil.ignore_patterns("*.jsonl*", "*.db*"),
    )
    command = tool.write(
        "bin/personasync", f'#!/bin/sh\nexec {sys.executable} -m personasync "$@"\n'
    )
    command.chmod(0o755)
    with Sandbox(SandboxConfig()) as sandbox:
        tool.environment.update(
            PATH=f"{command.parent}{os.pathsep}{tool.environment['PATH']}",
            PYTHONPATH=str(ROOT),
            PERSONASYNC_BASE_URL=sandbox.base_url,
            PERSONASYNC_API_KEY="any",
        )
        yield tool.folder


def run(tool: Tool, script: str) -> str:
    """Run a block of shell commands, each of which must work; return stdout."""
    environment = dict(tool.environment)
    if "--sandbox" in script:
        del environment["PERSONASYNC_BASE_URL"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("8765", port)],
        cwd=tool.folder,
        env=environment,
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_first_lines_are_three_sentences_and_two_commands() -> None:
    opening = README.partition("![")[0]
    sentences = opening.splitlines()[2:5]
    assert all(re.fullmatch(r"[A-Z][^.]*\.", sentence) for sentence in sentences)
    for command in (MAIN_JOB, TESTS):
        assert command.count("\n") == 1
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -q ")
    assert opening.count("```sh") == 2


def test_it_is_short_enough_to_be_read() -> None:
    assert README.count("\n") <= 450


def test_your_first_persona(tool: Tool, folder: Path) -> None:
    stdout = run(tool, EVERYDAY[0])
    assert stdout.endswith("\nApply complete: 1 created, 0 imported, 0 renamed.\n")
    assert EVERYDAY[0].count("\n") <= 12


@pytest.mark.slow
def test_the_pictures_are_what_a_terminal_shows() -> None:
    pictures = [sys.executable, "-m", "tests.pictures", "--check"]
    ended = subprocess.run(pictures, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_manifest_is_valid(tool: Tool, folder: Path) -> None:
    ended = tool("validate", "--strict")
    assert (ended.code, ended.stderr) == (
        0,
        "The manifest is valid: 2 personas in personas.yaml.\n",
    )


def test_a_days_work(tool: Tool, folder: Path) -> None:
    stdout = run(tool, EVERYDAY[1])
    recorded = {
        line.split()[0]: line.split()[2] for line in stdout.splitlines() if " created " in line
    }
    assert sorted(recorded) == [*KEYS]
    assert stdout.splitlines().count(recorded["neon-siren"]) == 2  # of `output`, and of `ids.sh`
    assert "neon-siren" in (folder / "comment.md").read_text(encoding="utf-8")


def test_the_embedded_sandbox(tool: Tool, folder: Path) -> None:
    stdout = run(tool, EVERYDAY[2])
    assert "\nApply complete: 12 created, 0 imported, 0 renamed.\n" in stdout
    assert re.fullmatch(r"[0-9a-f]{32}", stdout.splitlines()[-1])


def test_the_served_sandbox(tool: Tool, folder: Path) -> None:
    assert "\nApply complete: 2 created, 0 imported, 0 renamed.\n" in run(tool, EVERYDAY[3])


def test_from_tasks_to_personas(tool: Tool, folder: Path) -> None:
    stdout = run(tool, EVERYDAY[4])
    assert "\nCheck: 6 ok, 0 not finished," in stdout
    assert "\nApply complete: 6 created, 0 imported, 0 renamed.\n" in stdout


def test_every_block_of_commands_is_run() -> None:
    assert len(EVERYDAY) == 5


def test_the_team_example(tool: Tool, folder: Path) -> None:
    [script] = blocks("sh", TEAM)
    assert re.fullmatch(r"[0-9a-f]{32}", run(tool, script).splitlines()[-1])


def test_the_accounts_example(tool: Tool, folder: Path) -> None:
    """Each account has its own folder; what is set for all of them does not mix them."""
    [script] = blocks("sh", (ROOT / "examples/accounts/README.md").read_text(encoding="utf-8"))
    tool.environment.update(
        PERSONASYNC_STATE="other.state.jsonl", PERSONASYNC_MANIFEST="other.yaml"
    )
    planned = run(tool, script)
    assert planned.count("Plan: 1 to create") == 2
    assert all(key in planned for key in ("night-ferry", "brass-parade"))
    for name in ("label", "studio"):
        key = tool.write(
            f"{tool.environment['HOME']}/.config/personasync-{name}.key", f"{name}-key\n"
        )
        key.chmod(0o600)
    run(tool, script.replace("plan", "apply --auto-approve"))
    assert (
        sorted(path.name for path in folder.glob("examples/accounts/*/*.state.jsonl"))
        == ["personas.state.jsonl"] * 2
    )


PLANS, APPLIES, READS = blocks("python")


def run_program(tool: Tool, program: str) -> str:
    path = tool.write("program.py", program)
    ended = subprocess.run(
        [sys.executable, path],
        cwd=tool.folder,
        env=tool.environment,
        capture_output=True,
        check=True,
        text=True,
    )
    return ended.stdout


def test_the_library_examples(tool: Tool, folder: Path) -> None:
    assert run_program(tool, PLANS) == "".join(f"create {key}\n" for key in KEYS)
    told = [line.split() for line in run_program(tool, APPLIES).splitlines()]
    assert {(key, len(rest)) for key, rest in told[:2]} == {(key, 32) for key in KEYS}
    assert told[2:] == [[key, "created"] for key in KEYS]
    base = tool.environment["PERSONASYNC_BASE_URL"]
    assert tool("plan", "--state", "library.state.jsonl", "--base-url", base).stdout == (
        "No changes. Every persona in the manifest is recorded.\n"
    )
    assert run_program(tool, PLANS) == "".join(f"unchanged {key}\n" for key in KEYS)
    assert json.loads(run_program(tool, READS)) == dict(told[:2])


def test_the_library_examples_are_typed(tmp_path: Path) -> None:
    if importlib.util.find_spec("mypy") is None:
        missing("mypy", "the linters are not installed")
    programs = [tmp_path / f"{name}.py" for name in ("plans", "applies", "reads")]
    for path, program in zip(programs, blocks("python"), strict=True):
        path.write_text(program, encoding="utf-8")
    options = ["--strict", "--cache-dir", str(tmp_path)]
    check = [sys.executable, "-m", "mypy", *options, *map(str, programs)]
    ended = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_the_state_section_says_what_init_writes(tool: Tool) -> None:
    tool("init")
    [attributes] = [b for b in blocks("text") if "merge=union" in b]
    assert attributes in (tool.folder / ".gitattributes").read_text(encoding="utf-8")


def test_the_table_of_commands_is_whole() -> None:
    rows = first_column(section("The commands").partition("###")[0])[1:]
    assert [row.strip("`").split()[0] for row in rows] == cli.list_commands(click.Context(cli))


def test_the_table_of_dependencies_is_whole() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> list[str]:
        return [re.split(r"[<>=\[]", requirement)[0] for requirement in requirements]

    assert first_column(section("Dependencies"))[1:] == names(project["dependencies"])
    rest = section("Dependencies").rpartition("|")[2]
    for name in [*names(project["optional-dependencies"]["test"]), "ruff", "mypy"]:
        assert name in rest


def every_option(group: click.Group) -> Iterator[tuple[str, click.Option]]:
    """Yield each option of each command with its long name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from every_option(command)
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield next(o for o in parameter.opts if o.startswith("--")), parameter


def test_every_option_but_two_has_an_environment_variable() -> None:
    without = {name for name, option in every_option(cli) if option.envvar is None}
    assert without == {"--auto-approve", "--force"}
    variables = {option.envvar for _, option in every_option(cli) if option.envvar}
    assert all(str(variable).startswith("PERSONASYNC_") for variable in variables)
    assert {"PERSONASYNC_STATE", "PERSONASYNC_LOCK_TIMEOUT"} <= variables
    assert {"PERSONASYNC_AUTO_APPROVE", "PERSONASYNC_FORCE"}.isdisjoint(variables)


def test_the_map_has_a_line_for_every_folder() -> None:
    there = (ROOT / "personasync").glob("*/__init__.py")
    rows = first_column(MAP.partition("\n## ")[0])[1:]
    assert sorted(row.strip("`/") for row in rows) == sorted(path.parent.name for path in there)


def links() -> Iterator[tuple[str, str]]:
    """Yield each link into this repository, with the page it stands on."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md"), *ROOT.glob(".github/*.md")]
    for page in pages:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            yield page.relative_to(ROOT).as_posix(), link


@pytest.mark.parametrize(("page", "link"), sorted(links()))
def test_links_lead_somewhere(page: str, link: str) -> None:
    assert (ROOT / page).parent.joinpath(link).exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_main_job_works_twice_in_a_fresh_clone(tmp_path: Path) -> None:
    for name in unignored(ROOT):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    before = unignored(tmp_path)
    for summary in (
        "Apply complete: 12 created, 0 imported, 0 renamed.",
        "Apply complete: 0 created, 0 imported, 0 renamed.",
    ):
        ended = subprocess.run(
            ["bash", "-c", MAIN_JOB],
            cwd=tmp_path,
            env=THEIR_ENVIRONMENT,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert (ended.returncode, ended.stdout.splitlines()[-1:]) == (0, [summary]), ended.stderr
    assert unignored(tmp_path) == before


def unignored(folder: Path) -> list[str]:
    """Return the files of a checkout that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=folder,
        capture_output=True,
        check=True,
        text=True,
    )
    return sorted(filter(None, listed.stdout.split("\0")))
