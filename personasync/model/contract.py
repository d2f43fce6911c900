"""The facts of the API: its base, path, fields, codes, and the shape of an ID."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

DEFAULT_BASE_URL: Final = "https://apibox.erweima.ai"
"""The API's default base (api.md §1)."""


SANDBOX_API: Final = "sandbox"
"""What a state's header names as its API when the embedded sandbox made the IDs."""


DEFAULT_VOCAL_START: Final = 0
"""Seconds; what the API assumes when ``vocalStart`` is not sent (api.md §1)."""


DEFAULT_VOCAL_END: Final = 30
"""Seconds; what the API assumes when ``vocalEnd`` is not sent (api.md §1)."""


_PERSONA_ID: Final = re.compile(r"[!-~]{1,256}")


_WORKFLOW_COMMAND: Final = re.compile(r"^::|##\w*\[")


API_FIELDS: Final[Mapping[str, str]] = {
    "taskId": "task_id",
    "audioId": "audio_id",
    "name": "name",
    "description": "description",
    "vocalStart": "vocal_start",
    "vocalEnd": "vocal_end",
    "style": "style",
}
"""The API's field names, in the order they are written, and the attributes that hold them."""


def is_persona_id(text: str) -> bool:
    """Whether a text can be a persona's ID: printable ASCII, no spaces, at most 256 characters.

    Nor can it be what a CI log would obey where ``personasync output`` prints it.
    """
    return bool(_PERSONA_ID.fullmatch(text)) and not _WORKFLOW_COMMAND.search(text)
