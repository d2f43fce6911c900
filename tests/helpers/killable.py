"""Runs the command in forked processes, and kills them where it is told to.

One process loads the command once and forks for each run. So a run takes
milliseconds, and yet its kill is a real one: SIGKILL, between two given calls
of the system, with nothing flushed and nothing said.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.helpers.support import Ended

_FILE_CALLS: Final = ("write", "fsync", "replace", "rename", "ftruncate", "unlink")
_SOCKET_CALLS: Final = ("sendall", "recv_into")


@dataclass(frozen=True)
class Kill:
    """Kill in place of the ``when``-th call, from 1, that writes, syncs, renames or sends.

    ``call`` narrows it to one kind of call; ``torn`` first makes half of a write.
    """

    when: int
    call: str | None = None
    torn: bool = False


class Runner:
    """Runs the command in any folder."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.killable"],
            cwd=Path(__file__).parents[2],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self, folder: Path, *args: str, env: Mapping[str, str], kill: Kill | None = None
    ) -> Ended:
        """Run the command to its end, or to its kill: then the code is -9."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        trap = asdict(kill) if kill else None
        order = {"folder": str(folder), "args": args, "env": dict(env), "kill": trap}
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        ended = Ended(**json.loads(self._server.stdout.readline()))
        assert "Traceback" not in ended.stderr, ended.stderr
        assert "in a way that it should not" not in ended.stderr, ended.stderr
        return ended

    def close(self) -> None:
        """End the process that forks."""
        self._server.communicate("", timeout=60)


def _serve() -> None:
    import personasync.api.client
    import personasync.cli.commands.apply
    import personasync.cli.commands.import_
    import personasync.cli.commands.output
    import personasync.cli.commands.plan
    import personasync.cli.commands.state
    import personasync.manifest.load  # noqa: F401 - all that a run loads is loaded once

    for line in sys.stdin:
        order = json.loads(line)
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            child = os.fork()
            if child == 0:
                _become(order, stdout.fileno(), stderr.fileno())
            status = os.waitpid(child, 0)[1]
            said = []
            for file in (stdout, stderr):
                file.seek(0)
                said.append(file.read().decode())
        ended = Ended(os.waitstatus_to_exitcode(status), *said)
        sys.stdout.write(json.dumps(asdict(ended)) + "\n")
        sys.stdout.flush()


def _become(order: Mapping[str, Any], stdout: int, stderr: int) -> None:
    """Turn the forked process into a run of the command; never returns."""
    code = 70
    try:
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.chdir(order["folder"])
        os.environ.update(order["env"])
        if order["kill"] is not None:
            _lay_trap(Kill(**order["kill"]))
        from personasync.cli.main import main

        code = main(order["args"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _lay_trap(kill: Kill) -> None:
    calls = 0
    guard = threading.Lock()

    def set_trap(where: Any, name: str) -> None:
        call = getattr(where, name)

        def trapped(*args: Any, **options: Any) -> Any:
            nonlocal calls
            with guard:
                calls += 1
                if calls == kill.when:
                    if kill.torn and name == "write":
                        descriptor, data = args
                        call(descriptor, data[: len(data) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)

        if kill.call in (None, name):
            setattr(where, name, trapped)

    for name in _FILE_CALLS:
        set_trap(os, name)
    for name in _SOCKET_CALLS:
        set_trap(socket.socket, name)


if __name__ == "__main__":
    _serve()
