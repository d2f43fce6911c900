"""An apply's events as they happen: a bar on a terminal, a line an event elsewhere, or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from personasync.cli.console import Console
from personasync.cli.exits import Terminated, exit_code_of
from personasync.engine import Listener
from personasync.engine.events import Account, Event, EventKind
from personasync.model.clock import new_run, utc_now
from personasync.model.errors import PersonasyncError
from personasync.render.account import render_account
from personasync.render.events import render_json, render_text, render_unbegun

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
def told_to_the_end(console: Console, output_format: str) -> Iterator[set[EventKind]]:
    """With JSON, end the events with ``run_end`` even when a command ends before its run begins.

    Yields the set of the kinds told so far, which is empty until then.
    """
    told: set[EventKind] = set()
    try:
        yield told
    except BaseException as error:
        if output_format == "json" and not told:
            with suppress(OSError):  # what ended the command counts more than who listens
                console.result(_unbegun(error))
        raise


def _unbegun(error: BaseException) -> str:
    match error:
        case PersonasyncError():
            reason = error.message
        case KeyboardInterrupt() | Terminated():
            reason = "interrupted"
        case _:
            reason = f"unexpected error: {type(error).__name__}"
    return render_unbegun(run=new_run(), at=utc_now(), exit_code=exit_code_of(error), reason=reason)


@contextmanager
def listening(
    console: Console, output_format: str, options: Sequence[str], told: set[EventKind]
) -> Iterator[Listener]:
    """Yield what shows the events of one run, and remembers their kinds in ``told``.

    ``options`` are those that a command it shows must be given again.
    """
    if output_format == "json":

        def tell(event: Event) -> None:
            told.add(event.kind)
            _tell_json(console, event, options)

        yield tell
    elif console.shows_progress:
        with _bar(console, options) as show:
            yield show
    else:
        yield lambda event: _say(console, event, options)


def tell_once_more(
    console: Console, account: Account, options: Sequence[str], told: set[EventKind]
) -> None:
    """Give the account of a run that something unexpected ended: perhaps nobody heard it."""
    if told and EventKind.RUN_END not in told:
        end = Event(EventKind.RUN_END, utc_now(), account.run, account=account)
        with suppress(OSError):
            console.result(render_json(end))
    console.complain(_account(account, options, console.width, console.remark_color))


def _tell_json(console: Console, event: Event, options: Sequence[str]) -> None:
    if event.rescued is not None:
        _say(console, event, options)
    console.result(render_json(event))
    if event.account is not None:
        text = _account(event.account, options, console.width, console.remark_color)
        unremarkable = event.account.complete and not event.account.repeated
        (console.say if unremarkable else console.complain)(text)


def _say(console: Console, event: Event, options: Sequence[str]) -> None:
    """Say an event on stderr, a rescued ID even when quiet; the account is a result."""
    if event.account is not None:
        console.result(_account(event.account, options, console.width, console.result_color))
        return
    text = render_text(event, options=options)
    if text is not None and event.rescued is None:
        console.say(text)
    elif text is not None:
        console.complain(text)


def _account(account: Account, options: Sequence[str], width: int, color: bool) -> str:
    return render_account(account, options=options, width=width, color=color)


@contextmanager
def _bar(console: Console, options: Sequence[str]) -> Iterator[Listener]:
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
    from rich.text import Text

    terminal = Terminal(stderr=True, no_color=not console.remark_color)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=terminal, transient=True)
    task = progress.add_task("apply", total=None)
    ended: set[str | None] = set()

    def show(event: Event) -> None:
        if event.kind is EventKind.RUN_START:
            progress.update(task, total=event.total)
            if event.total:
                progress.start()
        elif event.kind is EventKind.RUN_END:
            progress.stop()
            _say(console, event, options)
        elif event.kind is not EventKind.CREATE_START:
            ends = event.kind in _ENDS_A_PERSONA and event.audio_id not in ended
            if ends:
                ended.add(event.audio_id)
            progress.advance(task, ends)
            progress.console.print(Text(render_text(event, options=options) or ""), soft_wrap=True)

    try:
        yield show
    finally:
        progress.stop()
