"""The account that ends every apply: what was not done, why, and what mends it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Final, TypeAlias

from personasync.engine.events import Account, PersonaResult, Result
from personasync.render.commands import command_line, import_command
from personasync.render.layout import Style, paint, wrap
from personasync.render.safe import page, printable
from personasync.state.adopt import answered_id

_REASON_LIMIT: Final = 500
_GLUE: Final = "\x1f"
"""Stands for the spaces of a command, which no line break may part."""

_Record: TypeAlias = Callable[[str, str | None], str]


@dataclass(frozen=True, slots=True)
class _Group:
    """Results that share a heading and a remedy; ``commands`` where each has one of its own."""

    title: str
    remedy: str
    rows: tuple[PersonaResult, ...]
    commands: bool = False


_REFUSALS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("the API could not read the request", "correct the entry in the manifest"),
    401: (
        "the API does not accept the API key",
        "check PERSONASYNC_API_KEY, or the file that PERSONASYNC_API_KEY_FILE names",
    ),
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
"""What a code means in a musician's words, and what to do about it (api.md §1 and §2)."""


_REFUSED_FOR_GOOD: Final = frozenset({400, 404, 413, 422, 451})


def render_account(
    account: Account,
    *,
    options: Sequence[str] = (),
    color: bool = False,
    width: int = 100,
) -> str:
    """Return the account of a run; it ends with the one line of design.md §6 and a newline.

    Every persona that is not recorded is named, with the remedy; those with
    the same reason share it. ``options`` are those that the commands it shows
    must be given again.
    """
    blocks: list[list[str]] = []
    ended = _ended_early(account)
    if ended:
        blocks.append(wrap(ended, width, hanging="  "))
    record = partial(import_command, options=options)
    again = command_line("apply", options=options).replace(" ", _GLUE)
    blocks += [_block(group, record, color, width) for group in _groups(account, again)]
    if account.repeated:
        blocks.append(_repeated(account.repeated, color, width))
    style = Style.GREEN if account.complete else Style.YELLOW
    blocks.append([paint(summary_line(account), style, color)])
    return page(line for block in blocks for line in (*block, ""))[:-1]


def summary_line(account: Account) -> str:
    """Return the last line of every apply, word for word as design.md §6 has it."""
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


def _ended_early(account: Account) -> str:
    stopped = printable(account.stopped or "")
    if account.signal is None:
        return f"Stopped: {stopped}" if stopped else ""
    try:
        name = signal.Signals(account.signal).name
    except ValueError:
        name = f"signal {account.signal}"
    return f"Interrupted by {name}" + (f": {stopped}" if stopped and name not in stopped else ".")


def _groups(account: Account, again: str) -> Iterator[_Group]:
    """Yield what was not done, the gravest first."""
    rescued = [row for row in account.results if row.rescued is not None]
    open_rows = [row for row in account.results if row.rescued is None]
    yield from _rescued(rescued)
    failed = [row for row in open_rows if row.result is Result.FAILED]
    yield from _failed(failed, again)
    yield from _conflicts([row for row in open_rows if row.result is Result.CONFLICT])
    unknown = [row for row in open_rows if row.result is Result.UNKNOWN]
    waiting = [row for row in open_rows if row.result is Result.NOT_ATTEMPTED]
    settle = "settle what stopped the run, then " if account.refused else ""
    for title, remedy, rows in (
        (
            "Unknown: a request was sent, and no answer told whether the persona was made.",
            f"run `{again}` again: it asks again, and since the API makes a persona only"
            " once for an audio, that is safe",
            [row for row in unknown if not _refused_now(row)],
        ),
        (
            "Unknown: the API refuses it now, but an earlier request may have made the persona.",
            f"correct what it refuses, then run `{again}` again; or, if the persona surely does not"
            " exist, give it up with `personasync state rm KEY --force`",
            [row for row in unknown if _refused_now(row)],
        ),
        ("Not attempted.", f"{settle}run `{again}` again", waiting),
    ):
        if rows:
            yield _Group(title, remedy, tuple(rows))


def _refused_now(row: PersonaResult) -> bool:
    return row.entry is not None and row.entry.code in _REFUSED_FOR_GOOD


def _repeated(repeated: Mapping[str, Sequence[str]], color: bool, width: int) -> list[str]:
    title = "Warning: the API gave one ID to several audios; it is recorded for each of them."
    remedy = (
        "find out at the service whose it is; `personasync import KEY ID --force` corrects one."
    )
    lines = [paint(line, Style.BOLD, color) for line in wrap(title, width, hanging="  ")]
    lines += wrap(f"To mend it: {remedy}", width, indent="  ", hanging="    ")
    for persona_id, keys in repeated.items():
        named = ", ".join(map(printable, keys))
        lines += wrap(f"{printable(persona_id)}: {named}", width, indent="    ", hanging="      ")
    return lines


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


def _failed(rows: Iterable[PersonaResult], again: str) -> Iterator[_Group]:
    by_code: dict[int | None, list[PersonaResult]] = {}
    for row in rows:
        by_code.setdefault(row.entry.code if row.entry else None, []).append(row)
    for code, members in by_code.items():
        meaning, remedy = _refusal(code)
        remedy = f"{remedy}, then run `{again}` again"
        yield _Group(f"Failed: {meaning}.", remedy, tuple(members))


def _refusal(code: int | None) -> tuple[str, str]:
    if code is None:
        return (
            "no request reached the API, and nothing was made",
            "check the network, the proxy and the base URL",
        )
    meaning, remedy = _REFUSALS.get(
        code, ("the API refused it", "correct the entry in the manifest")
    )
    return f"{meaning} ({code})", remedy


def _conflicts(rows: Sequence[PersonaResult]) -> Iterator[_Group]:
    if rows:
        yield _Group(
            "In conflict: a persona of this audio exists, but its ID is not known.",
            "find the ID where the persona was made, or in an older copy of the state, and record"
            " it; or use another audio",
            tuple(rows),
            commands=True,
        )


def _block(group: _Group, record: _Record, color: bool, width: int) -> list[str]:
    lines = wrap(group.title, width, hanging="  ")
    lines = [paint(line, Style.BOLD, color) for line in lines]
    remedy = wrap(f"To mend it: {group.remedy}.", width, indent="  ", hanging="    ")
    lines += [line.replace(_GLUE, " ") for line in remedy]
    by_reason: dict[str, list[PersonaResult]] = {}
    for row in group.rows:
        by_reason.setdefault(printable(row.reason or "", _REASON_LIMIT), []).append(row)
    for reason, rows in by_reason.items():
        lines += wrap(f"{reason}:" if reason else "", width, indent="  ", hanging="    ")
        lines += _members(group, rows, record, width)
    return lines


def _members(
    group: _Group, rows: Sequence[PersonaResult], record: _Record, width: int
) -> Iterator[str]:
    if not group.commands:
        keys = ", ".join(printable(row.action.key) for row in rows)
        yield from wrap(keys, width, indent="    ")
        rows = [row for row in rows if _known_id(row)]
    for row in rows:
        yield f"    {record(row.action.key, _known_id(row))}"


def _known_id(row: PersonaResult) -> str | None:
    """Return the ID that is known, or that a kept answer shows."""
    recorded = row.entry.persona_id if row.entry else None
    return recorded or answered_id(row.entry) or answered_id(row.action.entry)
