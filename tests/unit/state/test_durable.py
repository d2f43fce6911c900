"""Whole files: the old one or the new one, never a half."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from personasync.state.appender import Appender
from personasync.state.durable import rename, replace_file, sync, sync_folder, write_all
from personasync.state.places import begin
from personasync.state.rescue import append_rescue


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def failing(error_number: Any, after: int = 0) -> Any:
    calls = []

    def fail(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) > after:
            raise OSError(error_number, os.strerror(error_number))

    return fail


def test_every_byte_is_written_however_short_the_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    write_all(descriptor, b"0123456789")
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_a_new_file_appears_and_nothing_else(tmp_path: Path) -> None:
    replace_file(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"new"}


def test_a_file_is_replaced_and_the_previous_one_stays_as_backup(old: Any, tmp_path: Path) -> None:
    backup = tmp_path / "file.backup"
    replace_file(old, b"new", backup=backup)
    replace_file(old, b"newer", backup=backup)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "file": b"newer",
        "file.backup": b"new",
    }


def test_the_mode_of_a_file_is_kept(old: Any) -> None:
    old.chmod(0o640)
    replace_file(old, b"new")
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


def test_it_is_synced_before_it_is_renamed_and_its_folder_after(
    old: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fsync, rename = os.fsync, type(old).replace

    def synced(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def renamed(self: Any, target: Any) -> Any:
        steps.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(type(old), "replace", renamed)
    replace_file(old, b"new")
    assert steps == ["file", "rename", "folder"]


@pytest.mark.parametrize("call", ["write", "fsync", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
def test_a_failure_leaves_the_old_file_and_no_litter(
    old: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any, number: int
) -> None:
    monkeypatch.setattr(os, call, failing(number))
    with pytest.raises(OSError) as caught:
        replace_file(old, b"new", backup=tmp_path / "file.backup")
    monkeypatch.undo()
    assert caught.value.errno == number
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_a_failing_rename_leaves_the_old_file(
    old: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(old), "replace", failing(errno.EIO))
    with pytest.raises(OSError):
        replace_file(old, b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_half_a_write_leaves_the_old_file(
    old: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    full = failing(errno.ENOSPC, after=1)

    def half(descriptor: int, data: Any) -> Any:
        full()
        return write(descriptor, bytes(data)[:2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError):
        replace_file(old, b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_what_a_killed_run_left_is_no_hindrance(old: Any, tmp_path: Path) -> None:
    (tmp_path / "file.tmp").write_bytes(b"half")
    (tmp_path / "file.tmp").chmod(0)
    (tmp_path / "file.backup.tmp").write_bytes(b"half")
    replace_file(old, b"new", backup=tmp_path / "file.backup")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "file": b"new",
        "file.backup": b"old",
    }


def test_a_kill_between_backup_and_rename_leaves_no_litter_later(old: Any, tmp_path: Path) -> None:
    os.link(old, tmp_path / "file.backup")
    replace_file(old, b"new", backup=tmp_path / "file.backup")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "file": b"new",
        "file.backup": b"old",
    }


def test_without_hard_links_the_backup_is_a_copy(
    old: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    old.chmod(0o600)
    replace_file(old, b"new", backup=tmp_path / "file.backup")
    assert (tmp_path / "file.backup").read_bytes() == b"old"
    assert stat.S_IMODE((tmp_path / "file.backup").stat().st_mode) == 0o600


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_folder_that_cannot_be_synced_is_none_of_our_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "fsync", failing(number))
    sync_folder(tmp_path)


def test_a_folder_whose_sync_fails_is_an_error(old: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EIO, after=1))
    with pytest.raises(OSError):
        replace_file(old, b"new")


def test_where_folders_cannot_be_opened_none_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("personasync.state.durable.sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    sync_folder(tmp_path)


# Other systems, as far as they can be shown on this one


def test_no_file_of_a_state_is_opened_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows has a mode that changes the ends of lines, in the descriptors of os.open as well."""
    binary, real, opened = 1 << 40, os.open, {}

    def open_(path: Path, flags: Any, mode: int = 0o777) -> Any:
        opened[os.fspath(path)] = bool(flags & binary) or not flags & (os.O_WRONLY | os.O_RDWR)
        return real(path, flags & ~binary, mode)

    monkeypatch.setattr(os, "O_BINARY", binary, raising=False)
    monkeypatch.setattr(os, "open", open_)
    path = tmp_path / "personas.state.jsonl"
    path.write_bytes(b"old")
    replace_file(path, b"new\n", backup=tmp_path / "backup")
    append_rescue(tmp_path / "a.rescue", b"{}\n")
    appender = Appender(path)
    appender.append(b"more\n")
    appender.close()
    begin(str(tmp_path / "new.jsonl"), "https://api.example")
    assert len(opened) >= 4
    assert [name for name, fine in opened.items() if not fine] == []


@pytest.mark.parametrize("refusals", [0, 3])
def test_a_rename_outlasts_who_reads_the_file_where_that_forbids_it(
    old: Any, monkeypatch: pytest.MonkeyPatch, refusals: Any
) -> None:
    waits: list[float] = []
    real = Path.replace

    def replace(source: Any, target: Any) -> Any:
        if len(waits) < refusals:
            raise PermissionError(errno.EACCES, "in use")
        return real(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr("personasync.state.durable.sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr("personasync.state.durable.time.sleep", waits.append)
    beside = old.with_name("beside")
    beside.write_bytes(b"new")
    rename(beside, old)
    assert (old.read_bytes(), len(waits)) == (b"new", refusals)


@pytest.mark.parametrize("works", [True, False])
def test_a_sync_reaches_the_disk_itself_where_that_must_be_asked_for(
    old: Any, monkeypatch: pytest.MonkeyPatch, works: Any
) -> None:
    calls = []

    def fcntl_(_descriptor: Any, command: Any) -> Any:
        calls.append(command)
        if not works:
            raise OSError(errno.ENOTSUP, "no such call")

    monkeypatch.setattr("personasync.state.durable.sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setitem(sys.modules, "fcntl", SimpleNamespace(fcntl=fcntl_, F_FULLFSYNC=51))
    monkeypatch.setattr("os.fsync", lambda _descriptor: calls.append("fsync"))
    with old.open("rb") as file:
        sync(file.fileno())
    assert calls == ([51] if works else [51, "fsync"])
