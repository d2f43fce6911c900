"""The state as one JSON Lines file: the first ``StateLog``."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from personasync.model.errors import StaleStateError, StateError
from personasync.state.beside import refuse_dangling
from personasync.state.codec import encode_entries, encode_header
from personasync.state.entry import Entry, Header, ServiceMoved
from personasync.state.file_writer import FileWriter, new_api, whole, write_error
from personasync.state.fold import compacted
from personasync.state.log import Holder, LogContents
from personasync.state.rescue import append_rescue, keep_apart
from personasync.state.state_file import Identity, Reading, StateFile, has_other_names


class FileStateLog:
    """A state kept in one local file of JSON Lines.

    ``api`` is the base in use: a state that belongs to another is refused.
    With ``api=None`` any state can be read and appended to, but none begun.
    """

    def __init__(self, path: Path, *, api: str | None) -> None:
        self._file = StateFile.of(path, api)
        self._writer = FileWriter(self._file)
        self._seen: Identity = None
        self._mended: tuple[str, ...] = ()

    @property
    def location(self) -> str:
        """The path, as the user named it."""
        return self._file.name

    @property
    def header(self) -> Header | None:
        """The header, as far as it has been read under the lock, or begun."""
        return self._writer.header

    def read(self) -> LogContents:
        """Return all that the file, its backup and any rescue file of it hold.

        A file that is not there is an empty log. Raises ``StateError`` when
        it cannot be read, belongs to another API, or a line is unreadable.
        """
        reading = self._writer.read()
        if self._writer.hold is not None and not self._writer.has_begun:
            self._seen = reading.identity
        contents = reading.contents
        return replace(contents, notes=tuple(dict.fromkeys((*self._mended, *contents.notes))))

    @contextmanager
    def lock(
        self, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> Iterator[None]:
        """Hold the file against other writers, and first mend what a crash left."""
        from personasync.state.lock import hold  # a plan takes no lock, and must start fast

        refuse_dangling(self._file.link, self._file.name)
        writer = self._writer
        with hold(self._file.path, timeout=timeout, on_wait=on_wait) as writer.hold:
            try:
                self._mended = writer.recover().notes
                self._seen = writer.identity()
                yield
            finally:
                writer.close()
                writer.hold = None

    def append(self, entries: Sequence[Entry | ServiceMoved]) -> None:
        """Append entries with one write and one sync; creates the file when it is missing."""
        data = encode_entries(entries)
        try:
            self.confirm()
            self._writer.append(data)
        except OSError as error:
            raise write_error(self._file, error) from error

    def confirm(self) -> None:
        """Before the first append: raise ``StaleStateError`` unless the file is what was read.

        The lock keeps other runs of personasync out, not ``git pull``.
        """
        if self._writer.hold is None or self._writer.has_begun:
            return
        if self._writer.identity() != self._seen:
            raise StaleStateError(
                f"the state {self.location} was changed by something else since it was read",
                hint="nothing was changed or sent; run the same command again",
            )

    def rescue(self, entries: Sequence[Entry]) -> str | None:
        """Keep entries in a file beside the state; raises ``OSError`` where that cannot be."""
        path = self._file.path
        header = self.header or Header(uuid.uuid4().hex, new_api(self._file))
        where = append_rescue(
            path.with_name(f"{path.name}.rescue"),
            encode_header(header) + encode_entries(entries),
        )
        if has_other_names(path):  # beside which nobody would find it
            keep_apart(header, self.location, entries)
        return where

    def intact(self) -> bool:
        """Whether the file is as the appends of this log have left it."""
        return self._writer.intact()

    def compact(self) -> None:
        """Rewrite the file as one line an audio; the previous file stays as ``.backup``.

        Raises ``StateError`` besides, when the file has become unreadable or
        is gone, and ``StateWriteError`` where it must stay the file it is.
        """
        reading = self._writer.read()
        if reading.parsed.header is None:
            _refuse_if_begun(self, reading)
            return
        data = whole(reading.parsed, reading.parsed.header, compacted(reading.contents.entries))
        if data == reading.data:
            return
        try:
            self._writer.replace(reading, data)
            self._seen = self._writer.identity()
        except OSError as error:
            raise write_error(self._file, error) from error


def _refuse_if_begun(log: FileStateLog, reading: Reading) -> None:
    if log.header is not None or reading.header is not None:
        raise StateError(
            f"the state {log.location} was removed during the run",
            hint="the next run takes in what is kept beside it; IDs of this run are in its output",
        )
