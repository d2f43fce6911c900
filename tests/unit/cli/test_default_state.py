"""Where a state lies when nobody says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from personasync.cli.default_state import default_folder
from personasync.model.errors import UsageError

STATE = "personas.state.jsonl"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two folders with a manifest each, named from the folder above."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(name, "x.yaml").touch()
    return Path("a"), Path("b")


BOTH = [("a", "b"), ("b", "a"), ("a/x.yaml", "b/x.yaml"), ("b/x.yaml", "a"), ("*/x.yaml",)]


@pytest.mark.parametrize("given", BOTH)
def test_the_one_place_that_holds_a_state_is_it_in_any_order(
    folders: tuple[Path, Path], given: tuple[str, ...]
) -> None:
    for suffix in (".backup", ""):
        held = folders[1] / f"{STATE}{suffix}"
        held.touch()
        assert default_folder(given, STATE) == folders[1]


@pytest.mark.parametrize("given", BOTH)
def test_several_that_hold_one_must_be_told_apart(
    folders: tuple[Path, Path], given: tuple[str, ...]
) -> None:
    for folder in folders:
        (folder / STATE).touch()
    with pytest.raises(UsageError, match="several of the manifest's folders hold a state"):
        default_folder(given, STATE)


def test_the_first_is_it_where_none_holds_one(folders: tuple[Path, Path]) -> None:
    assert [default_folder(given, STATE) for given in BOTH[:2]] == list(folders)
    assert default_folder(("a", "./a/x.yaml"), STATE) == folders[0]
    assert default_folder(("none/*.yaml",), STATE) == Path("none")


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "/dev/null"])
def test_what_lies_in_no_folder_has_no_place_beside_it(name: str) -> None:
    with pytest.raises(UsageError, match="lies in no folder"):
        default_folder((name,), STATE)
