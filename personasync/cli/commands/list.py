"""``personasync list``."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

import click

from personasync.cli.completion import complete_key
from personasync.cli.group import Command
from personasync.cli.manifests import no_manifest, optional_manifest
from personasync.cli.options import api_options, format_option, option, shared_options
from personasync.cli.states import read_state
from personasync.cli.workspace import Workspace
from personasync.render.catalogue import FORMATS, Card, CatalogueView
from personasync.state import Status
from personasync.state.find import Record, choose, records


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n"
    "  personasync list\n"
    "  personasync list --search 'warm dub'\n"
    "  personasync list --format html > catalogue.html",
)
@click.argument("keys", nargs=-1, metavar="[KEY]...", shell_complete=complete_key)
@option("--search", metavar="WORDS", help="All of them in key, name, description and style.")
@format_option(FORMATS)
@option("--source-url", metavar="URL", help="Where the page's links find the manifest.")
@api_options
@shared_options
def command(
    workspace: Workspace,
    keys: tuple[str, ...],
    search: str | None,
    output_format: str,
    source_url: str | None,
) -> int:
    """List personas for people who look one up; KEY may be a glob.

    html is a page by itself: search as you type, copy with a button.
    """
    workspace.check_options()
    if source_url is not None and urlsplit(source_url).scheme not in ("http", "https"):
        raise click.BadParameter("write it like https://host/path/", param_hint="--source-url")
    known = records(optional_manifest(workspace), read_state(workspace, any_api=True))
    chosen = choose(known, keys) if keys else filter(_in_view, known)
    words = (search or "").split()
    cards = [card for card in _cards(chosen) if card.has(words)]
    console = workspace.console
    if not known and not workspace.has_manifest:
        missing = no_manifest()
        console.say(f"Note: {missing.message}; {workspace.shell.text(missing.hint or '')}.")
    view = CatalogueView(console.result_color, console.width, source_url)
    console.result(FORMATS[output_format](cards, view))
    return 0


def _in_view(record: Record) -> bool:
    return record.persona is not None or (record.entry is not None and record.entry.in_view)


def _cards(chosen: Iterable[Record]) -> Iterable[Card]:
    for record in chosen:
        entry, request = record.entry, record.request
        yield Card(
            key=record.key,
            name=request.name if request else "",
            style=(request.style or "") if request else "",
            status=_status(record),
            persona_id=entry.persona_id if entry else None,
            audio_id=record.audio_id,
            task_id=request.task_id if request else None,
            description=request.description if request else "",
            segment=request.segment if request else None,
            place=record.persona.place if record.persona else None,
        )


def _status(record: Record) -> str:
    if record.entry is None:
        return "not created"
    hidden = record.persona is not None and record.entry.status is Status.FORGOTTEN
    return "not in view" if hidden else record.entry.status.value
