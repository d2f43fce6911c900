"""An apply's events as they happen: a bar on a terminal, a line an event elsewhere, or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from personasync.cli.console import Console
from personasync.engine import Listener
from personasync.events import Event, EventKind
from personasync.render.events import render_json, render_text

_ENDS_A_PERSONA = frozenset(
    {
        EventKind.CREATE_DONE,
        EventKind.CREATE_FAILED,
        EventKind.CREATE_CONFLICT,
        EventKind.CREATE_UNKNOWN,
        EventKind.IMPORTED,
        EventKind.RENAMED,
    }
)


@contextmanager
def listening(console: Console, output_format: str, options: Sequence[str]) -> Iterator[Listener]:
    """Yield what shows the events of one run.

    ``options`` are those that a command it shows must be given again.
    """
    if output_format == "json":
        yield lambda event: _tell_json(console, event, options)
    elif console.shows_progress:
        with _bar(console, options) as show:
            yield show
    else:
        yield lambda event: _say(console, event, options)


def _tell_json(console: Console, event: Event, options: Sequence[str]) -> None:
    if event.rescued is not None:
        _say(console, event, options)
    console.result(render_json(event))


def _say(console: Console, event: Event, options: Sequence[str]) -> None:
    """Say an event on stderr; an ID that is not in the state even when quiet."""
    text = render_text(event, options=options)
    if text is None:
        return
    if event.rescued is None:
        console.say(text)
    else:
        console.complain(text)


@contextmanager
def _bar(console: Console, options: Sequence[str]) -> Iterator[Listener]:
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
    from rich.text import Text

    terminal = Terminal(stderr=True, no_color=not console.remark_color)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True) as progress:
        task = progress.add_task("apply", total=None)

        def show(event: Event) -> None:
            if event.kind is EventKind.RUN_START:
                progress.update(task, total=event.total)
            if event.kind in _ENDS_A_PERSONA:
                progress.advance(task)
            text = render_text(event, options=options)
            if text is not None and event.kind is not EventKind.CREATE_START:
                progress.console.print(Text(text), soft_wrap=True)

        yield show
