"""Lists of IDs, in every shape that tools, spreadsheets and people give them."""

from __future__ import annotations

import json

import pytest

from personasync.model.errors import PersonasyncError
from personasync.state.lists import read_list
from tests.unit.state.samples import HEADER
from tests.unit.state.test_parse import DAMAGED, IDS

CSV = "key,personaId,audioId,taskId,name\np-1,id-1,audio-1,t,Ünï Näme\np-2,,audio-2,t,Two\n"
FULL = [("line 2", "id-1", "p-1", "audio-1", "Ünï Näme")]

SHAPES: dict[str, bytes] = {
    "as output writes it": CSV.encode(),
    "a byte order mark": CSV.encode("utf-8-sig"),
    "UTF-16 with a mark": CSV.encode("utf-16"),
    "UTF-16 without": CSV.encode("utf-16-le"),
    "big endian": b"\xfe\xff" + CSV.encode("utf-16-be"),
    "the Windows of the West": CSV.encode("cp1252"),
    "semicolons": CSV.replace(",", ";").encode(),
    "tabs": CSV.replace(",", "\t").encode(),
    "line ends of Windows": CSV.replace("\n", "\r\n").encode(),
    "titles of a person": CSV.replace("personaId", "Persona ID").replace("key", " KEY ").encode(),
    "quoted": CSV.replace("id-1", '"id-1"').encode(),
    "spaces around": CSV.replace("id-1", " id-1 ").encode(),
    "line ends of old Macs": CSV.replace("\n", "\r").encode(),
    "marks and Windows": CSV.replace(",", ";").replace("\n", "\r\n").encode("utf-8-sig"),
}


@pytest.mark.parametrize("data", SHAPES.values(), ids=SHAPES)
def test_a_table_is_read_however_it_was_saved(data: bytes) -> None:
    found = read_list(data, "ids")
    assert [(r.where, r.persona_id, r.key, r.audio_id, r.name) for r in found.rows] == FULL
    assert found.without_id == 1


def test_a_line_for_excel_empty_lines_and_more_columns_pass() -> None:
    data = b'sep=;\r\nplace;key;personaId\r\n\r\n"two\r\nlines";p-1;\'=id\r\n;;\r\n'
    assert [(r.key, r.persona_id) for r in read_list(data, "ids").rows] == [("p-1", "=id")]


@pytest.mark.parametrize(
    "above", ["\n\n", ";;\n", "Our voices, all of them\n\n", "Our, voices;\n;;\n", "sep=;\r\n"]
)
def test_what_people_write_above_the_names_of_columns_passes(above: str) -> None:
    found = read_list(f"{above}key;personaId;more\np-1;id-1;\n".encode("utf-8-sig"), "ids")
    line = above.count("\n") + 2
    assert [(r.where, r.key, r.persona_id) for r in found.rows] == [(f"line {line}", "p-1", "id-1")]


@pytest.mark.parametrize(
    "document",
    [
        {"p-1": {"personaId": "id-1", "audioId": None, "more": 1}, "p-2": {"personaId": None}},
        {"p-1": "id-1", "p-2": None},
        [{"key": "p-1", "personaId": "id-1"}, {"key": "p-2"}],
    ],
    ids=["output", "map", "list"],
)
def test_json_is_read_as_the_tool_writes_it(document: object) -> None:
    found = read_list(json.dumps(document).encode(), "ids")
    assert [(row.key, row.persona_id) for row in found.rows] == [("p-1", "id-1")]
    assert found.without_id == 1


def test_one_object_a_line_is_a_list_as_events_are() -> None:
    data = b'{"event":"run_start"}\n{"key":"p-1","personaId":"id-1"}\n\n{"key":"2","personaId":2}'
    assert [(r.key, r.persona_id) for r in read_list(data, "ids").rows] == [
        ("p-1", "id-1"),
        ("2", "2"),
    ]


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_an_old_state_is_read_in_any_shape(data: bytes) -> None:
    found = read_list(data, "old")
    assert {row.audio_id: row.persona_id for row in found.rows} == IDS
    assert (found.header, found.without_id) == (HEADER, 2)


def test_an_old_state_in_utf_16_is_one() -> None:
    data = next(iter(DAMAGED.values())).decode().encode("utf-16")
    assert {row.audio_id: row.persona_id for row in read_list(data, "old").rows} == IDS


NO_LISTS: dict[bytes, str] = {
    b"": "no line of it names its columns",
    b"neon-siren\tid-1\n": "no line of it names its columns",
    b"key,audioId\na,b\n": "no line of it names its columns",
    b"\x00\xff": "no line of it names its columns",
    b'""': "no line of it names its columns",
    b"{": "line 1 column 2",
    b'{"a": "id",}': "line 1 column 12",
    b"[1]": "nothing in it is named personaId",
    b'{"a": 1}': "nothing in it is named personaId",
    b'{"personas": {"a": {"personaId": "id"}}}': "nothing in it is named personaId",
    b'{"a": "id-1", "a": "id-2"}': "'a' stands in it twice",
    b'{"a": {"personaId": ["id"]}}': 'a personaId in it is no text: ["id"]',
    b"[" * 100_000: "recursion",
}


@pytest.mark.parametrize("data", NO_LISTS)
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with pytest.raises(PersonasyncError, match="ids is no list of IDs") as caught:
        read_list(data, "ids")
    assert NO_LISTS[data] in str(caught.value)
    assert "personaId" in str(caught.value.hint)


@pytest.mark.parametrize("data", [b"PK\x03\x04x", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])
def test_a_workbook_is_told_apart(data: bytes) -> None:
    with pytest.raises(PersonasyncError, match="ids is no list of IDs, but a workbook") as caught:
        read_list(data, "ids")
    assert "CSV" in str(caught.value.hint)


CONTRADICTIONS: dict[bytes, str] = {
    b'key,personaId\nk1,id-1\n"k2,id-2\n': "line 3: a quote begins that nothing closes",
    b'key,personaId\n"k1,id-1\nk2,id-2\n': "line 2: a quote begins that nothing closes",
    b"key,personaId,personaId\nk1,id-1,id-2\n": "line 2 has two personaIds: 'id-1' and 'id-2'",
    b"key,personaId,persona_id\nk1,id-1,id-2\n": "line 2 has two personaIds: 'id-1' and 'id-2'",
    b'{"k1": {"personaId": "id-1", "persona_id": "id-2"}}': "key 'k1' has two personaIds",
}


@pytest.mark.parametrize("data", CONTRADICTIONS)
def test_no_id_is_passed_over(data: bytes) -> None:
    with pytest.raises(PersonasyncError) as caught:
        read_list(data, "ids")
    assert CONTRADICTIONS[data] in caught.value.message
    assert str(caught.value.hint).startswith("nothing was imported; ")


def test_two_columns_that_agree_are_one() -> None:
    [row] = read_list(b'key,personaId,personaId,note\nk1,id-1,id-1,"a 5"" disc"\n', "ids").rows
    assert row.persona_id == "id-1"
