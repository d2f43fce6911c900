"""Completion in the real shells: Tab is pressed, and the command that comes of it is run."""

from __future__ import annotations

import os
import select
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.hosting import ROOT
from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import apply_here, made, serving
from tests.helpers.support import Tool, manifest_text
from tests.helpers.terminal import ON_A_TERMINAL
from tests.helpers.waiting import HANG

_SETUP = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        ["PS1='$ '", "source personasync.completion"],
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        [
            "PS1='$ '",
            "autoload -U compinit",
            "compinit -u -D",
            "source ./personasync.completion",
        ],
    ),
    "fish": (
        ["fish", "--no-config", "--interactive"],
        ["source personasync.completion"],
    ),
}
SHELLS = [
    pytest.param(
        name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not here")
    )
    for name in _SETUP
]


class Shell:
    """A shell on a terminal, with the command's completion loaded."""

    def __init__(self, name: str, tool: Tool, environment: dict[str, str]) -> None:
        script = tool("completion", name)
        assert script.code == 0
        tool.write("personasync.completion", script.stdout)
        command, setup = _SETUP[name]
        self._ours, theirs = os.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", ON_A_TERMINAL, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=tool.folder,
            env={**tool.environment, **environment, "TERM": "xterm", "COLUMNS": "200"},
            start_new_session=True,
        )
        os.close(theirs)
        self._numbers = iter(range(1, 1000))
        for line in setup:
            self.type(line)

    def type(self, line: str) -> str:
        """Type a line, with Tab as ``\\t``; return all that was shown until it was done."""
        number = next(self._numbers)
        os.write(self._ours, f"{line}\n".encode())
        os.write(self._ours, f"echo done'-'{number}\n".encode())
        return self._read_until(f"done-{number}")

    def close(self) -> None:
        os.close(self._ours)
        self._process.kill()
        self._process.wait(HANG)

    def _read_until(self, text: str) -> str:
        shown = ""
        deadline = time.monotonic() + HANG
        while text not in shown:
            ready = select.select([self._ours], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, f"nothing happens: {shown!r}"
            shown += os.read(self._ours, 65536).decode(errors="replace")
        return shown


@pytest.fixture
def api(tool: Tool) -> Iterator[Sandbox]:
    with serving(tool) as sandbox:
        yield sandbox


@pytest.fixture
def start(tool: Tool, tmp_path: Path) -> Iterator[Callable[[str], Shell]]:
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "personasync"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m personasync "$@"\n', encoding="utf-8")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    environment = {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C.UTF-8",
    }
    (tmp_path / "home").mkdir()
    started: list[Shell] = []

    def begin(name: str) -> Shell:
        started.append(Shell(name, tool, environment))
        return started[-1]

    yield begin
    for shell in started:
        shell.close()


def named(first: str, second: str, start: int = 0) -> str:
    """Return a manifest of two personas with keys of their own."""
    text = manifest_text(range(start, start + 2)).replace(f"p-{start:03}", first)
    return text.replace(f"p-{start + 1:03}", second)


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes(tool: Tool, api: Sandbox, start: Callable[[str], Shell], shell: str) -> None:
    tool.write("personas.yaml", named("neon-siren", "velvet_baritone.2"))
    tool.write("more/personas.yaml", named("glass-choir", "night", 5))
    apply_here(tool, api)
    apply_here(tool, api, "more/personas.yaml")
    tool("plan", "--out", "reviewed.json")
    ids = made(api)
    typing = start(shell)
    for line, said in (
        ("personasync vali\t", "The manifest is valid: 2 personas"),
        ("personasync output ne\t", ids["audio-000"]),
        ("personasync output velvet_b\t", ids["audio-001"]),
        ("personasync output -f more gl\t", ids["audio-005"]),
        ("personasync -f more/personas.yaml output ni\t", ids["audio-006"]),
        ("personasync output --require ne\t velvet\t", ids["audio-001"]),
        ("personasync plan --format mark\t", "<!-- personasync plan -->"),
        ("personasync plan --form\t markdown", "<!-- personasync plan -->"),
        ("personasync plan --target velvet\t", "1 is left out by --target"),
        ("personasync state show ne\t", "audioId:   audio-000"),
        ("personasync apply --auto-approve rev\t", "Apply complete: 0 created"),
        ("personasync schema even\t", '"title": "personasync event"'),
    ):
        shown = typing.type(line)
        assert said in shown, (line, shown)


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_tab_is_safe_whatever_the_manifest_says(
    tool: Tool, start: Callable[[str], Shell], shell: str
) -> None:
    hostile = "$(touch pwned) `touch pwned` \\$(touch pwned); touch pwned, a:b\\c %s"
    text = named("neon-siren", "neon-tenor").replace("Persona 0", hostile)
    tool.write("personas.yaml", text.replace(f'"{hostile}"', f"'{hostile}'"))
    assert tool("validate").code == 0
    typing = start(shell)
    shown = typing.type("personasync output neon-s\t")
    assert "there is no ID for 'neon-siren'" in shown
    tool.write("personas.yaml", "personas: [[[[")
    shown = typing.type("personasync output neon-\t")
    assert "Traceback" not in shown
    assert not (tool.folder / "pwned").exists()


def complete(tool: Tool, words: str, shell: str = "zsh") -> list[list[str]]:
    """Ask as a shell asks; return type, value and help of each answer."""
    count = str(len(words.split(" ")) - 1)
    ended = tool(
        env={"_PERSONASYNC_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": count}
    )
    assert (ended.code, ended.stderr) == (0, "")
    lines = [line for line in ended.stdout.splitlines() if line]
    return [lines[at : at + 3] for at in range(0, len(lines), 3)]


@pytest.mark.parametrize("shell", ["zsh", "powershell"])
def test_keys_come_with_the_names_of_their_personas(tool: Tool, api: Sandbox, shell: str) -> None:
    text = named("neon-siren", "neon-tenor").replace("Persona 1", "夜の" * 60)
    tool.write("personas.yaml", text)
    apply_here(tool, api)
    tool.write("personas.yaml", text.replace("neon-tenor", "night"))
    tool("state", "mv", "neon-siren", "old-siren")
    assert complete(tool, "personasync output n", shell) == [
        ["plain", "neon-siren", "Persona 0"],
        ["plain", "night", f"{'夜の' * 30}"[:59] + "…"],
        ["plain", "neon-tenor", f"{'夜の' * 30}"[:59] + "…"],
    ]
    state_only = [value for _kind, value, _help in complete(tool, "personasync state rm ", shell)]
    assert state_only == ["neon-tenor", "old-siren"]


def test_the_options_before_the_key_are_honoured(tool: Tool, api: Sandbox) -> None:
    tool.write("a.yaml", named("alto", "accordion"))
    tool.write("kept.state.jsonl", "")
    for words in (
        "personasync output -f a.yaml a",
        "personasync -f a.yaml output a",
        "personasync output --manifest=a.yaml a",
        "personasync import --state kept.state.jsonl -f a.yaml a",
        "personasync plan -f a.yaml --exclude a",
    ):
        values = [value for _kind, value, _help in complete(tool, words)]
        assert values == ["alto", "accordion"], words
    assert complete(tool, "personasync output a") == []
    tool.environment["PERSONASYNC_MANIFEST"] = "a.yaml"
    assert [found[1] for found in complete(tool, "personasync output al")] == ["alto"]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda tool: tool.write("personas.yaml", "personas: [[["),
        lambda tool: tool.write("personas.state.jsonl", "nonsense\n"),
        lambda tool: (tool.folder / "personas.yaml").mkdir(),
        lambda tool: (tool.folder / "personas.state.jsonl").mkdir(),
        lambda tool: tool.write("personas.yaml", "\0"),
    ],
    ids=["manifest", "state", "folder", "state folder", "nul"],
)
def test_a_completion_never_complains(tool: Tool, break_it: Callable[[Tool], object]) -> None:
    break_it(tool)
    assert complete(tool, "personasync output ") == []
    assert complete(tool, "personasync state rm ") == []
