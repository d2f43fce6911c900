"""What is wrong with a name, a description or a style: it would be so for good."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from personasync.manifest.ids import HIDDEN, QUOTES, Trouble
from personasync.manifest.values import resolve_plain
from personasync.model.characters import SURROGATES
from personasync.model.diagnostics import Severity
from personasync.model.spelling import cut, quoted

LONGEST_ADVICE: Final = 300
"""Characters of what a hint says to write; most descriptions are shorter, and are not cut."""

IF_TEXT: Final = "quote it if it is meant as text"

SHORT_DESCRIPTION: Final = 15
"""Characters; a shorter description can hardly capture a style."""

ORDINARY: Final = re.compile(
    r"(?![\s?*,|-])(?:[ !%'()*+.0-9?@A-Z^_a-z|~,-]|#(?! )|(?<! )/|/(?![/*]))*[!%)*+./0-9?A-Z^_a-z~]"
)
"""Texts of which no rule about characters has a word to say; nearly all are such."""

_UNPRINTABLE: Final = f"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{SURROGATES}"
_CONTROL: Final = re.compile(f"[{_UNPRINTABLE}\t\n\r]")
_CONTROL_IN_PROSE: Final = re.compile(f"[{_UNPRINTABLE}\r]")
_TYPOGRAPHIC: Final = frozenset(QUOTES) - frozenset("\"'`´「」『』")
_ENTITY: Final = re.compile(r"&(?:amp|quot|apos|lt|gt|nbsp|#\d{1,6}|#x[0-9a-f]{1,5});", re.I)
_HTML: Final = re.compile(r"</?(?:[abiu]|br|div|em|h[1-6]|li|p|span|strong|sup|ul)\b[^<>]*>", re.I)
_ESCAPE: Final = re.compile(r"\\(?:[nrt]|u[0-9a-f]{4})", re.I)
_MISREAD: Final = re.compile("â€[\x80-\u2122]|Ã[\x80-\xbf]|ï»¿")
_LEFT_OVER: Final = re.compile(
    r"""\W*(?: todo | tbd | fixme | change[ _-]?me | placeholder | lorem\ ipsum.*
            | undefined | \[object\ object\] )\W*
      | <[^<>]*> | \{\{.*\}\} | \$\{.*\}
      | (?:your|my|persona)[ _-]?(?:name|description|style)(?:\ here)?""",
    re.I | re.S | re.X,
)
_NO_PROSE: Final = re.compile(r"\W*(?:description\W*)?", re.I)
_PERHAPS_LEFT_OVER: Final = re.compile(r"null|none|nan|nil|n/a|name|untitled|-+|\?+", re.I)

_REMOVE: Final = "remove it; a persona is made once, with just this text"
_PASTED: Final = "type the text anew if it was pasted"


def text_troubles(field: str, text: str) -> Iterator[Trouble]:
    """Yield what is wrong with a text that is not empty."""
    ordinary = ORDINARY.fullmatch(text)
    if not ordinary:
        yield from _characters(field, text)
    plain = text.strip()
    if _LEFT_OVER.fullmatch(plain) or (field == "description" and _NO_PROSE.fullmatch(plain)):
        yield Trouble("placeholder", f"is a placeholder: {quoted(plain)}", _WANTED[field])
        return
    if not ordinary:
        yield from _left_from_elsewhere(field, plain)
    if _AROUND.search(text):
        message = f"{'begins' if text[0].isspace() else 'ends'} with white space"
        yield _warning("white-space-around", message, f"write {written(plain)}")
    if field == "description":
        if len(plain) < SHORT_DESCRIPTION:
            yield _warning(
                "short-description",
                f"is very short: {quoted(plain)}",
                "say more of the genre, mood, instruments and voice: it captures the style better",
            )
    elif _PERHAPS_LEFT_OVER.fullmatch(plain):
        yield _warning("placeholder", f"may be a placeholder: {quoted(plain)}", _WANTED[field])


_WANTED: Final = {
    "name": "write the name that people will know the persona by; it cannot be changed later",
    "style": "write a genre, or remove the line",
    "description": "say what the persona sounds like: genre, mood, instruments, voice",
}


def _characters(field: str, text: str) -> Iterator[Trouble]:
    control = (_CONTROL_IN_PROSE if field == "description" else _CONTROL).search(text)
    if control:
        hint = _REMOVE
        if control[0] == "\n":
            hint = "write it on one line; >- begins a block of text with no line break at its end"
        yield Trouble("control-character", _holds(control[0]), hint)
    if "\ufffd" in text:
        message = "holds \ufffd, which stands for a character that was lost"
        yield Trouble("lost-character", message, "type the text anew, in a file saved as UTF-8")
    if (misread := _MISREAD.search(text)) is not None:
        message = f"holds {misread[0]}, as UTF-8 looks when it is read as something else"
        yield _warning("misread-text", message, "type the text anew, in a file saved as UTF-8")
    if (hidden := HIDDEN.search(text)) is not None:
        yield _warning("unseen-character", _holds(hidden[0]), _PASTED)


def _left_from_elsewhere(field: str, text: str) -> Iterator[Trouble]:
    """Yield what a word processor, a web page or a program has left in a text."""
    yield from _quotes(field, text)
    yield from _ends(text)
    if (space := _ODD_SPACE.search(text)) is not None:
        message = f"holds {_space_name(space[0])}, which looks like an ordinary one"
        plain = re.sub(r"\s+", " ", text)
        yield _warning("odd-space", message, f"write {written(plain)}")
    if (entity := _ENTITY.search(text)) is not None:
        import html  # a long table, for a rare case

        message = f"holds {entity[0]}, as a web page writes {html.unescape(entity[0])}"
        yield _warning("web-page-text", message, f"write {written(html.unescape(text))}")
    elif (tag := _HTML.search(text)) is not None:
        message = f"holds {tag[0]}, which marks text in a web page, and is text here"
        yield _warning("web-page-text", message, "remove such marks, unless they are meant")
    if (escape := _ESCAPE.search(text)) is not None:
        message = f"holds {escape[0]} as it stands: only double quotes make a character of it"
        yield _warning("escape-as-text", message, "write the character itself")


def _quotes(field: str, text: str) -> Iterator[Trouble]:
    """Yield what is left of quotes: both, or the one whose other half was lost."""
    first, last = text[:1], text[-1:]
    if first in QUOTES and last in QUOTES and _are_around(first, last, text):
        message = f"holds the quotes around it, {first} and {last}, for good"
        yield _warning("curly-quotes", message, f"write {written(text.strip(QUOTES).strip())}")
    elif last in QUOTES and _is_alone(last, text) and not _MAY_END[field].search(text):
        message = f"ends with {last}, and no quote opens it"
        code = "lone-quote" if last in "\"'" else "curly-quotes"
        yield _warning(code, message, f"write {written(text[:-1].strip())}")
    elif first in _TYPOGRAPHIC - frozenset("’") and _is_alone(first, text):
        message = f"begins with {first}, and no quote closes it"
        yield _warning("curly-quotes", message, f"write {written(text[1:].strip())}")


def _are_around(first: str, last: str, text: str) -> bool:
    """Whether the first and the last character of a text quote it, rather than parts of it."""
    if first in _TYPOGRAPHIC:
        return len(text) > 2 and text.strip(QUOTES) != ""
    return first == last and text.count(first) == 2 and len(text) > 2


def _is_alone(quote: str, text: str) -> bool:
    """Whether no other quote in a text may belong to this one."""
    like = _APOSTROPHES if quote in _APOSTROPHES else frozenset(QUOTES) - _APOSTROPHES
    return sum(map(text.count, like)) == 1


_APOSTROPHES: Final = frozenset("'’‘‚‛`´′‹›＇")
# What may end so: lovin', singers' (at the end of a name); inches, minutes and seconds.
_SINGERS: Final = re.compile(r"[sxznoi]['’]$|[0-9][\"'’″′]$", re.IGNORECASE)
_LOVIN: Final = re.compile(r"n['’]$|[0-9][\"'’″′]$", re.IGNORECASE)
_MAY_END: Final = {"name": _SINGERS, "style": _SINGERS, "description": _LOVIN}


def _ends(text: str) -> Iterator[Trouble]:
    """Yield what a text begins or ends with that belongs to a list, or to another language."""
    if (match := _BEGINNING.match(text)) is not None and not _BULLET.search(text, match.end()):
        message = f"begins with {match['mark']}, which becomes part of it"
        yield _warning("stray-mark", message, _unless_meant(text[match.end() :]))
    if (match := _ENDING.search(text)) is not None:
        mark = match["mark"]
        message = f"ends with {_ENDINGS.get(mark, mark)}, which becomes part of it"
        if mark in _ENDINGS:
            yield _warning("trailing-comma", message, f"write {written(text[: match.start()])}")
        else:
            yield _warning("stray-mark", message, _unless_meant(text[: match.start()]))
    for opening, closing in ("[]", "{}"):
        if text.count(opening) != text.count(closing):
            alone, other = (opening, closing) if opening in text else (closing, opening)
            message = f"holds {alone}, and no {other} that belongs to it"
            yield _warning("stray-mark", message, "remove that mark, unless it is meant")


def _unless_meant(rest: str) -> str:
    return f"write {written(rest.strip())}, unless it is meant"


_BEGINNING: Final = re.compile(r"(?P<mark>[-–—•·|,;=]|[*?](?=\s)|\?(?=\w))\s*(?=[^\s*-])")
_BULLET: Final = re.compile(r"\s[-–—•·*]\s")  # in a list of several each has one
_ENDING: Final = re.compile(  # but not the sharp of a note: in C#
    r"[\s,;]*(?P<mark>[,;，、；:|=\\]|(?<!\b[A-Ga-g])#|(?<=\s)[-–—])$"
)
_ENDINGS: Final = {",": "a comma", ";": "a semicolon"} | dict.fromkeys("，、；", "a wide comma")


def _space_name(character: str) -> str:
    names = {"\u00a0": "a no-break space", "\u3000": "a full-width space"}
    return f"{names.get(character, 'an unusual space')} (U+{ord(character):04X})"


_SPACES: Final = " \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_AROUND: Final = re.compile(f"^[{_SPACES}]|[{_SPACES}]\n*$")
# Not those of French beside its punctuation, nor the wide one between wide characters.
_ODD_SPACE: Final = re.compile(
    "(?<![«‹0-9])[\u00a0\u202f](?![:;!?»›%0-9])"
    "|(?<=[\x00-\x7f])\u3000|\u3000(?=[\x00-\x7f])|[\u1680\u2000-\u200a\u205f]"
)


def _warning(code: str, message: str, hint: str) -> Trouble:
    return Trouble(code, message, hint, Severity.WARNING)


def _holds(character: str) -> str:
    names = {"\n": "a line break", "\r": "a carriage return", "\t": "a tab"}
    code = ord(character)
    kind = "control" if code < 0x20 or 0x7F <= code < 0xA0 else "unseen"
    return f"holds {names.get(character, f'the {kind} character U+{code:04X}')}"


_PLAIN_IN_YAML: Final = re.compile(r"[A-Za-z][\w ',.()/+-]*[\w')]|[A-Za-z]")


def written(text: str) -> str:
    """Return a text as it is written in YAML, on one line: plain where it can be."""
    if _PLAIN_IN_YAML.fullmatch(text) and type(resolve_plain(text)) is str:
        return text
    return in_quotes(text)


def in_quotes(text: str) -> str:
    """Return a text in quotes, as it is written in YAML; one of some lines' length is cut."""
    text = cut(text, LONGEST_ADVICE)
    if '"' in text and "'" not in text:
        return f"'{text}'"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
