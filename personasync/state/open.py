"""The one place that knows what a state's location is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from personasync.model.errors import UsageError
from personasync.state.file import FileStateLog
from personasync.state.log import StateLog

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
"""A scheme of two letters or more: a path of Windows begins with one."""

SCHEMES: Final = ("s3", "gs", "az", "postgresql")


def open_log(location: str, *, api: str | None) -> StateLog:
    """Return the log that is kept at a location: a path, or the URL of a shared state.

    ``api`` is the base in use: a state that belongs to another is refused.
    With ``api=None`` any state can be read and appended to, but none begun.
    Nothing is touched yet. Raises ``UsageError`` for a location that cannot be one.
    """
    path = local_path(location)
    if path is not None:
        return FileStateLog(path, api=api)
    raise UsageError(f"{location} is no place for a state", hint="name a file")


def local_path(location: str) -> Path | None:
    """Return the file that a location names; ``None`` for the URL of a shared state.

    Raises ``UsageError`` for a URL of a scheme that is not known, which must
    not become a file of that name, and for a path that names no file.
    """
    url = _URL.match(location)
    if url is None:
        path = Path(location)
        if not path.name:
            raise UsageError(f"{location!r} names no file", hint="name a file")
        return path
    if url[1] in SCHEMES:
        return None
    raise UsageError(
        f"a state cannot be kept at {location}: {url[1]}: is not known",
        hint=f"name a file, or a URL of {', '.join(SCHEMES)}",
    )
