"""Rescue: where an ID goes when the state cannot be written, and how it comes back.

That is a run's business, not a store's: first beside the log, where the log
knows how; else in the user's state folder, in a file named by lineage and run;
else in the temporary folder. The file says which state it belongs to, so that
the next run on that lineage, or on that place where nothing is left of it,
finds it by itself.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from personasync.model.answer import more_telling
from personasync.model.errors import StateError
from personasync.state.background import Call
from personasync.state.codec import encode_entries, encode_header
from personasync.state.durable import open_bytes, sync, sync_folder, write_all
from personasync.state.entry import Entry, Header
from personasync.state.fold import fold
from personasync.state.log import SelfChecking, SelfRescuing, StateLog
from personasync.state.parse import parse_log

_HEADER_START: Final = b'{"format"'
_ONE_AT_A_TIME: Final = threading.Lock()
_HEADER_LIMIT: Final = 1 << 16
_NEARBY_SECONDS: Final = 1.0


def rescue(log: StateLog, entries: Sequence[Entry]) -> str | None:
    """Keep entries that could not be appended somewhere else; ``None`` if nowhere could.

    Returns where they are kept. The next reading of the log takes them in by
    itself. Safe to call from several threads.
    """
    if isinstance(log, SelfRescuing):
        with contextlib.suppress(OSError, StateError):
            where = log.rescue(entries)
            if where is not None:
                return where
    header = log.header if isinstance(log, SelfRescuing) else log.read().header
    return None if header is None else keep_apart(header, log.location, entries)


def rescue_nearby(log: StateLog, entries: Sequence[Entry]) -> str | None:
    """Keep entries on this machine, whatever the log does; ``None`` if nowhere, or not soon.

    For who is about to leave, and cannot wait for a store or a disk that hangs.
    """
    header = log.header if isinstance(log, SelfRescuing) else None
    if header is None or not entries:
        return None
    with contextlib.suppress(TimeoutError, RuntimeError):  # or the system has no thread left
        return Call(lambda: keep_apart(header, log.location, entries)).wait(_NEARBY_SECONDS)
    return None


def keep_apart(header: Header, location: str, entries: Sequence[Entry]) -> str | None:
    """Keep entries away from their log, in a file named by lineage and run; return where."""
    if not entries:
        return None
    data = encode_header(header, location=absolute(location))
    data += encode_entries(entries)
    for folder in _folders():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return _keep_in(folder, f"{header.lineage}-{entries[0].run}", data)
    return None


def missing(log: StateLog, entries: Sequence[Entry]) -> list[Entry]:
    """Return those entries of a run's whose IDs the log, whatever befell it, has lost."""
    if isinstance(log, SelfChecking) and log.intact():
        return []
    try:
        known = log.read().fold().entries
    except StateError:
        return list(entries)
    held = {(audio_id, each) for audio_id, entry in known.items() for each in entry.ids}
    return [entry for entry in entries if (entry.audio_id, entry.persona_id) not in held]


@dataclass(frozen=True, slots=True)
class RescueFile:
    """A rescue file as it was read; ``header`` is ``None`` where it does not even hold one."""

    path: Path
    header: Header | None
    entries: tuple[Entry, ...]


def rescued(location: str, header: Header | None) -> Iterator[RescueFile]:
    """Yield the files, away from the log, that hold entries of it.

    Where there is a log, they are those of its lineage; where there is none,
    those of a log that was kept at ``location``.
    """
    place = absolute(location)
    for folder in _folders():
        pattern = f"{header.lineage}-*.rescue" if header else "*.rescue"
        with contextlib.suppress(OSError):
            for path in sorted(folder.glob(pattern)):
                if _is_ours(path) and (header or _location_in(path) == place):
                    yield from read_rescue(path)


def read_rescue(path: Path) -> Iterator[RescueFile]:
    """Yield a rescue file with what it holds; nothing if another run has just taken it in.

    A torn last line is read as far as it goes. Raises ``StateError`` for a
    file that cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe or a device could take for ever
            raise OSError(errno.EINVAL, "it is not a plain file")
        data = path.read_bytes()
    except FileNotFoundError as error:
        if path.is_symlink():
            raise StateError(
                f"the rescue file {path} is a link that leads nowhere", hint="remove the link"
            ) from error
        return
    except OSError as error:
        raise StateError(
            f"cannot read the rescue file {path}: {error.strerror}",
            hint="it may hold IDs that the state does not; make it readable, or move it away",
        ) from error
    if b"\n" not in data and _HEADER_START.startswith(data[: len(_HEADER_START)]):
        yield RescueFile(path, None, ())  # what a kill in the first write leaves
        return
    parsed = parse_log(data, str(path))
    yield RescueFile(path, parsed.current, parsed.entries)


def rescued_entries(entries: Sequence[Entry], files: Iterable[RescueFile]) -> list[Entry]:
    """Return those rescued entries that tell more than a log knows."""
    kept = [entry for file in files for entry in file.entries]
    if not kept:
        return []
    known, new = fold(entries), []
    for entry in kept:
        before = known.get(entry.audio_id)
        after = fold([entry] if before is None else [before, entry])[entry.audio_id]
        if before is None or _tells_more(before, after, entry):
            if before is not None and not entry.persona_id:  # it was kept for its answer alone
                after = replace(before, answer=after.answer)
            known[entry.audio_id] = after
            new.append(entry if before is None or entry.persona_id else after)
    return new


def _tells_more(before: Entry, after: Entry, entry: Entry) -> bool:
    if entry.persona_id:
        return after.ids != before.ids
    return not before.ids and more_telling(before.answer, entry.answer) != before.answer


def remove(files: Iterable[RescueFile]) -> None:
    """Remove files whose entries are in the log."""
    for file in files:
        with contextlib.suppress(OSError):  # reading it again changes nothing
            file.path.unlink()


def append_rescue(path: Path, data: bytes) -> str:
    """Append whole lines to a file, durably, and return its name. Raises ``OSError``."""
    # No link: a pull request could have placed it.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    with _ONE_AT_A_TIME:
        _append(open_bytes(path, flags, 0o600), data)
    sync_folder(path.parent)
    return str(path)


def absolute(location: str) -> str:
    """Return a location so that it means the same from every folder: a URL as it is."""
    return location if "://" in location else os.path.realpath(location)


def _folders() -> Iterator[Path]:
    """Yield where a rescue file may lie apart from its state, the best place first."""
    home = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA")
    if home and Path(home).is_absolute():
        yield Path(home) / "personasync"
    else:
        with contextlib.suppress(RuntimeError):  # a user without a home folder
            yield Path.home() / ".local" / "state" / "personasync"
    user = os.getuid() if hasattr(os, "getuid") else ""
    with contextlib.suppress(OSError):  # looked for by writing, so a full disk has none
        yield Path(tempfile.gettempdir()) / f"personasync-{user}"


def _keep_in(folder: Path, name: str, data: bytes) -> str:
    """Append to the run's file, or to the next one where that ends in half a line."""
    for number in range(9):
        with contextlib.suppress(OSError):
            return append_rescue(folder / f"{name}{f'.{number}' if number else ''}.rescue", data)
    raise OSError(errno.EIO, "no rescue file can be written", str(folder))


def _last_byte(descriptor: int, end: int) -> bytes:
    os.lseek(descriptor, end - 1, os.SEEK_SET)  # pread is not everywhere
    return os.read(descriptor, 1)


def _append(descriptor: int, data: bytes) -> None:
    try:
        end = os.fstat(descriptor).st_size
        if end and _last_byte(descriptor, end) != b"\n":
            raise OSError(errno.EIO, "it ends in half a line, which another must not join")
        try:
            write_all(descriptor, data)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
        sync(descriptor)
    finally:
        os.close(descriptor)


def _location_in(path: Path) -> object:
    """Return which state a rescue file says that it belongs to."""
    with contextlib.suppress(OSError, ValueError, RecursionError), path.open("rb") as file:
        fields = json.loads(file.readline(_HEADER_LIMIT))
        return fields.get("location") if isinstance(fields, dict) else None
    return None


def _is_ours(path: Path) -> bool:
    """A temporary folder is shared: only a plain file of our own is believed."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and (
        not hasattr(os, "getuid") or status.st_uid == os.getuid()
    )
