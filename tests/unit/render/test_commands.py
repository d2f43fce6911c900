"""Commands that a message shows are commands that a shell takes."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.model.steps import Command, NextStep, Option
from personasync.render.commands import Shell, command_line
from personasync.render.safe import printable

SHOWABLE = st.text(min_size=1).filter(lambda text: printable(text) == text)


@pytest.mark.parametrize(
    ("words", "given_", "shown"),
    [
        (["neon"], {}, "personasync state show neon"),
        (
            ["neon"],
            {"flags": ["--format", "manifest"], "options": ["-f", "my folder"]},
            "personasync state show neon --format manifest -f 'my folder'",
        ),
        (["-x"], {"options": ["--sandbox"]}, "personasync state show --sandbox -- -x"),
        (["$(reboot)"], {}, "personasync state show '$(reboot)'"),
        (["a\nb"], {}, "personasync state show \"$(printf 'a\\012b')\""),
        ([], {}, "personasync state show"),
    ],
)
def test_a_command_is_quoted_where_it_must_be(
    words: list[str], given_: dict[str, list[str]], shown: str
) -> None:
    assert command_line("state show", *words, **given_) == shown


@given(st.lists(SHOWABLE), st.lists(SHOWABLE))
def test_a_shell_reads_back_every_word(words: list[str], options: list[str]) -> None:
    read = shlex.split(command_line("import", *words, options=options))
    assert read[:2] == ["personasync", "import"]
    if any(word.startswith("-") for word in words):
        assert read[2:] == [*options, "--", *words]
    else:
        assert read[2:] == [*words, *options]


SHELL = Shell(("my folder", "b.yaml"), sandbox=True, state="s t.jsonl")


def test_a_next_step_names_options_and_whole_commands() -> None:
    step = NextStep(
        "record it: ", Command("import", ("neon", "p1"), (Option("force"),)), ", or set "
    )
    step = NextStep(*step.parts, Option("lock-timeout", "5 m"))
    assert SHELL.text(step) == (
        "record it: personasync import neon p1 --force -f 'my folder' -f b.yaml --sandbox"
        " --state 's t.jsonl', or set --lock-timeout '5 m'"
    )
    assert SHELL.text("as it is, {braces} and all") == "as it is, {braces} and all"


def test_an_option_of_its_own_goes_before_one_that_is_repeated() -> None:
    command = Command("apply", (), (Option("sandbox"), Option("state", "other")))
    assert SHELL.line(command) == (
        "personasync apply --sandbox --state other -f 'my folder' -f b.yaml"
    )


def test_what_works_on_no_workspace_is_given_none() -> None:
    assert SHELL.line(Command("init", ("voices",))) == "personasync init voices"
