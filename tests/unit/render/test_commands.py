"""Commands that a message shows are commands that a shell takes."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.render.commands import command_line

SHOWABLE = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1).filter(
    str.isprintable
)


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
        (["a\nb"], {}, "personasync state show $'a\\nb'"),
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
