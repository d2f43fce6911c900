"""What a persona was made with, when its ID is adopted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from personasync.model.persona import PersonaRequest
from personasync.state.entry import Entry, Status

if TYPE_CHECKING:
    from personasync.state.entry import Entry


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


_ANSWERED_ID: Final = re.compile(r'"personaId"\s*:\s*"([A-Za-z0-9][A-Za-z0-9._:-]{0,127})"')


def answered_id(entry: Entry | None) -> str | None:
    """Return the one ID that an answer kept in an entry shows, if it does show just one."""
    found = set(_ANSWERED_ID.findall(entry.answer)) if entry and entry.answer else set()
    return found.pop() if len(found) == 1 else None
