"""Voice personas as code: plan and apply a YAML manifest, and never lose an ID.

The library is what the command line is made of::

    manifest = personasync.load_manifest(["personas.yaml"])
    log = personasync.FileStateLog(Path("personas.state.jsonl"), api=BASE_URL)
    with log.lock():
        plan = personasync.compute_plan(manifest, log.read().fold())
        account = personasync.apply(plan, log=log, api=HttpApi(BASE_URL, key))

Names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from personasync.model.version import __version__

if TYPE_CHECKING:
    from personasync.api.client import HttpApi
    from personasync.api.key import ApiKey
    from personasync.engine import ApplyOptions, apply
    from personasync.manifest.load import load_manifest
    from personasync.model.errors import PersonasyncError
    from personasync.model.persona import Manifest, Persona, PersonaRequest
    from personasync.plan.compute import Action, ActionKind, Plan, compute_plan
    from personasync.state import FileStateLog, State, StateLog, load_state

_HOMES = {
    "Action": "plan.compute",
    "ActionKind": "plan.compute",
    "ApiKey": "api.key",
    "ApplyOptions": "engine",
    "FileStateLog": "state",
    "HttpApi": "api.client",
    "Manifest": "model.persona",
    "Persona": "model.persona",
    "PersonaRequest": "model.persona",
    "PersonasyncError": "model.errors",
    "Plan": "plan.compute",
    "State": "state",
    "StateLog": "state",
    "apply": "engine",
    "compute_plan": "plan.compute",
    "load_manifest": "manifest.load",
    "load_state": "state",
}

__all__ = [
    "Action",
    "ActionKind",
    "ApiKey",
    "ApplyOptions",
    "FileStateLog",
    "HttpApi",
    "Manifest",
    "Persona",
    "PersonaRequest",
    "PersonasyncError",
    "Plan",
    "State",
    "StateLog",
    "__version__",
    "apply",
    "compute_plan",
    "load_manifest",
    "load_state",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
