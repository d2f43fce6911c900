"""No ID that arrived is lost, whatever it arrived in: each shape once, then 409 for ever."""

from __future__ import annotations

import base64
import gzip
import json
import shlex
import zlib
from collections import Counter
from collections.abc import Mapping

import pytest

from tests.helpers.nasty import Behaviour, NastyServer, Talk, answer, chunk, raw, says
from tests.helpers.support import Tool

ID = "Zm9vYmFy-1d4b/a1b2=="
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DATA = {"personaId": ID, "name": "n", "description": "d"}
GOOD = json.dumps({"code": 200, "msg": "success", "data": DATA}).encode()
CUT = GOOD[: GOOD.index(ID.encode()) + len(ID)]
LENGTH = b"Content-Length: %d\r\n\r\n" % len(GOOD)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def packed(data: bytes, *codings: str) -> Behaviour:
    return answer(data, headers=[("Content-Encoding", ", ".join(codings))] if codings else [])


def parts(*pieces: bytes) -> Behaviour:
    """Send an answer in pieces, each when the client can have read the last."""

    def behave(talk: Talk) -> None:
        talk.receive()
        for piece in pieces:
            talk.send(piece)
            talk.sleep(0.001)
        talk.close()

    return behave


REFUSALS: dict[str, Behaviour] = {
    f"{code} in {'HTTP' if status == code else 'the body'}": says(code, "no", DATA, status=status)
    for code in (400, 403, 404, 409, 422, 429, 455, 500)
    for status in (200, code)
}
SPELLINGS: dict[str, Behaviour] = {
    name: says(200, "success", {name: ID})
    for name in ("persona_id", "personaID", "PersonaId", "persona-id", "personaid")
} | {
    "409 persona_id": says(409, "exists", {"persona_id": ID}),
    "a newline behind": says(200, "success", {"personaId": f"{ID}\n"}),
    "spaces around": says(200, "success", {"personaId": f"  {ID} "}),
    "code as text": says("200", "success", DATA),
    "code as a float": says(200.0, "success", DATA),
    "no code": answer(json.dumps({"data": DATA}), 502),
    "at the top": answer(json.dumps({"code": 200, "personaId": ID})),
    "deeper": says(200, "success", {"persona": DATA}),
    "in a list": says(200, "success", [DATA]),
    "JSON in a text": says(200, "success", json.dumps(DATA)),
    "JSON in a page": answer("<pre>" + GOOD.decode().replace('"', "&quot;") + "</pre>", 502),
    "existing": says(409, "exists", {"existingPersonaId": ID}),
    "a list of IDs": says(409, "exists", {"personaIds": [ID]}),
    "in the words": says(409, f"a persona exists already (personaId: {ID})"),
    "in the words of a page": answer(f"<p>Conflict. Persona ID {ID} exists.</p>", 409),
    "a form": answer(f"code=200&personaId={ID}&name=n"),
    "XML": answer(f"<r><code>200</code><personaId>{ID}</personaId></r>", 500),
    "events": answer(b"data: " + GOOD + b"\n\n"),
    "base64": answer(base64.b64encode(GOOD)),
    "a second answer behind": answer(GOOD + b'{"code": 500}'),
    "no words but the ID": says(None, None, DATA),
    "407 in the body": says(407, "no", DATA),
    "a proxy's 407": answer(json.dumps({"data": DATA}), 407),
    "a redirect": answer(GOOD, 302),
    "a 504 that quotes it": answer(b"<h1>Gateway</h1>" + GOOD, 504),
}
CUTS: dict[str, Behaviour] = {
    "before the closing quote": raw(HEAD + LENGTH + CUT),
    "behind it": raw(HEAD + LENGTH + CUT + b'", "na'),
    "in a chunk": raw(HEAD + CHUNKED + chunk(CUT[:50]) + chunk(CUT[50:] + b'",')[:-4]),
    "without a length": raw(HEAD + b"\r\n" + CUT + b'"'),
    "packed": raw(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(GOOD)[:-20]),
}
MACHINERY: dict[str, Behaviour] = {
    "false gzip": packed(GOOD, "gzip"),
    "false deflate": packed(GOOD, "deflate"),
    "unknown encoding": packed(GOOD, "br"),
    "gzip, unlabelled": packed(gzip.compress(GOOD)),
    "gzip twice": packed(gzip.compress(gzip.compress(GOOD)), "gzip", "gzip"),
    "gzip, false checksum": packed(gzip.compress(GOOD)[:-8] + b"\1" * 8, "gzip"),
    "gzip, no end": packed(gzip.compress(GOOD)[:-8], "gzip"),
    "bare deflate": packed(zlib.compress(GOOD)[2:-4], "deflate"),
    "zlib, unlabelled": packed(zlib.compress(GOOD)),
    "UTF-16": answer(GOOD.decode().encode("utf-16")),
    "UTF-16 BE": answer(GOOD.decode().encode("utf-16-be")),
    "past 4 KiB": answer(b'{"pad":"' + b"x" * 9000 + b'",' + GOOD[1:-1] + b',"pad2":'),
    "no length": parts(HEAD + b"Content-Length: 0\r\n\r\n", GOOD),
    "no body by its status": parts(b"HTTP/1.1 204 No Content\r\n\r\n", GOOD),
    "a length of one": parts(HEAD + b"Content-Length: 1\r\n\r\n", GOOD[:1], GOOD[1:]),
    "the last chunk first": parts(HEAD + CHUNKED + chunk(b""), GOOD),
    "byte by byte": parts(HEAD + LENGTH, *(GOOD[at : at + 1] for at in range(len(GOOD)))),
    "chunks of one byte": raw(
        HEAD + CHUNKED + b"".join(chunk(GOOD[at : at + 1]) for at in range(len(GOOD))) + chunk(b"")
    ),
    "chunks, odd status line": raw(b"HTTP/1.1 OK\r\n" + CHUNKED + chunk(GOOD) + chunk(b"")),
    "other line ends": raw((HEAD + LENGTH).replace(b"\r\n", b"\n") + GOOD),
    "interim answers": raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5 + HEAD + LENGTH + GOOD),
    "gzip in two members": packed(gzip.compress(GOOD[:40]) + gzip.compress(GOOD[40:]), "gzip"),
    "gzip, broken, chunked": raw(
        HEAD + CHUNKED + chunk(gzip.compress(GOOD)[:-8] + b"x" * 12) + chunk(b"")
    ),
    "a hundred headers": raw(HEAD + b"X: y\r\n" * 120 + LENGTH + GOOD),
    "a header of 64 KiB": raw(HEAD + b"X: " + b"y" * 66_000 + b"\r\n" + LENGTH + GOOD),
    "two lengths": raw(HEAD + b"Content-Length: 7\r\n" + LENGTH + GOOD),
    "a short length": raw(HEAD + b"Content-Length: 30\r\n\r\n" + GOOD),
    "chunked, and is not": raw(HEAD + CHUNKED + GOOD),
    "chunks left in": raw(HEAD + b"\r\n" + chunk(GOOD) + chunk(b"")),
    "HTTP/2.0": raw(b"HTTP/2.0 200 OK\r\n" + LENGTH + GOOD),
    "no status line": raw(GOOD),
    "no head, cut": raw(CUT),
    "a bad cookie": answer(GOOD, headers=[("Set-Cookie", "\x01\x02=;;;Expires=never")]),
    "a header": answer(b"", headers=[("X-Persona-Id", ID)]),
}
SHAPES = {**REFUSALS, **SPELLINGS, **CUTS, **MACHINERY}


def once_then_409(first: Mapping[str, Behaviour]) -> Behaviour:
    seen: set[str] = set()

    def behave(talk: Talk) -> None:
        audio = talk.receive().fields["audioId"]
        new = audio not in seen
        seen.add(audio)
        (first[audio] if new else says(409, "a persona already exists"))(talk)

    return behave


@pytest.mark.parametrize("shapes", [REFUSALS, SPELLINGS, CUTS, MACHINERY])
def test_an_id_that_arrived_is_recorded_or_offered(
    tool: Tool, shapes: dict[str, Behaviour]
) -> None:
    tool.manifest(len(shapes))
    audios = {f"audio-{number:03d}": shape for number, shape in enumerate(shapes.values())}
    env = {"PERSONASYNC_API_KEY": "sk-4f9a1c7e2b8d6053", "PERSONASYNC_RATE_LIMIT": "none"}
    said = ""
    with NastyServer(once_then_409(audios)) as server:
        env["PERSONASYNC_BASE_URL"] = server.url
        for _ in range(8):  # a run ends early where nothing usable comes
            ended = tool("apply", "--auto-approve", "--retry-for", "0s", env=env)
            said += ended.stdout
            asked = Counter(request.fields["audioId"] for request in server.requests)
            known = {entry["audioId"] for entry in tool.entries() if "personaId" in entry}
            if all(asked[audio] > 1 or audio in known for audio in audios):
                break
    states = {entry["audioId"]: entry for entry in tool.entries()}
    missing = {}
    for name, audio in zip(shapes, audios, strict=True):
        key = f"p-{audio[-3:]}"
        command = f"personasync import {key} {shlex.quote(ID)}"
        if states.get(audio, {}).get("personaId") != ID and command not in ended.stdout:
            missing[name] = (states.get(audio), [line for line in said.splitlines() if key in line])
    assert missing == {}


def test_what_the_account_offers_can_be_run(tool: Tool) -> None:
    tool.manifest(1)
    with NastyServer(SHAPES["before the closing quote"], says(409, "exists")) as server:
        env = {"PERSONASYNC_API_KEY": "sk-4f9a1c7e2b8d6053", "PERSONASYNC_BASE_URL": server.url}
        for _ in range(2):
            ended = tool("apply", "--auto-approve", "--retry-for", "0s", env=env)
        [line] = [line for line in ended.stdout.splitlines() if "personasync import" in line]
        assert tool(*shlex.split(line)[1:], env=env).code == 0
        assert tool("output", "p-000", env=env).stdout == f"{ID}\n"
