"""Recorded IDs for scripts: whole outputs, and nothing in them that a reader would obey."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.model.cells import read_cell
from personasync.model.errors import PersonasyncError
from personasync.render.output import FORMATS, Output, render_env, render_id, variable_name

NEON = Output("neon-siren", "a1b2", "audio-1", "task-1", 'Neon, the "Siren"')
BARE = Output("velvet.2", "c3d4", "audio-2", None, None)
HOSTILE = Output("::error::k", "i\n::error::i", "a\x1b[31m", "##[group]t", "n\r\n::error::n")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("text", "neon-siren\ta1b2\nvelvet.2\tc3d4\n"),
        (
            "csv",
            "key,personaId,audioId,taskId,name\n"
            'neon-siren,a1b2,audio-1,task-1,"Neon, the ""Siren"""\n'
            "velvet.2,c3d4,audio-2,,\n",
        ),
        ("map", '{\n  "neon-siren": "a1b2",\n  "velvet.2": "c3d4"\n}\n'),
        (
            "powershell",
            "$env:PERSONA_NEON_SIREN = 'a1b2'\n$env:PERSONA_VELVET_2 = 'c3d4'\n",
        ),
        ("env", "PERSONA_NEON_SIREN=a1b2\nPERSONA_VELVET_2=c3d4\n"),
        (
            "json",
            "{\n"
            '  "neon-siren": {\n'
            '    "personaId": "a1b2",\n'
            '    "audioId": "audio-1",\n'
            '    "taskId": "task-1",\n'
            '    "name": "Neon, the \\"Siren\\""\n'
            "  },\n"
            '  "velvet.2": {\n'
            '    "personaId": "c3d4",\n'
            '    "audioId": "audio-2",\n'
            '    "taskId": null,\n'
            '    "name": null\n'
            "  }\n"
            "}\n",
        ),
    ],
)
def test_each_format(name: str, text: str) -> None:
    assert FORMATS[name]([NEON, BARE]) == text


def test_every_format_of_nothing() -> None:
    assert {name: render([]) for name, render in FORMATS.items()} == {
        "text": "",
        "csv": "key,personaId,audioId,taskId,name\n",
        "env": "",
        "json": "{}\n",
        "map": "{}\n",
        "powershell": "",
    }


@pytest.mark.parametrize("name", sorted({*FORMATS} - {"env", "powershell"}))
def test_no_format_lets_a_text_steer_who_reads_it(name: str) -> None:
    text = FORMATS[name]([HOSTILE])
    assert "\x1b" not in text
    assert "##[" not in text
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())


def test_json_loses_nothing() -> None:
    row = json.loads(FORMATS["json"]([HOSTILE]))[HOSTILE.key]
    assert row == {
        "personaId": HOSTILE.persona_id,
        "audioId": HOSTILE.audio_id,
        "taskId": HOSTILE.task_id,
        "name": HOSTILE.name,
    }


@given(st.lists(st.text(st.characters(categories=["L", "N", "P", "S"])), min_size=5, max_size=5))
def test_csv_is_read_back_as_it_was(cells: list[str]) -> None:
    cells = [cell for cell in cells if "##" not in cell and "::" not in cell and cell.isprintable()]
    row = [*cells, *["x"] * (5 - len(cells))]
    _header, read = csv.reader(io.StringIO(FORMATS["csv"]([Output(*row)])))
    assert list(map(read_cell, read)) == row


def test_a_cell_is_no_formula() -> None:
    name = '=HYPERLINK("http://evil.example","x")'
    row = FORMATS["csv"]([Output("k", "-1+1", "@a", "+t", name)]).splitlines()[1]
    assert row == 'k,\'-1+1,\'@a,\'+t,"\'=HYPERLINK(""http://evil.example"",""x"")"'


@pytest.mark.parametrize("name", ["env", "powershell"])
@pytest.mark.parametrize("persona_id", ["a\nb", "a b", "", "i\x1b", "é", "x" * 300])
def test_a_shell_is_given_nothing_that_is_no_id(name: str, persona_id: str) -> None:
    with pytest.raises(PersonasyncError, match="what the state has for 'k' is no ID"):
        FORMATS[name]([Output("k", persona_id, "a", None, None)])


def test_a_quote_ends_no_word_of_powershell() -> None:
    assert FORMATS["powershell"]([Output("k", "a';b", "a", None, None)]) == (
        "$env:PERSONA_K = 'a'';b'\n"
    )


def test_one_id_is_raw() -> None:
    assert render_id("$(reboot)'\"") == "$(reboot)'\"\n"
    assert render_id("a\n::error::b") == "a\\n::error::b\n"
    assert render_id("::error::b") == "\\x3a:error::b\n"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("neon-siren", "PERSONA_NEON_SIREN"),
        ("1.5_a", "PERSONA_1_5_A"),
        ("straße", "PERSONA_STRASSE"),
    ],
)
def test_the_variable_of_a_key(key: str, name: str) -> None:
    assert variable_name(key) == name


def test_two_keys_never_share_a_variable() -> None:
    with pytest.raises(PersonasyncError) as caught:
        render_env([NEON, Output("Neon.siren", "x", "a", None, None)])
    assert caught.value.message == (
        "the keys 'neon-siren' and 'Neon.siren' both become $PERSONA_NEON_SIREN"
    )
    assert str(caught.value.hint) == "use format=json, or rename one of them"
