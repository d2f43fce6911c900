"""An apply's events as they happen: a bar on a terminal, a line an event elsewhere, or JSON."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Self

from personasync.cli.console import Console
from personasync.cli.exits import Terminated, exit_code_of
from personasync.engine import Listener
from personasync.engine.events import Account, Event, EventKind
from personasync.model.clock import new_run, utc_now
from personasync.model.errors import PersonasyncError
from personasync.model.steps import NextStep
from personasync.model.units import Rate, format_duration
from personasync.render.account import render_account
from personasync.render.commands import HERE, Shell
from personasync.render.events import render_json, render_text, render_unbegun, waiting_for
from personasync.render.layout import fit

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
_REMIND_SECONDS: Final = 5.0
_LONGEST_SILENCE: Final = 30.0


@dataclass(slots=True)
class Telling:
    """What an apply says, to its end: with JSON, ``run_end`` comes whatever ends it.

    ``shell`` writes the commands it shows; ``rate`` is the rate limit in use.
    ``account`` is set once there is one, and ``news`` what its end should say
    besides.
    """

    console: Console
    as_json: bool = False
    shell: Shell = HERE
    rate: Rate | None = None
    account: Account | None = None
    news: NextStep | None = None
    told: set[EventKind] = field(default_factory=set)

    def __enter__(self) -> Self:
        """Begin to tell."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the events, where nothing else has."""
        if not self.as_json or EventKind.RUN_END in self.told:
            return
        with suppress(OSError):  # what ended the command counts more than who listens
            if self.account is not None and self.told:
                self.console.result(render_json(_end_of(self.account)))
            elif error is not None and not self.told:
                self.console.result(_unbegun(error))

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Yield what shows the events of one run."""
        if self.console.shows_progress and not self.as_json:
            with _bar(self) as show:
                yield show
        else:
            yield _reminding(self, self._tell_json if self.as_json else self.say)

    def complain(self, account: Account) -> None:
        """Give the account of a run that something unexpected ended: perhaps nobody heard it."""
        self.account = account
        self.console.complain(self._account(account, color=self.console.remark_color))

    def say(self, event: Event) -> None:
        """Say an event on stderr, a rescued ID even when quiet; the account is a result."""
        if event.account is not None:
            color = self.console.result_color
            self.console.show(self._account(event.account, color=color))
            return
        text = render_text(event, shell=self.shell)
        if text is not None:
            urgent = event.rescued is not None or event.kind is EventKind.STOPPING
            (self.console.complain if urgent else self.console.say)(text)

    def _tell_json(self, event: Event) -> None:
        self.told.add(event.kind)
        if event.rescued is not None or event.kind is EventKind.STOPPING:
            self.say(event)
        self.console.result(render_json(event))
        if event.account is not None:
            text = self._account(event.account, color=self.console.remark_color)
            unremarkable = event.account.complete and not event.account.repeated
            (self.console.say if unremarkable else self.console.complain)(text)

    def _account(self, account: Account, *, color: bool) -> str:
        width = self.console.width
        news = self.news if _recorded(account) else None
        return render_account(account, shell=self.shell, width=width, color=color, news=news)


def _recorded(account: Account) -> bool:
    return any(
        row.entry and row.entry.persona_id and row.rescued is None for row in account.results
    )


def _end_of(account: Account) -> Event:
    return Event(EventKind.RUN_END, utc_now(), account.run, account=account)


def _unbegun(error: BaseException) -> str:
    match error:
        case PersonasyncError():
            reason = error.message
        case KeyboardInterrupt() | Terminated():
            reason = "interrupted"
        case _:
            reason = f"unexpected error: {type(error).__name__}"
    return render_unbegun(run=new_run(), at=utc_now(), exit_code=exit_code_of(error), reason=reason)


class _Reminder:
    """Now and then a line about what is waited for, the rarer the longer nothing happens."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._heard = self._said = time.monotonic()

    def hear(self, event: Event) -> None:
        now = time.monotonic()
        if event.kind is not EventKind.WAITING:
            self._heard = now
            return
        silence = now - self._heard
        if now - self._said < min(max(_REMIND_SECONDS, silence / 4), _LONGEST_SILENCE):
            return
        # A wait for the rate is worth a line only where nothing else happens.
        shown = event if silence >= _REMIND_SECONDS else replace(event, wait=None)
        text = waiting_for(shown, rate=self._telling.rate)
        if text is not None:
            self._said = now
            self._telling.console.say(text)


def _reminding(telling: Telling, tell: Listener) -> Listener:
    """Return a listener that adds, on stderr, a line now and then about what is waited for."""
    reminder = _Reminder(telling)

    def hear(event: Event) -> None:
        reminder.hear(event)
        if event.kind is not EventKind.WAITING:  # for who watches; nothing has happened
            tell(event)

    return hear


class _Count:
    """How far a run is, and how long the rest takes at least."""

    def __init__(self, total: int, rate: Rate | None) -> None:
        self._total = total
        self._rate = rate
        self._began = time.monotonic()
        self._starts: deque[float] = deque(maxlen=rate.count if rate else 0)
        self._under_way: set[str | None] = set()
        self._ended: set[str | None] = set()

    def hear(self, event: Event) -> bool:
        """Take note of an event; tell whether it ends a persona."""
        if event.kind is EventKind.CREATE_START:
            self._under_way.add(event.audio_id)
            self._starts.append(time.monotonic())
        if event.kind not in _ENDS_A_PERSONA or event.audio_id in self._ended:
            return False
        self._under_way.discard(event.audio_id)
        self._ended.add(event.audio_id)
        return True

    def words(self) -> str:
        """Say what is in flight, the time that has passed and the time that is left."""
        passed = time.monotonic() - self._began
        said = [f"{len(self._under_way)} in flight", f"{format_duration(int(passed))} elapsed"]
        left = self._left(passed)
        return ", ".join(said if left is None else [*said, f"about {format_duration(left)} left"])

    def _left(self, passed: float) -> float | None:
        done = len(self._ended)
        rest = self._total - done
        measured = passed / done * rest if done else None
        waiting = rest - len(self._under_way)
        if self._rate is None or waiting <= 0:
            return measured
        bound = self._last_leaves(waiting, self._rate)
        # Before the first answer only the rate is known, which lets the last leave at once.
        return max(measured or 0.0, bound) or None

    def _last_leaves(self, waiting: int, rate: Rate) -> float:
        """Return the seconds until the rate lets the last of those who wait leave."""
        rounds, place = divmod(waiting - 1, rate.count)
        place -= rate.count - len(self._starts)  # that many may leave now
        since = time.monotonic() - self._starts[place] if place >= 0 else rate.seconds
        return rounds * rate.seconds + max(0.0, rate.seconds - since)


@contextmanager
def _bar(telling: Telling) -> Iterator[Listener]:
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.text import Text

    terminal = Terminal(stderr=True, no_color=not telling.console.remark_color)
    words = TextColumn("{task.fields[words]}", markup=False)
    progress = Progress(BarColumn(), MofNCompleteColumn(), words, console=terminal, transient=True)
    task = progress.add_task("apply", total=None, words="")
    count, doing = _Count(0, telling.rate), None

    def show(event: Event) -> None:
        nonlocal count, doing
        if event.kind is EventKind.RUN_START:
            count = _Count(event.total or 0, telling.rate)
            progress.update(task, total=event.total)
            if event.total:
                progress.start()
            return
        if event.kind is EventKind.RUN_END:
            progress.stop()
            telling.say(event)
            return
        progress.advance(task, count.hear(event))
        if event.kind is EventKind.WAITING:  # a second old at most
            doing = waiting_for(event, rate=telling.rate)
        elif doing and event.key and event.key in doing:
            doing = None
        progress.update(task, words="; ".join(filter(None, (count.words(), doing))))
        if event.kind not in (EventKind.CREATE_START, EventKind.WAITING):
            text = render_text(event, shell=telling.shell) or ""
            progress.console.print(Text(fit(text, terminal.width)), soft_wrap=True)

    try:
        yield show
    finally:
        with suppress(OSError):  # a terminal that was closed: the account says more than the bar
            progress.stop()
