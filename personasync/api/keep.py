"""What of an answer is kept with an entry: 4 KiB of it, in a form that a state can hold."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Final

from personasync.api.wire import Parts
from personasync.model.answer import KEPT_BYTES, KeptAnswer
from personasync.model.finding import FoundIds, views

_BINARY_BYTES: Final = KEPT_BYTES * 3 // 4  # base64 makes four characters of three bytes
_NO_TEXT: Final = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f]")
_HEADER_LIMIT: Final = 200
_TELLING: Final = re.compile(
    "cf-ray|content-(?:encoding|length|type)|date|location|retry-after|server|transfer-encoding"
    "|via|x-(?:amzn-)?request-?id|x-trace-id",
    re.IGNORECASE,
)
_NAMES_AN_ID: Final = re.compile(r"persona[ _-]?id", re.IGNORECASE)


def keep(
    received: bytes, parts: Parts, text: bytes, found: FoundIds, redact: Callable[[str], str]
) -> KeptAnswer | None:
    """Return what is kept of an answer, or ``None`` where nothing came but a head.

    ``text`` is its body, unpacked if that went well, and ``found`` the IDs in
    it; what ``redact`` takes out of a text is never kept.
    """
    shown = found.whole[0] if found.whole else found.cut
    data = _best(received, parts, text, shown)
    if not data:
        return None
    body = _as_text(data)
    if body is None and _gives_away(data, redact):
        body = _as_readable(data, shown)
    if body is None:
        kept, is_base64 = base64.b64encode(data[:_BINARY_BYTES]).decode(), True
    else:
        kept, is_base64 = _window(redact(body), shown), False
    return KeptAnswer(
        kept,
        status=parts.head.status if parts.head else None,
        headers=_telling(parts, redact),
        is_base64=is_base64,
        persona_ids=found.whole,
        cut_id=found.cut,
    )


def _best(received: bytes, parts: Parts, text: bytes, shown: str | None) -> bytes:
    """Choose the look at an answer that shows the ID, the plainest first."""
    looks = [text, parts.rest, *([] if parts.head else [received])]
    if shown is None:
        return next(filter(None, looks), b"")
    sought = shown.encode()
    for look in (*looks, received):
        if sought in look:
            return look
    short = next(filter(None, looks), b"")
    if len(short) <= _BINARY_BYTES:
        return short
    return next((view for view in views(received) if sought in view), short)


def _as_text(data: bytes) -> str | None:
    """Return bytes as the text that they are, half a character at the end left out, or ``None``."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if len(data) - error.start > 3 or error.reason != "unexpected end of data":
            return None
        text = data[: error.start].decode()
    return None if _NO_TEXT.search(text) else text


def _gives_away(data: bytes, redact: Callable[[str], str]) -> bool:
    texts = (view.decode("latin-1") for view in views(data))
    return any(redact(text) != text for text in texts)


def _as_readable(data: bytes, shown: str | None) -> str:
    """Return the last look at packed bytes: what is to be taken out of it can be found there."""
    *_, view = [view for view in views(data) if shown is None or shown.encode() in view] or [b""]
    return view.decode("utf-8", "replace")


def _window(text: str, shown: str | None) -> str:
    """Return 4 KiB of a text: its beginning, or what is around the ID that it shows."""
    data = text.encode("utf-8", "replace")
    at = data.find(shown.encode()) if shown else -1
    start = 0 if at + len(shown or "") <= KEPT_BYTES else at - KEPT_BYTES // 2
    part = data[start : start + KEPT_BYTES]
    while start and part[:1] and 0x80 <= part[0] < 0xC0:  # the rest of a character that was cut
        part = part[1:]
    return part.decode("utf-8", "ignore")


def _telling(parts: Parts, redact: Callable[[str], str]) -> tuple[tuple[str, str], ...]:
    if parts.head is None:
        return ()
    return tuple(
        (redact(name)[:_HEADER_LIMIT], redact(value)[:_HEADER_LIMIT])
        for name, value in parts.head.headers
        if _TELLING.fullmatch(name) or _NAMES_AN_ID.search(name + value)
    )[:20]
