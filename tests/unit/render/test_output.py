"""Recorded IDs for scripts: whole outputs, and nothing in them that a reader would obey."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    }


@pytest.mark.parametrize("name", sorted(FORMATS))
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
    assert read == row


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
