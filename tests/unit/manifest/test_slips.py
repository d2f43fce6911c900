"""One slip in a good manifest: the right line is named, in few words, and what they advise helps.

And nothing that a persona would keep for good changes in silence, but for what
is listed here, each with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from personasync.manifest.load import load_manifest
from personasync.model.diagnostics import Diagnostic, Severity
from personasync.model.errors import ManifestError
from personasync.model.persona import Persona
from tests.helpers.advice import followed, objections

MOST_ERRORS: Final = 3
PARTS: Final = """\
settings:
  parallelism: 4
  rateLimit: 20/10s
defaults:
  vocalStart: 0
  style: Electronic Pop
""".splitlines()
SIREN: Final = """\
    taskId: 5c79be8e
    audioId: e231c2d4-58b6-4b6d-9a0c-1f2e8cadc7dc
    name: Electronic Pop Singer
    description: A modern electronic pop singer with bright, dynamic synth tones
    vocalStart: 0
    vocalEnd: 30
    style: Electronic Pop
""".splitlines()
OAK: Final = """\
    taskId: "8d2f40aa"
    audioId: 0b7d5c1e-9f31-4c55-8d1f-6f0f3f1f2a77
    name: 'Velvet Oak'
    description:
    vocalEnd: 25.5
""".splitlines()
PROSE: Final = ["      A warm acoustic storyteller with a close", "      and unhurried voice"]
HEADER: Final = re.compile(" [|>]-?$")

Slip = Callable[[str, str], str | None]
"""What a slip makes of a line, with one of its variants; nothing for a line that is gone."""


def _indented(line: str, variant: str) -> str:
    indent = len(line) - len(line.lstrip())
    return " " * max(0, indent + int(variant)) + line.lstrip()


def _after_colon(line: str, variant: str) -> str:
    return line if HEADER.search(line) else line.replace(": ", f": {variant}", 1)


def _around(line: str, variant: str) -> str:
    key, colon, value = line.partition(": ")
    return f"{key}: {variant[0]}{value}{variant[1]}" if colon and not HEADER.search(line) else line


def _spaces_replaced(line: str, variant: str) -> Iterator[str]:
    for match in re.finditer(" ", line):
        yield line[: match.start()] + variant + line[match.end() :]


def _one_space(line: str, variant: str) -> str:
    """Replace the space that the variant numbers, counted round and round."""
    character, number = variant[0], int(variant[1:])
    lines = list(_spaces_replaced(line, character))
    return lines[number % len(lines)] if lines else line


def _replaced(old: str, count: int = -1) -> Slip:
    return lambda line, variant: line.replace(old, variant, count)


def _before(line: str, variant: str) -> str:
    indent = len(line) - len(line.lstrip())
    return line[:indent] + variant + line[indent:]


SPACES: Final = [f"{space}{n}" for space in "\u00a0\u3000\u2009\u202f\u200b" for n in range(12)]
SLIPS: Final[Mapping[str, tuple[Slip, list[str]]]] = {
    "a space of a word processor": (_one_space, SPACES),
    "quotes of a word processor": (_around, ["“”", "‘’", "«»", "„“", "””"]),
    "quotes": (_around, ['""', "''"]),
    "a full-width colon": (_replaced(":", 1), ["：", "∶", "： "]),
    "a dash of a word processor": (_replaced("-"), ["–", "—", "‑"]),
    "indentation": (_indented, ["-4", "-3", "-2", "-1", "1", "2", "3", "4"]),
    "indentation lost": (lambda line, _: line.lstrip(), [""]),
    "indented by a tab": (lambda line, _: re.sub("^ +", "\t", line), [""]),
    "a comma": (lambda line, variant: line + variant, [",", ";"]),
    "a quote in front": (_after_colon, ['"', "'", "“", "‘", "«"]),
    "a quote behind": (lambda line, variant: line + variant, ['"', "'", "”", "’", "»"]),
    "a quote lost in front": (lambda line, _: re.sub("[\"']", "", line, count=1), [""]),
    "a quote lost behind": (lambda line, _: re.sub("[\"'](?!.*[\"'])", "", line), [""]),
    "a dash before the key": (_before, ["- ", "-", "• ", "* "]),
    "a dash before the value": (_after_colon, ["- ", "-"]),
    "a colon without a space": (_replaced(": ", 1), [":"]),
    "no colon": (_replaced(":", 1), ["", " =", "=", ";"]),
    "a number behind a hash": (lambda line, variant: line + variant, [" #7", "#", " # 7"]),
    "another language's comment": (lambda line, variant: line + variant, [" // 7", " /* 7 */"]),
    "a line commented out": (_before, ["// ", "/* ", "-- ", "; "]),
    "a line lost": (lambda _line, _: None, [""]),
    "a line twice": (lambda line, _: f"{line}\n{line}", [""]),
    "a value lost": (lambda line, _: re.sub(": .*", ":", line), [""]),
    "a stray line": (lambda line, variant: f"{line}\n{variant}", ["```", "@todo", "* * *", "<br>"]),
}


@dataclass(frozen=True)
class Accepted:
    """What is accepted without a word: a kind of slip, where it is in such lines, and why."""

    kind: str
    where: Callable[[list[str], int], bool]
    reason: str


def _in_prose(lines: list[str], number: int) -> bool:
    return lines[number - 1] in PROSE


def _optional(lines: list[str], number: int) -> bool:
    field = lines[number - 1].strip().partition(":")[0]
    return field in ("vocalStart", "vocalEnd", "style") or _in_prose(lines, number)


def _opens_prose(lines: list[str], number: int) -> bool:
    return lines[number] in PROSE


ACCEPTED: Final = (
    Accepted("a line lost", _optional, "an optional field left out is a choice; so is a sentence"),
    Accepted("a line twice", _in_prose, "a sentence said twice is a sentence"),
    Accepted("a comma", _in_prose, "sentences have commas, and only the last is surely too much"),
    Accepted("a dash before the key", _in_prose, "a description may hold a list"),
    Accepted("a number behind a hash", _in_prose, "a block of text is where # is text"),
    Accepted("a quote behind", _in_prose, "prose has quotes, and only the last can stand alone"),
    Accepted("a stray line", _in_prose, "a block of text takes what is indented into it"),
    Accepted("no colon", _in_prose, "no colon was there"),
    Accepted("a line commented out", _in_prose, "a block of text takes what is indented into it"),
    Accepted("a value lost", _opens_prose, "the text below is the same without its >"),
    Accepted("indentation", _in_prose, "more indentation within a block of text is part of it"),
)


@st.composite
def manifests(draw: st.DrawFn) -> list[str]:
    """The lines of a good manifest: what may come in any order does."""
    mark = draw(st.sampled_from([">", "|", ">-", "|-"]))
    oak = [
        part
        for line in draw(st.permutations(OAK))
        for part in ([f"{line} {mark}", *PROSE] if line.endswith(":") else [line])
    ]
    siren = draw(st.permutations(SIREN))
    between = draw(st.sampled_from([[], [""], ["", "  # the storyteller"]]))
    parts = draw(st.sampled_from([PARTS, PARTS[3:], []]))
    keys = ["  neon-siren:", "  velvet-oak:  # close"]
    return ["version: 1", *parts, "personas:", keys[0], *siren, *between, keys[1], *oak]


@st.composite
def slips(draw: st.DrawFn) -> tuple[str, list[str], int, str]:
    """A kind of slip, the lines of a good manifest, which one it happened in, and what is left."""
    kind, lines = draw(st.sampled_from(sorted(SLIPS))), draw(manifests())
    slip, variants = SLIPS[kind]
    number = draw(st.sampled_from([n for n, line in enumerate(lines, 1) if line]))
    changed = slip(lines[number - 1], draw(st.sampled_from(variants)))
    assume(changed != lines[number - 1])
    after = [*lines[: number - 1], *([] if changed is None else [changed]), *lines[number:]]
    return kind, lines, number, "\n".join(after) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slips")


def _read(folder: Path, text: str) -> tuple[tuple[Diagnostic, ...], tuple[Persona, ...] | None]:
    path = folder / "personas.yaml"
    path.write_bytes(text.encode())
    try:
        manifest = load_manifest([path])
    except ManifestError as error:
        return error.diagnostics, None
    return manifest.warnings, manifest.personas


def _for_good(personas: tuple[Persona, ...]) -> list[object]:
    """Return what an apply would make of them, and no one could change."""
    return [(persona.key, persona.request, persona.persona_id) for persona in personas]


def _names(diagnostic: Diagnostic, lines: range) -> bool:
    places = [diagnostic.place, *(related.place for related in diagnostic.related)]
    return any(place is not None and place.line in lines for place in places)


def _owner(lines: list[str], number: int) -> int:
    """Return the line of the key that a line belongs to: what lacks a field is named there."""
    indent = len(lines[number - 1]) - len(lines[number - 1].lstrip())
    for above in range(number - 1, 0, -1):
        line = lines[above - 1]
        if line and len(line) - len(line.lstrip()) < indent:
            return above if indent <= 4 else _owner(lines, above)
    return 1


@given(slip=slips())
@settings(max_examples=700, derandomize=True, database=None)
def test_a_slip(folder: Path, slip: tuple[str, list[str], int, str]) -> None:
    kind, lines, number, text = slip
    found, personas = _read(folder, text)
    errors = [d for d in found if d.severity is Severity.ERROR]
    said = "\n".join(f"{d.place}: {d.message} ({d.hint})" for d in found)

    assert len(errors) <= MOST_ERRORS, said
    owner = _owner(lines, number)
    places = (range(number - 1, number + 2), range(owner, owner + 1))
    assert not errors or any(_names(d, near) for d in errors for near in places), said

    if personas is not None and not found:
        good = _read(folder, "\n".join([*lines, ""]))[1]
        assert good is not None
        if _for_good(personas) != _for_good(good):
            assert any(a.kind == kind and a.where(lines, number) for a in ACCEPTED), text

    for diagnostic in found:
        changed = followed(text, diagnostic)
        if changed is not None:
            after, _ = _read(folder, changed)
            assert objections(diagnostic, found, after) == [], f"{said}\n---\n{changed}"


@given(lines=manifests())
@settings(max_examples=20, derandomize=True, database=None)
def test_a_good_manifest_is_good(folder: Path, lines: list[str]) -> None:
    found, personas = _read(folder, "\n".join([*lines, ""]))
    assert (found, len(personas or ())) == ((), 2)


README: Final = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
TABLE: Final = README.partition("The commonest slips")[2].partition("\n\n## ")[0]
ROWS: Final = [row.split("|")[1:4] for row in TABLE.splitlines() if row.startswith("| `")]
ENTRY: Final = re.compile(r"`(\w+)([:：] ?[^`]+)`")


@pytest.mark.parametrize(("written", "_why", "right"), ROWS)
def test_the_slips_in_readme(folder: Path, written: str, _why: str, right: str) -> None:
    for cell, is_slip in ((written, True), (right, False)):
        for field, rest in ENTRY.findall(cell):
            others = [line for line in SIREN if not line.strip().startswith(f"{field}:")]
            lines = ["version: 1", "personas:", "  neon-siren:", *others, f"    {field}{rest}", ""]
            found, _ = _read(folder, "\n".join(lines))
            told = {d.place.line for d in found if d.place is not None}
            assert told == ({len(lines) - 1} if is_slip else set()), (field, rest)
