"""What is wrong with a text that stands where an ID belongs, and what was meant."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from unicodedata import normalize

from personasync.model.characters import FILLERS, LOOK_ALIKE_LETTERS, UNSEEN
from personasync.model.contract import LONGEST_ID, PLAIN_ID, is_persona_id, is_placeholder, is_url
from personasync.model.diagnostics import Severity
from personasync.model.spelling import quoted

QUOTES: Final = "\"'`´‘’‚‛“”„‟‹›«»′″「」『』＂＇"
"""The marks that text is quoted with, on a keyboard or by a word processor."""

DASHES: Final = "‐‑‒–—―−﹘﹣－"
"""What a word processor, or a web page, shows where a - was typed."""

_LOOK_ALIKE: Final = str.maketrans({**LOOK_ALIKE_LETTERS, **dict.fromkeys(DASHES, "-")})
HIDDEN: Final = re.compile(
    f"[{UNSEEN}{FILLERS}]"
    # A joiner belongs between letters or emoji of the scripts that need it.
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)
"""Characters that nobody sees, where they have no use."""

_WRONG: Final = re.compile(
    rf"[\s\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
    rf"{QUOTES}{DASHES}/\\,;<>{{}}*•…\uff01-\uff5e]"
)
_WRONG_IN_PERSONA_ID: Final = re.compile(r"[^!-~]|[<>]|\*\*|://")
_ENDS: Final = ".:#!?&|"
_AROUND: Final = f"{QUOTES},;{_ENDS}[](){{}}<>*@% "
_UNUSUAL: Final = re.compile(r"[\[\]()|#!?&^]")
_UUID: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LIKE_A_UUID: Final = re.compile("(?=.{34,38}$)[0-9a-f]+(?:-[0-9a-f]+){3,5}", re.IGNORECASE)
_AUDIO_FILE: Final = re.compile(r"\.(?:mp3|wav|m4a|flac|ogg|aac|opus|mp4)", re.IGNORECASE)
_COMMENT: Final = re.compile(r"\s+//.*", re.DOTALL)
_ADDRESS_END: Final = re.compile(r"([0-9A-Za-z_-]{4,})(?:\.\w{2,4})?/?(?:[?#].*)?")
_FIELD_NAME: Final = re.compile(
    r"(?:task|audio|persona|track|clip|song)?[_-]?id\s*[:=]\s*(?=.)", re.IGNORECASE
)
_FOREIGN: Final = re.compile(f"[{''.join(LOOK_ALIKE_LETTERS)}]")
_COPY: Final = "copy the ID again, just as the API gave it"


class Trouble(NamedTuple):
    """One thing that is wrong: a code, what to say after the value's name, what to do."""

    code: str
    message: str
    hint: str
    severity: Severity = Severity.ERROR


def id_trouble(field: str, text: str, *others: str) -> Trouble | None:
    """Return what is wrong with an ID, if anything; ``others`` are those of the same persona."""
    trouble = _trouble(field, text, others)
    if trouble is None:
        return None
    meant = _meant(text)
    if trouble.code == "placeholder" or meant in ("", text) or _trouble(field, meant, others):
        return trouble
    return trouble._replace(hint=f"write {meant}")


def _trouble(field: str, text: str, others: tuple[str, ...]) -> Trouble | None:
    if is_url(text):
        return Trouble("url", f"is an address, no ID: {quoted(text)}", "copy the ID alone")
    if field == "personaId" and text in others:
        where = "personaId is the ID that the API gave when the persona was made; else remove it"
        return Trouble("placeholder", f"is the ID of something else: {quoted(text)}", where)
    if is_placeholder(text):
        where = "copy it whole from the answer of the generation task"
        if field == "personaId":
            where = "copy it whole from where it was recorded, or remove the line"
        return Trouble("placeholder", f"is a placeholder, no ID: {quoted(text)}", where)
    if field == "personaId":
        return _persona_id_trouble(text)
    if (wrong := _WRONG.search(text)) is not None:
        return Trouble("bad-id", f"cannot hold {character_name(wrong[0])}", _COPY)
    if (name := _FIELD_NAME.match(text)) is not None:
        return Trouble("bad-id", f"begins with the name of a field: {name[0].strip()}", _COPY)
    if (letter := _FOREIGN.search(text)) and _FOREIGN.sub("", text).isascii():
        looks = LOOK_ALIKE_LETTERS[letter[0]]
        message = f"holds {letter[0]} (U+{ord(letter[0]):04X}), which only looks like {looks}"
        return Trouble("bad-id", message, _COPY)
    if (ending := _AUDIO_FILE.search(text)) is not None and ending.end() == len(text):
        return Trouble("bad-id", f"is the name of a file, no ID: {quoted(text)}", _COPY)
    if (unseen := HIDDEN.search(text)) is not None:
        message = f"holds the unseen character U+{ord(unseen[0]):04X}"
        return Trouble("unseen-character", message, "type it anew")
    ends = f"{_ENDS}-" if PLAIN_ID.fullmatch(text) else _ENDS  # dashes may end Base64
    if text[0] in ends or text[-1] in ends:
        where, mark = ("begin", text[0]) if text[0] in ends else ("end", text[-1])
        return Trouble("bad-id", f"cannot {where} with {mark}", _COPY)
    return _unusual(text)


def _unusual(text: str) -> Trouble | None:
    """Return what is no ID as services make them, though one could."""
    if text[0] == "-":
        return Trouble("unusual-id", "begins with -, as few IDs do", _COPY, Severity.WARNING)
    if (mark := _UNUSUAL.search(text)) is not None:
        return Trouble("unusual-id", f"holds {mark[0]}, as few IDs do", _COPY, Severity.WARNING)
    if _LIKE_A_UUID.fullmatch(text) and not _UUID.fullmatch(text):
        parts = "-".join(str(len(part)) for part in text.split("-"))
        message = f"has parts of {parts} characters, where such an ID has 8-4-4-4-12"
        return Trouble("unusual-id", message, _COPY, Severity.WARNING)
    return None


def _persona_id_trouble(text: str) -> Trouble | None:
    if len(text) > LONGEST_ID:
        return Trouble("bad-id", f"is longer than {LONGEST_ID} characters", _COPY)
    if (wrong := _WRONG_IN_PERSONA_ID.search(text)) is not None:
        return Trouble("bad-id", f"cannot hold {character_name(wrong[0][0])}", _COPY)
    if text[0] in QUOTES or text[-1] in f"{QUOTES},;":
        wrong_one = text[-1] if text[-1] in f"{QUOTES},;" else text[0]
        return Trouble("bad-id", f"cannot begin or end with {wrong_one}", _COPY)
    if not is_persona_id(text):
        return Trouble(
            "workflow-command", f"is a command to a CI log, no ID: {quoted(text)}", _COPY
        )
    return None


def _meant(text: str) -> str:
    """Return the ID that somebody meant who copied too much, or through a word processor."""
    text = (
        _FIELD_NAME.sub("", _COMMENT.sub("", text), count=1)
        .translate(_LOOK_ALIKE)
        .strip()
        .strip(_AROUND)
    )
    text = text.strip("-") if PLAIN_ID.fullmatch(text) else text
    text = "".join(normalize("NFKC", c) if "\uff01" <= c <= "\uff5e" else c for c in text)
    if is_url(text):
        end = _ADDRESS_END.fullmatch(text.rstrip("/").rpartition("/")[2])
        return end[1] if end is not None and any(c.isdigit() for c in end[1]) else text
    return _AUDIO_FILE.sub("", text) if _AUDIO_FILE.search(text) else text


def character_name(character: str) -> str:
    """Return a character as messages name it, with its number where it is hard to see or type."""
    names = {" ": "a space", "\t": "a tab", "\n": "a line break", "\u00a0": "a no-break space"}
    code = f"U+{ord(character):04X}"
    if character in names:
        return names[character]
    if not character.isprintable():
        return f"the character {code}"
    return character if character.isascii() or character.isalnum() else f"{character} ({code})"
