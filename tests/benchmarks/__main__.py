"""``python -m tests.benchmarks [--quick]``: prints one table, personasync beside its peers.

Every figure of a row comes from this run, on this machine: whole processes, in
turn (A B A B …), the median of several. What waits for nothing is measured in
processor time, which other work on the machine stretches least; an apply, which
waits for answers and disks, by the clock. Nothing fails on a time.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.measure import CommandFailed
from tests.benchmarks.peers import Bench, prepare
from tests.benchmarks.rows import SECTIONS, Row, Sizes, Workbench

FULL = Sizes(
    rounds=5, quick_rounds=15, large_rounds=3, scale=(50, 1_000, 10_000, 100_000), creates=600,
    shared=600, paced=60, period=10.0, appends=1_000,
)  # fmt: skip
QUICK = Sizes(
    rounds=1, quick_rounds=5, large_rounds=1, scale=(50, 1_000, 10_000), creates=200,
    shared=600, paced=60, period=5.0, appends=300,
)  # fmt: skip

_HEADER = ("", "personasync", "beside", "", "ratio", "budget", "")


def main() -> int:
    """Measure everything and print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, as in CI")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=tuple(SECTIONS))
    given = parser.parse_args()
    bench = prepare()
    conditions = _conditions(bench, given.quick)
    _say(conditions)
    sizes = QUICK if given.quick else FULL
    with tempfile.TemporaryDirectory(prefix="personasync-benchmark-") as folder:
        workbench = Workbench(bench, Path(folder))
        rows = [row for name in given.only for row in _told(SECTIONS[name](workbench, sizes))]
    sys.stdout.write(f"\n{conditions}\n\n{_table(rows)}")
    return 0


def _told(rows: Iterator[Row]) -> Iterator[Row]:
    """Show each row on stderr as it comes in: a full run takes some minutes."""
    try:
        for row in rows:
            _say(f"  {row.what}: {row.ours} {row.ratio}")
            yield row
    except CommandFailed as error:  # the other parts of the table can still be had
        _say(f"  failed: {error}")
        yield Row(f"failed: {str(error)[:60]}", "")


def _conditions(bench: Bench, quick: bool) -> str:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    peer = f"octoDNS {bench.octodns_version}" if bench.octodns else f"no octoDNS: {bench.why}"
    return (
        f"{'quick run' if quick else 'full run'}, Python {platform.python_version()},"
        f" {platform.system()}, {os.cpu_count()} processors, load {load:.1f}; {peer}"
    )


def _table(rows: list[Row]) -> str:
    """Return the table as Markdown, which is as readable as plain text."""
    cells = [_HEADER, *(row.cells() for row in rows)]
    widths = [max(len(each[column]) for each in cells) for column in range(len(_HEADER))]
    lines = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True))
        + " |"
        for each in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
