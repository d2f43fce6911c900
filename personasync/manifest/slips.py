"""What makes a text no YAML, in words of our own: where, why, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from personasync.manifest.complaint import Complaint, complaint_of
from personasync.manifest.ids import QUOTES
from personasync.manifest.indentation import indentation, no_key_at_all
from personasync.manifest.layout import (
    LAYOUT_SLIPS,
    continued_text,
    fields_of,
    is_field,
    owner_of,
    within_quotes,
)
from personasync.manifest.meaning import ID_FIELDS, NUMBERS, better_than_quotes
from personasync.manifest.texts import IF_TEXT, LONGEST_ADVICE, in_quotes
from personasync.model.diagnostics import Diagnostic, Place, Severity
from personasync.model.spelling import cut

_WIDE_ENCODINGS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_DOCUMENTS: Final = {
    b"{\\rtf": "a document of a word processor (RTF)",
    b"PK\x03\x04": "a document of a word processor or a spreadsheet, or an archive",
    b"\xd0\xcf\x11\xe0": "a document of a word processor or a spreadsheet",
    b"%PDF-": "a PDF",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
}
_LINE_SEPARATORS: Final = {
    b"\xc2\x85": "U+0085 (next line)",
    b"\xe2\x80\xa8": "U+2028 (line separator)",
    b"\xe2\x80\xa9": "U+2029 (paragraph separator)",
}
_CONTROL: Final = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x84\x86-\x9f]|\xef\xbb\xbf|\xef\xbf[\xbe\xbf]"
)
_CONFLICT: Final = re.compile(rb"^(?:<{7}|>{7})(?: |$)", re.MULTILINE)
_LONGEST_KEY: Final = 1024
MAX_DEPTH: Final = 32
"""How deep values may be nested. libyaml's own limit, since 0.2.6, is 1,000."""

TOO_DEEP: Final = (
    "too-deep",
    f"values are nested more than {MAX_DEPTH} deep",
    "check the brackets and the indentation",
)
"""Code, message and hint."""

_WORD_KEY: Final = re.compile(r"\s*(?P<key>[\w.-]+)$")
_HALVES: Final = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)
_HALF: Final = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_ASSIGNED: Final = re.compile(
    r"\s*(?P<key>[\w.-]+)(?:\s*(?:=>?|→|;)|\s+[-–—]+>?(?=\s|$))\s*(?P<value>.*)$"
)
_STRAY: Final = re.compile(r"\s*[\w.-]+:(?P<stray>(?![>|])[^\w\s]+\s*(?=#|$)|:(?:\s.*)?$)")
_OPEN_KEY: Final = re.compile(r"\s*(?P<key>[\w.-]+):\s*(?:#.*)?$")
_SPECIAL: Final = "|>@`%&*!?[]{},#:-"
"""What an unquoted value cannot begin with, or means something else there."""
_JOINED: Final = re.compile(r"(?P<indent>\s*)(?P<key>[A-Za-z][\w.-]*):(?P<value>[^\s/].*)$")


def explain_bytes(file: str, data: bytes, limit: int) -> Diagnostic | None:
    """Return why no YAML parser should see these bytes, or ``None``."""
    if len(data) > limit:
        return _whole_file(
            file,
            "too-large",
            f"the file is larger than {limit // 2**20} MiB",
            "spread it over several files",
        )
    for start, kind in _DOCUMENTS.items():
        if data.startswith(start):
            message = f"this is {kind}, and not plain text"
            return _whole_file(file, "not-a-manifest", message, "save the manifest as plain text")
    if data.startswith(_WIDE_ENCODINGS):
        return _whole_file(
            file,
            "not-utf-8",
            "the file is not UTF-8 but UTF-16 or UTF-32",
            "save it as UTF-8",
        )
    for separator, name in _LINE_SEPARATORS.items():
        position = data.find(separator)
        if position >= 0:
            return _at_offset(
                file,
                data,
                position,
                "unseen-line-break",
                f"the unseen character {name} breaks the line for some YAML readers only",
                "remove it, or write an ordinary line break",
            )
    return None


def explain_syntax(file: str, data: bytes, error: yaml.YAMLError, scalar: Any) -> Diagnostic:
    """Return what stopped the parser, in words of our own.

    ``scalar`` is the event of the last scalar that was read, which tells what
    the text before the error was taken for.
    """
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return _unreadable(file, data)
    conflict = _CONFLICT.search(data)
    if conflict is not None:
        return _at_offset(
            file,
            data,
            conflict.start(),
            "merge-conflict",
            "the file holds an unresolved merge conflict",
            "choose what stays, and remove the lines that begin with <<<<<<<, ======= and >>>>>>>",
        )
    complaint = complaint_of(file, data, error, scalar)
    for recognise in _RECOGNISERS:
        finding = recognise(complaint)
        if finding is not None:
            return finding
    hint = "look for a comma, a quote or a bracket that is missing on this line or above it"
    return complaint.here("bad-yaml", f"this is not valid YAML: {complaint.problem}", hint)


def _unreadable(file: str, data: bytes) -> Diagnostic:
    """Explain why the parser's reader gave up: bad UTF-8, or a character YAML has no room for."""
    bad = _CONTROL.search(data)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        if bad is None or error.start < bad.start():
            return _at_offset(
                file,
                data,
                error.start,
                "not-utf-8",
                f"the file is not UTF-8: the byte 0x{data[error.start]:02x} cannot stand here",
                "save it as UTF-8",
            )
    if bad is None:
        return _whole_file(file, "bad-yaml", "the file cannot be read as YAML", None)
    code = ord(bad[0].decode())
    name = "a NUL byte" if code == 0 else f"the control character U+{code:04X}"
    if code > 0xFF:
        name = f"the unseen character U+{code:04X}"
    hint = "is this a text file?" if code == 0 else "remove it"
    return _at_offset(
        file, data, bad.start(), "control-character", f"{name} cannot stand in a manifest", hint
    )


def _whole_file(file: str, code: str, message: str, hint: str | None) -> Diagnostic:
    return Diagnostic(Severity.ERROR, code, message, Place(file, 0, 0), hint)


def _at_offset(
    file: str, data: bytes, offset: int, code: str, message: str, hint: str
) -> Diagnostic:
    before = data[:offset].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    line_start = before.rfind(b"\n") + 1
    line = before.count(b"\n") + 1
    column = len(before[line_start:].decode("utf-8", "backslashreplace")) + 1
    return Diagnostic(Severity.ERROR, code, message, Place(file, line, column), hint)


def _too_deep(c: Complaint) -> Diagnostic | None:
    return c.here(*TOO_DEEP, width=1) if "nesting depth" in c.problem else None


def _unclosed_quote(c: Complaint) -> Diagnostic | None:
    if "quoted scalar" not in c.context or "found unexpected" not in c.problem:
        return None
    quote = c.begun[:1]
    hint = _closing(c, c.context_line, c.begun)
    if (last := c.begun[-1:]) in QUOTES and last != quote and hint.startswith("close"):
        hint = f"close it with {quote} instead of {last}"
    width = 1 if hint.startswith("remove") else len(c.begun)
    place = (c.context_line, c.context_column, width)
    return c.at(*place, "unclosed-quote", "this quote is never closed", hint)


def _closing(c: Complaint, line: int, opening: str) -> str:
    """Return what to do about a quote that is never closed on its line."""
    if not opening[1:].strip() or opening[1:].lstrip().startswith("#"):
        return "remove it"
    if c.key(line) in (*NUMBERS, "version"):
        return "remove it: a number has no quotes"
    if c.key(line) in ID_FIELDS and (better := better_than_quotes(c.key(line), opening[1:])):
        return better
    if _SHORT_FOR.match(opening):
        return f"quote it: {in_quotes(opening)}"
    return f"close it with {opening[0]} at the end of the text"


_SHORT_FOR: Final = re.compile(r"'(?:\d0s|til|till|cause|em|n|round|twas|tis|bout)\b", re.I)


def _tab(c: Complaint) -> Diagnostic | None:
    width = len(c.rest) - len(c.rest.lstrip("\t"))
    if not width:
        return None
    if (
        c.before.strip() and not yaml.__with_libyaml__
    ):  # a tab that YAML, and libyaml, have room for
        message = "a tab stands here, and this PyYAML has no libyaml, which could read it"
        return c.here("tab", message, "write spaces, or install a PyYAML with libyaml", width)
    if "cannot start" not in c.problem and "tab" not in c.problem:
        return None
    return c.here("tab", "a tab cannot indent a line in YAML", "indent with spaces", width)


def _mark_before_key(c: Complaint) -> Diagnostic | None:
    """Find a mark that means something to YAML where a line should begin with a key."""
    for number, column in ((c.line, c.column), (c.context_line, c.context_column)):
        line = c.lines.get(number, "")
        found = _MARK_FIRST.match(line)
        if found is not None and found.start("mark") == column - 1:
            return _mark_first(c, number, line, found)
    above = c.line_above(c.line)
    if above is not None and above[1][:1] == "%" and (found := _MARK_FIRST.match(above[1])):
        return _mark_first(c, *above, found)
    return None


def _mark_first(c: Complaint, number: int, line: str, found: re.Match[str]) -> Diagnostic:
    mark, column = found["mark"], found.start("mark") + 1
    message = f"this line begins with {mark.strip()}, and not with a key"
    if _KEY_FIRST.match(line, found.end()):
        hint = "remove it, and indent the key as the lines beside it are"
        return c.at(number, column, len(mark), "stray-mark", message, hint)
    hint = "write # before it if it is a comment, or remove the line"
    return c.at(number, column, len(line.strip()), "stray-mark", message, hint)


_MARK_FIRST: Final = re.compile(r"\s*(?P<mark>(?:[@`%&*!|>}\],]+[ \t]*)+)")
_KEY_FIRST: Final = re.compile(r"[\w.-]+:(?:\s|$)")


def _bad_escape(c: Complaint) -> Diagnostic | None:
    if "escape" not in c.problem and "hexdecimal" not in c.problem:
        return None
    start = c.column if c.rest.startswith("\\") else max(c.before.rfind("\\") + 1, 1)
    written = c.text[start - 1 : start + 1]
    if halves := _HALVES.match(c.text, start - 1):
        character = bytes.fromhex("".join(halves.groups())).decode("utf-16-be")
        return c.at(
            c.line,
            start,
            len(halves[0]),
            "bad-escape",
            f"{halves[0]} is one character in two halves, as JSON writes it and YAML does not",
            f"write {character} itself, or \\U{ord(character):08x}",
        )
    if half := _HALF.match(c.text, start - 1):
        message = f"{half[0]} is one half of a character, and the other half is not there"
        hint = "write the character itself"
        return c.at(c.line, start, len(half[0]), "bad-escape", message, hint)
    if "unknown" in c.problem:
        message = f"{written} means nothing inside double quotes"
    else:
        message = f"{written} is not followed by the digits of a character"
    return c.at(
        c.line,
        start,
        2,
        "bad-escape",
        message,
        r"write \\ for a backslash, or use single quotes, where it needs no doubling",
    )


def _misplaced_colon(c: Complaint) -> Diagnostic | None:
    """A ``: `` where no key can be: in a value, or below a line that is no whole entry."""
    if "mapping values are not allowed" not in c.problem:
        return None
    word = _WORD_KEY.match(c.before)
    if word is not None and len(word["key"]) > _LONGEST_KEY:
        place = (c.line, word.start("key") + 1, len(word["key"]))
        return c.at(*place, "key-too-long", f"a key has at most {_LONGEST_KEY:,} characters")
    above = c.line_above(c.line)
    if word is not None and above is not None:
        number, text = above
        incomplete = _broken_header(c, number) or _incomplete_entry(c, number, text)
        if incomplete is not None:
            return incomplete
        if not is_field(word["key"]) and (goes_on := continued_text(c, c.line)) is not None:
            return goes_on
        return indentation(c, len(word["key"]), at=word.start("key") + 1)
    if owner_of(c, c.line) is not None and (goes_on := continued_text(c, c.line)) is not None:
        return goes_on
    if (joined := _joined_lines(c)) is not None:
        return joined
    key, colon, value = c.text.partition(":")
    hint = None
    if colon:
        hint = better_than_quotes(key.strip(), value.strip())
        hint = hint or f"quote the value: {key.strip()}: {within_quotes(value)}"
    return c.here("stray-colon", "an unquoted value cannot hold a colon and a space", hint, width=1)


def _joined_lines(c: Complaint) -> Diagnostic | None:
    """Find a field that stands on the line of another, or of what it belongs to."""
    key = c.key(c.line)
    word = _LAST_FIELD.search(c.before) or _LAST_WORD.search(c.before)
    field = word[0] if word is not None else ""
    known = any(field in fields_of(part) for part in ("persona", "settings", "defaults"))
    if key == "personas" or (known and (not is_field(key) or key in fields_of("manifest"))):
        return _joined(c, c.line, c.column - 1 - len(field), field, key)
    if _LAST_FIELD.search(c.before):
        return _joined(c, c.line, c.column - 1 - len(field), field, key)
    return None


_LAST_FIELD: Final = re.compile("(?:taskId|audioId|personaId|vocalStart|vocalEnd)$")
_LAST_WORD: Final = re.compile(r"[\w.-]+$")


def _joined(c: Complaint, number: int, start: int, field: str, key: str) -> Diagnostic:
    opens = not is_field(key) or key in fields_of("manifest")
    where = f"below {key}:, indented" if opens else f"indented as {key} is"
    message = f"{field} stands on the line of {key}"
    hint = f"put it on a line of its own, {where}"
    return c.at(number, start + 1, len(field), "joined-lines", message, hint)


def _missing_colon(c: Complaint) -> Diagnostic | None:
    if "could not find expected ':'" not in c.problem:
        return None
    text = c.lines.get(c.context_line, "")
    above = _broken_header(c, c.context_line)
    return above or _incomplete_entry(c, c.context_line, text) or no_key_at_all(c, c.context_line)


def _broken_header(c: Complaint, line: int) -> Diagnostic | None:
    """Find a ``description:>`` or ``description= >`` above lines of text that have no key."""
    for number, text in c.above(line):
        match = _BROKEN_HEADER.match(text)
        if match is not None and is_field(match["key"]):
            return _incomplete_entry(c, number, text)
        if _KEY_FIRST.match(text.strip()):
            return None
    return None


_BROKEN_HEADER: Final = re.compile(
    r"\s*(?P<key>[\w.-]+)(?:\s*(?:[:=;]|=>|->)|\s)\s*[|>][-+0-9]{0,2}$"
)


def _incomplete_entry(c: Complaint, number: int, text: str) -> Diagnostic | None:
    """A line such as ``name:Neon``, ``name Neon`` or ``neon``, where an entry belongs."""
    if (stray := _STRAY.match(text)) is not None:
        place = (number, stray.start("stray") + 1, len(stray["stray"]))
        return c.at(*place, "stray-mark", f"{stray['stray']} follows the colon", "remove it")
    joined = _JOINED.match(text)
    if joined is not None:
        key, value = joined["key"], joined["value"].strip()
        if _KEY_FIRST.match(value) and (not is_field(key) or key in fields_of("manifest")):
            return _joined(c, number, joined.start("value"), value.partition(":")[0], key)
        hint = f"write {cut(key)}: {cut(value, LONGEST_ADVICE)}"
        if value[0] in _SPECIAL and not _BROKEN_HEADER.match(text):
            hint = better_than_quotes(key, value) or f"write {cut(key)}: {in_quotes(value)}"
        place = (number, joined.end("key") + 1, 1)
        return c.at(*place, "missing-space", "a space is missing after the colon", hint)
    stripped = text.strip()
    if ": " in text or stripped.endswith(":") or stripped[:1] in "-?\"'[{":
        return None
    return _value_below(c, number, stripped) or _without_colon(c, number, stripped)


def _value_below(c: Complaint, number: int, stripped: str) -> Diagnostic | None:
    """Find a value that was broken off its key, and is not indented below it."""
    above = c.line_above(number)
    match = _OPEN_KEY.match(above[1]) if above is not None else None
    if match is None or not is_field(match["key"]) or match["key"] in fields_of("manifest"):
        return None
    column = c.lines[number].index(stripped) + 1
    message = f"this seems to be the value of {match['key']}, and stands on a line of its own"
    hint = f"put it on the line above, after {match['key']}: and a space"
    return c.at(number, column, len(stripped), "bad-indentation", message, hint)


def _without_colon(c: Complaint, number: int, stripped: str) -> Diagnostic:
    assigned = _ASSIGNED.match(stripped)
    key, _, value = (
        stripped.partition(" ") if assigned is None else assigned.group("key", 0, "value")
    )
    opens = _indent(c.lines.get(number + 1, "")) > _indent(c.lines[number])
    if not is_field(key):
        if (value or not opens) and (goes_on := continued_text(c, number)) is not None:
            return goes_on
        persona = opens and stripped != c.lines[number]  # which is indented
        if re.fullmatch(r"\w[\w.-]*", key) is None or not (persona or assigned):
            return no_key_at_all(c, number)
    column = c.lines[number].index(stripped) + 1
    hint = f"write {cut(key)}: {cut(value.strip(), LONGEST_ADVICE)}".rstrip()
    if is_field(key) and not value and not opens:
        hint += " and its value"
    message = "a colon is missing after the key"
    return c.at(number, column, len(stripped), "missing-colon", message, hint)


def _after_quote(c: Complaint) -> Diagnostic | None:
    """Text behind a closing quote, which often is the quote that was meant to open another."""
    scalar = c.scalar
    if not _unexpected(c) or scalar is None or scalar.style not in ("'", '"'):
        return None
    end = scalar.end_mark
    if end.line + 1 != c.line or not end.column < c.column <= end.column + 80:
        return None
    if c.text[end.column : c.column - 1].strip():
        return None
    start = scalar.start_mark
    if start.line != end.line:
        opening = c.lines.get(start.line + 1, "")[start.column :].rstrip()
        hint = _closing(c, start.line + 1, opening)
        place = (start.line + 1, start.column + 1, 1 if hint.startswith("remove") else len(opening))
        return c.at(*place, "unclosed-quote", f"this quote is only closed on line {c.line}", hint)
    if (mark := c.rest.strip()) in (",", ";"):
        message = f"{'a comma' if mark == ',' else 'a semicolon'} follows the text in quotes"
        return c.here("text-after-quote", message, "remove it: a line ends an entry", width=1)
    value = c.text[start.column :].rstrip()
    if _DOUBLED.fullmatch(value):  # as spreadsheets write quotes within quotes
        hint = f"write {in_quotes(value[1:-1].replace(chr(34) * 2, chr(34)))}"
        place = (c.line, start.column + 1, len(value))
        message = "quotes within quotes are not doubled here, as in a spreadsheet's file"
        return c.at(*place, "text-after-quote", message, hint)
    apostrophe = scalar.style == "'" and c.column == end.column + 1
    hint = (
        "write an apostrophe inside single quotes twice, or use double quotes around the text"
        if apostrophe
        else _quote(c, c.line, value, "quote the whole value")
    )
    return c.here(
        "text-after-quote",
        f"the text in quotes ended before {cut(c.rest.strip())}",
        hint,
        width=len(c.rest.rstrip()),
    )


_DOUBLED: Final = re.compile(r'"(?:[^"]|"")*"')


def _after_bracket(c: Complaint) -> Diagnostic | None:
    if not _unexpected(c) or c.before.rstrip()[-1:] not in ("]", "}"):
        return None
    start = min(i for i in (c.text.find("["), c.text.find("{"), len(c.before)) if i >= 0)
    value = c.text[start:].rstrip()
    what = "list" if value.startswith("[") else "mapping"
    return c.at(
        c.line,
        start + 1,
        len(value),
        "text-after-bracket",
        f"an unquoted {value[:1]} begins a {what}, which ends before {cut(c.rest.strip())}",
        _quote(c, c.line, value, "quote the whole value"),
    )


def _bad_indentation(c: Complaint) -> Diagnostic | None:
    starts_here = not c.before.strip()
    document_start = "<document start>" in c.problem
    if not starts_here or not (_expected_key(c) or document_start or "'-'" in c.problem):
        return None
    return indentation(c, len(c.rest.rstrip()), at=c.column)


def _flow(c: Complaint) -> Diagnostic | None:
    if "flow sequence" not in c.context and "flow mapping" not in c.context:
        return None
    bracket = "[" if "sequence" in c.context else "{"
    closing = "]" if bracket == "[" else "}"
    if c.line != c.context_line or not c.rest.strip():
        text = c.lines.get(c.context_line, "")
        value = text[c.context_column - 1 :].rstrip()
        what = "list" if bracket == "[" else "mapping"
        hint = f"close it with {closing}"
        if ":" not in value and "*" not in value:  # no field takes a list
            hint = _quote(c, c.context_line, value, IF_TEXT)
        return c.at(
            c.context_line,
            c.context_column,
            1,
            "unclosed-bracket",
            f"this {bracket} begins a {what} that is never closed",
            hint,
        )
    return c.here(
        "missing-comma",
        f"a comma or {closing} is missing before this",
        width=len(c.rest.rstrip()),
    )


def _no_value(c: Complaint) -> Diagnostic | None:
    if "node content" not in c.problem:
        return None
    found = c.rest[:1]
    if not found:
        return c.here("missing-value", "a value is missing here")
    hint = None
    if c.before.rstrip().endswith(":"):
        hint = _quote(c, c.line, c.rest.strip(), IF_TEXT)
    return c.here("missing-value", f"a value is missing before {found}", hint, width=1)


def _after_document(c: Complaint) -> Diagnostic | None:
    above = c.line_above(c.line)
    if "<document start>" not in c.problem or above is None or not above[1].startswith("..."):
        return None
    return c.here(
        "second-document",
        "the document has ended before this line",
        "remove the line with ... above it, or move what follows to its own file",
    )


def _unexpected(c: Complaint) -> bool:
    """Return whether something follows what had ended."""
    return _expected_key(c) or "<document start>" in c.problem


def _expected_key(c: Complaint) -> bool:
    return "expected key" in c.problem or "expected <block end>" in c.problem


# Where a slip stands: a line, a column, and the text that is underlined.


def _sign(c: Complaint) -> tuple[int, int, str]:
    return c.line, c.column, c.rest[:1]


def _rest(c: Complaint) -> tuple[int, int, str]:
    return c.line, c.column, c.rest.rstrip()


def _begun(c: Complaint) -> tuple[int, int, str]:
    return c.context_line, c.context_column, c.begun


@dataclass(frozen=True, slots=True)
class _Slip:
    """A slip that the parser's own words tell: when it is this one, where it is, what is said.

    ``{}`` in the message stands for its first sign. ``quote`` leads up to the
    text in quotes, where these mend it.
    """

    when: Callable[[Complaint], object]
    where: Callable[[Complaint], tuple[int, int, str]]
    code: str
    message: str
    hint: str | None = None
    quote: str | None = None

    def __call__(self, c: Complaint) -> Diagnostic | None:
        if not self.when(c):
            return None
        line, column, text = self.where(c)
        hint = self.hint if self.quote is None else _quote(c, line, text, self.quote)
        return c.at(line, column, len(text), self.code, self.message.format(text[:1]), hint)


_RECOGNISERS: Final[tuple[Callable[[Complaint], Diagnostic | None], ...]] = (
    _too_deep,
    *LAYOUT_SLIPS,
    _unclosed_quote,
    _tab,
    _mark_before_key,
    _Slip(
        lambda c: "cannot start any token" in c.problem,
        _rest,
        "reserved-character",
        "an unquoted value cannot begin with {}",
        quote="quote it",
    ),
    _Slip(
        lambda c: "scanning an alias" in c.context,
        _begun,
        "bad-alias",
        "an unquoted {} begins an alias, and no name for it follows",
        quote=IF_TEXT,
    ),
    _Slip(
        lambda c: "scanning an anchor" in c.context,
        _begun,
        "bad-anchor",
        "an unquoted {} begins an anchor, and no name for it follows",
        quote=IF_TEXT,
    ),
    _Slip(
        lambda c: "tag" in c.context or "tag handle" in c.problem,
        _begun,
        "unknown-tag",
        "an unquoted ! begins a tag, and this one is not known",
        quote=IF_TEXT,
    ),
    _bad_escape,
    _Slip(
        lambda c: "block scalar" in c.context,
        _begun,
        "bad-block-text",
        "an unquoted {} begins a block of text, which starts on the next line",
        quote="put the text on the next line, indented, or quote it",
    ),
    _misplaced_colon,
    _missing_colon,
    _after_quote,
    _after_bracket,
    _Slip(
        lambda c: (
            "sequence entries are not allowed" in c.problem
            or (_expected_key(c) and re.match(r"-(\s|$)", c.rest))
        ),
        _sign,
        "unexpected-list",
        "a list entry (-) stands where a key belongs",
        "remove the dash and the space after it: a manifest has no lists",
    ),
    _Slip(
        lambda c: _expected_key(c) and c.rest.startswith(":"),
        _sign,
        "missing-key",
        "a key is missing before the colon",
        "write the key before the colon",
    ),
    _flow,
    _no_value,
    _Slip(
        lambda c: "mapping keys are not allowed" in c.problem,
        _rest,
        "reserved-character",
        "an unquoted value cannot begin with a question mark and a space",
        quote="quote it",
    ),
    _after_document,
    _bad_indentation,
    _Slip(
        _unexpected,
        _rest,
        "unexpected-text",
        "this cannot follow the value before it",
        "write each entry on a line of its own, and quote text that holds special characters",
    ),
)


def _quote(c: Complaint, line: int, text: str, words: str = "quote it") -> str:
    """Return advice to quote a text, or better one where the field cannot be text like that."""
    if _opens(c, line):
        return f"remove it: what belongs to {cut(c.key(line))} stands below it"
    return better_than_quotes(c.key(line), text) or f"{words}: {in_quotes(text)}"


def _opens(c: Complaint, line: int) -> bool:
    """Whether a line has the key of a mapping, whose entries stand below it."""
    key = c.key(line)
    if not key or (is_field(key) and key not in fields_of("manifest")):
        return False
    return _indent(c.lines.get(line + 1, "")) > _indent(c.lines[line])


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())
