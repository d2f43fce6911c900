"""The manifest's patterns match the same in editors, whose language is JavaScript, as in Python."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest

from personasync.manifest.schemas import load_schema

pytestmark = pytest.mark.slow

_MATCHES: Final = """
const {pattern, texts} = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const expression = new RegExp(pattern, "u");
process.stdout.write(JSON.stringify(texts.filter((text) => expression.test(text))));
"""

_CHARACTERS: Final = [chr(number) for number in (*range(0x3100), *range(0xFE00, 0x10000))]
_WORDS: Final = [
    "",
    "\U0001f3a4",
    "a\U0001f3a4",
    "a\n",
    "a\r\n",
    "\na",
    "a\u2028",
    "a" * 64,
    "a" * 65,
]
_RATES: Final = ["20/10s", "5/s", "1/1ms", "0/s", "1/0s", "5/s\n", "5/S", "5/٣s", "1234567890/s"]
_LONG: Final = ["~" * 256, "~" * 257]
TEXTS: Final = [*_CHARACTERS, *(f"a{c}" for c in _CHARACTERS), *_WORDS, *_RATES, *_LONG]


def patterns_of(schema: Any) -> Iterator[str]:
    """Yield every pattern of a schema."""
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "pattern" and isinstance(value, str):
                yield value
            else:
                yield from patterns_of(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from patterns_of(value)


PATTERNS: Final = sorted(set(patterns_of(load_schema("manifest"))))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_matches_the_same_texts(node: str, pattern: str) -> None:
    ended = subprocess.run(
        [node, "--eval", _MATCHES],
        input=json.dumps({"pattern": pattern, "texts": TEXTS}),
        capture_output=True,
        check=True,
        text=True,
    )
    expected = [text for text in TEXTS if re.search(pattern, text)]
    assert json.loads(ended.stdout) == expected
