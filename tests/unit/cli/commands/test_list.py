"""What list takes for a persona, and what it says of it."""

import json

import pytest

from personasync.model.persona import PersonaRequest
from personasync.state import Entry, Status
from tests.unit.cli.conftest import Cli

REQUEST = PersonaRequest("t", "gone", "Old Voice", "warm dub", style="Dub")


@pytest.fixture
def known(cli: Cli) -> Cli:
    cli.manifest(3)
    cli.record(
        Entry("audio-000", "p-000", Status.CREATED, "id-0"),
        Entry("audio-001", "p-001", Status.PENDING),
        Entry("gone", "old", Status.CREATED, "id-old", request=REQUEST),
        Entry("hidden", "hidden", Status.FORGOTTEN, "id-hidden"),
    )
    return cli


def listed(cli: Cli, *args: str) -> dict[str, tuple[str, str | None]]:
    ended = cli("list", "--format", "json", *args)
    assert (ended.code, ended.stderr) == (0, "")
    return {each["key"]: (each["status"], each["personaId"]) for each in json.loads(ended.stdout)}


def test_all_that_is_wanted_or_in_view_is_listed(known: Cli) -> None:
    assert listed(known) == {
        "p-000": ("created", "id-0"),
        "p-001": ("pending", None),
        "p-002": ("not created", None),
        "old": ("created", "id-old"),
    }


@pytest.mark.parametrize(
    ("args", "keys"),
    [
        (["p-00[12]"], ["p-001", "p-002"]),
        (["hidden", "old"], ["hidden", "old"]),
        (["--search", "DUB old"], ["old"]),
        (["--search", "nobody has this"], []),
        (["p-*", "--search", "dub"], []),
    ],
)
def test_keys_globs_and_words_choose(known: Cli, args: list[str], keys: list[str]) -> None:
    assert list(listed(known, *args)) == keys


def test_what_cannot_be_listed_is_told(known: Cli) -> None:
    assert known("list", "nobody").code == 1
    wrong = known("list", "--source-url", "javascript:alert(1)")
    assert (wrong.code, "write it like https://" in wrong.stderr) == (64, True)
