"""Measured inside one process, since no command does just this: python inside.py WHAT ARGS."""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from personasync.state.entry import Entry, Status


def shape(manifest: str) -> list[float]:
    """Return the seconds to parse a manifest and those to hold it against its schema."""
    from personasync.manifest.reader import collector_paused, read_document
    from personasync.manifest.schemas import compile_schema, load_schema

    check = compile_schema(load_schema("manifest"))
    with collector_paused():
        began = time.perf_counter()
        document = read_document(manifest, Path(manifest).read_bytes())
        parsed = time.perf_counter()
        if not check(document.root):
            raise SystemExit("the manifest is not valid")
        return [parsed - began, time.perf_counter() - parsed]


def append(count: str, *states: str) -> list[float]:
    """Return, for each state, the seconds that nine of ten appends to it take longer than.

    The disk is everybody's; what others do there must not count.
    """
    from personasync.state import FileStateLog

    entry = Entry("new-audio", "new", Status.PENDING)
    logs = [FileStateLog(Path(state), api="https://apibox.erweima.ai") for state in states]
    times: list[list[float]] = [[] for _ in logs]
    with ExitStack() as held:
        for log in logs:
            held.enter_context(log.lock())
            log.append([entry])
        for _ in range(int(count)):
            for log, own in zip(logs, times, strict=True):
                began = time.perf_counter()
                log.append([entry])
                own.append(time.perf_counter() - began)
    return [sorted(own)[len(own) // 10] for own in times]


def syncs(*args: str) -> list[float]:
    """Run a command and return how many times it synced a file; its exit code must be 0."""
    from personasync.cli.main import main

    counted = 0
    fsync = os.fsync

    def count(descriptor: int) -> None:
        nonlocal counted
        counted += 1
        fsync(descriptor)

    os.fsync = count  # type: ignore[assignment]  # the tool syncs descriptors only
    if main(args):
        raise SystemExit("the command failed")
    return [counted]


if __name__ == "__main__":
    measures: dict[str, Callable[..., list[float]]] = {
        "shape": shape,
        "append": append,
        "syncs": syncs,
    }
    figures = measures[sys.argv[1]](*sys.argv[2:])
    sys.stdout.write(f"\n{json.dumps(figures)}\n")
