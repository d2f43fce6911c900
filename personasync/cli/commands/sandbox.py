"""``personasync sandbox``."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from personasync.cli.console import Console
from personasync.cli.group import Command
from personasync.cli.options import DURATION, RATE, option
from personasync.model.units import Rate
from personasync.render.safe import printable

if TYPE_CHECKING:
    from personasync.sandbox import Exchange

DEFAULT_PORT: Final = 8765

_option: Final = partial(option, prefix="PERSONASYNC_SANDBOX_")


class _FaultType(click.ParamType[Any]):
    name = "fault"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from personasync.sandbox import Fault

        try:
            return value if isinstance(value, Fault) else Fault.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n"
    "  personasync sandbox\n"
    "  personasync sandbox --credits 5 --latency 200ms\n"
    "  personasync sandbox --fault reset-after:0.2 --fault 429:0.1 --seed 7\n"
    "\n"
    "\b\nFaults: reset-before, reset-after, rate-limit (429), maintenance (455),\n"
    "server-error (500), garbage, cut-off, slow, redirect.\n"
    "\n"
    "\b\nIDs that misbehave on purpose: a taskId that begins with missing (404),\n"
    "unfinished or old-model (422); an audioId that begins with unfetchable\n"
    "(451), maintenance (455), broken (500), ratelimited (429) or toolong (413).",
)
@_option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=DEFAULT_PORT,
    show_default=False,
    help=f"Port on 127.0.0.1; 0: any.  [default: {DEFAULT_PORT}]",
)
@_option(
    "--books",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Keep what was made here.  [default: in memory]",
)
@_option(
    "--key",
    metavar="KEY",
    help="Accept only this API key.  [default: any]",
)
@_option(
    "--repeat",
    type=click.Choice(["conflict", "same-id"]),
    metavar="ANSWER",
    default="conflict",
    show_default=True,
    help="To a second request: conflict (409) or same-id.",
)
@_option(
    "--credits",
    type=click.IntRange(min=0),
    metavar="N",
    help="One a persona; then 402.  [default: no end]",
)
@_option(
    "--rate-limit",
    type=RATE,
    metavar="RATE",
    help="Above it, 429; such as 20/10s.  [default: none]",
)
@_option(
    "--latency",
    type=DURATION,
    default="0s",
    show_default=True,
    help="Time before each answer.",
)
@_option(
    "--fault",
    "faults",
    type=_FaultType(),
    multiple=True,
    metavar="KIND[:PROBABILITY]",
    help="What goes wrong, how often (0 to 1); repeatable.",
)
@_option(
    "--seed",
    type=int,
    metavar="N",
    help="Make the faults the same each time.",
)
@_option(
    "--errors-in-body",
    is_flag=True,
    help="Errors come with HTTP 200, as they are known to.",
)
@option("-q", "--quiet", is_flag=True, help="No line for each request.")
def command(
    port: int,
    books: str | None,
    key: str | None,
    repeat: Any,
    credits: int | None,
    rate_limit: tuple[Rate | None] | None,
    latency: float,
    faults: tuple[Any, ...],
    seed: int | None,
    errors_in_body: bool,
    quiet: bool,
) -> int:
    """Serve a stand-in for the API on this machine, to try and to rehearse.

    It makes nothing that is real. It behaves like the API, remembers what it
    made, and can have a bad day on request. The first line on stdout is its
    base URL.
    """
    from personasync.sandbox import Sandbox, SandboxConfig

    console = Console(quiet=quiet)
    config = SandboxConfig(
        port=port,
        books=Path(books) if books else None,
        api_key=key,
        repeat=repeat,
        credits=credits,
        rate_limit=rate_limit[0] if rate_limit else None,
        latency=latency,
        faults=faults,
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


def _line(exchange: Exchange) -> str:
    answered = str(exchange.code) if exchange.code is not None else "no answer"
    about = f" audio {exchange.audio_id}" if exchange.audio_id else ""
    fault = f"  (fault: {exchange.fault})" if exchange.fault else ""
    return printable(f"{exchange.method} {exchange.path}{about}: {answered}{fault}")
