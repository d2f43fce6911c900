"""The bytes of a state read as a log, whatever a crash, a merge, an editor or a mailer did to them.

The one reader for all that holds entries: a state, its ``.backup``, a rescue
file, an old state. What stands beside a good entry never blocks it, and a line
from which an ID can still be read is worth as much as a whole one.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from personasync.model.contract import is_persona_id
from personasync.model.errors import StateError
from personasync.model.spelling import cut
from personasync.model.steps import Command, NextStep
from personasync.state.codec import DECODER, FORMAT, decode_fields, decode_line, salvage
from personasync.state.entry import Entry, Header, ServiceMoved

_BOM: Final = b"\xef\xbb\xbf"
_MARKER: Final = re.compile(r"(?:<{7}|={7}|>{7}|\|{7})(?: |$)")
_BETWEEN: Final = re.compile(r"[\s,\x00\x1e\ufeff\[\]]*")
_START: Final = re.compile(r'\{\s*"(?:audioId|format)"\s*:')
_FIELD: Final = r'{name}"\s*:\s*("(?:[^"\\]|\\.)*")'
_NO_TEXT: Final = re.compile("[\udc80-\udcff]")
_ESCAPED: Final = re.compile(r"\\u(dc[89a-f][0-9a-f])")
_MOST_JOINED: Final = 20
_SHOWN: Final = 61
_OTHER_KINDS: Final = (
    (
        b"version https://git-lfs.github.com/spec/",
        "a pointer of Git LFS, and its content has not been fetched",
        "fetch it: git lfs pull; better keep the state out of LFS, so that git can merge it",
    ),
    (
        b"\x00GITCRYPT\x00",
        "encrypted by git-crypt",
        "unlock the repository first: git-crypt unlock",
    ),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first"),
    *(
        (
            mark,
            "in UTF-16, as some editors and shells of Windows write",
            "save it as UTF-8: iconv -f UTF-16 -t UTF-8",
        )
        for mark in (b"\xff\xfe", b"\xfe\xff", b"{\x00", b"\x00{")
    ),
)


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a line, the bytes that cannot be read as they are, and what they said."""

    number: int
    words: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class ParsedLog:
    """A file of entries as it was read.

    ``header`` is the first line, ``None`` where there is no whole one:
    ``partial`` is then what can be read of it. ``moved`` is the last word on
    where the service went. ``damage`` is what was not as it is written, and
    ``open_end`` is whether the last line has no newline, so that nothing may
    be appended.
    """

    header: Header | None
    entries: tuple[Entry, ...] = ()
    moved: ServiceMoved | None = None
    damage: tuple[Damage, ...] = ()
    open_end: bool = False
    partial: Mapping[str, str] = field(default_factory=dict)

    @property
    def current(self) -> Header | None:
        """The header with the API that the log belongs to now."""
        if self.header is None or self.moved is None:
            return self.header
        return replace(self.header, api=self.moved.api)


def parse_log(data: bytes, name: str) -> ParsedLog:
    """Read the bytes of a file of entries; ``name`` is what errors call it.

    Raises ``StateError``, with what can still be read in it, for a line that
    says nothing about any audio; and for what is no state at all.
    """
    for start, kind, hint in _OTHER_KINDS:
        if data.startswith(start):
            raise StateError(f"{name} is {kind}", hint=hint)
    lines = data.removeprefix(_BOM).split(b"\n")
    open_end = bool(lines[-1].strip(b" \t\r"))
    reading = _Reading(name, last=len(lines) if open_end else 0)
    at = 0
    while at < len(lines):
        try:
            value = decode_line(lines[at])
        except ValueError:
            at = reading.take_rough(lines, at)
        else:
            reading.take(value, at + 1)
            at += 1
    return reading.result(open_end=open_end)


class _Reading:
    def __init__(self, name: str, *, last: int) -> None:
        self._name = name
        self._last = last  # the line that a crash may have cut off, whatever it left there
        self._header: Header | None = None
        self._entries: list[Entry] = []
        self._moved: ServiceMoved | None = None
        self._damage: list[Damage] = []
        self._partial: dict[str, str] = {}
        self._unreadable: list[tuple[int, str]] = []
        self._ours = self._base = 0

    def take(self, value: Header | Entry | ServiceMoved, number: int) -> None:
        if isinstance(value, Entry):
            self._entries.append(value)
        elif isinstance(value, ServiceMoved):
            self._moved = value
        elif self._header is None:
            self._header = value
        elif self._header.api != value.api and self._header.lineage != value.lineage:
            raise StateError(
                f"{self._name}:{number}: a second header names {value.api}, the first"
                f" {self._header.api}",
                hint="two states of different APIs were merged; keep them apart",
            )

    def take_rough(self, lines: Sequence[bytes], at: int) -> int:
        """Take what a line that is no whole entry still says; return the number of the next."""
        line = lines[at].strip(b" \t\r")
        text = line.decode("utf-8", "surrogateescape")
        if _MARKER.match(text):
            self._merge(text, at + 1, line)
            return at + 1
        taken, unreadable = self._taken(), len(self._unreadable)
        for value, rest in _values(text):
            if value is not None:
                self._take_value(value, at + 1)
                continue
            joined, following = _joined(rest, lines, at)
            for each in joined:
                self._take_value(each, at + 1)
            if joined:
                self._damage.append(Damage(at + 1, "it was broken into several lines", line))
                return following
            self._glean(rest, at + 1)
        if line and not line.strip(b"\0"):
            self._damage.append(Damage(at + 1, "it held nothing that names an audio", line))
        if self._taken() != taken:
            self._set_aside(unreadable)
        return at + 1

    def _taken(self) -> tuple[int, bool]:
        return len(self._entries), self._header is not None

    def _set_aside(self, since: int) -> None:
        """Let what stands beside an entry, such as the mark of a quotation, not block it."""
        beside, self._unreadable[since:] = self._unreadable[since:], []
        for number, text in beside:
            if _text_of(text, "personaId") is None:
                raw = text.encode("utf-8", "surrogateescape")
                self._damage.append(Damage(number, "words stood beside what it says", raw))
            else:
                self._unreadable.append((number, text))

    def result(self, *, open_end: bool) -> ParsedLog:
        if self._unreadable:
            self._refuse(*self._unreadable[0])
        return ParsedLog(
            self._header,
            tuple(self._entries),
            self._moved,
            tuple(self._damage),
            open_end,
            self._partial if self._header is None else {},
        )

    def _merge(self, text: str, number: int, line: bytes) -> None:
        """Take both sides of an unresolved merge, and what stood before them before both."""
        match text[0]:
            case "<":
                self._ours = self._base = len(self._entries)
                words = "an unresolved merge conflict; both sides are read"
                self._damage.append(Damage(number, words, line))
            case "|":
                self._base = len(self._entries)
            case "=" if self._base > self._ours:
                ours = self._entries[self._ours : self._base]
                self._entries[self._ours :] = [*self._entries[self._base :], *ours]

    def _take_value(self, value: object, number: int) -> None:
        """Take a JSON value; a list, into which a tool may have put the entries, for its items."""
        if isinstance(value, list):
            for each in value:
                self._take_value(each, number)
            return
        if isinstance(value, str) and value.lstrip().startswith(
            "{"
        ):  # JSON put into JSON once more
            for inner, _rest in _values(value):
                if isinstance(inner, dict):
                    self._take_value(inner, number)
                    return
        # As it was written: a byte that is no text ends what can be read.
        text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), json.dumps(value))
        if not isinstance(value, dict):
            self._unreadable.append((number, text))
            return
        try:
            if _NO_TEXT.search(str(value.get("personaId"))):
                raise ValueError("bytes that are no text stand in its ID")
            self.take(decode_fields(value), number)
        except ValueError:
            self._glean(text, number)

    def _glean(self, text: str, number: int) -> None:
        """Read what a text that is no entry says about an audio, or as a header."""
        raw = text.encode("utf-8", "surrogateescape")
        found = _gleaned(text)
        if found:
            said = " and ".join(f"{entry.key!r}, read as {entry.status}" for entry in found)
            self._entries.extend(found)
            self._damage.append(Damage(number, f"it held {said}", raw))
        elif '"format"' in text or '{"format"'.startswith(text.strip()):
            self._glean_header(text, number, raw)
        elif _text_of(text, "personaId") is None and (_is_torn(text) or self._is_cut_off(number)):
            self._damage.append(Damage(number, "it held nothing that names an audio", raw))
        else:
            self._unreadable.append((number, text))

    def _is_cut_off(self, number: int) -> bool:
        return number == self._last and number > 1

    def _glean_header(self, text: str, number: int, raw: bytes) -> None:
        format_name = _text_of(text, "format")
        if format_name not in (None, FORMAT):
            raise StateError(
                f"{self._name}:{number}: its format is {format_name!r}, and this version reads"
                f" {FORMAT!r}",
                hint="a newer version wrote it: update personasync; or name another file",
            )
        for name in ("lineage", "api"):
            self._partial.setdefault(name, _text_of(text, name) or "")
        self._damage.append(Damage(number, "it was a header, and is not whole", raw))

    def _refuse(self, number: int, text: str) -> None:
        """Raise, with what can still be read in a line and the command that records it."""
        if self._header is None and not self._entries and not self._partial:
            raise StateError(
                f"{self._name}:{number}: this is not a personasync state: it holds neither a"
                " header nor an entry",
                hint="name the right file, or put back what was there",
            )
        key, persona_id = _text_of(text, "key"), _text_of(text, "personaId")
        shown = cut(text.encode("utf-8", "replace").decode().strip(), _SHOWN)
        found = {"key": key, "personaId": persona_id, "audioId": _text_of(text, "audioId")}
        said = ", ".join(f"{name} {value}" for name, value in found.items() if value)
        where = f"{self._name}:{number}: this line is no entry"
        if persona_id is None:
            raise StateError(
                f"{where}: {shown!r}; {f'it still says {said}' if said else 'it names no audio'}",
                hint="nothing was changed; delete the line: no ID can be read in it",
            )
        raise StateError(
            f"{where}, since it names no audio; it still says {said}",
            hint=NextStep(
                "nothing was changed; delete the line, and record its ID: ",
                Command("import", (key or "KEY", persona_id)),
            ),
        )


def _values(text: str) -> Iterator[tuple[object, str]]:
    """Yield the JSON values of a line, and what is none, as ``(None, text)``."""
    at = 0
    while (at := _end_of(_BETWEEN, text, at)) < len(text):
        try:
            value, at = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            following = _START.search(text, at + 1)
            end = following.start() if following else len(text)
            yield None, text[at:end]
            at = end
        else:
            yield value, ""


def _joined(text: str, lines: Sequence[bytes], at: int) -> tuple[list[object], int]:
    """Return an entry that was broken into lines, as editors and mailers do, and the next line."""
    if not text.startswith("{"):
        return [], at
    whole = text
    for following in range(at + 1, min(at + 1 + _MOST_JOINED, len(lines))):
        line = lines[following].strip(b"\r").decode("utf-8", "surrogateescape")
        if _START.match(line.lstrip()):
            break
        whole += line
        try:
            value, end = DECODER.raw_decode(whole.lstrip())
        except (ValueError, RecursionError):
            continue
        if _end_of(_BETWEEN, whole.lstrip(), end) == len(whole.lstrip()):
            return [value], following + 1
    return [], at


def _gleaned(text: str) -> list[Entry]:
    """Read entries out of a text by their fields, wherever they stand in it.

    An ID that does not stand in one piece with the audio at the beginning may
    be another entry's, of which the end is here: then it belongs to the audio
    that its request names behind it. What nothing tells apart is not guessed.
    """
    first = salvage(text.encode("utf-8", "surrogateescape"))
    ids = {each for each in _texts_of(text, "personaId", torn=True) if is_persona_id(each)}
    audios = list(dict.fromkeys(_texts_of(text, "audioId", torn=True)))
    if first is not None and (first.persona_id or not ids):
        return [first]
    if not audios or len(audios) > 2 or len(ids) > 1:
        return []
    key = _text_of(text, "key") if len(audios) == 1 else None
    owner: dict[str, object] = {"audioId": audios[-1], "key": key or audios[-1]}
    if ids:
        owner["personaId"] = ids.pop()
        if len(audios) == 2 and text.rfind('"audioId"') < text.rfind('"personaId"'):
            return []
    last = salvage(json.dumps(owner).encode())
    return [each for each in (first, last) if each is not None]


def _is_torn(text: str) -> bool:
    """Whether a text is how a line begins, and its end is not there; or is no text at all."""
    text = _NO_TEXT.sub("", text).strip(" \0")
    return not text or (text.startswith("{") and not text.endswith("}"))


def _texts_of(text: str, name: str, *, torn: bool = False) -> list[str]:
    """Return the texts of a field that stand whole somewhere in a line.

    Zeros that a crash left in its name do not hide it; in the text they do,
    since what stood there is not known. With ``torn``, what stands right
    before its name, such as the rest of another, does not hide it either.
    """
    found = []
    field = _FIELD.format(name=name if torn else rf'(?<!\\)"{name}')
    for match in re.finditer(field, text.replace("\0", "")):
        if match[1] in text:
            with contextlib.suppress(ValueError):
                found.append(str(json.loads(match[1])))
    return [each for each in found if each]


def _text_of(text: str, name: str) -> str | None:
    found = _texts_of(text, name)
    return found[0] if found else None


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
