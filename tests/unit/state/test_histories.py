"""Random histories in git: whatever is done with a state, no ID that was recorded gets unknown."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from personasync.state import FileStateLog, Status
from personasync.state.codec import encode_entry
from tests.unit.state.samples import API, created, entry

QUICK = 8
HISTORIES = [
    seed if seed < QUICK else pytest.param(seed, marks=pytest.mark.slow) for seed in range(60)
]


class Team:
    """A repository with a state, people who work in it, and every ID that was ever recorded."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.state = folder / "personas.state.jsonl"
        self.chance = random.Random(seed)
        self.known: dict[str, str] = {}
        self.branches = ["main"]
        self._numbers = itertools.count(1)
        self.git("init", "--quiet", "--initial-branch=main")
        for name in (".backup", ".lock", ".torn"):
            with (folder / ".gitignore").open("a") as file:
                file.write(f"*{name}\n")
        if seed % 2:
            (folder / ".gitattributes").write_text("*.jsonl merge=union\n")
        self.run()
        self.commit()

    def git(self, *words: str) -> None:
        """Run git; what it refuses, nobody does."""
        named = {
            f"GIT_{who}_{what}": "a@b"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        subprocess.run(
            ["git", *words],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "GIT_EDITOR": "true",
                **named,
            },
            capture_output=True,
            check=False,
        )

    def run(self, *, killed: bool = False) -> None:
        """Record a persona, as an apply does; one that is killed leaves a line cut off."""
        number = next(self._numbers)
        log = FileStateLog(self.state, api=API)
        with log.lock():
            log.append([entry(number, Status.PENDING), created(number)])
            self.known[f"audio-{number}"] = f"id-{number}"
            if not killed:
                log.compact()
        if killed:
            with self.state.open("ab") as file:
                line = encode_entry(entry(next(self._numbers)))
                file.write(line[: self.chance.randrange(1, len(line))])
            self.commit()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "x")

    def finish(self) -> None:
        """End whatever git left half done, by taking what lies there."""
        for what in ("rebase", "cherry-pick", "merge"):
            self.git("add", "--all")
            self.git("-c", "core.editor=true", what, "--continue")
        self.commit()

    # What people do.

    def branch(self) -> None:
        name = f"b{len(self.branches)}"
        self.git("checkout", "--quiet", "-b", name)
        self.branches.append(name)

    def switch(self) -> None:
        self.commit()
        self.git("checkout", "--quiet", self.chance.choice(self.branches))

    def merge(self) -> None:
        self.commit()
        self.git("merge", "--quiet", "--no-edit", self.chance.choice(self.branches))
        self.finish()

    def rebase(self) -> None:
        self.commit()
        self.git("rebase", "--quiet", self.chance.choice(self.branches))
        for _stop in range(8):
            self.git("add", "--all")
            self.git("rebase", "--continue")
        self.finish()

    def cherry_pick(self) -> None:
        self.commit()
        self.git("cherry-pick", self.chance.choice(self.branches))
        self.finish()

    def stash(self) -> None:
        self.git("stash", "--include-untracked")

    def unstash(self) -> None:
        self.git("stash", "pop")
        self.commit()

    def restore(self) -> None:
        self.git("checkout", "--quiet", "--", ".")

    def reset(self) -> None:
        self.git("reset", "--quiet", "--hard")

    def remove(self) -> None:
        self.state.unlink(missing_ok=True)

    def empty(self) -> None:
        self.state.write_bytes(b"")

    def kill(self) -> None:
        """Be killed, and run again before anybody throws the only copy away."""
        self.run(killed=True)
        self.chance.choice([self.commit, self.merge, self.rebase, self.cherry_pick])()
        self.run()

    def deeds(self) -> list[Callable[[], None]]:
        others = [self.branch, self.switch, self.merge, self.rebase, self.cherry_pick, self.stash]
        others += [self.unstash, self.restore, self.reset, self.remove, self.empty, self.kill]
        return [self.run, self.run, self.run, self.commit, *others]


@pytest.mark.parametrize("seed", HISTORIES)
def test_no_id_is_unknown_in_the_end(tmp_path: Path, seed: int) -> None:
    team = Team(tmp_path, seed)
    done = []
    for _step in range(14):
        deed = team.chance.choice(team.deeds())
        done.append(deed.__name__)
        deed()
    team.run()
    team.commit()
    for branch in team.branches:
        team.git("merge", "--quiet", "--no-edit", branch)
        team.finish()
    team.run()
    folded = FileStateLog(team.state, api=API).read().fold().entries
    assert {audio: folded[audio].ids if audio in folded else () for audio in team.known} == {
        audio: (persona_id,) for audio, persona_id in team.known.items()
    }, done
