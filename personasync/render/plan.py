"""A plan for people, for scripts, for a pull request and for a workflow's log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from personasync.plan.compute import ATTENTION, Plan
from personasync.render.commands import HERE, Shell
from personasync.render.layout import Style, display_width, pad, paint, shorten, wrap
from personasync.render.rows import (
    Block,
    ChangedField,
    Row,
    blocks_of,
    notes_of,
    remark_of,
    rows_of,
    summary_lines,
)
from personasync.render.safe import json_page, line_of, page, workflow_command

__all__ = [
    "FORMATS",
    "PlanView",
    "render_github",
    "render_json",
    "render_text",
    "summary_lines",
]

_STYLES: Final[Mapping[str, Style]] = {
    "+": Style.GREEN,
    "<": Style.CYAN,
    ">": Style.CYAN,
    "!": Style.YELLOW,
}
_KEY_WIDTH: Final = 40
_NAME_WIDTH: Final = 32
_ACTION_WIDTH: Final = len("conflict")
_INDENT: Final = " " * 6
_ANNOTATION_ROOM: Final = 200


def render_json(plan: Plan, *, api: str, location: str, paths: Sequence[str] | None = None) -> str:
    """Return the plan as JSON, which is also the plan that is saved.

    ``location`` is where the state is kept, and ``paths`` what names the
    manifest where that is not its files, both as the user would say it. The
    text is plain ASCII and ends with a newline.
    """
    from personasync.plan.saved import to_document  # most plans are shown as text

    return json_page(to_document(plan, api=api, location=location, paths=paths))


def render_text(plan: Plan, *, color: bool = False, width: int = 100, shell: Shell = HERE) -> str:
    """Return the plan for a terminal of ``width`` cells; it ends with a newline."""
    rows = rows_of(plan)
    notes = [
        line
        for kind, note in notes_of(rows)
        for line in wrap(f"{kind}: {note}", width, hanging="  ")
    ]
    summary, *attention = summary_lines(plan)
    remark = remark_of(plan)
    ending = [
        *([remark] if remark else ()),
        paint(summary, Style.BOLD, color),
        *(paint(line, Style.YELLOW, color) for line in attention),
    ]
    return page(_apart(_rows(rows, color, width, shell), notes, ending))


def _apart(*blocks: Iterable[str]) -> Iterator[str]:
    """Put an empty line between the blocks that are not empty."""
    begun = False
    for block in blocks:
        lines = list(block)
        if begun and lines:
            yield ""
        yield from lines
        begun = begun or bool(lines)


def _rows(rows: Sequence[Row], color: bool, width: int, shell: Shell) -> Iterator[str]:
    key_width = min(max((display_width(row.key) for row in rows), default=0), _KEY_WIDTH)
    left = 4 + key_width + 2 + _ACTION_WIDTH + 2
    room = max(12, min(width - left, _NAME_WIDTH))
    name_width = max((display_width(shorten(row.name, room)) for row in rows), default=0)
    for block in blocks_of(rows):
        for row in block.rows:
            symbol = paint(row.symbol, _STYLES[row.symbol], color)
            start = f"  {symbol} {pad(row.key, key_width)}  {row.kind:<{_ACTION_WIDTH}}  "
            beside = left + name_width + 2 + display_width(row.detail) <= width
            name = pad(shorten(row.name, room), name_width)
            yield f"{start}{name}  {row.detail if beside else ''}".rstrip()
            if not beside:
                yield from wrap(row.detail, width, indent=_INDENT)
            for change in row.changes:
                yield from _change(change, width)
        yield from _trouble(block, width, shell)


def _trouble(block: Block, width: int, shell: Shell) -> Iterator[str]:
    first = block.rows[0]
    if first.ways:
        yield from wrap(first.reason, width, indent=_INDENT)
    for at, way in enumerate(first.ways):
        yield from wrap(f"{way.words}:", width, indent=_INDENT)
        yield from (f"{_INDENT}  {shell.line(command)}" for command in block.commands(at))


def _change(change: ChangedField, width: int) -> Iterator[str]:
    line = f"{_INDENT}{change.field}: {change.recorded} -> {change.wanted}"
    if display_width(line) <= width:
        yield line
        return
    cut = change.around_difference(max(width - len(_INDENT) - 12, 24))
    yield f"{_INDENT}{cut.field}:"
    yield f"{_INDENT}  recorded  {cut.recorded}"
    yield f"{_INDENT}  wanted    {cut.wanted}"


def render_github(plan: Plan, *, shell: Shell = HERE) -> str:
    """Return workflow commands: a warning for each (!) row at its line, a notice that sums up.

    GitHub shows the first ten warnings of a step; the log has them all.
    """
    commands = [_warning(row, shell) for row in rows_of(plan) if row.kind in ATTENTION]
    summary = (line for line in (remark_of(plan), *summary_lines(plan)) if line)
    notice = workflow_command("notice", {"title": "personasync plan"}, summary)
    return "".join(f"{command}\n" for command in (*commands, notice))


def _warning(row: Row, shell: Shell) -> str:
    changes = (change.around_difference(_ANNOTATION_ROOM) for change in row.changes)
    message = [
        row.reason,
        *(f"{change.field}: {change.recorded} -> {change.wanted}" for change in changes),
        *(f"{way.words}: {shell.line(way.command)}" for way in row.ways),
    ]
    title = f"personasync: {row.key} {row.kind}"
    return workflow_command("warning", {**line_of(row.place), "title": title}, message)


@dataclass(frozen=True, slots=True)
class PlanView:
    """What a rendering may need beside the plan; see ``render_json`` and ``render_text``."""

    api: str
    location: str
    paths: tuple[str, ...] | None = None
    color: bool = False
    width: int = 100
    shell: Shell = HERE


def _markdown(plan: Plan, view: PlanView) -> str:
    from personasync.render.markdown import render_markdown  # most plans are shown as text

    return render_markdown(plan, shell=view.shell)


FORMATS: Final[Mapping[str, Callable[[Plan, PlanView], str]]] = {
    "text": lambda plan, view: render_text(
        plan, color=view.color, width=view.width, shell=view.shell
    ),
    "json": lambda plan, view: render_json(
        plan, api=view.api, location=view.location, paths=view.paths
    ),
    "markdown": _markdown,
    "github": lambda plan, view: render_github(plan, shell=view.shell),
}
"""Every format of a plan by its name."""
