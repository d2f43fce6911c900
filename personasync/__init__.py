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

if TYPE_CHECKING:
    from personasync.api.client import HttpApi
    from personasync.credentials import ApiKey
    from personasync.engine import ApplyOptions, apply
    from personasync.errors import PersonasyncError
    from personasync.manifest import load_manifest
    from personasync.model import Manifest, Persona, PersonaRequest
    from personasync.plan import Action, ActionKind, Plan, compute_plan
    from personasync.state import FileStateLog, State, StateLog, load_state

__version__ = "0.1.0"

_HOMES = {
    "Action": "plan",
    "ActionKind": "plan",
    "ApiKey": "credentials",
    "ApplyOptions": "engine",
    "FileStateLog": "state",
    "HttpApi": "api.client",
    "Manifest": "model",
    "Persona": "model",
    "PersonaRequest": "model",
    "PersonasyncError": "errors",
    "Plan": "plan",
    "State": "state",
    "StateLog": "state",
    "apply": "engine",
    "compute_plan": "plan",
    "load_manifest": "manifest",
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
