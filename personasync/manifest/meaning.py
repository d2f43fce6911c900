"""What somebody meant who wrote something that no field can take as it stands."""

from __future__ import annotations

import contextlib
import re
from typing import Final
from unicodedata import normalize

from personasync.manifest.ids import QUOTES, id_trouble
from personasync.manifest.schemas import load_schema
from personasync.manifest.texts import text_troubles
from personasync.model.diagnostics import Severity

NUMBERS: Final = {
    "vocalStart": "a number of seconds",
    "vocalEnd": "a number of seconds",
    "parallelism": "a whole number from 1 to 64",
    "maxCreates": "a whole number, 0 or more",
}
"""The fields that hold a number, and which numbers they take."""

RATE_HINT: Final = "write COUNT/PERIOD, such as 20/10s, 5/s or 100/1m"
ID_FIELDS: Final = ("taskId", "audioId", "personaId")
_TEXT_FIELDS: Final = ("name", "description", "style")
_AROUND: Final = f"{QUOTES}[]{{}}()<>,;?!`|*&@#% "


def better_than_quotes(field: str, text: str) -> str | None:
    """Return what to do with a text that would be refused in quotes too, as a field's value.

    ``None`` where quotes are what it needs.
    """
    if field == "version":
        return "write version: 1"
    if field in NUMBERS:
        meant = meant_number(text.strip(_AROUND), field)
        return f"write {field}: {meant}" if meant is not None else f"write {NUMBERS[field]}"
    if field == "rateLimit":
        return RATE_HINT
    if field in ID_FIELDS:
        trouble = id_trouble(field, text)
        refused = trouble is not None and trouble.severity is Severity.ERROR
        return re.sub("^write ", f"write {field}: ", trouble.hint) if trouble and refused else None
    if field in _TEXT_FIELDS:
        wrong = [t for t in text_troubles(field, text) if t.severity is Severity.ERROR]
        return wrong[0].hint if wrong else None
    return None


_CLOCK: Final = re.compile(r"(?:(\d{1,2}):)?(\d{1,3}):(\d{1,2}(?:[.,]\d{1,3})?)")
_SPAN: Final = re.compile(
    r"(?:PT)?(?:(\d+(?:[.,]\d+)?)\s*(?:m|min|mins|minutes?)[\s,]*)?"
    r"(?:(\d+(?:[.,]\d+)?)\s*(?:s|secs?|seconds?|\"|″)?)?\.?",
    re.IGNORECASE,
)
_AFTERTHOUGHT: Final = re.compile(r"\s*(?:[,;]|\s//.*)$")
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(?:[,.' ][0-9]{3})+")
_SHORTENED: Final = re.compile(r"[0-9.]+(?:e[0-9]+)?", re.IGNORECASE)


def is_clock(text: str) -> bool:
    """Whether a text is minutes and seconds, or hours too, as players show them."""
    return _CLOCK.fullmatch(text.strip()) is not None


def meant_number(text: str, field: str) -> str | None:
    """Return the number, as it is written, that a text such as ``0:30`` or ``30 s`` means."""
    text = _AFTERTHOUGHT.sub("", normalize("NFKC", text).strip()).strip("~≈()[] ")
    if not field.startswith("vocal") and _THOUSANDS.fullmatch(text):
        text = re.sub(r"\D", "", text)
    seconds = field.startswith("vocal")
    number: float | None = None
    if _SHORTENED.fullmatch(text):
        with contextlib.suppress(ValueError):
            number = float(text)
    elif seconds and (clock := _CLOCK.fullmatch(text)):
        hours, minutes, rest = clock.groups()
        number = int(hours or 0) * 3600 + int(minutes) * 60 + _decimal(rest)
    elif seconds and (span := _SPAN.fullmatch(text)) and any(span.groups()):
        number = _decimal(span[1] or "0") * 60 + _decimal(span[2] or "0")
    if number is None or not may_be(field, number):
        return None
    return f"{number:.6f}".rstrip("0").rstrip(".")


def _decimal(text: str) -> float:
    return float(text.replace(",", "."))


def may_be(field: str, number: float) -> bool:
    """Return whether the schema takes a number as the value of a field."""
    definitions = load_schema("manifest")["definitions"]
    rule = definitions.get(field) or definitions["settings"]["properties"][field]
    if rule["type"] == "integer" and not number.is_integer():
        return False
    return bool(rule["minimum"] <= number <= rule.get("maximum", 10**9))
