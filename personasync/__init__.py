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

from personasync.model.version import __version__ as __version__

if TYPE_CHECKING:
    from personasync.api.client import HttpApi as HttpApi
    from personasync.api.key import ApiKey as ApiKey
    from personasync.engine import ApplyOptions as ApplyOptions
    from personasync.engine import Listener as Listener
    from personasync.engine import PersonaApi as PersonaApi
    from personasync.engine import apply as apply
    from personasync.engine.events import Account as Account
    from personasync.engine.events import Event as Event
    from personasync.engine.events import EventKind as EventKind
    from personasync.engine.events import PersonaResult as PersonaResult
    from personasync.engine.events import Result as Result
    from personasync.manifest.load import load_manifest as load_manifest
    from personasync.model.diagnostics import Diagnostic as Diagnostic
    from personasync.model.diagnostics import Place as Place
    from personasync.model.errors import ManifestError as ManifestError
    from personasync.model.errors import PersonasyncError as PersonasyncError
    from personasync.model.outcome import Outcome as Outcome
    from personasync.model.persona import Manifest as Manifest
    from personasync.model.persona import Persona as Persona
    from personasync.model.persona import PersonaRequest as PersonaRequest
    from personasync.model.units import Rate as Rate
    from personasync.plan.compute import Action as Action
    from personasync.plan.compute import ActionKind as ActionKind
    from personasync.plan.compute import Plan as Plan
    from personasync.plan.compute import compute_plan as compute_plan
    from personasync.state import Entry as Entry
    from personasync.state import FileStateLog as FileStateLog
    from personasync.state import LogContents as LogContents
    from personasync.state import State as State
    from personasync.state import StateLog as StateLog
    from personasync.state import Status as Status
    from personasync.state import load_state as load_state
    from personasync.state import open_log as open_log

_NAMES = {
    "api.client": "HttpApi",
    "api.key": "ApiKey",
    "engine": "ApplyOptions Listener PersonaApi apply",
    "engine.events": "Account Event EventKind PersonaResult Result",
    "manifest.load": "load_manifest",
    "model.diagnostics": "Diagnostic Place",
    "model.errors": "ManifestError PersonasyncError",
    "model.outcome": "Outcome",
    "model.persona": "Manifest Persona PersonaRequest",
    "model.units": "Rate",
    "plan.compute": "Action ActionKind Plan compute_plan",
    "state": "Entry FileStateLog LogContents State StateLog Status load_state open_log",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
