"""What a text brings along that was pasted, or typed by other habits, and is no YAML.

Characters that look like a space or a colon, comments of other languages, the
fence of a code block, the ``{}`` of a template, text that was not indented.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final

from personasync.manifest.complaint import Complaint
from personasync.manifest.ids import QUOTES
from personasync.manifest.lines import indent_of
from personasync.manifest.meaning import ID_FIELDS, NUMBERS
from personasync.manifest.schemas import load_schema
from personasync.manifest.texts import LONGEST_ADVICE, in_quotes
from personasync.model.diagnostics import Diagnostic, Place, Severity
from personasync.model.spelling import counted, cut

LOST_INDENTATION: Final = "lost-indentation"
"""The code of a diagnostic from which others follow, such as keys that are given twice."""

_SPACES: Final = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_UNSEEN: Final = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_NAMES: Final = {
    "\u00a0": "a no-break space (U+00A0)",
    "\u202f": "a narrow no-break space (U+202F)",
    "\u3000": "a full-width space (U+3000)",
}
_BULLETS: Final = "•·◦‣▪●*–—"

# What stands where YAML wants a space, a colon or a key, and looks like it, line by line.
_LOOKS_RIGHT: Final = re.compile(
    rf"""^[ \t]*(?:
        (?P<indent>[{_SPACES}{_UNSEEN}][{_SPACES}{_UNSEEN} \t]*)
      | (?P<bullet>[{_BULLETS}]|[0-9]{{1,2}}[.)])[ \t]+(?=[\w-]+:(?:[ \t]|$))
      | (?P<copied>[>+]|[0-9]{{1,5}}[:|]?(?=[ \t]))[ \t]*(?=[\w-]+:(?:[ \t]|$))
      | [\w.-]{{1,64}}[ \t]*(?P<colon>[：﹕∶꞉︰︓])
      | [\w.-]{{1,64}}(?P<before>[{_SPACES}{_UNSEEN}]+)[ ]*:
      | [\w.-]{{1,64}}:[ ]*(?P<after>[{_SPACES}{_UNSEEN}]+)
    )""",
    re.MULTILINE | re.VERBOSE,
)
_COMMENT: Final = re.compile(
    r"^[ \t]*(?P<mark>//+|--(?=[ \t])|/\*+|<!--|;+)[ \t]*(?P<words>.*?)[ \t]*(?:\*/|-->)?[ \t\r]*$",
    re.MULTILINE,
)
_FENCE: Final = re.compile(r"^[ \t]*(?P<fence>```+|~~~+)[\w-]*[ \t\r]*$", re.MULTILINE)
_NOTHING: Final = re.compile(
    r"(?P<key>\s*[\w.-]+):\s+(?P<nothing>\{\s*\}|\[\s*\]|~|null)\s*(?:#.*)?$"
)
_HEADER: Final = re.compile(r"\s*(?P<key>[\w.-]+):\s+(?P<header>[>|][-+0-9]{0,2})\s*(?:#.*)?$")
_ENTRY: Final = re.compile(r"\s*[\w.-]+:(?:\s|$)")
_PLAIN_ENTRY: Final = re.compile(r"\s*(?P<key>[\w.-]+):\s+(?![\"'>|\[{&*!#])\S.*$")
_NO_TEXTS: Final = (*ID_FIELDS, *NUMBERS, "rateLimit", "version")
_STATE_OR_PLAN: Final = re.compile(rb'\{\s*"format":\s*"personasync\.(\w+)/')

_ODD_END: Final = re.compile(rf"[{_SPACES}{_UNSEEN}]$")
_ODD_KEY: Final = re.compile(
    rf"[{_SPACES}{_UNSEEN}]|//|/\*|<!--|;|--|[{_BULLETS}]|[0-9]+[.)] |[>+]|[0-9]+ "
)


@cache
def fields_of(part: str) -> frozenset[str]:
    """Return the names of the fields of a ``persona``, of ``settings`` or of the ``manifest``."""
    schema = load_schema("manifest")
    return frozenset(schema["definitions"].get(part, schema)["properties"])


@cache
def _folded_fields() -> frozenset[str]:
    parts = ("manifest", "settings", "defaults", "persona")
    return frozenset(name.lower() for part in parts for name in fields_of(part))


def is_field(word: str) -> bool:
    """Whether a word is the name of a field of a manifest, or as good as that."""
    return re.sub("[^a-z]", "", word.lower()) in _folded_fields()


def is_odd_key(key: str) -> bool:
    """Whether a key looks as though something was pasted, or commented out, in front of it."""
    return _ODD_KEY.match(key) is not None or _ODD_END.search(key) is not None


def layout_slip(file: str, data: bytes) -> Diagnostic | None:
    """Return the first place of a whole text where something only looks like YAML."""
    text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
    found = [m for m in (p.search(text) for p in (_LOOKS_RIGHT, _COMMENT)) if m is not None]
    if not found:
        return None
    match = min(found, key=re.Match.start)
    line = text.count("\n", 0, match.start()) + 1
    explain = _looks_right if match.re is _LOOKS_RIGHT else _comment
    return explain(file, line, match, match.start(), _others(match.re, text))


def _others(pattern: re.Pattern[str], text: str) -> str:
    others = sum(1 for _ in pattern.finditer(text)) - 1
    if others < 1:
        return ""
    return f", here and on {counted(others, 'more line')}"


def _at(
    file: str, line: int, column: int, width: int, code: str, message: str, hint: str
) -> Diagnostic:
    place = Place(file, line, column, line, column + width)
    return Diagnostic(Severity.ERROR, code, message, place, hint)


def _looks_right(file: str, line: int, match: re.Match[str], start: int, others: str) -> Diagnostic:
    kind = str(match.lastgroup)
    found = match[kind]
    column, width = match.start(kind) - start + 1, len(found)
    if kind == "colon":
        code = ord(found)
        name = "a full-width colon" if found == "：" else "a character like a colon"
        message = f"{name} (U+{code:04X}) stands where YAML needs an ordinary one"
        hint = f"write an ordinary colon, and a space after it{others}"
        return _at(file, line, column, 1, "odd-colon", message, hint)
    if kind == "bullet":
        message = f"a bullet ({found}) stands before the key"
        hint = f"remove it and the space after it{others}"
        return _at(file, line, column, width, "odd-bullet", message, hint)
    if kind == "copied":
        what = f"{found} stands before the key, as where text is quoted, compared or numbered"
        return _at(file, line, column, width, "odd-bullet", what, f"remove it{others}")
    space = re.match(f"[{_SPACES}]", found) is not None
    if (unseen := re.match(f"[{_UNSEEN}]+", found)) is not None:
        width = len(unseen[0])
    name = _NAMES.get(found[0], f"the unseen character U+{ord(found[0]):04X}")
    if space and found[0] not in _NAMES:
        name = f"an unusual space (U+{ord(found[0]):04X})"
    where = {"indent": "indents this line", "before": "stands before the colon"}
    message = f"{name} {where.get(kind, 'stands after the colon')}, where YAML knows no such space"
    hint = f"replace it by a space{others}"
    if kind == "indent" and space:
        hint = f"indent with ordinary spaces{others or ', as the lines beside it are'}"
    elif kind == "before" or (not space and _is_one_too_many(match, kind)):
        message = message.partition(",")[0]
        hint = f"remove it{others}"
    return _at(file, line, column, width, "odd-space", message, hint)


def _is_one_too_many(match: re.Match[str], kind: str) -> bool:
    """Whether something unseen came in addition to a space, and not instead of one."""
    if kind == "indent":  # by twos and fours: odd with it, even without
        return len(match[0]) % 2 == 1
    return match.string[match.end() : match.end() + 1] == " "


def _comment(file: str, line: int, match: re.Match[str], start: int, others: str) -> Diagnostic:
    column = match.start("mark") - start + 1
    words = cut(match["words"], LONGEST_ADVICE)
    return _at(
        file,
        line,
        column,
        len(match[0].strip()),
        "odd-comment",
        f"{match['mark']} begins no comment in YAML: # does",
        f"write # {words}".rstrip() + others,
    )


def _near(
    pattern: re.Pattern[str],
    explain: Callable[[str, int, re.Match[str], int, str], Diagnostic],
) -> Callable[[Complaint], Diagnostic | None]:
    """Return a recogniser of what stands near to where the parser stopped."""

    def recognise(c: Complaint) -> Diagnostic | None:
        for number, line in c.near():
            match = pattern.match(line)
            if match is not None:
                while (above := pattern.match(c.lines.get(number - 1, ""))) is not None:
                    number, match = number - 1, above  # the first of a run of such lines
                others = _others(pattern, c.data.decode("utf-8", "replace"))
                return explain(c.file, number, match, 0, others)
        return None

    return recognise


def _wrong_format(c: Complaint) -> Diagnostic | None:
    match = _STATE_OR_PLAN.match(c.data)
    if match is None:
        return None
    kind = match[1].decode()
    return c.at(
        1,
        1,
        0,
        "not-a-manifest",
        f"this is no manifest: it is a {kind} that personasync has written",
        "name the YAML file that begins with version: 1",
    )


def _fence(c: Complaint) -> Diagnostic | None:
    text = c.data.decode("utf-8", "replace")
    lines = [(text.count("\n", 0, m.start()) + 1, m) for m in _FENCE.finditer(text)]
    if not lines or lines[0][0] > c.line:
        return None
    number, match = lines[0]
    more = f", and line {lines[1][0]}" if len(lines) > 1 else ""
    return c.at(
        number,
        match.start("fence") - match.start() + 1,
        len(match[0].strip()),
        "code-fence",
        "this marks a block of code in Markdown, and is no YAML",
        f"remove this line{more}",
    )


def _left_over_braces(c: Complaint) -> Diagnostic | None:
    """Find the ``{}`` of ``personas: {}``, with the first entry written below it."""
    above = c.line_above(c.line)
    match = _NOTHING.match(above[1]) if above is not None else None
    if above is None or match is None or indent_of(c.text) <= indent_of(above[1]):
        return None
    return c.at(
        above[0],
        match.start("nothing") + 1,
        len(match["nothing"]),
        "left-over-braces",
        f"{match['key'].strip()} is {match['nothing']}, which is nothing, and entries follow it",
        f"remove the {match['nothing']}",
    )


def _text_below_header(c: Complaint) -> Diagnostic | None:
    """Find text that belongs to a ``description: >`` and is not indented below it."""
    for number, line in c.near():
        if not line.strip() or _ENTRY.match(line) or line.lstrip()[:1] == "#":
            continue
        if is_field(line.partition(":")[0].strip()):  # such as vocalEnd:30
            return None
        header = _header_above(c, number)
        if header is None:
            return None
        first = c.lines.get(header[0] + 1, "")
        key = indent_of(header[1])
        wanted = max(indent_of(first), 0) if indent_of(first) > key else key + 2
        if indent_of(line) >= wanted:
            continue
        match = _HEADER.match(header[1])
        assert match is not None
        if key == 0:
            message = f"the indentation is lost: {match['key']} belongs to a persona"
            hint = "indent each persona's key by 2 spaces, its fields by 4, a text below one by 6"
            return c.at(header[0], 1, len(match["key"]), LOST_INDENTATION, message, hint)
        return c.at(
            number,
            indent_of(line) + 1,
            len(line.strip()),
            "bad-block-text",
            f"text that belongs to {match['key']}: {match['header']} must be indented below it",
            f"indent it by {wanted} spaces, and so each line of the text",
        )
    return None


def _header_above(c: Complaint, line: int) -> tuple[int, str] | None:
    """Return the line that opens the block of text which a line seems to belong to."""
    for number, text in c.above(line):
        if _HEADER.match(text):
            return number, text
        if _ENTRY.match(text):
            return None
    return None


def owner_of(c: Complaint, line: int) -> tuple[int, str] | None:
    """Return the entry above, of plain text, that a line with no key of its own goes on with."""
    if _ENTRY.match(c.lines.get(line, "")) and is_field(c.lines[line].partition(":")[0].strip()):
        return None
    for number, text in c.above(line):
        if (entry := _PLAIN_ENTRY.match(text)) is not None:
            return None if entry["key"] in _NO_TEXTS else (number, text)
        if _ENTRY.match(text) or not text.strip():
            return None
    return None


def continued_text(c: Complaint, line: int) -> Diagnostic | None:
    """Explain a line that seems to go on with the text of the entry above."""
    owner = owner_of(c, line)
    if owner is None:
        return None
    match = _PLAIN_ENTRY.match(owner[1])
    assert match is not None
    key, text = match["key"], c.lines[line]
    wanted = indent_of(owner[1]) + 2
    column, width = indent_of(text) + 1, len(text.strip())
    if re.search(r":(?:\s|$)", text) is None:
        return c.at(
            line,
            column,
            width,
            "bad-indentation",
            f"this line has no key: does it go on with the text of {key}?",
            f"indent it by {wanted} spaces, if it does; else write # before it",
        )
    return c.at(
        line,
        column,
        width,
        "stray-colon",
        f"the text of {key} goes on here, and cannot hold a colon and a space without quotes",
        f"write {key}: >- and the whole text on the lines below it, indented by {wanted} spaces",
    )


def within_quotes(text: str) -> str:
    """Return a value in quotes as YAML knows them, instead of those of a word processor."""
    plain = text.strip()
    if plain[:1] in QUOTES and plain[-1:] in QUOTES and not plain[:1].isascii() and len(plain) > 2:
        plain = plain[1:-1]
    return in_quotes(plain)


LAYOUT_SLIPS: Final[tuple[Callable[[Complaint], Diagnostic | None], ...]] = (
    _wrong_format,
    _fence,
    _near(_LOOKS_RIGHT, _looks_right),
    _near(_COMMENT, _comment),
    _left_over_braces,
    _text_below_header,
)
"""The recognisers of what is no YAML because of how the text came to be, most telling first."""
