"""How an apply ends, where no acceptance test makes it end so."""

import os

import pytest

from personasync.cli.commands import apply as apply_command
from personasync.cli.console import Console
from personasync.cli.progress import Telling
from personasync.engine.events import Account, EventKind
from personasync.model.errors import StateWriteError
from personasync.state import FileStateLog
from tests.unit.cli.conftest import Cli

SANDBOX = ("--sandbox", "--auto-approve")


class Left(BaseException):
    """The process would have ended."""


def test_a_run_inside_the_process(cli: Cli) -> None:
    cli.manifest(2)
    ended = cli("apply", *SANDBOX)
    assert ended.code == 0
    assert ended.stdout.endswith("Apply complete: 2 created, 0 imported, 0 renamed.\n")
    assert len(cli("output", "--sandbox").stdout.splitlines()) == 2


@pytest.mark.parametrize("failure", [None, RuntimeError("odd")])
def test_a_run_that_is_left_at_once_leaves_with_its_code(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException | None
) -> None:
    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(os, "_exit", leave)
    account = Account("run-1", (), signal=2, abandoned=True, failure=failure)
    with pytest.raises(Left) as caught:
        apply_command._end(Telling(Console()), account)
    assert caught.value.args == (130,)


@pytest.mark.parametrize(("signal", "raised"), [(None, True), (2, False)])
def test_what_nobody_expected_is_raised_unless_a_signal_explains_it(
    capsys: pytest.CaptureFixture[str], signal: int | None, raised: bool
) -> None:
    account = Account("run-1", (), signal=signal, failure=RuntimeError("odd"))
    telling = Telling(Console(), told={EventKind.RUN_START, EventKind.RUN_END})
    if raised:
        with pytest.raises(RuntimeError, match="odd"):
            apply_command._end(telling, account)
    else:
        apply_command._end(telling, account)
    said = capsys.readouterr()
    assert said.out == ""
    assert "Apply complete" in said.err


def test_a_file_that_cannot_be_tidied_up_loses_nothing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_log: FileStateLog) -> None:
        raise StateWriteError("cannot write the state")

    monkeypatch.setattr(FileStateLog, "compact", fail)
    cli.manifest(1)
    ended = cli("apply", *SANDBOX)
    assert ended.code == 0
    assert ended.stderr.endswith(
        "Warning: cannot write the state. Every ID is recorded; only tidying the file up failed.\n"
    )
    assert cli("plan", "--sandbox").stdout == (
        "No changes. Every persona in the manifest is recorded.\n"
    )


def test_no_plan_file_and_no_key(cli: Cli) -> None:
    cli.manifest(1)
    missing = cli("apply", "missing.json")
    assert (missing.code, missing.stderr) == (
        1,
        "Error: cannot read the plan missing.json: No such file or directory\n"
        "  save one with: personasync plan --out missing.json\n",
    )
    assert "there is no API key" in cli("apply", "--auto-approve").stderr


@pytest.mark.parametrize("option", ["--connect-timeout", "--read-timeout"])
@pytest.mark.parametrize("value", ["0", "0ms", "501h", "999999999h"])
def test_a_time_out_that_no_request_can_have_is_refused(cli: Cli, option: str, value: str) -> None:
    cli.manifest(1)
    ended = cli("apply", "--auto-approve", option, value)
    assert ended.code == 64
    assert f"'{value}' is not between 1ms and 500h00m" in ended.stderr


def test_an_empty_name_of_a_plan_does_not_mean_the_manifest(cli: Cli) -> None:
    cli.manifest(1)
    ended = cli("apply", "--sandbox", "--auto-approve", "")
    assert (ended.code, ended.stdout) == (64, "")
    assert ended.stderr.startswith("Error: the name of the plan is empty\n")


@pytest.mark.parametrize("option", ["--target", "--exclude"])
def test_a_saved_plan_is_carried_out_whole(cli: Cli, option: str) -> None:
    cli.manifest(2)
    assert cli("plan", "--sandbox", "--out", "saved.json").code == 0
    ended = cli("apply", "--auto-approve", "saved.json", option, "p-000")
    assert (ended.code, ended.stdout) == (64, "")
    assert "PERSONASYNC_TARGET and PERSONASYNC_EXCLUDE count" in ended.stderr


def test_a_saved_rehearsal_does_not_go_with_a_base_url(cli: Cli) -> None:
    cli.manifest(1)
    assert cli("plan", "--sandbox", "--out", "saved.json").code == 0
    ended = cli("apply", "--auto-approve", "saved.json", "--base-url", "https://api.example")
    assert (ended.code, ended.stdout) == (64, "")
    assert ended.stderr.startswith("Error: --sandbox and --base-url exclude each other\n")


@pytest.mark.parametrize("state", ["", ".", "/"])
@pytest.mark.parametrize("command", ["plan", "apply", "output"])
def test_a_state_without_a_name_is_refused(cli: Cli, command: str, state: str) -> None:
    cli.manifest(1)
    ended = cli(command, "--state", state)
    assert (ended.code, ended.stdout) == (64, "")
    assert ended.stderr == f"Error: the state's place {state!r} names no file\n  name a file\n"
