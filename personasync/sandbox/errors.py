"""What can keep a sandbox from working."""

from __future__ import annotations

from personasync.model.errors import PersonasyncError


class SandboxError(PersonasyncError):
    """The sandbox cannot listen, or its books cannot be used."""
