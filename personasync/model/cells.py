"""Cells of a table that a spreadsheet opens: kept from being formulas, and read back."""

from __future__ import annotations

import re
from typing import Final

_FORMULA: Final = re.compile(r"'*[=+\-@\uff0b\uff0d\uff1d\uff20]")
"""What a spreadsheet takes for a formula, in its East Asian width too, quoted or not."""


def inert_cell(text: str) -> str:
    """Return a cell that no spreadsheet computes: a ``'`` stands before what it would."""
    return f"'{text}" if _FORMULA.match(text) else text


def read_cell(text: str) -> str:
    """Return what ``inert_cell`` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
