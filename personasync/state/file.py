"""The state as one JSON Lines file: the first ``StateLog``."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from personasync.errors import StateError, StateWriteError
from personasync.files import replace_file
from personasync.state.appender import Appender
from personasync.state.entry import Entry, Header, encode_entry, encode_header
from personasync.state.fold import State, fold
from personasync.state.lock import hold
from personasync.state.log import Holder, LogContents
from personasync.state.parse import ParsedLog, parse_log
from personasync.state.rescue import RescueFiles


class FileStateLog:
    """A state kept in one local file (design.md §4).

    ``api`` is the base in use: a state that belongs to another is refused.
    With ``api=None`` any state can be read and appended to, but none begun.
    """

    def __init__(self, path: Path, *, api: str | None) -> None:
        self._name = str(path)
        self._path = path.resolve()  # a rename must replace the file, not a link to it
        self._api = api
        self._rescue = RescueFiles(self._path)
        self._appender: Appender | None = None
        self._header: Header | None = None
        self._opening = threading.Lock()

    @property
    def location(self) -> str:
        """The path, as the user named it."""
        return self._name

    def read(self) -> LogContents:
        """Return all that the file and any rescue file of it hold.

        A file that is not there is an empty log. Raises ``StateError`` when
        it cannot be read, belongs to another API, or a line is unreadable.
        """
        parsed = self._parse()
        entries = parsed.all_entries
        rescued = self._rescued(entries)
        return LogContents(
            parsed.header,
            (*entries, *rescued),
            tuple(_notes(self._name, parsed, len(rescued), self._backup)),
        )

    @contextmanager
    def lock(
        self, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> Iterator[None]:
        """Hold the file against other writers, and first mend what a crash left."""
        with hold(self._path, timeout=timeout, on_wait=on_wait):
            try:
                self._recover()
                yield
            finally:
                if self._appender is not None:
                    self._appender.close()
                    self._appender = None

    def append(self, entries: Sequence[Entry]) -> None:
        """Append entries with one write and one sync; creates the file when it is missing."""
        data = b"".join(map(encode_entry, entries))
        try:
            self._open().append(data)
        except OSError as error:
            raise self._write_error(error) from error

    def rescue(self, entries: Sequence[Entry]) -> str | None:
        """Keep entries in a file beside the state, else in the temporary folder."""
        header = self._header or self._new_header()
        return self._rescue.keep(encode_header(header) + b"".join(map(encode_entry, entries)))

    def compact(self) -> None:
        """Rewrite the file as one line an audio; the previous file stays as ``.backup``."""
        try:
            before = self._bytes()
            parsed = parse_log(before, self._name)
            if parsed.header is None:
                return
            known = fold(parsed.all_entries).values()
            ordered = sorted(known, key=lambda entry: (entry.key, entry.audio_id))
            data = encode_header(parsed.header) + b"".join(map(encode_entry, ordered))
            if data != before:
                replace_file(self._path, data, backup=self._backup)
                self._reopen()
        except OSError as error:
            raise self._write_error(error) from error

    @property
    def _backup(self) -> Path:
        return self._path.with_name(f"{self._path.name}.backup")

    def _bytes(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""

    def _parse(self) -> ParsedLog:
        try:
            data = self._bytes()
        except OSError as error:
            raise StateError(f"cannot read the state {self._name}: {error.strerror}") from error
        if not data and self._path.exists() and self._backup.exists():
            raise StateError(
                f"the state {self._name} is empty, but {self._name}.backup is not",
                hint="something emptied it; restore it from version control or from the backup",
            )
        parsed = parse_log(data, self._name)
        if self._api is not None and parsed.header and parsed.header.api != self._api:
            raise StateError(
                f"the state {self._name} holds IDs of {parsed.header.api},"
                f" but the API in use is {self._api}",
                hint="IDs of one API mean nothing to another: set --base-url back, or keep a state"
                " for each with --state",
            )
        return parsed

    def _rescued(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the rescued entries that the log does not hold yet."""
        rescued = [entry for _, found in self._rescue.read(self._api) for entry in found]
        if not rescued:
            return []
        known = fold(entries)
        return [entry for entry in rescued if self._adds(known.get(entry.audio_id), entry)]

    def _adds(self, known: Entry | None, rescued: Entry) -> bool:
        if known is None or known.persona_id is None:
            return True
        if rescued.persona_id in (None, known.persona_id):
            return False
        raise StateError(
            f"a rescue file of {self._name} holds the ID {rescued.persona_id} for"
            f" {rescued.key!r}, but the state says {known.persona_id}",
            hint=f"decide which is right; `personasync import {rescued.key} ID --force` records it"
            f" once the rescue file is out of the way: {', '.join(self._rescue.names())}",
        )

    def _recover(self) -> None:
        """Set a torn last line aside and take rescue files in; the lock is held."""
        parsed = self._parse()
        self._header = parsed.header
        try:
            if parsed.torn:
                self._set_aside(parsed)
            rescued = self._rescued(parsed.all_entries)
            if rescued:
                self._open().append(b"".join(map(encode_entry, rescued)))
            self._rescue.remove(self._api)
        except OSError as error:
            raise self._write_error(error) from error

    def _set_aside(self, parsed: ParsedLog) -> None:
        aside = self._path.with_name(f"{self._path.name}.torn")
        kept = aside.read_bytes() if aside.exists() else b""
        replace_file(aside, kept + parsed.torn + b"\n")
        whole = self._bytes().removesuffix(parsed.torn)
        if parsed.salvaged is not None:
            whole += encode_entry(parsed.salvaged)
        replace_file(self._path, whole)

    def _open(self) -> Appender:
        with self._opening:  # several workers may append first
            if self._appender is None:
                if not self._bytes():
                    self._header = self._new_header()
                    replace_file(self._path, encode_header(self._header))
                self._appender = Appender(self._path)
            return self._appender

    def _reopen(self) -> None:
        if self._appender is not None:
            self._appender.close()
            self._appender = None

    def _new_header(self) -> Header:
        if self._api is None:
            raise StateError(f"there is no state at {self._name}")
        return Header(uuid.uuid4().hex, self._api)

    def _write_error(self, error: OSError) -> StateWriteError:
        return StateWriteError(
            f"cannot write the state {self._name}: {error.strerror or error}",
            hint=f"make room, or make {self._path.parent} writable, and run the same command again",
        )


def _notes(name: str, parsed: ParsedLog, rescued: int, backup: Path) -> Iterator[str]:
    if parsed.torn:
        what = "nothing that names an audio"
        if parsed.salvaged is not None:
            entry = parsed.salvaged
            what = f"{entry.key!r}, read as {entry.status}"
        yield f"the last line of {name} was cut off by a crash; it held {what}"
    if rescued:
        yield f"{rescued} rescued entries were found beside {name} and are taken in"
    if parsed.header is None and backup.exists():
        yield f"there is no state at {name}, but a {name}.backup: copy it back to keep its IDs"


def load_state(path: str | PathLike[str], *, api: str | None = None) -> State:
    """Read a state file and return what is known; with ``api``, only if it belongs to it.

    A file that is not there is an empty state. Raises ``StateError``.
    """
    return FileStateLog(Path(path), api=api).read().fold()
