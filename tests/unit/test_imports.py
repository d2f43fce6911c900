"""The folders of the package: what each may import, and what each command loads."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.support import Tool

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "personasync"

MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    "sandbox": {"model"},
    "api": {"model"},
    "state": {"model"},
    "manifest": {"model"},
    "plan": {"state", "manifest", "model"},
    "engine": {"plan", "state", "model"},
    "render": {"engine", "plan", "state", "manifest", "model"},
    "cli": {"render", "engine", "plan", "manifest", "state", "api", "sandbox", "model"},
}
"""Each folder of the package, and the folders that it may import."""

AT_THE_ROOT = {"__init__", "__main__"}
"""The face, which loads nothing by itself, and the start."""

OUTSIDE: dict[str, set[str]] = {
    "cli": {"click", "rich"},
    "render": {"jinja2", "rich", "yaml"},
    "engine": set(),
    "api": {"requests", "urllib3"},
    "sandbox": set(),
    "plan": set(),
    "state": {"filelock", "obstore", "psycopg"},
    "manifest": {"yaml", "jsonschema"},
    "model": set(),
}
"""What each folder may import that Python does not bring along."""

PURE = {"render", "plan", "model"}
"""Folders that touch nothing: no file, socket, clock, thread, environment or process."""

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
    "render.account": {"signal"},  # for the names of signals
}


def module_files() -> dict[str, Path]:
    """Return every module of the package by its name below ``personasync``."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
    }


MODULES = module_files()


def folder_of(module: str) -> str:
    """Return the folder that a module, or a name in it, belongs to."""
    return module.partition(".")[0]


def imports_of(path: Path) -> Iterator[str]:
    """Yield the full name of everything that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_is_in_a_folder() -> None:
    assert {folder_of(module) for module in MODULES} == {*MAY_IMPORT, *AT_THE_ROOT}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_point_one_way(folder: str) -> None:
    allowed = {folder, *MAY_IMPORT[folder]}
    astray = [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        if folder_of(module) == folder
        for name in imports_of(path)
        if name.startswith("personasync.")
        and folder_of(name.removeprefix("personasync.")) not in allowed
    ]
    assert astray == []


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_each_folder_imports_only_its_own_dependencies(folder: str) -> None:
    used = {
        name.partition(".")[0]
        for module, path in MODULES.items()
        if folder_of(module) == folder
        for name in imports_of(path)
    }
    outside = used - set(sys.stdlib_module_names) - {"personasync"}
    assert outside == OUTSIDE[folder]


def test_pure_folders_touch_nothing() -> None:
    touching = {
        module: sorted(found)
        for module, path in MODULES.items()
        if folder_of(module) in PURE
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
        if folder_of(module) in MAY_IMPORT and folder_of(module) != "cli"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in forbidden
    ]
    assert found == []


BELOW_THE_WORDS = ("model", "sandbox", "api", "state", "manifest", "plan", "engine")
"""Folders that a caller from Python uses without a command line."""


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts in a file's code and their lines, the documentation left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documentation:
            yield node.lineno, str(node.value)


def test_no_part_below_the_renderers_knows_a_flag() -> None:
    found = [
        f"{module}:{line} {text!r}"
        for module, path in MODULES.items()
        if folder_of(module) in BELOW_THE_WORDS and module != "state.git"  # git's own
        for line, text in texts_of(path)
        if re.search(r"(?<![\w<-])--[a-z]", text)
    ]
    assert found == []


# What each command loads

HEAVY = {
    "click",
    "filelock",
    "http",
    "jsonschema",
    "personasync.api.client",
    "personasync.engine",
    "personasync.manifest.load",
    "personasync.plan",
    "personasync.render",
    "personasync.sandbox",
    "personasync.state",
    "requests",
    "rich",
    "socketserver",
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


MANIFEST = {"click", "personasync.manifest.load", "personasync.render", "yaml"}
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
        (["state", "list"], {*ENTRIES, "personasync.engine"}),
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
        loaded & {"requests", "urllib3", "http", "personasync.api.client", "personasync.sandbox"}
        == set()
    )
