"""A state in git: branches that each record personas merge, and no ID disappears."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.repository import Repository
from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import KEY, NO_CHANGES, made, recorded, serving
from tests.helpers.support import manifest_text

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")

VOICES = "voices"
STATE = f"{VOICES}/personas.state.jsonl"
ALL = ("-f", VOICES)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository that ``init`` has prepared, its personas spread over the files of a folder."""
    repository = Repository.begin(tmp_path / "team")
    assert repository("init", VOICES).code == 0
    repository.commit("Begin")
    return repository


@pytest.fixture
def api(repository: Repository) -> Iterator[Sandbox]:
    with serving(repository, api_key=KEY) as sandbox:
        yield sandbox


def add(repository: Repository, file: str, *numbers: int) -> None:
    repository.write(f"{VOICES}/{file}.yaml", manifest_text(numbers))


def apply(repository: Repository) -> None:
    ended = repository("apply", *ALL, "--auto-approve", "--rate-limit", "none")
    assert ended.code == 0, ended.stderr


def add_and_apply(repository: Repository, branch: str, *numbers: int) -> None:
    """Add personas on a branch of its own, apply and commit, as an engineer does."""
    repository.branch(branch)
    add(repository, branch, *numbers)
    apply(repository)
    repository.commit(f"Add {branch}")


def headers(repository: Repository) -> list[dict[str, str]]:
    lines = (repository.folder / STATE).read_text(encoding="utf-8").splitlines()
    return [line for line in map(json.loads, lines) if "format" in line]


def check_whole(repository: Repository, sandbox: Sandbox) -> None:
    """Every ID that was made is in the state, and the plan has nothing left to do."""
    assert recorded(repository.folder / STATE) == made(sandbox)
    ended = repository("plan", *ALL, "--detailed-exitcode")
    assert (ended.code, ended.stdout) == (0, f"{NO_CHANGES}\n"), ended.stderr


def check_compacts(repository: Repository, sandbox: Sandbox) -> None:
    """The next apply that does something leaves one header and one sorted line an audio."""
    add(repository, "last", 999)
    apply(repository)
    lines = (repository.folder / STATE).read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines[1:]]
    assert len(headers(repository)) == 1
    assert [entry["key"] for entry in entries] == sorted(f"p-{n[6:]}" for n in made(sandbox))
    check_whole(repository, sandbox)


# Merges


def test_two_branches_of_one_state_merge(repository: Repository, api: Sandbox) -> None:
    add(repository, "shared", 0, 1)
    apply(repository)
    repository.commit("Shared")
    add_and_apply(repository, "left", 10, 11)
    repository.checkout("main")
    add_and_apply(repository, "right", 12, 9)
    repository.checkout("main")
    repository.git("merge", "--quiet", "--no-edit", "left")
    repository.git("merge", "--quiet", "--no-edit", "right")
    assert len(made(api)) == 6
    assert len(headers(repository)) == 1
    check_whole(repository, api)
    check_compacts(repository, api)


def forget_backup(repository: Repository) -> None:
    """Go on as on another machine, where no copy beside the state knows the other branch."""
    (repository.folder / f"{STATE}.backup").unlink()


def test_two_branches_that_each_began_a_state_merge(repository: Repository, api: Sandbox) -> None:
    add_and_apply(repository, "left", 0, 2)
    repository.checkout("main")
    forget_backup(repository)
    add_and_apply(repository, "right", 1, 3)
    repository.git("merge", "--quiet", "--no-edit", "left")
    assert len({header["lineage"] for header in headers(repository)}) == 2
    check_whole(repository, api)
    check_compacts(repository, api)


def test_renames_and_edits_on_both_sides_merge(repository: Repository, api: Sandbox) -> None:
    for number in range(6):
        add(repository, f"voice-{number}", number)
    apply(repository)
    repository.commit("Six voices")
    for branch, numbers in (("left", (0, 2, 4)), ("right", (1, 3, 5))):
        repository.branch(branch)
        for number in numbers:  # neighbours in the file, so that git sees one conflict of all
            text = manifest_text([number]).replace(f"p-{number:03}", f"{branch}-{number:03}")
            repository.write(f"{VOICES}/voice-{number}.yaml", text)
        apply(repository)
        repository.commit(f"Rename on {branch}")
        repository.checkout("main")
    repository.git("merge", "--quiet", "--no-edit", "left")
    repository.git("merge", "--quiet", "--no-edit", "right")
    assert recorded(repository.folder / STATE) == made(api)
    ended = repository("plan", *ALL, "--format", "json")
    summary = json.loads(ended.stdout)["summary"]
    assert {name for name, count in summary.items() if count} <= {"rename", "unchanged"}
    apply(repository)
    check_whole(repository, api)
    assert api.statistics().requests == 6


def test_the_same_persona_on_both_sides_keeps_its_id(repository: Repository, api: Sandbox) -> None:
    add_and_apply(repository, "left", 0, 1)
    repository.checkout("main")
    forget_backup(repository)
    repository.branch("right")
    add(repository, "left", 0, 1)
    add(repository, "right", 2)
    ended = repository("apply", *ALL, "--auto-approve", "--rate-limit", "none")
    assert ended.code == 3, "the API made them for the other branch, and says so"
    repository.commit("The same again")
    for ours, theirs in (("right", "left"), ("left", "right")):
        repository.git("checkout", "--quiet", "-B", "merged", ours)
        repository.git("merge", "--quiet", "--no-edit", theirs)
        check_whole(repository, api)


def test_a_branch_that_only_tried_hides_no_id(repository: Repository, api: Sandbox) -> None:
    repository.branch("tried")
    add(repository, "shared", 0, 1)
    no_answer = {"PERSONASYNC_BASE_URL": "http://127.0.0.1:9"}
    state = repository.folder / STATE
    ended = repository(
        "apply", *ALL, "--auto-approve", "--retry-for", "0s", env=no_answer
    )  # nothing listens there
    assert ended.code == 3
    state.write_text(state.read_text("utf-8").replace("http://127.0.0.1:9", api.base_url), "utf-8")
    repository.commit("Tried")
    repository.checkout("main")
    repository.branch("made")
    add(repository, "shared", 0, 1)
    apply(repository)
    repository.commit("Made")
    for ours, theirs in itertools.permutations(("tried", "made")):
        repository.git("checkout", "--quiet", "-B", "merged", ours)
        repository.git("merge", "--quiet", "--no-edit", theirs)
        check_whole(repository, api)


def test_rebase_and_cherry_pick_keep_every_id(repository: Repository, api: Sandbox) -> None:
    add_and_apply(repository, "left", 0, 3)
    repository.checkout("main")
    add_and_apply(repository, "right", 1, 2)
    repository.git("rebase", "--quiet", "left")
    check_whole(repository, api)
    repository.checkout("main")
    repository.git("cherry-pick", "left")
    repository.git("cherry-pick", "right")
    check_whole(repository, api)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_whatever_branches_do_no_id_disappears(
    repository: Repository, api: Sandbox, seed: int
) -> None:
    chance = random.Random(seed)
    begun = repository.git("rev-parse", "HEAD").strip()
    add(repository, "shared", *range(8))
    apply(repository)
    repository.commit("Shared")
    fresh = itertools.count(100)
    branches = [f"branch-{number}" for number in range(6)]
    for branch in branches:
        apart = chance.random() < 0.3  # it begins a state of its own
        repository.branch(branch, begun if apart else "main")
        for step in range(chance.randint(1, 3)):
            what = "add" if apart else chance.choice(["add", "rename", "remove", "interrupted"])
            if what == "add":
                add(repository, f"{branch}-{step}", next(fresh), next(fresh))
            elif what == "rename":
                key = f"p-{chance.randrange(8):03}"
                path = repository.folder / VOICES / "shared.yaml"
                text = path.read_text(encoding="utf-8")
                path.write_text(text.replace(f"  {key}:", f"  {branch}-{step}:"), "utf-8")
            elif what == "remove":
                repository("state", "rm", f"audio-{chance.randrange(8):03}", *ALL)
            else:
                add(repository, f"{branch}-{step}", next(fresh))
                repository("apply", *ALL, "--auto-approve", env={"PERSONASYNC_API_KEY": "wrong"})
            repository("apply", *ALL, "--auto-approve", "--rate-limit", "none")
        repository.commit(branch)
        repository.checkout("main")
    for branch in chance.sample(branches, len(branches)):
        repository.git("merge", "--quiet", "--strategy-option=ours", "--no-edit", branch)
        merged = recorded(repository.folder / STATE)
        assert merged.keys() <= made(api).keys()
    assert recorded(repository.folder / STATE) == made(api)
    apply(repository)
    assert recorded(repository.folder / STATE) == made(api)
    statistics = api.statistics()
    assert statistics.requests - sum(statistics.refused.values()) == len(made(api))


# Without the attribute


@pytest.mark.parametrize("style", ["merge", "diff3"])
def test_a_conflicted_state_says_so_and_is_mended_by_the_next_apply(
    repository: Repository, api: Sandbox, style: str
) -> None:
    (repository.folder / VOICES / ".gitattributes").unlink()
    add(repository, "shared", 0, 5)
    apply(repository)
    repository.commit("Shared, with no attributes")
    add_and_apply(repository, "left", 1)
    repository.checkout("main")
    add_and_apply(repository, "right", 2)
    told = repository.git("-c", f"merge.conflictStyle={style}", "merge", "left", check=False)
    assert "CONFLICT" in told
    conflicted = (repository.folder / STATE).read_bytes()
    for command in (("plan",), ("output",), ("state", "list")):
        ended = repository(*command, *ALL)
        assert ended.code == 0
        assert re.search(
            rf"line \d of {STATE}: an unresolved merge conflict; both sides are read", ended.stderr
        )
    assert (repository.folder / STATE).read_bytes() == conflicted
    spent = api.statistics().requests
    apply(repository)
    assert api.statistics().requests == spent
    assert "<<<<" not in (repository.folder / STATE).read_text("utf-8")
    repository.commit("Merge by the next apply")
    check_whole(repository, api)
    check_compacts(repository, api)


def test_two_states_of_different_apis_do_not_mix(repository: Repository, api: Sandbox) -> None:
    add_and_apply(repository, "left", 0)
    repository.checkout("main")
    repository.branch("right")
    add(repository, "right", 1)
    with serving(repository):
        apply(repository)
    repository.commit("Right")
    repository.git("merge", "--quiet", "--no-edit", "left")
    ended = repository("plan", *ALL)
    assert ended.code == 1
    assert "a second header names" in ended.stderr
    assert "two states of different APIs were merged; keep them apart" in ended.stderr


# Reverts


def test_a_reverted_manifest_leaves_the_ids_where_they_are(
    repository: Repository, api: Sandbox
) -> None:
    add(repository, "shared", 0)
    apply(repository)
    repository.commit("Shared")
    add(repository, "more", 1)
    added = repository.commit("Add one")
    apply(repository)
    repository.commit("Record it, as a job of its own does")
    repository.git("revert", "--no-edit", added)
    ended = repository("plan", *ALL)
    assert ended.last_line == "Needs attention: 0 changed, 1 removed, 0 in conflict."
    assert recorded(repository.folder / STATE) == made(api)
    repository.git("revert", "--no-edit", "HEAD")
    check_whole(repository, api)
    assert api.statistics().requests == 2


def test_a_reverted_state_is_mended_from_the_history(repository: Repository, api: Sandbox) -> None:
    add(repository, "shared", 0)
    apply(repository)
    repository.commit("Shared")
    add(repository, "more", 1, 2)
    apply(repository)
    wrong = repository.commit("Add two, and record them in one commit")
    repository.git("revert", "--no-edit", wrong)
    repository.git("checkout", "--quiet", wrong, "--", f"{VOICES}/more.yaml")
    repository.commit("The personas are wanted after all")
    healed = repository("plan", *ALL, "--format", "json")
    assert json.loads(healed.stdout)["summary"]["create"] == 0
    assert f"that only {STATE}.backup held" in healed.stderr.replace(f"{repository.folder}/", "")
    (repository.folder / f"{STATE}.backup").unlink()
    assert json.loads(repository("plan", *ALL, "--format", "json").stdout)["summary"]["create"] == 2
    # Of two states, every line is worth keeping: one behind the other is a state.
    older = repository.git("show", f"{wrong}:{STATE}")
    with (repository.folder / STATE).open("a", encoding="utf-8") as state:
        state.write(older)
    check_whole(repository, api)
    assert api.statistics().requests == 3


# What init gives git


def test_init_provides_for_git(repository: Repository, api: Sandbox) -> None:
    add(repository, "shared", 0)
    apply(repository)
    add(repository, "more", 1)
    apply(repository)
    (repository.folder / f"{STATE}.rescue").touch()
    seen = repository.git("status", "--porcelain", "--untracked-files=all").split()[1::2]
    assert f"{STATE}.backup" in {
        str(p.relative_to(repository.folder)) for p in repository.folder.rglob("*")
    }
    assert sorted(seen) == [
        f"{VOICES}/more.yaml",
        STATE,
        f"{STATE}.rescue",
        f"{VOICES}/shared.yaml",
    ]
    attributes = repository.git("check-attr", "merge", "text", "eol", "--", STATE)
    assert [line.rpartition(": ")[2] for line in attributes.splitlines()] == ["union", "set", "lf"]


def test_init_says_what_an_existing_file_of_gits_lacks(tmp_path: Path) -> None:
    repository = Repository.begin(tmp_path / "old")
    (repository.folder / ".gitignore").write_bytes(b"caf\xe9\n*.state.jsonl.lock\n")
    repository.write(".gitattributes", "*.state.jsonl merge=union text eol=lf\n")
    before = {
        path: path.read_bytes() for path in repository.folder.glob(".git?*") if path.is_file()
    }
    ended = repository("init")
    assert (ended.code, ended.stdout.split()) == (0, ["personas.schema.json", "personas.yaml"])
    assert ended.stderr == (
        ".gitignore is there already; add to it:\n"
        "*.state.jsonl.backup\n"
        "*.state.jsonl.torn\n"
        "*.state.jsonl.tmp\n"
        "personas.sandbox.*\n"
        "Next: write a persona into it, then run: personasync plan\n"
    )
    assert {path: path.read_bytes() for path in before} == before
