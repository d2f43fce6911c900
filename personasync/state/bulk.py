"""Many IDs adopted at once: every row is looked at before anything is recorded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from personasync.model.errors import PersonasyncError
from personasync.model.persona import Manifest
from personasync.model.spelling import folded
from personasync.model.steps import NextStep
from personasync.state.edits import check_id, objections, recorded
from personasync.state.entry import Entry, Status
from personasync.state.find import Record, by_key, find, records
from personasync.state.fold import State
from personasync.state.lists import Row

_SHORTENED: Final = re.compile(r"[0-9](?:[.,][0-9]+)?[Ee]\+[0-9]+")


@dataclass(frozen=True, slots=True)
class Adoption:
    """What adopting a list comes to.

    ``entries`` are to be appended; ``known`` counts the rows that are recorded
    with their ID already. ``wrong`` says what cannot be adopted at all,
    ``against`` what only force adopts: a row's place, and why.
    """

    entries: tuple[Entry, ...] = ()
    known: int = 0
    wrong: tuple[tuple[str, str], ...] = ()
    against: tuple[tuple[str, str], ...] = ()


def adopt(rows: Sequence[Row], manifest: Manifest, state: State) -> Adoption:
    """Work out what records every ID of a list, and what speaks against that."""
    persons = _Personas(manifest, state)
    wrong: list[tuple[str, str]] = []
    chosen: dict[tuple[str, str | None], tuple[Row, Record]] = {}
    for row in rows:
        # A table says one ID of an audio; a state may know several, and none is to be lost.
        several = row.persona_id if row.entry is not None else None
        try:
            record = persons.of(row)
            check_id(row.persona_id, record)
            before = chosen.setdefault((record.audio_id, several), (row, record))[0]
            _check_once(before, row, record)
        except PersonasyncError as error:
            wrong.append((row.where, _with_advice(error)))
    wrong += _shared_ids(row for row, _record in chosen.values())
    new = [pair for pair in chosen.values() if not _is_known(*pair)]
    against = [
        (row.where, doubt)
        for row, record in new
        for doubt in (*persons.doubts(row, record), *_objections(row, record, manifest, state))
    ]
    entries = tuple(_adopted(row, record) for row, record in new)
    return Adoption(entries, len(chosen) - len(new), tuple(wrong), tuple(against))


class _Personas:
    """Finds the persona that a row means, by whatever the row has."""

    def __init__(self, manifest: Manifest, state: State) -> None:
        self._known = records(manifest, state)
        self._keys = by_key(self._known)
        self._audios = {record.audio_id: record for record in self._known}
        self._names: dict[str, list[Record]] = {}
        self._folded_names: dict[str, list[Record]] = {}
        for record in self._known:
            if record.request is not None:
                name = record.request.name
                self._names.setdefault(name, []).append(record)
                self._folded_names.setdefault(folded(name), []).append(record)

    def of(self, row: Row) -> Record:
        if row.audio_id is not None:
            return self._audios.get(row.audio_id) or self._of_new_audio(row)
        if row.key is not None:
            meant = self._keys.get(row.key, ())
            return meant[0] if len(meant) == 1 else find(self._known, row.key)
        if row.name is None:
            raise PersonasyncError("it names no persona: it has no key, name or audioId")
        named = self._named(row.name)
        if len(named) == 1:
            return named[0]
        if not named:
            raise PersonasyncError(f"no persona has the name {row.name!r}")
        keys = ", ".join(record.key for record in named)
        raise PersonasyncError(f"{len(named)} personas have the name {row.name!r}: {keys}")

    def _named(self, name: str) -> list[Record]:
        """Return whose name it is to the letter; else who has it but for case and spaces."""
        return self._names.get(name) or self._folded_names.get(folded(name)) or []

    def doubts(self, row: Row, record: Record) -> Iterator[str]:
        """Yield what in a row speaks for another persona than the one that was found by it."""
        if row.entry is not None:
            return  # an old state may call an audio what another is called now
        rivals = self._keys.get(row.key or record.key, ())
        if row.key != record.key and rivals and record not in rivals:
            yield f"its audioId is of {record.key!r}, but its key of another persona, {row.key!r}"
        named = self._named(row.name) if row.name is not None else []
        if named and record not in named:
            yield f"it is {record.key!r}, but its name is of another persona, {named[0].key!r}"
        if _SHORTENED.fullmatch(row.persona_id):
            yield f"{row.persona_id} looks like a number that a spreadsheet made of the ID"

    def _of_new_audio(self, row: Row) -> Record:
        """Return a record for an audio that only an old state knows: its own word counts."""
        if row.entry is None or row.audio_id is None:
            raise PersonasyncError(f"no persona has the audioId {row.audio_id!r}")
        return Record(row.entry.key, row.audio_id, None, row.entry)


def _check_once(before: Row, row: Row, record: Record) -> None:
    if before.persona_id != row.persona_id:
        raise PersonasyncError(
            f"{record.key!r} has another ID, {before.persona_id}, in {before.where}"
        )


def _adopted(row: Row, record: Record) -> Entry:
    """Return what records a row; what an old state had dropped from view does not come back."""
    entry = recorded(record, row.persona_id)
    hidden = row.entry is not None and row.entry.status is Status.FORGOTTEN
    known = record.persona is not None or record.entry is not row.entry
    return replace(entry, status=Status.FORGOTTEN) if hidden and not known else entry


def _with_advice(error: PersonasyncError) -> str:
    """Return an error with what was meant; no commands, which many rows would repeat."""
    hint = error.hint
    parts = hint.parts if isinstance(hint, NextStep) else (hint,)
    told = all(isinstance(part, str) for part in parts)
    return f"{error}; {hint}" if told else str(error)


def _shared_ids(rows: Iterable[Row]) -> Iterator[tuple[str, str]]:
    seen: dict[str, Row] = {}
    for row in rows:
        before = seen.setdefault(row.persona_id, row)
        if before is not row:
            yield row.where, f"{row.persona_id} stands in {before.where} too, for another audio"


def _is_known(row: Row, record: Record) -> bool:
    if row.entry is None:
        return record.persona_id == row.persona_id
    known = record.entry if record.entry is not row.entry else None
    return known is not None and row.persona_id in known.ids


def _objections(row: Row, record: Record, manifest: Manifest, state: State) -> Iterator[str]:
    if record.entry is row.entry and row.entry is not None:
        record = Record(record.key, record.audio_id)
    for objection in objections(record, row.persona_id, manifest, state):
        yield objection.message
