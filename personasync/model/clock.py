"""The time as it is written down, and the names of runs."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime


def utc_now() -> str:
    """Return the time as entries and events give it (UTC, RFC 3339, whole seconds)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_run() -> str:
    """Return a name for a run that no other has."""
    return uuid.uuid4().hex[:12]
