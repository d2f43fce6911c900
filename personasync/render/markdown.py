"""A plan as a comment on a pull request: Markdown that no text in a manifest can steer.

Text of unknown origin stands in ``<code>``, where GitHub and GitLab make no
mentions, references, links or emoji, and its punctuation is written as
character references, which Markdown never takes for its own signs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from personasync.plan.compute import Plan
from personasync.render.commands import HERE, Shell
from personasync.render.rows import (
    Row,
    blocks_of,
    general,
    notes_of,
    remark_of,
    rows_of,
    summary_lines,
)
from personasync.render.safe import printable

MARKDOWN_MARKER: Final = "<!-- personasync plan -->"
"""The first line: unseen, and how a job finds the comment that it wrote before."""

MARKDOWN_LIMIT: Final = 65_536
"""Characters that GitHub takes in a comment. Bytes are counted, which are never fewer."""

_PUNCTUATION: Final = re.compile(r"[!#$&*+.:<>@\[\\\]^_`{|}~]")
_LONG: Final = 25
_NAME_LIMIT: Final = 80
_TEXT_LIMIT: Final = 240
_KEPT_FOR_NOTES: Final = 400


@dataclass(frozen=True, slots=True)
class Table:
    """A table that may have to be cut; ``subject`` is what its rows are called then."""

    subject: str
    header: tuple[str, ...]
    rows: tuple[str, ...]

    def fitted(self, room: int) -> str:
        """Return the table with as many whole rows as fit into ``room`` bytes."""
        whole = self._with(len(self.rows))
        if size(whole) <= room:
            return whole
        room -= size(self._with(1)) - size(self.rows[0]) - 1
        kept = 0
        for row in self.rows:
            room -= size(row) + 1
            if room < 0:
                break
            kept += 1
        return self._with(kept)

    def _with(self, kept: int) -> str:
        left_out = len(self.rows) - kept
        note = f"{left_out} of {len(self.rows)} {self.subject} left out, to keep within the limit"
        lines = [
            *([*_ruled(self.header), *self.rows[:kept]] if kept else ()),
            *(("", f"_… {note}; the plan's text names them all._") if left_out else ()),
        ]
        if len(self.rows) > _LONG:
            title = f"<summary>{len(self.rows)} {self.subject}</summary>"
            lines = ["<details>", title, "", *lines, "", "</details>"]
        return "".join(f"{line}\n" for line in ("", *lines))


def render_markdown(plan: Plan, *, limit: int = MARKDOWN_LIMIT, shell: Shell = HERE) -> str:
    """Return the plan as Markdown for a comment, in at most ``limit`` bytes of UTF-8.

    What does not fit is left out by whole rows, and counted. The summary and
    the notes always stand; they need about 2,000 bytes.
    """
    rows = rows_of(plan)
    head = _head([line for line in (remark_of(plan), *summary_lines(plan)) if line])
    notes = "".join(_notes(rows, shell))
    actions = Table("actions", ("", "key", "action", "persona", "details"), _actions(rows, shell))
    changes = Table("changed fields", ("key", "field", "recorded", "wanted"), _changes(rows))
    room = limit - size(head) - size(notes)
    shown = actions.fitted(room - (_KEPT_FOR_NOTES if changes.rows else 0)) if rows else ""
    differing = changes.fitted(room - size(shown)) if changes.rows else ""
    return f"{head}{shown}{differing}{notes}"


def _head(summary: Sequence[str]) -> str:
    lines = (MARKDOWN_MARKER, "### personasync plan", *(f"**{line}**" for line in summary))
    return "\n\n".join(lines) + "\n"


def _actions(rows: Iterable[Row], shell: Shell) -> tuple[str, ...]:
    crowded = {id(row) for block in blocks_of(rows) if block.crowded for row in block.rows}
    return tuple(_action(row, shell, row.plain and id(row) in crowded) for row in rows)


def _action(row: Row, shell: Shell, brief: bool) -> str:
    ways = () if brief else row.ways
    commands = (code(shell.line(way.command)) for way in ways)
    return table_row(
        code(row.symbol),
        code(row.key),
        row.kind,
        code(row.name, _NAME_LIMIT),
        "<br>".join(filter(None, (code(row.detail, _TEXT_LIMIT), *commands))),
    )


def _changes(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(
        table_row(code(row.key), code(cut.field), code(cut.recorded), code(cut.wanted))
        for row in rows
        for cut in (change.around_difference(_TEXT_LIMIT) for change in row.changes)
    )


def _notes(rows: Sequence[Row], shell: Shell) -> Iterator[str]:
    """Yield a line for what many rows share; its commands name no persona, so it stays short."""
    notes = [(kind, _escaped(note)) for kind, note in notes_of(rows)]
    for row in (block.rows[0] for block in blocks_of(rows) if block.rows[0].ways):
        ways = (f"{way.words}: {code(shell.line(general(way.command)))}" for way in row.ways)
        notes.append((row.kind, "; ".join((_escaped(row.reason), *ways))))
    for index, (kind, note) in enumerate(notes):
        yield f"{'' if index else chr(10)}- **{kind}**: {note}\n"


def _ruled(header: Sequence[str]) -> tuple[str, str]:
    return table_row(*header), table_row(*("---" for _ in header))


def table_row(*cells: str) -> str:
    """Return a row of cells that are Markdown already."""
    return f"| {' | '.join(cells)} |"


def code(text: str, limit: int | None = None) -> str:
    """Return a text of unknown origin as code that nothing in it can end."""
    shown = printable(text, limit)
    return f"<code>{_escaped(shown)}</code>" if shown else ""


def _escaped(text: str) -> str:
    return _PUNCTUATION.sub(_reference, text)


def _reference(match: re.Match[str]) -> str:
    # A break after the sign keeps even an e-mail address from becoming a link.
    return f"&#{ord(match[0])};" + ("<wbr>" if match[0] == "@" else "")


def size(text: str) -> int:
    """Return how many bytes of UTF-8 a text takes."""
    return len(text.encode())
