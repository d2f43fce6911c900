"""What every command and command group has in common: its help, and where options may stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from personasync.model.spelling import cut

_SHARED_FLAG: Final = re.compile(r"--no-color|--quiet|--verbose|-[qv]+")
_SHARED_VALUES: Final = ("-f", "--manifest", "--state")
_LONGEST_MESSAGE: Final = 300
_MANIFEST: Final = ("-f", "--manifest")
_SHARED_WITH_VALUE: Final = re.compile(r"(?:--manifest=|--state=|-f.).*", re.DOTALL)


ENVIRONMENT: Final = (
    "Environment: every option is read from PERSONASYNC_ and its name, such as"
    " PERSONASYNC_STATE; each command's help lists them."
)
"""What the help of a group says of its commands' options."""


class Command(click.Command):
    """A command whose help ends with the environment variables that it reads.

    ``variables`` are those that belong to no option.
    """

    def __init__(self, *args: Any, variables: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._variables = tuple(variables)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; a shell that has expanded ``-f voices/*.yaml`` left too many."""
        spilled = None if ctx.resilient_parsing else _spilled_manifest(args)
        if spilled is not None:
            ctx.fail(
                f"-f takes one file or folder, and {spilled} follows it: "
                "put quotes around a pattern, such as -f 'voices/*.yaml', or write -f before each"
            )
        try:
            return super().parse_args(ctx, list(args))
        except click.UsageError as error:
            if not error.message.startswith("Got unexpected extra argument"):
                raise
            message = cut(error.message, _LONGEST_MESSAGE)
            if any(_is_manifest(arg) and f"({arg}" in message for arg in args):
                message += "; a manifest is named with -f"
            raise click.UsageError(message, ctx) from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the environment variables of the options."""
        super().format_epilog(ctx, formatter)
        variables = [*self._variables, *_variables(self.get_params(ctx))]
        if variables:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(f"Environment: {', '.join(variables)}.")


class Group(click.Group):
    """Hands the shared options on to the command that follows them."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name that is none gets the nearest one suggested."""
        name = args[0]
        if not ctx.resilient_parsing and name not in self.list_commands(ctx) and name[:1] != "-":
            from difflib import get_close_matches  # rarely needed

            close = get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the group's own options; the shared ones go to the command.

        Who says nothing at all is shown what there is to say.
        """
        if not args and ctx.parent is None and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, _shared_options_last(args))


def _variables(parameters: Iterable[click.Parameter]) -> Iterable[str]:
    for parameter in parameters:
        if isinstance(parameter.envvar, str):
            yield parameter.envvar
        if parameter.name == "no_color":
            yield from ("NO_COLOR", "FORCE_COLOR")


def _spilled_manifest(args: Sequence[str]) -> str | None:
    """Return the second of several manifests that follow one ``-f``."""
    for option, _, extra in zip(args, args[1:], args[2:], strict=False):
        if option in _MANIFEST and _is_manifest(extra):
            return extra
    return None


def _is_manifest(arg: str) -> bool:
    return arg.endswith((".yaml", ".yml")) and Path(arg).is_file()


def _shared_options_last(args: Sequence[str]) -> list[str]:
    rest, shared = list(args), []
    while rest:
        if _SHARED_FLAG.fullmatch(rest[0]) or _SHARED_WITH_VALUE.fullmatch(rest[0]):
            shared.append(rest.pop(0))
        elif rest[0] in _SHARED_VALUES and len(rest) > 1:
            shared += [rest.pop(0), rest.pop(0)]
        else:
            break
    return rest[:1] + shared + rest[1:]
