"""The API key: read from the environment or a file, and never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from personasync.errors import ConfigurationError

KEY_VARIABLE: Final = "PERSONASYNC_API_KEY"
FILE_VARIABLE: Final = "PERSONASYNC_API_KEY_FILE"
_SHAPE: Final = re.compile(r"[!-~]{1,4096}")
_FILE_LIMIT: Final = 8192


@dataclass(frozen=True, slots=True, repr=False)
class ApiKey:
    """The secret. It prints as ``***``; only ``value`` gives it away."""

    value: str

    def __repr__(self) -> str:
        return "ApiKey(***)"

    def __str__(self) -> str:
        return "***"

    def redact(self, text: str) -> str:
        """Return a text with every occurrence of the key replaced."""
        return text.replace(self.value, "***")


def read_api_key(environment: Mapping[str, str]) -> ApiKey | None:
    """Return the key that the environment gives or points to, or ``None``.

    Raises ``ConfigurationError`` for a file that cannot be read and a key that
    cannot be one; neither message shows it.
    """
    value = environment.get(KEY_VARIABLE, "").strip()
    source = KEY_VARIABLE
    if not value:
        path = environment.get(FILE_VARIABLE, "")
        if not path:
            return None
        source = f"the file that {FILE_VARIABLE} names"
        value = _read(Path(path))
        if not value:
            raise ConfigurationError(f"{source} is empty")
    if not _SHAPE.fullmatch(value):
        raise ConfigurationError(
            f"{source} holds something that cannot be an API key",
            hint="a key is one line of printable ASCII without spaces; was it pasted whole?",
        )
    return ApiKey(value)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_LIMIT).decode("utf-8", "replace").strip()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path}, which {FILE_VARIABLE} names: {error.strerror}"
        ) from error
