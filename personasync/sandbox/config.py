"""How a sandbox behaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from personasync.model.units import Rate
from personasync.sandbox.faults import Fault
from personasync.sandbox.tasks import Task, Track


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """How a sandbox behaves; the defaults are those of a good day.

    - ``port``: where it listens on 127.0.0.1; 0 takes any free port.
    - ``books``: the file that remembers what was made; ``None`` remembers in
      memory only.
    - ``api_key``: the one key that is accepted; ``None`` accepts any.
    - ``repeat``: what a second request for an audio gets. ``conflict`` is the
      contract's 409; ``conflict-with-id`` names the recorded ID in it; ``same-id``
      answers 200 with the recorded ID and overwrites name and description, as one
      sibling host was seen to do; ``new-id`` makes another persona.
    - ``credits``: what there is to spend from each start on, one a persona;
      ``None`` never runs out.
    - ``tasks``: tasks described one by one; ``tracks``: those that a manifest
      names, by ``taskId``. With neither, every task is there, and finished.
    - ``rate_limit``: personas that may be asked for in any window; more get 429.
    - ``latency``: seconds before each answer. A persona is made, and recorded,
      before the wait.
    - ``first_latency``: the same before the answer to whoever has a persona made.
    - ``faults``: what goes wrong, tried in this order for every persona asked for.
    - ``seed``: makes the faults the same for the same requests in the same order.
    - ``errors_in_body``: answer errors with HTTP status 200 and the error's code
      in the body only, as the service is known to do.
    - ``drip``: seconds between the bytes of an answer slowed by the ``slow`` fault.
    """

    port: int = 0
    books: Path | None = None
    api_key: str | None = None
    repeat: Literal["conflict", "conflict-with-id", "same-id", "new-id"] = "conflict"
    credits: int | None = None
    tasks: Mapping[str, Task] | None = None
    tracks: Mapping[str, tuple[Track, ...]] | None = None
    rate_limit: Rate | None = None
    latency: float = 0.0
    first_latency: float | None = None
    faults: tuple[Fault, ...] = ()
    seed: int | None = None
    errors_in_body: bool = False
    drip: float = 0.1
