"""What each kind of fault does: what is answered instead, and what becomes of it on the way.

An effect is pure: the response as it would have been sent goes in, and what is
sent comes out; ``None`` is a reset of the connection.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final

from personasync.model.contract import GENERATE_PATH
from personasync.sandbox.contract import (
    MAINTENANCE,
    NO_CREDITS_429,
    NO_CREDITS_ZH,
    RATE_LIMITED,
    SERVER_ERROR,
    refusal,
)
from personasync.sandbox.exchange import Answer, Wire
from personasync.sandbox.faults import Fault, FaultKind

TRAP_PATH: Final = "/redirected"
"""Where the ``redirect`` fault points: nobody has any business there."""

MOVED_TO: Final = "https://api.moved.example"
"""The host that the ``moved`` fault names, which is nobody's."""

_ID: Final = re.compile(rb'"personaId": "([^"]*)"')
_PAGE: Final = b"<html><body><h1>Back soon</h1><p>Something went wrong.</p></body></html>"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fault does: ``made`` says whether the persona is made all the same.

    ``answer`` is what is answered where nothing is made, if anything.
    """

    about: str
    made: bool
    distort: Callable[[Wire, Fault], Wire | None] = lambda wire, _: wire
    answer: Callable[[Fault], Answer | None] = lambda _: None


def _refused(about: str, answer: Answer) -> Effect:
    return Effect(about, made=False, answer=lambda _: answer)


def _page(wire: Wire, fault: Fault) -> Wire:
    """A gateway's word, in HTML, which says nothing about the persona."""
    status = fault.status or wire.status
    try:
        title = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        title = str(status)
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Wire(status, body=page.encode(), headers={"Content-Type": "text/html"})


def _cut(group: int, share: float) -> Callable[[Wire, Fault], Wire]:
    """Close the connection behind a share of the ID; where there is none, of the body."""

    def distort(wire: Wire, _: Fault) -> Wire:
        match = _ID.search(wire.body)
        start, end = match.span(group) if match else (0, len(wire.body) - 1)
        return replace(wire, cut=start + round((end - start) * share))

    return distort


def _json(change: Callable[[dict[str, Any]], object]) -> Callable[[Wire, Fault], Wire]:
    """Change the envelope."""

    def distort(wire: Wire, _: Fault) -> Wire:
        envelope = json.loads(wire.body)
        change(envelope)
        return replace(wire, body=json.dumps(envelope).encode())

    return distort


def _with_id(envelope: dict[str, Any], field: str, tail: str = "") -> None:
    data = envelope["data"]
    if isinstance(data, dict) and "personaId" in data:
        data[field] = data.pop("personaId") + tail


def _encoded(change: Callable[[bytes], bytes], **headers: str) -> Callable[[Wire, Fault], Wire]:
    """Encode the body, and say so or not."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda wire, _: replace(wire, body=change(wire.body), headers={**wire.headers, **named})


def _bad_checksum(body: bytes) -> bytes:
    packed = gzip.compress(body)
    return packed[:-8] + bytes(byte ^ 0xFF for byte in packed[-8:-4]) + packed[-4:]


EFFECTS: Final[Mapping[FaultKind, Effect]] = {
    FaultKind.RESET_BEFORE: Effect("the connection is reset", False, lambda _wire, _: None),
    FaultKind.RATE_LIMIT: _refused("429 with a Retry-After; also 429", RATE_LIMITED),
    FaultKind.MAINTENANCE: _refused("455; also 455", MAINTENANCE),
    FaultKind.SERVER_ERROR: _refused("500; also 500", SERVER_ERROR),
    FaultKind.NO_CREDITS: _refused("429 that means: no credits", NO_CREDITS_429),
    FaultKind.NO_CREDITS_ZH: _refused("the same in Chinese", NO_CREDITS_ZH),
    FaultKind.CODE: Effect(
        "any code, 400 to 599, such as 403", False, answer=lambda fault: refusal(fault.status)
    ),
    FaultKind.CODE_PAGE: Effect("the status, with a gateway's page", False, _page),
    FaultKind.REDIRECT: Effect(
        "302 to a trap", False, lambda _wire, _: Wire(302, headers={"Location": TRAP_PATH})
    ),
    FaultKind.MOVED: Effect(
        "301 to another host; also 301 and 308",
        False,
        lambda _wire, fault: Wire(
            fault.status or 301, headers={"Location": MOVED_TO + GENERATE_PATH}
        ),
    ),
    FaultKind.RESET_AFTER: Effect("the connection is reset", True, lambda _wire, _: None),
    FaultKind.CODE_AFTER: Effect("a gateway's page, such as 504-after, 408-after", True, _page),
    FaultKind.GARBAGE: Effect(
        "a page with status 200",
        True,
        lambda _wire, _: Wire(200, body=_PAGE, headers={"Content-Type": "text/html"}),
    ),
    FaultKind.CUT_OFF: Effect(
        "cut in the middle", True, lambda wire, _: replace(wire, cut=len(wire.body) // 2)
    ),
    FaultKind.CUT_AFTER_ID: Effect("cut right behind the ID", True, _cut(0, 1)),
    FaultKind.CUT_IN_ID: Effect("cut within the ID", True, _cut(1, 0.5)),
    FaultKind.SLOW: Effect(
        "drips, a byte at a time", True, lambda wire, _: replace(wire, drip=True)
    ),
    FaultKind.SNAKE_CASE: Effect(
        "persona_id for personaId", True, _json(lambda body: _with_id(body, "persona_id"))
    ),
    FaultKind.TEXT_CODE: Effect(
        'the code as text: "200"', True, _json(lambda body: body.update(code=str(body["code"])))
    ),
    FaultKind.MESSAGE: Effect(
        "message for msg", True, _json(lambda body: body.update(message=body.pop("msg")))
    ),
    FaultKind.NEWLINE: Effect(
        "a newline behind the ID", True, _json(lambda body: _with_id(body, "personaId", "\n"))
    ),
    FaultKind.NO_DATA: Effect(
        "the code, but no ID: data is null", True, _json(lambda body: body.update(data=None))
    ),
    FaultKind.FALSE_GZIP: Effect(
        "says gzip, is plain", True, _encoded(lambda body: body, Content_Encoding="gzip")
    ),
    FaultKind.BAD_GZIP: Effect(
        "gzip, a wrong checksum", True, _encoded(_bad_checksum, Content_Encoding="gzip")
    ),
    FaultKind.HIDDEN_GZIP: Effect("gzip that nothing announces", True, _encoded(gzip.compress)),
    FaultKind.UTF_16: Effect("UTF-16", True, _encoded(lambda body: body.decode().encode("utf-16"))),
}
"""Every kind, in the order in which help lists them: first those under which nothing is made."""
