"""What a shell is offered when the user presses Tab."""

import click
import pytest

from personasync.cli.completion import complete_key, complete_recorded_key
from personasync.model.persona import PersonaRequest
from personasync.state import Entry, Status
from tests.unit.cli.conftest import Cli

SENT = PersonaRequest("t", "a", "Old \x1b[31mName", "d")


def offered(complete: object, begun: str, **params: object) -> list[tuple[str, str | None]]:
    context = click.Context(click.Command("output"))
    context.params = params
    items = complete(context, click.Argument(["key"]), begun)  # type: ignore[operator]
    return [(item.value, item.help) for item in items]


def test_the_keys_of_the_manifest_come_before_the_states(cli: Cli) -> None:
    cli.manifest(2)
    cli.record(
        Entry("a-1", "p-old", Status.CREATED, "id-1", request=SENT),
        Entry("a-2", "p-bare", Status.PENDING),
        Entry("a-3", "p-gone", Status.FORGOTTEN, "id-3"),
        Entry("a-4", "p-000", Status.CREATED, "id-4", request=SENT),
    )
    assert offered(complete_key, "p-") == [
        ("p-000", "Persona 0"),
        ("p-001", "Persona 1"),
        ("p-bare", ""),
        ("p-old", "Old \\x1b[31mName"),
    ]
    assert offered(complete_key, "p-b") == [("p-bare", "")]
    assert [key for key, _name in offered(complete_recorded_key, "")] == [
        "p-000",
        "p-bare",
        "p-old",
    ]


@pytest.mark.parametrize("complete", [complete_key, complete_recorded_key])
def test_a_completion_never_complains(
    cli: Cli, complete: object, capsys: pytest.CaptureFixture[str]
) -> None:
    (cli.folder / "personas.yaml").write_text("personas: [")
    (cli.folder / "personas.state.jsonl").write_text("junk\n")
    assert offered(complete, "") == []
    assert offered(complete, "", manifest=("no such file",), state="nor/this", sandbox=True) == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "words",
    [
        "personasync output p",
        "personasync import p",
        "personasync state show p",
        "personasync state list p",
        "personasync state mv p",
        "personasync state rm p",
        "personasync output --require p",
        "personasync plan --target p",
    ],
)
def test_each_command_that_takes_a_key_completes_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    cli.manifest(1)
    cli.record(Entry("audio-000", "p-000", Status.CREATED, "id-0"))
    monkeypatch.setenv("_PERSONASYNC_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    from personasync.cli.main import cli as group

    with pytest.raises(SystemExit):
        group.main(prog_name="personasync", complete_var="_PERSONASYNC_COMPLETE")
    assert capsys.readouterr().out == "plain,p-000\n"


@pytest.mark.parametrize(
    ("shell", "registers"),
    [
        ("bash", "complete -o nosort -F _personasync_completion personasync"),
        ("zsh", "compdef _personasync_completion personasync"),
        ("fish", "complete --no-files --command personasync"),
        ("powershell", "Register-ArgumentCompleter -Native -CommandName personasync "),
        ("PowerShell", "Register-ArgumentCompleter -Native -CommandName personasync "),
    ],
)
def test_a_script_for_each_shell(cli: Cli, shell: str, registers: str) -> None:
    ended = cli("completion", shell)
    assert ended.code == 0
    assert registers in ended.stdout
    assert f"{shell.lower()}_complete" in ended.stdout
    assert "_PERSONASYNC_COMPLETE" in ended.stdout
    assert cli("completion", "tcsh").code == 64
