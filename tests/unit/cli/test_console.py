"""Where words go, and when they are coloured."""

import io

import pytest

from personasync.cli.console import Console, is_terminal, wants_color


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_results_and_remarks_go_their_own_ways(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.result("a result")
    console.result("ends\n")
    console.say("a remark")
    console.complain("a complaint")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("a result\nends\n", "a remark\na complaint\n")


def test_quiet_leaves_results_and_complaints(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.say("a remark")
    console.complain("a complaint\n::error::of hostile text")
    assert capsys.readouterr().err == "a complaint\n\\x3a:error::of hostile text\n"


@pytest.mark.parametrize("color", [False, True])
def test_nothing_that_is_said_steers_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, color: bool
) -> None:
    """What a renderer forgot to escape, the console does."""
    monkeypatch.setenv("FORCE_COLOR", "1" if color else "")
    hostile = "a\x1b]0;title\x07b\x1b[2Jc\rd\x9be\t\x1b[31mred\x1b[0m\n"
    console = Console()
    console.result(hostile)
    console.complain(hostile)
    red = "\x1b[31mred\x1b[0m" if color else r"\x1b[31mred\x1b[0m"
    wanted = r"a\x1b]0;title\x07b\x1b[2Jc\rd\x9be" + f"\t{red}\n"
    assert capsys.readouterr() == (wanted, wanted)


@pytest.mark.parametrize(
    ("screen", "environment", "wanted"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (False, {"FORCE_COLOR": "1"}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colour(screen: bool, environment: dict[str, str], wanted: bool) -> None:
    assert wants_color(Screen() if screen else io.StringIO(), environment) is wanted


def test_what_is_closed_is_no_terminal() -> None:
    closed = Screen()
    closed.close()
    gone = io.StringIO()
    gone.close()
    assert (is_terminal(None), is_terminal(gone), is_terminal(Screen())) == (False, False, True)


def test_width_is_the_terminals_or_what_suits_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert Console().width == 100
    monkeypatch.setenv("COLUMNS", "57")
    assert Console().width == 57


def test_progress_is_for_who_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Console().shows_progress
    monkeypatch.setattr("sys.stderr", Screen())
    assert Console().shows_progress
    assert not Console(quiet=True).shows_progress
    monkeypatch.setenv("TERM", "dumb")
    assert not Console().shows_progress
