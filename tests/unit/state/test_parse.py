"""The bytes of a state, whatever a crash, a merge or an editor did to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from personasync.model.errors import StateError
from personasync.state.codec import encode_entry, encode_header
from personasync.state.entry import Entry, Header, ServiceMoved, Status
from personasync.state.fold import fold
from personasync.state.parse import ParsedLog, parse_log
from tests.unit.state.samples import HEADER, brief, created, entries, entry

HEAD = encode_header(HEADER)
FEW = [created(1), entry(2, Status.CONFLICT, code=409), created(3), entry(4)]
LINES = [encode_entry(each) for each in FEW]
FILE = HEAD + b"".join(LINES)
IDS = {"audio-1": "id-1", "audio-3": "id-3"}


def ids_of(parsed: ParsedLog) -> dict[str, str]:
    known = fold(parsed.entries)
    return {audio: each.persona_id for audio, each in known.items() if each.persona_id}


def refusal(data: bytes) -> StateError:
    with pytest.raises(StateError) as caught:
        parse_log(data, "s.jsonl")
    assert caught.value.exit_code == 1
    assert caught.value.hint
    return caught.value


@brief
@given(st.lists(entries()))
def test_a_whole_file_is_read_whole(log: list[Entry]) -> None:
    data = HEAD + b"".join(map(encode_entry, log))
    whole = ParsedLog(HEADER, tuple(log))
    assert parse_log(data, "s") == whole
    assert parse_log(data.replace(b"\n", b"\r\n"), "s") == whole
    assert parse_log(b"\xef\xbb\xbf" + data, "s") == whole
    assert parse_log(data.replace(b"\n", b"\n\n \t\n"), "s") == whole


def test_nothing_is_an_empty_log() -> None:
    for nothing in (b"", b"\n", b" \r\n\n"):
        assert parse_log(nothing, "s") == ParsedLog(None, ())


def joined(*numbers: int) -> bytes:
    return b"".join(LINES[number].rstrip(b"\n") for number in numbers)


DAMAGED: dict[str, bytes] = {
    "two entries on a line": HEAD + joined(0, 1) + b"\n" + joined(2, 3) + b"\n",
    "all on one line": (HEAD.rstrip() + joined(0, 1, 2, 3)),
    "commas between": HEAD + b",".join(line.rstrip() for line in LINES),
    "as a JSON array": b"[" + b",\n".join(line.rstrip() for line in [HEAD, *LINES]) + b"]\n",
    "pretty-printed": b"\n".join(
        json.dumps(json.loads(line), indent=2).encode() for line in [HEAD, *LINES]
    ),
    "sorted and spaced": b"\n".join(
        json.dumps(json.loads(line), sort_keys=True).encode() for line in [HEAD, *LINES]
    ),
    "lines ended by carriage returns": FILE.replace(b"\n", b"\r"),
    "a mark of UTF-8 in the middle": HEAD + LINES[0] + b"\xef\xbb\xbf" + b"".join(LINES[1:]),
    "a torn line at the end": FILE + LINES[0][:30],
    "a torn line with a newline": HEAD + LINES[0][:30] + b"\n" + b"".join(LINES),
    "a torn line joined by the next": HEAD + LINES[0][:30] + b"".join(LINES),
    "a torn line that still has its ID": HEAD + LINES[0][:90] + b"\n" + b"".join(LINES[1:]),
    "a line broken in two": FILE.replace(b'"status":"created"', b'"status":\n"created"', 1),
    "a line broken within its ID": FILE.replace(b'"id-1"', b'"id\n-1"', 1),
    "zeros at the end": FILE + b"\0" * 512,
    "zeros in the middle": HEAD + b"\0" * 64 + b"\n" + b"".join(LINES),
    "bytes that are no text": HEAD + b"\xff\xfe\n".join([b"", *LINES]),
    "a byte spoilt in a description": FILE.replace(b"warm", b"w\xffrm"),
    "an unknown status": FILE.replace(b'"created"', b'"archived"'),
    "a number where a text was": FILE.replace(b'"at":"2026-11-22T10:00:00Z"', b'"at":7'),
    "its key lost": FILE.replace(b'"key":"p-1",', b""),
    "a field that looks like a header": FILE.replace(b'"status"', b'"format":"x","status"'),
    "a header twice": HEAD + FILE,
    "a header behind": b"".join(LINES) + HEAD,
    "a second lineage": FILE + encode_header(Header("other", HEADER.api)),
    "half a header behind": FILE + HEAD[:40] + b"\n",
    "an unresolved merge": b"".join(
        [HEAD, b"<<<<<<< HEAD\n", *LINES[:2], b"=======\n", *LINES[2:], b">>>>>>> theirs\n"]
    ),
    "an unresolved merge with its base": b"".join(
        [
            *(HEAD, b"<<<<<<< HEAD\n", LINES[0], LINES[2]),
            *(b"||||||| 5b5bd58\n", LINES[3], b"=======\n", LINES[1], b">>>>>>> theirs\n"),
        ]
    ),
}
"""What happens to a file, with every ID still in it."""


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_no_damage_hides_an_id(data: bytes) -> None:
    parsed = parse_log(data, "s.jsonl")
    assert parsed.header == HEADER
    assert ids_of(parsed) == IDS
    assert {"audio-2", "audio-4"} <= {each.audio_id for each in parsed.entries}


def test_what_stood_before_both_sides_of_a_merge_comes_first() -> None:
    ours, theirs, base = (created(1, key=key) for key in ("ours", "theirs", "base"))
    marked: list[bytes | Entry] = [
        b"<<<<<<< a\n",
        ours,
        b"||||||| b\n",
        base,
        b"=======\n",
        theirs,
        b">>>>>>> c\n",
    ]
    data = b"".join(each if isinstance(each, bytes) else encode_entry(each) for each in marked)
    assert [each.key for each in parse_log(HEAD + data, "s").entries] == ["base", "ours", "theirs"]


def test_a_moved_service_is_an_entry_of_the_log() -> None:
    moved = [ServiceMoved("https://one.example"), ServiceMoved("https://two.example", "now", "r2")]
    log: list[Entry | ServiceMoved] = [*moved, created(1)]
    parsed = parse_log(HEAD + b"".join(map(encode_entry, log)), "s")
    assert (parsed.header, parsed.moved) == (HEADER, moved[1])
    assert parsed.current == replace(HEADER, api="https://two.example")
    assert parsed.entries == (created(1),)


def test_every_truncation_gives_up_what_is_left() -> None:
    for cut in range(len(HEAD), len(FILE)):
        data = FILE[:cut]
        parsed = parse_log(data, "s.jsonl")
        assert parsed.header == HEADER
        assert parsed.open_end == (not data.endswith(b"\n"))
        assert ids_of(parsed) == {
            audio: each for audio, each in IDS.items() if f'"{each}"'.encode() in data
        }
        torn = data.rpartition(b"\n")[2]
        named = [each.audio_id for each in FEW if f'"audioId":"{each.audio_id}"'.encode() in torn]
        assert {each.audio_id for each in parsed.entries[data.count(b"\n") - 1 :]} == set(named)


def test_what_is_left_of_half_a_header_is_told() -> None:
    for cut in range(1, len(HEAD) - 1):
        parsed = parse_log(HEAD[:cut] + b"\n" + b"".join(LINES), "s")
        assert parsed.header is None
        assert ids_of(parsed) == IDS
        for name, value in (("lineage", HEADER.lineage), ("api", HEADER.api)):
            whole = f'"{name}":"{value}"'.encode() in HEAD[:cut]
            assert parsed.partial.get(name, "") == (value if whole else "")


@pytest.mark.parametrize("behind", [b"", b"`", b",", b" ok"])
@pytest.mark.parametrize(
    "before",
    [
        b"+",
        b"> ",
        b"- ",
        b"* ",
        b"1. ",
        b"2: ",
        b"s.jsonl:2:",
        b"[10:12] Ann: ",
        b"// ",
        b"`",
        b'"',
    ],
)
def test_what_stands_beside_an_entry_does_not_block_it(before: bytes, behind: bytes) -> None:
    """The marks of a diff, a mail, a list, a search and a chat."""
    parsed = parse_log(HEAD + before + LINES[0].rstrip(b"\n") + behind + b"\n" + LINES[2], "s")
    assert ids_of(parsed) == IDS
    assert parsed.damage


def test_an_entry_that_was_put_into_json_once_more_is_read() -> None:
    text = json.dumps(LINES[0].decode().rstrip())
    assert ids_of(parse_log(HEAD + text.encode() + b"\n" + LINES[2], "s")) == IDS


ODD: dict[str, tuple[bytes, str, str]] = {
    "junk": (
        b"junk\n",
        "s.jsonl:2: this line is no entry: 'junk'; it names no audio",
        "nothing was changed; delete the line: no ID can be read in it",
    ),
    "an ID of no audio": (
        b'{"key":"p-9","status":"created","personaId":"id-9"}\n',
        "s.jsonl:2: this line is no entry, since it names no audio; it still says key p-9,"
        " personaId id-9",
        "nothing was changed; delete the line, and record its ID: personasync import p-9 id-9",
    ),
    "another API": (
        encode_header(Header("other", "sandbox")),
        "s.jsonl:2: a second header names sandbox, the first https://api.example",
        "two states of different APIs were merged; keep them apart",
    ),
    "a newer format": (
        b'{"format":"personasync.state/2","lineage":"l","api":"a"}\n',
        "s.jsonl:2: its format is 'personasync.state/2', and this version reads"
        " 'personasync.state/1'",
        "a newer version wrote it: update personasync; or name another file",
    ),
}


@pytest.mark.parametrize(("line", "message", "hint"), ODD.values(), ids=ODD)
def test_what_cannot_be_read_is_told_with_what_it_still_says(
    line: bytes, message: str, hint: str
) -> None:
    error = refusal(HEAD + line + b"".join(LINES))
    assert (error.message, str(error.hint)) == (message, hint)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "git lfs pull"),
        (FILE.decode().encode("utf-16"), "UTF-16"),
        (FILE.decode().encode("utf-16-le"), "UTF-16"),
        (FILE.decode().encode("utf-16-be"), "UTF-16"),
        (b"\x00GITCRYPT\x00abc", "git-crypt unlock"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"# personas\n", "not a personasync state"),
        (b"version: 1\npersonas: {}\n", "not a personasync state"),
    ],
)
def test_what_is_no_state_is_called_what_it_is(data: bytes, words: str) -> None:
    error = refusal(data)
    assert words in f"{error.message} {error.hint}"
    assert "put this line" not in f"{error.hint}"


def test_an_id_that_lost_a_character_to_the_disk_is_none() -> None:
    parsed = parse_log(FILE.replace(b'"id-1"', b'"id\x80-1"'), "s")
    assert [e.audio_id for e in parsed.entries if e.status is Status.PENDING] == [
        "audio-1",
        "audio-4",
    ]
    assert [damage.words for damage in parsed.damage] == ["it held 'p-1', read as pending"]
    assert b'"id\x80-1"' in parsed.damage[0].raw


def _cut(data: bytes, start: int, length: int, _new: bytes) -> bytes:
    return data[:start] + data[start + length :]


def _insert(data: bytes, start: int, _length: int, new: bytes) -> bytes:
    return data[:start] + new + data[start:]


def _overwrite(data: bytes, start: int, _length: int, new: bytes) -> bytes:
    return data[:start] + new + data[start + len(new) :]


def _repeat(data: bytes, start: int, length: int, _new: bytes) -> bytes:
    return data[: start + length] + data[start:]


damages = st.tuples(
    st.sampled_from([_cut, _insert, _overwrite, _repeat]),
    st.integers(len(HEAD), len(FILE)),
    st.integers(1, 300),
    st.binary(max_size=6)
    | st.sampled_from([b"\n", b"\r\n", b"}", b'"', b"{", b"\n\n", b"\0", b',"x":1', b"[", b"]"]),
)


@brief
@given(st.lists(damages, min_size=1, max_size=3))
@example([(_cut, len(HEAD) + 30, 330, b"")])
@example([(_insert, 143, 1, b"\x80")])
@example([(_insert, 144, 1, b"\n")])
def test_no_accident_invents_an_id_or_hides_a_line_that_is_whole(
    accidents: list[tuple[Callable[[bytes, int, int, bytes], bytes], int, int, bytes]],
) -> None:
    data = FILE
    for accident, start, length, new in accidents:
        data = accident(data, start, length, new)
    try:
        found = ids_of(parse_log(data, "s.jsonl"))
    except StateError:
        return
    for audio, persona_id in IDS.items():
        line = LINES[int(audio[-1]) - 1].rstrip()
        if any(each.strip() == line for each in data.split(b"\n")):
            assert found.get(audio, persona_id) == persona_id
            assert audio in found or any(rival in found for rival in found)
    for audio, persona_id in found.items():
        assert persona_id.encode() in data.replace(b"\r", b"").replace(b"\n", b"")
        if len(accidents) == 1:  # several can make a whole line of two others' halves
            assert audio not in IDS or persona_id == IDS[audio] or len(persona_id) != 4


@brief
@given(st.integers(len(HEAD), len(FILE) - 1), st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\0"]))
@example(131, b"\0")
def test_a_line_that_was_broken_anywhere_gives_up_its_id(at: int, ending: bytes) -> None:
    broken = FILE[:at] + ending + FILE[at:]
    parsed = parse_log(broken, "s")
    whole = {a: i for a, i in IDS.items() if f'"{i}"'.encode() in broken}
    assert whole.items() <= ids_of(parsed).items()
