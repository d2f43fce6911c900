"""What a check found: text for people, JSON for programs, Markdown, GitHub's annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from personasync.model.diagnostics import Diagnostic
from personasync.model.tasks import Credits
from personasync.plan.preflight import Check, Finding, Verdict
from personasync.render import diagnostics
from personasync.render.commands import HERE, Shell
from personasync.render.layout import Style, paint
from personasync.render.markdown import MARKDOWN_LIMIT, Table, code, size, table_row
from personasync.render.safe import json_page, printable, workflow_command

FORMAT: Final = "personasync.check/1"
"""What a JSON document of a check says of itself."""

CHECK_MARKER: Final = "<!-- personasync check -->"
"""The first line of the Markdown: unseen, and how a job finds the comment that it wrote before."""

_NAMES: Final = {
    Verdict.OK: "ok",
    Verdict.RUNNING: "notFinished",
    Verdict.REFUSED: "refused",
    Verdict.UNKNOWN: "unknown",
}
_REASON_LIMIT: Final = 300


def summary_line(check: Check) -> str:
    """Return the last line of every check, which scripts read."""
    if not check.findings:
        told = "Check: nothing to create, so no task was looked at."
    else:
        counts = ", ".join(f"{len(check.of(verdict))} {verdict}" for verdict in Verdict)
        told = f"Check: {counts}."
    if isinstance(check.credits, Credits):
        told += f" Credits left: {_plain(check.credits.left)}."
    return told


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number


def render_text(check: Check, *, color: bool = False, shell: Shell = HERE) -> str:
    """Return everything that is worth a word, each with its place, and the summary."""
    told = diagnostics.render_text(check.diagnostics, color=color, shell=shell)
    style = Style.YELLOW if check.diagnostics else Style.GREEN
    return f"{told}\n" * bool(told) + paint(summary_line(check), style, color) + "\n"


def render_json(check: Check, *, color: bool = False, shell: Shell = HERE) -> str:
    """Return a check as one JSON document."""
    del color
    left = _plain(check.credits.left) if isinstance(check.credits, Credits) else None
    document = {
        "format": FORMAT,
        "summary": {_NAMES[verdict]: len(check.of(verdict)) for verdict in Verdict},
        "credits": left,
        "personas": [_to_json(finding, shell) for finding in check.findings],
        "notes": [_told(each, shell) for each in check.notes],
    }
    return json_page(document)


def _to_json(finding: Finding, shell: Shell) -> dict[str, Any]:
    action, place = finding.action, finding.action.place
    return {
        "key": action.key,
        "audioId": action.audio_id,
        "taskId": action.persona.request.task_id if action.persona else None,
        "verdict": _NAMES[finding.verdict],
        "reasons": [_told(each, shell) for each in finding.diagnostics],
        "source": place.as_source if place else None,
    }


def _told(diagnostic: Diagnostic, shell: Shell) -> dict[str, Any]:
    hint = None if diagnostic.hint is None else shell.text(diagnostic.hint)
    return {
        "severity": str(diagnostic.severity),
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": hint,
    }


def render_markdown(check: Check, *, color: bool = False, shell: Shell = HERE) -> str:
    """Return a check as a comment on a pull request: a row for each persona with a reason."""
    del color
    head = f"{CHECK_MARKER}\n\n### personasync check\n\n**{summary_line(check)}**\n"
    rows = tuple(_rows(check, shell))
    table = Table("personas", ("key", "verdict", "reason"), rows)
    return head + (table.fitted(MARKDOWN_LIMIT - size(head)) if rows else "")


def _rows(check: Check, shell: Shell) -> Iterator[str]:
    for finding in check.findings:
        hints = (shell.text(each.hint) for each in finding.diagnostics if each.hint is not None)
        told = ". ".join((finding.reason, *hints)) if finding.diagnostics else ""
        told = printable(told, _REASON_LIMIT)
        yield table_row(code(finding.action.key), str(finding.verdict), code(told) if told else "")
    for note in check.notes:
        yield table_row("", str(note.severity), code(printable(note.message, _REASON_LIMIT)))


def render_github(check: Check, *, color: bool = False, shell: Shell = HERE) -> str:
    """Return workflow commands: each finding at its line of the manifest, and a sum."""
    del color
    kind = "warning" if check.diagnostics else "notice"
    told = workflow_command(kind, {"title": "personasync check"}, [summary_line(check)])
    return diagnostics.render_github(check.diagnostics, shell=shell) + f"{told}\n"


CHECK_FORMATS: Final[dict[str, Callable[..., str]]] = {
    "text": render_text,
    "json": render_json,
    "markdown": render_markdown,
    "github": render_github,
}
"""The renderers by the names that ``--format`` takes."""
