"""A command group that takes the shared options before its command as well as after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

_SHARED_FLAGS: Final = ("--no-color", "-q", "--quiet", "-v", "--verbose")
_SHARED_VALUES: Final = ("-f", "--manifest", "--state")
_JOINED_VALUES: Final = ("--manifest=", "--state=")


class Group(click.Group):
    """Hands the shared options on to the command that follows them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the group's own options; the shared ones go to the command."""
        return super().parse_args(ctx, _shared_options_last(args))


def _shared_options_last(args: Sequence[str]) -> list[str]:
    rest, shared = list(args), []
    while rest:
        if rest[0] in _SHARED_FLAGS or rest[0].startswith(_JOINED_VALUES):
            shared.append(rest.pop(0))
        elif rest[0] in _SHARED_VALUES and len(rest) > 1:
            shared += [rest.pop(0), rest.pop(0)]
        else:
            break
    return rest[:1] + shared + rest[1:]
