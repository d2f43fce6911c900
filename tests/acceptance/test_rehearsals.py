"""Every fault of the sandbox, and what the command makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from personasync.sandbox import Fault, FaultKind
from tests.helpers.serving import made, serving
from tests.helpers.support import Ended, Tool

READ = ["persona_id", "text-code", "message", "newline", "slow"]
ARRIVED = ["cut-off", "cut-after-id", "false-gzip", "bad-gzip", "hidden-gzip", "utf-16"]
LOST = ["reset-after", "504-after", "408-after", "garbage", "no-data", "cut-in-id"]
PASSING = {
    "reset-before": {"failed", "pending"},
    "rate-limit": {"pending"},
    "maintenance": {"pending"},
    "server-error": {"pending"},
    "503-page": {"pending"},
    "425": {"pending"},
    "redirect": {"pending"},
    "422": {"failed"},
}
FOR_ALL = {
    "no-credits": 1,
    "no-credits-zh": 1,
    "402": 1,
    "403": 5,
    "404-page": 5,
    "301": 1,
    "308": 1,
}


def apply(tool: Tool, *args: str) -> Ended:
    return tool("apply", "--auto-approve", "--rate-limit", "none", "--retry-for", "0s", *args)


def statuses(tool: Tool) -> set[str]:
    """Return the statuses that the state ends with."""
    return set({entry["audioId"]: entry["status"] for entry in tool.entries()}.values())


def test_every_fault_is_rehearsed_here() -> None:
    faults = [*READ, *ARRIVED, *LOST, *PASSING, *FOR_ALL]
    assert {Fault.parse(fault).kind for fault in faults} == set(FaultKind)


@pytest.mark.parametrize("fault", READ)
def test_an_answer_that_can_be_read_is_recorded(tool: Tool, fault: str) -> None:
    tool.manifest(2)
    with serving(tool, faults=(Fault.parse(fault),), drip=0.001) as sandbox:
        ended = apply(tool)
        recorded = {entry.get("personaId") for entry in tool.entries()}
        assert recorded >= set(made(sandbox).values())
    assert ended.code == 0


@pytest.mark.parametrize("fault", ARRIVED)
def test_an_id_that_arrived_in_anything_is_recorded_or_offered(tool: Tool, fault: str) -> None:
    tool.manifest(2)
    with serving(tool, faults=(Fault.parse(fault),)) as sandbox:
        ended = apply(tool)
        recorded = {entry.get("personaId") for entry in tool.entries()}
        said = ended.stdout + ended.stderr
        for persona_id in made(sandbox).values():
            offered = re.search(rf"personasync import .*{persona_id}", said)
            assert persona_id in recorded or offered, said


@pytest.mark.parametrize("fault", LOST)
def test_a_persona_whose_answer_was_lost_is_unknown(tool: Tool, fault: str) -> None:
    tool.manifest(1)
    with serving(tool, faults=(Fault.parse(fault),)) as sandbox:
        assert apply(tool).code == 3
        assert len(made(sandbox)) == 1
    assert statuses(tool) == {"pending"}


def test_a_lost_answer_is_settled_by_a_409_that_names_the_id(tool: Tool, tmp_path: Path) -> None:
    tool.manifest(2)
    books = tmp_path / "books.db"
    with serving(tool, faults=(Fault.parse("504-after"),), books=books) as sandbox:
        assert apply(tool, "--parallelism", "1").code == 3
        port = sandbox.port
    with serving(tool, repeat="conflict-with-id", books=books, port=port):
        ended = apply(tool)
    assert (ended.code, statuses(tool)) == (0, {"created"}), ended.stdout + ended.stderr


@pytest.mark.parametrize("fault", PASSING)
def test_where_nothing_was_made_another_run_may_make_it(tool: Tool, fault: str) -> None:
    tool.manifest(2)
    with serving(tool, faults=(Fault.parse(fault),)) as sandbox:
        assert apply(tool).code in (1, 3)
        assert made(sandbox) == {}
    assert statuses(tool) <= PASSING[fault]


@pytest.mark.parametrize("fault", FOR_ALL)
def test_what_holds_for_all_ends_the_run(tool: Tool, fault: str) -> None:
    tool.manifest(8)
    with serving(tool, faults=(Fault.parse(fault),)) as sandbox:
        ended = apply(tool, "--parallelism", "1")
        assert sandbox.statistics().requests == FOR_ALL[fault]
    assert ended.code in (1, 3)
    said = ended.stdout + ended.stderr
    assert f"{8 - FOR_ALL[fault]} not attempted" in said
    if fault in ("301", "308"):
        assert "https://api.moved.example" in said
        assert "state set-api" in said


def test_an_api_slower_than_the_patience_costs_only_what_was_in_flight(tool: Tool) -> None:
    tool.manifest(12)
    with serving(tool, first_latency=30.0) as sandbox:
        ended = apply(tool, "--parallelism", "2", "--read-timeout", "1s", "--retry-for", "30s")
        assert len(made(sandbox)) <= 2
    assert ended.code == 3
    assert "--read-timeout" in ended.stdout + ended.stderr


def test_two_ids_for_one_audio_are_both_kept(tool: Tool) -> None:
    tool.manifest(1)
    cut = Fault.parse("cut-after-id:0.5")  # with this seed the first answer is cut
    with serving(tool, repeat="new-id", faults=(cut,), seed=1) as sandbox:
        apply(tool, "--retry-for", "30s")
        ids = set(sandbox.ids())
    text = (tool.folder / "personas.state.jsonl").read_text()
    assert len(ids) == 2
    assert [persona_id for persona_id in ids if persona_id not in text] == []
