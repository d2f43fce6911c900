"""Voice personas as code: plan and apply a YAML manifest, and never lose an ID.

The library is what the command line is made of::

    manifest = personasync.load_manifest(["personas.yaml"])
    api = personasync.DEFAULT_BASE_URL
    log = personasync.FileStateLog(pathlib.Path("personas.state.jsonl"), api=api)
    with log.lock():
        plan = personasync.compute_plan(manifest, log.read().fold())
        key = personasync.ApiKey(os.environ["PERSONASYNC_API_KEY"])
        account = personasync.apply(plan, log=log, api=personasync.HttpApi(api, key))

Names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

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
    from personasync.engine.events import Underway as Underway
    from personasync.manifest.load import load_manifest as load_manifest
    from personasync.model.answer import KeptAnswer as KeptAnswer
    from personasync.model.contract import DEFAULT_BASE_URL as DEFAULT_BASE_URL
    from personasync.model.diagnostics import Diagnostic as Diagnostic
    from personasync.model.diagnostics import Place as Place
    from personasync.model.diagnostics import Related as Related
    from personasync.model.diagnostics import Severity as Severity
    from personasync.model.errors import ManifestError as ManifestError
    from personasync.model.errors import PersonasyncError as PersonasyncError
    from personasync.model.outcome import Conflict as Conflict
    from personasync.model.outcome import Created as Created
    from personasync.model.outcome import Moved as Moved
    from personasync.model.outcome import NotSent as NotSent
    from personasync.model.outcome import Outcome as Outcome
    from personasync.model.outcome import Refused as Refused
    from personasync.model.outcome import Throttled as Throttled
    from personasync.model.outcome import Unclear as Unclear
    from personasync.model.persona import Manifest as Manifest
    from personasync.model.persona import Persona as Persona
    from personasync.model.persona import PersonaRequest as PersonaRequest
    from personasync.model.persona import Settings as Settings
    from personasync.model.steps import Command as Command
    from personasync.model.steps import NextStep as NextStep
    from personasync.model.steps import Option as Option
    from personasync.model.units import Rate as Rate
    from personasync.plan.compute import Action as Action
    from personasync.plan.compute import ActionKind as ActionKind
    from personasync.plan.compute import Change as Change
    from personasync.plan.compute import Plan as Plan
    from personasync.plan.compute import compute_plan as compute_plan
    from personasync.plan.preflight import Verdict as Verdict
    from personasync.state import Entry as Entry
    from personasync.state import FileStateLog as FileStateLog
    from personasync.state import Header as Header
    from personasync.state import Holder as Holder
    from personasync.state import LogContents as LogContents
    from personasync.state import Origin as Origin
    from personasync.state import ServiceMoved as ServiceMoved
    from personasync.state import State as State
    from personasync.state import StateLog as StateLog
    from personasync.state import Status as Status
    from personasync.state import load_state as load_state
    from personasync.state import open_log as open_log

_NAMES = {
    "api.client": "HttpApi",
    "api.key": "ApiKey",
    "engine": "ApplyOptions Listener PersonaApi apply",
    "engine.events": "Account Event EventKind PersonaResult Result Underway",
    "manifest.load": "load_manifest",
    "model.answer": "KeptAnswer",
    "model.contract": "DEFAULT_BASE_URL",
    "model.diagnostics": "Diagnostic Place Related Severity",
    "model.errors": "ManifestError PersonasyncError",
    "model.outcome": "Conflict Created Moved NotSent Outcome Refused Throttled Unclear",
    "model.persona": "Manifest Persona PersonaRequest Settings",
    "model.steps": "Command NextStep Option",
    "model.units": "Rate",
    "plan.compute": "Action ActionKind Change Plan compute_plan",
    "plan.preflight": "Verdict",
    "state": "Entry FileStateLog Header Holder LogContents Origin ServiceMoved State StateLog"
    " Status load_state open_log",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *_HOMES]


if not TYPE_CHECKING:  # or a type checker would take every name for one of these

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
