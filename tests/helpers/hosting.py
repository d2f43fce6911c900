"""Stand-ins for GitHub and GitLab: they run the shell steps of a workflow as a runner does.

A bare repository is the origin, ``personasync`` and ``gh`` are on the PATH, and
what a token may not do is refused. Only what the examples use is understood;
anything else is an error of the test. The command comes from the checkout: what
the examples install is only noted down.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from string import Template
from typing import Any

import yaml

from tests.helpers.repository import Repository
from tests.helpers.support import clean_environment

ROOT = Path(__file__).resolve().parents[2]
CANCEL_SECONDS = (7.5, 2.5)
"""What GitHub waits after SIGINT and after SIGTERM when a job is cancelled."""

_PERSONASYNC = """\
#!/bin/sh
exec {python} -P -m personasync "$@"
"""
_PYTHON = """\
#!/bin/sh
if [ "$1 $2 $3 $4" = "-I -m pip install" ]; then
  shift 4; echo "$*" >> "$HOSTING/installed"; exit 0
fi
exec {python} "$@"
"""
_GH = """\
#!/bin/sh
exec {python} {script} "$@"
"""
_SSH = """\
#!/bin/sh
# As GitHub's server does for a deploy key: it lets the repository be read, and perhaps written.
while [ $# -gt 0 ]; do case $1 in -i) key=$2; shift 2 ;; -o) shift 2 ;; *) break ;; esac; done
if [ "$1" != git@github.com ] || [ -z "$(find "$key" -perm 600)" ] ||
    ! cmp -s "$key" "$HOSTING/deploy-key"; then
  echo "git@github.com: Permission denied (publickey)." >&2; exit 255
fi
case $2 in
  "git-upload-pack 'team/voices.git'") ;;
  "git-receive-pack 'team/voices.git'")
    if [ -e "$HOSTING/read-only-key" ]; then
      echo "ERROR: The key you are authenticating with has been marked as read only." >&2; exit 1
    fi ;;
  *) exit 2 ;;
esac
HOSTING_TOKEN= exec "${{2%% *}}" "$HOSTING/origin.git"
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
    artifacts: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(step.outcome in ("success", "skipped", "ignored") for step in self.steps)

    def step(self, name: str) -> Step:
        """Return the last step of a name."""
        return [step for step in self.steps if step.name == name][-1]

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
        self._program(folder / "bin" / "ssh", _SSH)

    def clone(self, name: str) -> Repository:
        """Give somebody of the team a clone to work in."""
        return Repository.clone(self.origin, self.folder / "clones" / name, self.environment)

    def protect_main(self, protected: bool = True) -> None:
        """Let no job push to ``main`` from now on, or let them again."""
        if protected:
            (self.folder / "protected").touch()
        else:
            (self.folder / "protected").unlink()

    @property
    def installed(self) -> list[str]:
        """What pip was asked to install, one line a call."""
        path = self.folder / "installed"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

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

    def _workspace(self, permissions: Mapping[str, str], name: str) -> Repository:
        work = Repository.clone(self.origin, self.folder / "work" / name, {})
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
        self.variables: dict[str, str] = {}
        self.secrets: dict[str, str] = {"PERSONASYNC_API_KEY": key}
        self.workflows = {
            path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
            for path in workflows.glob("*.yml")
        }

    def manifest_at(self, path: str) -> None:
        """Put another place of the manifest into the workflows, as their user does."""
        text = json.dumps(
            {name: {**flow, "on": flow[True]} for name, flow in self.workflows.items()}
        )
        for name, flow in json.loads(text.replace("personas.yaml", path)).items():
            flow[True] = flow.pop("on")
            del flow["true"]
            self.workflows[name] = flow

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

    def waiting(self, runs: list[int] | None = None) -> list[int]:
        """Return the runs that wait for an approval, or say which."""
        path = self.folder / "waiting.json"
        if runs is not None:
            path.write_text(json.dumps(runs), encoding="utf-8")
        return list(json.loads(path.read_text(encoding="utf-8")))

    def pull_request(self, number: int, branch: str, *, fork: bool = False) -> Job | None:
        """Run what a push to a pull request's branch starts; ``None`` where it starts nothing."""
        head = "somebody/voices" if fork else "team/voices"
        event = {"pull_request": {"number": number, "head": {"repo": {"full_name": head}}}}
        changed = self._changed("main", branch)
        return self._start("pull_request", branch, changed, event, fork=fork)

    def push(self, before: str, **options: Any) -> Job | None:
        """Run what a push to ``main`` starts; ``before`` is the commit that it was at."""
        return self._start("push", "main", self._changed(before, "main"), {}, **options)

    def dispatch(self, workflow: str = "personas-apply", **options: Any) -> Job:
        """Run a workflow by hand on ``main``."""
        job = self._start("workflow_dispatch", "main", [], {}, only=workflow, **options)
        assert job is not None
        return job

    def head(self, branch: str = "main") -> str:
        return self._git("rev-parse", branch).strip()

    def branches(self) -> list[str]:
        """Return the branches of the origin."""
        return self._git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()

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
        only: str | None = None,
        fork: bool = False,
        cancel: Callable[[], bool] | None = None,
        approve: Callable[[], None] = lambda: None,
    ) -> Job | None:
        """Run what is for an event; ``approve`` is what happens before the approval."""
        for name, workflow in self.workflows.items():
            triggers = workflow[True]  # YAML 1.1 reads the word `on` so
            if event_name not in triggers or only not in (None, name):
                continue
            wanted = triggers[event_name] or {}
            if changed and not any(
                fnmatchcase(path, pattern.replace("**", "*"))
                for path in changed
                for pattern in wanted.get("paths", ["*"])
            ):
                return None
            if event_name == "push" and branch not in wanted["branches"]:
                return None
            self.runs += 1
            run = _Run(self, name, workflow, event_name, branch, event, fork, cancel)
            for job_name, job in workflow["jobs"].items():
                if "environment" in job:
                    approve()
                _JobRun(run, job_name, job).carry_out()
            return run.result
        raise AssertionError(f"no workflow is for {event_name}")


@dataclass
class _Run:
    """One run of a workflow: what its jobs share."""

    host: GitHub
    name: str
    workflow: dict[str, Any]
    event_name: str
    branch: str
    event: dict[str, Any]
    fork: bool
    cancel: Callable[[], bool] | None
    result: Job = field(default_factory=Job)
    outputs: dict[str, Any] = field(default_factory=dict)
    """Of each job that has ended well."""
    cancelled: bool = False


class _JobRun:
    """One job of a workflow, step by step."""

    def __init__(self, run: _Run, name: str, job: dict[str, Any]) -> None:
        host = run.host
        assert run.workflow["permissions"] == {}
        assert job["defaults"]["run"]["shell"] == "bash"
        permissions = dict(job["permissions"])
        if run.fork:  # a token that may only read, and no secret
            permissions = dict.fromkeys(permissions, "read")
        self._run_, self._name, self._job, self._permissions = run, name, job, permissions
        self._work = host._workspace({}, f"{host.runs}-{name}")
        self._temp = host.folder / "temp" / f"{host.runs}-{name}"
        self._temp.mkdir(parents=True)
        self._summary = host.folder / f"summary-{host.runs}-{name}.md"
        self._failed = False
        secrets = {} if run.fork or "environment" not in job else host.secrets
        ref = (
            f"refs/heads/{run.branch}" if run.event_name != "pull_request" else "refs/pull/1/merge"
        )
        self._context: dict[str, Any] = {
            "github": {
                "event": run.event,
                "ref": ref,
                "repository": "team/voices",
                "run_id": str(host.runs),
                "server_url": "https://github.example",
                "token": json.dumps(permissions),
            },
            "needs": {name: {"outputs": outputs} for name, outputs in run.outputs.items()},
            "runner": {"temp": str(self._temp)},
            "secrets": secrets,
            "steps": {},
            "vars": host.variables,
        }
        self._work.environment |= {
            "GITHUB_ACTIONS": "true",
            "GITHUB_ENV": str(self._temp / "env"),
            "GITHUB_REPOSITORY": "team/voices",
            "GITHUB_RUN_ID": str(host.runs),
            "GITHUB_STEP_SUMMARY": str(self._summary),
            "GITHUB_WORKFLOW": run.workflow["name"],
            "RUNNER_TEMP": str(self._temp),
            **{name: self._fill(value) for name, value in run.workflow["env"].items()},
        }

    def carry_out(self) -> None:
        run = self._run_
        needed = self._job.get("needs", [])
        ready = all(
            name in run.outputs for name in ([needed] if isinstance(needed, str) else needed)
        )
        if not ready or run.cancelled or not self._holds(self._job.get("if", "success()")):
            return
        for step in self._job["steps"]:
            name = step.get("name", step.get("uses", "").partition("@")[0])
            if not self._holds(step.get("if", "success()")):
                run.result.steps.append(Step(name, "skipped"))
            elif "uses" in step:
                self._use(name, step)
            else:
                self._run(name, step, self._work.environment)
        if self._summary.exists():
            run.result.summary += self._summary.read_text(encoding="utf-8")
        if not self._failed:
            outputs = self._job.get("outputs", {})
            run.outputs[self._name] = {key: self._fill(value) for key, value in outputs.items()}

    def _use(self, name: str, step: dict[str, Any]) -> None:
        action, _, pin = step["uses"].partition("@")
        given = {key: self._fill(str(value)) for key, value in step.get("with", {}).items()}
        match action:
            case "actions/checkout":
                self._checkout(given)
            case "actions/upload-artifact":
                self._upload(given)
            case "actions/download-artifact":
                for path, data in self._run_.result.artifacts[given["name"]].items():
                    Path(given["path"], path).write_bytes(data)
            case "YOUR-ORGANIZATION/personasync/examples/ci/github/action":
                assert pin == "YOUR-COMMIT"
                self._act(step)
                return
            case _:
                raise AssertionError(action)
        self._run_.result.steps.append(Step(name, "success"))

    def _checkout(self, given: dict[str, str]) -> None:
        work, run = self._work, self._run_
        for who in ("AUTHOR", "COMMITTER"):
            work.environment |= {f"GIT_{who}_NAME": "h", f"GIT_{who}_EMAIL": "h@x"}
        if run.event_name == "pull_request":
            work.git("checkout", "--quiet", "--detach", "origin/main")
            work.git("merge", "--quiet", "--no-ff", "--no-edit", f"origin/{run.branch}")
        else:
            work.git("checkout", "--quiet", "--detach", given.get("ref", "origin/main"))
        for who in ("AUTHOR", "COMMITTER"):
            del work.environment[f"GIT_{who}_NAME"], work.environment[f"GIT_{who}_EMAIL"]
        if given.get("ssh-key"):
            self._use_deploy_key(given["ssh-key"])
        elif given["persist-credentials"] == "True":
            work.environment["HOSTING_TOKEN"] = json.dumps(self._permissions)
        else:  # nothing can be fetched or pushed from here on
            work.git("remote", "set-url", "origin", str(run.host.folder / "needs-credentials"))

    def _use_deploy_key(self, key: str) -> None:
        """Leave behind what actions/checkout leaves when it is given one."""
        path = self._temp / "a-name-of-its-own"
        path.write_text(f"{key.strip()}\n", encoding="utf-8")
        path.chmod(0o600)
        ssh = self._run_.host.folder / "bin" / "ssh"
        command = f'"{ssh}" -i "$RUNNER_TEMP/{path.name}" -o StrictHostKeyChecking=yes'
        self._work.git("config", "--local", "core.sshCommand", command)
        self._work.git("remote", "set-url", "origin", "git@github.com:team/voices.git")
        self._work.git("fetch", "--quiet", "origin")

    def _upload(self, given: dict[str, str]) -> None:
        pattern = Path(given["path"])
        found = sorted(pattern.parent.glob(pattern.name))
        assert found or given.get("if-no-files-found") == "ignore", given["path"]
        self._run_.result.artifacts[given["name"]] = {
            path.name: path.read_bytes() for path in found
        }

    def _act(self, step: dict[str, Any]) -> None:
        """Run the composite action that installs the command."""
        folder = ROOT / "examples" / "ci" / "github" / "action"
        action = yaml.safe_load((folder / "action.yml").read_text(encoding="utf-8"))
        environment = {**self._work.environment, "GITHUB_ACTION_PATH": str(folder)}
        steps = self._context["steps"]
        for inner in action["runs"]["steps"]:
            if "run" in inner:
                self._run(inner["name"], inner, environment)
        outputs = {key: self._fill(each["value"]) for key, each in action["outputs"].items()}
        steps[step["id"]] = {"outputs": outputs}

    def _run(self, name: str, step: dict[str, Any], environment: Mapping[str, str]) -> None:
        run = self._run_
        script = self._temp / "step.sh"
        assert "${{" not in step["run"], "an expression in a script can be made to run anything"
        script.write_text(step["run"], encoding="utf-8")
        output_file = self._temp / "output"
        output_file.write_text("", encoding="utf-8")
        env = {key: self._fill(value) for key, value in step.get("env", {}).items()}
        code, output, cancelled = run_shell(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            self._work.folder,
            {**environment, "GITHUB_OUTPUT": str(output_file), **env},
            None if run.cancelled else run.cancel,
        )
        run.cancelled = run.cancelled or cancelled
        self._failed = self._failed or code != 0
        outcome = "cancelled" if cancelled else "success" if code == 0 else "failure"
        run.result.steps.append(Step(name, outcome, output))
        lines = output_file.read_text(encoding="utf-8").splitlines()
        if "id" in step:
            outputs = dict(line.split("=", 1) for line in lines)
            self._context["steps"][step["id"]] = {"outputs": outputs}

    def _fill(self, text: str) -> str:
        def filled(match: re.Match[str]) -> str:
            value = self._value(match[1])
            return str(value).lower() if isinstance(value, bool) else str(value)

        return re.sub(r"\$\{\{\s*(.*?)\s*\}\}", filled, text)

    def _holds(self, condition: str) -> bool:
        condition = re.sub(r"^\$\{\{(.*)\}\}$", r"\1", condition.strip())
        clauses = [clause.strip() for clause in condition.split("&&")]
        checks_status = any(clause in ("always()", "!cancelled()") for clause in clauses)
        return all(map(self._clause, clauses if checks_status else [*clauses, "success()"]))

    def _clause(self, clause: str) -> bool:
        match clause:
            case "always()":
                return True
            case "success()":
                return not (self._failed or self._run_.cancelled)
            case "!cancelled()":
                return not self._run_.cancelled
        return bool(self._value(clause))

    def _value(self, expression: str) -> Any:
        for sign in ("==", "!="):
            left, found, right = expression.partition(sign)
            if found:
                same = self._value(left.strip()) == self._value(right.strip())
                return same if sign == "==" else not same
        if expression.startswith("'"):
            return expression.strip("'")
        value: Any = self._context
        for name in expression.split("."):
            value = value.get(name, "") if value != "" else ""
        return value


class GitLab(Host):
    """Runs the jobs of one pipeline."""

    def __init__(self, folder: Path, pipeline: Path, base_url: str, key: str) -> None:
        super().__init__(folder, base_url, key)
        self.pipeline: dict[str, Any] = yaml.safe_load(pipeline.read_text(encoding="utf-8"))
        self.source, self.commit = publish_steps(folder / "source")
        self.artifacts: dict[str, bytes] = {}
        self.variables: dict[str, str] = {}

    def run(
        self,
        name: str,
        variables: Mapping[str, str] | None = None,
        *,
        branch: str = "main",
        cancel: Callable[[], bool] | None = None,
    ) -> Job:
        """Run a job on a branch: its script, then, whatever came of it, its ``after_script``."""
        self.runs += 1
        job = {**self.pipeline[".personasync"], **self.pipeline[name]}
        work = self._workspace({"contents": "write"}, str(self.runs))
        work.git("checkout", "--quiet", "--detach", f"origin/{branch}")
        given = {
            "CI_DEFAULT_BRANCH": "main",
            "CI_JOB_ID": str(self.runs),
            "CI_JOB_URL": f"https://gitlab.example/jobs/{self.runs}",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": work.git("merge-base", "origin/main", "HEAD").strip(),
            "CI_PROJECT_DIR": str(work.folder),
        }
        overridden = {
            "PERSONASYNC_COMMIT": self.commit,
            "PERSONASYNC_REPOSITORY": self.source.folder.as_uri(),
            "PUSH_TO": str(self.origin),
            **self.variables,
            **(variables or {}),
        }
        declared = {**self.pipeline["variables"], **job.get("variables", {}), **overridden}
        work.environment |= given
        for key, value in declared.items():  # in their order, each from those before it
            filled = Template(str(value)).safe_substitute(work.environment)
            work.environment[key] = filled
        for path, data in self.artifacts.items() if "needs" in job else ():
            (work.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (work.folder / path).write_bytes(data)
        result = Job()
        for part, lines in self._scripts(job):
            text = "set -eo pipefail\n" + "\n".join(lines)
            stop = cancel if part == "script" else None
            code, output, cancelled = run_shell(
                ["bash", "-c", text], work.folder, work.environment, stop
            )
            outcome = "cancelled" if cancelled else "success" if code == 0 else "failure"
            if part == "after_script" and outcome == "failure":
                outcome = "ignored"  # as GitLab does
            result.steps.append(Step(part, outcome, output))
        for path in job.get("artifacts", {}).get("paths", []):
            for kept in [work.folder / path, *(work.folder / path).rglob("*")]:
                if kept.is_file():
                    self.artifacts[kept.relative_to(work.folder).as_posix()] = kept.read_bytes()
        return result

    def starts(self, name: str, changed: str) -> bool:
        """Say whether a change of one file, alone, starts a job; of the rules, `changes` only."""
        variables = {**self.pipeline["variables"], **self.variables}
        patterns = [
            Template(pattern).substitute(variables)
            for rule in self.pipeline[name]["rules"]
            for pattern in rule["changes"]
        ]
        return any(_ruby_matches(changed, pattern) for pattern in patterns)

    def _scripts(self, job: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
        yield "script", [*job["before_script"], *job["script"]]
        if "after_script" in job:
            yield "after_script", job["after_script"]


def publish_steps(folder: Path) -> tuple[Repository, str]:
    """Make a repository of this project, as far as jobs run its scripts, and return a commit."""
    source = Repository.begin(folder)
    shutil.copytree(ROOT / "examples" / "ci" / "steps", folder / "examples" / "ci" / "steps")
    return source, source.commit("As it is here")


class Plain(Host):
    """A host whose scripts a test picks out itself: they run one after the other."""

    def __init__(self, folder: Path, base_url: str, key: str) -> None:
        super().__init__(folder, base_url, key)
        self.source, self.commit = publish_steps(folder / "source")

    def own(self, text: str) -> str:
        """Return an example as its user has it, with a place and a commit of this project."""
        text = re.sub(
            r"https://[\w.]+/YOUR-ORGANIZATION/personasync\.git", self.source.folder.as_uri(), text
        )
        return text.replace("YOUR-COMMIT", self.commit)

    def run(self, scripts: Mapping[str, str], environment: Mapping[str, str]) -> Job:
        """Run scripts, by name, on ``main``; the first that fails is the last."""
        self.runs += 1
        work = self._workspace({}, str(self.runs))
        work.git("checkout", "--quiet", "--detach", "origin/main")
        temp = self.folder / "temp" / str(self.runs)
        temp.mkdir(parents=True)
        work.environment |= {"TMPDIR": str(temp), "RUNNER_TEMP": str(temp), **environment}
        result = Job()
        for name, text in scripts.items():
            command = ["bash", "-eo", "pipefail", "-c", text]
            code, output, _cancelled = run_shell(command, work.folder, work.environment, None)
            result.steps.append(Step(name, "success" if code == 0 else "failure", output))
            if code:
                break
        return result


def _ruby_matches(path: str, pattern: str) -> bool:
    """Match as Ruby's File.fnmatch does, where no star goes beyond a slash but `**/`."""
    words = {"**/": "(?:.*/)?", "*": "[^/]*"}
    parts = re.split(r"(\*\*/|\*)", pattern)
    return re.fullmatch("".join(words.get(p, re.escape(p)) for p in parts), path) is not None


def shell_scripts(document: Any) -> Iterator[str]:
    """Yield every shell script of a workflow or pipeline."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == "run" and isinstance(value, str):
                yield value
            elif name in ("script", "before_script", "after_script"):
                yield from [value] if isinstance(value, str) else value
            else:
                yield from shell_scripts(value)
    elif isinstance(document, list):
        for value in document:
            yield from shell_scripts(value)


def quoted(words: list[str]) -> str:
    """Return words as a shell reads them."""
    return " ".join(map(shlex.quote, words))
