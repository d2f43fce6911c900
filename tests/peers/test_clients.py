"""Each documented outcome, met through each client that can show it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from personasync.sandbox import Fault, SandboxConfig, Status, Task, Track
from tests.helpers.sandbox import Sandbox
from tests.peers.clients import Client, KieServer, SunoEasy, SunoMusicCli

CLIENTS = [SunoEasy, SunoMusicCli, KieServer]
PERSONA = {"taskId": "t", "audioId": "a", "name": "Neon", "description": "Bright and warm"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    tasks = {status.lower(): Task(status, (Track("a"), Track("b"))) for status in Status}
    with Sandbox(
        SandboxConfig(credits=3, api_key="right", tasks=tasks, tracks={"t": (Track("a"),)})
    ) as served:
        yield served


@pytest.fixture
def easy(sandbox: Sandbox, tmp_path: Path) -> SunoEasy:
    return SunoEasy(tmp_path, sandbox.base_url, "right")


def test_a_persona_is_made_and_its_id_read(easy: SunoEasy, sandbox: Sandbox) -> None:
    code, persona = easy.create(PERSONA)
    assert code == 200
    assert persona == {
        "persona_id": sandbox.personas()["a"].persona_id,
        "name": "Neon",
        "description": "Bright and warm",
        "style": None,
    }
    code, said = easy.create(PERSONA)
    assert code == 409
    assert "already exists for this music" in said


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"taskId": "missing"}, 404),
        ({"taskId": "pending"}, 422),
        ({"audioId": "b"}, 422),
        ({"name": " "}, 422),
        ({"vocalEnd": 400}, 422),
        ({"vocalEnd": 0}, 422),
        ({"audioId": "unfetchable"}, 451),
        ({"audioId": "maintenance"}, 455),
        ({"audioId": "broken"}, 500),
        ({"audioId": "ratelimited"}, 429),
        ({"audioId": "toolong"}, 413),
    ],
)
def test_a_refusal_is_read(easy: SunoEasy, fields: dict[str, object], code: int) -> None:
    assert easy.create({**PERSONA, **fields})[0] == code
    assert easy.credits() == (200, 3)


@pytest.mark.parametrize("in_body", [False, True])
def test_no_credits_are_read(tmp_path: Path, in_body: bool) -> None:
    with Sandbox(SandboxConfig(credits=0, errors_in_body=in_body)) as served:
        assert SunoEasy(tmp_path, served.base_url).create(PERSONA)[0] == 402
    faults = (Fault.parse("no-credits-zh"),)
    with Sandbox(SandboxConfig(faults=faults, errors_in_body=in_body)) as served:
        code, said = SunoEasy(tmp_path, served.base_url).create(PERSONA)
        assert (code, "积分" in said or "\\u79ef" in said) == (429, True)


def test_an_id_by_its_other_name_is_read(tmp_path: Path) -> None:
    with Sandbox(SandboxConfig(faults=(Fault.parse("persona_id"),))) as served:
        code, persona = SunoEasy(tmp_path, served.base_url).create(PERSONA)
        assert (code, persona["persona_id"]) == (200, served.personas()["a"].persona_id)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("status", Status)
def test_every_status_of_a_task_is_read(
    client: type[Client], status: Status, sandbox: Sandbox, tmp_path: Path
) -> None:
    peer = client(tmp_path, sandbox.base_url, "right")
    assert peer.task(status.lower()) == (200, status)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_task_that_is_not_known_is_none(
    client: type[Client], sandbox: Sandbox, tmp_path: Path
) -> None:
    peer = client(tmp_path, sandbox.base_url, "right")
    code, said = peer.task("nowhere")
    assert code == {SunoEasy: 422, SunoMusicCli: 422, KieServer: 0}[client]
    assert "recordInfo is null" in said or client is KieServer


def test_the_tracks_of_a_task_are_read(sandbox: Sandbox, tmp_path: Path) -> None:
    peer = SunoMusicCli(tmp_path, sandbox.base_url, "right")
    assert peer.tracks("success") == ["a", "b"]
    assert peer.tracks("first_success")[0] == "a"
    assert peer.tracks("pending") == []


@pytest.mark.parametrize("client", [SunoEasy, SunoMusicCli])
def test_credits_and_a_wrong_key_are_read(
    client: type[SunoEasy] | type[SunoMusicCli], sandbox: Sandbox, tmp_path: Path
) -> None:
    assert client(tmp_path, sandbox.base_url, "right").credits() == (200, 3)
    assert client(tmp_path, sandbox.base_url, "wrong").credits()[0] == 401
