"""What to do next, as a value: words, and the commands and options that they name.

No part below ``render/`` knows how a command or an option is written. Read as
a text, as a caller from Python reads it, a next step names them in plain words.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    """An option by its name without dashes, such as ``lock-timeout``, perhaps with a value."""

    name: str
    value: str | None = None

    def __str__(self) -> str:
        name = self.name.replace("-", "_")
        return name if self.value is None else f"{name}={self.value}"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of personasync: its name (``state show``), its words, and options of its own.

    The options that it must be given again to work on the same manifest and
    state are not among them: only who shows it knows those.
    """

    name: str
    words: tuple[str, ...] = ()
    flags: tuple[Option, ...] = ()

    def __str__(self) -> str:
        flags = f" ({', '.join(map(str, self.flags))})" if self.flags else ""
        return " ".join(("personasync", self.name, *self.words)) + flags


@dataclass(frozen=True, slots=True, init=False)
class NextStep:
    """What to do about something: words, with the commands and options where they are named."""

    parts: tuple[str | Command | Option, ...]

    def __init__(self, *parts: str | Command | Option) -> None:
        object.__setattr__(self, "parts", parts)

    def __str__(self) -> str:
        return "".join(map(str, self.parts))
