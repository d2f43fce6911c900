"""What an answer is expected to become."""

from __future__ import annotations

from personasync.model.answer import KeptAnswer
from personasync.model.outcome import Unclear


def unclear(
    reason: str, code: int | None = None, body: str | None = None, retry_after: float | None = None
) -> Unclear:
    """An outcome that settles nothing and keeps a text, and nothing more about the answer."""
    return Unclear(reason, code, KeptAnswer.of_text(body) if body else None, retry_after)
