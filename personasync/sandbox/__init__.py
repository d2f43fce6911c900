"""The embedded stand-in for the API, for trying and rehearsing; never the default.

A real HTTP/1.1 server on loopback that keeps the API's contract: the call that
makes a persona, the two that look up a task and the credits left, and 404 for
the rest. It remembers in its *books* what it made, so it answers as the API
would across runs. It knows the tasks of a manifest, or those that were
described to it; else every task and every audio exists. IDs that start with a
magic word have a fate of their own (``tasks.py``, ``contract.py``), and bad days
are rehearsed with faults (``faults.py``, ``effects.py``).
"""

from personasync.sandbox.books import Books, MadePersona
from personasync.sandbox.config import SandboxConfig
from personasync.sandbox.described import named_tracks, read_tasks
from personasync.sandbox.errors import SandboxError
from personasync.sandbox.exchange import Exchange
from personasync.sandbox.faults import Fault, FaultKind
from personasync.sandbox.server import Sandbox
from personasync.sandbox.tasks import Status, Task, Track

__all__ = [
    "Books",
    "Exchange",
    "Fault",
    "FaultKind",
    "MadePersona",
    "Sandbox",
    "SandboxConfig",
    "SandboxError",
    "Status",
    "Task",
    "Track",
    "named_tracks",
    "read_tasks",
]
