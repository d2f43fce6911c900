"""What a test needs and a machine may lack: a reason to skip, unless it must be here.

``PERSONASYNC_TEST_REQUIRE`` names what must: ``s3``, ``postgres``, ``npm``, ``index``,
``hadolint``, ``mypy``, a shell. So a machine that has it all cannot pass by skipping.
"""

from __future__ import annotations

import os
from typing import Final, NoReturn

import pytest

REQUIRED: Final = frozenset(os.environ.get("PERSONASYNC_TEST_REQUIRE", "").split(",")) - {""}
"""Read before tests are shut off from the environment."""


def missing(what: str, reason: str) -> NoReturn:
    """Skip this test for want of something; fail it where that must be here."""
    if what in REQUIRED:
        pytest.fail(f"{what}: {reason}", pytrace=False)
    pytest.skip(f"{what}: {reason}")


def check_index(said: str) -> None:
    """Skip where pip's words tell that it reached no index.

    A version that an index does not have is another matter: pip then names those that it has.
    """
    if "(from versions: none)" in said or "NewConnectionError" in said:
        missing("index", "pip reaches none here")
