"""Characters that nobody sees, as ranges for a regular expression's class."""

from __future__ import annotations

from typing import Final

CONTROLS: Final = "\x00-\x1f\x7f-\x9f"
"""C0 and C1: escape sequences start here."""

SURROGATES: Final = "\ud800-\udfff"
"""Halves of a character, which no encoding can carry."""

UNSEEN: Final = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f"  # soft hyphen, zero width space, direction marks
    "\u2028-\u202e\u2060-\u206f\ufeff"  # line separators, bidi embeddings, overrides, isolates
    "\U000e0000-\U000e007f"  # tag characters: whole sentences that nobody sees
)
"""What has no shape of its own, but joiners, which emoji and several scripts need."""

FILLERS: Final = "\u115f\u1160\u17b4\u17b5\u3164\uffa0"
"""Letters that look like nothing: Hangul's fillers, and vowels of Khmer that are never written."""

SPACES: Final = "\u00a0\u1680\u2000-\u200a\u202f\u205f"
"""Spaces that look like an ordinary one; the wide one of CJK is seen for what it is."""

LOOK_ALIKE_LETTERS: Final = dict(
    zip(
        "АВЕЅІЈКМНОРСТХУаеіјорсухѕԁԛԝһΑΒΕΖΗΙΚΜΝΟΡΤΥΧονρ",
        "ABESIJKMHOPCTXYaeijopcyxsdqwhABEZHIKMNOPTYXovp",
        strict=True,
    )
)
"""Letters of Cyrillic and Greek, and those of ASCII that they look like."""
