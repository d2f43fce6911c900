"""The books: what the sandbox made, across runs, crashes and processes."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from personasync.sandbox import SandboxError
from personasync.sandbox.books import Books, MadePersona


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
    return tmp_path / "books.db"


def test_a_recorded_persona_is_in_the_file_at_once(path: Path) -> None:
    books = Books(path)
    record(books, persona(1))
    assert reopened(path) == {"a1": persona(1)}
    books.close()
    assert [found.name for found in path.parent.iterdir()] == ["books.db"]


def test_what_was_recorded_last_of_an_audio_wins_in_its_old_place(path: Path) -> None:
    books = Books(path)
    record(books, persona(1), persona(2), persona(1, name="New"))
    books.close()
    assert list(reopened(path).values()) == [persona(1, name="New"), persona(2)]


def test_any_text_survives(path: Path) -> None:
    odd = MadePersona("a\n\r\x1b\0'", "p", "t\u2028", "ขวัญ 🎤", '"\\')
    books = Books(path)
    record(books, odd)
    books.close()
    assert reopened(path) == {odd.audio_id: odd}


def test_without_a_file_it_remembers_in_memory() -> None:
    books = Books(None)
    record(books, persona(1))
    assert books.personas() == {"a1": persona(1)}
    books.close()


def test_each_sees_what_the_other_recorded(path: Path) -> None:
    one, two = Books(path), Books(path)
    record(one, persona(1))
    with two.exclusive():
        assert two.find("a1") == persona(1)
        two.record(persona(2))
    assert one.personas() == two.personas() == {"a1": persona(1), "a2": persona(2)}
    one.close()
    two.close()


def test_an_error_undoes_what_was_recorded(path: Path) -> None:
    books = Books(path)
    with suppress(ZeroDivisionError), books.exclusive():
        books.record(persona(1))
        raise ZeroDivisionError
    assert books.find("a1") is None
    books.close()


AFRESH = "Delete or move the file away, and the sandbox starts afresh."
ANOTHER = "Name another file for them."


@pytest.mark.parametrize(
    ("content", "what", "hint"),
    [
        (
            b'{"format":"personasync.sandbox/1","about":"..."}\n',
            "these books were written by an earlier version of the sandbox",
            AFRESH,
        ),
        (b"my notes\n", "this is not a file of the sandbox's books", ANOTHER),
        (
            b"SQLite format 3\0" + b"junk" * 100,
            "the sandbox's books cannot be used: file is not a database",
            AFRESH,
        ),
    ],
)
def test_what_is_none_of_ours_is_refused_and_left_alone(
    path: Path, content: bytes, what: str, hint: str
) -> None:
    path.write_bytes(content)
    with pytest.raises(SandboxError) as caught:
        Books(path)
    assert (caught.value.message, caught.value.hint) == (f"{path}: {what}", hint)
    assert path.read_bytes() == content


def test_another_database_is_refused_and_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(SandboxError, match="a database, but not the sandbox's books"):
        Books(path)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_the_books(path: Path) -> None:
    path.touch()
    books = Books(path)
    record(books, persona(1))
    books.close()
    assert reopened(path) == {"a1": persona(1)}


def test_a_path_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        Books(tmp_path)
    assert str(caught.value) == f"{tmp_path}: the sandbox's books cannot be opened: Is a directory"


def test_closed_books_can_be_neither_read_nor_added_to(path: Path) -> None:
    books = Books(path)
    books.close()
    books.close()
    with pytest.raises(SandboxError, match="closed"):
        books.personas()
    with pytest.raises(SandboxError, match="closed"):
        record(books, persona(1))


FULL = """
import resource, signal, sys
from pathlib import Path
from personasync.sandbox.books import Books, MadePersona
from personasync.sandbox import SandboxError
books = Books(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 15, 1 << 15))
made = 0
try:
    while True:
        with books.exclusive():
            books.record(MadePersona(f"a{made}", "p", "t", "N", "D" * 500))
        made += 1
except SandboxError as error:
    print(made, error, file=sys.stderr)
"""


def test_a_full_disk_costs_only_what_was_not_answered(path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True
    )
    made, _, error = ended.stderr.partition(" ")
    assert error.startswith(f"{path}: the sandbox's books cannot be used: ")
    assert int(made) > 10
    assert len(reopened(path)) == int(made)


def add_many(path: Path, worker: int) -> None:
    books = Books(path)
    for number in range(100):
        with books.exclusive():
            if books.find(f"a{number}") is None:
                books.record(persona(number, name=f"by {worker}"))
    os._exit(0)  # unclosed, as a kill leaves them


def test_processes_share_the_books_and_none_makes_an_audio_twice(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=add_many, args=(path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(reopened(path)) == 100
