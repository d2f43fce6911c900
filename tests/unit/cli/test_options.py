"""What the options of several commands have in common."""

from __future__ import annotations

from collections.abc import Iterator

import click

from personasync.cli.main import cli
from personasync.cli.options import _FORMATS, FormatOption


def commands_of(group: click.Group) -> Iterator[click.Command]:
    """Yield every command of a group and of the groups in it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield command
        if isinstance(command, click.Group):
            yield from commands_of(command)


def test_the_variable_for_formats_knows_what_every_command_takes() -> None:
    taken = {
        name
        for command in commands_of(cli)
        for option in command.params
        if isinstance(option, FormatOption) and isinstance(option.type, click.Choice)
        for name in option.type.choices
    }
    assert taken == _FORMATS
