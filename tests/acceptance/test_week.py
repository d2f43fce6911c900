"""A team's week: every change by pull request, every apply by a job, and every ID in the state."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from personasync.sandbox import SandboxConfig
from tests.helpers.hosting import ROOT, GitHub, Job
from tests.helpers.repository import Repository
from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import KEY, NO_CHANGES, STATE, made, recorded
from tests.helpers.support import manifest_text

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not here"),
]

BATCH = range(100, 130)


class Team:
    """Ana, Ben and Chen, their repository on GitHub, and the API that they share."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        workflows = ROOT / "examples" / "ci" / "github" / "state-in-git"
        self.github = GitHub(folder / "github", workflows, sandbox.base_url, KEY)
        self.ana, self.ben, self.chen = map(self.github.clone, ("ana", "ben", "chen"))
        self.pull_requests = 0

    def branch(self, who: Repository, name: str) -> str:
        """Begin a branch at ``main`` as it is now; return the manifest that it begins with."""
        who.git("fetch", "--quiet", "origin")
        who.branch(name, "origin/main")
        return (who.folder / "personas.yaml").read_text(encoding="utf-8")

    def save(self, who: Repository, manifest: str, message: str) -> None:
        who.write("personas.yaml", manifest)
        assert who("validate").code == 0
        who.commit(message)
        who.git("push", "--quiet", "origin", "HEAD")

    def propose(self, name: str) -> tuple[int, str]:
        """Open a pull request; return its number and the comment that it gets."""
        self.pull_requests += 1
        return self.pull_requests, self.review(self.pull_requests, name)

    def review(self, number: int, name: str) -> str:
        """Run the plan of a pull request, and read its one comment."""
        job = self.github.pull_request(number, name)
        assert job is not None
        assert job.ok, job.log
        [comment] = [each for each in self.github.comments if each["issue"] == number]
        return str(comment["body"])

    def merge(self, who: Repository, name: str) -> str:
        """Press the button; return where ``main`` was before."""
        before = self.github.head()
        who.git("fetch", "--quiet", "origin")
        who.git("checkout", "--quiet", "-B", "merging", "origin/main")
        who.git("merge", "--quiet", "--no-ff", "--no-edit", f"origin/{name}")
        who.git("push", "--quiet", "origin", "HEAD:main")
        return before

    def applied(self, before: str) -> Job:
        job = self.github.push(before)
        assert job is not None
        assert job.ok, job.log
        return job

    def committed(self) -> dict[str, str]:
        self.ana.git("fetch", "--quiet", "origin")
        self.ana.git("checkout", "--quiet", "--detach", "origin/main")
        return recorded(self.ana.folder / STATE)


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    with Sandbox(SandboxConfig(api_key=KEY)) as sandbox:
        yield Team(tmp_path, sandbox)


def test_a_week(team: Team) -> None:
    for day in (monday, tuesday, wednesday, thursday, friday):
        day(team)
        assert team.committed() == made(team.sandbox), day.__name__
    assert team.ana("plan").stdout == f"{NO_CHANGES}\n"
    assert team.ana("plan", "--strict", "--detailed-exitcode").code == 0
    audios = team.sandbox.statistics().audios
    assert set(audios.values()) == {1}, "no audio was asked for twice"
    assert len(audios) == 3 + 3 + len(BATCH)


def monday(team: Team) -> None:
    """Ana begins: the first three personas, reviewed, merged and applied."""
    assert team.ana("init").code == 0
    team.ana.commit("Begin")
    team.ana.git("push", "--quiet", "origin", "HEAD:main")
    team.branch(team.ana, "first-voices")
    team.save(team.ana, manifest_text([10, 20, 30]), "Three voices")
    _number, comment = team.propose("first-voices")
    assert "**Plan: 3 to create, 0 to resume, 0 to import, 0 to rename. 0 unchanged.**" in comment
    job = team.applied(team.merge(team.ana, "first-voices"))
    assert "Apply complete: 3 created" in job.step("Apply").output


def tuesday(team: Team) -> None:
    """Ben and Chen work side by side; Ben's is reviewed twice; both are merged at once."""
    manifest = team.branch(team.ben, "ben")
    entry = manifest_text([5]).partition("personas:\n")[2]
    team.save(team.ben, manifest.replace("personas:\n", f"personas:\n{entry}"), "A low voice")
    number, comment = team.propose("ben")
    assert "<code>Persona 5</code>" in comment
    warmer = (
        (team.ben.folder / "personas.yaml").read_text("utf-8").replace("Persona 5", "Warm Bass")
    )
    team.save(team.ben, warmer, "Call it by its sound, as the review asks")
    assert "<code>Warm Bass</code>" in team.review(number, "ben")

    manifest = team.branch(team.chen, "chen")
    team.save(
        team.chen, manifest + manifest_text([40, 50]).partition("personas:\n")[2], "High ones"
    )
    _number, comment = team.propose("chen")
    assert "**Plan: 2 to create, 0 to resume, 0 to import, 0 to rename. 3 unchanged.**" in comment

    before_ben = team.merge(team.ben, "ben")
    before_chen = team.merge(team.chen, "chen")
    first = team.applied(before_ben)
    assert "Apply complete: 3 created" in first.step("Apply").output, "it begins at main as it is"
    second = team.applied(before_chen)
    assert "No changes." in second.step("Plan").output
    assert "Apply" not in [step.name for step in second.steps], "nothing is left to approve"


def wednesday(team: Team) -> None:
    """A large batch; somebody cancels the job, and somebody else runs it again."""
    slowly = "settings: {parallelism: 2, rateLimit: 5/1s}\npersonas:\n"
    manifest = team.branch(team.chen, "batch").replace("personas:\n", slowly)
    team.save(team.chen, manifest + manifest_text(BATCH).partition("personas:\n")[2], "A choir")
    _number, comment = team.propose("batch")
    assert "<summary>30 actions</summary>" in comment
    before = team.merge(team.chen, "batch")
    wanted = team.sandbox.statistics().made + 8
    job = team.github.push(before, cancel=lambda: team.sandbox.statistics().made >= wanted)
    assert job is not None
    assert job.step("Apply").outcome == "cancelled"
    assert "Apply incomplete: " in job.step("Apply").output
    cut = team.committed()
    assert cut == made(team.sandbox), "what was made before the cancel is committed"
    assert wanted <= len(cut) < 6 + len(BATCH)
    again = team.github.dispatch()
    assert again is not None
    assert again.ok, again.log
    assert f"Apply complete: {6 + len(BATCH) - len(cut)} created" in again.step("Apply").output


def thursday(team: Team) -> None:
    """A rename goes through; an edit that the API cannot make is seen in review, and taken back."""
    manifest = team.branch(team.ben, "names")
    edited = manifest.replace("  p-020:", "  velvet-tenor:").replace("Persona 30", "Persona Thirty")
    team.save(team.ben, edited, "Names")
    number, comment = team.propose("names")
    assert "1 to rename. 34 unchanged.**" in comment
    assert "**Needs attention: 1 changed, 0 removed, 0 in conflict.**" in comment
    assert '<code>"Persona 30"</code> | <code>"Persona Thirty"</code>' in comment
    team.save(team.ben, edited.replace("Persona Thirty", "Persona 30"), "The API cannot do that")
    comment = team.review(number, "names")
    assert "1 to rename. 35 unchanged.**" in comment
    assert "Needs attention" not in comment
    job = team.applied(team.merge(team.ben, "names"))
    assert "Apply complete: 0 created, 0 imported, 1 renamed." in job.step("Apply").output


def friday(team: Team) -> None:
    """A persona is let go: out of the manifest, out of view, and its ID kept."""
    manifest = team.branch(team.ana, "goodbye")
    entry = manifest_text([10]).partition("personas:\n")[2]
    assert entry in manifest
    team.save(team.ana, manifest.replace(entry, ""), "One less")
    number, comment = team.propose("goodbye")
    assert "**Needs attention: 0 changed, 1 removed, 0 in conflict.**" in comment
    kept = recorded(team.ana.folder / STATE)["audio-010"]
    assert kept in comment
    assert team.ana("state", "rm", "p-010").code == 0
    team.ana.commit("Out of view")
    team.ana.git("push", "--quiet", "origin", "HEAD")
    assert NO_CHANGES in team.review(number, "goodbye")
    team.applied(team.merge(team.ana, "goodbye"))
    assert team.committed()["audio-010"] == kept
