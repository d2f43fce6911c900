"""The facts of the API: its base, path, fields, codes, and the shape of an ID."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

DEFAULT_BASE_URL: Final = "https://apibox.erweima.ai"
"""The API's default base (api.md §1)."""


GENERATE_PATH: Final = "/api/v1/generate/generate-persona"
RECORD_INFO_PATH: Final = "/api/v1/generate/record-info"
CREDIT_PATH: Final = "/api/v1/generate/credit"
"""The calls, below the base: make a persona, describe a task, tell the credits left."""


SANDBOX_API: Final = "sandbox"
"""What a state's header names as its API when the embedded sandbox made the IDs."""


EXISTS_CODE: Final = 409
"""The API's code for an audio that has a persona already."""


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


_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*:/|//|www\.|(?:[a-z0-9-]+\.)+[a-z]{2,}/")
_CUT_OR_TEMPLATE: Final = re.compile(r"\*\*|[•…]|\.\.\.|<[^>]*>|\{(?![0-9a-f]{8}-)[^}]*\}")
_PLACEHOLDER: Final = re.compile(
    r"""
      [0-9a-f-]*x{3,}[0-9a-fx-]* | x+(?:-x+)*          # masked
    | \$\w+ | %\w+%                                    # left over from a template
    | \W+ | _+ | [0-]+ | \[object\ object\]
    | (?: (?:(?:the|your|my|some)[-_ ]?)? (?:persona|task|audio|track|clip|song) \d*
      | \d* | your[-_ ]?\w* ) [-_ ]? id s? (?:[-_ ]?here)?
    | (?:insert|paste|put|enter|your)[-_ ].* | .*[-_ ]here
    | null | nil | none | undefined | nan | n/?a | unknown | true | false
    | todo | tb[ad] | fixme | change[-_ ]?me | placeholder | string | uuid | guid
    """,
    re.DOTALL | re.VERBOSE,
)
_LONGEST_PLACEHOLDER: Final = 256
PLAIN_ID: Final = re.compile("[0-9a-f-]*[1-9][0-9a-f-]*")
"""IDs as services make them: hexadecimal digits and dashes, to be told from others at a glance.

None of them is a placeholder, an address, or hard to read; most IDs are such.
"""


def is_url(text: str) -> bool:
    """Whether a text is an address, as a browser shows it, rather than an ID."""
    return _URL.match(text.strip().lower()) is not None


def is_placeholder(text: str, *others: str) -> bool:
    """Whether a text stands where an ID belongs, and is none, such as ``PERSONA_ID`` or ``null``.

    So is a masked ID, ``a1b2****c3d4``; what a template or a program left;
    an address; and one of the ``others``, the IDs of other things that
    belong to the same persona.
    """
    if text in others:
        return True
    if PLAIN_ID.fullmatch(text) or len(text) > _LONGEST_PLACEHOLDER:
        return False
    text = text.strip()
    folded = text.lower()
    return (
        text in others
        or _URL.match(folded) is not None
        or _CUT_OR_TEMPLATE.search(folded) is not None
        or _PLACEHOLDER.fullmatch(folded) is not None
    )
