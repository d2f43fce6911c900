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


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_an_old_state_is_read_in_any_shape(data: bytes) -> None:
    found = read_list(data, "old")
    assert {row.audio_id: row.persona_id for row in found.rows} == IDS
    assert (found.header, found.without_id) == (HEADER, 2)


def test_an_old_state_in_utf_16_is_one() -> None:
    data = next(iter(DAMAGED.values())).decode().encode("utf-16")
    assert {row.audio_id: row.persona_id for row in read_list(data, "old").rows} == IDS


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"neon-siren\tid-1\n",
        b"key,audioId\na,b\n",
        b"{",
        b"[1]",
        b'{"a": 1}',
        b"\x00\xff",
        b'""',
    ],
)
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with pytest.raises(PersonasyncError, match="ids is no list of IDs") as caught:
        read_list(data, "ids")
    assert "personaId" in str(caught.value.hint)
