"""What the sandbox made, remembered across runs and kills of its process.

The books are an SQLite database, or in memory. Several sandboxes may share a
file: whoever holds the books holds them against every thread and process, so
that each audio is made once. What was recorded survives a kill of the process;
a power cut may cost it, since nothing in here is real.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from personasync.sandbox.errors import SandboxError

_OURS: Final = 0x50534E43
"""What tells the books from any other database: SQLite's ``application_id``."""

_PATIENCE: Final = 60.0
"""Seconds to wait for another sandbox, which holds the books for milliseconds."""

_AFRESH: Final = "Delete or move the file away, and the sandbox starts afresh."
_COLUMNS: Final = "audio_id, persona_id, task_id, name, description"


@dataclass(frozen=True, slots=True)
class MadePersona:
    """A persona that the sandbox made; name and description as last sent."""

    audio_id: str
    persona_id: str
    task_id: str
    name: str
    description: str


class Books:
    """The personas made, by ``audioId``: in a file, or in memory when ``path`` is ``None``.

    Raises :class:`SandboxError`, naming the file, when it cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._mutex = threading.RLock()
        if path is not None:
            _check(path)
        with self._told():
            self._db = sqlite3.connect(
                path or ":memory:",
                timeout=_PATIENCE,
                isolation_level=None,  # transactions begin where exclusive() says so
                check_same_thread=False,  # the mutex keeps the threads apart
            )
        try:
            with self._told():
                self._db.execute("PRAGMA synchronous = OFF")
            with self.exclusive():
                self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the books against every thread and process; an error undoes what was recorded."""
        with self._mutex, self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk may have undone it already
                    self._db.execute("ROLLBACK")
                raise

    def find(self, audio_id: str) -> MadePersona | None:
        """Return what was made of an audio."""
        query = f"SELECT {_COLUMNS} FROM personas WHERE audio_id = ?"
        with self._mutex, self._told():
            row = self._db.execute(query, (audio_id,)).fetchone()
        return MadePersona(*row) if row else None

    def record(self, persona: MadePersona) -> None:
        """Remember a persona, instead of the one of the same audio."""
        statement = (
            f"INSERT INTO personas ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (audio_id) DO UPDATE SET persona_id = excluded.persona_id,"
            " name = excluded.name, description = excluded.description"
        )
        with self._mutex, self._told():
            self._db.execute(statement, astuple(persona))

    def personas(self) -> Mapping[str, MadePersona]:
        """Return all that was made, by ``audioId``, in the order it was made."""
        with self._mutex, self._told():
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM personas ORDER BY rowid").fetchall()
        return {row[0]: MadePersona(*row) for row in rows}

    def close(self) -> None:
        """Close the file, after which nothing can be asked or recorded. May be called twice."""
        with self._mutex:
            self._db.close()

    def _prepare(self) -> None:
        (owner,) = self._db.execute("PRAGMA application_id").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and owner != _OURS:
            raise SandboxError(
                f"{self._path}: this is a database, but not the sandbox's books",
                hint="Name another file for them.",
            )
        if not tables:
            self._db.execute(f"PRAGMA application_id = {_OURS}")
            self._db.execute(
                "CREATE TABLE personas (audio_id TEXT PRIMARY KEY,"
                " persona_id TEXT, task_id TEXT, name TEXT, description TEXT)"
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say SQLite's errors in the words of this program."""
        try:
            yield
        except sqlite3.Error as error:
            raise SandboxError(
                f"{self._path or 'memory'}: the sandbox's books cannot be used: {error}",
                hint=_AFRESH if self._path else None,
            ) from error


def _check(path: Path) -> None:
    """Refuse what SQLite would call no database, or would not say why it cannot be opened."""
    try:
        with path.open("a+b") as file:
            file.seek(0)
            start = file.read(16)
    except OSError as error:
        raise SandboxError(
            f"{path}: the sandbox's books cannot be opened: {error.strerror}",
            hint="Name another file for them.",
        ) from error
    if start.startswith(b'{"format":"perso'):
        raise SandboxError(
            f"{path}: these books were written by an earlier version of the sandbox", hint=_AFRESH
        )
    if start and start != b"SQLite format 3\0":
        raise SandboxError(
            f"{path}: this is not a file of the sandbox's books", hint="Name another file for them."
        )
