"""Finds persona IDs in bytes that could not be read as an answer.

What arrives can be cut, wrapped in a page, compressed without a word or with a
false one, in UTF-16, or with the framing of its chunks left in. It is searched
for the API's name of an ID in every way in which such bytes can be looked at.
A bare ``id`` is never taken: it may be a task's.
"""

from __future__ import annotations

import binascii
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from personasync.model.contract import LONGEST_ID, is_persona_id, is_placeholder

SEARCHED_BYTES: Final = 1 << 20
"""Bytes that are searched, and the most that compressed ones are spread out to."""

_NAME: Final = rb"(?:(?<![a-z0-9])|existing[_-]?|new[_-]?)persona[ _-]?ids?"
_IN_JSON: Final = re.compile(
    _NAME
    + rb"""
    \\*["']?\s*(?::|=>?)\s*\[?\s*                 # nested JSON escapes its quotes, once or twice
    (?: (?P<quote>\\*["']) (?P<text>.{0,1000}?) (?:(?P<end>(?P=quote))|\Z)
      | (?P<number>[0-9]{1,256}) (?:(?P<more>(?=[\s,}\]&;]))|\Z) )
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_TAGS: Final = rb"(?:</?(?:b|code|dd|dt|em|li|p|span|strong|td|th|tr)\b[^<>]{0,80}>[\s:]*){1,4}"
_IN_MARKUP: Final = re.compile(
    _NAME
    + rb"(?:(?:\s[^<>]{0,200})?>\s*(?:<!\[CDATA\[\s*)?|\s*:?\s*"
    + _TAGS
    + rb")(?P<text>[^<>\]]{1,600})(?:(?P<end>[<\]])|\Z)",
    re.IGNORECASE,
)
_IN_WORDS: Final = re.compile(
    _NAME
    + rb"""
    (?: [ \t]*(?:(?P<named>=)|:|=>|->)[ \t]* | [ \t]+(?:is[ \t]+)? )
    (?P<text>[!#-%(-~]{1,600}) (?:(?P<end>["'&\s])|\Z)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WORD_END: Final = re.compile(r"[,;&)\]}<>].*|[.:]\Z", re.DOTALL)
"""What follows an ID in a sentence, a query or a cookie, and is none of it."""

_HAS_DIGIT: Final = re.compile("[0-9]")
_SHORTEST_WORD: Final = 8
_AROUND: Final = "\0\u00ad\u200b\u200c\u200d\u2060\ufeff"
"""Characters that nobody sees, and that come with a text that was copied."""

_CHUNK_SIZE: Final = re.compile(rb"\s*([0-9a-f]{1,8})[ \t]*(?:;[^\r\n]{0,200})?\r?\n", re.I)
_FORMS: Final = (_IN_JSON, _IN_MARKUP, _IN_WORDS)
_PERCENTS: Final = re.compile(rb"%(?:22|2[fF]|3[dDaA]|7[bB])")
_BASE64: Final = re.compile(rb"eyJ[A-Za-z0-9+/_-]{20,}={0,2}")
"""What JSON's objects become in base64."""

_GZIP_MAGIC: Final = b"\x1f\x8b\x08"
_RAW_DEFLATE: Final = -15


@dataclass(frozen=True, slots=True)
class FoundIds:
    """The IDs that some bytes show: ``whole`` ones, each once in the order they stand.

    ``cut`` is the beginning of one whose end is missing; it may be all of it.
    """

    whole: tuple[str, ...] = ()
    cut: str | None = None


def find_ids(data: bytes, *others: str) -> FoundIds:
    """Return the IDs of personas that bytes show, however they are wrapped.

    ``others`` are IDs of other things, such as the audio's own, which are no
    persona's. Never raises, and takes time and memory linear in the input.
    """
    whole: dict[str, None] = {}
    cut: list[str] = []
    data = data[:SEARCHED_BYTES]
    for view in (*views(data), *views(_behind_head(data))):
        for match in (found for form in _FORMS for found in form.finditer(view)):
            persona_id, complete = _read(match)
            if not is_persona_id(persona_id) or is_placeholder(persona_id, *others):
                continue
            if complete:
                whole[persona_id] = None
            else:
                cut.append(persona_id)
    parts = [part for part in cut if not any(known.startswith(part) for known in whole)]
    return FoundIds(tuple(whole), max(parts, key=len, default=None))


def views(data: bytes) -> Iterator[bytes]:
    """Yield what bytes may mean: themselves, unpacked, unframed, without the zeros of UTF-16."""
    seen: set[bytes] = set()
    waiting = [data]
    while waiting and len(seen) < 12:  # wrapped more often than that, it is meant to cost time
        view = waiting.pop(0)
        if not view or view in seen:
            continue
        seen.add(view)
        yield view
        waiting += filter(None, (look(view) for look in _LOOKS))


def unpacked(data: bytes) -> bytes:
    """Return what compressed bytes hold, as far as it can be read: gzip, zlib or bare deflate.

    A checksum that is false or missing, and an end that did not arrive, cost
    nothing of what stands before. Bytes that are not compressed give nothing.
    """
    if _GZIP_MAGIC in data:  # it may stand behind a head that could not be read
        _, *members = (_GZIP_MAGIC + part for part in data.split(_GZIP_MAGIC, 12))
        return b"".join(_inflated(part[_gzip_header(part) :], _RAW_DEFLATE) for part in members)
    if len(data) > 2 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0:
        return _inflated(data[2:], _RAW_DEFLATE)
    if data[:1].isspace() or data[:1] in b'{[<"HI':
        return b""  # what looks like text begins no deflate worth the try
    found = _inflated(data, _RAW_DEFLATE)
    return found if b"persona" in found.lower() or found[:1] in b"{[" else b""


def _read(match: re.Match[bytes]) -> tuple[str, bool]:
    groups = match.groupdict()
    if groups.get("number"):
        return groups["number"].decode(), groups["more"] is not None
    text, whole = groups["text"].decode("utf-8", "replace"), groups["end"] is not None
    quote = groups.get("quote") or b""
    for _ in range(quote.count(b"\\") + bool(quote)):
        text = _unquoted(text)
    if match.re is _IN_WORDS:
        if _PERCENTS.search(groups["text"]):
            return "", False  # another look shows it without escapes
        word = _WORD_END.sub("", text)
        text, whole = word, whole or word != text
        if not groups["named"] and not (_HAS_DIGIT.search(word) and len(word) >= _SHORTEST_WORD):
            return "", False  # a word like any other
    return text.strip().strip(_AROUND).strip()[: LONGEST_ID + 1], whole


def _unquoted(text: str) -> str:
    """Undo one layer of a JSON text's escapes; an escape that was cut off goes with what is cut."""
    for part in (text, re.sub(r"\\[^\\]{0,5}\Z", "", text)):
        try:
            value = json.loads(f'"{part}"', strict=False)
        except ValueError:
            continue
        return value if isinstance(value, str) else part
    return part


def _behind_head(data: bytes) -> bytes:
    """Return what stands behind a head that could not be read."""
    return data.partition(b"\r\n\r\n")[2]


def _unframed(data: bytes) -> bytes:
    """Return a chunked body without its framing; nothing where there is no framing."""
    chunks, at = [], 0
    while (size := _CHUNK_SIZE.match(data, at)) and int(size[1], 16):
        at = size.end() + int(size[1], 16)
        chunks.append(data[size.end() : at])
    return b"".join(chunks)


def _narrowed(data: bytes) -> bytes:
    """Return UTF-16 or UTF-32 as what of it is ASCII; nothing where no character is that wide."""
    return data.replace(b"\0", b"") if b"\0" in data else b""


def _unescaped(data: bytes) -> bytes:
    """Return a page's text without HTML's escapes; nothing where it has none of a quote."""
    if b"&quot;" not in data and b"&#34;" not in data and b"&#x22;" not in data:
        return b""
    import html  # a long table, for a rare case

    return html.unescape(data.decode("utf-8", "replace")).encode("utf-8", "replace")


def _from_percents(data: bytes) -> bytes:
    """Return what a URL or a form holds; nothing where none of it is escaped."""
    if not _PERCENTS.search(data):
        return b""
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(data)


def _from_base64(data: bytes) -> bytes:
    """Return a JSON object that stands there in base64."""
    found = _BASE64.search(data)
    if found is None:
        return b""
    text = found[0].rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    if len(text) % 4 == 1:  # half of a character, cut off
        text = text[:-1]
    return binascii.a2b_base64(text + b"==")


_LOOKS: Final = (_unframed, unpacked, _narrowed, _unescaped, _from_percents, _from_base64)


def _gzip_header(data: bytes) -> int:
    """Return where the header of a gzip member ends (RFC 1952)."""
    flags, at = data[3] if len(data) > 3 else 0, 10
    if flags & 4 and len(data) > at + 1:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for flag in (8, 16):  # a file's name, a comment: each ends with a zero
        if flags & flag:
            end = data.find(b"\0", at)
            at = end + 1 if end >= 0 else len(data)
    return at + 2 if flags & 2 else at


def _inflated(data: bytes, window: int) -> bytes:
    """Inflate as far as the bytes make sense; what is broken may cost the last few."""
    inflate = zlib.decompressobj(window)
    parts: list[bytes] = []
    left = SEARCHED_BYTES
    try:
        for at in range(0, len(data), 64):  # in small steps: an error loses no more than one
            parts.append(inflate.decompress(data[at : at + 64], left))
            left -= len(parts[-1])
            if inflate.eof or left <= 0:
                break
    except zlib.error:
        pass
    return b"".join(parts)
