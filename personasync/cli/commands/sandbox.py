"""``personasync sandbox``."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from personasync.cli.console import Console
from personasync.cli.group import Command
from personasync.cli.manifests import read_manifest
from personasync.cli.options import DURATION, RATE, option
from personasync.cli.workspace import Workspace
from personasync.model.errors import ManifestError, UsageError
from personasync.model.units import Rate
from personasync.render.safe import printable
from personasync.sandbox import (
    Exchange,
    Fault,
    Sandbox,
    SandboxConfig,
    Task,
    Track,
    named_tracks,
    read_tasks,
)
from personasync.sandbox.contract import MAGIC_AUDIOS
from personasync.sandbox.effects import EFFECTS
from personasync.sandbox.tasks import MAGIC_TASKS

DEFAULT_PORT: Final = 8765

_REPEATS: Final[Mapping[str, str]] = {
    "conflict": "409, as the API's pages say",
    "conflict-with-id": "409 that names the ID",
    "same-id": "200 with the same ID; name and description are overwritten",
    "new-id": "200 with another ID",
}

_LIST: Final = "list"
"""The fault that is none: it explains the others."""

_option: Final = partial(option, prefix="PERSONASYNC_SANDBOX_")


def _named(about: str, names: Iterable[str]) -> str:
    text = f"{about}: {', '.join(names)}."
    return textwrap.fill(text, 78, break_on_hyphens=False, break_long_words=False)


_EPILOG: Final = "\n".join(
    (
        "\b\nExamples:",
        "  personasync sandbox --fault reset-after:0.2 --fault 504-after:0.1 --seed 7",
        "",
        "\b",
        _named("Faults, nothing made", (str(k) for k, e in EFFECTS.items() if not e.made)),
        _named("Faults, made all the same", (str(k) for k, e in EFFECTS.items() if e.made)),
        _named("taskId that begins with", MAGIC_TASKS),
        _named("audioId that begins with", MAGIC_AUDIOS),
    )
)


class _FaultType(click.ParamType[Any]):
    name = "fault"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return value if value == _LIST or isinstance(value, Fault) else Fault.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(cls=Command, epilog=_EPILOG)
@_option(
    "-f",
    "--manifest",
    multiple=True,
    type=click.Path(readable=False),
    metavar="PATH",
    help="Know the tasks and audios of a manifest.",
)
@_option(
    "--tasks",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Know the tasks of a YAML or JSON file.",
)
@_option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=DEFAULT_PORT,
    show_default=True,
    help="Port; 0: any.",
)
@_option(
    "--books",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Keep what was made here.  [default: in memory]",
)
@_option("--key", metavar="KEY", help="Accept only this API key.  [default: any]")
@_option(
    "--repeat",
    type=click.Choice(list(_REPEATS)),
    metavar="ANSWER",
    default="conflict",
    help="conflict, conflict-with-id, same-id, new-id.",
)
@_option("--credits", type=click.IntRange(min=0), metavar="N", help="One a persona; then 402.")
@_option("--rate-limit", type=RATE, metavar="RATE", help="Above it, 429; such as 20/10s.")
@_option("--latency", type=DURATION, help="Time before each answer.")
@_option("--first-latency", type=DURATION, help="The same where a persona is made.")
@_option(
    "--fault",
    "faults",
    type=_FaultType(),
    multiple=True,
    metavar="KIND[:P]",
    help="What goes wrong, how often; list: explain all.",
)
@_option("--seed", type=int, metavar="N", help="Make the faults the same each time.")
@_option("--errors-in-body", is_flag=True, help="Errors come with HTTP 200.")
@option("-q", "--quiet", is_flag=True, help="No line for each request.")
def command(
    manifest: tuple[str, ...],
    tasks: str | None,
    port: int,
    books: str | None,
    key: str | None,
    repeat: Any,
    credits: int | None,
    rate_limit: tuple[Rate | None] | None,
    latency: float | None,
    first_latency: float | None,
    faults: tuple[Fault | str, ...],
    seed: int | None,
    errors_in_body: bool,
    quiet: bool,
) -> int:
    """Serve a stand-in for the API; the first line on stdout is its base URL."""
    console = Console(quiet=quiet)
    if _LIST in faults:
        console.result(_listing())
        return 0
    config = SandboxConfig(
        port=port,
        books=Path(books) if books else None,
        api_key=key,
        repeat=repeat,
        credits=credits,
        tasks=_tasks(tasks) if tasks else None,
        tracks=_tracks(console, manifest) if manifest else None,
        rate_limit=rate_limit[0] if rate_limit else None,
        latency=latency or 0.0,
        first_latency=first_latency,
        faults=tuple(fault for fault in faults if isinstance(fault, Fault)),
        seed=seed,
        errors_in_body=errors_in_body,
    )
    with Sandbox(config, log=lambda exchange: console.say(_line(exchange))) as sandbox:
        console.result(sandbox.base_url)
        console.say(
            "The personasync sandbox: a stand-in for the API that makes nothing real."
            f" Use it from another shell:\n"
            f"  export PERSONASYNC_BASE_URL={sandbox.base_url} PERSONASYNC_API_KEY={key or 'any'}\n"
            "Ctrl-C ends it."
        )
        try:
            while True:
                time.sleep(1)  # short: a Ctrl-C just before a wait begins does not end it
        except KeyboardInterrupt:
            console.say("The sandbox has ended.")
    return 0


def _tracks(console: Console, manifests: tuple[str, ...]) -> dict[str, tuple[Track, ...]]:
    manifest = read_manifest(Workspace(console, manifests))
    return named_tracks(persona.request for persona in manifest.personas)


def _tasks(file: str) -> dict[str, Task]:
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read the tasks in {file}: {error.strerror}", hint="name a YAML or JSON file"
        ) from error
    try:
        return read_tasks(_values(file, data))
    except ValueError as error:
        raise UsageError(
            f"{file}: {error}",
            hint="the shape is {tasks: {TASK_ID: {status: SUCCESS, after: 20s, model: V4_5,"
            " tracks: [{audioId: …, title: …, duration: 183.2}]}}}",
        ) from error


def _values(file: str, data: bytes) -> object:
    """Read JSON, and else YAML, which does not take all of JSON's escapes."""
    from personasync.manifest.lines import with_sources  # only a file of tasks needs it
    from personasync.manifest.reader import read_document

    with suppress(ValueError, RecursionError):
        return json.loads(data)
    document = read_document(file, data)
    if document.problems:
        raise ManifestError(
            f"{file} cannot be read", diagnostics=with_sources(document.problems, {file: data})
        )
    return document.root


def _listing() -> str:
    """Return a table of all that --repeat, --fault and an ID can ask for."""
    made = {"made": True, "nothing made": False}
    rows: dict[str, dict[str, str]] = {
        "--repeat ANSWER, to a second request for an audio:": dict(_REPEATS),
        **{
            f"--fault KIND[:P], {about}:": {
                str(kind): effect.about
                for kind, effect in EFFECTS.items()
                if effect.made is is_made
            }
            for about, is_made in reversed(made.items())
        },
        "taskId that begins with:": {word: about for word, (about, _) in MAGIC_TASKS.items()},
        "audioId that begins with:": {
            word: f"{answer.code}, {answer.msg}" for word, answer in MAGIC_AUDIOS.items()
        },
    }
    return "\n\n".join(
        "\n".join([title, *(f"  {name:<22}{about}" for name, about in table.items())])
        for title, table in rows.items()
    )


def _line(exchange: Exchange) -> str:
    answered = str(exchange.code) if exchange.code is not None else "no answer"
    about = f" audio {exchange.audio_id}" if exchange.audio_id else ""
    fault = f"  (fault: {exchange.fault})" if exchange.fault else ""
    return printable(f"{exchange.method} {exchange.path}{about}: {answered}{fault}")
