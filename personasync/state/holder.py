"""This process, as those see it who wait for a state that it holds."""

from __future__ import annotations

import os
import socket
import sys

from personasync.model.clock import utc_now
from personasync.state.log import Holder


def this_holder() -> Holder:
    """Return who runs what on which machine, and since when."""
    return Holder(
        user=_user(),
        host=socket.gethostname(),
        pid=os.getpid(),
        command=" ".join(["personasync", *sys.argv[1:]])[:200],
        since=utc_now(),
    )


def _user() -> str:
    for name in ("USER", "LOGNAME", "USERNAME"):
        if os.environ.get(name):
            return os.environ[name]
    return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
