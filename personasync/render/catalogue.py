"""The personas for people who look one up: a table, a document, a page of the web."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from personasync.model.diagnostics import Place
from personasync.model.errors import ConfigurationError
from personasync.model.spelling import counted, folded
from personasync.render.entries import STATUS_STYLES
from personasync.render.layout import Style, display_width, pad, paint, shorten
from personasync.render.markdown import code, table_row
from personasync.render.safe import json_page, page, printable

_HEADER: Final = ("key", "name", "style", "status", "ID")
_STATUS: Final = _HEADER.index("status")
_GIVING_WAY: Final = ((2, 8), (1, 12), (0, 14), (2, 6))
"""The columns that are cut where the terminal is narrow, in turn, and to how many cells."""
_CROWDED: Final = (*_GIVING_WAY, (1, 6), (0, 8), (2, 3), (1, 3), (0, 5))
"""The same where the ID has a line of its own, and the others still have too little room."""
_INDENT: Final = " " * 4


@dataclass(frozen=True, slots=True)
class Card:
    """What is told of one persona; its texts as manifest and state have them, segments in s."""

    key: str
    name: str
    style: str
    status: str
    persona_id: str | None
    audio_id: str
    task_id: str | None = None
    description: str = ""
    segment: tuple[float, float] | None = None
    place: Place | None = None

    def has(self, words: Iterable[str]) -> bool:
        """Whether all of the words are found in what people know a persona by."""
        text = folded("\n".join((self.key, self.name, self.description, self.style)))
        return all(folded(word) in text for word in words)


@dataclass(frozen=True, slots=True)
class CatalogueView:
    """What a rendering may need beside the cards.

    ``source_url`` is where the manifest's files are shown: a file's path and
    ``#L`` with the line follow it.
    """

    color: bool = False
    width: int = 100
    source_url: str | None = None


def render_text(cards: Sequence[Card], view: CatalogueView) -> str:
    """Return a row a persona under a header, fitted to the terminal; no ID is ever cut."""
    if not cards:
        return "No personas.\n"
    rows = [_HEADER, *map(_cells, cards)]
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    fitted = _fitted(widths, view.width, _GIVING_WAY)
    apart = _taken(fitted) > view.width
    if apart:  # the ID has a line of its own, and the others share all of the room
        fitted = [*_fitted(widths[:-1], view.width, _CROWDED), widths[-1]]
    return page(line for row in rows for line in _lines(row, fitted, apart, view))


def _taken(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _fitted(widths: Sequence[int], width: int, giving_way: Iterable[tuple[int, int]]) -> list[int]:
    """Cut one column after the other until all stand side by side, if they can."""
    fitted = list(widths)
    for column, least in giving_way:
        over = max(_taken(fitted) - width, 0)
        fitted[column] = max(fitted[column] - over, min(fitted[column], least))
    return fitted


def _lines(
    row: Sequence[str], widths: Sequence[int], apart: bool, view: CatalogueView
) -> Iterator[str]:
    cells = [pad(shorten(cell, width), width) for cell, width in zip(row, widths, strict=True)]
    cells[-1] = row[-1]
    style = Style.BOLD if row is _HEADER else STATUS_STYLES.get(row[_STATUS], Style.DIM)
    painted = range(len(row)) if row is _HEADER else (_STATUS,)
    for column in painted:
        cells[column] = paint(cells[column], style, view.color)
    beside = cells[:-1] if apart else cells
    yield "  ".join(beside).rstrip()
    if apart:
        yield f"{_INDENT}{cells[-1]}"


def _cells(card: Card) -> tuple[str, ...]:
    shown = (card.key, card.name, card.style, card.status, card.persona_id or "-")
    return tuple(map(printable, shown))


def render_markdown(cards: Sequence[Card], _view: CatalogueView) -> str:
    """Return a table that no text in it can steer."""
    rows = ([code(cell) if cell != "-" else "" for cell in _cells(card)] for card in cards)
    lines = [table_row(*_HEADER), table_row(*("---" for _ in _HEADER))]
    return page([*lines, *(table_row(*row) for row in rows)])


def render_json(cards: Sequence[Card], _view: CatalogueView) -> str:
    """Return a JSON array, an object for each persona."""
    return json_page([_to_json(card) for card in cards])


def _to_json(card: Card) -> dict[str, object]:
    start, end = card.segment or (None, None)
    return {
        "key": card.key,
        "name": card.name or None,
        "description": card.description or None,
        "style": card.style or None,
        "status": card.status,
        "personaId": card.persona_id,
        "audioId": card.audio_id,
        "taskId": card.task_id,
        "vocalStart": start,
        "vocalEnd": end,
        "source": card.place.as_source if card.place else None,
    }


def render_html(cards: Sequence[Card], view: CatalogueView) -> str:
    """Return a page that needs nothing but itself: no request leaves it.

    Its policy lets a browser run the page's own script and nothing else,
    whatever a text may hold. Raises ``ConfigurationError`` where the extra
    ``html`` is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise ConfigurationError(
            "a page of HTML needs the package jinja2, which is not installed",
            hint="install it: pip install 'personasync[html]'",
        ) from None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("personasync.render", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    script, look = (environment.get_template(name).render() for name in ("page.js", "page.css"))
    text = environment.get_template("page.html").render(
        cards=[_on_page(card, view) for card in cards],
        count=counted(len(cards), "persona"),
        look=look,
        script=script,
        policy=f"default-src 'none'; style-src {_hash(look)}; script-src {_hash(script)};"
        " base-uri 'none'; form-action 'none'",
        styles=sorted({printable(card.style) for card in cards if card.style}, key=str.casefold),
        statuses=sorted({card.status for card in cards}),
    )
    return text.replace("##", "#&#35;")  # a CI log may obey ##[…] wherever it stands


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _on_page(card: Card, view: CatalogueView) -> Mapping[str, object]:
    segment = f"{card.segment[0]:g}-{card.segment[1]:g}" if card.segment else None
    return {
        "key": printable(card.key),
        "name": printable(card.name) or printable(card.key),
        "style": printable(card.style),
        "status": card.status,
        "id": printable(card.persona_id) if card.persona_id else None,
        "description": [printable(line) for line in card.description.split("\n")],
        "segment": segment,
        "search": printable(" ".join((card.key, card.name, card.description, card.style))),
        "source": _source(card.place, view.source_url),
    }


def _source(place: Place | None, url: str | None) -> str | None:
    if place is None or url is None:
        return None
    between = "" if url.endswith(("/", "=")) else "/"
    return f"{url}{between}{quote(place.file.removeprefix('./').lstrip('/'))}#L{place.line}"


FORMATS: Final[Mapping[str, Callable[[Sequence[Card], CatalogueView], str]]] = {
    "text": render_text,
    "markdown": render_markdown,
    "html": render_html,
    "json": render_json,
}
"""Every format of ``personasync list`` by its name."""
