"""Every way that a command can end becomes words and an exit code."""

import io
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import click
import pytest

from personasync.cli import main as module
from personasync.cli.exits import Terminated, exit_code_of
from personasync.cli.workspace import Workspace
from personasync.model.errors import PersonasyncError, StateLockedError
from tests.unit.cli.conftest import Cli


def raising(error: BaseException) -> Callable[..., NoReturn]:
    def run(*_args: object) -> NoReturn:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PersonasyncError("what", hint="next"), 1, "Error: what\n  next\n"),
        (StateLockedError("held"), 4, "Error: held\n"),
        (click.UsageError("no such thing"), 64, "Error: no such thing\n"),
        (click.ClickException("odd"), 1, "Error: odd\n"),
        (click.Abort(), 130, "Interrupted by SIGINT; nothing more was sent.\n"),
        (KeyboardInterrupt(), 130, "Interrupted by SIGINT; nothing more was sent.\n"),
        (Terminated(), 143, "Interrupted by SIGTERM; nothing more was sent.\n"),
        (BrokenPipeError(), 1, ""),
        (OSError(28, "No space left on device"), 1, "Error: [Errno 28] No space left on device\n"),
        (
            ZeroDivisionError("one / nought"),
            1,
            "Error: personasync failed in a way that it should not: ZeroDivisionError:"
            " one / nought\n"
            "What was recorded before is kept. Run it again with -v for the details, and please"
            " report them.\n",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_ends_a_command_is_told(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    monkeypatch.setattr(module, "_run", raising(error))
    ended = cli("plan")
    assert (ended.code, ended.stdout, ended.stderr) == (code, "", said)
    assert exit_code_of(error) == code


@pytest.mark.parametrize("verbose", [["-v"], ["--verbose"], ["-vv"], []])
def test_details_are_for_who_asks_and_never_hold_the_key(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, verbose: list[str]
) -> None:
    monkeypatch.setenv("PERSONASYNC_API_KEY", "a-secret-key")
    monkeypatch.setattr(
        Workspace, "check_options", raising(RuntimeError("with a-secret-key in it"))
    )
    ended = cli("plan", *verbose)
    assert "a-secret-key" not in ended.stderr
    assert ("Traceback (most recent call last)" in ended.stderr) is bool(verbose)


def test_a_key_that_cannot_be_read_hides_no_error(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONASYNC_API_KEY_FILE", "/nowhere")
    monkeypatch.setattr(module, "_run", raising(RuntimeError("odd")))
    assert "RuntimeError: odd" in cli("plan").stderr


def test_sigterm_ends_a_command_like_an_interrupt(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_run", lambda *_args: signal.raise_signal(signal.SIGTERM))
    assert cli("plan").code == 143


@pytest.mark.parametrize("value", [None, "text", 3])
def test_only_a_number_is_an_exit_code(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    monkeypatch.setattr(module.cli, "main", lambda **_settings: value)
    assert cli("plan").code == (value if value == 3 else 0)


def test_nobody_left_to_hear_is_no_reason_to_fail(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> NoReturn:
            raise BrokenPipeError

    monkeypatch.setattr(module, "_run", raising(KeyboardInterrupt()))
    monkeypatch.setattr(sys, "stderr", Gone())
    assert module.main(["plan"]) == 130


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["plna"], "No such command 'plna'. Did you mean 'plan'?"),
        (["zzz"], "No such command 'zzz'."),
        (["state", "sohw", "x"], "No such command 'sohw'. Did you mean 'show'?"),
        (["apply", "--retry-for", "soon"], "'soon' is not a duration; write it like 500ms, 30s"),
        (["apply", "--rate-limit", "fast"], "'fast' is not a rate; write it like 20/10s, or none"),
    ],
)
def test_usage_errors_name_what_was_meant(cli: Cli, args: list[str], said: str) -> None:
    ended = cli(*args)
    assert (ended.code, ended.stdout) == (64, "")
    assert said in " ".join(ended.stderr.split())


@pytest.mark.parametrize(
    "before",
    [
        ["-f", "m.yaml"],
        ["--manifest=m.yaml", "-q"],
        ["-fm.yaml", "--no-color", "-q"],
        ["--state", "s.jsonl", "--manifest", "m.yaml"],
    ],
)
def test_shared_options_may_stand_before_the_command(cli: Cli, before: list[str]) -> None:
    cli.manifest(1, name="m.yaml")
    ended = cli(*before, "plan")
    assert (ended.code, ended.stdout.split()[:2]) == (0, ["+", "p-000"])


def test_a_usage_error_cannot_steer_a_terminal_or_a_ci_log(cli: Cli) -> None:
    ended = cli("validate", "personas/b\n::error title=x::pwned\x1b]0;x\x07.yaml")
    assert ended.code == 64
    assert "\x1b" not in ended.stderr
    assert "\n\\x3a:error title=x::pwned" in ended.stderr


def test_neither_can_the_name_of_a_file(cli: Cli) -> None:
    cli.manifest(1, "\x1b]0;pwned\x07.yaml")
    ended = cli("validate", "-f", ".")
    assert ended.stderr == ("The manifest is valid: 1 persona in \\x1b]0;pwned\\x07.yaml.\n")
