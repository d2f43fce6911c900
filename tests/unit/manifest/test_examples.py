"""Every manifest in tests/examples gives just the diagnostics that stand beside it.

``NAME.yaml``, or a folder ``NAME``, goes with ``NAME.expected``: adding the two
adds a test. With ``UPDATE_EXAMPLES=1`` in the environment the expected outputs
are written instead; read each one before you commit it.
"""

import os
from pathlib import Path

import pytest
import yaml

from personasync.manifest.load import load_manifest
from personasync.model.diagnostics import Diagnostic, Severity
from personasync.model.errors import ManifestError
from personasync.render.diagnostics import render_text

UPDATE = "UPDATE_EXAMPLES" in os.environ
WORDED_BY_LIBYAML = {"half-a-character"}
EXAMPLES = Path(__file__).parents[2] / "examples"


def _examples(kind: str) -> list[Path]:
    children = sorted((EXAMPLES / kind).iterdir())
    return [child for child in children if child.is_dir() or child.suffix in (".yaml", ".yml")]


def _diagnostics(name: str) -> tuple[Diagnostic, ...]:
    try:
        return load_manifest([name]).warnings
    except ManifestError as error:
        return error.diagnostics


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(path, id=f"{path.parent.name}/{path.name}")
        for kind in ("invalid", "valid")
        for path in _examples(kind)
    ],
)
@pytest.mark.parametrize("libyaml", [True, False], ids=["libyaml", "pure Python"])
def test_example(example: Path, libyaml: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not libyaml and example.stem in WORDED_BY_LIBYAML:
        pytest.skip("an error to both parsers, but the other one takes it for a character")
    monkeypatch.setattr(yaml, "__with_libyaml__", libyaml and yaml.__with_libyaml__)
    monkeypatch.chdir(example.parent)
    diagnostics = _diagnostics(example.name)
    expected = example.with_suffix(".expected")
    if UPDATE:
        expected.write_bytes(render_text(diagnostics).encode())
    assert render_text(diagnostics) == expected.read_bytes().decode()
    fails = any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
    assert fails == (example.parent.name == "invalid")


def test_no_expected_output_is_left_behind() -> None:
    expected = {path.with_suffix("") for path in EXAMPLES.glob("*/*.expected")}
    assert expected == {
        path.with_suffix("") for kind in ("invalid", "valid") for path in _examples(kind)
    }
