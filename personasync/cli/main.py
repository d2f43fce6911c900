"""The command group, and the one place that turns an error into words and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from personasync import __version__
from personasync.cli.group import Group
from personasync.errors import PersonasyncError

USAGE_EXIT_CODE: Final = 64
"""click's own, 2, would read as "there are changes" (design.md §7)."""

_COMMANDS: Final = {
    "init": "Write a commented manifest to start from.",
    "validate": "Check the manifest, offline.",
    "plan": "Show what apply would do; change nothing.",
    "apply": "Create what is missing and record the IDs.",
    "output": "Print recorded IDs for scripts.",
    "import": "Record an ID that is already known.",
    "state": "List, show and edit the recorded entries.",
    "schema": "Print a published JSON Schema.",
    "sandbox": "Serve a stand-in for the API on this machine.",
    "completion": "Print the completion script of a shell.",
}


class _Commands(Group):
    """Loads a command's module when it is called, and not before."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"personasync.cli.{name}_command").command
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try it without an account: personasync plan --sandbox",
)
@click.version_option(__version__, "--version", prog_name="personasync")
def cli() -> None:
    """Voice personas as code.

    A YAML manifest says which personas should exist; plan shows what is
    missing; apply creates just that and records the IDs.
    """


def main(args: Sequence[str]) -> int:
    """Run one command and return its exit code; every error is told on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a log in ASCII is no reason to fail
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return _finish(_run(args))
    except _Terminated:
        return _interrupted(signal.SIGTERM)
    except (KeyboardInterrupt, click.Abort):
        return _interrupted(signal.SIGINT)
    except BrokenPipeError:
        _give_up_stdout()
        return 1
    except click.ClickException as error:
        error.show()
        return USAGE_EXIT_CODE if isinstance(error, click.UsageError) else 1
    except PersonasyncError as error:
        return _tell(error, args)
    except OSError as error:
        _give_up_stdout()
        _complain(f"Error: {error}")
        return 1
    except Exception as error:  # noqa: BLE001 - the last line of defence: words, not a traceback
        return _unexpected(error, args)


def _run(args: Sequence[str]) -> int:
    code = cli.main(args=list(args), prog_name="personasync", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _finish(code: int) -> int:
    if sys.stdout is not None:
        sys.stdout.flush()  # a full disk shows here, while there is still an exit code to set
    return code


def _tell(error: PersonasyncError, args: Sequence[str]) -> int:
    from personasync.cli.console import Console
    from personasync.render.errors import render_error

    console = Console(no_color="--no-color" in args)
    console.complain(render_error(error, color=console.remark_color))
    return error.exit_code


def _unexpected(error: Exception, args: Sequence[str]) -> int:
    details = "".join(traceback.format_exception(error))
    verbose = any(arg.startswith("-v") or arg == "--verbose" for arg in args)
    if verbose or os.environ.get("PERSONASYNC_VERBOSE"):
        _complain(_without_key(details))
    _complain(
        _without_key(
            "Error: personasync failed in a way that it should not:"
            f" {type(error).__name__}: {error}\n"
            "What was recorded before is safe. Run it again with -v for the details,"
            " and please report them."
        )
    )
    return 1


def _without_key(text: str) -> str:
    from personasync.credentials import read_api_key

    try:
        key = read_api_key(os.environ)
    except PersonasyncError:
        return text
    return key.redact(text) if key else text


def _interrupted(number: int) -> int:
    _complain(f"Interrupted by {signal.Signals(number).name}; nothing more was sent.")
    return 128 + number


class _Terminated(BaseException):
    """SIGTERM, as Python does for SIGINT."""


def _terminate(_number: int, _frame: Any) -> NoReturn:
    raise _Terminated


def _complain(text: str) -> None:
    try:
        click.echo(text, err=True)
    except OSError:
        return  # nobody is left to hear it


def _give_up_stdout() -> None:
    """Keep the interpreter from failing once more when it flushes at its end."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(devnull, stream.fileno())
