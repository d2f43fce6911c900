"""A sandbox in the test's own process, for a command in another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import personasync
from personasync.api.key import ApiKey
from personasync.sandbox import SandboxConfig
from tests.helpers.sandbox import Sandbox
from tests.helpers.support import Tool

KEY = "an-api-key-that-nobody-has"
STATE = "personas.state.jsonl"
NO_CHANGES = "No changes. Every persona in the manifest is recorded."


@contextmanager
def serving(tool: Tool, **config: Any) -> Iterator[Sandbox]:
    """Serve a sandbox that ``tool`` uses from now on."""
    with Sandbox(SandboxConfig(**config)) as sandbox:
        tool.environment.update(PERSONASYNC_BASE_URL=sandbox.base_url, PERSONASYNC_API_KEY=KEY)
        yield sandbox


def made(sandbox: Sandbox) -> dict[str, str]:
    """Return what a sandbox has made: persona IDs by ``audioId``."""
    return {audio: persona.persona_id for audio, persona in sandbox.personas().items()}


def recorded(path: Path) -> dict[str, str]:
    """Return the IDs that a state file holds, by ``audioId``, the last of each."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {line["audioId"]: line["personaId"] for line in lines if "personaId" in line}


def apply_here(tool: Tool, sandbox: Sandbox, manifest: str = "personas.yaml") -> None:
    """Apply a manifest in this process, as fast as it goes: what a test begins with."""
    path = tool.folder / manifest
    log = personasync.FileStateLog(path.with_name(STATE), api=sandbox.base_url)
    api = personasync.HttpApi(sandbox.base_url, ApiKey(KEY))
    options = personasync.ApplyOptions(rate=None)
    with log.lock():
        plan = personasync.compute_plan(personasync.load_manifest([path]), log.read().fold())
        assert personasync.apply(plan, log=log, api=api, options=options).complete
        log.compact()
