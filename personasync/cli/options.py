"""Options shared by several commands, each with its environment variable."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import wraps
from typing import Any, Final, TypeVar, cast

import click
from click.core import ParameterSource

from personasync.cli.console import Console
from personasync.cli.session import remember
from personasync.cli.workspace import Workspace
from personasync.model.errors import UsageError
from personasync.model.units import Rate, format_duration, parse_duration

_LONGEST_SECONDS: Final = 500 * 3600.0
"""More than anyone waits; a socket counts milliseconds, and no more than 596 hours of them."""

_F = TypeVar("_F", bound=Callable[..., Any])


class DurationType(click.ParamType[Any]):
    """A duration such as ``30s``, at least ``least`` seconds long; its value is in seconds."""

    name = "duration"

    def __init__(self, least: float = 0.0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the text, once."""
        try:
            seconds = value if isinstance(value, float) else parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not self._least <= seconds <= _LONGEST_SECONDS:
            shortest, longest = format_duration(self._least), format_duration(_LONGEST_SECONDS)
            self.fail(f"{value!r} is not between {shortest} and {longest}", param, ctx)
        return seconds


class RateType(click.ParamType[Any]):
    """A rate such as ``20/10s``, or ``none``; its value is a one-tuple, so ``None`` is unset."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the text, once."""
        try:
            return value if isinstance(value, tuple) else (Rate.parse(str(value)),)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = DurationType()
TIMEOUT = DurationType(least=0.001)
RATE = RateType()


def option(
    *names: str, environment: bool = True, prefix: str = "PERSONASYNC_", **settings: Any
) -> Callable[[_F], _F]:
    """Declare an option whose environment variable is the prefix and its long name."""
    if environment:
        long = next(name for name in names if name.startswith("--")).split("/")[0]
        settings.setdefault("envvar", prefix + long[2:].upper().replace("-", "_"))
    return click.option(*names, **settings)


def as_one(name: str, kind: type[Any], *options: Callable[[_F], _F]) -> Callable[[_F], _F]:
    """Add options that the command gets as one dataclass, whose fields they are named for."""
    its_fields = frozenset(field.name for field in fields(kind))

    def decorate(command: _F) -> _F:
        @wraps(command)
        def wrapper(**given: Any) -> Any:
            own = {field: given.pop(field) for field in its_fields & given.keys()}
            return command(**given, **{name: kind(**own)})

        decorated = cast(_F, wrapper)
        for add in reversed(options):
            decorated = add(decorated)
        return decorated

    return decorate


def _checked_state(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """Refuse what cannot be a state, and a password in an option, which a process list shows."""
    if value is not None:
        from personasync.state.open import local_path  # not every command has one

        local_path(value)
    if context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE:
        refuse_secret(context, parameter, value)
    return value


def refuse_secret(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Refuse a password in what a process list shows to every user of the machine."""
    if value is not None and "://" in value:
        from personasync.state.locations import has_secret

        if has_secret(value):
            raise UsageError(
                "a state's location must not carry a password here: the process list shows it",
                hint="give it in the environment: PGPASSWORD, ~/.pgpass or PERSONASYNC_STATE",
            )
    return value


def shared_options(command: _F) -> _F:
    """Add the options of every command; the command gets them as one ``workspace``."""

    @option(
        "-f",
        "--manifest",
        multiple=True,
        type=click.Path(readable=False),
        metavar="PATH",
        help="Files, folders, globs, -; else personas.yaml.",
    )
    @option(
        "--state",
        type=click.Path(readable=False),
        metavar="FILE|URL",
        callback=_checked_state,
        help="[default: personas.state.jsonl beside manifest]",
    )
    @option("--no-color", is_flag=True, help="Never colour; NO_COLOR does the same.")
    @option("-q", "--quiet", is_flag=True, help="Only results and errors.")
    @option("-v", "--verbose", count=True, help="Say more; the API key is never shown.")
    @wraps(command)
    def wrapper(
        manifest: tuple[str, ...],
        state: str | None,
        no_color: bool,
        quiet: bool,
        verbose: int,
        **options: Any,
    ) -> Any:
        console = Console(no_color, quiet, verbose)
        if verbose:
            _log_to_stderr()
        workspace = Workspace(
            console=console,
            manifests=manifest,
            state=state,
            sandbox=options.pop("sandbox", False),
            base_url=options.pop("base_url", None),
            lock_timeout=options.pop("lock_timeout", 0.0),
        )
        remember(workspace)
        return command(workspace, **options)

    return cast(_F, wrapper)


class FormatOption(click.Option):
    """``--format``, whose variable may be set once for commands that take different ones.

    A value that only another command takes is passed over.
    """

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return what the variable says, if it says anything to this command."""
        value = super().resolve_envvar_value(ctx)
        own = isinstance(self.type, click.Choice) and value in self.type.choices
        return value if own or value not in _FORMATS else None


_FORMATS: Final = frozenset(
    {
        *("text", "json", "markdown", "github", "html"),
        *("csv", "env", "map", "powershell", "manifest", "yaml"),
    }
)
"""The formats that some command takes."""


def format_option(formats: Iterable[str], help: str = "") -> Callable[[_F], _F]:
    """Add ``--format``, which takes one of the names, the first by default."""
    names = tuple(formats)
    return option(
        "--format",
        "output_format",
        cls=FormatOption,
        type=click.Choice(names),
        metavar="FORMAT",
        default=names[0],
        show_default=True,
        help=help or f"{', '.join(names)}.",
    )


def sandbox_option(command: _F) -> _F:
    """Add ``--sandbox``."""
    return option(
        "--sandbox",
        is_flag=True,
        help="Use the embedded stand-in, with its own state.",
    )(command)


def api_options(command: _F) -> _F:
    """Add what chooses the API: ``--sandbox`` and ``--base-url``."""
    return sandbox_option(
        option(
            "--base-url",
            metavar="URL",
            help="API base.  [default: https://apibox.erweima.ai]",
        )(command)
    )


def lock_option(command: _F) -> _F:
    """Add ``--lock-timeout``."""
    return option(
        "--lock-timeout",
        type=DURATION,
        default="0s",
        show_default=True,
        help="Time for another run to end.",
    )(command)


def _log_to_stderr() -> None:
    import logging

    logging.basicConfig(format="%(relativeCreated)7.0f ms  %(message)s")
    logging.getLogger("personasync").setLevel(logging.DEBUG)
