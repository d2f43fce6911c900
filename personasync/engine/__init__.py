"""The apply protocol: how a plan is carried out without ever losing an ID."""

from personasync.engine.run import DEFAULT_RATE, ApplyOptions, Checked, Listener, PersonaApi, apply

__all__ = ["DEFAULT_RATE", "ApplyOptions", "Checked", "Listener", "PersonaApi", "apply"]
