#!/usr/bin/env python3
"""Prints, as constraints for pip, the oldest versions that pyproject.toml allows at run time."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
FOR_DEVELOPMENT = {"test", "lint"}
"""Extras whose newest versions are used, whatever those of the package are."""


def requirements() -> Iterator[str]:
    """Yield every requirement of the package, those of its extras included."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    yield from project["dependencies"]
    for extra, needed in project["optional-dependencies"].items():
        if extra not in FOR_DEVELOPMENT:
            yield from needed


def main() -> int:
    """Print one constraint a requirement; fail where one has no lower bound."""
    for requirement in requirements():
        found = re.fullmatch(r"([\w.-]+)(?:\[[\w,.-]+\])?>=([\w.]+)(?:,<[\w.]+)?", requirement)
        if found is None:
            sys.stderr.write(f"pyproject.toml: {requirement} has no lower bound to test\n")
            return 1
        sys.stdout.write(f"{found[1]}=={found[2]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
