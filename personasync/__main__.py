"""``python -m personasync``, and the entry point of the installed command."""

from __future__ import annotations

import _thread
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from personasync.cli.leaving import leave

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_NEW_OBJECTS: Final = 100_000


def run() -> NoReturn:
    """Run the command line and exit with its code."""
    # What a command builds, it keeps: walking it often for garbage takes a tenth of a short run.
    gc.set_threshold(_NEW_OBJECTS)
    sys.unraisablehook = _interrupt_again
    try:
        from personasync.cli.main import main

        code = main(sys.argv[1:])
    except KeyboardInterrupt:  # before the command had begun to deal with it, or had just done so
        code = 130
    leave(code)


def _interrupt_again(swallowed: UnraisableHookArgs) -> None:
    """Repeat a signal whose exception Python could not raise, in a destructor or a callback.

    Python would say so and go on, as if nobody had pressed Ctrl-C.
    """
    if issubclass(swallowed.exc_type, Exception):
        sys.__unraisablehook__(swallowed)
        return
    number = getattr(swallowed.exc_type, "number", signal.SIGINT)
    _thread.start_new_thread(os.kill, (os.getpid(), number))  # once this hook has returned


if __name__ == "__main__":
    run()
