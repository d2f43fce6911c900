"""The help of each command, which is its reference."""

from __future__ import annotations

import re

import click
import pytest

from personasync.cli.main import cli
from tests.helpers.support import Tool

SCREEN = (80, 50)
"""Columns and lines of the screen that a command's help fits on."""


def commands(group: click.Group, *path: str) -> dict[tuple[str, ...], click.Command]:
    found: dict[tuple[str, ...], click.Command] = {path: group}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = commands(command, *path, name) if isinstance(command, click.Group) else {}
        found |= inner or {(*path, name): command}
    return found


COMMANDS = commands(cli)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "-")
def test_help_fits_a_screen_and_says_all(tool: Tool, path: tuple[str, ...]) -> None:
    ended = tool(*path, "--help", env={"COLUMNS": str(SCREEN[0])})
    lines = ended.stdout.splitlines()
    assert (ended.code, ended.stderr) == (0, "")
    assert max(map(len, lines)) <= SCREEN[0]
    assert len(lines) <= SCREEN[1]
    assert re.search(r"^  Examples?:$\n^    .*personasync ", ended.stdout, re.MULTILINE)
    environment = " ".join(ended.stdout.rpartition("Environment: ")[2].split())
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert any(name in ended.stdout for name in parameter.opts)
            variable = parameter.envvar
            assert not variable or re.search(rf"\b{variable}[,.]", environment)


def test_every_option_can_be_set_from_the_environment() -> None:
    said = {"auto_approve", "force", "help", "version"}  # what is said, and never inherited
    for path, command in COMMANDS.items():
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in said:
                assert str(option.envvar).startswith("PERSONASYNC_"), (path, option.name)


@pytest.mark.slow
def test_the_examples_in_help_are_commands_that_parse(tool: Tool) -> None:
    """Each is run with --help behind it: every option it names is one that there is."""
    seen = 0
    for path in COMMANDS:
        text = tool(*path, "--help").stdout
        for line in re.findall(r"^    (?:source <\()?(personasync [^#>)\n]*)", text, re.MULTILINE):
            words = [word.strip("'") for word in line.split()[1:]]
            ended = tool(*words, "--help")
            assert (ended.code, ended.stderr) == (0, ""), line
            seen += 1
    assert seen >= 30
