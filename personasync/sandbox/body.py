"""The body of a request, as HTTP/1.1 lets it come: with its length, or in chunks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

from personasync.sandbox.contract import refusal
from personasync.sandbox.exchange import Answer

MAX_BODY: Final = 1 << 20
"""Bytes of a request's body that are read; a longer one gets 413."""
MAX_LINE: Final = 1 << 16

_MAX_READ: Final = 16 << 20
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_HEX: Final = re.compile(rb"[0-9a-fA-F]{1,8}")


class Stream(Protocol):
    """What a client sends."""

    def read(self, length: int, /) -> bytes:
        """Return so many bytes; fewer where the client has left."""

    def readline(self, length: int, /) -> bytes:
        """Return a line with its end, cut at so many bytes."""


def read_body(stream: Stream, headers: Mapping[str, str]) -> bytes | Answer:
    """Return the body, or how a request is refused whose body cannot be read.

    ``headers`` go by their names in small letters. Raises
    ``ConnectionAbortedError`` if the client leaves in the middle.
    """
    encoding = headers.get("transfer-encoding", "").strip().lower()
    length = headers.get("content-length", "0").strip()
    body = None
    if encoding == "chunked":
        body = _read_chunks(stream)
    elif not encoding and _LENGTH.fullmatch(length):
        body = _read(stream, int(length))
    if body is None:
        return refusal(422, "the body must come in chunks or with its Content-Length")
    if len(body) > MAX_BODY:
        return refusal(413, f"the body is longer than {MAX_BODY} bytes")
    return body


def _read(stream: Stream, length: int) -> bytes:
    """Read on beyond what is taken, so that a client that still sends sees the answer."""
    length = min(length, _MAX_READ)
    data = stream.read(length)
    if len(data) < length:
        raise ConnectionAbortedError("the client left in the middle of the body")
    return data


def _read_chunks(stream: Stream) -> bytes | None:
    """Return a body that comes in chunks; ``None`` if it does not."""
    body = b""
    while len(body) < _MAX_READ:
        size = _read_line(stream).partition(b";")[0].strip()
        if not _HEX.fullmatch(size):
            return None
        if int(size, 16) == 0:
            while _read_line(stream):
                pass  # trailers say nothing here
            return body
        body += _read(stream, int(size, 16))
        if _read_line(stream):
            return None
    return body


def _read_line(stream: Stream) -> bytes:
    line = stream.readline(MAX_LINE)
    if not line.endswith(b"\n"):
        raise ConnectionAbortedError("the client left in the middle of the body")
    return line.strip()
