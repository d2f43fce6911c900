"""The software of others that these tests run, where ``bash .ci/peers`` has installed it."""

from __future__ import annotations

from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".cache" / "peers"


def installed(name: str) -> Path:
    """Return a file of what is installed; the test is skipped where it is not there."""
    path = CACHE / name
    if not path.exists():
        pytest.skip(f"there is no {path.name} here: bash .ci/peers installs it")
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them start interpreters, some of them many."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture
def schemathesis() -> Path:
    """Sends what an OpenAPI description allows, and what it does not."""
    return installed("venv/bin/st")


@pytest.fixture
def prism() -> Path:
    """Holds both sides of a conversation against an OpenAPI description."""
    return installed("node_modules/.bin/prism")
