"""Which recorded entry a key of the command line means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from personasync.cli.workspace import Workspace
from personasync.errors import PersonasyncError
from personasync.model import Manifest, Persona
from personasync.state import Entry, State, Status


@dataclass(frozen=True, slots=True)
class Record:
    """What is known under one key: the manifest's persona, the state's entry, or both."""

    key: str
    audio_id: str
    persona: Persona | None = None
    entry: Entry | None = None

    @property
    def persona_id(self) -> str | None:
        """The ID, if it is recorded and in view."""
        recorded = self.entry is not None and self.entry.status is Status.CREATED
        return self.entry.persona_id if recorded and self.entry else None


def optional_manifest(workspace: Workspace) -> Manifest:
    """Return the manifest, or an empty one when none was named and none is there."""
    return workspace.load_manifest() if workspace.has_manifest else Manifest(())


def records(manifest: Manifest, state: State, *, forgotten: bool = False) -> dict[str, Record]:
    """Return what is known, by key: the manifest's keys first, then what only the state has.

    Where two audios have had the same key, the manifest's current one counts.
    """
    known: dict[str, Record] = {}
    for persona in manifest.personas:
        entry = state.entries.get(persona.audio_id)
        known[persona.key] = Record(persona.key, persona.audio_id, persona, entry)
    wanted = {persona.audio_id for persona in manifest.personas}
    for audio_id, entry in sorted(state.entries.items(), key=_id_last):
        hidden = entry.status is Status.FORGOTTEN and not forgotten
        if audio_id not in wanted and not hidden:
            known.setdefault(entry.key, Record(entry.key, audio_id, None, entry))
    return known


def find(known: Mapping[str, Record], key: str) -> Record:
    """Return the record of a key; raises ``PersonasyncError``, with a likely key, for none."""
    if key not in known:
        raise PersonasyncError(
            f"no persona has the key {key!r}, in the manifest or the state",
            hint=did_you_mean(key, known),
        )
    return known[key]


def did_you_mean(key: str, known: Iterable[str]) -> str:
    """Return a hint for a key that is not there."""
    close = get_close_matches(key, list(known), n=1)
    return (
        f"did you mean {close[0]!r}?" if close else "`personasync state list` shows what there is"
    )


def _id_last(item: tuple[str, Entry]) -> tuple[str, bool]:
    _audio_id, entry = item
    return (entry.key, entry.persona_id is None)
