"""The objects of a shared state, by name and as bytes.

personasync.json                        what the state is; never rewritten
lock.json                               the lease; the only object ever rewritten
log/00000000000000000001.jsonl          a segment: a line about itself, then entries
snapshots/00000000000000000512.jsonl.gz a cache of segments 1 to 512
rescue/<run>-<nonce>.jsonl              what could not be appended
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import uuid
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any, Final

from personasync.state.codec import FORMAT, decode_line, encode_entries
from personasync.state.entry import Entry, Header, ServiceMoved

LAYOUT: Final = "personasync.objects/1"
"""Which objects lie where below the prefix; another layout is not read."""
_LARGEST_SNAPSHOT: Final = 1 << 32
"""What a snapshot may unfold to: a bad one must not fill the memory."""

BEGINNING: Final = "personasync.json"
SEGMENTS: Final = "log/"
SNAPSHOTS: Final = "snapshots/"
RESCUES: Final = "rescue/"
_NUMBERED: Final = {
    SEGMENTS: re.compile(r"log/(\d{20})\.jsonl"),
    SNAPSHOTS: re.compile(r"snapshots/(\d{20})\.jsonl\.gz"),
}


def segment_name(seq: int) -> str:
    """Return the name of a segment."""
    return f"{SEGMENTS}{seq:020}.jsonl"


def snapshot_name(seq: int) -> str:
    """Return the name of the snapshot of all segments up to this one."""
    return f"{SNAPSHOTS}{seq:020}.jsonl.gz"


def rescue_name(run: str) -> str:
    """Return a new name for what a run could not append."""
    return f"{RESCUES}{re.sub('[^A-Za-z0-9._-]', '-', run)}-{uuid.uuid4().hex[:12]}.jsonl"


def numbers(folder: str, names: Iterable[str]) -> list[int]:
    """Return the numbers of segments or snapshots; what was not asked for is left out here."""
    return [int(match[1]) for name in names if (match := _NUMBERED[folder].fullmatch(name))]


@dataclass(frozen=True, slots=True)
class Head:
    """A segment's first line.

    ``prev`` is the SHA-256 of the whole segment before (``None`` in the
    first), ``id`` makes the bytes of every try to write one its own, ``n``
    counts the entries and ``took`` names the rescue objects taken in.
    """

    seq: int
    epoch: int
    run: str
    id: str
    prev: str | None
    n: int
    took: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the segments up to ``seq`` add up to; ``digest`` is that of the last of them."""

    seq: int
    epoch: int
    digest: str | None
    api: str
    taken: tuple[str, ...]
    entries: tuple[Entry, ...]


def encode_beginning(header: Header) -> bytes:
    """Return what says that a state begins here, and which."""
    return _line({"format": FORMAT, "layout": LAYOUT, "lineage": header.lineage, "api": header.api})


def decode_beginning(data: bytes) -> Header:
    """Read it back; raises ``ValueError`` saying why it cannot be."""
    fields = _object(data)
    for name, known in (("format", FORMAT), ("layout", LAYOUT)):
        if fields.get(name) != known:
            raise ValueError(
                f"its {name} is {fields.get(name)!r}, and this version reads {known!r}"
            )
    return Header(_typed(fields, "lineage", str), _typed(fields, "api", str))


def encode_segment(head: Head, entries: Sequence[Entry | ServiceMoved]) -> bytes:
    """Return a segment as bytes."""
    return _line({"segment": asdict(head)}) + encode_entries(entries)


def decode_segment(data: bytes) -> tuple[Head, list[Entry | ServiceMoved]]:
    """Read a segment; raises ``ValueError`` saying what is wrong with it."""
    lines = BytesIO(data)
    fields = _typed(_object(lines.readline()), "segment", dict)
    head = Head(
        seq=_typed(fields, "seq", int),
        epoch=_typed(fields, "epoch", int),
        run=_typed(fields, "run", str),
        id=_typed(fields, "id", str),
        prev=None if fields.get("prev") is None else _typed(fields, "prev", str),
        n=_typed(fields, "n", int),
        took=tuple(map(str, _typed(fields, "took", list))),
    )
    entries = decode_entries(lines, after=1)
    if head.n != len(entries):
        raise ValueError(f"it holds {len(entries)} of its {head.n} entries")
    return head, entries


def decode_entries(lines: Iterable[bytes], after: int = 0) -> list[Entry | ServiceMoved]:
    """Read whole lines as entries; raises ``ValueError`` naming the line that is none."""
    entries: list[Entry | ServiceMoved] = []
    for number, line in enumerate(lines, start=after + 1):
        try:
            entry = decode_line(line)
        except ValueError as error:
            raise ValueError(f"line {number} cannot be read: {error}") from None
        if not line.endswith(b"\n"):
            raise ValueError(f"line {number} is cut off")
        if isinstance(entry, Header):
            raise ValueError(f"line {number} is no entry")
        entries.append(entry)
    return entries


def decode_audios(lines: Iterable[bytes], after: int = 0) -> list[Entry]:
    """Read whole lines as entries about audios; what else is said there is known elsewhere."""
    return [entry for entry in decode_entries(lines, after) if isinstance(entry, Entry)]


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return a snapshot as bytes, the same for the same snapshot."""
    body = encode_entries(snapshot.entries)
    head = {
        "seq": snapshot.seq,
        "epoch": snapshot.epoch,
        "digest": snapshot.digest,
        "api": snapshot.api,
        "took": list(snapshot.taken),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    return gzip.compress(_line({"snapshot": head}) + body, compresslevel=6, mtime=0)


def decode_snapshot(data: bytes) -> Snapshot:
    """Read a snapshot; raises ``ValueError`` saying what is wrong with it."""
    try:
        with gzip.GzipFile(fileobj=BytesIO(data)) as file:
            plain = file.read(_LARGEST_SNAPSHOT)
    except (OSError, EOFError, zlib.error):
        raise ValueError("it cannot be unpacked") from None
    first, _, body = plain.partition(b"\n")
    fields = _typed(_object(first), "snapshot", dict)
    if _typed(fields, "sha256", str) != hashlib.sha256(body).hexdigest():
        raise ValueError("it is not what was written")
    return Snapshot(
        seq=_typed(fields, "seq", int),
        epoch=_typed(fields, "epoch", int),
        digest=None if fields.get("digest") is None else _typed(fields, "digest", str),
        api=_typed(fields, "api", str),
        taken=tuple(map(str, _typed(fields, "took", list))),
        entries=tuple(decode_audios(BytesIO(body), after=1)),
    )


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("its first line is not JSON") from None
    if not isinstance(fields, dict):
        raise ValueError("its first line is not a JSON object")
    return fields


def _typed(fields: dict[str, Any], name: str, kind: type) -> Any:
    value = fields.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"its first line has no proper {name!r}")
    return value
