"""Recorded IDs in the forms that scripts read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from personasync.model.cells import inert_cell
from personasync.model.contract import is_persona_id
from personasync.model.errors import PersonasyncError
from personasync.model.spelling import cut
from personasync.model.steps import Command, NextStep, Option
from personasync.render.safe import defuse, json_page, page, printable, shell_word


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
    return json_page(document)


def render_csv(outputs: Sequence[Output]) -> str:
    """Return RFC 4180 lines under a header: key, personaId, audioId, taskId, name.

    A text stands on one line, its control characters escaped; a cell that a
    spreadsheet would compute has a ``'`` before it.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["key", "personaId", "audioId", "taskId", "name"])
    for each in outputs:
        cells = (each.key, each.persona_id, each.audio_id, each.task_id, each.name)
        writer.writerow([inert_cell(defuse(printable(cell))) if cell else cell for cell in cells])
    return text.getvalue()


def render_map(outputs: Sequence[Output]) -> str:
    """Return ``{key: personaId}``, texts alone, as Terraform's external data and others read it."""
    return json_page({output.key: output.persona_id for output in outputs})


def render_env(outputs: Sequence[Output]) -> str:
    """Return assignments that any POSIX shell can source: ``PERSONA_NEON_SIREN=a1b2``.

    Raises ``PersonasyncError`` as ``_variables`` does.
    """
    variables = _variables(outputs).items()
    return "".join(f"{name}={shell_word(persona_id)}\n" for name, persona_id in variables)


def render_powershell(outputs: Sequence[Output]) -> str:
    """Return assignments for PowerShell: ``$env:PERSONA_NEON_SIREN = 'a1b2'``.

    Raises ``PersonasyncError`` as ``_variables`` does.
    """
    quoted = {name: text.replace("'", "''") for name, text in _variables(outputs).items()}
    return "".join(f"$env:{name} = '{persona_id}'\n" for name, persona_id in quoted.items())


def _variables(outputs: Sequence[Output]) -> dict[str, str]:
    """Return the variables and the IDs that a shell is to read.

    Raises ``PersonasyncError`` when two keys would make the same variable, and
    for an ID that no API can have given: somebody wrote it for the shell.
    """
    variables: dict[str, Output] = {}
    for output in outputs:
        if not is_persona_id(output.persona_id):
            raise PersonasyncError(
                f"what the state has for {output.key!r} is no ID that an API can have given:"
                f" {cut(output.persona_id)!r}",
                hint=NextStep("look where it comes from: ", Command("state show", (output.key,))),
            )
        name = variable_name(output.key)
        if name in variables:
            raise PersonasyncError(
                f"the keys {variables[name].key!r} and {output.key!r} both become ${name}",
                hint=NextStep("use ", Option("format", "json"), ", or rename one of them"),
            )
        variables[name] = output
    return {name: output.persona_id for name, output in variables.items()}


def variable_name(key: str) -> str:
    """Return the environment variable of a key: ``neon-siren`` is ``PERSONA_NEON_SIREN``."""
    return "PERSONA_" + re.sub(r"[^A-Z0-9]", "_", key.upper(), flags=re.ASCII)


FORMATS: Final[Mapping[str, Callable[[Sequence[Output]], str]]] = {
    "text": render_text,
    "json": render_json,
    "csv": render_csv,
    "env": render_env,
    "map": render_map,
    "powershell": render_powershell,
}
"""Every format of ``personasync output`` by its name."""
