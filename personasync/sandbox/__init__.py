"""The embedded stand-in for the API, for trying and rehearsing; never the default.

A real HTTP/1.1 server on loopback that keeps the API's contract: the call that
makes a persona, the two that look up a task and the credits left, and 404 for
the rest. It remembers in its *books* what it made, so it answers as the API
would across runs. What it cannot know, it takes on trust: every task and every
audio exists, except for those whose ID starts with a magic word, as payment
services have test numbers (see ``contract.py`` for the table). Bad days are
rehearsed with faults (``faults.py``).
"""

from personasync.sandbox.books import Books, MadePersona
from personasync.sandbox.config import SandboxConfig
from personasync.sandbox.errors import SandboxError
from personasync.sandbox.exchange import Exchange
from personasync.sandbox.faults import Fault, FaultKind
from personasync.sandbox.server import Sandbox

__all__ = [
    "Books",
    "Exchange",
    "Fault",
    "FaultKind",
    "MadePersona",
    "Sandbox",
    "SandboxConfig",
    "SandboxError",
]
