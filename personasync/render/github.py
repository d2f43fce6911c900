"""Workflow commands: the lines of a log that GitHub's runner obeys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def workflow_command(name: str, properties: Mapping[str, str], message: Iterable[str]) -> str:
    """Return one command, such as ``::warning file=personas.yaml::…``, without a newline.

    ``message`` is given by lines. No text, whatever it holds, ends the command
    or sets a property of it; control characters are the caller's to make
    printable.
    """
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name}{' ' if given else ''}{given}::{_data(chr(10).join(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
