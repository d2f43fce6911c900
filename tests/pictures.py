"""Draws README's pictures from what the command really shows on a terminal.

python -m tests.pictures          # draws them anew
python -m tests.pictures --check  # fails where a picture is no longer what is shown
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from personasync.sandbox import Sandbox, SandboxConfig
from tests.helpers.support import Tool
from tests.helpers.terminal import Terminal

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = ROOT / "examples" / "quickstart"
WIDTH = 96

# No font is fetched from anywhere: a picture that is shown as an image may not, and need not.
SVG = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "<svg ", '<svg xml:space="preserve" ', 1
)

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(.)", re.DOTALL)


class Screen:
    """What a terminal shows after everything that was written to it."""

    def __init__(self) -> None:
        self._lines: list[list[tuple[str, str]]] = [[]]
        self._row = self._column = 0
        self._style = ""

    def write(self, text: str) -> None:
        """Show text with the few codes that the command uses."""
        for numbers, letter, sign in _TOKEN.findall(text):
            if sign == "\n":
                self._row += 1
                self._column = 0
                if self._row == len(self._lines):
                    self._lines.append([])
            elif sign == "\r":
                self._column = 0
            elif sign:
                line = self._lines[self._row]
                line += [(" ", "")] * (self._column + 1 - len(line))
                line[self._column] = (sign, self._style)
                self._column += 1
            elif letter == "m":
                self._style = "" if numbers in ("", "0") else f"{self._style}\x1b[{numbers}m"
            elif letter == "A":
                self._row -= int(numbers or 1)
            elif letter == "K":
                self._lines[self._row] = []
            elif letter not in "hl":  # show or hide the cursor
                raise AssertionError(f"a code that no terminal here knows: {numbers}{letter}")

    def lines(self) -> Iterator[str]:
        """Yield each line with its colours."""
        for line in self._lines:
            runs = groupby(line, key=lambda cell: cell[1])
            yield "".join(
                f"{style}{''.join(sign for sign, _ in run)}\x1b[0m" for style, run in runs
            )


def picture(title: str, shown: str) -> str:
    """Return a terminal that shows this as an SVG."""
    screen = Screen()
    screen.write(shown.rstrip("\n"))
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for line in screen.lines():
        console.print(Text.from_ansi(line), soft_wrap=True)
    drawn = console.export_svg(title=title, code_format=SVG, unique_id="personasync")
    return "\n".join(line.rstrip() for line in drawn.splitlines()).rstrip() + "\n"


def typed(command: str) -> str:
    return f"\x1b[1m$ personasync {command}\x1b[0m\n"


def shown(tool: Tool, command: str, answer: str = "") -> str:
    """Return what a run of the command looks like, typed commands and answers included."""
    terminal = Terminal(tool, *command.split(), width=WIDTH)
    if answer:
        terminal.read_until("Answer: ")
        terminal.type(answer)
    return typed(command) + terminal.ended()[1]


def plan(tool: Tool) -> str:
    """A plan on an ordinary day: some are new, one was edited after it was made."""
    whole = (QUICKSTART / "personas.yaml").read_text(encoding="utf-8")
    tool.write("personas.yaml", whole.replace("A bright, agile mezzo", "An agile mezzo"))
    targets = ("neon-siren", "velvet-baritone", "rue-lepic", "harbour-light", "rua-augusta")
    chosen = [word for target in targets for word in ("--target", target)]
    assert tool("apply", "--auto-approve", *chosen).code == 0
    tool.write("personas.yaml", whole)
    return shown(tool, "plan")


def apply(tool: Tool) -> str:
    """An apply on a bad day: the credits run out in the middle."""
    whole = (QUICKSTART / "personas.yaml").read_text(encoding="utf-8")
    tool.write("personas.yaml", whole.replace("parallelism: 4", "parallelism: 1"))
    return shown(tool, "apply", answer="yes\n")


def draw(folder: Path) -> dict[str, str]:
    """Return every picture by the name of its file."""
    pictures = {}
    for make, credits in ((plan, None), (apply, 3)):
        tool = Tool(folder / make.__name__)
        tool.folder.mkdir()
        tool.environment["PYTHONPATH"] = str(ROOT)
        with Sandbox(SandboxConfig(credits=credits)) as sandbox:
            tool.environment |= {
                "PERSONASYNC_BASE_URL": sandbox.base_url,
                "PERSONASYNC_API_KEY": "any",
            }
            text = make(tool).replace(sandbox.base_url, "http://127.0.0.1:8765")
        pictures[f"{make.__name__}.svg"] = picture(f"personasync {make.__name__}", text)
    return pictures


def settled(text: str) -> str:
    """Return a picture without what differs from run to run: IDs and times."""
    return re.sub(r"[0-9a-f]{32}|\d+:\d\d:\d\d", "…", text)


def main() -> int:
    """Draw the pictures, or check them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, drawn in draw(Path(folder)).items():
            path = QUICKSTART / name
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            if settled(before) == settled(drawn):
                continue
            if check:
                stale += 1
                sys.stderr.write(f"{path} is not what is shown: python -m tests.pictures\n")
            else:
                path.write_text(drawn, encoding="utf-8")
    return int(stale > 0)


if __name__ == "__main__":
    sys.exit(main())
