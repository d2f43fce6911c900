"""``python -m personasync``, and the entry point of the installed command."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the command line and exit with its code."""
    from personasync.cli.main import main

    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
