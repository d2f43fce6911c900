"""The values of a YAML document, and the scalars of YAML 1.1."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias


class Oddity(StrEnum):
    """Why a value is no plain value that everybody reads alike."""

    DATE = "a date"
    BASE_60 = "a base-60 number"
    OCTAL = "an octal number"
    BINARY = "a binary number"
    GROUPED = "a number with underscores"
    YAML_1_2 = "a number in YAML 1.2"
    NOT_FINITE = "an infinite or undefined number"
    TOO_LARGE = "a number too large to be meant"
    BROKEN = "a value already reported"


@dataclass(frozen=True, slots=True)
class Odd:
    """A scalar that YAML reads as something its writer rarely means, kept as its text.

    ``meaning`` is the number that YAML 1.1 makes of it, where it makes one.
    """

    oddity: Oddity
    text: str = ""
    meaning: int | float | None = None


class Map(dict[str, "Value"]):
    """A mapping, in the order of the document; ``spans`` is where its places begin."""

    __slots__ = ("spans",)
    spans: int


Value: TypeAlias = "str | int | float | bool | Odd | Map | list[Value] | None"


Span: TypeAlias = tuple[int, int, int, int]


BROKEN: Final = Odd(Oddity.BROKEN)


def kind_of(value: Value) -> str:
    """Return what a value is, in words: ``a number``, ``true or false``, ``a list``."""
    if isinstance(value, Odd):
        return str(value.oddity)
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float)):
        return "a number"
    return "a mapping" if isinstance(value, dict) else "a list"


# The scalars of YAML 1.1 (https://yaml.org/type/), as PyYAML resolves them.
MAY_BE_TYPED: Final = frozenset("-+.0123456789~nNyYtTfFoO") | {""}
"""What the scalars begin with that may be something else than text."""
_LONGEST_NUMBER: Final = 400
_DIGITS: Final = re.compile("[-+]?[0-9][0-9_.]*")
_TRUE: Final = re.compile("yes|Yes|YES|true|True|TRUE|on|On|ON")
YAML_1_2_NUMBER: Final = r"0o[0-7]+|[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
"""What YAML 1.2, and so most editors, take for a number."""
_PLAIN: Final = re.compile(
    r"""
      (?P<null>   ~ | null | Null | NULL | )
    | (?P<bool>   yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF )
    | (?P<int>    [-+]?(?:0|[1-9][0-9_]*) )
    | (?P<hex>    [-+]?0x[0-9a-fA-F_]+ )
    | (?P<octal>  [-+]?0[0-7_]+ )
    | (?P<binary> [-+]?0b[01_]+ )
    | (?P<float>  [-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?
                | \.[0-9][0-9_]*(?:[eE][-+][0-9]+)? )
    | (?P<base60> [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*
                | [-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+ )
    | (?P<yaml12> """
    + YAML_1_2_NUMBER
    + r""" )
    | (?P<notfinite> [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN) )
    | (?P<date>   [0-9]{4}-[0-9]{2}-[0-9]{2}
                | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2} (?:[Tt]|[ \t]+) [0-9]{1,2}:[0-9]{2}:[0-9]{2}
                  (?:\.[0-9]*)? (?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))? )
    """,
    re.VERBOSE,
)
TAGGED: Final[dict[str, type]] = {"int": int, "float": float, "bool": bool, "null": type(None)}
"""The tags that say what a scalar is, but for text."""
_LARGEST: Final = 2**63


def resolve_plain(text: str) -> Value:
    """Return what YAML 1.1 makes of an unquoted scalar.

    What the two versions of YAML read differently, and what is no finite
    number of a sane size, comes back as ``Odd``.
    """
    if len(text) > _LONGEST_NUMBER:
        return Odd(Oddity.TOO_LARGE, text) if _DIGITS.fullmatch(text) else text
    match = _PLAIN.fullmatch(text)
    if match is None:
        return text
    kind = match.lastgroup
    if kind == "null":
        return None
    if kind == "bool":
        return _TRUE.fullmatch(text) is not None
    if kind == "date":
        return Odd(Oddity.DATE, text)
    if kind == "notfinite":
        return Odd(Oddity.NOT_FINITE, text)
    if kind == "yaml12":  # text to YAML 1.1, which is what is read here, and a number to editors
        number = int(text[2:], 8) if text.startswith("0o") else float(text)
        return Odd(Oddity.YAML_1_2, text, number if abs(number) < _LARGEST else None)
    return _number(str(kind), text)


def _number(kind: str, text: str) -> Value:
    digits = text.replace("_", "")
    value: int | float
    if kind == "base60":
        value = _base_60(digits)
    elif kind == "float":
        value = float(digits)
    else:
        if not digits.strip("+-").removeprefix("0x").removeprefix("0b"):
            return text
        value = int(digits, {"int": 10, "hex": 16, "octal": 8, "binary": 2}[kind])
    if abs(value) >= _LARGEST or not math.isfinite(value):  # in this order: ints know no isfinite
        return Odd(Oddity.TOO_LARGE, text)
    if kind in _ODD_NUMBERS:
        return Odd(_ODD_NUMBERS[kind], text, value)
    return Odd(Oddity.GROUPED, text, value) if "_" in text else value


_ODD_NUMBERS: Final = {
    "base60": Oddity.BASE_60,
    "octal": Oddity.OCTAL,
    "binary": Oddity.BINARY,
}


def _base_60(text: str) -> int | float:
    sign = -1 if text.startswith("-") else 1
    value: int | float = 0
    for part in text.lstrip("+-").split(":"):
        value = value * 60 + (float(part) if "." in part else int(part))
    return sign * value
