"""``python -m personasync``, and the entry point of the installed command."""

from __future__ import annotations

import gc
import sys
from typing import Final

_NEW_OBJECTS: Final = 100_000


def run() -> None:
    """Run the command line and exit with its code."""
    # What a command builds, it keeps: walking it often for garbage takes a tenth of a short run.
    gc.set_threshold(_NEW_OBJECTS)
    try:
        from personasync.cli.main import main
    except KeyboardInterrupt:  # Ctrl-C while Python was still loading the command
        sys.exit(130)
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
