"""Recorded IDs in the forms that scripts read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from personasync.model.errors import PersonasyncError
from personasync.model.steps import NextStep, Option
from personasync.render.safe import defuse, json_text, page, printable, shell_word


@dataclass(frozen=True, slots=True)
class Output:
    """One recorded persona, as scripts get it."""

    key: str
    persona_id: str
    audio_id: str
    task_id: str | None
    name: str | None


def render_text(outputs: Sequence[Output]) -> str:
    """Return a line each: key, tab, ID."""
    return page(f"{printable(each.key)}\t{printable(each.persona_id)}" for each in outputs)


def render_id(persona_id: str) -> str:
    """Return one raw ID and a newline; what no API can have given is shown escaped."""
    return page([printable(persona_id)])


def render_json(outputs: Sequence[Output]) -> str:
    """Return ``{key: {"personaId", "audioId", "taskId", "name"}}``."""
    document = {
        output.key: {
            "personaId": output.persona_id,
            "audioId": output.audio_id,
            "taskId": output.task_id,
            "name": output.name,
        }
        for output in outputs
    }
    return json_text(document, indent=2) + "\n"


def render_csv(outputs: Sequence[Output]) -> str:
    """Return RFC 4180 lines under a header: key, personaId, audioId, taskId, name.

    A text stands on one line, its control characters escaped.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["key", "personaId", "audioId", "taskId", "name"])
    for each in outputs:
        cells = (each.key, each.persona_id, each.audio_id, each.task_id, each.name)
        writer.writerow([defuse(printable(cell)) if cell else cell for cell in cells])
    return text.getvalue()


def render_env(outputs: Sequence[Output]) -> str:
    """Return assignments that are safe to ``source``: ``PERSONA_NEON_SIREN='…'``.

    Raises ``PersonasyncError`` when two keys would make the same variable.
    """
    variables: dict[str, Output] = {}
    for output in outputs:
        name = variable_name(output.key)
        if name in variables:
            raise PersonasyncError(
                f"the keys {variables[name].key!r} and {output.key!r} both become ${name}",
                hint=NextStep("use ", Option("format", "json"), ", or rename one of them"),
            )
        variables[name] = output
    return "".join(
        f"{name}={shell_word(output.persona_id)}\n" for name, output in variables.items()
    )


def variable_name(key: str) -> str:
    """Return the environment variable of a key: ``neon-siren`` is ``PERSONA_NEON_SIREN``."""
    return "PERSONA_" + re.sub(r"[^A-Z0-9]", "_", key.upper(), flags=re.ASCII)


FORMATS: Final[Mapping[str, Callable[[Sequence[Output]], str]]] = {
    "text": render_text,
    "json": render_json,
    "csv": render_csv,
    "env": render_env,
}
"""Every format of ``personasync output`` by its name."""
