"""What the sandbox made, remembered across runs and kills of its process.

The books are a JSON Lines file, appended to with one unbuffered write a line
before the answer goes out. Several sandboxes may share one: an OS lock that
dies with its process orders them, and each reads what the others appended
before it decides anything.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from personasync.model.errors import StateError

FORMAT: Final = "personasync.sandbox/1"
_HEADER: Final = (
    json.dumps(
        {"format": FORMAT, "about": "Made by the personasync sandbox; none of it is real."},
        separators=(",", ":"),
    ).encode()
    + b"\n"
)

if sys.platform == "win32":  # pragma: no cover

    def _lock(_file: io.FileIO) -> None:
        """Without flock, only appends are safe from each other; two may make one audio."""

    def _unlock(_file: io.FileIO) -> None:
        """Nothing was locked."""

else:
    import fcntl

    def _lock(file: io.FileIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _unlock(file: io.FileIO) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


@dataclass(frozen=True, slots=True)
class MadePersona:
    """A persona that the sandbox made; name and description as last sent."""

    audio_id: str
    persona_id: str
    task_id: str
    name: str
    description: str

    def to_line(self) -> bytes:
        """Return the line of the books that remembers the persona."""
        fields = {
            "audioId": self.audio_id,
            "personaId": self.persona_id,
            "taskId": self.task_id,
            "name": self.name,
            "description": self.description,
        }
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> MadePersona:
        """Read a line of the books; raises ``ValueError`` for one that is none."""
        fields = json.loads(line)
        if not isinstance(fields, dict):
            raise ValueError("not an object")
        names = ("audioId", "personaId", "taskId", "name", "description")
        values = [value for name in names if isinstance(value := fields.get(name), str)]
        if len(values) != len(names):
            raise ValueError("a field is missing or is not text")
        return cls(*values)


class Books:
    """The personas made, by ``audioId``: in memory, and in a file when it is given one.

    Raises :class:`StateError`, naming file and line, when the file cannot be
    used. A torn last line is what a crash leaves; nobody was told of what it
    held, so it is cut off.
    """

    def __init__(self, path: Path | None) -> None:
        self._made: dict[str, MadePersona] = {}
        self._mutex = threading.Lock()
        self._closed = False
        self._journal = None if path is None else _Journal(path)
        try:
            with self.exclusive():
                pass
        except BaseException:
            self.close()
            raise

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the books, brought up to date, against every thread and process."""
        with self._mutex:
            if self._journal is None:
                yield
                return
            with self._journal.locked():
                for persona in self._journal.read_new():
                    self._made[persona.audio_id] = persona
                yield

    def find(self, audio_id: str) -> MadePersona | None:
        """Return what was made of an audio. Only while the books are held."""
        return self._made.get(audio_id)

    def record(self, persona: MadePersona) -> None:
        """Remember a persona; it is with the OS when this returns. Only while held.

        Raises :class:`StateError` when it could not be written; then it is not
        remembered at all.
        """
        if self._closed:
            raise StateError("the sandbox is closed")
        if self._journal is not None:
            self._journal.append(persona)
        self._made[persona.audio_id] = persona

    def personas(self) -> Mapping[str, MadePersona]:
        """Return a copy of all that was made, by ``audioId``, in the order it was made."""
        with self.exclusive():
            return dict(self._made)

    def close(self) -> None:
        """Close the file; nothing can be recorded any more, what was made can still be read."""
        with self._mutex:
            self._closed = True
            if self._journal is not None:
                self._journal.close()
                self._journal = None


class _Journal:
    """The books' file: which part of it was read, and how to add to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to = 0
        self._lines = 0
        try:
            self._file = io.FileIO(path, "a+")
        except OSError as error:
            raise self._unusable("opened", error) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        try:
            _lock(self._file)
        except OSError as error:
            raise self._unusable("locked", error) from error
        try:
            yield
        finally:
            _unlock(self._file)

    def read_new(self) -> list[MadePersona]:
        """Return what others appended since the last time, leaving the file in whole lines."""
        try:
            data = self._unread()
            if not data and self._lines:
                return []
            *lines, tail = data.split(b"\n")
            made = [made for line in lines if (made := self._take(line)) is not None]
            if tail or not self._lines:
                made += self._mend(tail)
            return made
        except OSError as error:
            raise self._unusable("read", error) from error

    def append(self, persona: MadePersona) -> None:
        try:
            self._write(persona.to_line())
        except OSError as error:
            raise self._unusable("written", error) from error

    def close(self) -> None:
        self._file.close()

    def _unread(self) -> bytes:
        size = os.fstat(self._file.fileno()).st_size
        if size < self._read_to:
            raise StateError(
                f"{self._path}: the sandbox's books were cut short while in use",
                hint="Start the sandbox again.",
            )
        if size == self._read_to:
            return b""
        self._file.seek(self._read_to)
        return self._file.read()

    def _take(self, line: bytes) -> MadePersona | None:
        """Count a line as read, and its newline; return what it remembers: no header does."""
        made = None
        if self._lines == 0:
            self._check_header(line)
        else:
            try:
                made = MadePersona.from_line(line)
            except (ValueError, RecursionError) as error:
                raise self._junk("this is not a line of the sandbox's books") from error
        self._read_to += len(line) + 1
        self._lines += 1
        return made

    def _mend(self, tail: bytes) -> list[MadePersona]:
        """Deal with a last line without its newline, and with a file without a header."""
        if self._lines == 0:
            # Cut off only what is surely ours: a path given by mistake must lose nothing.
            if not _HEADER.startswith(tail):
                self._check_header(tail)
            self._file.truncate(0)
            self._write(_HEADER)
            return []
        try:
            persona = MadePersona.from_line(tail)
        except (ValueError, RecursionError):
            self._file.truncate(self._read_to)
            return []
        self._file.write(b"\n")
        self._read_to += len(tail) + 1
        self._lines += 1
        return [persona]

    def _write(self, line: bytes) -> None:
        written = self._file.write(line)
        if written != len(line):
            self._file.truncate(self._read_to)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._read_to += len(line)
        self._lines += 1

    def _check_header(self, line: bytes) -> None:
        try:
            header = json.loads(line)
        except (ValueError, RecursionError):
            header = None
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise self._junk(f"the first line does not say {FORMAT}")

    def _junk(self, what: str) -> StateError:
        return StateError(
            f"{self._path}:{self._lines + 1}: {what}",
            hint="Delete or move the file away, and the sandbox starts afresh.",
        )

    def _unusable(self, what: str, error: OSError) -> StateError:
        return StateError(
            f"{self._path}: the sandbox's books cannot be {what}: {error.strerror}",
            hint="Name another file for them.",
        )
