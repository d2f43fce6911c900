"""The commands that messages show: whole, quoted, and with the options that they need."""

from __future__ import annotations

from collections.abc import Sequence

from personasync.render.safe import shell_word


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


def import_command(key: str, persona_id: str | None, *, options: Sequence[str] = ()) -> str:
    """Return the command that records an ID; ``PERSONA_ID`` stands for one not known."""
    return command_line("import", key, persona_id or "PERSONA_ID", options=options)
