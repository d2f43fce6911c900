"""The apply protocol: how a plan is carried out without ever losing an ID."""

from personasync.engine.apply import DEFAULT_RATE, ApplyOptions, Listener, apply
from personasync.engine.creation import PersonaApi, utc_now

__all__ = ["DEFAULT_RATE", "ApplyOptions", "Listener", "PersonaApi", "apply", "utc_now"]
