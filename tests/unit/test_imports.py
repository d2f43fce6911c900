"""The parts of design.md §8: what each may import, and what each command loads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Tool

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "personasync"

PARTS: dict[str, set[str]] = {
    "cli": {"cli", "__main__"},
    "render": {"render"},
    "engine": {"engine"},
    "api": {"api"},
    "sandbox": {"sandbox"},
    "plan": {"plan", "planfile", "events"},
    "state": {"state"},
    "manifest": {"manifest", "schema", "document", "explain", "rules", "source", "syntax"},
    "model": {
        "model",
        "diagnostics",
        "errors",
        "units",
        "files",
        "outcome",
        "base_url",
        "credentials",
    },
}
"""The parts, top to bottom, and the modules and packages that make each up."""

FACE = "__init__"
"""The package itself is a face: it loads nothing by itself, and has only its version to import."""

OUTSIDE: dict[str, set[str]] = {
    "cli": {"click", "rich"},
    "render": {"rich", "yaml"},
    "engine": {"tenacity"},
    "api": {"requests", "urllib3"},
    "sandbox": set(),
    "plan": set(),
    "state": {"filelock"},
    "manifest": {"yaml", "jsonschema"},
    "model": set(),
}
"""What each part may import that Python does not bring along."""

PURE = {"render", "plan", "model"}
"""Parts that touch nothing: no file, socket, clock, thread, environment or process."""

TOUCHING = {
    "fcntl",
    "http",
    "os",
    "pathlib",
    "random",
    "select",
    "shutil",
    "signal",
    "socket",
    "socketserver",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}
ALLOWED_TO_TOUCH = {
    "files": {"os", "pathlib", "shutil"},  # writes whole files, for whoever asks
    "credentials": {"pathlib"},  # the key may be in a file
    "render.account": {"signal"},  # for the names of signals
}


def module_files() -> dict[str, Path]:
    """Return every module of the package by its name below ``personasync``."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
    }


MODULES = module_files()
PART_ORDER = list(PARTS)


def parts_of(module: str) -> list[str]:
    """Return the parts that a module belongs to."""
    return [part for part, names in PARTS.items() if module.partition(".")[0] in names]


def imports_of(path: Path) -> Iterator[str]:
    """Yield the full name of everything that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_is_in_exactly_one_part() -> None:
    astray = {m: parts_of(m) for m in MODULES if m != FACE and len(parts_of(m)) != 1}
    assert astray == {}


def test_every_part_names_modules_that_are_there() -> None:
    there = {module.partition(".")[0] for module in MODULES}
    assert {name for names in PARTS.values() for name in names} == there - {FACE}


@pytest.mark.parametrize("part", PARTS)
def test_imports_point_down(part: str) -> None:
    from_here_down = set(PART_ORDER[PART_ORDER.index(part) :])
    upward = [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        if part in parts_of(module)
        for name in imports_of(path)
        if name.startswith("personasync.")
        and name != "personasync.__version__"
        and from_here_down.isdisjoint(parts_of(name.removeprefix("personasync.")))
    ]
    assert upward == []


@pytest.mark.parametrize("part", PARTS)
def test_each_part_imports_only_its_own_dependencies(part: str) -> None:
    used = {
        name.partition(".")[0]
        for module, path in MODULES.items()
        if part in parts_of(module)
        for name in imports_of(path)
    }
    outside = used - set(sys.stdlib_module_names) - {"personasync"}
    assert outside == OUTSIDE[part]


def test_pure_parts_touch_nothing() -> None:
    touching = {
        module: sorted(found)
        for module, path in MODULES.items()
        if module != FACE and parts_of(module)[0] in PURE
        if (found := {name.partition(".")[0] for name in imports_of(path)} & TOUCHING)
    }
    assert touching == {module: sorted(names) for module, names in ALLOWED_TO_TOUCH.items()}


def test_nothing_below_the_command_line_prints_or_exits() -> None:
    forbidden = {
        "print",
        "input",
        "exit",
        "quit",
        "sys.exit",
        "os._exit",
        "sys.stdout",
        "sys.stderr",
    }
    found = [
        f"{module}:{node.lineno} {ast.unparse(node)}"
        for module, path in MODULES.items()
        if module != FACE and parts_of(module) != ["cli"]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in forbidden
    ]
    assert found == []


# What each command loads

HEAVY = {
    "click",
    "filelock",
    "http",
    "jsonschema",
    "personasync.api",
    "personasync.engine",
    "personasync.manifest",
    "personasync.plan",
    "personasync.render",
    "personasync.sandbox",
    "personasync.state",
    "requests",
    "rich",
    "socketserver",
    "tenacity",
    "urllib3",
    "yaml",
}

_PROBE = """
import json, sys
before = set(sys.modules)
from personasync.cli.main import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(set(sys.modules) - before)]), file=sys.stderr)
"""


def loaded_by(tool: Tool, *args: str) -> set[str]:
    """Run a command that ends well and return the heavy modules that it loaded."""
    ended = subprocess.run(
        [sys.executable, "-c", _PROBE, *args],
        cwd=tool.folder,
        env={**tool.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    code, modules = json.loads(ended.stderr.splitlines()[-1])
    assert code == 0, ended.stderr.decode()
    return HEAVY & set(modules)


MANIFEST = {"click", "personasync.manifest", "personasync.render", "yaml"}
PLANS = {*MANIFEST, "personasync.plan", "personasync.state"}
ENTRIES = {"click", "personasync.plan", "personasync.render", "personasync.state"}


@pytest.mark.parametrize(
    ("args", "allowed"),
    [
        (["--version"], {"click"}),
        (["--help"], {"click"}),
        (["schema", "manifest"], {"click"}),
        (["completion", "bash"], {"click"}),
        (["init", "fresh"], {"click", "personasync.render"}),
        (["validate"], MANIFEST),
        (["plan"], PLANS),
        (["plan", "--format", "json"], PLANS),
        (["plan", "--format", "markdown"], PLANS),
        (["plan", "--format", "github"], PLANS),
        (["plan", "--sandbox"], PLANS),
        (["output"], PLANS),
        (["state", "list"], {*ENTRIES, "personasync.engine", "tenacity"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_loads_no_more_than_it_needs(
    tool: Tool, args: list[str], allowed: set[str]
) -> None:
    tool.manifest(2)
    loaded = loaded_by(tool, *args)
    assert "click" in loaded
    assert loaded - allowed == set()


def test_an_apply_with_nothing_to_send_loads_no_client(tool: Tool) -> None:
    tool.write("personas.yaml", "version: 1\npersonas: {}\n")
    loaded = loaded_by(tool, "apply", "--auto-approve")
    assert (
        loaded & {"requests", "urllib3", "http", "personasync.api", "personasync.sandbox"} == set()
    )
