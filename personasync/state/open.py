"""The one place that opens a state by its location, which `locations.py` takes apart."""

from __future__ import annotations

import os
import re
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final

from personasync.model.errors import UsageError
from personasync.state.file import FileStateLog
from personasync.state.log import StateLog

if TYPE_CHECKING:
    from personasync.state.entry import Header
    from personasync.state.fold import State
    from personasync.state.shared import Store

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|(s3|gs|az|postgres(ql)?):", re.IGNORECASE)
"""A scheme of two letters or more: a path of Windows begins with one."""


def open_log(location: str, *, api: str | None) -> StateLog:
    """Return the log that is kept at a location: a path, or the URL of a shared state.

    ``api`` is the base in use: a state that belongs to another is refused.
    With ``api=None`` any state can be read and appended to, but none begun.
    Nothing is touched yet. Raises ``UsageError`` for a location that cannot be
    one, and ``ConfigurationError`` where a package for it is missing.
    """
    path = local_path(location)
    if path is not None:
        return FileStateLog(path, api=api)
    from personasync.state.shared import SharedLog  # a state in a file needs none of this

    return SharedLog(open_store(location), api=api)


def load_state(location: str | PathLike[str], *, api: str | None = None) -> State:
    """Read a state and return what is known; with ``api``, only if it belongs to it.

    A file that is not there is an empty state. Raises ``StateError``, and
    ``UsageError`` for a location that cannot be one.
    """
    return open_log(os.fspath(location), api=api).read().fold()


def begin_shared(location: str, header: Header) -> None:
    """Begin a shared state where none is.

    Raises ``StateError`` where one is, or where none can be kept.
    """
    from personasync.state.locations import shared_location

    where = shared_location(location)
    if where.scheme == "postgresql":
        from personasync.state import postgres

        postgres.begin(where, header)
        return
    from personasync.state import segments
    from personasync.state.background import SystemClock
    from personasync.state.objects import open_bucket

    segments.begin(open_bucket(where), SystemClock(), where.text, header)


def open_store(location: str) -> Store:
    """Return the store of a shared state; nothing is touched yet."""
    from personasync.state.background import SystemClock, beating
    from personasync.state.hold import RENEW_SECONDS
    from personasync.state.holder import this_holder
    from personasync.state.locations import shared_location

    where = shared_location(location)
    beside = partial(beating, every=RENEW_SECONDS)
    if where.scheme == "postgresql":
        from personasync.state.postgres import PostgresLog
        from personasync.state.postgres_connection import Database

        return PostgresLog(
            where, Database(where), SystemClock(), holder=this_holder, beating=beside
        )
    from personasync.state.objects import open_bucket
    from personasync.state.segments import SegmentLog

    bucket = open_bucket(where)
    return SegmentLog(bucket, SystemClock(), where.text, holder=this_holder, beating=beside)


def local_path(location: str) -> Path | None:
    """Return the file that a location names; ``None`` for the URL of a shared state.

    Raises ``UsageError`` for what looks like a URL and is not one of a shared
    state, which must not become a file of that name, and for a path that names
    no file.
    """
    if _URL.match(location):
        from personasync.state.locations import shared_location

        shared_location(location)
        return None
    path = Path(location)
    if not path.name:
        raise UsageError(f"the state's place {location!r} names no file", hint="name a file")
    return path
