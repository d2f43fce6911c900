"""Where words go: results to stdout, everything said about them to stderr."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, TextIO

import click

from personasync.model.errors import PersonasyncError
from personasync.model.steps import NextStep, Option
from personasync.render.layout import fit, wrap
from personasync.render.safe import defuse, tame

_PLAIN_WIDTH: Final = 100
_TERMINAL_WIDTH: Final = 80


@dataclass(frozen=True, slots=True)
class Console:
    """What may be shown: ``quiet`` leaves results and errors; ``verbose`` counts the ``-v``."""

    no_color: bool = False
    quiet: bool = False
    verbose: int = 0

    def show(self, text: str) -> None:
        """Print a result that people read: no terminal breaks a word of it."""
        self.result(fit(text, self.width) if is_terminal(sys.stdout) else text)

    def give(self, text: str, output_format: str) -> None:
        """Print a result in one of its formats, of which only ``text`` is for people."""
        (self.show if output_format == "text" else self.result)(text)

    def result(self, text: str) -> None:
        """Print a result as it is."""
        styled = self.color(sys.stdout)
        text = tame(text, styled=styled)
        click.echo(text, nl=not text.endswith("\n"), color=styled)

    def say(self, text: str) -> None:
        """Remark on something, unless quiet."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """Say what must be seen even when quiet; a CI log takes none of it for a command."""
        styled = self.color(sys.stderr)
        if is_terminal(sys.stderr):
            text = fit(text, _columns(sys.stderr))
        text = "".join(map(defuse, tame(text, styled=styled).splitlines(keepends=True)))
        click.echo(text, nl=not text.endswith("\n"), err=True, color=styled)

    def color(self, stream: TextIO | None) -> bool:
        """Whether a stream is shown colours."""
        return not self.no_color and wants_color(stream, os.environ)

    @property
    def result_color(self) -> bool:
        """Whether results may be coloured."""
        return self.color(sys.stdout)

    @property
    def remark_color(self) -> bool:
        """Whether remarks may be coloured."""
        return self.color(sys.stderr)

    @property
    def width(self) -> int:
        """How wide a result may be: the terminal, or what suits a log."""
        if is_terminal(sys.stdout) or "COLUMNS" in os.environ:
            return shutil.get_terminal_size((_PLAIN_WIDTH, 24)).columns
        return _PLAIN_WIDTH

    @property
    def shows_progress(self) -> bool:
        """Whether there is someone watching a bar move."""
        return not self.quiet and is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"


@contextmanager
def progress_of(console: Console, doing: str) -> Iterator[Callable[[], None]]:
    """Show what goes on for more than a second, where somebody watches; yields what hides it."""
    if not console.shows_progress:
        yield lambda: None
        return
    import threading  # not every command waits

    ended = threading.Event()

    def show() -> None:
        seconds, shown = 0, ""
        while not ended.wait(1):
            seconds += 1
            counted = f" ({seconds} s)"
            room = _columns(sys.stderr) - len(counted) - 1
            shown = f"{tame(doing, styled=False)[:room]}{counted}"
            sys.stderr.write(f"\r{shown}")
            sys.stderr.flush()
        sys.stderr.write(f"\r{' ' * len(shown)}\r" if shown else "")
        sys.stderr.flush()

    thread = threading.Thread(target=show, name="progress", daemon=True)

    def hide() -> None:
        ended.set()
        thread.join()

    thread.start()
    try:
        yield hide
    finally:
        hide()


def approve(question: Sequence[str], *, to: str) -> None:
    """Ask on the terminal whether to do something; raises unless the answer is ``yes``.

    The question is on the terminal wherever stdout and stderr go: who answers
    must have seen it.
    """
    if not is_terminal(sys.stdin):
        raise PersonasyncError(
            "nobody can be asked: standard input is not a terminal",
            hint=NextStep("say ", Option("auto-approve"), f" to {to} without being asked"),
        )
    answer = ""
    with _terminal() as terminal:
        width = _columns(terminal)
        for line in (*question, "Only 'yes' will be accepted."):
            hanging = " " * (len(line) - len(line.lstrip()) + 2)
            shown = wrap(line.lstrip(), width, indent=hanging[2:], hanging=hanging)
            terminal.write("".join(f"{tame(each, styled=False)}\n" for each in shown))
        terminal.write("  Answer: ")
        terminal.flush()
        try:
            answer = sys.stdin.readline()
        finally:
            if not answer.endswith("\n"):  # Ctrl-C or Ctrl-D: what comes next begins its own line
                terminal.write("\n")
                terminal.flush()
    if answer.strip() != "yes":
        raise PersonasyncError("not approved; nothing was changed")


@contextmanager
def _terminal() -> Iterator[TextIO]:
    """Yield what the person before the terminal sees: stderr, or else the terminal itself."""
    if not is_terminal(sys.stderr):
        with suppress(OSError), open("/dev/tty", "w", encoding="utf-8") as terminal:
            yield terminal
            return
    yield sys.stderr


def _columns(terminal: TextIO) -> int:
    try:
        return os.get_terminal_size(terminal.fileno()).columns or _TERMINAL_WIDTH
    except (OSError, ValueError):
        return _TERMINAL_WIDTH


def wants_color(stream: TextIO | None, environment: Mapping[str, str]) -> bool:
    """Decide on colour by the common rules: ``NO_COLOR``, ``FORCE_COLOR``, a terminal."""
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return bool(environment.get("FORCE_COLOR")) or is_terminal(stream)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; a closed one is not."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False
