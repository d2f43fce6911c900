"""The command on a terminal of its own, of a given size."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import unicodedata
from collections.abc import Mapping

from tests.helpers.support import Tool

CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
"""Every sequence that steers a terminal."""

STYLES = re.compile(r"\x1b\[[0-9;]*m")
"""Those that only colour."""

ON_A_TERMINAL = (
    "import os, sys\n"
    "os.close(os.open(os.ttyname(0), os.O_RDWR))\n"  # so it becomes the controlling one
    "os.execvp(sys.argv[1], sys.argv[1:])\n"
)
"""A program of Python: on the terminal that is its stdin, become the command that is given."""


class Terminal:
    """A run of the command, and the one who sits before it.

    ``stdout`` and ``stderr`` may go elsewhere; stdin is the terminal's.
    """

    def __init__(
        self,
        tool: Tool,
        *args: str,
        width: int = 80,
        env: Mapping[str, str] | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        self.shown = ""
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", ON_A_TERMINAL, sys.executable, "-m", "personasync", *args],
                stdin=theirs,
                stdout=theirs if stdout is None else stdout,
                stderr=theirs if stderr is None else stderr,
                cwd=tool.folder,
                env={**tool.environment, "TERM": "xterm-256color", **(env or {})},
                start_new_session=True,
            )
        finally:
            os.close(theirs)

    def read_until(self, text: str) -> str:
        """Return all that was shown so far, once it holds ``text``."""
        while text not in self.shown:
            assert self._read(), f"the command ended before it showed {text!r}: {self.shown}"
        return self.shown

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self._ours, text.encode())

    def ended(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and all that was shown, lines ended as usual."""
        while self._read():
            pass
        os.close(self._ours)
        return self._process.wait(10), self.shown.replace("\r\n", "\n")

    def _read(self) -> bool:
        assert select.select([self._ours], [], [], 60)[0], f"nothing happens: {self.shown}"
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # Linux says so when the last one has left the terminal
            data = b""
        self.shown += data.decode()
        return bool(data)


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes, by Unicode's own tables."""
    text = CODES.sub("", text)
    return sum(
        0
        if unicodedata.category(sign) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(sign) in "WF"
        else 1
        for sign in text
    )
