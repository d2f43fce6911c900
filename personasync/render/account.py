"""The account that ends every apply: what was not done, why, and what mends it."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from personasync.engine.events import Account, PersonaResult, Result
from personasync.model.answer import KeptAnswer, all_shown_ids
from personasync.model.contract import EXISTS_CODE, MOVED_FOR_GOOD
from personasync.model.spelling import counted
from personasync.model.steps import Command, NextStep, Option
from personasync.plan.preflight import Verdict
from personasync.render.commands import HERE, Shell
from personasync.render.layout import Style, paint, wrap
from personasync.render.remedies import APPLY, CHECK_THE_KEY, RECORD_MANY
from personasync.render.safe import page, printable
from personasync.state.entry import Origin

_REASON_LIMIT: Final = 500
_RECEIVED_LIMIT: Final = 160
_MANY: Final = (
    ". Many are recorded at once, from a table or an older copy of the state, by ",
    RECORD_MANY,
)
_GLUE: Final = "\x1f"
"""Stands for the spaces of a command, which no line break may part."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Results that share a heading and a remedy; ``commands`` where each has one of its own."""

    title: str
    remedy: NextStep | str | None
    rows: tuple[PersonaResult, ...]
    commands: bool = False


_REFUSALS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("the API could not read the request", "correct the entry in the manifest"),
    401: ("the API does not accept the API key", CHECK_THE_KEY),
    402: ("the account has no credits left", "add credits to the account"),
    403: ("the API does not allow this", "check that the API key may make personas"),
    404: (
        "the API knows no such task or audio",
        "check taskId and audioId; the task must be complete, and made with model V4 or newer",
    ),
    413: ("a text is too long for the API", "shorten name, description or style"),
    422: ("a value did not pass the API's checks", "correct the entry in the manifest"),
    429: ("the account has no credits left", "add credits to the account"),
    451: (
        "the API could not fetch the audio",
        "check that the track still exists and that access to it is not limited",
    ),
}
"""What a code means in a musician's words, and what to do about it."""

_REFUSED_FOR_GOOD: Final = frozenset({400, 404, 413, 422, 451})
_UNFINISHED: Final = re.compile(
    r"not\s+(yet\s+)?(been\s+)?(finished|completed?|ready|done)|unfinished|incomplete"
    r"|in progress|(still|being) (running|process|generat)|processing|generating"
    r"|未完成|生成中|处理中",
    re.IGNORECASE,
)
"""How a service says that a task is still at work."""


def render_account(
    account: Account,
    *,
    shell: Shell = HERE,
    color: bool = False,
    width: int = 100,
    news: NextStep | None = None,
) -> str:
    """Return the account of a run; it ends with its one last line and a newline.

    Every persona that is not recorded is named, with the remedy; those with
    the same reason share it. ``news`` is what is worth saying besides, such
    as where the IDs are.
    """
    writer = _Writer(shell, color, width)
    blocks = list(writer.ended_early(account))
    blocks += [writer.block(group) for group in _groups(account)]
    if account.repeated:
        blocks.append(writer.repeated(account.repeated))
    if news is not None:
        blocks.append(writer.wrapped(news))
    style = Style.GREEN if account.complete else Style.YELLOW
    blocks.append([paint(summary_line(account), style, color)])
    return page(line for block in blocks for line in (*block, ""))[:-1]


def summary_line(account: Account) -> str:
    """Return the last line of every apply, which scripts read."""
    counts = account.counts()
    if account.complete:
        return (
            f"Apply complete: {counts[Result.CREATED]} created,"
            f" {counts[Result.IMPORTED]} imported, {counts[Result.RENAMED]} renamed."
        )
    return (
        f"Apply incomplete: {counts[Result.CREATED]} created, {counts[Result.FAILED]} failed,"
        f" {counts[Result.CONFLICT]} in conflict, {counts[Result.UNKNOWN]} unknown,"
        f" {counts[Result.NOT_ATTEMPTED]} not attempted."
    )


def _why_ended(account: Account) -> str:
    stopped = printable(account.stopped or "")
    if account.signal is None:
        return f"Stopped: {stopped}" if stopped else ""
    try:
        name = signal.Signals(account.signal).name
    except ValueError:
        name = f"signal {account.signal}"
    return f"Interrupted by {name}" + (f": {stopped}" if stopped and name not in stopped else ".")


# What was not done, the gravest first: what is lost, what nothing exists of, what may exist.


def _groups(account: Account) -> Iterator[_Group]:
    rescued = [row for row in account.results if row.rescued is not None]
    yield from _rescued(rescued)
    rows: dict[Result, list[PersonaResult]] = {result: [] for result in Result}
    for row in account.results:
        if row.rescued is None:
            rows[row.result].append(row)
    yield from _warnings(rows[Result.CREATED])
    yield from _failed(rows[Result.FAILED])
    yield from _conflicts(rows[Result.CONFLICT])
    yield from _unknown(rows[Result.UNKNOWN], account)
    yield from _not_attempted(rows[Result.NOT_ATTEMPTED], account)


def _not_attempted(rows: Sequence[PersonaResult], account: Account) -> Iterator[_Group]:
    running = [row for row in rows if row.held is Verdict.RUNNING]
    blocked = [row for row in rows if row.held is Verdict.REFUSED]
    other = [row for row in rows if row.held is None]
    settle = "settle what stopped the run, then " if account.refused else ""
    for title, remedy, members in (
        (
            "Not attempted: the API would refuse it, as the check found. Nothing was sent.",
            NextStep("settle what it found, then run ", APPLY, " again"),
            blocked,
        ),
        (
            "Not attempted: still being generated. Nothing was sent.",
            NextStep(
                "run ",
                APPLY,
                " again when the task has finished; ",
                Option("wait-for-tasks", "10m"),
                " waits for it",
            ),
            running,
        ),
        ("Not attempted.", NextStep(f"{settle}run ", APPLY, " again"), other),
    ):
        if members:
            yield _Group(title, remedy, tuple(members))


def _rescued(rows: Iterable[PersonaResult]) -> Iterator[_Group]:
    for where, members in groupby(sorted(rows, key=_rescued_to), key=_rescued_to):
        if where:
            title = f"Not in the state, which could not be written; kept in {printable(where)}."
            remedy = (
                "make the state writable again; the next run takes them in by itself, or record"
                " them now"
            )
        else:
            title = "NOT IN THE STATE, which could not be written, and kept nowhere but here."
            remedy = "copy these lines now; once the state can be written, run them"
        yield _Group(title, remedy, tuple(members), commands=True)


def _rescued_to(row: PersonaResult) -> str:
    return row.rescued or ""


def _warnings(rows: Sequence[PersonaResult]) -> Iterator[_Group]:
    """Yield what is worth a look though the ID is recorded."""
    several = [row for row in rows if _other_ids(row)]
    if several:
        yield _Group(
            "Warning: more than one ID came for one audio; the last is recorded, and the others are"
            " kept with its entry.",
            "find out at the service which is right; each of these records another instead",
            tuple(several),
            commands=True,
        )
    named = [row for row in rows if row.entry and row.entry.origin is Origin.CONFLICT]
    if named:
        title = (
            "Recorded from a conflict: the persona existed already, and the API's answer (409)"
            " named its ID."
        )
        yield _Group(title, None, tuple(named))
    kept = [row for row in rows if row.entry and row.entry.answer and row not in (*several, *named)]
    if kept:
        yield _Group(
            "Recorded from an answer that was not as it should be; it is kept with the entry.",
            None,
            tuple(kept),
        )


def _failed(rows: Iterable[PersonaResult]) -> Iterator[_Group]:
    by_cause: dict[tuple[int | None, bool], list[PersonaResult]] = {}
    for row in rows:
        code = row.entry.code if row.entry else None
        by_cause.setdefault((code, bool(_UNFINISHED.search(row.reason or ""))), []).append(row)
    for (code, unfinished), members in by_cause.items():
        meaning, remedy = _refusal(code)
        if unfinished and code in _REFUSED_FOR_GOOD:
            remedy = "wait until the task that made the track has finished"
        step = NextStep(f"{remedy}, then run ", APPLY, " again")
        nothing = "" if code is None else ". Nothing was made"
        yield _Group(f"Failed: {meaning}{nothing}.", step, tuple(members))


def _refusal(code: int | None) -> tuple[str, str]:
    if code is None:
        return (
            "no request reached the API, and nothing was made",
            "check the network, the proxy and the base URL",
        )
    if code in MOVED_FOR_GOOD:
        return f"the API is elsewhere now ({code})", "see above where it went"
    meaning, remedy = _REFUSALS.get(
        code, ("the API refused it", "correct the entry in the manifest")
    )
    return f"{meaning} ({code})", remedy


def _conflicts(rows: Sequence[PersonaResult]) -> Iterator[_Group]:
    kinds: dict[str, list[PersonaResult]] = {}
    for row in rows:
        kinds.setdefault(_kind_of_conflict(row), []).append(row)
    for kind, title, remedy in (
        (
            "rivals",
            "In conflict: more than one ID is recorded for one audio.",
            "find out at the service which is right, and record it",
        ),
        (
            "shown",
            "In conflict: the persona exists, and an answer that was received shows an ID.",
            "asking again cannot bring the ID: see whether the one shown is this persona's, and"
            " record it",
        ),
        (
            "lost",
            "In conflict: the persona exists, and its ID is lost at the API's side: a request of"
            " ours made it, most likely, and its answer did not arrive.",
            NextStep(
                "asking again cannot bring the ID. If you find it at the service, record it; or use"
                " another audio",
                *_MANY,
            ),
        ),
        (
            "elsewhere",
            "In conflict: a persona of this audio exists, but its ID is not known.",
            NextStep(
                "find the ID where the persona was made, or in an older copy of the state, and"
                " record it; or use another audio",
                *_MANY,
            ),
        ),
        (
            "refused",
            "In conflict: the API refused, but its answer names an ID, so a persona may exist.",
            "see at the service whether the ID is this persona's; if it is, record it",
        ),
    ):
        if kind in kinds:
            yield _Group(title, remedy, tuple(kinds[kind]), commands=True)


def _kind_of_conflict(row: PersonaResult) -> str:
    entry = row.entry
    if entry is not None and entry.rivals:
        return "rivals"
    if entry is not None and entry.code not in (None, EXISTS_CODE):
        return "refused"
    if _known_ids(row):
        return "shown"
    return "lost" if entry is not None and entry.after_pending else "elsewhere"


def _unknown(rows: Sequence[PersonaResult], account: Account) -> Iterator[_Group]:
    refused = [row for row in rows if row.entry and row.entry.code in _REFUSED_FOR_GOOD]
    asked = [row for row in rows if row not in refused]
    if asked:
        title = (
            "Unknown: a request was sent, and the run was left before its answer came."
            if account.abandoned
            else "Unknown: a request was sent, and no answer told whether the persona was made."
        )
        remedy = NextStep(
            "run ",
            APPLY,
            " again: it asks again, and makes no second persona. That brings the ID, unless the API"
            " then only says that the persona exists (409): its ID is lost at the API's side. What"
            " never gets an answer is left out with ",
            Option("exclude", "KEY"),
        )
        yield _Group(title, remedy, tuple(asked))
    if refused:
        yield _Group(
            "Unknown: the API refuses it now, but an earlier request may have made the persona.",
            NextStep(
                "correct what it refuses, then run ",
                APPLY,
                " again; or, if the persona surely does not exist, give it up with ",
                Command("state rm", ("KEY",), (Option("force"),)),
            ),
            tuple(refused),
        )


# IDs.


def _known_ids(row: PersonaResult) -> tuple[str, ...]:
    """Return the ID that is known, or those that a kept answer shows."""
    if row.entry and row.entry.ids:
        return row.entry.ids
    before, now = row.action.entry, row.entry
    return all_shown_ids(entry.answer for entry in (before, now) if entry)


def _other_ids(row: PersonaResult) -> tuple[str, ...]:
    """Return the IDs that a kept answer shows besides the one that is recorded."""
    entry = row.entry
    if entry is None or entry.persona_id is None or entry.answer is None:
        return ()
    return entry.answer.ids_beside(entry.persona_id)


def _received(answer: KeptAnswer) -> str:
    """Show the beginning of what was kept."""
    status = f"HTTP {answer.status}" if answer.status else "an answer"
    if answer.is_base64:
        return f"{status}, {counted(len(answer.raw()), 'byte')} that are no text"
    return f"{status}: {printable(answer.body, _RECEIVED_LIMIT)}"


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes groups as lines; commands are written for ``shell``."""

    shell: Shell
    color: bool
    width: int

    def ended_early(self, account: Account) -> Iterator[list[str]]:
        ended = _why_ended(account)
        if ended:
            yield [*wrap(ended, self.width, hanging="  "), *self._remedy(account.next_step)]

    def block(self, group: _Group) -> list[str]:
        lines = wrap(group.title, self.width, hanging="  ")
        lines = [paint(line, Style.BOLD, self.color) for line in lines]
        lines += self._remedy(group.remedy)
        by_reason: dict[str, list[PersonaResult]] = {}
        for row in group.rows:
            by_reason.setdefault(printable(row.reason or "", _REASON_LIMIT), []).append(row)
        for reason, rows in by_reason.items():
            lines += wrap(f"{reason}:" if reason else "", self.width, indent="  ", hanging="    ")
            lines += self._members(group, rows)
        return lines

    def repeated(self, repeated: Mapping[str, Sequence[str]]) -> list[str]:
        title = "Warning: the API gave one ID to several audios; it is recorded for each of them."
        lines = [paint(line, Style.BOLD, self.color) for line in wrap(title, self.width)]
        record = Command("import", ("KEY", "ID"), (Option("force"),))
        lines += self._remedy(
            NextStep("find out at the service whose it is; ", record, " corrects one")
        )
        for persona_id, keys in repeated.items():
            named = f"{printable(persona_id)}: {', '.join(map(printable, keys))}"
            lines += wrap(named, self.width, indent="    ", hanging="      ")
        return lines

    def wrapped(self, step: NextStep, **indents: str) -> list[str]:
        words = "".join(map(self._part, step.parts))
        lines = wrap(words, self.width, **{"hanging": "  ", **indents})
        return [line.replace(_GLUE, " ") for line in lines]

    def _part(self, part: str | Command | Option) -> str:
        if isinstance(part, str):
            return part
        text = self.shell.text(NextStep(part)).replace(" ", _GLUE)
        return f"`{text}`"

    def _remedy(self, step: NextStep | str | None) -> list[str]:
        if step is None:
            return []
        parts = (step,) if isinstance(step, str) else step.parts
        told = NextStep("To mend it: ", *parts, ".")
        return self.wrapped(told, indent="  ", hanging="    ")

    def _members(self, group: _Group, rows: Sequence[PersonaResult]) -> Iterator[str]:
        if not group.commands:
            keys = ", ".join(printable(row.action.key) for row in rows)
            yield from wrap(keys, self.width, indent="    ")
        if group.commands or group.remedy is not None:
            for row in rows:
                yield from self._records(row, always=group.commands)
        yield from self._kept(rows)

    def _records(self, row: PersonaResult, *, always: bool) -> Iterator[str]:
        key, others = row.action.key, _other_ids(row)
        rivals = row.entry is not None and row.entry.rivals
        force = (Option("force"),) if others or rivals else ()
        unknown = ("PERSONA_ID",) if always else ()
        for persona_id in others or _known_ids(row) or unknown:
            yield f"    {self.shell.line(Command('import', (key, persona_id), force))}"

    def _kept(self, rows: Sequence[PersonaResult]) -> Iterator[str]:
        """Say which answers were received, each once."""
        keys: dict[KeptAnswer, list[str]] = {}
        kept = "received" if any(row.rescued == "" for row in rows) else "received and kept"
        for row in rows:
            if row.entry is not None and row.entry.answer is not None:
                keys.setdefault(row.entry.answer, []).append(printable(row.action.key))
        for answer, named in keys.items():
            text = f"{kept} ({', '.join(named)}): {_received(answer)}"
            if answer.cut_id:
                text += "; the ID in it was cut off, so it may lack its end"
            yield from wrap(text, self.width, indent="    ", hanging="      ")
