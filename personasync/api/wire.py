"""HTTP/1 as it arrives: where an answer ends, and what its parts are. Pure.

Python's own reader gives up on a hundred headers, a long one, two lengths, a
version it does not know, and then nothing of the answer is left. An ID may be
in it, so these bytes are taken apart here, as far as they go.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

TOO_LONG: Final = "the answer is longer than 1 MiB"
"""Why no more of an answer was read, or unpacked."""

_STATUS_LINE: Final = re.compile(rb"\s*HTTP/[0-9]+(?:\.[0-9]+)?[ \t]+([0-9]{3})(?![0-9])[^\r\n]*")
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_NO_CHUNK_SIZE: Final = re.compile(rb"[^0-9a-fA-F]|[^\n]{0,1000}\n|[^\n]{1000}")
_LENGTH: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_SWITCHING_PROTOCOLS: Final = 101
_WITHOUT_BODY: Final = frozenset({101, 204, 304})
_JSON_LIMIT: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Head:
    """The status and the headers of an answer; ``end`` is where its body begins."""

    status: int
    headers: tuple[tuple[str, str], ...]
    end: int

    def get(self, name: str) -> str | None:
        """Return the value of the first header of a name, in lower case."""
        return next((value for known, value in self.headers if known.lower() == name), None)

    def get_all(self, name: str) -> list[str]:
        """Return the values of every header of a name, in lower case."""
        return [value for known, value in self.headers if known.lower() == name]


@dataclass(frozen=True, slots=True)
class Parts:
    """An answer taken apart.

    ``head`` is ``None`` where none could be read. ``body`` is what the framing
    makes of ``rest``, which is all that came behind the head. ``whole`` tells
    that the answer is all there (as far as one can know, where only the end of
    the connection ends it), ``sound`` that it is framed as HTTP asks.
    """

    head: Head | None
    body: bytes
    rest: bytes
    whole: bool
    sound: bool


class Mode(StrEnum):
    """What ends an answer's body."""

    UNKNOWN = "its head is not here yet"
    EMPTY = "it has none"
    LENGTH = "its length"
    CHUNKED = "its last chunk"
    CLOSE = "the end of the connection"
    BROKEN = "the end of the connection, since its framing makes no sense"


class Framing:
    """Tells when an answer has arrived whole, as more and more of it does.

    Interim answers are taken out of what was received: any number of them may
    come before the one that counts (RFC 9110, 15.2).
    """

    def __init__(self) -> None:
        self.head: Head | None = None
        self.mode = Mode.UNKNOWN
        self._at = 0  # where the next chunk begins

    def is_whole(self, received: bytearray) -> bool:
        """Whether nothing more is to come; ``received`` is all that came so far."""
        while self.mode is Mode.UNKNOWN:
            head = read_head(received)
            if head is None:
                if _may_become_head(received):
                    return False
                self.mode = Mode.BROKEN
            elif _is_interim(head):
                del received[: head.end]
            else:
                self.head, self._at, self.mode = head, head.end, _mode(head)
        match self.mode:
            case Mode.EMPTY:
                return True
            case Mode.LENGTH if self.head:
                return len(received) >= self.head.end + _length(self.head)
            case Mode.CHUNKED:
                return self._last_chunk(received)
        return _is_object_alone(received, self.head.end if self.head else 0)

    def _last_chunk(self, received: bytearray) -> bool:
        while size := _CHUNK_SIZE.match(received, self._at):
            length = int(size[1], 16)
            if length == 0:
                ends = (received.find(end, size.end() - 1) for end in (b"\n\r\n", b"\n\n"))
                return any(end >= 0 for end in ends)
            end = size.end() + length
            if len(received) < end + 2:
                return False
            if received[end : end + 2] != b"\r\n":
                break
            self._at = end + 2
        if _NO_CHUNK_SIZE.match(received, self._at) is None:
            return False
        self.mode = Mode.BROKEN  # "chunked" on a plain body, say
        return self.is_whole(received)


def take_apart(received: bytes) -> Parts:
    """Take apart what arrived of an answer."""
    data, framing = bytearray(received), Framing()
    whole = framing.is_whole(data)
    data_bytes = bytes(data)
    head = framing.head or read_head(data_bytes + b"\r\n\r\n")
    if head and _is_interim(head):  # cut off before the answer that counts
        return Parts(None, b"", b"", whole=False, sound=True)
    rest = data_bytes[head.end :] if head else data_bytes
    if b"HTTP/1.1 100"[: len(rest)] == rest:  # not even a status came
        rest = b""
    match framing.mode:
        case Mode.LENGTH if head:
            body = rest[: _length(head)]
        case Mode.CHUNKED:
            body = unchunked(rest)
        case Mode.EMPTY:
            body = b""
        case Mode.CLOSE:
            body, whole = rest, True
        case Mode.BROKEN:
            return Parts(head, rest, rest, whole=whole, sound=False)
        case _:
            body = rest
    return Parts(head, body, rest, whole, sound=True)


def unchunked(data: bytes) -> bytes:
    """Return a chunked body without its framing, as far as it came and makes sense."""
    chunks, at = [], 0
    while (size := _CHUNK_SIZE.match(data, at)) and int(size[1], 16):
        end = size.end() + int(size[1], 16)
        chunks.append(data[size.end() : end])
        at = end + 2
    return b"".join(chunks)


def read_head(received: bytes | bytearray) -> Head | None:
    """Return the head that bytes begin with, or ``None`` while there is no whole one."""
    line = _STATUS_LINE.match(received)
    end = line and _HEAD_END.search(received, line.end())
    if line is None or end is None:
        return None
    lines = bytes(received[line.end() : end.start()]).decode("latin-1").split("\n")
    pairs = (text.partition(":") for text in lines if ":" in text)
    headers = tuple((name.strip(), value.strip()) for name, _, value in pairs)
    return Head(int(line[1]), headers, end.end())


def _may_become_head(received: bytearray) -> bool:
    """Whether more bytes could make these the head of an answer."""
    start = bytes(received[:64]).lstrip()
    if b"\n" in start:
        return _STATUS_LINE.match(start) is not None
    return start[:5] == b"HTTP/"[: len(start)]


def _is_interim(head: Head) -> bool:
    return 100 <= head.status < 200 and head.status != _SWITCHING_PROTOCOLS


def _mode(head: Head) -> Mode:
    if head.status in _WITHOUT_BODY:
        return Mode.EMPTY
    codings = ",".join(head.get_all("transfer-encoding")).lower()
    if codings.rpartition(",")[2].strip() == "chunked":
        return Mode.CHUNKED
    lengths = set(head.get_all("content-length"))
    if codings or not lengths:
        return Mode.CLOSE
    plain = len(lengths) == 1 and _LENGTH.fullmatch(next(iter(lengths)))
    return Mode.LENGTH if plain else Mode.BROKEN


def _length(head: Head) -> int:
    return int(head.get("content-length") or 0)


def _is_object_alone(received: bytearray, at: int) -> bool:
    """Whether a body without an end of its own is a whole JSON object: then no more is awaited."""
    if len(received) > _JSON_LIMIT or not received.rstrip().endswith(b"}"):
        return False
    return holds_object(bytes(received[at:]))


def holds_object(body: bytes) -> bool:
    """Whether a body is a JSON object, and nothing else."""
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False
