"""What ``init`` does where something is there already."""

from tests.unit.cli.conftest import Cli


def test_git_settings_of_ones_own_are_kept_and_what_they_lack_is_said(cli: Cli) -> None:
    own = "*.state.jsonl.lock\n*.pyc\n"
    (cli.folder / ".gitignore").write_text(own)
    ended = cli("init")
    assert ended.code == 0
    assert (cli.folder / ".gitignore").read_text() == own
    assert ".gitignore is there already; add to it:\n" in ended.stderr
    assert "personas.sandbox.*\n" in ended.stderr
    assert "*.state.jsonl.lock\n" not in ended.stderr
    assert "personas.yaml\n" in ended.stdout
    assert cli("init").code == 1


def test_nothing_is_said_of_settings_that_lack_nothing(cli: Cli) -> None:
    assert cli("init").code == 0
    (cli.folder / "personas.yaml").unlink()
    again = cli("init")
    assert (again.code, again.stdout) == (0, "personas.yaml\n")
    assert "already" not in again.stderr


def test_a_folder_that_cannot_be_written_is_an_error(cli: Cli) -> None:
    (cli.folder / "file").write_text("")
    ended = cli("init", "file/below")
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == (
        "Error: cannot write to file/below: Not a directory\n  name another folder\n"
    )
