"""Where an answer ends, however it arrives, and what can be taken of a broken one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.api.wire import Framing, take_apart

HEAD = b"HTTP/1.1 200 OK\r\n"
BODY = b'{"code":200}'
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"5\r\n" + BODY[:5] + b"\r\n7;x=y\r\n" + BODY[5:] + b"\r\n0\r\n"

WHOLE: dict[str, tuple[bytes, int | None, bytes]] = {
    "length": (HEAD + LENGTH + BODY, 200, BODY),
    "length, said twice": (HEAD + b"Content-Length: 12\r\n" + LENGTH + BODY, 200, BODY),
    "nothing": (HEAD + b"Content-Length: 0\r\n\r\n", 200, b""),
    "no content": (b"HTTP/1.1 204 None\r\n\r\n", 204, b""),
    "chunks": (HEAD + CHUNKED + CHUNKS + b"\r\n", 200, BODY),
    "chunks with trailers": (HEAD + CHUNKED + CHUNKS + b"X: y\r\nZ: a\r\n\r\n", 200, BODY),
    "bare newlines": (b"HTTP/1.1 200 OK\nContent-Length: 12\n\n" + BODY, 200, BODY),
    "no reason": (b"HTTP/1.1 200\r\n" + LENGTH + BODY, 200, BODY),
    "another version": (b"HTTP/2 503\r\n" + LENGTH + BODY, 503, BODY),
    "HTTP/2.0": (b"HTTP/2.0 200 OK\r\n" + LENGTH + BODY, 200, BODY),
    "a hundred headers": (HEAD + b"X: y\r\n" * 150 + LENGTH + BODY, 200, BODY),
    "a long header": (HEAD + b"X: " + b"y" * 70_000 + b"\r\n" + LENGTH + BODY, 200, BODY),
    "interim": (b"HTTP/1.1 103 Wait\r\nX: y\r\n\r\n" * 3 + HEAD + LENGTH + BODY, 200, BODY),
    "two lengths, an object": (HEAD + b"Content-Length: 3\r\n" + LENGTH + BODY, 200, BODY),
    "chunked, and is not": (HEAD + CHUNKED + BODY + b"\n" + BODY[:0], 200, BODY + b"\n"),
    "no status line": (BODY, None, BODY),
    "switching": (b"HTTP/1.1 101 Go\r\n\r\n", 101, b""),
}


@pytest.mark.parametrize(("data", "status", "body"), WHOLE.values(), ids=WHOLE)
def test_an_answer_is_whole_with_its_last_byte_and_not_before(
    data: bytes, status: int | None, body: bytes
) -> None:
    framing, received = Framing(), bytearray()
    step = len(data) // 500 + 1
    for at in range(0, len(data) - step, step):
        received += data[at : at + step]
        if framing.is_whole(received):
            assert data[at + step :].isspace()
    received += data[at + step :]
    assert framing.is_whole(received)
    parts = take_apart(data)
    assert (parts.head.status if parts.head else None, parts.body) == (status, body)
    assert parts.whole


@pytest.mark.parametrize("end", range(1, len(HEAD + LENGTH + BODY)))
def test_a_part_of_an_answer_is_not_whole(end: int) -> None:
    data = (HEAD + LENGTH + BODY)[:end]
    assert not take_apart(data).whole


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: 3\r\n" + LENGTH + b"{",
        HEAD + b"Content-Length: -3\r\n\r\n{",
        HEAD + CHUNKED + b"<html>\n",
        HEAD + CHUNKED + b"5\r\nabcdefgh\r\n",
        b"<html>no status line</html>",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
def test_what_makes_no_sense_is_not_sound_and_nothing_of_it_is_lost(data: bytes) -> None:
    parts = take_apart(data)
    assert not parts.sound
    assert data.endswith(parts.rest)
    assert parts.body == parts.rest


@given(
    st.binary()
    | st.builds(
        lambda *x: b"".join(x),
        *[
            st.sampled_from(
                [HEAD, LENGTH, CHUNKED, CHUNKS, BODY, b"\r\n", b"Content-Length: 7\r\n", b"zz\r\n"]
            )
        ]
        * 6,
    )
)
def test_nothing_raises(data: bytes) -> None:
    parts = take_apart(data)
    assert parts.rest in data
    framing, received = Framing(), bytearray()
    for at in range(0, len(data), 3):
        received += data[at : at + 3]
        framing.is_whole(received)
