"""The package's face: every public name is there, for a program and for a type checker."""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import personasync

FACE = Path(personasync.__file__)
PUBLIC = {name: getattr(personasync, name) for name in personasync.__all__}
NOT_FOR_PROGRAMS = {"Checked"}
"""What only the command hands over: what its own check found."""


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
        getattr(personasync, "nobody")  # noqa: B009 - a type checker refuses it otherwise


def test_a_type_checker_takes_no_other_name() -> None:
    """Where it saw ``__getattr__``, it would take every name for public."""
    [*_, last] = ast.parse(FACE.read_text(encoding="utf-8")).body
    assert isinstance(last, ast.If)
    assert ast.unparse(last.test) == "not TYPE_CHECKING"
    assert [node.name for node in last.body if isinstance(node, ast.FunctionDef)] == ["__getattr__"]


def _named(hint: object) -> Iterator[type]:
    """Yield the package's classes that an annotation names."""
    if isinstance(hint, type) and hint.__module__.startswith("personasync."):
        yield hint
    parameters = hint if isinstance(hint, list) else typing.get_args(hint)
    for each in parameters:
        yield from _named(each)


def _annotations(public: object) -> Iterator[object]:
    described = [public]
    if inspect.isclass(public):
        described += [
            member.fget if isinstance(member, property) else member
            for name, member in vars(public).items()
            if not name.startswith("_") and (inspect.isfunction(member) or hasattr(member, "fget"))
        ]
    for each in described:
        if inspect.isclass(each) or inspect.isfunction(each):
            yield from typing.get_type_hints(each, localns=PUBLIC).values()


@pytest.mark.parametrize("name", personasync.__all__)
def test_what_a_public_name_speaks_of_is_public(name: str) -> None:
    """A program can name all that it is given, and make all that it must give."""
    spoken_of = {found for hint in _annotations(PUBLIC[name]) for found in _named(hint)}
    unknown = {each.__qualname__ for each in spoken_of if each not in PUBLIC.values()}
    assert unknown <= NOT_FOR_PROGRAMS


def test_an_api_and_a_log_of_ones_own() -> None:
    """Written as a user would, and held by a type checker to the protocols."""

    class Fixed:
        def create(self, request: personasync.PersonaRequest) -> personasync.Outcome:
            return personasync.Created(f"id-of-{request.audio_id}")

    api: personasync.PersonaApi = Fixed()
    request = personasync.PersonaRequest("task", "audio", "Name", "A voice")
    assert api.create(request) == personasync.Created("id-of-audio")
