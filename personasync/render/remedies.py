"""What settles a trouble: its words and its command, said in one way wherever it is met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from personasync.model.steps import Command, NextStep, Option
from personasync.state.adopt import answered_id
from personasync.state.entry import Entry, Status

ANY: Final = "KEY"
"""Stands for a key where a command is about any of several personas."""

_ANOTHER_AUDIO: Final = "use another audio"
_PUT_BACK: Final = "put it back into the manifest"
_ASKS_AGAIN: Final = "which asks again and spends nothing twice"
STAYS_AS_SENT: Final = (
    "fields that differ stay as they are recorded, since the API cannot change a persona: put them"
    f" back, or {_ANOTHER_AUDIO}"
)
MAY_BE_AS_SENT: Final = (
    "should the earlier request have made it, it has the recorded values, not the wanted ones"
)
ASKED_AGAIN: Final = (
    "it asks again, which spends nothing twice: an audio makes a persona only once, though the API"
    " need not tell its ID again"
)
CHECK_THE_KEY: Final = "check PERSONASYNC_API_KEY, or the file that PERSONASYNC_API_KEY_FILE names"
APPLY: Final = Command("apply")
RECORD_MANY: Final = Command("import", (), (Option("from", "FILE"),))
"""Records what a table of IDs has, or an older copy of the state."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way out of a trouble: ``words``, which lead up to the command that they speak of.

    ``many`` does the same for several personas at once.
    """

    words: str
    command: Command
    many: Command | None = None

    def __str__(self) -> str:
        return f"{self.words}: {self.command}"


def record(name: str, entry: Entry | None = None) -> Command:
    """Return the command that records an ID: the one that a kept answer shows, if one does."""
    return Command("import", (name, answered_id(entry) or "PERSONA_ID"))


def print_entry(name: str) -> Command:
    """Return the command that prints what was sent, as an entry of the manifest."""
    return Command("state show", (name,), (Option("format", "manifest"),))


def conflict(name: str, entry: Entry | None = None) -> tuple[Way, ...]:
    """Say how the ID of a persona that exists comes to be known."""
    if entry is not None and entry.rivals:
        force = (Option("force"),)
        return tuple(
            Way(f"if it is {each}", Command("import", (name, each), force)) for each in entry.ids
        )
    if answered_id(entry):
        words = f"{_ANOTHER_AUDIO}, or record the ID that a kept answer shows"
    else:
        words = (
            f"{_ANOTHER_AUDIO}, or find its ID where it was made, or in an older copy of the state,"
            " and record it"
        )
    return (Way(words, record(name, entry), RECORD_MANY),)


def changed(name: str) -> tuple[Way, ...]:
    """Say how manifest and state come to agree on what was sent."""
    words = (
        f"{_ANOTHER_AUDIO}, accept it (state accept), or put it back as it was sent; to print that"
    )
    return (Way(words, print_entry(name)),)


def removed(name: str, entry: Entry | None) -> tuple[Way, ...]:
    """Say what becomes of an audio that the manifest no longer has."""
    if entry is not None and entry.status is Status.PENDING:
        words = f"{_PUT_BACK} and apply, {_ASKS_AGAIN}; to print its entry"
        return (Way(words, print_entry(name)),)
    kept = " (its ID is kept)" if entry is not None and entry.persona_id else ""
    return (Way(f"{_PUT_BACK}, or hide it{kept}", Command("state rm", (name,))),)


def put_back_and_apply(name: str, apply: Command = APPLY) -> NextStep:
    """Say how a persona that only the state has comes to be made after all."""
    return NextStep(f"{_PUT_BACK}, as this prints it: ", print_entry(name), "; then run: ", apply)
