"""Where an ID goes when the state cannot take it, and how it comes back."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from personasync.model.errors import StateError
from personasync.state import Entry, FileStateLog, Header, LogContents, load_state
from personasync.state.codec import encode_entry, encode_header
from personasync.state.rescue import missing, read_rescue, rescue, rescued
from tests.unit.state.samples import API, HEADER, created

HEAD = encode_header(HEADER)


def kept(*numbers: int) -> bytes:
    return HEAD + b"".join(encode_entry(created(number)) for number in numbers)


@pytest.fixture
def log(path: Path) -> FileStateLog:
    path.write_bytes(HEAD)
    found = FileStateLog(path, api=API)
    with found.lock():
        return found


@pytest.fixture
def beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.rescue")


@pytest.fixture
def no_folder(log: FileStateLog, path: Path) -> None:
    """The state's folder is gone."""
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user's programs keep what they must not forget."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "personasync"


def ids(path: Path) -> set[str | None]:
    return {entry.persona_id for entry in load_state(path).entries.values()}


def where(log: FileStateLog, *numbers: int) -> Path:
    """Rescue entries, and return the file that they are in."""
    found = rescue(log, [created(number) for number in numbers])
    assert found is not None
    return Path(found)


def test_it_is_kept_beside_the_state(log: FileStateLog, beside: Path, home: Path) -> None:
    assert where(log, 1) == where(log, 2) == beside
    assert beside.read_bytes() == kept(1) + kept(2)
    assert beside.stat().st_mode & 0o777 == 0o600
    assert not home.exists()
    (file,) = read_rescue(beside)
    assert (file.path, file.header, file.entries) == (beside, HEADER, (created(1), created(2)))


@pytest.mark.usefixtures("no_folder")
def test_else_in_the_users_state_folder_where_the_next_run_of_that_lineage_finds_it(
    log: FileStateLog, path: Path, home: Path
) -> None:
    file = home / f"{HEADER.lineage}-r1.rescue"
    assert where(log, 1) == where(log, 2) == file
    assert file.stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    path.parent.mkdir()
    moved = path.with_name("moved.jsonl")
    moved.write_bytes(HEAD)
    assert ids(moved) == {"id-1", "id-2"}
    moved.write_bytes(encode_header(Header("other", API)))
    assert ids(moved) == set()


@pytest.mark.usefixtures("no_folder")
def test_where_nothing_is_left_of_the_state_its_place_is_enough(
    log: FileStateLog, path: Path, home: Path
) -> None:
    file = where(log, 1)
    path.parent.mkdir()
    assert ids(path.with_name("another")) == set()
    with FileStateLog(path, api=API).lock():
        assert not file.exists()
    assert ids(path) == {"id-1"}
    header = load_state(path).header
    assert header is not None
    assert header.lineage == HEADER.lineage, "it is another state now"


@pytest.mark.usefixtures("no_folder")
def test_else_in_the_temporary_folder(
    log: FileStateLog, path: Path, home: Path, temporary: Path
) -> None:
    home.parent.touch()
    assert where(log, 1).is_relative_to(temporary)
    path.parent.mkdir()
    assert ids(path) == {"id-1"}


@pytest.mark.usefixtures("no_folder")
def test_else_nowhere(log: FileStateLog, home: Path, temporary: Path) -> None:
    temporary.rmdir()
    temporary.touch()
    home.parent.touch()
    assert rescue(log, [created(1)]) is None


class Memory:
    """A log that knows the five words and nothing more."""

    location = "memory://there"

    def __init__(self, *entries: Entry) -> None:
        self.entries = entries

    def read(self) -> LogContents:
        return LogContents(HEADER, self.entries)


def test_a_system_without_a_temporary_folder_is_none_the_worse(
    log: FileStateLog, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert where(log, 1) == beside
    assert list(rescued(log.location, HEADER)) == []


def test_a_log_that_knows_nothing_of_rescue_is_served_too(home: Path) -> None:
    log = Memory(created(1))
    file = rescue(log, [created(2)])  # type: ignore[arg-type]
    assert file == str(home / f"{HEADER.lineage}-r1.rescue")
    assert missing(log, [created(1), created(2)]) == [created(2)]  # type: ignore[arg-type]


def test_it_is_synced_before_it_counts_as_kept(
    log: FileStateLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def noting(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    where(log, 1)
    assert synced[0] == len(kept(1))
    assert len(synced) == 2  # and its folder


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_disk_that_fails_beside_the_state_means_the_users_state_folder(
    log: FileStateLog, path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    real, turns = getattr(os, call), []

    def once(*args: object) -> object:
        turns.append(args)
        if len(turns) == 1:
            raise OSError(errno.ENOSPC, "no space")
        return real(*args)

    monkeypatch.setattr(os, call, once)
    assert where(log, 1).parent == home
    assert ids(path) == {"id-1"}


def test_half_a_line_is_cut_back(
    log: FileStateLog, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where(log, 1)
    write, turns = os.write, []

    def half(descriptor: int, data: bytes) -> int:
        turns.append(data)
        if len(turns) == 2:
            raise OSError(errno.ENOSPC, "no space")
        return write(descriptor, bytes(data)[:7])

    monkeypatch.setattr(os, "write", half)
    where(log, 2)
    assert beside.read_bytes() == kept(1)


def test_nothing_is_joined_to_half_a_line(
    log: FileStateLog, path: Path, beside: Path, home: Path
) -> None:
    torn = kept(1)[:-30]
    beside.write_bytes(torn)
    first = where(log, 2)
    assert first.parent == home
    first.write_bytes(first.read_bytes()[:-3])
    assert where(log, 3) != first
    assert beside.read_bytes() == torn
    assert ids(path) == {"id-1", "id-2", "id-3"}


def test_every_truncation_of_a_rescue_file_gives_up_what_it_holds(beside: Path) -> None:
    data = kept(1, 2)
    for cut in range(len(data) + 1):
        beside.write_bytes(data[:cut])
        (file,) = read_rescue(beside)
        found = {entry.persona_id for entry in file.entries if entry.persona_id}
        assert found == {
            f"id-{number}" for number in (1, 2) if f'"id-{number}"'.encode() in data[:cut]
        }


def test_a_file_that_is_no_rescue_file_is_an_error_that_names_it(
    log: FileStateLog, beside: Path
) -> None:
    beside.write_bytes(b"junk\n")
    with pytest.raises(StateError, match="rescue:1: this is not a personasync state"):
        log.read()
    beside.write_bytes(b"junk")
    with pytest.raises(StateError, match="rescue:1: this is not a personasync state"):
        log.read()


def test_one_that_cannot_be_read_is_an_error_that_names_it(log: FileStateLog, beside: Path) -> None:
    beside.mkdir()
    with pytest.raises(StateError) as caught:
        log.read()
    assert caught.value.message == (f"cannot read the rescue file {beside}: it is not a plain file")


def test_a_pipe_is_an_error_and_not_waited_for(log: FileStateLog, beside: Path) -> None:
    os.mkfifo(beside)
    with pytest.raises(StateError, match="it is not a plain file"):
        log.read()


def test_a_link_beside_the_state_is_not_written_through(
    log: FileStateLog, beside: Path, tmp_path: Path, home: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    beside.symlink_to(victim)
    assert where(log, 1).parent == home
    assert victim.read_bytes() == b"precious"


def test_away_from_the_state_only_plain_files_of_ours_are_believed(
    log: FileStateLog, path: Path, beside: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside.symlink_to("nowhere")
    file = where(log, 1)
    beside.unlink()
    real = file.rename(file.with_name("x"))
    file.symlink_to(real)
    assert ids(path) == set()
    real.replace(file)
    assert ids(path) == {"id-1"}
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert ids(path) == set()


def test_one_that_another_run_takes_in_meanwhile_is_no_loss(
    log: FileStateLog, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where(log, 1)
    read_bytes = Path.read_bytes

    def taken(path: Path) -> bytes:
        path.unlink()
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", taken)
    assert list(read_rescue(beside)) == []
