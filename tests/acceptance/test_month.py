"""A team's month: a spreadsheet adopted, two branches, a lost state, a voice that changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.repository import Repository
from tests.helpers.serving import KEY, NO_CHANGES, made, serving
from tests.helpers.support import Ended, manifest_text

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")

STATE = "personas.state.jsonl"
ADOPTED = {f"p-{number:03}": f"made-by-hand-{number:03}" for number in range(80)}


def done(team: Repository, *args: str) -> Ended:
    ended = team(*args)
    assert ended.code == 0, ended.stderr
    return ended


def apply(team: Repository) -> None:
    done(team, "apply", "-f", ".", "--auto-approve", "--rate-limit", "none")


def ids(team: Repository) -> dict[str, str]:
    found: dict[str, str] = json.loads(done(team, "output", "-f", ".", "--format", "map").stdout)
    return found


def damaged(state: str) -> str:
    """Return what is left of a state: no header, torn ends, two lines on one, all in UTF-16."""
    _header, *lines = state.splitlines()
    return "".join((lines[0], lines[1], "\n", "\n".join(lines[2:]), "\n", lines[0][:40]))


@pytest.mark.parametrize("kept", ["a table", "a damaged copy"])
def test_a_month(tmp_path: Path, kept: str) -> None:
    team = Repository.begin(tmp_path / "team")
    done(team, "init", ".")
    (team.folder / "personas.yaml").unlink()
    with serving(team, api_key=KEY) as sandbox:
        # Eighty personas that were made by hand are in a spreadsheet, which writes what it likes.
        team.write("adopted.yaml", manifest_text(range(80)))
        rows = [f"Persona {int(key[2:])};{persona_id};x" for key, persona_id in ADOPTED.items()]
        table = "\n".join(["name;personaId;remark", *rows, "Persona 0;;none yet"])
        (team.folder / "voices.csv").write_bytes(f"\ufeff{table}\n".encode("utf-16"))
        done(team, "import", "--from", "voices.csv", "-f", ".")
        assert ids(team) == ADOPTED
        assert len((team.folder / STATE).read_text(encoding="utf-8").splitlines()) == 81
        assert done(team, "plan", "-f", ".", "--strict").stdout == f"{NO_CHANGES}\n"
        team.commit("Adopt what was made by hand")

        # Two branches add voices of their own, and merge.
        for branch, numbers in (("left", range(100, 103)), ("right", range(200, 203))):
            team.branch(branch)
            team.write(f"{branch}.yaml", manifest_text(numbers))
            apply(team)
            team.commit(f"Add {branch}")
        team.checkout("main")
        team.git("merge", "--quiet", "left")
        team.git("merge", "--quiet", "right")
        assert len(made(sandbox)) == 6
        everything = ids(team)
        assert len(everything) == 86

        # The state is lost, with all that lies beside it; a list of IDs from yesterday is not.
        if kept == "a table":
            team.write("ids", done(team, "output", "-f", ".", "--format", "csv").stdout)
        else:
            state = (team.folder / STATE).read_text(encoding="utf-8")
            (team.folder / "ids").write_bytes(damaged(state).encode("utf-16"))
        team.git("rm", "--quiet", STATE)
        team.commit("Tidy up")
        for path in team.folder.glob(f"{STATE}*"):
            path.unlink()
        done(team, "state", "init", STATE)
        done(team, "import", "--from", "ids", "-f", ".")
        assert ids(team) == everything
        assert done(team, "plan", "-f", ".", "--strict").stdout == f"{NO_CHANGES}\n"
        apply(team)
        team.commit("Put the state back")

        # One voice gets another audio; of another the description is corrected.
        for file, old, new in (
            ("adopted.yaml", '"audio-001"', '"audio-of-another-take"'),
            ("left.yaml", "number 100, over", "number one hundred, over"),
        ):
            text = (team.folder / file).read_text(encoding="utf-8")
            team.write(file, text.replace(old, new))
        assert "made-by-hand-001 stays" in " ".join(team("plan", "-f", ".").stdout.split())
        apply(team)
        done(team, "state", "rm", "audio-001", "-f", ".")
        ended = team("plan", "-f", ".", "--fail-on", "attention")
        assert (ended.code, ended.stdout.count("  ! ")) == (1, 1)
        done(team, "state", "accept", "p-100", "-f", ".")

        assert done(team, "plan", "-f", ".", "--strict").stdout == f"{NO_CHANGES}\n"
        known = ids(team)
        assert known.pop("p-001") == made(sandbox)["audio-of-another-take"]
        assert known == {key: each for key, each in everything.items() if key != "p-001"}
        assert len(made(sandbox)) == 7, "nothing was asked for twice"
