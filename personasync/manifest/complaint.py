"""What the YAML parser complains of, with the lines around it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from personasync.manifest.lines import pick_lines
from personasync.model.diagnostics import Diagnostic, Place, Related, Severity

_KEY: Final = re.compile(r"\s*(?:- )?(?P<key>[\w.-]+)\s*:(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the parser said, and the text around it. Lines and columns count from 1."""

    file: str
    data: bytes
    problem: str
    context: str
    line: int
    column: int
    context_line: int
    context_column: int
    lines: dict[int, str]
    scalar: Any

    @property
    def text(self) -> str:
        """The line that the parser stopped in."""
        return self.lines.get(self.line, "")

    def key(self, line: int) -> str:
        """Return the key of the entry that a line holds, or nothing."""
        match = _KEY.match(self.lines.get(line, ""))
        return match["key"] if match is not None else ""

    @property
    def rest(self) -> str:
        """The line from where the parser stopped."""
        return self.text[self.column - 1 :]

    @property
    def before(self) -> str:
        """The line up to where the parser stopped."""
        return self.text[: self.column - 1]

    @property
    def begun(self) -> str:
        """The line from where what could not be ended began."""
        return self.lines.get(self.context_line, "")[self.context_column - 1 :].rstrip()

    def line_above(self, line: int) -> tuple[int, str] | None:
        """Return the nearest line above that holds more than a comment, and its number."""
        for number, text in self.above(line):
            if text.strip() and not text.lstrip().startswith("#"):
                return number, text
        return None

    def above(self, line: int) -> Iterator[tuple[int, str]]:
        """Yield the lines above one that may belong to the same entry, the nearest first."""
        for number in range(line - 1, max(0, line - 20), -1):
            yield number, self.lines.get(number, "")

    def near(self) -> Iterator[tuple[int, str]]:
        """Yield the lines, with their numbers, of which one is at fault: the last ones read.

        They begin with an entry, or with what was to be one.
        """
        above = self.line_above(self.line)
        first = min(self.context_line, above[0] if above else self.line)
        last = max(1, self.line - 20)
        while first > last and not self.key(first):
            first -= 1
        for number in range(max(first, last), self.line + 1):
            yield number, self.lines.get(number, "")

    def at(
        self,
        line: int,
        column: int,
        width: int,
        code: str,
        message: str,
        hint: str | None = None,
        related: tuple[Related, ...] = (),
    ) -> Diagnostic:
        """Return a diagnostic about ``width`` characters of one line."""
        end = (line, column + width) if width else (0, 0)
        return Diagnostic(
            Severity.ERROR, code, message, Place(self.file, line, column, *end), hint, related
        )

    def here(self, code: str, message: str, hint: str | None = None, width: int = 0) -> Diagnostic:
        """Return a diagnostic about where the parser stopped."""
        return self.at(self.line, self.column, width, code, message, hint)


def complaint_of(file: str, data: bytes, error: yaml.MarkedYAMLError, scalar: Any) -> Complaint:
    """Return what the parser's error says, with the lines around it."""
    mark = error.problem_mark
    assert mark is not None  # whoever asks has looked
    context = error.context_mark or mark
    near = set(range(max(1, mark.line - 20), mark.line + 3))
    return Complaint(
        file=file,
        data=data,
        problem=error.problem or "",
        context=error.context or "",
        line=mark.line + 1,
        column=mark.column + 1,
        context_line=context.line + 1,
        context_column=context.column + 1,
        lines=pick_lines(data, near | {context.line + 1}),
        scalar=scalar,
    )
