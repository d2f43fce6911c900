"""Real trouble with real disks: full, too large, read-only, gone."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from personasync.sandbox import SandboxConfig
from personasync.state import FileStateLog, State, Status
from tests.helpers.sandbox import Sandbox
from tests.helpers.support import Tool
from tests.helpers.waiting import HANG, answers_held, wait_for

pytestmark = pytest.mark.slow

COUNT = 8
IMPORT = re.compile(r"personasync import (\S+) ([0-9a-f]{32})")


class Trouble:
    """The command with its state in one folder and everything else in another."""

    def __init__(self, folder: Path, disk: Path) -> None:
        folder.mkdir()
        self.tool = Tool(folder)
        # Every entry is longer than a page, so a full disk has no room for one.
        self.tool.manifest(COUNT, description="A voice of many words " * 250)
        self.tool.environment["TMPDIR"] = str(folder)
        self.state_path = disk / "team.state.jsonl"
        self.sandbox = Sandbox(SandboxConfig())
        self.sandbox.start()

    @property
    def command(self) -> tuple[str, ...]:
        state = f"--state={self.state_path}"
        return ("apply", "--auto-approve", "--rate-limit=none", "--parallelism=2", state)

    @property
    def environment(self) -> dict[str, str]:
        return {"PERSONASYNC_BASE_URL": self.sandbox.base_url, "PERSONASYNC_API_KEY": "any"}

    def start(self, **options: Any) -> Any:
        return self.tool.start(*self.command, env=self.environment, **options)

    def wait_for_requests(self, count: int) -> None:
        wait_for(lambda: self.sandbox.statistics().requests >= count, f"request {count}")

    def recorded(self) -> int:
        """How many IDs are on disk, read as anyone else would."""
        return self.state_path.read_bytes().count(b'"status":"created"')

    def state(self) -> State:
        return FileStateLog(self.state_path, api=self.sandbox.base_url).read().fold()

    def check_told(self, stderr: str) -> None:
        """Every ID that was made is in the state, or in a rescue file and on stderr."""
        made = {a: p.persona_id for a, p in self.sandbox.personas().items()}
        told = {persona_id for _key, persona_id in IMPORT.findall(stderr)}
        on_disk = self.state_path.read_text() if self.state_path.exists() else ""
        for audio, persona_id in made.items():
            assert persona_id in on_disk or persona_id in told, f"{audio} is lost\n{stderr}"

    def check_mended(self) -> None:
        """The next run takes the rescue file in by itself, and asks for nothing twice."""
        ended = self.tool(*self.command, env=self.environment)
        assert ended.code == 0, ended.stderr + ended.stdout
        made = {a: p.persona_id for a, p in self.sandbox.personas().items()}
        entries = self.state().entries
        assert {a: e.persona_id for a, e in entries.items()} == made
        assert len(made) == COUNT
        assert all(asked == 1 for asked in self.sandbox.statistics().audios.values())
        assert not list(self.state_path.parent.glob("*.rescue"))
        assert not list(self.tool.folder.glob("*.rescue"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 512 KiB large."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], capture_output=True, check=False)
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_fills_up_before_anything_is_sent(tmp_path: Path, small_disk: Path) -> None:
    trouble = Trouble(tmp_path / "home", small_disk)
    filler = small_disk / "filler"
    _fill(filler)
    ended = trouble.tool(*trouble.command, env=trouble.environment)
    assert ended.code == 1
    assert "No space left on device" in " ".join(ended.stdout.split())  # it is wrapped
    assert trouble.sandbox.statistics().requests == 0
    filler.unlink()
    trouble.check_mended()


def test_a_disk_that_fills_up_while_answers_are_under_way(tmp_path: Path, small_disk: Path) -> None:
    trouble = Trouble(tmp_path / "home", small_disk)
    with answers_held():
        process = trouble.start()
        trouble.wait_for_requests(2)
        _fill(small_disk / "filler")
    _stdout, stderr = process.communicate(timeout=HANG)
    assert process.returncode == 3
    assert trouble.sandbox.statistics().requests == 2, "it went on sending"
    trouble.check_told(stderr.decode())
    assert "Traceback" not in stderr.decode()
    (small_disk / "filler").unlink()
    trouble.check_mended()


def test_a_disk_that_is_read_only(tmp_path: Path, small_disk: Path) -> None:
    trouble = Trouble(tmp_path / "home", small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    ended = trouble.tool(*trouble.command, env=trouble.environment)
    assert ended.code == 1
    assert "Read-only file system" in ended.stderr
    assert trouble.sandbox.statistics().requests == 0
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    trouble.check_mended()


def test_a_folder_that_is_deleted_while_answers_are_under_way(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    trouble = Trouble(tmp_path / "home", disk)
    with answers_held():
        process = trouble.start()
        trouble.wait_for_requests(2)
        shutil.rmtree(disk)
    _stdout, stderr = process.communicate(timeout=HANG)
    assert process.returncode == 3
    assert trouble.sandbox.statistics().requests == 2, "it went on sending"
    trouble.check_told(stderr.decode())
    assert list((tmp_path / "home").rglob("*.rescue")), "nothing is in the user's state folder"
    disk.mkdir()
    trouble.check_mended()


def test_a_state_that_is_replaced_while_answers_are_under_way(tmp_path: Path) -> None:
    """As ``git checkout`` does: the file under the old name is another one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    trouble = Trouble(tmp_path / "home", disk)
    with answers_held():
        process = trouble.start()
        trouble.wait_for_requests(2)
        copy = disk / "copy"
        copy.write_bytes(trouble.state_path.read_bytes())
        copy.replace(trouble.state_path)
    _stdout, stderr = process.communicate(timeout=HANG)
    assert process.returncode == 3
    trouble.check_told(stderr.decode())
    trouble.check_mended()


def _remove(path: Path) -> None:
    path.unlink()


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _add_to(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"junk")


def _put_an_older_one_back(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.with_name("copy").write_bytes(lines[0])
    path.with_name("copy").replace(path)


@pytest.mark.parametrize("sends_more", [True, False], ids=["in the midst", "at the end"])
@pytest.mark.parametrize("meddle", [_remove, _cut_short, _empty, _add_to, _put_an_older_one_back])
def test_what_something_else_takes_from_the_state_is_rescued(
    tmp_path: Path, meddle: Callable[[Path], None], sends_more: bool
) -> None:
    """IDs that were safe on disk are still in the run's hands when they are gone from there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    trouble = Trouble(tmp_path / "home", disk)
    before = COUNT - 2 if sends_more else COUNT - 1
    with answers_held() as held:
        process = trouble.start()
        held.let(before)
        wait_for(lambda: trouble.state_path.exists(), "the state")
        wait_for(lambda: trouble.recorded() == before, "what was let go")
        meddle(trouble.state_path)
    stdout, stderr = process.communicate(timeout=HANG)
    assert process.returncode == 3, stdout.decode() + stderr.decode()
    trouble.check_told(stderr.decode())
    assert "Stopped: " in stdout.decode()
    trouble.check_mended()


def test_nowhere_to_write_at_all_still_tells_the_ids(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    trouble = Trouble(tmp_path / "home", disk)
    with answers_held():
        process = trouble.start(preexec_fn=_no_file_may_grow_beyond(12_000))
        trouble.wait_for_requests(2)
    _stdout, stderr = process.communicate(timeout=HANG)
    assert process.returncode in (1, 3), stderr.decode()
    trouble.check_told(stderr.decode())
    entries = trouble.state().entries
    for audio in trouble.sandbox.personas():
        assert entries[audio].status in (Status.CREATED, Status.PENDING)
    assert "Traceback" not in stderr.decode()


def _no_file_may_grow_beyond(size: int) -> Any:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def _fill(path: Path) -> None:
    """Write until the disk is full, the last byte included."""
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            while True:
                try:
                    if file.write(b"x" * size) < size:
                        break
                except OSError:
                    break
