"""What the entry point does before and around the command line."""

import subprocess
import sys

import pytest

SWALLOWED = """
import os, signal, sys, time
from personasync import __main__ as entry
from personasync.cli import main as command_line

class Fragile:
    def __del__(self):  # Python cannot raise from here what a signal handler raises
        os.kill(os.getpid(), signal.{name})
        time.sleep(0.01)

def run(*_args):
    fragile = Fragile()
    del fragile
    time.sleep(20)
    return 0

command_line._run = run
sys.argv = ["personasync", "plan"]
entry.run()
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_that_comes_where_nothing_can_be_raised_still_ends_the_command(
    name: str, code: int
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SWALLOWED.format(name=name)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stderr == f"Interrupted by {name}; nothing more was sent.\n"
    assert ran.returncode == code


def test_another_failure_in_a_destructor_is_told_as_python_tells_it() -> None:
    code = SWALLOWED.replace("os.kill(os.getpid(), signal.{name})", "1 / 0")
    code = code.replace("time.sleep(20)", "pass")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stderr.startswith("Exception ignored in: <function Fragile.__del__")
    assert ran.returncode == 0


def test_it_leaves_with_everything_said_and_waits_for_nothing() -> None:
    code = """
import sys, threading, time
from personasync import __main__ as entry
from personasync.cli import main as command_line

def main(_args):
    threading.Thread(target=time.sleep, args=(50,)).start()
    sys.stdout.write("said")
    {closed}
    return 3

command_line.main = main
entry.run()
"""
    for closed, said in (("", "said"), ("sys.stderr.close()", "said"), ("sys.stdout = None", "")):
        ran = subprocess.run(
            [sys.executable, "-c", code.format(closed=closed)],
            capture_output=True,
            text=True,
            timeout=40,
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (3, said, "")
