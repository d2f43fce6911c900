"""The facts of the API: its base, path, fields, codes, and the shape of an ID."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

DEFAULT_BASE_URL: Final = "https://apibox.erweima.ai"
"""The API's default base."""


GENERATE_PATH: Final = "/api/v1/generate/generate-persona"
"""Where a persona is made; POST."""


RECORD_INFO_PATH: Final = "/api/v1/generate/record-info"
"""Where a task is described; GET, with ``taskId``."""


CREDIT_PATH: Final = "/api/v1/generate/credit"
"""Where the credits that are left are told; GET."""


SUCCESS: Final = 200
UNAUTHORIZED: Final = 401
NO_CREDITS: Final = 402
PROXY_REFUSED: Final = 407
"""Never the API's: the proxy on the way wants a name and a password."""
EXISTS_CODE: Final = 409
"""The audio has a persona already."""
UNFETCHABLE: Final = 451
"""The music could not be fetched; seen to pass by itself within a minute."""
MAINTENANCE: Final = 455


RATE_LIMITED: Final = frozenset({429, 430})
THROTTLED: Final = RATE_LIMITED | {405}
"""Called too often. The page has only 429; the others were seen."""


MOVED_FOR_GOOD: Final = frozenset({301, 308})


LATE_CODES: Final = frozenset({408, 504, 524})
"""What gateways say when they would not wait for the API any longer."""


GATEWAY_CODES: Final = frozenset({408, 421, 425, 460, 499})
"""What gateways say of the way to the API; about the persona they say nothing."""


REFUSED_IN_ANY_FORM: Final = frozenset({401, 402, 403, 404, 413})
"""Codes that refuse for good even where a gateway says them, and not the API's own JSON."""


SANDBOX_API: Final = "sandbox"
"""What a state's header names as its API when the embedded sandbox made the IDs."""


DEFAULT_VOCAL_START: Final = 0
"""Seconds; what the API assumes when ``vocalStart`` is not sent."""


DEFAULT_VOCAL_END: Final = 30
"""Seconds; what the API assumes when ``vocalEnd`` is not sent."""


LONGEST_ID: Final = 256
"""Characters of a persona's ID."""


_PERSONA_ID: Final = re.compile(f"[!-~]{{1,{LONGEST_ID}}}")


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
    | \#(?:n/a|ref!|value!|name\?|div/0!|null!|num!|spill!|calc!)  # what a spreadsheet failed at
    | todo | tb[ad] | fixme | change[-_ ]?me | placeholder | string | uuid | guid
    """,
    re.DOTALL | re.VERBOSE,
)
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
    if PLAIN_ID.fullmatch(text) or len(text) > LONGEST_ID:
        return False
    text = text.strip()
    folded = text.lower()
    return (
        text in others
        or _URL.match(folded) is not None
        or _CUT_OR_TEMPLATE.search(folded) is not None
        or _PLACEHOLDER.fullmatch(folded) is not None
    )
