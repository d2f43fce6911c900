"""What a persona was made with, when its ID is adopted."""

from __future__ import annotations

from personasync.model.persona import PersonaRequest
from personasync.state.entry import Entry, Status


def sent_request(
    entry: Entry | None, wanted: PersonaRequest | None, persona_id: str | None
) -> PersonaRequest | None:
    """Return what a persona was made with, as far as is known, when its ID is adopted.

    It is what we sent if that may have made it, else what the manifest wants:
    a request that was refused, or met a persona made elsewhere, made nothing.
    """
    if entry is None or entry.request is None:
        return wanted
    ours = entry.status is Status.PENDING or entry.after_pending
    if entry.persona_id:
        ours = entry.persona_id == persona_id
    return entry.request if ours or wanted is None else wanted


def answered_id(entry: Entry | None) -> str | None:
    """Return the one ID that an answer kept in an entry shows, if it does show just one."""
    shown = entry.answer.shown_ids if entry and entry.answer else ()
    return shown[0] if len(shown) == 1 else None
