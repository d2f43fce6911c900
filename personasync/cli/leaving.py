"""How the process ends."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """Exit at once: everything is written and closed, or must not be touched any more.

    Only memory is left to tidy. That takes a fifth of a short run, and would
    wait on a thread that was left behind in the middle of a request or an
    append, or close the state under it.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # none, full or closed
            stream.flush()
    os._exit(code)
