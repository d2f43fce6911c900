"""Manifest entries to start from, for the tracks of finished tasks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from personasync.manifest.find import find_files, read_bytes
from personasync.manifest.reader import MAX_BYTES, read_document
from personasync.model.contract import DEFAULT_VOCAL_END
from personasync.model.spelling import cut, one_line
from personasync.model.tasks import FINISHED, Task, Track, is_too_old

DESCRIPTION: Final = "<genre, mood, instruments and voice of this track>"
"""What a person must write; no manifest that still has it is taken."""

_LONGEST_KEY: Final = 60  # a number may follow, and 64 are allowed
_LONGEST_NAME: Final = 80


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry for a track; ``skipped`` says why it is none, where it is none."""

    key: str
    name: str
    task: Task
    track: Track
    skipped: str | None = None

    def fields(self) -> dict[str, str | float]:
        """Return the entry as a manifest has it."""
        end: float = DEFAULT_VOCAL_END
        if self.track.duration is not None:
            end = min(end, int(self.track.duration) or self.track.duration)
        return {
            "taskId": self.task.task_id,
            "audioId": self.track.audio_id,
            "name": self.name,
            "description": DESCRIPTION,
            "vocalStart": 0,
            "vocalEnd": end,
        }


@dataclass(frozen=True, slots=True)
class Known:
    """What there is already: keys and names that are taken, and where each audio is."""

    keys: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    audios: Mapping[str, str] | None = None
    empty: bool = True


def read_known(paths: Sequence[str]) -> Known:
    """Read what a manifest has, whatever else may be wrong with it.

    Entries are drafted into a manifest whose descriptions are still to be
    written, so its errors are not told here.
    """
    keys: set[str] = set()
    names: set[str] = set()
    audios: dict[str, str] = {}
    files, _ = find_files(paths)
    empty = True
    for file in files:
        data = read_bytes(file, MAX_BYTES)
        if not isinstance(data, bytes):
            continue
        root = read_document(file.name, data).root
        personas = root.get("personas") if isinstance(root, dict) else None
        empty = empty and not isinstance(root, dict)
        for key, fields in (personas if isinstance(personas, dict) else {}).items():
            keys.add(key)
            if isinstance(fields, dict):
                names.add(str(fields.get("name")))
                audios[str(fields.get("audioId"))] = f"in the manifest, as {key}"
    return Known(frozenset(keys), frozenset(names), audios, empty)


def drafts(tasks: Iterable[Task], known: Known) -> Iterator[Draft]:
    """Yield a draft for each track of finished tasks, each with a key and a name of its own."""
    keys, names, seen = set(known.keys), set(known.names), set[str]()
    for task in tasks:
        for track in task.tracks if task.status in FINISHED else ():
            if track.audio_id in seen:
                continue
            seen.add(track.audio_id)
            skipped = (known.audios or {}).get(track.audio_id)
            if skipped is None and is_too_old(task, track):
                model = task.model or track.model
                skipped = f"made with {model}, and personas are made only of V4 and newer"
            title = _title(track)
            if skipped is not None:
                yield Draft(_key(title), title, task, track, skipped)
                continue
            yield Draft(_free(_key(title), keys, "-"), _free(title, names, " "), task, track)


def _free(wanted: str, taken: set[str], mark: str) -> str:
    """Return a name that nobody has, with a number behind it where it must be."""
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}{mark}{number}", number + 1
    taken.add(name)
    return name


def _title(track: Track) -> str:
    plain = " ".join(one_line(track.title).split()).strip("<>\"'`,; ")
    return cut(plain, _LONGEST_NAME) if re.search(r"\w", plain) else f"Track {track.audio_id[:8]}"


def _key(title: str) -> str:
    folded = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", folded).strip("-")[:_LONGEST_KEY].strip("-")
    return words or "track"
