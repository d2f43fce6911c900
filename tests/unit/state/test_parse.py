"""The bytes of a state file, whatever a crash, a merge or an editor did to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.model.errors import StateError
from personasync.state.codec import encode_entry, encode_header
from personasync.state.entry import Entry, Header, Status
from personasync.state.parse import ParsedLog, parse_log
from tests.unit.state.samples import API, HEADER, brief, created, entries, entry

HEAD = encode_header(HEADER)
FEW = [created(1), entry(2, Status.CONFLICT, code=409), entry(3)]
FILE = HEAD + b"".join(map(encode_entry, FEW))


def refusal(data: bytes) -> str:
    with pytest.raises(StateError) as caught:
        parse_log(data, "s.jsonl")
    assert caught.value.exit_code == 1
    assert caught.value.hint
    return caught.value.message


@brief
@given(st.lists(entries()))
def test_a_whole_file_is_read_whole(log):
    data = HEAD + b"".join(map(encode_entry, log))
    assert parse_log(data, "s") == ParsedLog(HEADER, tuple(log))
    assert parse_log(data.replace(b"\n", b"\r\n"), "s") == ParsedLog(HEADER, tuple(log))
    assert parse_log(b"\xef\xbb\xbf" + data, "s") == ParsedLog(HEADER, tuple(log))


def test_nothing_is_an_empty_log():
    assert parse_log(b"", "s") == ParsedLog(None, ())


def test_every_truncation_loads_as_what_it_means_or_is_refused():
    for cut in range(1, len(FILE)):
        data = FILE[:cut]
        if cut < len(HEAD):
            assert refusal(data) == (
                "s.jsonl:1: this is not a personasync state: its first line is not a whole header"
            )
            continue
        parsed = parse_log(data, "s.jsonl")
        whole = data.count(b"\n") - 1
        assert parsed.header == HEADER
        assert parsed.entries == tuple(FEW[:whole])
        assert parsed.torn == data.rpartition(b"\n")[2]
        # Whatever names an audio is still there, and an ID that is still there is still known.
        for known in FEW[whole : whole + 1]:
            if f'"audioId":"{known.audio_id}"'.encode() in parsed.torn:
                assert parsed.all_entries[whole].audio_id == known.audio_id
            if known.persona_id and f'"{known.persona_id}"'.encode() in parsed.torn:
                assert parsed.all_entries[whole].persona_id == known.persona_id


@pytest.mark.parametrize(
    "junk",
    [b"", b" ", b"\x00" * 40, b"junk", b"{}", b"[]", b'{"audioId":"audio-1"', b"\xff\xfe", b"null"],
)
@pytest.mark.parametrize("number", range(1, 5))
def test_every_line_replaced_by_junk_is_named(number, junk):
    lines = FILE.splitlines(keepends=True)
    lines[number - 1] = junk + b"\n"
    assert refusal(b"".join(lines)).startswith(f"s.jsonl:{number}: this line cannot be read")


def test_a_header_that_is_missing_is_missed():
    assert refusal(encode_entry(entry(1))).startswith("s.jsonl:1: this is not a personasync state")


def test_a_second_header_of_the_same_api_is_what_a_merge_leaves():
    data = FILE + encode_header(Header("other", API)) + encode_entry(created(4))
    assert parse_log(data, "s") == ParsedLog(HEADER, (*FEW, created(4)))


def test_a_second_header_of_another_api_is_refused():
    data = FILE + encode_header(Header("other", "sandbox"))
    assert refusal(data) == (f"s.jsonl:5: a second header names sandbox, the first {API}")


@pytest.mark.parametrize(
    "marker", [b"<<<<<<< HEAD", b"=======", b">>>>>>> branch", b"||||||| 5b5bd58"]
)
@pytest.mark.parametrize("number", [1, 3])
def test_a_merge_conflict_is_called_one(marker, number):
    lines = FILE.splitlines(keepends=True)
    lines.insert(number - 1, marker + b"\n")
    assert refusal(b"".join(lines)) == (
        f"s.jsonl:{number}: the file holds an unresolved merge conflict"
    )


def test_zeros_at_the_end_are_a_torn_line_that_says_nothing():
    parsed = parse_log(FILE + b"\x00" * 512, "s")
    assert parsed == ParsedLog(HEADER, tuple(FEW), b"\x00" * 512, None)


def test_what_a_torn_line_says_stands_behind_the_entries():
    torn = encode_entry(created(9))[:-20]
    parsed = parse_log(FILE + torn, "s")
    assert parsed.all_entries == (
        *FEW,
        Entry("audio-9", "p-9", Status.CREATED, "id-9", created().origin, parsed.salvaged.at, "r1"),
    )
