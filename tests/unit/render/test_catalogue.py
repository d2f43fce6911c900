"""The personas for people: fitted to a terminal, inert wherever they are shown."""

from __future__ import annotations

import json
import sys

import pytest

from personasync.model.diagnostics import Place
from personasync.model.errors import ConfigurationError
from personasync.render.catalogue import FORMATS, Card, CatalogueView
from personasync.render.layout import display_width

ID = "a0dabcd094b214aa3d7960db3287cc2d"
CARDS = [
    Card("neon-siren", "Neon Siren", "Electronic Pop", "created", ID, "a1", "t1", "Bright.",
         (0, 30), Place("./voices/a.yaml", 7, 3)),
    Card("pulse-cartographer", "夜の歌姫と霓虹", "Melodic Techno and more", "pending", None, "a2"),
]  # fmt: skip
NASTY = "x\x1b[31m\n::error::\u202ey ##[group] | <b>`@all`"


def test_text_has_a_header_and_columns() -> None:
    assert FORMATS["text"](CARDS, CatalogueView(width=200)) == (
        "key                 name            style                    status   ID\n"
        f"neon-siren          Neon Siren      Electronic Pop           created  {ID}\n"
        "pulse-cartographer  夜の歌姫と霓虹  Melodic Techno and more  pending  -\n"
    )
    assert FORMATS["text"]([], CatalogueView()) == "No personas.\n"


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_text_fits_the_terminal_and_cuts_no_id(width: int) -> None:
    text = FORMATS["text"](CARDS, CatalogueView(width=width))
    assert max(map(display_width, text.splitlines())) <= width
    assert ID in text


def test_markdown_is_a_table() -> None:
    lines = FORMATS["markdown"](CARDS[:1], CatalogueView()).splitlines()
    assert lines == [
        "| key | name | style | status | ID |",
        "| --- | --- | --- | --- | --- |",
        "| <code>neon-siren</code> | <code>Neon Siren</code> | <code>Electronic Pop</code> |"
        f" <code>created</code> | <code>{ID}</code> |",
    ]


def test_json_says_all_that_is_known() -> None:
    first, second = json.loads(FORMATS["json"](CARDS, CatalogueView()))
    assert first == {
        "key": "neon-siren",
        "name": "Neon Siren",
        "description": "Bright.",
        "style": "Electronic Pop",
        "status": "created",
        "personaId": ID,
        "audioId": "a1",
        "taskId": "t1",
        "vocalStart": 0,
        "vocalEnd": 30,
        "source": {"file": "./voices/a.yaml", "line": 7},
    }
    assert (second["personaId"], second["source"], second["vocalEnd"]) == (None, None, None)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        *(("neon", 1), ("BRIGHT pop", 1), ("pop techno", 0), ("歌姫", 1), ("o", 2), ("", 2)),
        ("ｎｅｏｎ", 1),
    ],
)
def test_all_words_must_be_found(words: str, found: int) -> None:
    assert sum(card.has(words.split()) for card in CARDS) == found


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_steers_who_reads_it(form: str) -> None:
    card = Card(NASTY, NASTY, NASTY, "created", NASTY, NASTY, NASTY, NASTY, (0, 1))
    text = FORMATS[form]([card], CatalogueView())
    assert not any(sign in text for sign in ("\x1b", "\u202e", "##["))
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    if form in ("html", "markdown"):
        assert "<b>" not in text


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://h/blob/main", "https://h/blob/main/voices/a.yaml#L7"),
        ("https://h/blob/main/", "https://h/blob/main/voices/a.yaml#L7"),
        ("https://h/?file=", "https://h/?file=voices/a.yaml#L7"),
        ('https://h/"><b>', "https://h/&#34;&gt;&lt;b&gt;/voices/a.yaml#L7"),
    ],
)
def test_a_link_leads_to_the_line(url: str, link: str) -> None:
    assert f'href="{link}"' in FORMATS["html"](CARDS, CatalogueView(source_url=url))


def test_a_page_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigurationError, match="needs the package jinja2") as caught:
        FORMATS["html"](CARDS, CatalogueView())
    assert caught.value.hint == "install it: pip install 'personasync[html]'"
