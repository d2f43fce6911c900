"""The values that every part shares: personas, what is sent for them, the manifest."""

from __future__ import annotations

from dataclasses import dataclass, field

from personasync.model.contract import API_FIELDS, DEFAULT_VOCAL_END, DEFAULT_VOCAL_START
from personasync.model.diagnostics import Diagnostic, Place
from personasync.model.units import Rate


@dataclass(frozen=True, slots=True)
class PersonaRequest:
    """What is sent to create a persona. ``None`` means not given, and so not sent.

    ``vocal_start`` and ``vocal_end`` are seconds into the track.
    """

    task_id: str
    audio_id: str
    name: str
    description: str
    vocal_start: float | None = None
    vocal_end: float | None = None
    style: str | None = None

    def to_json(self) -> dict[str, str | float]:
        """Return the request body: the API's field names, without the fields not given."""
        values = ((api, getattr(self, attribute)) for api, attribute in API_FIELDS.items())
        return {api: value for api, value in values if value is not None}

    def effective(self) -> dict[str, str | float | None]:
        """Return what the request means to the API: every field, its own defaults filled in."""
        values: dict[str, str | float | None] = {
            api: getattr(self, attribute) for api, attribute in API_FIELDS.items()
        }
        values["vocalStart"], values["vocalEnd"] = self.segment
        return values

    @property
    def segment(self) -> tuple[float, float]:
        """The seconds of the track that are analysed: given, or the API's own default."""
        return (
            DEFAULT_VOCAL_START if self.vocal_start is None else self.vocal_start,
            DEFAULT_VOCAL_END if self.vocal_end is None else self.vocal_end,
        )


@dataclass(frozen=True, slots=True)
class Persona:
    """One entry of the manifest.

    ``place`` is where its key stands; ``persona_id`` is set when the manifest
    adopts a persona that already exists, and ``persona_id_place`` is where.
    """

    key: str
    request: PersonaRequest
    place: Place
    persona_id: str | None = None
    persona_id_place: Place | None = None

    @property
    def audio_id(self) -> str:
        """The identity of the persona."""
        return self.request.audio_id


@dataclass(frozen=True, slots=True)
class Settings:
    """The manifest's ``settings``; ``None`` where it says nothing."""

    parallelism: int | None = None
    rate_limit: Rate | None = None
    max_creates: int | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The personas that should exist, in the order of files and lines.

    ``files`` are the files read, as the user would name them; ``warnings`` are
    what is worth saying about a manifest that can be used.
    """

    personas: tuple[Persona, ...]
    settings: Settings = field(default_factory=Settings)
    files: tuple[str, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
