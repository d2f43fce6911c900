"""Which audio a key means, and what is said when it means none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Final

from personasync.model.errors import PersonasyncError
from personasync.model.persona import Manifest, Persona, PersonaRequest
from personasync.model.spelling import listed, nearest
from personasync.model.steps import Command, NextStep, Option
from personasync.state.entry import Entry, Status
from personasync.state.fold import State

_NAMED: Final = 5


class Standing(IntEnum):
    """How much a record counts where a key has several: the lowest wins."""

    WANTED = 0
    IN_VIEW = 1
    FAILED = 2
    FORGOTTEN = 3


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one audio: the manifest's persona, the state's entry, or both."""

    key: str
    audio_id: str
    persona: Persona | None = None
    entry: Entry | None = None

    @property
    def persona_id(self) -> str | None:
        """The ID, if it is recorded and in view."""
        recorded = self.entry is not None and self.entry.status is Status.CREATED
        return self.entry.persona_id if recorded and self.entry else None

    @property
    def request(self) -> PersonaRequest | None:
        """What the manifest asks for, or else what was sent, as far as that is known."""
        known = self.persona or self.entry
        return known.request if known else None

    @property
    def standing(self) -> Standing:
        """How much the record counts beside others of its key."""
        if self.persona is not None or self.entry is None:
            return Standing.WANTED
        if self.entry.in_view:
            return Standing.IN_VIEW
        return Standing.FAILED if self.entry.status is Status.FAILED else Standing.FORGOTTEN


def records(manifest: Manifest, state: State) -> tuple[Record, ...]:
    """Return a record for each audio: the manifest's in its order, then the state's by key."""
    wanted = {persona.audio_id for persona in manifest.personas}
    others = [entry for entry in state.entries.values() if entry.audio_id not in wanted]
    others.sort(key=lambda entry: (entry.key, entry.audio_id))
    return (
        *(
            Record(each.key, each.audio_id, each, state.entries.get(each.audio_id))
            for each in manifest.personas
        ),
        *(Record(entry.key, entry.audio_id, None, entry) for entry in others),
    )


def by_key(known: Iterable[Record]) -> dict[str, tuple[Record, ...]]:
    """Return what each key means: one record, or several where nothing tells which is current.

    The manifest's persona counts before what only the state has, what may
    exist before what failed, and all before what was dropped from view.
    """
    found: dict[str, tuple[Record, ...]] = {}
    for record in known:
        rivals = found.get(record.key, ())
        if not rivals or record.standing < rivals[0].standing:
            found[record.key] = (record,)
        elif record.standing == rivals[0].standing:
            found[record.key] = (*rivals, record)
    return found


def find(known: Sequence[Record], word: str, *, several: bool = False) -> Record:
    """Return the record that a key, or else an audioId, means; ``several`` will do for some uses.

    Raises ``PersonasyncError`` where there is none, with a likely key, or
    where there are several, with the audioIds that tell them apart.
    """
    found = by_key(known).get(word, ())
    named = tuple(record for record in known if record.audio_id == word)
    if not found or (len(found) > 1 and named and named[0] in found):
        found = named
    if not found:
        raise _not_there(known, word)
    if len(found) > 1 and not several:
        audios = listed([_audio(record) for record in found], _NAMED)
        raise PersonasyncError(
            f"{len(found)} audios are recorded under {word!r}, and nothing here tells which is"
            " current",
            hint=f"name one by its audioId in place of the key: {audios}",
        )
    return found[0]


def is_glob(word: str) -> bool:
    """Whether a word of the command line stands for several keys."""
    return any(sign in word for sign in "*?[")


def matched(known: Iterable[Record], glob: str) -> list[Record]:
    """Return the records whose keys a glob matches; raises ``PersonasyncError`` for none."""
    found = [record for record in known if fnmatchcase(record.key, glob)]
    if not found:
        raise PersonasyncError(
            f"no persona has a key like {glob!r}",
            hint=NextStep("to see what is recorded: ", Command("state list")),
        )
    return found


def unambiguous_name(known: Iterable[Record], record: Record) -> str:
    """Return what a command must call a record: its key, unless that means another as well."""
    return record.key if by_key(known).get(record.key) == (record,) else record.audio_id


def _audio(record: Record) -> str:
    status = record.entry.status if record.entry else "not created"
    return f"{record.audio_id} ({status})"


def _not_there(known: Sequence[Record], word: str) -> PersonasyncError:
    of_state = known and all(record.persona is None for record in known)
    where = "the state" if of_state else "the manifest or the state"
    return PersonasyncError(
        f"no persona has the key {word!r}, in {where}", hint=_instead(known, word)
    )


def _instead(known: Sequence[Record], word: str) -> NextStep:
    for record in known:
        if record.entry is not None and record.entry.key == word:  # a rename not yet applied
            return NextStep(f"the manifest calls it {record.key!r} now")
    close = nearest(word, [record.key for record in known])
    if close is not None:
        return NextStep(f"did you mean {close!r}?")
    if not known:
        manifest, state = Option("manifest"), Option("state")
        return NextStep(
            "nothing is recorded there; name the manifest with ",
            manifest,
            ", or the state with ",
            state,
        )
    if all(record.entry is None for record in known):
        return NextStep("to see the keys of the manifest: ", Command("plan"))
    return NextStep("to see what is recorded: ", Command("state list"))


def choose(known: Sequence[Record], words: Sequence[str]) -> tuple[Record, ...]:
    """Return the records that keys, audioIds and globs mean, each once, in the order of ``words``.

    A glob means what is in view, and what failed; what was dropped from view
    must be named. Raises ``PersonasyncError`` as ``find`` does, and for a glob
    that means nothing.
    """
    found: dict[str, Record] = {}
    shown = [record for record in known if record.standing is not Standing.FORGOTTEN]
    for word in words:
        for record in matched(shown, word) if is_glob(word) else [find(known, word)]:
            found[record.audio_id] = record
    return tuple(found.values())


def entry_of(record: Record) -> Entry:
    """Return the entry of a record of the state, which always has one."""
    if record.entry is None:
        raise AssertionError("a record of the state has an entry")
    return record.entry
