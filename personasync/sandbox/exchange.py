"""What comes in, what is decided about it, and what goes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from personasync.sandbox.faults import Fault


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API says: the envelope of all its answers, and ``Retry-After`` in seconds."""

    code: int
    msg: str
    data: Mapping[str, object] | int | None = None
    retry_after: int | None = None

    def body(self) -> bytes:
        """Return the JSON that is sent."""
        return json.dumps({"code": self.code, "msg": self.msg, "data": self.data}).encode()


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it arrived.

    ``target`` is the path with its query, as sent; header names are in lower
    case. ``body`` is the refusal instead, when HTTP itself forbids to read it.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | Answer


@dataclass(frozen=True, slots=True)
class Reply:
    """What was decided: the answer, which audio it is about, and the fault that strikes it.

    ``answer`` is ``None`` when the fault leaves nothing to answer; ``made`` says
    whether a persona was newly made.
    """

    answer: Answer | None
    audio_id: str | None = None
    fault: Fault | None = None
    made: bool = False


@dataclass(frozen=True, slots=True)
class Wire:
    """One HTTP response as it is sent.

    ``code`` is the one that its body carries, if any. ``cut`` is how many bytes
    of the body leave before the connection is closed; ``drip`` sends them one
    by one.
    """

    status: int
    code: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    drip: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what became of it, for a line in a log.

    ``status`` is ``None`` when the connection was reset instead, ``code`` when
    the answer carried none. ``path`` and ``audio_id`` come from the client and
    may hold anything, control characters too.
    """

    method: str
    path: str
    status: int | None
    code: int | None
    audio_id: str | None
    fault: str | None
