"""How a next step is written for a shell: commands whole, quoted, with the options they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from personasync.model.steps import Command, NextStep, Option
from personasync.render.safe import shell_word

_SHORT: Final = {"manifest": "-f"}
_OF_NO_WORKSPACE: Final = frozenset(
    {"init", "schema", "sandbox", "completion", "state init", "state copy"}
)
"""Commands that work on no manifest and no state, and so are given none again."""


@dataclass(frozen=True, slots=True)
class Shell:
    """How commands and options are written beside the one that runs now.

    ``manifests``, ``sandbox`` and ``state`` are what it was given where that
    is not what every command takes by default: another command needs them
    again to work on the same things.
    """

    manifests: tuple[str, ...] = ()
    sandbox: bool = False
    state: str | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """The options that are given again, as words."""
        return tuple(word for option in self._again() for word in _words(option))

    def text(self, step: NextStep | str) -> str:
        """Return a next step in words for the user of the command line."""
        if isinstance(step, str):
            return step
        return "".join(map(self._part, step.parts))

    def line(self, command: Command) -> str:
        """Return a command that a shell takes as it is; see ``command_line``."""
        own = {flag.name for flag in command.flags}
        again = () if command.name in _OF_NO_WORKSPACE else self._again()
        return command_line(
            command.name,
            *command.words,
            flags=[word for flag in command.flags for word in _words(flag)],
            options=[word for each in again if each.name not in own for word in _words(each)],
        )

    def _part(self, part: str | Command | Option) -> str:
        match part:
            case Command():
                return self.line(part)
            case Option():
                return " ".join(map(shell_word, _words(part)))
            case text:
                return text

    def _again(self) -> Iterable[Option]:
        yield from (Option("manifest", path) for path in self.manifests)
        if self.sandbox:
            yield Option("sandbox")
        if self.state is not None:
            yield Option("state", self.state)


HERE: Final = Shell()
"""Where nothing must be repeated: the manifest, state and API that are the default."""


def _words(option: Option) -> tuple[str, ...]:
    name = _SHORT.get(option.name, f"--{option.name}")
    return (name,) if option.value is None else (name, option.value)


def command_line(
    command: str, *words: str, flags: Sequence[str] = (), options: Sequence[str] = ()
) -> str:
    """Return a command of personasync that a shell takes as it is.

    ``options`` are those, such as ``--state FILE``, that it must be given
    again. Where a word looks like an option, all words stand behind ``--``.
    """
    given = [shell_word(option) for option in (*flags, *options)]
    named = [shell_word(word) for word in words]
    if any(word.startswith("-") for word in words):
        named, given = [*given, "--", *named], []
    return " ".join(["personasync", command, *named, *given])
