"""The API that a command asks: the real one with its key, or the sandbox's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from personasync.api.key import FILE_VARIABLE, KEY_VARIABLE, ApiKey, read_api_key
from personasync.cli.rehearsal import rehearsal
from personasync.cli.workspace import Workspace
from personasync.model.errors import ConfigurationError
from personasync.model.persona import Manifest
from personasync.model.steps import Command, NextStep, Option

if TYPE_CHECKING:
    from personasync.api.client import HttpApi
    from personasync.api.tasks import HttpTasks


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to connect and to answer."""

    connect: float
    read: float


FOR_QUESTIONS: Final = Timeouts(connect=10.0, read=60.0)
"""Of what only asks, nothing is lost when it is given up."""


@dataclass(frozen=True, slots=True)
class Apis:
    """The two things that one API is asked for: to make personas, and what it knows of tasks."""

    personas: HttpApi
    tasks: HttpTasks


@contextmanager
def open_apis(
    workspace: Workspace, manifest: Manifest | None, timeouts: Timeouts, *, name: str
) -> Iterator[Apis]:
    """Yield the API in use; ``name`` is the command that could rehearse without a key."""
    if not workspace.sandbox:
        yield _apis(workspace.api, require_key(workspace, name), timeouts, direct=False)
        return
    with rehearsal(workspace, manifest) as sandbox:
        yield _apis(sandbox.base_url, ApiKey("sandbox"), timeouts, direct=True)


def _apis(base_url: str, key: ApiKey, timeouts: Timeouts, *, direct: bool) -> Apis:
    from personasync.api.client import HttpApi
    from personasync.api.tasks import HttpTasks

    connect, read = timeouts.connect, timeouts.read
    return Apis(
        HttpApi(base_url, key, connect_timeout=connect, read_timeout=read, direct=direct),
        HttpTasks(
            base_url,
            key,
            connect_timeout=connect,
            read_timeout=min(read, FOR_QUESTIONS.read),
            direct=direct,
        ),
    )


def require_key(workspace: Workspace, name: str) -> ApiKey:
    """Return the API key; raises ``ConfigurationError`` where there is none."""
    key = read_api_key(os.environ)
    if key is None:
        rehearse = Command(name, (), (Option("sandbox"),))
        # A state that is named is not the sandbox's.
        also = ("; or rehearse without one: ", rehearse) if workspace.state is None else ()
        mend = f"set {KEY_VARIABLE}, or {FILE_VARIABLE} to the file that holds it"
        raise ConfigurationError("there is no API key", hint=NextStep(mend, *also))
    return key
