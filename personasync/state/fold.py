"""The log folded into what is known now: one entry an audio, the last one wins."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from personasync.state.codec import encode_entry
from personasync.state.entry import Entry, Header, Status


@dataclass(frozen=True, slots=True)
class State:
    """What is known to exist, by ``audioId``. ``header`` is ``None`` before the first entry."""

    header: Header | None = None
    entries: Mapping[str, Entry] = field(default_factory=dict)

    def digest(self) -> str:
        """Return a digest of what is known, the same before and after compaction."""
        digest = hashlib.sha256()
        for audio_id in sorted(self.entries):
            digest.update(encode_entry(self.entries[audio_id]))
        return f"sha256:{digest.hexdigest()}"


def fold(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Fold a log: the last entry about an audio wins, but never against an ID.

    A known ID gives way only to another ID; no later ``pending``, ``failed``
    or ``conflict``, such as a merge of two branches can leave behind, hides
    it. What a later entry leaves out, the request and the kept answer, it
    inherits.
    """
    known: dict[str, Entry] = {}
    for entry in entries:
        before = known.get(entry.audio_id)
        known[entry.audio_id] = entry if before is None else _succeed(before, entry)
    return known


def _succeed(before: Entry, entry: Entry) -> Entry:
    if before.persona_id and not entry.persona_id:
        if entry.status is not Status.FORGOTTEN:
            return before
        entry = replace(entry, persona_id=before.persona_id, origin=before.origin)
    if entry.request is None and before.request is not None:
        entry = replace(entry, request=before.request)
    inherits_answer = entry.status in (Status.PENDING, Status.CONFLICT) and before.answer
    if inherits_answer and entry.answer is None:
        entry = replace(entry, answer=before.answer)
    return entry
