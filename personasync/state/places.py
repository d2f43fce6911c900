"""A state as a whole: begun, copied from one place to another, verified, unlocked."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from personasync.model.errors import NoStateError, StateError, StateWriteError
from personasync.model.spelling import plural
from personasync.state.codec import encode_header
from personasync.state.durable import create_file
from personasync.state.entry import Entry, Header
from personasync.state.fold import fold, lines_of
from personasync.state.log import Held, Holder, LogContents
from personasync.state.open import begin_shared, local_path, open_log
from personasync.state.store_words import begun_already, telling

if TYPE_CHECKING:
    from personasync.state.shared import Store

_BATCH: Final = 5000
"""Entries in one append of a copy: large enough to be quick, small enough to be sent twice."""


def begin(location: str, api: str, *, lineage: str | None = None) -> None:
    """Begin a state at a location where none is.

    Raises ``StateError`` where one is, or where none can be kept.
    """
    header = Header(lineage or uuid.uuid4().hex, api)
    path = local_path(location)
    if path is None:
        begin_shared(location, header)
    else:
        _begin_file(path, header)


def _begin_file(path: Path, header: Header) -> None:
    try:
        create_file(path, encode_header(header))
    except FileExistsError as error:
        raise begun_already(str(path)) from error
    except OSError as error:
        raise StateWriteError(
            f"cannot begin the state {path}: {error.strerror}",
            hint=f"{path.parent} must be a writable folder",
        ) from error


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy has done: how many entries were appended, and how many audios are known."""

    appended: int
    known: int


def copy(
    source: str,
    target: str,
    *,
    timeout: float = 0.0,
    on_wait: Callable[[Holder | None], None] | None = None,
) -> Copied:
    """Copy a state to another place, which is begun, or holds an earlier copy of it.

    What the two add up to is compared afterwards; the source is only read.
    Who holds the target is waited for up to ``timeout`` seconds. Raises
    ``StateError``.
    """
    contents = _read(source)
    if contents.header is None:
        raise NoStateError(f"there is no state at {open_log(source, api=None).location}")
    log = open_log(target, api=None)
    try:
        there = _read(target)
    except NoStateError:
        there = LogContents()
    if there.header is None:
        begin(target, contents.header.api, lineage=contents.header.lineage)
    elif there.header.lineage != contents.header.lineage:
        raise StateError(
            f"{log.location} holds another state, begun apart from this one",
            hint="nothing was changed; copy to a place where no state is",
        )
    with log.lock(timeout=timeout, on_wait=on_wait):
        missing = _missing(contents.entries, log.read().entries, log.location)
        for batch in _batches(missing):
            log.append(batch)
        log.compact()
        digest = log.read().fold().digest()
    if digest != contents.fold().digest():
        raise StateError(
            f"{log.location} does not add up to what was copied to it",
            hint="do not use it; copy to a place where no state is",
        )
    if _read(source).fold().digest() != digest:
        raise StateError(
            f"{open_log(source, api=None).location} was written to during the copy",
            hint="copy it again once nothing writes to it: what is there already is kept",
        )
    return Copied(len(missing), len(contents.fold().entries))


def _read(location: str) -> LogContents:
    return open_log(location, api=None).read()


def _missing(entries: Sequence[Entry], there: Sequence[Entry], place: str) -> Sequence[Entry]:
    """Return what a copy lacks: it is an ancestor, or knows what the source does not."""
    if tuple(entries[: len(there)]) == tuple(there):
        return entries[len(there) :]
    wanted, known = fold(entries), fold(there)
    if fold([*there, *entries]) != wanted:
        raise StateError(
            f"{place} knows something that the state to copy does not",
            hint="nothing was changed; copy it the other way round, or to a place with no state",
        )
    new = [entry for audio_id, entry in wanted.items() if known.get(audio_id) != entry]
    return [line for entry in new for line in lines_of(entry)]


def _batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), _BATCH):
        yield entries[start : start + _BATCH]


def verify(location: str) -> str:
    """Check all that a state is made of, and say what there is.

    Raises ``StateError`` naming the first part that is not as it should be.
    """
    store = _store(location)
    if store is not None:
        return store.verify()
    contents = _read(location)
    if contents.header is None:
        raise NoStateError(f"there is no state at {location}")
    if contents.notes:
        raise StateError(f"the state {location} is not as it should be: {contents.notes[0]}")
    count = len(contents.entries)
    return f"{count:,} {plural(count, 'entry', 'entries')}"


def held(location: str) -> Held | None:
    """Return who holds a shared state; ``None`` if nobody does.

    A file's lock ends with its process: there is never one to free.
    """
    store = _store(location)
    if store is None:
        return None
    with telling("read", store.location):
        return store.hold.held()


def unlock(location: str) -> None:
    """Take a shared state from whoever holds it: they are fenced off, and rescue what they have."""
    store = _store(location)
    if store is not None:
        store.unlock()


def _store(location: str) -> Store | None:
    if local_path(location) is not None:
        return None
    from personasync.state.open import open_store

    return open_store(location)
