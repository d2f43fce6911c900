"""The package's face: every public name is there, for a program and for a type checker."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import personasync

FACE = Path(personasync.__file__)


@pytest.mark.parametrize("name", personasync.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(personasync, name) is not None


def test_a_type_checker_sees_the_same_names() -> None:
    imported = {
        alias.asname
        for node in ast.walk(ast.parse(FACE.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert imported == set(personasync.__all__)


def test_another_name_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nobody'"):
        _ = personasync.nobody
