"""Appends: durable when they return, whole or not at all."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from personasync.state.appender import Appender

START = b"start\n"


@pytest.fixture
def file(path: Path) -> Path:
    path.write_bytes(START)
    return path


@pytest.fixture
def appender(file: Any) -> Any:
    appender = Appender(file)
    yield appender
    appender.close()


class Faulty:
    """Stands for a call of ``os``; fails at the turns it is told, else does as it should."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        name: Any,
        *,
        at: Any = (),
        number: Any = errno.EIO,
        error: Any = None,
    ) -> None:
        self.real = getattr(os, name)
        self.turns = 0
        self.at = at
        self.error = error or OSError(number, os.strerror(number))
        monkeypatch.setattr(os, name, self)

    def __call__(self, *args: Any) -> Any:
        self.turns += 1
        if self.at == "always" or self.turns in self.at:
            raise self.error
        return self.real(*args)


def test_what_is_appended_is_in_the_file(appender: Any, file: Any) -> None:
    appender.append(b"one\n")
    appender.append(b"two\nthree\n")
    assert file.read_bytes() == b"start\none\ntwo\nthree\n"


def test_it_is_synced_before_append_returns(
    appender: Any, file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    fsync = os.fsync

    def synced(descriptor: int) -> None:
        seen.append(file.read_bytes())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    appender.append(b"one\n")
    assert seen == [b"start\none\n"]


def test_an_append_is_one_write_whatever_the_size_of_the_file(
    file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(START * 10_000)
    appender = Appender(file)
    writes = Faulty(monkeypatch, "write")
    appender.append(b"one\n")
    appender.close()
    assert writes.turns == 1


def test_short_writes_are_carried_on(
    appender: Any, file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:2]))
    appender.append(b"one\n")
    assert file.read_bytes() == b"start\none\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_write_that_fails_leaves_the_file_as_it_was_and_the_next_may_succeed(
    appender: Any, file: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    Faulty(monkeypatch, "write", at=[1], number=number)
    with pytest.raises(OSError) as caught:
        appender.append(b"one\n")
    assert caught.value.errno == number
    assert file.read_bytes() == START
    appender.append(b"two\n")
    assert file.read_bytes() == b"start\ntwo\n"


def write_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the next write end half-way, and the one after it fail."""
    write = os.write
    turns = []

    def half(descriptor: int, data: Any) -> Any:
        turns.append(data)
        if len(turns) == 2:
            raise OSError(errno.ENOSPC, "no space")
        return write(descriptor, bytes(data)[:2])

    monkeypatch.setattr(os, "write", half)


def test_half_a_write_is_cut_back(
    appender: Any, file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_half(monkeypatch)
    with pytest.raises(OSError):
        appender.append(b"one\n")
    assert file.read_bytes() == START
    monkeypatch.undo()
    appender.append(b"two\n")
    assert file.read_bytes() == b"start\ntwo\n"


def test_half_a_write_that_cannot_be_cut_back_is_the_last(
    appender: Any, file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_half(monkeypatch)
    Faulty(monkeypatch, "ftruncate", at="always")
    with pytest.raises(OSError, match="no space"):
        appender.append(b"one\n")
    monkeypatch.undo()
    with pytest.raises(OSError, match="no space"):
        appender.append(b"two\n")
    assert file.read_bytes() == b"start\non"


def test_after_a_sync_that_failed_nothing_seems_durable_any_more(
    appender: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Faulty(monkeypatch, "fsync", at=[1])
    for _ in range(2):
        with pytest.raises(OSError) as caught:
            appender.append(b"one\n")
        assert caught.value.errno == errno.EIO


def test_a_write_broken_off_by_anything_else_is_not_taken_for_done(
    appender: Any, file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Faulty(monkeypatch, "write", at=[1], error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        appender.append(b"one\n")
    with pytest.raises(InterruptedError):
        appender.append(b"two\n")
    assert file.read_bytes() == START


def test_a_deleted_file_takes_nothing(appender: Any, file: Any) -> None:
    file.unlink()
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            appender.append(b"one\n")


def test_a_replaced_file_takes_nothing(appender: Any, file: Any) -> None:
    (file.parent / "other").write_bytes(b"other\n")
    (file.parent / "other").replace(file)
    with pytest.raises(FileNotFoundError, match="replaced during the run"):
        appender.append(b"one\n")
    assert file.read_bytes() == b"other\n"


def test_a_file_that_was_cut_short_takes_nothing(appender: Any, file: Any) -> None:
    appender.append(b"one\n")
    file.write_bytes(b"")
    with pytest.raises(OSError, match="cut short during the run"):
        appender.append(b"two\n")
    assert file.read_bytes() == b""


def test_a_file_that_something_else_wrote_to_takes_nothing(appender: Any, file: Any) -> None:
    appender.append(b"one\n")
    assert appender.intact()
    with file.open("ab") as other:
        other.write(b"junk")
    assert not appender.intact()
    with pytest.raises(OSError, match="written to by something else"):
        appender.append(b"two\n")
    assert file.read_bytes() == b"start\none\njunk"


def test_a_deleted_folder_is_an_error(appender: Any, file: Any) -> None:
    file.unlink()
    file.parent.rmdir()
    with pytest.raises(FileNotFoundError):
        appender.append(b"one\n")


def test_a_file_that_is_not_there_cannot_be_opened(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Appender(path)


def test_a_closed_appender_writes_to_nobody_elses_file(file: Any, path: Path) -> None:
    appender = Appender(file)
    appender.close()
    other = os.open(path.with_name("other"), os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError) as caught:
        appender.append(b"one\n")
    os.close(other)
    assert caught.value.errno == errno.EBADF
    assert path.with_name("other").read_bytes() == b""


def test_a_close_that_fails_takes_nothing_back(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    appender = Appender(file)
    appender.append(b"one\n")
    close = os.close

    def failing(descriptor: int) -> Any:
        close(descriptor)
        raise OSError(errno.EIO, "late")

    monkeypatch.setattr(os, "close", failing)
    appender.close()
    assert file.read_bytes() == b"start\none\n"


def test_it_is_not_closed_under_an_append(
    appender: Any, file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_disk, go_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        at_the_disk.set()
        go_on.wait(10)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    writer = threading.Thread(target=appender.append, args=(b"one\n",))
    writer.start()
    at_the_disk.wait(10)
    closer = threading.Thread(target=appender.close)
    closer.start()
    go_on.set()
    for thread in (writer, closer):
        thread.join(10)
    assert file.read_bytes() == b"start\none\n"
    with pytest.raises(OSError):
        appender.append(b"two\n")
