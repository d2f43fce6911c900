"""A next step as who calls from Python reads it: no option of a command line in it."""

from personasync.model.steps import Command, NextStep, Option


def test_it_reads_as_words() -> None:
    step = NextStep("wait, or set ", Option("lock-timeout", "5m"), ", or ", Option("state"))
    assert str(step) == "wait, or set lock_timeout=5m, or state"


def test_a_command_reads_as_its_name_and_its_words() -> None:
    command = Command("import", ("neon", "p 1"), (Option("force"), Option("format", "json")))
    assert str(NextStep("record it: ", command)) == (
        "record it: personasync import neon p 1 (force, format=json)"
    )
    assert str(Command("state list")) == "personasync state list"
