"""The books: what the sandbox made, across runs, crashes and processes."""

import io
import multiprocessing
import os
from pathlib import Path

import pytest

from personasync.model.errors import StateError
from personasync.sandbox.books import Books, MadePersona

HEADER = (
    b'{"format":"personasync.sandbox/1","about":"Made by the personasync sandbox; none of it is'
    b' real."}\n'
)
LINE = b'{"audioId":"a1","personaId":"p1","taskId":"t","name":"N","description":"D"}\n'


def persona(number: int, name: str = "N") -> MadePersona:
    return MadePersona(f"a{number}", f"p{number}", "t", name, "D")


def record(books: Books, *personas: MadePersona) -> None:
    for made in personas:
        with books.exclusive():
            books.record(made)


def reopened(path: Path) -> dict[str, MadePersona]:
    books = Books(path)
    try:
        return dict(books.personas())
    finally:
        books.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.jsonl"


def test_a_recorded_persona_is_in_the_file_at_once(path: Path) -> None:
    books = Books(path)
    record(books, persona(1))
    assert path.read_bytes() == HEADER + LINE
    books.close()


def test_the_last_line_of_an_audio_wins(path: Path) -> None:
    books = Books(path)
    record(books, persona(1), persona(2), persona(1, name="New"))
    assert reopened(path) == {"a1": persona(1, name="New"), "a2": persona(2)}
    books.close()


def test_any_text_survives(path: Path) -> None:
    odd = MadePersona("a\n\r\x1b", "p", "t\u2028", "ขวัญ \ud800", '"\\')
    books = Books(path)
    record(books, odd)
    books.close()
    assert reopened(path) == {odd.audio_id: odd}


def test_without_a_file_it_remembers_in_memory() -> None:
    books = Books(None)
    record(books, persona(1))
    assert books.personas() == {"a1": persona(1)}


def test_each_sees_what_the_other_appended(path: Path) -> None:
    one, two = Books(path), Books(path)
    record(one, persona(1))
    with two.exclusive():
        assert two.find("a1") == persona(1)
        two.record(persona(2))
    assert one.personas() == two.personas() == {"a1": persona(1), "a2": persona(2)}
    one.close()
    two.close()


@pytest.mark.parametrize("kept", range(len(HEADER) + 2 * len(LINE) + 1))
def test_every_truncation_loads_as_its_whole_lines(path: Path, kept: int) -> None:
    """What a line without its newline held was never answered, unless it is all there."""
    second = LINE.replace(b"1", b"2")
    path.write_bytes((HEADER + LINE + second)[:kept])
    expected = {}
    if kept >= len(HEADER + LINE) - 1:
        expected["a1"] = persona(1)
    if kept >= len(HEADER + LINE + second) - 1:
        expected["a2"] = persona(2)
    assert reopened(path) == expected
    books = Books(path)
    record(books, persona(3))
    books.close()
    assert reopened(path) == {**expected, "a3": persona(3)}


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b"my notes", 1, "the first line does not say personasync.sandbox/1"),
        (b"my notes\nmore", 1, "the first line does not say personasync.sandbox/1"),
        (b'{"format":"personasync.sandbox/2"}\n', 1, None),
        (b'{"format":"personasync.sandbox/2"}', 1, None),
        (b"\n", 1, None),
        (HEADER + b"junk\n" + LINE, 2, "this is not a line of the sandbox's books"),
        (HEADER + LINE + b"\n", 3, "this is not a line of the sandbox's books"),
        (HEADER + LINE + b"[]\n", 3, "this is not a line of the sandbox's books"),
        (HEADER + LINE.replace(b'"p1"', b"1"), 2, "this is not a line of the sandbox's books"),
        (HEADER + b"[" * 100_000 + b"\n", 2, "this is not a line of the sandbox's books"),
        (HEADER + b"\xff\n", 2, "this is not a line of the sandbox's books"),
    ],
)
def test_junk_is_an_error_that_names_the_line(
    path: Path, content: bytes, line: int, what: str | None
) -> None:
    path.write_bytes(content)
    with pytest.raises(StateError) as caught:
        Books(path)
    what = what or "the first line does not say personasync.sandbox/1"
    assert caught.value.message == f"{path}:{line}: {what}"
    assert caught.value.hint == "Delete or move the file away, and the sandbox starts afresh."
    assert path.read_bytes() == content


def test_a_path_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateError) as caught:
        Books(tmp_path)
    assert str(caught.value) == f"{tmp_path}: the sandbox's books cannot be opened: Is a directory"


def test_books_cut_short_while_in_use_are_an_error(path: Path) -> None:
    books = Books(path)
    record(books, persona(1))
    os.truncate(path, 0)
    with pytest.raises(StateError, match="cut short while in use"), books.exclusive():
        pass
    books.close()


class FullDisk(io.FileIO):
    """Takes half of what is written."""

    def write(self, data) -> int:
        return super().write(bytes(data)[: len(data) // 2])


def test_a_line_that_does_not_fit_is_taken_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Books(path).close()
    monkeypatch.setattr(io, "FileIO", FullDisk)
    books = Books(path)
    with pytest.raises(StateError, match="cannot be written: No space left on device"):
        record(books, persona(1))
    assert books.personas() == {}
    assert path.read_bytes() == HEADER
    books.close()


def test_closed_books_can_be_read_but_not_added_to(path: Path) -> None:
    books = Books(path)
    record(books, persona(1))
    books.close()
    books.close()
    assert books.personas() == {"a1": persona(1)}
    with pytest.raises(StateError, match="closed"):
        record(books, persona(2))
    assert path.read_bytes() == HEADER + LINE


def add_many(path: Path, worker: int) -> None:
    books = Books(path)
    for number in range(200):
        with books.exclusive():
            if books.find(f"a{number}") is None:
                books.record(persona(number, name=f"by {worker}"))


def test_processes_share_the_books_and_none_makes_an_audio_twice(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=add_many, args=(path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(path.read_bytes().splitlines()) == 201
    assert len(reopened(path)) == 200
