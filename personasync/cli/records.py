"""Which persona a key of the command line means, and what it is told when it means none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Final

from personasync.api.base_url import parse_base_url
from personasync.cli.workspace import Workspace
from personasync.model.contract import DEFAULT_BASE_URL, SANDBOX_API
from personasync.model.errors import PersonasyncError
from personasync.model.persona import Manifest, Persona
from personasync.model.spelling import nearest
from personasync.model.steps import Command, NextStep, Option
from personasync.state import Entry, Header, LogContents, State, Status

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
    def standing(self) -> Standing:
        """How much the record counts beside others of its key."""
        if self.persona is not None or self.entry is None:
            return Standing.WANTED
        match self.entry.status:
            case Status.FAILED:
                return Standing.FAILED
            case Status.FORGOTTEN:
                return Standing.FORGOTTEN
            case _:
                return Standing.IN_VIEW


def optional_manifest(workspace: Workspace) -> Manifest:
    """Return the manifest, or an empty one when none was named and none is there."""
    return workspace.load_manifest() if workspace.has_manifest else Manifest(())


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
        audios = [f"{_audio(record)}" for record in found[:_NAMED]]
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise PersonasyncError(
            f"{len(found)} audios are recorded under {word!r}, and nothing here tells which is"
            " current",
            hint=f"name one by its audioId in place of the key: {', '.join(audios)}{more}",
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


def apply_command(workspace: Workspace, header: Header | None) -> Command:
    """Return the apply that goes on with a state, whichever API that belongs to."""
    api = header.api if header else workspace.api
    if api == SANDBOX_API:
        return Command("apply", (), (Option("sandbox"),))
    inherited = os.environ.get("PERSONASYNC_BASE_URL") or DEFAULT_BASE_URL
    if parse_base_url(inherited) == api:
        return Command("apply")
    return Command("apply", (), (Option("base-url", api),))


def is_begun(contents: LogContents) -> bool:
    """Whether there is a state at all, be it an empty one."""
    return contents.header is not None or bool(contents.entries)


def no_state(workspace: Workspace) -> PersonasyncError:
    """Return the error that says so."""
    return PersonasyncError(
        f"there is no state at {workspace.location}",
        hint=NextStep(
            "the first apply or import begins one; name another with ",
            Option("state"),
            ", or the sandbox's with ",
            Option("sandbox"),
        ),
    )
