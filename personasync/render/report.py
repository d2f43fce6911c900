"""How an apply ended, as a comment on a pull request and as annotations of a workflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from personasync.engine.events import Account, PersonaResult, Result
from personasync.render.account import render_account, summary_line
from personasync.render.commands import HERE, Shell
from personasync.render.markdown import MARKDOWN_LIMIT, Table, code, size, table_row
from personasync.render.safe import line_of, printable, workflow_command

APPLY_MARKER: Final = "<!-- personasync apply -->"
"""The first line: unseen, and how a job finds the comment that it wrote before."""

_DONE: Final = frozenset({Result.CREATED, Result.IMPORTED, Result.RENAMED})
_REASON_LIMIT: Final = 300
_SHORTEST_ACCOUNT: Final = 2_000
_FENCE: Final = re.compile("`{3,}")


def render_markdown(account: Account, *, limit: int = MARKDOWN_LIMIT, shell: Shell = HERE) -> str:
    """Return the account as Markdown for a comment, in at most ``limit`` bytes of UTF-8.

    What a person must do stands as the terminal shows it, where it fits; then
    a row for each persona that the plan wanted to act on.
    """
    head = f"{APPLY_MARKER}\n\n### personasync apply\n\n**{summary_line(account)}**\n"
    told = "" if account.complete else _fenced(render_account(account, shell=shell))
    if size(told) > (limit - size(head)) // 2 > _SHORTEST_ACCOUNT:
        told = "\n_The account is longer than fits here; the job's log has it._\n"
    rows = tuple(map(_row, account.results))
    table = Table("personas", ("key", "result", "details"), rows)
    return head + told + (table.fitted(limit - size(head) - size(told)) if rows else "")


def _fenced(text: str) -> str:
    longest = max((len(fence) for fence in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"\n{fence}text\n{text.rstrip()}\n{fence}\n"


def _row(row: PersonaResult) -> str:
    known = row.entry.persona_id if row.entry else None
    details = (known or "") if row.result in _DONE else printable(row.reason or "", _REASON_LIMIT)
    return table_row(code(row.action.key), row.result.value, code(details))


def render_github(account: Account) -> str:
    """Return workflow commands: an error at the line of each persona that is not recorded.

    A notice, or a warning where something is left to do, sums the run up.
    """
    kind = "notice" if account.complete else "warning"
    summary = workflow_command(kind, {"title": "personasync apply"}, [summary_line(account)])
    return "".join(f"{command}\n" for command in (*_errors(account), summary))


def _errors(account: Account) -> Iterator[str]:
    for row in account.results:
        if row.result in _DONE and row.rescued is None:
            continue
        title = f"personasync: {printable(row.action.key)} {row.result}"
        reason = printable(row.reason or row.action.reason or str(row.result), _REASON_LIMIT)
        yield workflow_command("error", {**line_of(row.action.place), "title": title}, [reason])
