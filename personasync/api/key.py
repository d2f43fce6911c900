"""The API key: read from the environment or a file, and never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from personasync.model.errors import ConfigurationError

KEY_VARIABLE: Final = "PERSONASYNC_API_KEY"
_QUOTES: Final = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
FILE_VARIABLE: Final = "PERSONASYNC_API_KEY_FILE"
_SHAPE: Final = re.compile(r"[!-~]{1,4096}")
_FILE_LIMIT: Final = 8192
_SHORT: Final = 12
_TELLS_ITS_END: Final = 16
_SHORTEST_PREFIX: Final = 4

_read_pipes: dict[Path, str] = {}
"""What pipes gave: a pipe can be read only once, and the key may be asked for again."""


@dataclass(frozen=True, slots=True, repr=False)
class ApiKey:
    """The secret. It prints as ``***``; only ``value`` gives it away."""

    value: str

    def __repr__(self) -> str:
        return "ApiKey(***)"

    def __str__(self) -> str:
        return "***"

    @property
    def last_four(self) -> str | None:
        """The end of a key that is too long to be guessed from it; ``None`` for a shorter one."""
        return self.value[-4:] if len(self.value) >= _TELLS_ITS_END else None

    def redact(self, text: str) -> str:
        """Return a text with every occurrence of the key replaced.

        In any case and as JSON, Python and URLs escape it. A key of less than
        twelve characters may be a word, so it counts only where it stands alone.
        """
        return _occurrence(self.value).sub("***", text)

    def redact_cut(self, text: str) -> str:
        """Redact a text whose end may have been cut off inside the key."""
        text = self.redact(text)
        for length in range(len(self.value) - 1, _SHORTEST_PREFIX - 1, -1):
            if text.endswith(self.value[:length]):
                return f"{text[:-length]}***"
        return text


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
    slip = _slip(value)
    if slip is not None or not _SHAPE.fullmatch(value):
        raise ConfigurationError(
            f"{source} holds something that cannot be an API key",
            hint=slip
            or "a key is one line of printable ASCII without spaces; was it pasted whole?",
        )
    return ApiKey(value)


def _slip(value: str) -> str | None:
    """Say what was pasted with a key, where it is plain that it is not part of it."""
    if value[0] in _QUOTES and value[-1] in _QUOTES:
        return "leave out the quotes around it: here they count as part of the key"
    if re.match(r"(?:Authorization\s*:\s*)?Bearer\b", value, re.IGNORECASE):
        return "leave out what stands before the key itself, such as `Bearer`: it is added again"
    if value.startswith((f"{KEY_VARIABLE}=", "export ")):
        return f"the key alone belongs there, without `{KEY_VARIABLE}=`"
    return None


@lru_cache(maxsize=4)
def _occurrence(value: str) -> re.Pattern[str]:
    pieces = []
    for run in re.findall(r"\\+|[^\\]", value):
        code = f"{ord(run[0]):02x}"
        if run[0] == "\\":  # each may be doubled twice; the next character's own come on top
            pieces.append(rf"(?:\\u005c|\\|%5c){{{len(run)},{4 * len(run) + 4}}}")
            continue
        escapes = r"\\{0,4}" if pieces and not pieces[-1].startswith(r"(?:\\u005c") else ""
        pieces.append(rf"{escapes}(?:{re.escape(run)}|\\u00{code}|%{code})")
    pattern = "".join(pieces)
    if len(value) < _SHORT:
        pattern = rf"(?<![\w-]){pattern}(?![\w-])"
    return re.compile(pattern, re.IGNORECASE | re.ASCII)


def _read(path: Path) -> str:
    try:
        if path in _read_pipes:
            return _read_pipes[path]
        with path.open("rb") as file:
            text = file.read(_FILE_LIMIT).decode("utf-8-sig", "replace").strip()
        if path.is_fifo():
            _read_pipes[path] = text
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path}, which {FILE_VARIABLE} names: {error.strerror}"
        ) from error
    return text
