"""Entries of the state, listed and shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from personasync.manifest.values import YAML_1_2_NUMBER
from personasync.model.persona import PersonaRequest
from personasync.plan.compute import conflict_reason
from personasync.render import remedies
from personasync.render.commands import HERE, Shell
from personasync.render.layout import Style, display_width, pad, paint
from personasync.render.safe import defuse, json_page, page, printable
from personasync.state.adopt import answered_id
from personasync.state.codec import entry_to_json
from personasync.state.entry import Entry, Status

STATUS_STYLES: Final[Mapping[str, Style]] = {
    Status.CREATED: Style.GREEN,
    Status.PENDING: Style.YELLOW,
    Status.CONFLICT: Style.YELLOW,
    Status.FAILED: Style.RED,
}
"""The styles of the statuses that deserve one."""

_WIDTH: Final = 88
_NO_BREAKS: Final = 1 << 30
_YAML_1_2_NUMBER: Final = re.compile(rf"(?:{YAML_1_2_NUMBER})\Z")


@dataclass(frozen=True, slots=True)
class Shown:
    """One entry to be shown.

    ``history`` are all entries of its audio that the log has, the oldest
    first. ``wanted`` is what the manifest says of the audio now, if anything.
    ``name`` is what commands call it, its key where that is not given.
    """

    entry: Entry
    history: tuple[Entry, ...] = ()
    wanted: PersonaRequest | None = None
    name: str | None = None
    shell: Shell = HERE


def render_list_text(
    entries: Sequence[Entry], color: bool = False, width: int | None = None
) -> str:
    """Return a row an entry: key, status, ID, audio.

    Where they are wider than ``width``, IDs and audios have lines of their own.
    """
    if not entries:
        return "No entries.\n"
    rows = [
        (
            printable(entry.key),
            entry.status.value,
            printable(", ".join(entry.ids) or "-"),
            printable(entry.audio_id),
        )
        for entry in entries
    ]
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    apart = width is not None and sum(widths) + 6 > width
    return page(
        line
        for row, entry in zip(rows, entries, strict=True)
        for line in _row(row, widths, STATUS_STYLES.get(entry.status, Style.PLAIN), color, apart)
    )


def _row(
    row: Sequence[str], widths: Sequence[int], style: Style, color: bool, apart: bool
) -> Sequence[str]:
    key, status, persona_id, audio_id = map(pad, row, widths)
    named = f"{key}  {paint(status, style, color)}"
    if apart:
        return named, f"    {persona_id.rstrip()}", f"    {audio_id.rstrip()}"
    return (f"{named}  {persona_id}  {audio_id.rstrip()}",)


def render_list_json(
    entries: Sequence[Entry], _color: bool = False, _width: int | None = None
) -> str:
    """Return a JSON array of entries, each as the state has it."""
    return json_page([entry_to_json(entry) for entry in entries])


def render_show_text(shown: Shown) -> str:
    """Return all that is known about one persona, and what to do where something is not."""
    lines = [printable(shown.entry.key), *_facts(shown.entry), *_remedy(shown)]
    if shown.entry.request is not None:
        lines += ["", "As a manifest entry:", "", *_manifest_lines(shown)]
    if len(shown.history) > 1:
        lines += ["", "History:", *map(_past, shown.history)]
    return page(lines)


def _facts(entry: Entry) -> Iterator[str]:
    facts = {
        "status": entry.status.value,
        "personaId": ", ".join(entry.ids) or None,
        "origin": entry.origin.value if entry.origin else None,
        "audioId": entry.audio_id,
        "at": entry.at,
        "run": entry.run,
        "code": None if entry.code is None else str(entry.code),
        "message": entry.message,
        "answer": entry.answer.body if entry.answer else None,
    }
    yield from (_fact(name, value) for name, value in facts.items() if value is not None)


def _fact(name: str, value: str) -> str:
    return f"  {name and name + ':':<11}{printable(value)}"


def _remedy(shown: Shown) -> Iterator[str]:
    """Say what a status means where that is not plain, and the command that settles it."""
    entry = shown.entry
    if entry.status is Status.FORGOTTEN and entry.persona_id:
        yield _fact("why", "dropped from view; back in the manifest, it needs no request")
    if entry.persona_id:
        return
    name, shell = shown.name or entry.key, shown.shell
    if entry.status is Status.PENDING:
        yield _fact("why", "a request was about to be sent, and its outcome is unknown")
        apply = shell.line(remedies.APPLY)
        yield _fact("mend it", f"with it in the manifest: {apply}")
        yield _fact("", f"({remedies.ASKED_AGAIN})")
        found = "a kept answer shows the ID" if answered_id(entry) else "if you know the ID"
        yield _fact("or", f"{found}: {shell.line(remedies.record(name, entry))}")
    elif entry.in_conflict:
        yield _fact("why", conflict_reason(entry))
        for way in remedies.conflict(name, entry):
            yield _fact("mend it", f"{way.words}: {shell.line(way.command)}")


def _past(entry: Entry) -> str:
    about = entry.persona_id or entry.message or ""
    return printable(f"  {entry.at or '-':<21}{entry.status:<10}{entry.key}  {about}").rstrip()


def render_show_json(shown: Shown) -> str:
    """Return the entry as the state has it, with its ``history``."""
    return json_page(_with_history(shown))


def _with_history(shown: Shown) -> dict[str, object]:
    history = [entry_to_json(past) for past in shown.history]
    return {**entry_to_json(shown.entry), "history": history}


def render_show_manifest(shown: Shown) -> str:
    """Return what was sent as an entry of ``personas:``, ready to be put back.

    A segment that was left out is spelled out where the manifest has one now:
    it may come from the file's defaults, which only a value of its own undoes.
    """
    return page(_manifest_lines(shown))


def _manifest_lines(shown: Shown) -> list[str]:
    sent, wanted = shown.entry.request, shown.wanted
    if sent is None:
        return [f"  # what was sent for {printable(shown.entry.key)} is not recorded"]
    persona: dict[str, object] = dict(sent.to_json())
    notes: list[str] = []
    if wanted is not None:
        meant = sent.effective()
        now = {"vocalStart": wanted.vocal_start, "vocalEnd": wanted.vocal_end}
        for field in (field for field, value in now.items() if value is not None):
            persona.setdefault(field, meant[field])
        if sent.style is None and wanted.style is not None:
            notes = ["    # no style was sent: take it out of this file's defaults, too"]
    return [*(f"  {line}" for line in yaml_lines({shown.entry.key: persona})), *notes]


def yaml_lines(value: Mapping[str, object]) -> list[str]:
    """Return YAML in which nothing can steer a terminal or a CI log."""
    import yaml

    class Plain(yaml.SafeDumper):
        """Quotes what editors and YAML 1.2 take for a number, such as 61e9540, as well."""

    class Quoted(yaml.SafeDumper):
        """Writes every text in double quotes, where YAML has the escapes of ``printable``."""

    def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')

    Plain.add_implicit_resolver("tag:yaml.org,2002:float", _YAML_1_2_NUMBER, [*"+-.0123456789"])
    Quoted.add_representer(str, represent)
    settings: dict[str, Any] = {"sort_keys": False, "allow_unicode": True}
    plain: str = yaml.dump(value, Dumper=Plain, width=_WIDTH, **settings)
    lines = plain.rstrip("\n").split("\n")
    if all(defuse(printable(line)) == line for line in lines):
        return lines
    quoted: str = yaml.dump(value, Dumper=Quoted, width=_NO_BREAKS, **settings)
    lines = quoted.rstrip("\n").split("\n")
    return [printable(line).replace("##", "#\\x23") for line in lines]


LIST_FORMATS: Final[Mapping[str, Callable[[Sequence[Entry], bool, int | None], str]]] = {
    "text": render_list_text,
    "json": render_list_json,
}
SHOW_FORMATS: Final[Mapping[str, Callable[[Shown], str]]] = {
    "text": render_show_text,
    "json": render_show_json,
    "manifest": render_show_manifest,
}


def render_shown(shown: Sequence[Shown], output_format: str, *, one: bool) -> str:
    """Return personas one below the other; in JSON a list, but for the ``one`` that was named."""
    if output_format == "json" and not one:
        return json_page([_with_history(each) for each in shown])
    between = "\n" if output_format == "text" else ""
    return between.join(SHOW_FORMATS[output_format](each) for each in shown)
