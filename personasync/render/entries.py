"""Entries of the state, listed and shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from personasync.render.layout import Style, display_width, pad, paint
from personasync.render.text import printable
from personasync.state.entry import Entry, Status, entry_to_json

_STYLES: Final = {
    Status.CREATED: Style.GREEN,
    Status.PENDING: Style.YELLOW,
    Status.CONFLICT: Style.YELLOW,
    Status.FAILED: Style.RED,
}


def render_list_text(entries: Sequence[Entry], color: bool = False) -> str:
    """Return a row an entry: key, status, ID, audio."""
    if not entries:
        return "No entries.\n"
    rows = [
        (printable(entry.key), entry.status.value, entry.persona_id or "-", entry.audio_id)
        for entry in entries
    ]
    widths = [max(display_width(row[column]) for row in rows) for column in range(3)]
    return "".join(
        _row(row, widths, entry, color) for row, entry in zip(rows, entries, strict=True)
    )


def _row(row: tuple[str, str, str, str], widths: Sequence[int], entry: Entry, color: bool) -> str:
    key, status, persona_id, audio_id = row
    shown = pad(status, widths[1])
    if entry.status in _STYLES:
        shown = paint(shown, _STYLES[entry.status], color)
    persona_id = pad(printable(persona_id), widths[2])
    return f"{pad(key, widths[0])}  {shown}  {persona_id}  {printable(audio_id)}\n"


def render_list_json(entries: Sequence[Entry], _color: bool = False) -> str:
    """Return a JSON array of entries, each as the state has it."""
    return json.dumps([entry_to_json(entry) for entry in entries], indent=2) + "\n"


def render_show_text(entry: Entry, history: Sequence[Entry]) -> str:
    """Return all that is known about one persona."""
    lines = [printable(entry.key), *_facts(entry)]
    if entry.request is not None:
        lines += ["", "As a manifest entry:", "", *_manifest_lines(entry)]
    if len(history) > 1:
        lines += ["", "History:", *(_past(past) for past in history)]
    return "\n".join(lines) + "\n"


def _facts(entry: Entry) -> Iterator[str]:
    facts = {
        "status": entry.status.value,
        "personaId": entry.persona_id,
        "origin": entry.origin.value if entry.origin else None,
        "audioId": entry.audio_id,
        "at": entry.at,
        "run": entry.run,
        "code": None if entry.code is None else str(entry.code),
        "message": entry.message,
        "answer": entry.answer,
    }
    if entry.status is Status.CONFLICT:
        ours = "a request of ours whose answer never arrived explains it"
        facts["why"] = ours if entry.after_pending else "made elsewhere, as far as we know"
    for name, value in facts.items():
        if value is not None:
            yield f"  {name + ':':<11}{printable(value)}"


def _past(entry: Entry) -> str:
    about = entry.persona_id or entry.message or ""
    return printable(f"  {entry.at or '-':<21}{entry.status:<10}{entry.key}  {about}").rstrip()


def render_show_json(entry: Entry, history: Sequence[Entry]) -> str:
    """Return the entry as the state has it, with its ``history``."""
    document = {**entry_to_json(entry), "history": [entry_to_json(past) for past in history]}
    return json.dumps(document, indent=2) + "\n"


def render_show_manifest(entry: Entry, _history: Sequence[Entry] = ()) -> str:
    """Return what was sent as an entry of ``personas:``, ready to paste."""
    return "\n".join(_manifest_lines(entry)) + "\n"


def _manifest_lines(entry: Entry) -> list[str]:
    import yaml

    if entry.request is None:
        return [f"  # what was sent for {printable(entry.key)} is not recorded"]
    persona: dict[str, object] = dict(entry.request.to_json())
    text = yaml.safe_dump({entry.key: persona}, sort_keys=False, allow_unicode=True, width=88)
    return [f"  {line}" for line in text.splitlines()]


LIST_FORMATS: Final[Mapping[str, Callable[[Sequence[Entry], bool], str]]] = {
    "text": render_list_text,
    "json": render_list_json,
}
SHOW_FORMATS: Final[Mapping[str, Callable[[Entry, Sequence[Entry]], str]]] = {
    "text": render_show_text,
    "json": render_show_json,
    "manifest": render_show_manifest,
}
