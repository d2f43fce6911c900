"""A run of the command that something happens to, and the promise checked afterwards.

The sandbox serves in the test's own process and keeps its books; the command
runs in another, under strace where a system call is to be hit.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personasync.sandbox import SandboxConfig
from personasync.state import FileStateLog, State, Status
from tests.helpers.sandbox import Sandbox
from tests.helpers.support import Tool

AUDIOS = 3
STRACE = shutil.which("strace")
WATCHED = (
    "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,ftruncate,"
    "truncate,sendto,sendmsg,recvfrom,recvmsg"
)
_CALL = re.compile(r"^(\d+)\s+(\w+)\((.*)$")
_ID = re.compile(r"\b[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Injection:
    """What strace does to the ``when``-th call of ``call`` by any one thread.

    ``what`` is strace's own expression, such as ``signal=KILL`` or
    ``error=ENOSPC``; ``path`` narrows it to calls about one file.
    """

    call: str
    what: str
    when: str
    path: str | None = None

    def arguments(self, folder: Path) -> list[str]:
        narrowed = ["-P", str(folder / self.path)] if self.path else []
        return [
            *narrowed,
            "-e",
            f"trace={self.call}",
            "-e",
            f"inject={self.call}:{self.what}:when={self.when}",
        ]

    def __str__(self) -> str:
        return f"{self.call}@{self.path or 'any'}#{self.when}:{self.what}"


class Rehearsal:
    """A folder with a manifest, a state and a sandbox that the command talks to."""

    def __init__(self, folder: Path, audios: int = AUDIOS, **config: Any) -> None:
        self.tool = Tool(folder)
        self.tool.manifest(audios)
        self.audios = audios
        self.state_path = folder / "personas.state.jsonl"
        self.books = folder / "books.db"
        self.sandbox = self._serve(port=0, **config)
        self.port = self.sandbox.port
        self.printed: set[str] = set()

    def _serve(self, **config: Any) -> Sandbox:
        sandbox = Sandbox(SandboxConfig(**{"books": self.books, **config}))
        sandbox.start()
        return sandbox

    def become(self, **config: Any) -> None:
        """Serve the same books on the same port in another way."""
        self.sandbox.close()
        self.sandbox = self._serve(port=self.port, **config)

    def close(self) -> None:
        self.sandbox.close()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PERSONASYNC_BASE_URL": self.sandbox.base_url,
            "PERSONASYNC_API_KEY": "any",
        }

    def run(
        self,
        *args: str,
        strace: Sequence[str] = (),
        kill_after: float | None = None,
        timeout: float = 60,
    ) -> int:
        """Run ``apply``, and remember every ID that it printed."""
        tracer = [str(STRACE), "-f", "-qq", "-o", str(self.tool.folder / "trace.txt"), *strace]
        command = [
            *(tracer if strace else []),
            sys.executable,
            "-m",
            "personasync",
            "apply",
            "--auto-approve",
            "--rate-limit=none",
            *args,
        ]
        process = subprocess.Popen(
            command,
            cwd=self.tool.folder,
            env={**self.tool.environment, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            stdout, stderr = process.communicate(timeout=kill_after or timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            stdout, stderr = process.communicate()
            if kill_after is None:
                raise
        said = stdout.decode() + stderr.decode()
        assert "Traceback" not in said, said
        self.printed |= set(_ID.findall(said))
        self.said = said
        return process.returncode

    def calls(self, *args: str) -> Counter[tuple[str, str]]:
        """Run ``apply`` untouched and count the calls of each thread, by thread and name."""
        code = self.run(*args, strace=["-e", f"trace={WATCHED}"])
        assert code == 0, self.said
        found: Counter[tuple[str, str]] = Counter()
        for line in (self.tool.folder / "trace.txt").read_text().splitlines():
            match = _CALL.match(line)
            if match is not None:
                found[match[1], match[2]] += 1
        return found

    def state(self) -> State:
        """Return what the command would know now, rescue files included."""
        return FileStateLog(self.state_path, api=self.sandbox.base_url).read().fold()

    def made(self) -> dict[str, str]:
        """Return the sandbox's own books: the ID of every audio."""
        return {audio: persona.persona_id for audio, persona in self.sandbox.personas().items()}

    def recorded(self) -> dict[str, str]:
        entries = self.state().entries.values()
        return {e.audio_id: e.persona_id or "" for e in entries if e.status is Status.CREATED}

    def conflicts(self) -> set[str]:
        entries = self.state().entries.values()
        return {entry.audio_id for entry in entries if entry.status is Status.CONFLICT}

    # The promise.

    def check_nothing_is_lost(self) -> None:
        """Each persona that was made is recorded with its ID, or known to be in doubt."""
        entries = self.state().entries
        for audio, persona_id in self.made().items():
            entry = entries.get(audio)
            assert entry is not None, f"{audio} was made and is absent"
            if entry.status is Status.CREATED:
                assert entry.persona_id == persona_id
            else:
                assert entry.status in (Status.PENDING, Status.CONFLICT), entry
        known = {entry.persona_id for entry in entries.values()}
        for entry in entries.values():  # an answer that broke off may show its ID
            known.update(entry.answer.shown_ids if entry.answer else ())
        assert self.printed <= known, "an ID was printed that is recorded nowhere"

    def check_rerun_with_the_same_ids(self) -> None:
        """A rerun, with an API that repeats its IDs, ends with exactly the sandbox's IDs."""
        recorded = self.recorded()
        self.become(repeat="same-id")
        assert self.run() == 0, self.said
        assert self.recorded() == self.made()
        assert len(self.made()) == self.audios
        self._check_not_asked_again(recorded)

    def check_rerun_with_conflicts(self, at_most: int) -> None:
        """A rerun, with an API that answers 409, conflicts only for what was in flight."""
        recorded = self.recorded()
        self.become(repeat="conflict")
        code = self.run()
        conflicts = self.conflicts()
        assert code == (3 if conflicts else 0), self.said
        assert len(conflicts) <= at_most
        assert all(self.state().entries[audio].after_pending for audio in conflicts)
        assert set(self.recorded()) == set(self.made()) - conflicts
        self._check_not_asked_again(recorded)
        self.check_nothing_is_lost()

    def _check_not_asked_again(self, recorded: dict[str, str]) -> None:
        asked = self.sandbox.statistics().audios
        again = set(asked) & set(recorded)
        assert not again, f"asked again although recorded: {again}"


def points(counts: Counter[tuple[str, str]]) -> Iterator[tuple[str, int]]:
    """Yield each call name with each ordinal that some thread reaches."""
    most: dict[str, int] = {}
    for (_thread, call), count in counts.items():
        most[call] = max(most.get(call, 0), count)
    for call in sorted(most):
        for when in range(1, most[call] + 1):
            yield call, when
