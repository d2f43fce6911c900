"""The command group, and the one place that turns an error into words and an exit code."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from personasync.cli.exits import Terminated, exit_code_of
from personasync.cli.group import ENVIRONMENT, Group
from personasync.cli.session import Session
from personasync.model.errors import PersonasyncError
from personasync.model.version import __version__

_COMMANDS: Final = {
    "init": "Write a commented manifest to start from.",
    "validate": "Check the manifest, offline.",
    "check": "Ask the API what can be known beforehand.",
    "plan": "Show what apply would do; change nothing.",
    "show": "Show a saved plan.",
    "apply": "Create what is missing and record the IDs.",
    "list": "List personas for people: names, styles, IDs.",
    "output": "Print recorded IDs for scripts.",
    "import": "Record an ID that is already known.",
    "tracks": "Print manifest entries for finished tasks.",
    "state": "List, show and edit the recorded entries.",
    "schema": "Print a published JSON Schema.",
    "sandbox": "Serve a stand-in for the API on this machine.",
    "completion": "Print the completion script of a shell.",
}


_MODULES: Final = {"import": "import_"}
"""Commands whose module has another name: ``import`` is a word of Python's."""

_NARROW: Final = 52
"""Cells; click takes every terminal for at least as wide, unless it is told."""


class _Commands(Group):
    """Loads a command's module when it is called, and not before."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = f"personasync.cli.commands.{_MODULES.get(name, name)}"
        command: click.Command = import_module(module).command
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExamples:\n"
    "  personasync init                                 # begin\n"
    "  personasync plan --sandbox                       # without an account\n"
    "  personasync apply --sandbox --auto-approve\n"
    f"\n{ENVIRONMENT}",
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
    session = Session()
    try:
        code = _finish(_run(args, session))
        _ignore_signals()
    except (KeyboardInterrupt, Terminated, Exception) as error:  # noqa: BLE001 - words, not a traceback
        _ignore_signals()
        _tell(error, session)
        code = exit_code_of(error)
    return code


def _ignore_signals() -> None:
    """The end has come: what is still to be said takes a moment, and is said whole."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _run(args: Sequence[str], session: Session) -> int:
    columns = shutil.get_terminal_size().columns
    code = cli.main(
        args=list(args),
        prog_name="personasync",
        standalone_mode=False,
        obj=session,
        terminal_width=columns if columns < _NARROW else None,
    )
    return code if isinstance(code, int) else 0


def _finish(code: int) -> int:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk shows here, while there is still an exit code to set
    except OSError:
        if code <= 128:
            raise
        _give_up_stdout()  # the signal counts: one that a closed terminal sent, most likely
    return code


def _tell(error: BaseException, session: Session) -> None:
    """Say what ended the command early, in words and never as a traceback."""
    match error:
        case Terminated():
            _say_interrupted("SIGTERM")
        case KeyboardInterrupt() | click.Abort():
            _say_interrupted("SIGINT")
        case BrokenPipeError():
            _give_up_stdout()
        case click.ClickException():
            said = io.StringIO()
            error.show(said)
            _complain(said.getvalue())
        case PersonasyncError():
            _say_error(error, session)
        case OSError():
            _give_up_stdout()
            _complain(f"Error: {error}")
        case _:
            _say_unexpected(error, session)


def _say_error(error: PersonasyncError, session: Session) -> None:
    from personasync.cli.console import Console
    from personasync.render.commands import HERE
    from personasync.render.diagnostics import render_error

    workspace = session.workspace
    console, shell = (workspace.console, workspace.shell) if workspace else (Console(), HERE)
    console.complain(render_error(error, color=console.remark_color, shell=shell))


def _say_unexpected(error: BaseException, session: Session) -> None:
    import traceback  # rarely needed

    details = "".join(traceback.format_exception(error))
    if session.workspace is not None and session.workspace.console.verbose:
        _complain(_without_key(details))
    _complain(
        _without_key(
            "Error: personasync failed in a way that it should not:"
            f" {type(error).__name__}: {error}\n"
            "What was recorded before is kept. Run it again with -v for the details,"
            " and please report them."
        )
    )


def _without_key(text: str) -> str:
    from personasync.api.key import read_api_key

    try:
        key = read_api_key(os.environ)
    except PersonasyncError:
        return text
    return key.redact(text) if key else text


def _say_interrupted(name: str) -> None:
    _complain(f"Interrupted by {name}; nothing more was sent.")


def _terminate(_number: int, _frame: Any) -> NoReturn:
    raise Terminated


def _complain(text: str) -> None:
    from personasync.cli.console import Console

    try:
        Console(no_color=True).complain(text)
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
