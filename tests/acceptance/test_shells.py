"""What is printed for shells is read by each of them, and obeyed by none."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.missing import missing
from tests.helpers.serving import STATE
from tests.helpers.support import Tool

SHELLS = {
    "dash": ["dash"],
    "bash": ["bash", "--norc"],
    "bash as sh": ["bash", "--posix", "--norc"],
    "zsh": ["zsh", "-f"],
    "busybox": ["busybox", "sh"],
    "ksh": ["ksh"],
}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    words = SHELLS[request.param]
    if shutil.which(words[0]) is None:
        missing(words[0], "it is not installed here")
    return words


def recorded(tool: Tool, entries: dict[str, str]) -> None:
    """Write a state that has an ID for each key, as whoever can edit it may."""
    lines: list[dict[str, str]] = [
        {"format": "personasync.state/1", "lineage": "l", "api": "https://apibox.erweima.ai"}
    ]
    for number, (key, persona_id) in enumerate(entries.items()):
        entry = {"audioId": f"a{number}", "key": key, "status": "created", "personaId": persona_id}
        lines.append({**entry, "origin": "import"})
    tool.write(STATE, "".join(f"{json.dumps(line)}\n" for line in lines))


def run(shell: list[str], script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*shell, "-c", script], cwd=folder, capture_output=True, text=True, timeout=60
    )


IDS = {
    "neon-siren": "a1b2c3d4",
    "quoted": "it's-'$(touch",
    "dollar": "$(touch${IFS}pwned)`touch\tpwned`".replace("\t", "${IFS}"),
    "back": "\\n\\x27;touch${IFS}pwned;#",
    "ansi": "$'\\x27;touch${IFS}pwned;:\\x27'",
    "semi": "a;touch${IFS}pwned",
    "equals": "=ls",
    "x.y~!": "!!#*?[a]",
}


def test_ids_are_sourced_and_nothing_runs(tool: Tool, shell: list[str]) -> None:
    recorded(tool, IDS)
    ended = tool("output", "--format", "env")
    assert ended.code == 0, ended.stderr
    tool.write("ids.sh", ended.stdout)
    names = [f"PERSONA_{name}" for name in ("NEON_SIREN", "QUOTED", "DOLLAR", "BACK", "ANSI")]
    names += ["PERSONA_SEMI", "PERSONA_EQUALS", "PERSONA_X_Y__"]
    shown = "".join(f"printf '%s\\n' \"${name}\"; " for name in names)
    ran = run(shell, f". ./ids.sh; {shown}", tool.folder)
    assert (ran.stdout.splitlines(), ran.stderr) == (list(IDS.values()), "")
    assert not (tool.folder / "pwned").exists()


HOSTILE_IDS = [
    "a\n touch pwned",
    "a\x1b'; touch pwned; '",
    "$'\\047; touch pwned; \\047'\x01",
    "\u2028; touch pwned",
    "a\x00touch pwned",
    " ",
]


@pytest.mark.parametrize("persona_id", HOSTILE_IDS, ids=ascii)
def test_what_no_api_can_have_given_is_refused(
    tool: Tool, shell: list[str], persona_id: str
) -> None:
    recorded(tool, {"fine": "f1", "neon": persona_id})
    ended = tool("output", "--format", "env")
    tool.write("ids.sh", ended.stdout)
    assert (ended.code, ended.stdout) == (1, "")
    assert "what the state has for 'neon' is no ID that an API can have given" in ended.stderr
    run(shell, ". ./ids.sh", tool.folder)
    assert not (tool.folder / "pwned").exists()


KEYS = [
    "a b",
    "$(touch pwned)",
    "x'; touch pwned; '",
    "a\nb\u202ec",
    "%s\\n\x1b[31m",
    "é 歌",
    "=ls",
]


def commands(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.startswith("        personasync "))


@pytest.mark.parametrize("key", KEYS, ids=ascii)
def test_a_command_that_is_shown_says_just_what_is_meant(
    tool: Tool, shell: list[str], key: str
) -> None:
    recorded(tool, {key: "p-1"})
    tool.write("personas.yaml", "version: 1\npersonas: {}\n")
    [command] = commands(tool("plan").stdout)
    assert command.isprintable()
    script = f"personasync() {{ printf '%s|' \"$@\"; }}; {command}"
    ran = run(shell, script, tool.folder)
    assert (ran.stdout, ran.stderr) == (f"state|rm|{key}|", "")
    assert not (tool.folder / "pwned").exists()
