"""The state as one JSON Lines file: the first ``StateLog``."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from personasync.model.answer import more_telling
from personasync.model.errors import StateError, StateWriteError
from personasync.model.steps import Command, NextStep, Option
from personasync.state.appender import Appender
from personasync.state.codec import decode_line, encode_entry, encode_header
from personasync.state.durable import replace_file
from personasync.state.entry import Entry, Header, Status
from personasync.state.fold import compacted, fold
from personasync.state.log import Holder, LogContents
from personasync.state.parse import ParsedLog, parse_log
from personasync.state.rescue import (
    RescueFile,
    append_rescue,
    read_rescue,
    remove,
    rescued,
)


class FileStateLog:
    """A state kept in one local file of JSON Lines.

    ``api`` is the base in use: a state that belongs to another is refused.
    With ``api=None`` any state can be read and appended to, but none begun.
    """

    def __init__(self, path: Path, *, api: str | None) -> None:
        self._name = str(path)
        self._path = _real(path)  # a rename must replace the file, not a link to it
        self._api = api
        self._appender: Appender | None = None
        self.header: Header | None = None
        self._mended: tuple[str, ...] = ()

    @property
    def location(self) -> str:
        """The path, as the user named it."""
        return self._name

    def read(self) -> LogContents:
        """Return all that the file and any rescue file of it hold.

        A file that is not there is an empty log. Raises ``StateError`` when
        it cannot be read, belongs to another API, or a line is unreadable.
        """
        self._check_plain()
        # Rescue files first: a run that takes one in appends before it removes.
        rescue = list(self._rescue_files())
        parsed = self._parse()
        entries = parsed.all_entries
        rescued = self._new_entries(self._own(rescue, parsed.header), entries)
        notes = _notes(self._name, parsed, len(rescued), self._backup)
        return LogContents(parsed.header, (*entries, *rescued), (*self._mended, *notes))

    @contextmanager
    def lock(
        self, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> Iterator[None]:
        """Hold the file against other writers, and first mend what a crash left."""
        from personasync.state.lock import hold  # a plan takes no lock, and must start fast

        self._check_plain()
        with hold(self._path, timeout=timeout, on_wait=on_wait):
            try:
                self._recover()
                yield
            finally:
                self._close()

    def append(self, entries: Sequence[Entry]) -> None:
        """Append entries with one write and one sync; creates the file when it is missing."""
        data = b"".join(map(encode_entry, entries))
        try:
            self._open().append(data)
        except OSError as error:
            raise self._write_error(error) from error

    def rescue(self, entries: Sequence[Entry]) -> str | None:
        """Keep entries in a file beside the state; raises ``OSError`` where that cannot be."""
        header = self.header or self._new_header()
        data = encode_header(header) + b"".join(map(encode_entry, entries))
        return append_rescue(self._beside, data)

    def intact(self) -> bool:
        """Whether the file is as the appends of this log have left it."""
        return self._appender is not None and self._appender.intact()

    def compact(self) -> None:
        """Rewrite the file as one line an audio; the previous file stays as ``.backup``.

        Raises ``StateError`` besides, when the file has become unreadable or is gone.
        """
        try:
            before = self._bytes()
            parsed = parse_log(before, self._name)
            if parsed.header is None:
                self._check_never_begun()
                return
            lines = map(encode_entry, compacted(parsed.all_entries))
            data = encode_header(parsed.header) + b"".join(lines)
            if data != before:
                self._close()
                replace_file(self._path, data, backup=self._backup)
        except OSError as error:
            raise self._write_error(error) from error

    def _check_never_begun(self) -> None:
        if self.header is not None:
            raise StateError(
                f"the state {self._name} was removed during the run",
                hint="its IDs are in this run's output, and older ones in version control or in"
                f" {self._name}.backup; importing puts them back",
            )

    @property
    def _backup(self) -> Path:
        return self._path.with_name(f"{self._path.name}.backup")

    @property
    def _beside(self) -> Path:
        return self._path.with_name(f"{self._path.name}.rescue")

    def _bytes(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""

    def _parse(self) -> ParsedLog:
        self._check_plain()
        try:
            data = self._bytes()
            emptied = not data and self._path.exists() and _size(self._backup) > 0
        except OSError as error:
            raise StateError(f"cannot read the state {self._name}: {error.strerror}") from error
        if emptied:
            raise StateError(
                f"the state {self._name} is empty, but {self._name}.backup is not",
                hint="something emptied it; restore it from version control or from the backup",
            )
        parsed = parse_log(data, self._name)
        if self._api is not None and parsed.header and parsed.header.api != self._api:
            raise StateError(
                f"the state {self._name} holds IDs of {parsed.header.api},"
                f" but the API in use is {self._api}",
                hint=NextStep(
                    "IDs of one API mean nothing to another: set ",
                    Option("base-url"),
                    " back, or keep a state for each with ",
                    Option("state"),
                ),
            )
        return parsed

    def _check_plain(self) -> None:
        """Refuse to take a folder, a pipe or a device for a state: reading could take for ever."""
        try:
            status = self._path.stat()
        except OSError:
            return  # nothing is there, or reading it will say what is wrong
        if not stat.S_ISREG(status.st_mode):
            raise StateError(
                f"the state {self._name} is not a plain file",
                hint=NextStep("name another with ", Option("state")),
            )

    def _rescue_files(self) -> Iterator[RescueFile]:
        """Yield the rescue files beside the state, and those kept elsewhere for it."""
        if os.path.lexists(self._beside):
            yield from read_rescue(self._beside)
        yield from rescued(str(self._path), self._known_header())

    def _known_header(self) -> Header | None:
        """Look at the first line alone: the rest is read behind the rescue files."""
        if self.header is None:
            with contextlib.suppress(OSError, ValueError), self._path.open("rb") as file:
                line = decode_line(file.readline())
                return line if isinstance(line, Header) else None
        return self.header

    def _own(self, rescue: Iterable[RescueFile], header: Header | None) -> list[RescueFile]:
        """Return the rescue files that belong to this log's API."""
        api = self._api or (header.api if header else None)
        return [
            file for file in rescue if api is None or file.header is None or file.header.api == api
        ]

    def _new_entries(self, rescue: Iterable[RescueFile], entries: Sequence[Entry]) -> list[Entry]:
        """Return the rescued entries that the log does not hold yet."""
        rescued = [(file.path, entry) for file in rescue for entry in file.entries]
        if not rescued:
            return []
        known, new = fold(entries), []
        for path, entry in rescued:
            added = self._added(known.get(entry.audio_id), entry, path)
            if added is not None:
                known[entry.audio_id] = added
                new.append(added)
        return new

    def _added(self, known: Entry | None, rescued: Entry, path: Path) -> Entry | None:
        """Return what a rescued entry adds to what is known, as an entry; ``None`` for nothing."""
        if known is None:
            return rescued
        if rescued.persona_id is None:  # it was kept for its answer, which may show the ID
            told, answer = known.answer, rescued.answer
            if known.persona_id or not answer or more_telling(told, answer) == told:
                return None
            return rescued if known.status is Status.PENDING else replace(known, answer=answer)
        if known.persona_id is None:
            return rescued
        if rescued.persona_id == known.persona_id:
            return None
        raise StateError(
            f"the rescue file {path} of {self._name} holds the ID {rescued.persona_id} for"
            f" {rescued.key!r}, but {known.persona_id} is recorded",
            hint=NextStep(
                "decide which is right; once the rescue file is out of the way, this records it: ",
                Command("import", (rescued.key, "PERSONA_ID"), (Option("force"),)),
            ),
        )

    def _recover(self) -> None:
        """Set a torn last line aside and take rescue files in; the lock is held."""
        parsed = self._parse()
        self.header = parsed.header
        rescue = self._own(self._rescue_files(), parsed.header)
        new = self._new_entries(rescue, parsed.all_entries)
        try:
            if parsed.torn:
                self._set_aside(parsed)
            if new:
                if parsed.header is None:  # nothing else is left of it: it is still the same state
                    self.header = self._begin(next((f.header for f in rescue if f.header), None))
                self._open().append(b"".join(map(encode_entry, new)))
        except OSError as error:
            raise self._write_error(error) from error
        remove(rescue)
        self._mended = tuple(_notes(self._name, parsed, len(new)))

    def _set_aside(self, parsed: ParsedLog) -> None:
        aside = self._path.with_name(f"{self._path.name}.torn")
        kept = aside.read_bytes() if aside.is_file() else b""
        replace_file(aside, kept + parsed.torn + b"\n")
        whole = self._bytes().removesuffix(parsed.torn)
        if parsed.salvaged is not None:
            whole += encode_entry(parsed.salvaged)
        replace_file(self._path, whole)

    def _open(self) -> Appender:
        if self._appender is None:
            if self.header is None:
                self.header = self._parse().header or self._begin()
            if not _size(self._path):
                raise FileNotFoundError(
                    errno.ENOENT, "the file was removed during the run", str(self._path)
                )
            self._appender = Appender(self._path)
        return self._appender

    def _begin(self, header: Header | None = None) -> Header:
        header = header or self._new_header()
        replace_file(self._path, encode_header(header))
        return header

    def _close(self) -> None:
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


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:  # a NUL character, which a saved plan can hold
        raise StateError(f"{str(path)!r} cannot be the path of a state") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _notes(name: str, parsed: ParsedLog, rescued: int, backup: Path | None = None) -> Iterator[str]:
    if parsed.torn:
        what = "nothing that names an audio"
        if parsed.salvaged is not None:
            entry = parsed.salvaged
            what = f"{entry.key!r}, read as {entry.status}"
        yield f"the last line of {name} was cut off, as a crash leaves it; it held {what}"
    if rescued:
        found = "1 rescued entry was" if rescued == 1 else f"{rescued} rescued entries were"
        yield f"{found} found beside {name} and taken in"
    if parsed.header is None and backup is not None and backup.exists():
        yield f"there is no state at {name}, but a {name}.backup: copy it back to keep its IDs"
