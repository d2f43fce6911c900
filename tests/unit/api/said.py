"""What an answer is expected to become."""

from __future__ import annotations

from typing import Any

from personasync.model.answer import KeptAnswer
from personasync.model.outcome import Outcome, Unclear


def unclear(
    reason: str, code: int | None = None, body: str | None = None, retry_after: float | None = None
) -> Unclear:
    """An outcome that settles nothing and keeps a text."""
    return Unclear(reason, code, KeptAnswer(body) if body else None, retry_after)


def body_of(outcome: Outcome) -> str:
    """Return the body of the answer that an outcome keeps, or an empty text."""
    answer = getattr(outcome, "answer", None)
    return answer.body if answer else ""


def plainly(outcome: Outcome) -> Any:
    """Return an outcome without what else is known of its answer, for a comparison."""
    fields = ("persona_id", "from_conflict", "code", "message", "reason", "retry_after", "status")
    shown = tuple(getattr(outcome, name, None) for name in (*fields, "stops_run"))
    return type(outcome).__name__, shown, body_of(outcome)
