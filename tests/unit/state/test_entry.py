"""Entries written down and read back, whole, wrong and torn."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from personasync.state.codec import decode_line, encode_entry, encode_header, salvage
from personasync.state.entry import Entry, Header, Origin, Status
from tests.unit.state.samples import brief, created, entries, entry, request, words


@brief
@given(entries())
def test_an_entry_reads_back_as_it_was_written(written: Any) -> None:
    line = encode_entry(written)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_line(line) == written
    assert decode_line(line.removesuffix(b"\n") + b"\r\n") == written


@brief
@given(words, words)
def test_a_header_reads_back_as_it_was_written(lineage: Any, api: Any) -> None:
    header = Header(lineage, api)
    assert decode_line(encode_header(header)) == header


def test_a_line_is_what_the_contract_says() -> None:
    written = created(1, "a1b2", request=request(1, vocal_start=0, vocal_end=30.5, style="Pop"))
    assert encode_entry(written).decode() == (
        '{"audioId":"audio-1","key":"p-1","status":"created","personaId":"a1b2","origin":"apply",'
        '"at":"2026-11-22T10:00:00Z","run":"r1","request":{"taskId":"task-1","audioId":"audio-1",'
        '"name":"Persona 1","description":"A warm and steady voice over brushes and upright bass",'
        '"vocalStart":0,"vocalEnd":30.5,"style":"Pop"}}\n'
    )
    assert encode_header(Header("0c9f", "https://api.example")).decode() == (
        '{"format":"personasync.state/1","lineage":"0c9f","api":"https://api.example"}\n'
    )


def test_text_stays_readable_and_lone_surrogates_survive() -> None:
    line = encode_entry(entry(message="你好 \ud83d \x1b[31m"))
    assert "你好".encode() in line
    assert b"\\ud83d" in line
    assert b"\x1b" not in line
    assert decode_line(line) == entry(message="你好 \ud83d \x1b[31m")


def test_fields_of_a_later_version_are_kept_also_when_they_are_null() -> None:
    line = b'{"audioId":"a","key":"k","status":"failed","mood":{"blue":[1,null]},"later":null}\n'
    read = decode_line(line)
    assert isinstance(read, Entry)
    assert read.extra == {"mood": {"blue": [1, None]}, "later": None}
    assert encode_entry(read) == line


GOOD = {"audioId": "a", "key": "k", "status": "created", "personaId": "i"}
REQUEST = {"taskId": "t", "audioId": "a", "name": "n", "description": "d"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"audioId": None}, "its audioId is missing"),
        ({"audioId": ""}, "its audioId is missing"),
        ({"audioId": 5}, "its audioId is not of the right type"),
        ({"key": None}, "its key is missing"),
        ({"key": ["k"]}, "its key is not of the right type"),
        ({"status": None}, "its status is missing"),
        ({"status": "unheard"}, "its status is 'unheard', which this version does not know"),
        ({"status": 1}, "its status is not of the right type"),
        ({"personaId": None}, "it says created, but has no personaId"),
        ({"personaId": ""}, "it says created, but has no personaId"),
        ({"personaId": {}}, "its personaId is not of the right type"),
        ({"origin": "sky"}, "its origin is 'sky', which this version does not know"),
        ({"code": "409"}, "its code is not of the right type"),
        ({"code": True}, "its code is not of the right type"),
        ({"code": 1.5}, "its code is not of the right type"),
        ({"afterPending": 1}, "its afterPending is not of the right type"),
        ({"at": 1}, "its at is not of the right type"),
        ({"run": False}, "its run is not of the right type"),
        ({"message": []}, "its message is not of the right type"),
        ({"answer": 0}, "its answer is not of the right type"),
        ({"request": "r"}, "its request is not of the right type"),
        ({"request": {}}, "its taskId is missing"),
        ({"request": {**REQUEST, "name": 1}}, "its name is not of the right type"),
        ({"request": {**REQUEST, "vocalStart": "0"}}, "its vocalStart is not a number"),
        ({"request": {**REQUEST, "vocalEnd": True}}, "its vocalEnd is not a number"),
        ({"request": {**REQUEST, "vocalEnd": 10**400}}, "its vocalEnd is too large"),
    ],
)
def test_what_is_not_an_entry_is_refused_with_words(fields: Any, words: Any) -> None:
    with pytest.raises(ValueError) as caught:
        decode_line(json.dumps({**GOOD, **fields}).encode())
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"\x00\x00\x00\x00",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\xfe{\x00}\x00",
        b'{"audioId":"a","key":"k","status":"failed","code":NaN}',
        b'{"audioId":"a","key":"k","status":"failed","x":1e999}',
        b'{"audioId":"a","key":"k","status":"failed","x":-Infinity}',
        b'{"audioId":"a","key":"k","status":"failed","code":' + b"9" * 5000 + b"}",
        b'{"audioId":"a","key":"k","status":"failed"}{}',
        b'{"audioId":"\xff","key":"k","status":"failed"}',
    ],
)
def test_what_is_not_json_is_refused(line: Any) -> None:
    with pytest.raises(ValueError, match=r"^it is not JSON$"):
        decode_line(line)


@pytest.mark.parametrize("line", [b"[]", b"null", b'"{}"', b"1"])
def test_json_that_is_no_object_is_refused(line: Any) -> None:
    with pytest.raises(ValueError, match=r"^it is not a JSON object$"):
        decode_line(line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            '{"format":"personasync.state/2","lineage":"l","api":"a"}',
            "its format is 'personasync.state/2', and this version reads 'personasync.state/1'",
        ),
        ('{"format":"personasync.state/1","api":"a"}', "its lineage is missing"),
        (
            '{"format":"personasync.state/1","lineage":"l","api":7}',
            "its api is not of the right type",
        ),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(line: Any, words: Any) -> None:
    with pytest.raises(ValueError) as caught:
        decode_line(line.encode())
    assert str(caught.value) == words


def _whole_string_end(line: bytes, name: str, value: str) -> int:
    """Return how many bytes of a line it takes for a field's string to be whole."""
    alone = encode_entry(Entry(value, "k", Status.FAILED)).removeprefix(b'{"audioId":')
    encoded = f'"{name}":'.encode() + alone[: alone.index(b',"key"')]
    return line.index(encoded) + len(encoded)


@brief
@given(entries())
@example(created(1, request=request(1, description='a "persona", } and \\ more')))
@example(created(1, "personaId", message='"personaId":"other"'))
def test_every_truncation_of_a_line_gives_up_what_it_still_holds(written: Any) -> None:
    line = encode_entry(written)
    known = None
    if written.persona_id is not None:
        known = _whole_string_end(line, "personaId", written.persona_id)
    named = _whole_string_end(line, "audioId", written.audio_id)
    keyed = _whole_string_end(line, "key", written.key)
    for cut in range(len(line)):
        found = salvage(line[:cut])
        if cut < named:
            assert found is None
            continue
        assert found is not None
        key = written.key if cut >= keyed else written.audio_id
        assert (found.audio_id, found.key) == (written.audio_id, key)
        has_id = known is not None and cut >= known
        assert found.persona_id == (written.persona_id if has_id else None)
        if found.persona_id:
            assert found.status is written.status
        assert found.code in (None, written.code)
        assert found.request in (None, written.request)


def test_a_whole_line_without_its_newline_is_all_there() -> None:
    written = created(7, message="made", code=200)
    assert salvage(encode_entry(written).removesuffix(b"\n")) == written


def test_a_torn_line_is_pending_until_its_id_is_there() -> None:
    line = encode_entry(created(1, "id-1"))
    before, after = line.index(b'id-1"'), line.index(b'id-1"') + len(b'id-1"')
    assert salvage(line[:before]) == Entry("audio-1", "p-1", Status.PENDING)
    assert salvage(line[: after - 1]) == Entry("audio-1", "p-1", Status.PENDING)
    assert salvage(line[:after]) == Entry("audio-1", "p-1", Status.CREATED, "id-1")


def test_a_number_that_may_have_lost_digits_is_not_believed() -> None:
    line = encode_entry(entry(status=Status.FAILED, code=413, message="too long"))
    torn = line[: line.index(b"413") + 2]
    assert salvage(torn) == Entry("audio-1", "p-1", Status.FAILED)


def test_bytes_that_are_not_text_do_not_join_two_halves_of_an_id() -> None:
    torn = b'{"audioId":"a","key":"k","status":"created","personaId":"12\xff34","origin":"apply"'
    assert salvage(torn) == Entry("a", "k", Status.PENDING)


def test_an_id_is_kept_though_the_rest_makes_no_sense() -> None:
    torn = b'{"audioId":"a","key":"k","status":"unheard","personaId":"i","code":"?"'
    assert salvage(torn) == Entry("a", "k", Status.CREATED, "i")


@brief
@given(st.binary() | st.text('{}[]",:\\ audioId0e-').map(str.encode))
@example(b"[" * 100_000)
@example(b'{"audioId":' + b"[" * 100_000)
@example(b"\x00" * 4096)
@example(b'{"format":"personasync.state/1","lineage":"l"')
@example(b'{"audioId":"a","key":1,"status":"created","personaId":"i"')
def test_no_junk_makes_salvage_raise_or_invent(junk: Any) -> None:
    found = salvage(junk)
    assert found is None or (found.audio_id.encode() in junk and found.persona_id is None)


def test_salvage_is_linear_in_the_length_of_a_line() -> None:
    junk = b'{"audioId":"a","key":"k"' + b',"x":1' * 400_000 + b',"personaId":"i'
    begun = time.process_time()
    assert salvage(junk) == Entry("a", "k", Status.PENDING)
    assert time.process_time() - begun < 30


def test_every_status_and_origin_can_be_read() -> None:
    for status in Status:
        for origin in Origin:
            written = entry(status=status, origin=origin, persona_id="i")
            assert decode_line(encode_entry(written)) == written
