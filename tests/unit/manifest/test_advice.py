"""Advice is tried: what a hint says to write is written, and is not refused then."""

from pathlib import Path

import pytest

from personasync.model.diagnostics import Diagnostic
from tests.helpers.advice import followed, objections, validate

EXAMPLES = Path(__file__).parents[2] / "examples"
MANIFESTS = sorted(path for path in EXAMPLES.glob("*/*.yaml") if path.is_file())
FEWEST_TRIED = 150


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        return None


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _validated(text: str) -> tuple[Diagnostic, ...]:
    Path("personas.yaml").write_bytes(text.encode())
    return validate("personas.yaml")


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=f"{p.parent.name}/{p.stem}") for p in MANIFESTS]
)
def test_no_advice_is_refused_when_it_is_followed(path: Path) -> None:
    text = _text(path)
    if text is None:
        return
    found = _validated(text)
    for diagnostic in found:
        changed = followed(text.removeprefix("\ufeff"), diagnostic)
        if changed is not None:
            assert objections(diagnostic, found, _validated(changed)) == [], changed


def test_most_of_the_advice_with_a_replacement_was_tried() -> None:
    tried = 0
    for path in MANIFESTS:
        text = _text(path)
        if text is not None:
            changes = (followed(text.removeprefix("\ufeff"), d) for d in _validated(text))
            tried += sum(changed is not None for changed in changes)
    assert tried >= FEWEST_TRIED
