"""What plan and apply have in common: gates, and the files that they write."""

from pathlib import Path

import pytest

from personasync.cli.console import Console
from personasync.cli.planning import Selection, check_outputs, write_step_summary, write_text
from personasync.cli.workspace import Workspace
from personasync.model.errors import PersonasyncError, PlanError, UsageError
from personasync.model.persona import Manifest, Settings
from personasync.plan.compute import Plan
from personasync.state import State
from tests.unit.cli.conftest import Cli


def test_an_option_goes_before_the_manifests_setting(cli: Cli) -> None:
    cli.manifest(3)
    text = (cli.folder / "personas.yaml").read_text()
    (cli.folder / "personas.yaml").write_text(f"settings:\n  maxCreates: 2\n{text}")
    assert cli("plan").code == 1
    assert cli("plan", "--max-creates", "3").code == 0
    assert cli("plan", "--target", "p-00[01]").code == 0


def test_a_plan_that_is_not_narrowed_is_the_plan_itself() -> None:
    plan = Plan((), Manifest((), settings=Settings(max_creates=0)), State())
    assert Selection().narrow(plan) is plan
    Selection(strict=True).refuse_unsafe(plan)
    with pytest.raises(PlanError):
        Selection(targets=("x",)).narrow(plan)


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (["personas.yaml"], "belongs to the manifest or a state"),
        (["personas.state.jsonl"], "belongs to the manifest or a state"),
        (["./personas.state.jsonl.backup"], "belongs to the manifest or a state"),
        (["personas.books.db"], "belongs to the manifest or a state"),
        (["a.json", "x/../a.json"], "two outputs would both be"),
    ],
)
def test_no_output_may_cost_an_id(cli: Cli, outputs: list[str], said: str) -> None:
    manifest = Manifest((), files=("personas.yaml",))
    with pytest.raises(UsageError, match=said):
        check_outputs(Workspace(Console()), manifest, outputs)


def test_outputs_of_their_own_are_fine(cli: Cli) -> None:
    manifest = Manifest((), files=("personas.yaml",))
    check_outputs(Workspace(Console()), manifest, ["plan.json", "plan.md"])


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_text(str(tmp_path / "plan.json"), "text \udc80\n")
    assert (tmp_path / "plan.json").read_bytes() == b"text \\udc80\n"
    write_text("/dev/null", "text")
    with pytest.raises(PersonasyncError, match=r"cannot write .*missing"):
        write_text(str(tmp_path / "missing" / "plan.json"), "text")


def test_a_step_summary_is_appended_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_step_summary("nowhere")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    write_step_summary("one\n")
    write_step_summary("two\n")
    assert (tmp_path / "summary.md").read_text() == "one\ntwo\n"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    with pytest.raises(PersonasyncError, match="cannot write"):
        write_step_summary("three\n")
