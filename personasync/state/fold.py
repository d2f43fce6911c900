"""The log folded into what is known now: one entry an audio, in which no ID is hidden."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from personasync.model.answer import more_telling
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
            for line in lines_of(self.entries[audio_id]):
                digest.update(encode_entry(line))
        return f"sha256:{digest.hexdigest()}"


def fold(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Fold a log: of what was said about an audio the last counts, but never against an ID.

    Nothing without an ID hides one, and an ID gives way only to an entry that
    names it in ``replaces``. So which IDs are known is a matter of what was
    said, not of the order, in which merges may have put it: all IDs that were
    named, less all that were replaced. Where several are left, the audio is in
    conflict, and its entry has one of ``rivals`` for each.
    """
    histories: dict[str, Entry | list[Entry]] = {}
    for entry in entries:
        found = histories.setdefault(entry.audio_id, entry)
        if isinstance(found, list):
            found.append(entry)
        elif found is not entry:
            histories[entry.audio_id] = [found, entry]
    return {
        audio_id: _settle(found) if isinstance(found, list) else _alone(found)
        for audio_id, found in histories.items()
    }


def _alone(entry: Entry) -> Entry:
    # Its own words may replace one of its own names, as among several entries.
    return _settle([entry]) if entry.replaces and entry.again and not entry.rivals else entry


def compacted(entries: Iterable[Entry]) -> list[Entry]:
    """Return the fewest entries that say all that a log does, sorted by key."""
    known = sorted(fold(entries).values(), key=lambda entry: (entry.key, entry.audio_id))
    return [line for entry in known for line in lines_of(entry)]


def lines_of(entry: Entry) -> tuple[Entry, ...]:
    """Return the lines that say all that a folded entry does: more than one for rivals."""
    return entry.rivals or (entry,)


def _settle(history: Sequence[Entry]) -> Entry:
    said = [line for entry in history for line in lines_of(entry)]
    replaced = {name for entry in said for name in entry.replaces}
    named = {entry.persona_id for entry in said if entry.persona_id}
    left = {
        entry.persona_id
        for entry in said
        if entry.persona_id and not replaced.issuperset(entry.names)
    }
    # Where each ID replaces another, nobody can tell which was meant: all are kept.
    known = sorted(left or named)
    if len(known) < 2:
        return _follow(said, known[0] if known else None, replaced)
    rivals = tuple(_follow(said, persona_id, replaced) for persona_id in known)
    last = max(rivals, key=lambda rival: (rival.at or "", rival.persona_id))
    hidden = all(rival.status is Status.FORGOTTEN for rival in rivals)
    return Entry(
        audio_id=last.audio_id,
        key=last.key,
        status=Status.FORGOTTEN if hidden else Status.CONFLICT,
        at=last.at,
        run=last.run,
        request=last.request,
        rivals=rivals,
    )


def _follow(said: Iterable[Entry], persona_id: str | None, replaced: set[str]) -> Entry:
    """Fold what was said of one ID, or of none, with every word about what is replaced."""
    names: set[str] = set()
    known: Entry | None = None
    for entry in said:
        if entry.persona_id in (None, persona_id):
            known = entry if known is None else _succeed(known, entry)
            names.update(entry.names)
    if known is None:
        raise AssertionError("an ID is said by an entry")
    current = sorted(names - replaced) or sorted(names)
    plain = persona_id is None or current == [persona_id]
    again = () if plain else tuple(name[len(persona_id or "") + 1 :] for name in current)
    return replace(known, replaces=tuple(sorted(replaced)), again=again)


def _succeed(before: Entry, entry: Entry) -> Entry:
    if before.persona_id and not entry.persona_id:
        if entry.status is not Status.FORGOTTEN:
            return before
        entry = replace(entry, persona_id=before.persona_id, origin=before.origin)
    if entry.request is None and before.request is not None:
        entry = replace(entry, request=before.request)
    if entry.accepted is None and before.accepted is not None:
        entry = replace(entry, accepted=before.accepted)
    if before.answer and not entry.persona_id:
        entry = replace(entry, answer=more_telling(before.answer, entry.answer))
    return entry
