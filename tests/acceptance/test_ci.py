"""The examples for CI: their shell steps, run as a runner runs them, with real git.

Whatever happens to a job, at its end no ID is unknown to the repository or to
the shared state.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from personasync.sandbox import SandboxConfig
from tests.helpers.hosting import ROOT, GitHub, GitLab, Host, Job, Plain
from tests.helpers.repository import Repository
from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import KEY, NO_CHANGES, STATE, made, recorded
from tests.helpers.support import manifest_text

CI = ROOT / "examples" / "ci"
MARKER = "<!-- personasync plan -->"
BOT = "github-actions[bot]"
FORTY = manifest_text(range(40)).replace(
    "personas:", "settings: {parallelism: 1, rateLimit: 3/1s}\npersonas:", 1
)
"""A manifest that takes a while."""

pytestmark = [
    pytest.mark.slow,  # each of many steps is a shell, and git and the command in it
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not here"),
    pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here"),
]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxConfig(api_key=KEY)) as served:
        yield served


@pytest.fixture
def github(tmp_path: Path, sandbox: Sandbox) -> GitHub:
    """A repository that keeps its state in itself."""
    host = GitHub(tmp_path / "github", CI / "github" / "state-in-git", sandbox.base_url, KEY)
    begin(host.clone("founder"))
    return host


@pytest.fixture
def shared(tmp_path: Path, sandbox: Sandbox) -> GitHub:
    """A repository whose state is elsewhere: any location that all its jobs can reach."""
    host = GitHub(tmp_path / "github", CI / "github", sandbox.base_url, KEY)
    host.variables["PERSONASYNC_STATE"] = str(tmp_path / "elsewhere" / STATE)
    (tmp_path / "elsewhere").mkdir()
    begin(host.clone("founder"))
    return host


def begin(clone: Repository) -> None:
    """Put an empty manifest on ``main``, as ``init`` writes it."""
    assert clone("init").code == 0
    clone.commit("Begin")
    clone.git("push", "--quiet", "origin", "HEAD:main")


def propose(clone: Repository, branch: str, manifest: str, path: str = "personas.yaml") -> None:
    """Push a branch with another manifest."""
    clone.git("fetch", "--quiet", "origin")
    clone.branch(branch, "origin/main")
    clone.write(path, manifest)
    clone.commit(branch)
    clone.git("push", "--quiet", "origin", branch)


def merge(clone: Repository, branch: str) -> None:
    """Merge a branch into ``main`` as the host's button does."""
    clone.git("fetch", "--quiet", "origin")
    clone.git("checkout", "--quiet", "-B", "merged", "origin/main")
    clone.git("merge", "--quiet", "--no-ff", "--no-edit", f"origin/{branch}")
    clone.git("push", "--quiet", "origin", "HEAD:main")


def merged(host: GitHub, manifest: str, path: str = "personas.yaml", **options: Any) -> Job:
    """Propose a manifest, merge it, and return the run that this starts."""
    clone, branch, before = host.clone(f"c{host.runs}"), f"change-{host.runs}", host.head()
    propose(clone, branch, manifest, path)
    merge(clone, branch)
    job = host.push(before, **options)
    assert job is not None
    return job


def look(host: Host) -> Repository:
    return host.clone(f"look-{len(list((host.folder / 'clones').iterdir()))}")


def state_on(host: Host, branch: str = "main", path: str = STATE) -> dict[str, str]:
    """Return the IDs that are committed on a branch of the origin."""
    clone = look(host)
    clone.checkout(branch)
    file = clone.folder / path
    return recorded(file) if file.exists() else {}


def push_notes(host: Host) -> None:
    """Let somebody else push to ``main``."""
    other = look(host)
    other.write("notes.md", "Somebody else's work.\n")
    other.commit("Notes")
    other.git("push", "--quiet", "origin", "HEAD:main")


# A shared state


def test_a_merge_is_applied_and_nothing_is_committed(shared: GitHub, sandbox: Sandbox) -> None:
    job = merged(shared, manifest_text(range(3)))
    assert job.ok, job.log
    assert "Plan: 3 to create" in job.summary
    assert recorded(Path(shared.variables["PERSONASYNC_STATE"])) == made(sandbox)
    assert len(made(sandbox)) == 3
    clone = look(shared)
    assert [name for name in clone.git("ls-files").split() if "state" in name] == []
    assert shared.branches() == ["change-0", "main"]


def test_a_state_that_is_not_named_stops_everything(shared: GitHub, sandbox: Sandbox) -> None:
    del shared.variables["PERSONASYNC_STATE"]
    job = merged(shared, manifest_text(range(1)))
    assert "PERSONASYNC_STATE: is not set" in job.step("Identity").output
    assert not job.ok
    assert made(sandbox) == {}


def test_from_a_fork_the_manifest_alone_is_checked(shared: GitHub) -> None:
    propose(shared.clone("stranger"), "theirs", manifest_text(range(1)))
    job = shared.pull_request(5, "theirs", fork=True)
    assert job is not None
    assert job.ok, job.log
    assert [job.step(name).outcome for name in ("Validate", "Plan", "Comment")] == [
        "success",
        "skipped",
        "skipped",
    ]


def test_what_was_approved_is_applied_or_nothing(shared: GitHub, sandbox: Sandbox) -> None:
    def meanwhile() -> None:
        """Apply by hand what waits for an approval."""
        clone = look(shared)
        state = {"PERSONASYNC_STATE": shared.variables["PERSONASYNC_STATE"]}
        assert clone("apply", "--auto-approve", env={**state, "PERSONASYNC_API_KEY": KEY}).code == 0

    job = merged(shared, manifest_text(range(2)), approve=meanwhile)
    assert job.step("Apply").outcome == "failure"
    assert (
        "The plan is stale: nothing was changed. The newest run plans" in job.step("Apply").output
    )
    assert sandbox.statistics().requests == 2
    job = shared.dispatch()
    assert job.ok
    assert "Apply" not in [step.name for step in job.steps], "there is nothing to approve"


def test_a_push_after_the_plan_is_not_applied_with_it(shared: GitHub, sandbox: Sandbox) -> None:
    def meanwhile() -> None:
        clone = look(shared)
        propose(clone, "later", manifest_text(range(5)))
        merge(clone, "later")

    job = merged(shared, manifest_text(range(2)), approve=meanwhile)
    assert job.ok, job.log
    assert len(made(sandbox)) == 2


def test_a_newer_run_replaces_those_that_wait_for_an_approval(shared: GitHub) -> None:
    shared.waiting([1, 900])
    shared.runs = 10
    job = merged(shared, manifest_text(range(1)))
    assert job.step("Supersede").outcome == "success", job.log
    assert shared.waiting() == [900]


def test_drift_is_red_and_none_is_green(shared: GitHub) -> None:
    merged(shared, manifest_text(range(1)))
    job = shared.dispatch("personas-drift")
    assert job.ok, job.log
    clone = look(shared)
    propose(clone, "more", manifest_text(range(2)))
    merge(clone, "more")
    job = shared.dispatch("personas-drift")
    assert job.step("Plan").outcome == "failure"
    assert job.step("Verify").outcome == "success"


def test_ids_that_wait_to_be_taken_in_are_drift(shared: GitHub) -> None:
    merged(shared, manifest_text(range(1)))
    state = Path(shared.variables["PERSONASYNC_STATE"])
    header = state.read_text(encoding="utf-8").splitlines()[0]
    rescued = {"audioId": "audio-000", "key": "p-000", "status": "created", "personaId": "saved"}
    state.with_name(f"{STATE}.rescue").write_text(f"{header}\n{json.dumps(rescued)}\n", "utf-8")
    job = shared.dispatch("personas-drift")
    assert "rescued entr" in job.step("Verify").output
    assert not job.ok


# The state in git


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
    assert github.installed == [
        f"--quiet --require-hashes --only-binary :all: --requirement {CI}/requirements.txt",
        f"--quiet --no-deps --no-build-isolation {ROOT}",
    ]

    clone.write("personas.yaml", manifest_text(range(3)))
    clone.commit("One more")
    clone.git("push", "--quiet", "origin", "two")
    assert github.pull_request(7, "two").ok
    assert len(github.comments) == 3
    assert "**Plan: 3 to create, " in github.comments[-1]["body"]
    assert sandbox.statistics().requests == 0


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


def test_a_plan_of_any_length_fits_into_the_comment(github: GitHub) -> None:
    propose(github.clone("musician"), "many", manifest_text(range(2_000)))
    job = github.pull_request(4, "many")
    assert job is not None
    assert job.ok, job.log
    [comment] = github.comments
    assert 60_000 < len(comment["body"]) <= 65_536
    assert "of 2000 actions left out" in comment["body"]


def test_a_fork_gets_its_plan_without_key_or_comment(github: GitHub) -> None:
    propose(github.clone("stranger"), "theirs", manifest_text(range(1)))
    job = github.pull_request(5, "theirs", fork=True)
    assert job is not None
    assert job.ok, job.log
    assert job.step("Comment").outcome == "skipped"
    assert "**Plan: 1 to create, " in job.summary
    assert github.comments == []


def test_a_merge_is_applied_and_its_state_committed(github: GitHub, sandbox: Sandbox) -> None:
    job = merged(github, manifest_text(range(3)))
    assert job.ok, job.log
    assert "Plan: 3 to create" in job.summary
    assert state_on(github) == made(sandbox)
    assert len(made(sandbox)) == 3
    clone = look(github)
    assert clone("plan").stdout == f"{NO_CHANGES}\n"
    author, message = clone.git("log", "-1", "--format=%an%n%s").splitlines()
    assert (author, message) == (BOT, f"Record personas (run {github.runs})")
    changed = clone.git("show", "--name-only", "--format=", "HEAD").split()
    assert changed == [STATE]


def test_nothing_to_apply_is_nothing_to_commit(github: GitHub) -> None:
    merged(github, manifest_text(range(1)))
    before = github.head()
    job = github.dispatch()
    assert job.ok, job.log
    assert github.head() == before


def test_a_job_that_fails_commits_what_it_made(github: GitHub, sandbox: Sandbox) -> None:
    text = manifest_text(range(4)).replace("task-002", "missing-task")
    job = merged(github, text)
    assert job.step("Apply").outcome == "failure"
    assert job.step("Keep the state").outcome == "success"
    assert state_on(github) == made(sandbox)
    assert set(made(sandbox)) == {"audio-000", "audio-001", "audio-003"}


def test_a_cancelled_job_ends_in_order_and_commits_what_it_made(
    github: GitHub, sandbox: Sandbox
) -> None:
    job = merged(github, FORTY, cancel=lambda: sandbox.statistics().made >= 4)
    apply = job.step("Apply")
    assert apply.outcome == "cancelled"
    assert "Interrupted by SIGHUP" in apply.output
    assert "Apply incomplete: " in apply.output
    assert job.step("Keep the state").outcome == "success"
    assert 4 <= len(made(sandbox)) < 40
    assert state_on(github) == made(sandbox)


def test_main_that_moved_meanwhile_gets_both(github: GitHub, sandbox: Sandbox) -> None:
    pushed: list[bool] = []

    def once() -> bool:
        if sandbox.statistics().made and not pushed:
            pushed.append(True)
            push_notes(github)
        return False

    job = merged(github, manifest_text(range(3)), cancel=once)
    assert job.ok, job.log
    assert pushed
    assert state_on(github) == made(sandbox)
    assert (look(github).folder / "notes.md").exists()


def test_a_state_that_somebody_added_to_meanwhile_keeps_both(
    github: GitHub, sandbox: Sandbox
) -> None:
    merged(github, manifest_text(range(1)))
    done: list[bool] = []

    def once() -> bool:
        if sandbox.statistics().made > 1 and not done:
            done.append(True)
            other = look(github)
            other.git("rm", "--quiet", ".gitattributes")  # it must not depend on merge=union
            entry = {"audioId": "audio-777", "key": "known", "status": "created"}
            text = (other.folder / STATE).read_text(encoding="utf-8")
            other.write(STATE, f"{text}{json.dumps({**entry, 'personaId': 'an-id'})}\n")
            other.commit("By hand")
            other.git("push", "--quiet", "origin", "HEAD:main")
        return False

    job = merged(github, manifest_text(range(4)), cancel=once)
    assert job.ok, job.log
    assert done
    assert state_on(github) == {**made(sandbox), "audio-777": "an-id"}


def test_the_manifest_may_lie_in_a_folder(github: GitHub, sandbox: Sandbox) -> None:
    github.manifest_at("voices/personas.yaml")
    job = merged(github, manifest_text(range(5)), "voices/personas.yaml")
    assert job.ok, job.log
    assert state_on(github, path=f"voices/{STATE}") == made(sandbox)
    assert len(made(sandbox)) == 5
    job = github.dispatch()
    assert job.ok, job.log
    assert sandbox.statistics().requests == 5


def test_a_main_that_takes_no_push_loses_no_id_and_the_next_run_knows_them(
    github: GitHub, sandbox: Sandbox
) -> None:
    github.protect_main()
    job = merged(github, manifest_text(range(2)))
    keep = job.step("Keep the state")
    assert keep.outcome == "failure"
    branch = f"personas-state-{github.runs}"
    assert f"::error::main takes no push; merge the branch {branch}" in keep.output
    assert state_on(github, branch) == made(sandbox)
    assert len(made(sandbox)) == 2
    assert state_on(github) == {}

    drift = github.dispatch("personas-drift")
    assert (
        f"the branch {branch} holds IDs that main does not have" in drift.step("Leftovers").output
    )
    assert drift.step("Leftovers").outcome == "failure"

    job = merged(github, manifest_text(range(3)))
    assert "Plan: 1 to create" in job.summary
    assert sandbox.statistics().requests == 3, "nothing is asked twice"
    assert state_on(github, f"personas-state-{github.runs}") == made(sandbox)

    github.protect_main(False)  # somebody gives the job a deploy key
    job = merged(github, manifest_text(range(4)))
    assert job.ok, job.log
    assert state_on(github) == made(sandbox)
    assert len(made(sandbox)) == 4
    assert [name for name in github.branches() if "state" in name] == [], "all of it is in main"
    assert sandbox.statistics().requests == 4


def give_deploy_key(github: GitHub, *, read_only: bool = False) -> None:
    github.secrets["PERSONAS_DEPLOY_KEY"] = "the private half of a deploy key"
    (github.folder / "deploy-key").write_text("the private half of a deploy key\n", "utf-8")
    if read_only:
        (github.folder / "read-only-key").touch()


def test_a_deploy_key_gets_past_the_protection_of_main(github: GitHub, sandbox: Sandbox) -> None:
    github.protect_main()
    give_deploy_key(github)
    job = merged(github, manifest_text(range(2)))
    assert job.ok, job.log
    assert state_on(github) == made(sandbox)
    assert len(made(sandbox)) == 2
    assert [name for name in github.branches() if "state" in name] == []
    assert "the private half" not in job.log


def test_a_key_that_may_not_write_stops_a_run_before_anything_is_made(
    github: GitHub, sandbox: Sandbox
) -> None:
    give_deploy_key(github, read_only=True)
    job = merged(github, manifest_text(range(2)))
    assert "has been marked as read only" in job.step("Known state").output
    assert "nothing can be pushed from here, so nothing is applied" in job.log
    assert not job.ok
    assert made(sandbox) == {}


def test_ids_that_can_no_longer_be_pushed_are_kept_with_the_job(
    github: GitHub, sandbox: Sandbox, tmp_path: Path
) -> None:
    give_deploy_key(github)

    def withdraw() -> bool:
        if sandbox.statistics().made:
            (github.folder / "read-only-key").touch()
        return False

    job = merged(github, manifest_text(range(2)), cancel=withdraw)
    assert "no push is taken, not even of a branch" in job.step("Keep the state").output
    assert "run 'personasync import --from FILE'" in job.step("Rescued IDs").output
    assert not job.ok
    [(name, data)] = job.artifacts["rescued"].items()
    home = look(github)
    (tmp_path / name).write_bytes(data)
    ended = home("import", "--from", str(tmp_path / name))
    assert ended.code == 0, ended.stderr
    assert recorded(home.folder / STATE) == made(sandbox)
    assert len(made(sandbox)) == 2


def test_an_apply_that_another_overtook_is_stale(github: GitHub, sandbox: Sandbox) -> None:
    """The state comes from the branch as it is now, whatever commit the plan is of."""

    def meanwhile() -> None:
        clone = look(github)
        assert clone("apply", "--auto-approve", env={"PERSONASYNC_API_KEY": KEY}).code == 0
        clone.commit("Applied by hand")
        clone.git("push", "--quiet", "origin", "HEAD:main")

    job = merged(github, manifest_text(range(2)), approve=meanwhile)
    assert "The plan is stale" in job.step("Apply").output
    assert sandbox.statistics().requests == 2
    assert state_on(github) == made(sandbox)


def test_a_state_outside_the_repository_cannot_be_kept_and_nothing_is_made(
    github: GitHub, sandbox: Sandbox, tmp_path: Path
) -> None:
    apply = github.workflows["personas-apply"]
    apply["env"]["PERSONASYNC_STATE"] = str(tmp_path / STATE)
    job = merged(github, manifest_text(range(2)))
    assert "the state lies outside this repository" in job.step("Known state").output
    assert not job.ok
    assert made(sandbox) == {}


def test_a_state_of_another_name_is_one_all_the_same(github: GitHub) -> None:
    for name in ("personas-plan", "personas-apply"):
        github.workflows[name]["env"]["PERSONASYNC_STATE"] = "ids.log"
    assert merged(github, manifest_text(range(1))).ok
    clone = look(github)
    clone.branch("edits")
    state = (clone.folder / "ids.log").read_text(encoding="utf-8")
    clone.write("ids.log", state.replace('"personaId":"', '"personaId":"x'))
    clone.write("personas.yaml", manifest_text(range(2)))
    clone.commit("Edits")
    clone.git("push", "--quiet", "origin", "edits")
    job = github.pull_request(4, "edits")
    assert job is not None
    assert "edits a state or brings a rescue file (1 files)" in job.step("Review").output


def test_a_branch_that_is_not_there_stops_a_run_before_anything_is_made(
    github: GitHub, sandbox: Sandbox
) -> None:
    github.workflows["personas-apply"]["env"]["BRANCH"] = "trunk"
    job = merged(github, manifest_text(range(1)))
    assert "the origin has no branch trunk: BRANCH says which" in job.step("Known state").output
    assert not job.ok
    assert made(sandbox) == {}


def test_a_state_that_git_could_stage_nothing_of_is_red(github: GitHub, sandbox: Sandbox) -> None:
    merged(github, manifest_text(range(1)))
    hidden: list[bool] = []

    def hide() -> bool:
        if not hidden and sandbox.statistics().made > 1:
            hidden.append(True)
            [work] = github.folder.glob(f"work/{github.runs}-apply")
            git = ["git", "-C", str(work), "update-index", "--assume-unchanged", STATE]
            subprocess.run(git, check=True)
        return False

    job = merged(github, manifest_text(range(3)), cancel=hide)
    assert hidden
    keep = job.step("Keep the state")
    assert keep.outcome == "failure"
    assert f"the state {STATE} has changed, and git could stage nothing of it" in keep.output


def test_a_pull_request_cannot_be_posted_through(github: GitHub, tmp_path: Path) -> None:
    """Neither a committed comment nor a link is what the job writes or posts."""
    victim = tmp_path / "victim"
    victim.write_text("untouched", encoding="utf-8")
    clone = github.clone("stranger")
    clone.git("fetch", "--quiet", "origin")
    clone.branch("hostile", "origin/main")
    clone.write("comment.md", f"{MARKER}\n\nbuy my record\n")
    clone.write("pip.py", "raise SystemExit('ran what a pull request brought along')\n")
    clone.write("json.py", "raise SystemExit('ran what a pull request brought along')\n")
    (clone.folder / "plan.json").symlink_to(victim)
    clone.write("personas.yaml", manifest_text(range(1)))
    clone.commit("Hostile")
    clone.git("push", "--quiet", "origin", "hostile")
    job = github.pull_request(9, "hostile")
    assert job is not None
    assert job.ok, job.log
    assert "buy my record" not in github.comments[-1]["body"]
    assert "ran what" not in job.log
    assert victim.read_text(encoding="utf-8") == "untouched"


def test_nothing_is_written_through_a_link_in_place_of_the_state(
    github: GitHub, tmp_path: Path
) -> None:
    merged(github, manifest_text(range(2)))
    victim = tmp_path / "victim"
    victim.write_text("", encoding="utf-8")
    clone = look(github)
    clone.branch("hostile")
    for name in (STATE, f"{STATE}.rescue"):
        (clone.folder / name).unlink(missing_ok=True)
        (clone.folder / name).symlink_to(victim)
    clone.commit("Hostile")
    clone.git("push", "--quiet", "origin", "hostile")
    job = github.pull_request(9, "hostile", fork=True)
    assert job is not None
    assert victim.read_text(encoding="utf-8") == ""
    assert job.step("Review").outcome == "failure"


def test_nothing_is_written_through_a_linked_folder(github: GitHub, tmp_path: Path) -> None:
    github.manifest_at("voices/personas.yaml")
    merged(github, manifest_text(range(2)), "voices/personas.yaml")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "personas.yaml").write_text(manifest_text(range(2)), encoding="utf-8")
    (elsewhere / STATE).write_text("", encoding="utf-8")
    clone = look(github)
    clone.branch("hostile")
    shutil.rmtree(clone.folder / "voices")
    (clone.folder / "voices").symlink_to(elsewhere)
    clone.commit("Hostile")
    clone.git("push", "--quiet", "origin", "hostile")
    job = github.pull_request(9, "hostile", fork=True)
    assert job is not None
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == {
        "personas.yaml": manifest_text(range(2)).encode(),
        STATE: b"",
    }
    assert not job.ok


@pytest.mark.parametrize("fork", [False, True])
def test_a_pull_request_that_edits_the_state_is_told_of(github: GitHub, fork: bool) -> None:
    merged(github, manifest_text(range(2)))
    clone = look(github)
    state = (clone.folder / STATE).read_text(encoding="utf-8")
    clone.branch("edits")
    clone.write(STATE, state.replace('"personaId":"', '"personaId":"x'))
    clone.write("elsewhere.state.jsonl.rescue", state)
    clone.commit("Edits")
    clone.git("push", "--quiet", "origin", "edits")
    job = github.pull_request(4, "edits", fork=fork)
    assert job is not None
    assert "edits a state or brings a rescue file (2 files)" in job.step("Review").output
    assert job.step("Review").outcome == ("failure" if fork else "success")
    assert job.step("Plan").outcome == "success", "the plan is of the state that main has"
    if not fork:
        assert "**This change itself edits what is recorded: 2 files" in github.comments[-1]["body"]


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
    assert not (look(github).folder / f"{STATE}.rescue").exists()


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
    pipeline = CI / "gitlab" / "state-in-git.gitlab-ci.yml"
    host = GitLab(tmp_path / "gitlab", pipeline, sandbox.base_url, KEY)
    begin(host.clone("founder"))
    return host


def reviewed(
    gitlab: GitLab, notes: Notes, branch: str, token: str = "comment-token", *, fork: bool = False
) -> Job:
    variables = {
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "12" if fork else "11",
        "CI_API_V4_URL": notes.url,
        "CI_MERGE_REQUEST_PROJECT_ID": "11",
        "CI_MERGE_REQUEST_IID": "7",
        "PERSONAS_COMMENT_TOKEN": token,
    }
    return gitlab.run("personas review", variables, branch=branch)


def change(host: GitLab | Plain, manifest: str, path: str = "personas.yaml") -> None:
    clone = look(host)
    propose(clone, f"change-{host.runs}", manifest, path)
    merge(clone, f"change-{host.runs}")


def applied(gitlab: GitLab, **options: Any) -> Job:
    planned = gitlab.run("personas plan")
    assert planned.ok, planned.log
    return gitlab.run("personas apply", {"PERSONASYNC_API_KEY": KEY}, **options)


@needs_curl
def test_a_merge_request_gets_one_note_that_is_kept_up_to_date(
    gitlab: GitLab, notes: Notes, sandbox: Sandbox
) -> None:
    clone = gitlab.clone("musician")
    propose(clone, "two", manifest_text(range(2), style="50% ☃ & more"))
    job = reviewed(gitlab, notes, "two")
    assert job.ok, job.log
    assert [note["body"].split("\n")[0] for note in notes.notes] == ["First!", MARKER]
    assert "**Plan: 2 to create, " in notes.notes[1]["body"]
    clone.write("personas.yaml", manifest_text(range(3)))
    clone.commit("One more")
    clone.git("push", "--quiet", "origin", "two")
    assert reviewed(gitlab, notes, "two").ok
    assert len(notes.notes) == 2
    assert "**Plan: 3 to create, " in notes.notes[1]["body"]
    propose(clone, "wrong", "personas: []\n")
    job = reviewed(gitlab, notes, "wrong")
    assert [step.outcome for step in job.steps] == ["failure", "success"]
    assert "**There is no plan: see [the log]" in notes.notes[1]["body"]
    assert reviewed(gitlab, notes, "two", token="").ok, "no token, no note"
    assert sandbox.statistics().requests == 0


@pytest.mark.parametrize("folder", ["", "voices/"])
def test_a_merge_on_gitlab_is_applied_and_its_state_committed(
    gitlab: GitLab, sandbox: Sandbox, folder: str
) -> None:
    gitlab.variables["PERSONASYNC_MANIFEST"] = f"{folder}personas.yaml"
    change(gitlab, manifest_text(range(2)), f"{folder}personas.yaml")
    job = applied(gitlab)
    assert job.ok, job.log
    assert job.step("after_script").output == "", "what is committed is not committed again"
    assert state_on(gitlab, path=folder + STATE) == made(sandbox)
    assert len(made(sandbox)) == 2
    assert applied(gitlab).ok
    assert sandbox.statistics().requests == 2


@pytest.mark.parametrize("job", ["personas review", "personas plan", "personas apply"])
@pytest.mark.parametrize("pipeline", ["personas", "state-in-git"])
def test_what_starts_a_job_of_gitlab_is_the_manifest_wherever_it_lies(
    tmp_path: Path, pipeline: str, job: str
) -> None:
    """Whoever includes a pipeline cannot edit its rules."""
    gitlab = GitLab(tmp_path / "gitlab", CI / "gitlab" / f"{pipeline}.gitlab-ci.yml", "", KEY)
    for manifest, changed in (
        ("personas.yaml", "personas.yaml"),
        ("voices/personas.yaml", "voices/personas.yaml"),
        ("voices", "voices/electronic.yaml"),
    ):
        gitlab.variables["PERSONASYNC_MANIFEST"] = manifest
        assert gitlab.starts(job, changed)
        assert not gitlab.starts(job, "README.md")


def test_a_plan_that_is_stale_on_gitlab_is_red_and_changes_nothing(
    gitlab: GitLab, sandbox: Sandbox
) -> None:
    change(gitlab, manifest_text(range(2)))
    assert gitlab.run("personas plan").ok
    clone = look(gitlab)
    assert clone("apply", "--auto-approve", env={"PERSONASYNC_API_KEY": KEY}).code == 0
    clone.commit("Applied by hand")
    clone.git("push", "--quiet", "origin", "HEAD:main")
    job = gitlab.run("personas apply", {"PERSONASYNC_API_KEY": KEY})
    assert job.step("script").outcome == "failure"
    assert "The plan is stale: nothing was changed." in job.step("script").output
    assert sandbox.statistics().requests == 2
    assert state_on(gitlab) == made(sandbox)


@needs_curl
@pytest.mark.parametrize("fork", [False, True])
def test_a_merge_request_that_edits_the_state_is_told_of(
    gitlab: GitLab, notes: Notes, fork: bool
) -> None:
    change(gitlab, manifest_text(range(2)))
    assert applied(gitlab).ok
    clone = look(gitlab)
    clone.branch("edits")
    state = (clone.folder / STATE).read_text(encoding="utf-8")
    clone.write(STATE, state.replace('"personaId":"', '"personaId":"x'))
    clone.write("personas.yaml", "personas: []\n")  # said also of one that cannot be planned
    clone.commit("Edits")
    clone.git("push", "--quiet", "origin", "edits")
    job = reviewed(gitlab, notes, "edits", fork=fork)
    assert job.step("script").outcome == "failure"
    assert "edits a state or brings a rescue file (1 files)" in job.step("script").output
    assert ("a state is not taken from a fork" in job.step("script").output) == fork
    assert "**This change itself edits what is recorded: 1 files" in notes.notes[1]["body"]


@needs_curl
def test_a_merge_request_cannot_be_posted_through(
    gitlab: GitLab, notes: Notes, tmp_path: Path
) -> None:
    clone = look(gitlab)
    clone.branch("hostile")
    for name in ("comment.md", ".personas/comment.md", "scratch/comment.md"):
        clone.write(name, f"{MARKER}\n\nbuy my record\n")
    for name in ("pip.py", "json.py", "sitecustomize.py"):
        clone.write(name, "print('ran what a merge request brought along')\n")
    (clone.folder / ".personas" / "plan.json").symlink_to(tmp_path / "victim")
    clone.write("personas.yaml", manifest_text(range(1)))
    clone.commit("Hostile")
    clone.git("push", "--quiet", "origin", "hostile")
    job = reviewed(gitlab, notes, "hostile")
    assert job.ok, job.log
    assert "ran what" not in job.log
    assert "buy my record" not in notes.notes[1]["body"]

    merge(clone, "hostile")
    assert gitlab.run("personas plan").ok
    assert not (tmp_path / "victim").exists()


def test_what_lies_about_on_gitlab_is_told_by_the_schedule(gitlab: GitLab) -> None:
    gitlab.protect_main()
    change(gitlab, manifest_text(range(1)))
    assert not applied(gitlab).ok
    job = gitlab.run("personas drift")
    assert not job.ok
    assert "holds IDs that main does not have" in job.log
    gitlab.protect_main(False)
    assert applied(gitlab).ok
    assert gitlab.run("personas drift").ok


def test_a_push_that_gitlab_refuses_is_red_and_the_next_run_knows_the_ids(
    gitlab: GitLab, sandbox: Sandbox
) -> None:
    gitlab.protect_main()
    change(gitlab, manifest_text(range(2)))
    job = applied(gitlab)
    assert job.step("script").outcome == "failure"
    assert "main takes no push; merge the branch personas-state-" in job.step("script").output
    gitlab.protect_main(False)
    change(gitlab, manifest_text(range(3)))
    job = applied(gitlab)
    assert job.ok, job.log
    assert state_on(gitlab) == made(sandbox)
    assert sandbox.statistics().requests == 3


def test_a_shared_state_on_gitlab(tmp_path: Path, sandbox: Sandbox) -> None:
    pipeline = CI / "gitlab" / "personas.gitlab-ci.yml"
    gitlab = GitLab(tmp_path / "gitlab", pipeline, sandbox.base_url, KEY)
    begin(gitlab.clone("founder"))
    change(gitlab, manifest_text(range(2)))
    assert "PERSONASYNC_STATE: is not set" in gitlab.run("personas plan").log
    gitlab.variables["PERSONASYNC_STATE"] = str(tmp_path / STATE)
    job = applied(gitlab)
    assert job.ok, job.log
    assert recorded(tmp_path / STATE) == made(sandbox)
    assert len(made(sandbox)) == 2
    assert gitlab.run("personas drift").ok


def test_a_cancelled_job_on_gitlab_commits_what_it_made(gitlab: GitLab, sandbox: Sandbox) -> None:
    change(gitlab, FORTY)
    job = applied(gitlab, cancel=lambda: sandbox.statistics().made >= 4)
    assert job.step("script").outcome == "cancelled", job.log
    assert 4 <= len(made(sandbox)) < 40
    assert state_on(gitlab) == made(sandbox)


# Bitbucket, Jenkins, Forgejo


def bitbucket(host: Plain) -> tuple[dict[str, str], dict[str, str]]:
    pipeline = yaml.safe_load(host.own((CI / "bitbucket-pipelines.yml").read_text("utf-8")))
    plan, apply = (each["step"] for each in pipeline["pipelines"]["branches"]["main"])
    # The second begins on a machine of its own, with what the first kept of its artifacts.
    assert plan["artifacts"] == [".personas/plan.json"]
    scripts = {step["name"]: "\n".join(step["script"]) for step in (plan, apply)}
    return scripts | {"Rescued": "\n".join(apply["after-script"])}, {}


def jenkins(host: Plain) -> tuple[dict[str, str], dict[str, str]]:
    text = host.own((CI / "Jenkinsfile").read_text("utf-8"))
    temp = str(host.folder / "temp" / "jenkins")
    environment = {
        name: value.replace("${env.WORKSPACE_TMP}", temp)
        for name, value in re.findall(r"^ {8}(\w+) = [\"'](.*)[\"']$", text, re.MULTILINE)
    }
    found = re.findall(r"sh '''(.*?)'''|sh '([^'\n]+)'", text, re.DOTALL)
    return dict(zip(("Plan", "Apply", "Rescued"), map("".join, found), strict=True)), environment


def forgejo(host: Plain) -> tuple[dict[str, str], dict[str, str]]:
    workflow = yaml.safe_load(host.own((CI / "forgejo-personas.yml").read_text("utf-8")))
    steps = workflow["jobs"]["personas"]["steps"]
    assert [step["name"] for step in steps if step.get("if")] == ["Apply", "Rescued IDs"]
    environment = {
        "GITHUB_SHA": look(host).git("rev-parse", "HEAD").strip(),
        "URL": host.origin.as_uri(),
        **workflow["env"],
    }
    scripts = {step["name"]: step["run"] for step in steps}
    scripts["Fetch"] = f"mkdir fresh && cd fresh\n{scripts['Fetch']}\ntest -e personas.yaml"
    return scripts, environment


@pytest.mark.parametrize("example", [bitbucket, jenkins, forgejo])
def test_a_merge_is_applied_on_the_other_hosts(
    tmp_path: Path,
    sandbox: Sandbox,
    example: Callable[[Plain], tuple[dict[str, str], dict[str, str]]],
) -> None:
    host = Plain(tmp_path / "host", sandbox.base_url, KEY)
    begin(host.clone("founder"))
    change(host, manifest_text(range(2)))
    scripts, environment = example(host)
    known = {**environment, "PERSONASYNC_API_KEY": KEY}
    job = host.run(scripts, {**known, "PERSONASYNC_STATE": ""})
    assert "PERSONASYNC_STATE: is not set" in job.log
    assert made(sandbox) == {}
    known["PERSONASYNC_STATE"] = str(tmp_path / STATE)
    job = host.run(scripts, known)
    assert job.ok, job.log
    assert [step.name for step in job.steps] == list(scripts)
    assert recorded(tmp_path / STATE) == made(sandbox)
    assert len(made(sandbox)) == 2

    change(host, manifest_text(range(2)).replace("    name:", "    nmae:"))
    scripts, environment = example(host)
    job = host.run(scripts, {**known, **environment, "PERSONASYNC_STATE": str(tmp_path / STATE)})
    assert job.steps[-1].outcome == "failure"
    assert "did you mean name?" in job.log
    assert sandbox.statistics().requests == 2
