"""Stand-ins for GitHub and GitLab: they run the shell steps of a workflow as a runner does.

A bare repository is the origin, ``personasync`` and ``gh`` are on the PATH, and
what a token may not do is refused. Only what the examples use is understood;
anything else is an error of the test.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from tests.helpers.repository import Repository
from tests.helpers.support import clean_environment

ROOT = Path(__file__).resolve().parents[2]
CANCEL_SECONDS = (7.5, 2.5)
"""What GitHub waits after SIGINT and after SIGTERM when a job is cancelled."""

_PERSONASYNC = """\
#!/bin/sh
exec {python} -m personasync "$@"
"""
_PYTHON = """\
#!/bin/sh
if [ "$1 $2 $3" = "-m pip install" ]; then printf '%s\\n' "$4" >> "$HOSTING/installed"; exit 0; fi
exec {python} "$@"
"""
_GH = """\
#!/bin/sh
exec {python} {script} "$@"
"""
_PRE_RECEIVE = """\
#!/bin/sh
if [ -n "$HOSTING_TOKEN" ] && ! printf %s "$HOSTING_TOKEN" | grep -q '"contents": "write"'; then
  echo "403: this token may not push" >&2; exit 1
fi
while read -r _ _ name; do
  if [ -e "$HOSTING/protected" ] && [ -n "$HOSTING_TOKEN" ] && [ "$name" = refs/heads/main ]; then
    echo "GH013: refs/heads/main is protected" >&2; exit 1
  fi
done
"""


@dataclass
class Step:
    """One step that was run, or left out."""

    name: str
    outcome: str
    output: str = ""


@dataclass
class Job:
    """How a job ended."""

    steps: list[Step] = field(default_factory=list)
    summary: str = ""

    @property
    def ok(self) -> bool:
        return all(step.outcome in ("success", "skipped") for step in self.steps)

    def step(self, name: str) -> Step:
        [found] = [step for step in self.steps if step.name == name]
        return found

    @property
    def log(self) -> str:
        return "".join(f"[{step.name}: {step.outcome}]\n{step.output}" for step in self.steps)


class Host:
    """What GitHub and GitLab have in common: an origin, commands on the PATH, secrets."""

    def __init__(self, folder: Path, base_url: str, key: str) -> None:
        self.folder = folder
        self.origin = folder / "origin.git"
        self.environment = {"PERSONASYNC_BASE_URL": base_url}
        self.key = key
        self.runs = 0
        folder.mkdir(parents=True)
        home = Repository.begin(self.origin)
        home.git("config", "core.bare", "true")
        home.git("config", "receive.advertisePushOptions", "true")
        self._program(self.origin / ".git" / "hooks" / "pre-receive", _PRE_RECEIVE)
        self._program(folder / "bin" / "personasync", _PERSONASYNC)
        self._program(folder / "bin" / "python", _PYTHON)
        self._program(folder / "bin" / "gh", _GH)

    def clone(self, name: str) -> Repository:
        """Give somebody of the team a clone to work in."""
        return Repository.clone(self.origin, self.folder / "clones" / name, self.environment)

    def protect_main(self) -> None:
        """Let no job push to ``main`` from now on."""
        (self.folder / "protected").touch()

    @property
    def installed(self) -> list[str]:
        path = self.folder / "installed"
        return path.read_text(encoding="utf-8").split() if path.exists() else []

    def _program(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        script = ROOT / "tests" / "helpers" / "fake_gh.py"
        path.write_text(text.format(python=sys.executable, script=script), encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def _shell_environment(self, token: Mapping[str, str]) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            **clean_environment(home),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "CI": "true",
            "HOSTING": str(self.folder),
            "HOSTING_TOKEN": json.dumps(token),
            **self.environment,
        }

    def _workspace(self, permissions: Mapping[str, str]) -> Repository:
        self.runs += 1
        work = Repository.clone(self.origin, self.folder / "work" / str(self.runs), {})
        work.environment = self._shell_environment(permissions)
        return work


def run_shell(
    command: list[str],
    folder: Path,
    environment: Mapping[str, str],
    cancel: Callable[[], bool] | None,
) -> tuple[int, str, bool]:
    """Run a step; cancel it as GitHub does once ``cancel`` says so.

    Returns its exit code, its output, and whether it was cancelled.
    """
    with (folder.parent / f"{folder.name}.log").open("w+b") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        cancelled = False
        deadline = time.monotonic() + 90
        while process.poll() is None:
            assert time.monotonic() < deadline, "the step does not end"
            if cancel is not None and not cancelled and cancel():
                cancelled = True
                _cancel(process)
            time.sleep(0.01)
        log.seek(0)
        return process.returncode, log.read().decode(), cancelled


def _cancel(process: subprocess.Popen[bytes]) -> None:
    """Signal the step's own process, and no child of it, as GitHub's runner does."""
    for number, seconds in zip((signal.SIGINT, signal.SIGTERM), CANCEL_SECONDS, strict=True):
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        return
    os.killpg(process.pid, signal.SIGKILL)


class GitHub(Host):
    """Runs the workflows of a folder."""

    def __init__(self, folder: Path, workflows: Path, base_url: str, key: str) -> None:
        super().__init__(folder, base_url, key)
        self.workflows = {
            path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
            for path in workflows.glob("*.yml")
        }

    @property
    def comments(self) -> list[dict[str, Any]]:
        """The comments of all pull requests."""
        path = self.folder / "comments.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []

    def comment(self, user: str, pull_request: int, body: str) -> None:
        """Write a comment as somebody else."""
        comments = self.comments
        comments.append(
            {"id": len(comments) + 1, "issue": pull_request, "user": {"login": user}, "body": body}
        )
        (self.folder / "comments.json").write_text(json.dumps(comments), encoding="utf-8")

    def pull_request(self, number: int, branch: str, *, fork: bool = False) -> Job | None:
        """Run what a push to a pull request's branch starts; ``None`` where it starts nothing."""
        head = "somebody/voices" if fork else "team/voices"
        event = {"pull_request": {"number": number, "head": {"repo": {"full_name": head}}}}
        changed = self._changed("main", branch)
        return self._start("pull_request", branch, changed, event, fork=fork)

    def push(self, before: str, *, cancel: Callable[[], bool] | None = None) -> Job | None:
        """Run what a push to ``main`` starts; ``before`` is the commit that it was at."""
        changed = self._changed(before, "main")
        return self._start("push", "main", changed, {}, cancel=cancel)

    def dispatch(self, *, cancel: Callable[[], bool] | None = None) -> Job | None:
        """Run the workflow that can be started by hand on ``main``."""
        return self._start("workflow_dispatch", "main", [], {}, cancel=cancel)

    def head(self, branch: str = "main") -> str:
        return self._git("rev-parse", branch).strip()

    def _git(self, *args: str) -> str:
        return subprocess.run(
            ["git", "--git-dir", str(self.origin / ".git"), *args],
            env=clean_environment(self.folder),
            capture_output=True,
            check=True,
            text=True,
        ).stdout

    def _changed(self, before: str, after: str) -> list[str]:
        return self._git("diff", "--name-only", f"{before}...{after}").split()

    def _start(
        self,
        event_name: str,
        branch: str,
        changed: list[str],
        event: dict[str, Any],
        *,
        fork: bool = False,
        cancel: Callable[[], bool] | None = None,
    ) -> Job | None:
        for workflow in self.workflows.values():
            triggers = workflow[True]  # YAML 1.1 reads the word `on` so
            if event_name not in triggers:
                continue
            wanted = triggers[event_name] or {}
            if changed and not any(
                fnmatchcase(path, pattern)
                for path in changed
                for pattern in wanted.get("paths", ["*"])
            ):
                return None
            if event_name == "push" and branch not in wanted["branches"]:
                return None
            [job] = workflow["jobs"].values()
            run = _JobRun(self, workflow, job, event_name, branch, event, fork, cancel)
            return run.carry_out()
        raise AssertionError(f"no workflow is for {event_name}")


class _JobRun:
    """One job of a workflow, step by step."""

    def __init__(
        self,
        host: GitHub,
        workflow: dict[str, Any],
        job: dict[str, Any],
        event_name: str,
        branch: str,
        event: dict[str, Any],
        fork: bool,
        cancel: Callable[[], bool] | None,
    ) -> None:
        assert workflow["permissions"] == {}
        assert job["defaults"]["run"]["shell"] == "bash"
        permissions = dict(job["permissions"])
        if fork:  # a token that may only read, and no secret
            permissions = dict.fromkeys(permissions, "read")
        self._host, self._job, self._branch, self._cancel = host, job, branch, cancel
        self._event_name = event_name
        self._permissions = permissions
        self._work = host._workspace({})
        self._summary = host.folder / f"summary-{host.runs}.md"
        self._result = Job()
        self._cancelled = self._failed = False
        secrets = {} if fork or "environment" not in job else {"PERSONASYNC_API_KEY": host.key}
        ref = f"refs/heads/{branch}" if event_name != "pull_request" else "refs/pull/1/merge"
        self._context: dict[str, Any] = {
            "github": {
                "event": event,
                "ref": ref,
                "repository": "team/voices",
                "run_id": str(host.runs),
                "server_url": "https://github.example",
                "token": json.dumps(permissions),
            },
            "secrets": secrets,
        }
        self._work.environment |= {
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": "team/voices",
            "GITHUB_RUN_ID": str(host.runs),
            "GITHUB_STEP_SUMMARY": str(self._summary),
            **{name: self._fill(value) for name, value in workflow["env"].items()},
        }

    def carry_out(self) -> Job:
        if "if" in self._job:
            assert self._holds(self._job["if"]), "the job was left out"
        for step in self._job["steps"]:
            name = step.get("name", step.get("uses", "").partition("@")[0])
            if not self._holds(step.get("if", "success()")):
                self._result.steps.append(Step(name, "skipped"))
            elif "uses" in step:
                self._use(step)
                self._result.steps.append(Step(name, "success"))
            else:
                self._run(name, step)
        if self._summary.exists():
            self._result.summary = self._summary.read_text(encoding="utf-8")
        return self._result

    def _use(self, step: dict[str, Any]) -> None:
        action = step["uses"].partition("@")[0]
        if action == "actions/setup-python":
            return
        assert action == "actions/checkout", action
        given = step.get("with", {})
        if self._event_name == "pull_request":
            for who in ("AUTHOR", "COMMITTER"):
                self._work.environment |= {f"GIT_{who}_NAME": "h", f"GIT_{who}_EMAIL": "h@x"}
            self._work.git("checkout", "--quiet", "--detach", "origin/main")
            self._work.git("merge", "--quiet", "--no-edit", f"origin/{self._branch}")
        else:
            assert given["ref"] == self._branch, "a queued run must begin at the branch as it is"
        if given.get("persist-credentials", True):
            self._work.environment["HOSTING_TOKEN"] = json.dumps(self._permissions)

    def _run(self, name: str, step: dict[str, Any]) -> None:
        script = self._host.folder / f"step-{self._host.runs}.sh"
        assert "${{" not in step["run"], "an expression in a script can be made to run anything"
        script.write_text(step["run"], encoding="utf-8")
        env = {key: self._fill(value) for key, value in step.get("env", {}).items()}
        code, output, cancelled = run_shell(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            self._work.folder,
            {**self._work.environment, **env},
            None if self._cancelled else self._cancel,
        )
        self._cancelled = self._cancelled or cancelled
        self._failed = self._failed or code != 0
        outcome = "cancelled" if cancelled else "success" if code == 0 else "failure"
        self._result.steps.append(Step(name, outcome, output))

    def _fill(self, text: str) -> str:
        return re.sub(r"\$\{\{\s*(.*?)\s*\}\}", lambda match: str(self._value(match[1])), text)

    def _holds(self, condition: str) -> bool:
        condition = re.sub(r"^\$\{\{(.*)\}\}$", r"\1", condition.strip())
        return all(self._clause(clause.strip()) for clause in condition.split("&&"))

    def _clause(self, clause: str) -> bool:
        match clause:
            case "always()":
                return True
            case "success()":
                return not (self._failed or self._cancelled)
            case "!cancelled()":
                return not self._cancelled
        left, sign, right = clause.partition("==")
        assert sign, f"not understood: {clause}"
        return bool(self._value(left.strip()) == self._value(right.strip()))

    def _value(self, expression: str) -> Any:
        if expression.startswith("'"):
            return expression.strip("'")
        value: Any = self._context
        for name in expression.split("."):
            value = value.get(name, "") if value != "" else ""
        return value


class GitLab(Host):
    """Runs the jobs of one ``.gitlab-ci.yml``."""

    def __init__(self, folder: Path, pipeline: Path, base_url: str, key: str) -> None:
        super().__init__(folder, base_url, key)
        self.pipeline: dict[str, Any] = yaml.safe_load(pipeline.read_text(encoding="utf-8"))

    def run(
        self,
        name: str,
        variables: Mapping[str, str],
        *,
        branch: str = "main",
        cancel: Callable[[], bool] | None = None,
    ) -> Job:
        """Run a job on a branch: its script, then, whatever came of it, its ``after_script``."""
        job = self.pipeline[name]
        work = self._workspace({"contents": "write"})
        work.git("checkout", "--quiet", "--detach", f"origin/{branch}")
        work.environment |= {
            **{key: value for key, value in self.pipeline["variables"].items() if "$" not in value},
            "CI_DEFAULT_BRANCH": "main",
            "CI_SERVER_HOST": "gitlab.example",
            "CI_JOB_ID": str(self.runs),
            "CI_JOB_URL": f"https://gitlab.example/jobs/{self.runs}",
            "PERSONAS_REMOTE": str(self.origin),
            **variables,
        }
        result = Job()
        for part, lines in self._scripts(job):
            text = "set -eo pipefail\n" + "\n".join(lines)
            stop = cancel if part == "script" else None
            code, output, cancelled = run_shell(
                ["bash", "-c", text], work.folder, work.environment, stop
            )
            outcome = "cancelled" if cancelled else "success" if code == 0 else "failure"
            result.steps.append(Step(part, outcome, output))
        return result

    def _scripts(self, job: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
        yield "script", [*self.pipeline["default"]["before_script"], *job["script"]]
        yield "after_script", job["after_script"]


def shell_scripts(document: Any) -> Iterator[str]:
    """Yield every shell script of a workflow or pipeline."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == "run" and isinstance(value, str):
                yield value
            elif name in ("script", "before_script", "after_script"):
                yield from value
            else:
                yield from shell_scripts(value)
    elif isinstance(document, list):
        for value in document:
            yield from shell_scripts(value)


def quoted(words: list[str]) -> str:
    """Return words as a shell reads them."""
    return " ".join(map(shlex.quote, words))
