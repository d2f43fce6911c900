"""The published schemas compile, and say the same, in the validators that people use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from personasync.manifest.schemas import load_schema

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[2]
SCHEMAS: Final = sorted((ROOT / "schemas").glob("*.schema.json"))
NAMES: Final = [path.name.removesuffix(".schema.json") for path in SCHEMAS]

# Of each kind that a schema can see, valid and not; plain YAML that all readers read alike.
EXAMPLES: Final = {
    "valid/smallest.yaml": True,
    "valid/personas-empty.yaml": True,
    "valid/everything.yaml": True,
    "valid/other-scripts.yaml": True,
    "invalid/missing-fields.yaml": False,
    "invalid/misspelt-fields.yaml": False,
    "invalid/settings-out-of-range.yaml": False,
    "invalid/bad-keys.yaml": False,
    "invalid/bad-rate.yaml": False,
    "invalid/ids-through-a-word-processor.yaml": False,
    "invalid/placeholder-ids.yaml": False,
    "invalid/control-characters-in-text.yaml": False,
    "invalid/blank-text.yaml": False,
}

_AJV: Final = """
const Ajv = require(process.argv[1]);
const {schema, options, values} = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const validate = new (Ajv.default ?? Ajv)(options).compile(schema);
process.stdout.write(JSON.stringify(values.map((value) => validate(value))));
"""


def values() -> list[object]:
    """Return the examples as plain values."""
    folder = ROOT / "tests" / "examples"
    return [yaml.safe_load((folder / name).read_text(encoding="utf-8")) for name in EXAMPLES]


@pytest.mark.parametrize("strict", [False, True], ids=["defaults", "strict"])
@pytest.mark.parametrize("name", NAMES)
def test_ajv_compiles_it(node: str, language_server: list[str], name: str, strict: bool) -> None:
    package = Path(language_server[3]).parents[2] / "ajv"
    assert json.loads((package / "package.json").read_text("utf-8"))["version"].startswith("8.")
    question = {
        "schema": load_schema(name),
        # ajv-formats brings this one; what it checks is not of interest here.
        "options": {"formats": {"date-time": True}} | ({"strict": True} if strict else {}),
        "values": values() if name == "manifest" else [],
    }
    ended = subprocess.run(
        [node, "--eval", _AJV, str(package)],
        input=json.dumps(question),
        capture_output=True,
        check=False,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout) == (list(EXAMPLES.values()) if name == "manifest" else [])


def test_the_rust_validator_agrees() -> None:
    rust = pytest.importorskip("jsonschema_rs", reason="jsonschema-rs is not installed")
    for name in NAMES:
        rust.validator_for(load_schema(name))
    validator = rust.validator_for(load_schema("manifest"))
    assert [validator.is_valid(value) for value in values()] == list(EXAMPLES.values())


def test_check_jsonschema_agrees() -> None:
    for name, valid in EXAMPLES.items():
        schema = ROOT / "schemas" / "manifest.schema.json"
        example = ROOT / "tests" / "examples" / name
        ended = subprocess.run(
            [sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema), str(example)],
            capture_output=True,
            check=False,
            text=True,
        )
        assert ended.returncode == (0 if valid else 1), ended.stdout + ended.stderr
