"""Where an ID goes when the state cannot take it, and how it comes back."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from personasync.model.errors import StateError
from personasync.state.codec import encode_entry, encode_header
from personasync.state.rescue import RescueFile, RescueFiles
from tests.unit.state.samples import API, HEADER, created

HEAD = encode_header(HEADER)


def kept(*numbers):
    return HEAD + b"".join(encode_entry(created(number)) for number in numbers)


@pytest.fixture
def rescue(path):
    return RescueFiles(path)


@pytest.fixture
def beside(path):
    return path.with_name(f"{path.name}.rescue")


@pytest.fixture
def no_folder(path):
    """The state's folder is gone."""
    path.parent.rmdir()


def test_it_is_kept_beside_the_state(rescue, beside, temporary):
    assert rescue.keep(kept(1)) == str(beside)
    assert rescue.keep(kept(2)) == str(beside)
    assert beside.read_bytes() == kept(1) + kept(2)
    assert beside.stat().st_mode & 0o777 == 0o600
    assert list(temporary.iterdir()) == []
    assert rescue.read() == (RescueFile(beside, API, (created(1), created(2))),)


@pytest.mark.usefixtures("no_folder")
def test_else_in_the_temporary_folder_where_the_next_run_finds_it(rescue, path, temporary):
    where = rescue.keep(kept(1))
    assert rescue.keep(kept(2)) == where
    (file,) = temporary.iterdir()
    assert str(file) == where
    assert file.stat().st_mode & 0o777 == 0o600
    assert RescueFiles(path).read() == (RescueFile(file, API, (created(1), created(2))),)
    assert RescueFiles(path.with_name("another.state.jsonl")).read() == ()


@pytest.mark.usefixtures("no_folder")
def test_else_nowhere(rescue, temporary):
    temporary.rmdir()
    assert rescue.keep(kept(1)) is None


def test_it_is_synced_before_it_counts_as_kept(rescue, beside, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_size), fsync(fd)))
    rescue.keep(kept(1))
    assert synced[0] == len(kept(1))
    assert len(synced) == 2  # and its folder


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_disk_that_fails_beside_the_state_means_the_temporary_folder(
    rescue, beside, temporary, monkeypatch, call
):
    real, turns = getattr(os, call), []

    def once(*args):
        turns.append(args)
        if len(turns) == 1:
            raise OSError(errno.ENOSPC, "no space")
        return real(*args)

    monkeypatch.setattr(os, call, once)
    where = rescue.keep(kept(1))
    assert Path(where).parent == temporary
    assert created(1) in [entry for file in rescue.read() for entry in file.entries]


def test_half_a_line_is_cut_back(rescue, beside, monkeypatch):
    rescue.keep(kept(1))
    write, turns = os.write, []

    def half(descriptor, data):
        turns.append(data)
        if len(turns) == 2:
            raise OSError(errno.ENOSPC, "no space")
        return write(descriptor, bytes(data)[:7])

    monkeypatch.setattr(os, "write", half)
    rescue.keep(kept(2))
    assert beside.read_bytes() == kept(1)


def test_nothing_is_joined_to_half_a_line(rescue, beside, temporary):
    torn = kept(1)[:-30]
    beside.write_bytes(torn)
    where = rescue.keep(kept(2))
    assert Path(where).parent == temporary
    assert beside.read_bytes() == torn
    ids = [entry.persona_id for file in rescue.read() for entry in file.entries]
    assert ids == ["id-1", "id-2"]


@pytest.mark.usefixtures("no_folder")
def test_a_temporary_file_that_fails_is_followed_by_another(rescue, temporary):
    first = rescue.keep(kept(1))
    with open(first, "ab") as file:
        file.write(b'{"audioId"')
    second = rescue.keep(kept(2))
    assert second not in (None, first)
    ids = {entry.persona_id for file in rescue.read() for entry in file.entries}
    assert ids == {"id-1", "id-2"}


def test_every_truncation_of_a_rescue_file_gives_up_what_it_holds(rescue, beside):
    data = kept(1, 2)
    for cut in range(len(data) + 1):
        beside.write_bytes(data[:cut])
        (file,) = rescue.read()
        found = {entry.persona_id for entry in file.entries if entry.persona_id}
        assert found == {
            f"id-{number}" for number in (1, 2) if f'"id-{number}"'.encode() in data[:cut]
        }


def test_a_file_that_is_no_rescue_file_is_an_error_that_names_it(rescue, beside):
    beside.write_bytes(b"junk\n")
    with pytest.raises(StateError, match="rescue:1: this line cannot be read"):
        rescue.read()
    beside.write_bytes(b"junk")
    with pytest.raises(StateError, match="rescue:1: this is not a personasync state"):
        rescue.read()


def test_one_that_cannot_be_read_is_an_error_that_names_it(rescue, beside):
    beside.mkdir()
    with pytest.raises(StateError) as caught:
        rescue.read()
    assert caught.value.message == f"cannot read the rescue file {beside}: Is a directory"


def test_a_pipe_is_an_error_and_not_waited_for(rescue, beside):
    os.mkfifo(beside)
    with pytest.raises(StateError, match="it is a pipe"):
        rescue.read()


def test_a_link_beside_the_state_is_not_written_through(rescue, beside, tmp_path, temporary):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    beside.symlink_to(victim)
    assert Path(rescue.keep(kept(1))).parent == temporary
    assert victim.read_bytes() == b"precious"


@pytest.mark.usefixtures("no_folder")
def test_in_the_temporary_folder_only_plain_files_of_ours_are_believed(
    rescue, temporary, monkeypatch
):
    where = rescue.keep(kept(1))
    assert len(rescue.read()) == 1
    Path(where.removesuffix(".rescue") + "x.rescue").symlink_to(where)
    assert len(rescue.read()) == 1
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert rescue.read() == ()


def test_removed_are_just_the_files_that_were_read(rescue, beside, temporary):
    rescue.keep(kept(1))
    read = rescue.read()
    beside.rename(beside.with_name("x"))
    rescue.keep(kept(2))
    rescue.remove(())
    assert beside.exists()
    rescue.remove(read)
    assert not beside.exists()
    rescue.remove(read)


@pytest.mark.usefixtures("no_folder")
def test_one_that_another_run_takes_in_meanwhile_is_no_loss(rescue, monkeypatch):
    where = Path(rescue.keep(kept(1)))
    assert where.is_file()
    read_bytes = Path.read_bytes

    def taken(path):
        path.unlink()
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", taken)
    assert rescue.read() == ()


@pytest.mark.usefixtures("no_folder")
def test_one_that_is_gone_before_it_is_looked_at_is_no_loss(rescue, monkeypatch):
    rescue.keep(kept(1))
    lstat = Path.lstat

    def gone(path):
        if path.suffix == ".rescue":
            raise FileNotFoundError(errno.ENOENT, "gone")
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", gone)
    assert rescue.read() == ()
