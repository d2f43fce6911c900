"""What is wrong with a manifest, where, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from personasync.model.steps import NextStep


class Severity(StrEnum):
    """How grave a diagnostic is: only an error stops a command."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A span of a file: lines and columns count from 1, the end is exclusive.

    Columns count characters, not bytes. ``end_line`` and ``end_column`` are 0
    where only the start is known; a ``line`` of 0 means the file as a whole.
    """

    file: str
    line: int
    column: int
    end_line: int = 0
    end_column: int = 0

    @property
    def as_source(self) -> dict[str, str | int]:
        """The file and the line, as JSON documents name where something comes from."""
        return {"file": self.file, "line": self.line}

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Related:
    """A second place that explains a diagnostic, such as the other use of a key."""

    message: str
    place: Place
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem.

    ``code`` is a stable kebab-case name for the kind of problem, ``place`` is
    ``None`` only when no file can be named, ``hint`` says what to do, and
    ``source`` is the text of the line that ``place`` starts on. ``count`` is
    above 1 only where it stands for problems that are not told apart.
    """

    severity: Severity
    code: str
    message: str
    place: Place | None = None
    hint: NextStep | str | None = None
    related: tuple[Related, ...] = ()
    source: str | None = None
    count: int = 1
