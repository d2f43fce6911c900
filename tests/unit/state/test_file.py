"""The file log: born whole, appended durably, compacted in one step, read whatever became of it."""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personasync.model.answer import KeptAnswer
from personasync.model.errors import StaleStateError, StateError, StateLockedError, StateWriteError
from personasync.state import FileStateLog, Header, LogContents, Status, load_state
from personasync.state.codec import encode_entry, encode_header
from tests.unit.state.samples import API, HEADER, created, entries, entry

HEAD = encode_header(HEADER)


def lines(*known: Any) -> Any:
    return b"".join(map(encode_entry, known))


@pytest.fixture
def log(path: Path) -> Any:
    return FileStateLog(path, api=API)


def beside(path: Path, suffix: Any) -> Path:
    return path.with_name(path.name + suffix)


def names(path: Path) -> Any:
    return sorted(found.name.removeprefix(path.name) for found in path.parent.iterdir())


def keep(answer: Any) -> Any:
    return None if answer is None else KeptAnswer.of_text(answer)


class TestAppending:
    def test_the_first_append_begins_the_file(self, log: Any, path: Path) -> None:
        with log.lock():
            assert not path.exists()
            log.append([entry(1), created(2)])
        header, *rest = path.read_bytes().splitlines(keepends=True)
        fields = json.loads(header)
        assert len(fields.pop("lineage")) == 32
        assert fields == {"format": "personasync.state/1", "api": API}
        assert b"".join(rest) == lines(entry(1), created(2))
        assert names(path) == ["", ".lock"]

    def test_two_states_begun_apart_have_two_lineages(self, path: Path) -> None:
        lineages = set()
        for name in ("a", "b"):
            log = FileStateLog(path.with_name(name), api=API)
            log.append([entry(1)])
            lineages.add(log.read().header.lineage)
        assert len(lineages) == 2

    def test_a_later_append_changes_nothing_that_is_there(self, log: Any, path: Path) -> None:
        path.write_bytes(HEAD + lines(entry(1)))
        inode = path.stat().st_ino
        with log.lock():
            log.append([created(1)])
            log.append([entry(2)])
        assert path.read_bytes() == HEAD + lines(entry(1), created(1), entry(2))
        assert path.stat().st_ino == inode

    def test_what_was_appended_can_be_read(self, log: Any, path: Path) -> None:
        with log.lock():
            log.append([entry(1), created(1)])
            contents = log.read()
            assert contents.entries == (entry(1), created(1))
            assert contents.fold().entries == {"audio-1": created(1)}
        assert load_state(path) == load_state(path, api=API) == contents.fold()

    def test_a_link_stays_a_link(self, path: Path) -> None:
        link = path.with_name("link")
        link.symlink_to(path.name)
        path.touch()
        log = FileStateLog(link, api=API)
        with log.lock():
            log.append([entry(1)])
            log.append([created(1)])
            log.compact()
        assert link.is_symlink()
        assert load_state(path).entries == {"audio-1": created(1)}
        assert beside(path, ".backup").exists()
        with log.lock(), pytest.raises(StateLockedError), FileStateLog(path, api=API).lock():
            raise AssertionError("link and file were locked apart")

    def test_the_location_is_the_path_that_the_user_named(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(path.parent)
        assert FileStateLog(type(path)("x.jsonl"), api=API).location == "x.jsonl"


class TestTrouble:
    """Whatever fails, what was said to be durable is, and nothing else was said to be."""

    @pytest.mark.parametrize("call", ["write", "fsync", "open"])
    def test_a_file_that_cannot_be_begun(
        self, log: Any, path: Path, monkeypatch: pytest.MonkeyPatch, call: Any
    ) -> None:
        with log.lock():

            def fail(*_args: Any) -> Any:
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr(os, call, fail)
            with pytest.raises(StateWriteError) as caught:
                log.append([entry(1)])
            monkeypatch.undo()
        assert caught.value.message == f"cannot write the state {path}: No space left on device"
        assert str(path.parent) in str(caught.value.hint)
        assert not path.exists()
        assert names(path) == [".lock"]

    def test_an_append_that_fails(
        self, log: Any, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path.write_bytes(HEAD + lines(entry(1)))
        write = os.write
        with log.lock():
            log.append([entry(2)])
            monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O")))
            with pytest.raises(StateWriteError, match=r"cannot write the state .*: I/O"):
                log.append([created(1)])
            monkeypatch.setattr(os, "write", write)
        assert path.read_bytes() == HEAD + lines(entry(1), entry(2))

    def test_a_file_removed_before_the_first_append_is_not_begun_anew(
        self, log: Any, path: Path
    ) -> None:
        path.write_bytes(HEAD + lines(created(1)))
        with log.lock():
            path.unlink()
            with pytest.raises(StaleStateError, match="was changed by something else"):
                log.append([entry(2)])
        assert not path.exists()

    def test_a_file_removed_after_the_first_append(self, log: Any, path: Path) -> None:
        with log.lock():
            log.append([entry(1)])
            path.unlink()
            with pytest.raises(StateWriteError):
                log.append([created(1)])
            with pytest.raises(StateError, match="was removed during the run"):
                log.compact()
        assert not path.exists()

    def test_a_file_replaced_during_the_run(self, log: Any, path: Path) -> None:
        with log.lock():
            log.append([entry(1)])
            other = path.with_name("other")
            other.write_bytes(HEAD)
            other.replace(path)
            with pytest.raises(StateWriteError, match="replaced during the run"):
                log.append([created(1)])
        assert path.read_bytes() == HEAD

    def test_a_file_emptied_during_the_run(self, log: Any, path: Path) -> None:
        path.write_bytes(HEAD + lines(created(1)))
        with log.lock():
            path.write_bytes(b"")
            with pytest.raises(StateWriteError):
                log.append([created(2)])
        assert path.read_bytes() == b""

    def test_a_folder_that_is_not_there(self, log: Any, path: Path) -> None:
        path.parent.rmdir()
        assert log.read() == LogContents()
        with pytest.raises(StateWriteError):
            log.append([entry(1)])
        with pytest.raises(StateError, match="cannot lock the state"), log.lock():
            raise AssertionError("locked")

    def test_a_file_where_the_folder_should_be(self, log: Any, path: Path) -> None:
        path.parent.rmdir()
        path.parent.write_bytes(b"")
        with pytest.raises(StateError, match=r"cannot read the state .*: Not a directory"):
            log.read()
        with pytest.raises(StateError, match="Not a directory"):
            log.append([entry(1)])

    @pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
    def test_what_is_not_a_plain_file_is_left_alone(self, path: Path, kind: Any) -> None:
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/null")
        log = FileStateLog(path, api=API)
        for use in (log.read, log.lock().__enter__, lambda: log.append([entry(1)])):
            with pytest.raises(StateError) as caught:
                use()
            assert caught.value.message == f"the state {path} is not a plain file"
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)  # noqa: PTH116
        assert names(path) == [""]

    def test_a_path_that_cannot_be_one(self, path: Path) -> None:
        with pytest.raises(StateError, match="cannot be the path of a state"):
            FileStateLog(path.with_name("a\0b"), api=API)

    def test_links_in_a_circle(self, path: Path) -> None:
        path.symlink_to(path.name)
        log = FileStateLog(path, api=API)
        with pytest.raises(StateError, match="Too many levels of symbolic links"):
            log.read()

    def test_without_an_api_no_state_is_begun(self, path: Path) -> None:
        log = FileStateLog(path, api=None)
        with log.lock(), pytest.raises(StateError, match="there is no state at"):
            log.append([entry(1)])
        assert not path.exists()

    def test_without_an_api_any_state_can_be_appended_to(self, path: Path) -> None:
        path.write_bytes(HEAD)
        log = FileStateLog(path, api=None)
        with log.lock():
            log.append([created(1)])
        assert load_state(path, api=API).entries == {"audio-1": created(1)}


class TestReading:
    def test_a_file_that_is_not_there_is_an_empty_log(self, log: Any, path: Path) -> None:
        assert log.read() == LogContents()
        assert names(path) == []

    def test_ids_of_another_api_are_refused(self, path: Path) -> None:
        data = HEAD + lines(created(1))
        path.write_bytes(data)
        log = FileStateLog(path, api="sandbox")
        for use in (log.read, log.lock().__enter__):
            with pytest.raises(StateError) as caught:
                use()
            assert caught.value.message == (
                f"the state {path} holds IDs of {API}, but the API in use is sandbox"
            )
        assert path.read_bytes() == data
        assert FileStateLog(path, api=None).read().entries == (created(1),)

    def test_an_empty_file_is_an_empty_log(self, log: Any, path: Path) -> None:
        path.touch(0o640)
        assert log.read() == LogContents()
        with log.lock():
            log.append([entry(1)])
        assert log.read().entries == (entry(1),)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    @pytest.mark.parametrize("left", [None, b"", HEAD, HEAD + lines(entry(9)), b"\n", HEAD[:30]])
    def test_what_only_the_backup_knows_is_taken_in(self, log: Any, path: Path, left: Any) -> None:
        """A state that was deleted, emptied, reverted or begun anew."""
        if left is not None:
            path.write_bytes(left)
        backup = beside(path, ".backup")
        backup.write_bytes(HEAD + lines(created(1), entry(2)))
        contents = log.read()
        assert contents.header == HEADER
        assert contents.fold().entries.items() >= {"audio-1": created(1)}.items()
        assert f"2 entries were found that only {backup} held" in contents.notes[-1]
        assert (path.read_bytes() if left is not None else None) == left
        with log.lock():
            log.append([entry(3)])
            log.compact()
        assert load_state(path, api=API).entries.keys() >= {"audio-1", "audio-2", "audio-3"}
        assert FileStateLog(path, api=API).read().notes == ()

    def test_what_the_state_knows_better_stays(self, log: Any, path: Path) -> None:
        forced = created(1, "new", replaces=("id-1",))
        path.write_bytes(HEAD + lines(forced, replace(created(2), status=Status.FORGOTTEN)))
        beside(path, ".backup").write_bytes(HEAD + lines(created(1), created(2), entry(2)))
        assert log.read().notes == ()
        assert log.read().entries[0] == forced

    def test_a_backup_of_another_api_is_kept_under_a_name_of_its_own(
        self, log: Any, path: Path
    ) -> None:
        foreign = encode_header(Header("f0f0", "sandbox")) + lines(created(7))
        beside(path, ".backup").write_bytes(foreign)
        with log.lock():
            log.append([entry(1), created(1)])
            assert log.read().entries == (entry(1), created(1))
            log.compact()
        assert beside(path, ".f0f0.backup").read_bytes() == foreign
        assert b"sandbox" not in beside(path, ".backup").read_bytes()
        path.unlink()
        assert FileStateLog(path, api="sandbox").read().entries == (created(7),)
        assert FileStateLog(path, api=API).read().entries != (created(7),)

    def test_an_empty_backup_is_nothing_to_go_back_to(self, log: Any, path: Path) -> None:
        path.touch()
        beside(path, ".backup").touch()
        assert log.read().header is None

    @pytest.mark.parametrize("junk", [b"junk", b"12", b'{"key":"k"}'])
    def test_a_line_that_cannot_be_read_stops_everything(
        self, log: Any, path: Path, junk: Any
    ) -> None:
        known = [created(1), created(2)]
        for number in range(3):
            parts = (HEAD + lines(*known)).splitlines(keepends=True)
            parts[number] = junk + b"\n"
            data = b"".join(parts)
            path.write_bytes(data)
            for use in (log.read, log.lock().__enter__):
                with pytest.raises(StateError, match=f"{path.name}:{number + 1}: "):
                    use()
            assert path.read_bytes() == data


class TestTornLine:
    def test_it_is_read_for_what_it_says_and_left_where_it_is(self, log: Any, path: Path) -> None:
        data = HEAD + lines(entry(1)) + lines(created(1))[:-3]
        path.write_bytes(data)
        contents = log.read()
        assert contents.fold().entries["audio-1"].persona_id == "id-1"
        assert contents.notes == (
            f"the last line of {path} was cut off, as a crash leaves it; it held 'p-1', read as"
            " created",
        )
        assert path.read_bytes() == data

    def test_it_is_set_aside_before_anything_is_appended(self, log: Any, path: Path) -> None:
        torn = lines(created(1))[:-3]
        path.write_bytes(HEAD + lines(entry(1)) + torn)
        path.chmod(0o600)
        with log.lock():
            (note,) = log.read().notes
            assert "cut off" in note
            log.append([entry(2)])
        assert beside(path, ".torn").read_bytes() == torn + b"\n"
        contents = FileStateLog(path, api=API).read()
        assert contents.notes == ()
        assert [known.audio_id for known in contents.entries] == ["audio-1", "audio-1", "audio-2"]
        assert contents.fold().entries["audio-1"].persona_id == "id-1"
        assert contents.fold().entries["audio-1"].request == entry(1).request
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_one_that_says_nothing_is_kept_all_the_same(self, log: Any, path: Path) -> None:
        path.write_bytes(HEAD + b"\x00" * 20)
        with log.lock():
            assert log.read().notes == (
                f"the last line of {path} was cut off, as a crash leaves it; it held nothing that"
                " names an audio",
            )
        path.write_bytes(path.read_bytes() + b"junk")
        with log.lock():
            pass
        assert path.read_bytes() == HEAD
        assert beside(path, ".torn").read_bytes() == b"\x00" * 20 + b"\njunk\n"

    def test_where_it_cannot_be_set_aside_nothing_happens(
        self, log: Any, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Any:
        data = HEAD + lines(created(1))[:-3]
        path.write_bytes(data)

        def fail(*_args: Any) -> Any:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(StateWriteError), log.lock():
            raise AssertionError("locked")
        assert path.read_bytes() == data

    def test_every_truncation_of_a_file_can_be_gone_on_with(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # the disk is not at issue
        known = [created(1), entry(2), created(3)]
        data = HEAD + lines(*known)
        last = data.rindex(b"\n", 0, -1) + 1
        for cut in range(last, len(data)):
            path.write_bytes(data[:cut])
            log = FileStateLog(path, api=API)
            with log.lock():
                log.append([entry(9)])
            state = load_state(path, api=API).entries
            assert state["audio-9"] == entry(9)
            for each in known:
                if each.persona_id and f'"{each.persona_id}"'.encode() in data[:cut]:
                    assert state[each.audio_id].persona_id == each.persona_id
            path.unlink()

    @pytest.mark.parametrize("cut", range(1, len(HEAD) - 2))
    def test_half_a_header_is_refused_with_the_line_to_put_back(
        self, log: Any, path: Path, cut: Any
    ) -> None:
        path.write_bytes(HEAD[:cut] + b"\n" + lines(created(1)))
        for use in (log.read, log.lock().__enter__):
            with pytest.raises(StateError, match=":1: the header is not whole") as caught:
                use()
        assert path.read_bytes() == HEAD[:cut] + b"\n" + lines(created(1))
        line = caught.value.hint.partition("that API: ")[2]
        path.write_bytes(line.encode() + b"\n" + lines(created(1)))
        assert log.read().entries == (created(1),)
        assert log.read().header.api == API

    def test_a_header_that_can_be_read_is_as_good_as_a_whole_one(
        self, log: Any, path: Path
    ) -> None:
        path.write_bytes(HEAD[:-2] + b"\n" + lines(created(1)))
        with log.lock():
            assert log.read().header == HEADER
        assert path.read_bytes() == HEAD + lines(created(1))


class TestCompacting:
    def test_one_line_an_audio_sorted_by_key(self, log: Any, path: Path) -> None:
        before = HEAD + lines(entry(2), entry(1), created(2), created(1), entry(3))
        path.write_bytes(before)
        path.chmod(0o640)
        digest = log.read().fold().digest()
        with log.lock():
            log.compact()
        assert path.read_bytes() == HEAD + lines(created(1), created(2), entry(3))
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert beside(path, ".backup").read_bytes() == before
        assert log.read().fold().digest() == digest
        assert names(path) == ["", ".backup", ".lock"]

    @pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
    def test_it_works_where_no_file_that_is_open_can_be_moved(
        self, log: Any, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Windows moves no file that is open, and puts none in the place of one that is."""
        real = Path.replace

        def replace(source: Any, target: Any) -> Any:
            opened = {os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()}
            if {os.path.realpath(source), os.path.realpath(target)} & opened:
                raise PermissionError(errno.EACCES, "it is open")
            return real(source, target)

        monkeypatch.setattr(Path, "replace", replace)
        monkeypatch.setattr("personasync.state.durable.time.sleep", lambda _seconds: None)
        for part in ("durable", "lock"):
            windows = SimpleNamespace(platform="win32")
            monkeypatch.setattr(f"personasync.state.{part}.sys", windows)
        with log.lock():
            log.append([entry(2), entry(1)])
            log.append([created(2), created(1)])
            log.compact()
            log.append([entry(3)])
        found = path.read_bytes().splitlines(keepends=True)
        assert b"".join(found[1:]) == lines(created(1), created(2), entry(3))

    def test_what_is_compact_is_left_byte_for_byte(self, log: Any, path: Path) -> None:
        path.write_bytes(HEAD + lines(created(1), created(2)))
        before = path.stat()
        with log.lock():
            log.compact()
        after = path.stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert not beside(path, ".backup").exists()

    def test_nothing_is_compacted_to_nothing(self, log: Any, path: Path) -> None:
        with log.lock():
            log.compact()
        assert names(path) == [".lock"]

    def test_a_later_append_goes_to_the_new_file(self, log: Any, path: Path) -> None:
        with log.lock():
            log.append([entry(1), created(1)])
            log.compact()
            log.append([entry(2)])
        assert log.read().entries == (created(1), entry(2))

    @pytest.mark.parametrize("call", ["write", "fsync", "open"])
    def test_where_it_fails_the_log_is_as_it_was(
        self, log: Any, path: Path, monkeypatch: pytest.MonkeyPatch, call: Any
    ) -> None:
        before = HEAD + lines(entry(1), created(1))
        path.write_bytes(before)
        with log.lock():

            def fail(*_args: Any) -> Any:
                raise OSError(errno.EDQUOT, "Disk quota exceeded")

            monkeypatch.setattr(os, call, fail)
            with pytest.raises(StateWriteError, match="Disk quota exceeded"):
                log.compact()
            monkeypatch.undo()
            log.append([entry(2)])
        assert path.read_bytes() == before + lines(entry(2))

    def test_fields_of_a_later_version_are_kept(self, log: Any, path: Path) -> None:
        path.write_bytes(HEAD + lines(entry(1), created(1, extra={"later": [None]})))
        with log.lock():
            log.compact()
        assert path.read_bytes() == HEAD + lines(created(1, extra={"later": [None]}))

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(st.lists(entries(audio_ids=st.sampled_from(["a", "b", "c"])), max_size=8))
    def test_it_changes_nothing_that_is_known_and_is_done_once(
        self, path: Path, known: Any
    ) -> None:
        path.write_bytes(HEAD + lines(*known))
        log = FileStateLog(path, api=API)
        before = log.read().fold()
        with log.lock():
            log.compact()
        once = path.read_bytes()
        with log.lock():
            log.compact()
        assert path.read_bytes() == once
        assert log.read().fold() == before
        assert log.read().fold().digest() == before.digest()


class TestRescue:
    @pytest.fixture
    def rescued(self, path: Path) -> Any:
        """An ID in a rescue file beside a state that only knows it as pending."""
        path.write_bytes(HEAD + lines(entry(1)))
        file = beside(path, ".rescue")
        file.write_bytes(HEAD + lines(created(1)))
        return file

    def test_an_id_that_the_state_cannot_take(self, log: Any, path: Path) -> None:
        with log.lock():
            log.append([entry(1)])
            assert log.rescue([created(1)]) == f"{path}.rescue"
        data = beside(path, ".rescue").read_bytes()
        assert data == path.read_bytes().splitlines(keepends=True)[0] + lines(created(1))

    def test_the_next_reading_sees_it_and_changes_nothing(
        self, log: Any, path: Path, rescued: Any
    ) -> None:
        contents = log.read()
        assert contents.entries == (entry(1), created(1))
        assert contents.notes == (f"1 rescued entry was found beside {path} and taken in",)
        assert names(path) == ["", ".rescue"]

    def test_the_next_run_takes_it_in(self, log: Any, path: Path, rescued: Any) -> None:
        with log.lock():
            assert path.read_bytes() == HEAD + lines(entry(1), created(1))
            assert not rescued.exists()
            assert log.read().notes == (f"1 rescued entry was found beside {path} and taken in",)
            log.append([entry(2)])
        assert log.read().entries == (entry(1), created(1), entry(2))

    def test_taken_in_only_once_it_is_durable(
        self, log: Any, path: Path, rescued: Any, monkeypatch: pytest.MonkeyPatch
    ) -> Any:
        def fail(*_args: Any) -> Any:
            raise OSError(errno.EIO, "I/O")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(StateWriteError), log.lock():
            raise AssertionError("locked")
        assert rescued.exists()

    def test_what_the_state_says_already_is_written_anew_first(
        self, log: Any, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was rescued because a sync failed: what can be read may be gone after a power cut."""
        line = lines(created(1)).replace(b"}\n", b',"later":{"field":[1]}}\n')
        path.write_bytes(HEAD + line)
        rescued = beside(path, ".rescue")
        rescued.write_bytes(HEAD + line)
        done = []
        unlink, fsync = Path.unlink, os.fsync

        def synced(descriptor: int) -> None:
            done.append("sync")
            fsync(descriptor)

        def unlinked(name: Any, **options: Any) -> None:
            done.append(name.name)
            unlink(name, **options)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(Path, "unlink", unlinked)
        with log.lock():
            pass
        assert not rescued.exists()
        assert "sync" in done[: done.index(rescued.name)]
        assert path.read_bytes() == HEAD + line

    def test_a_state_that_is_gone_is_begun_with_what_was_rescued(
        self, log: Any, path: Path, rescued: Any
    ) -> None:
        path.unlink()
        with log.lock():
            pass
        assert load_state(path, api=API).entries == {"audio-1": created(1)}
        assert not rescued.exists()

    def test_what_the_state_holds_already_is_not_appended_again(
        self, log: Any, path: Path, rescued: Any
    ) -> None:
        data = HEAD + lines(created(1))
        path.write_bytes(data)
        with log.lock():
            assert log.read().notes == ()
        assert path.read_bytes() == data
        assert not rescued.exists()

    @pytest.mark.parametrize("status", [Status.PENDING, Status.CONFLICT, Status.FAILED])
    @pytest.mark.parametrize("told", [None, '{"code":500,"msg":"oops"}'])
    def test_a_rescued_answer_that_shows_an_id_is_taken_in(
        self, log: Any, path: Path, rescued: Any, status: Any, told: Any
    ) -> None:
        shows = '{"code":200,"data":{"personaId":"THEID"'
        path.write_bytes(HEAD + lines(entry(1, status=status, answer=keep(told))))
        rescued.write_bytes(HEAD + lines(entry(1, status=Status.PENDING, answer=keep(shows))))
        with log.lock():
            pass
        assert not rescued.exists()
        kept = log.read().fold().entries["audio-1"]
        assert (kept.status, kept.answer) == (status, keep(shows))

    @pytest.mark.parametrize(
        ("told", "answer"),
        [
            ("{}", "{}"),
            ('{"personaId":"a"', "<h1>Sorry</h1>"),
            ("{}", None),
        ],
    )
    def test_a_rescued_answer_that_tells_less_adds_nothing(
        self, log: Any, path: Path, rescued: Any, told: Any, answer: Any
    ) -> None:
        before = HEAD + lines(entry(1, status=Status.PENDING, answer=keep(told)))
        path.write_bytes(before)
        rescued.write_bytes(HEAD + lines(entry(1, status=Status.PENDING, answer=keep(answer))))
        with log.lock():
            pass
        assert path.read_bytes() == before

    def test_a_torn_rescue_file_gives_up_its_id(self, log: Any, path: Path, rescued: Any) -> None:
        rescued.write_bytes(HEAD + lines(created(1))[:-9])
        with log.lock():
            pass
        assert load_state(path).entries["audio-1"].persona_id == "id-1"
        assert not rescued.exists()

    def test_half_a_header_holds_nothing_and_is_cleared_away(
        self, log: Any, path: Path, rescued: Any
    ) -> None:
        rescued.write_bytes(HEAD[:11])
        with log.lock():
            pass
        assert not rescued.exists()

    def test_another_id_than_the_recorded_is_kept_beside_it(
        self, log: Any, path: Path, rescued: Any
    ) -> None:
        path.write_bytes(HEAD + lines(created(1, "another")))
        assert log.read().fold().entries["audio-1"].ids == ("another", "id-1")
        with log.lock():
            log.compact()
        assert load_state(path).entries["audio-1"].ids == ("another", "id-1")
        assert not rescued.exists()

    def test_one_of_another_api_is_left_for_its_own_state(self, path: Path, rescued: Any) -> None:
        foreign = encode_header(Header("f0f0", "sandbox")) + lines(created(1))
        rescued.write_bytes(foreign)
        for api in (API, None):
            log = FileStateLog(path, api=api)
            with log.lock():
                assert log.read().entries == (entry(1),)
            assert rescued.read_bytes() == foreign

    def test_a_kept_answer_is_rescued_too(self, log: Any, path: Path, rescued: Any) -> None:
        rescued.write_bytes(HEAD + lines(entry(1, answer=keep("<id>"))))
        with log.lock():
            pass
        assert load_state(path).entries == {"audio-1": entry(1, answer=keep("<id>"))}
        assert load_state(path).entries["audio-1"].status is Status.PENDING


def test_the_lock_lets_go_of_the_file_and_can_be_taken_again(log: Any, path: Path) -> None:
    for number in range(3):
        with log.lock():
            log.append([entry(number)])
    descriptors = Path("/proc/self/fd").iterdir()
    open_files = [os.path.realpath(descriptor) for descriptor in descriptors]
    assert str(path) not in open_files
    assert len(log.read().entries) == 3


def test_the_name_that_a_killed_run_gave_a_state_is_made_durable_before_anything_else(
    log: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(encode_header(HEADER))
    synced: list[Path] = []
    monkeypatch.setattr("personasync.state.file_writer.sync_folder", synced.append)
    with log.lock():
        assert synced == [path.parent]
        log.append([created(1)])
        log.append([created(2)])
    assert synced == [path.parent]


def test_what_a_killed_run_wrote_is_made_durable_before_the_next_one_believes_it(
    log: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(encode_header(HEADER) + encode_entry(created(1)))
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    with log.lock():
        assert synced == [path.stat().st_ino, path.parent.stat().st_ino]
        assert log.read().entries == (created(1),)


def test_a_disk_that_does_not_take_what_a_killed_run_wrote_ends_the_next_one(
    log: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(encode_header(HEADER) + encode_entry(created(1)))

    def fail(_descriptor: Any) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StateWriteError, match="cannot write the state"), log.lock():
        pass


def test_a_file_that_stays_as_it_is_shows_its_damage_and_keeps_it_aside_once(
    log: Any, path: Path
) -> None:
    path.write_bytes(encode_header(HEADER) + b'{"audioId":"to\n' + encode_entry(created(1)))
    os.link(path, path.with_name("another"))
    for _run in range(3):
        with log.lock():
            assert "line 2" in log.read().notes[0]
    assert beside(path, ".torn").read_bytes() == b'{"audioId":"to\n'
