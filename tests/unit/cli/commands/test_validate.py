"""What ``validate`` says and exits with."""

import json

import pytest

from personasync.model.errors import ManifestError
from tests.unit.cli.conftest import Cli


@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_a_valid_manifest(cli: Cli, form: str) -> None:
    cli.manifest(2)
    ended = cli("validate", "--format", form, "--strict")
    said = "The manifest is valid: 2 personas in personas.yaml.\n" if form == "text" else ""
    assert (ended.code, ended.stderr) == (0, said)
    if form == "json":
        assert json.loads(ended.stdout)["diagnostics"] == []
    else:
        assert ended.stdout == ""


@pytest.mark.parametrize("form", ["text", "json", "github"])
@pytest.mark.parametrize(("strict", "code"), [(False, 0), (True, 1)])
def test_a_warning_is_an_error_when_strict(cli: Cli, form: str, strict: bool, code: int) -> None:
    cli.manifest(1, vocalEnd=5)
    ended = cli("validate", "--format", form, *(["--strict"] if strict else []))
    assert ended.code == code
    assert "5 s long" in ended.stdout + ended.stderr


@pytest.mark.parametrize("form", ["json", "github"])
def test_an_error_without_a_place_is_an_error_too(
    cli: Cli, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_paths: object) -> None:
        raise ManifestError("no reason given")

    monkeypatch.setattr("personasync.cli.commands.validate.load_manifest", fail)
    assert cli("validate", "--format", form).code == 1
