"""What a request is, to the letter."""

from __future__ import annotations

import json

import responses

from personasync.api.client import HttpApi
from personasync.api.key import ApiKey
from personasync.model.persona import PersonaRequest

BASE = "https://api.invalid"
URL = f"{BASE}/api/v1/generate/generate-persona"


@responses.activate
def test_the_request_is_the_contracts_and_nothing_more() -> None:
    answer = {"code": 200, "msg": "success", "data": {"personaId": "p-1"}}
    responses.post(URL, json=answer)
    request = PersonaRequest(
        task_id="t", audio_id="a", name="Nana ☾", description="Warm", vocal_start=0, vocal_end=29.5
    )
    HttpApi(BASE, ApiKey("secret")).create(request)  # what comes back, a real socket must tell
    [call] = responses.calls
    assert call.request.method == "POST"
    assert call.request.url == URL
    assert call.request.headers["Authorization"] == "Bearer secret"
    assert call.request.headers["Content-Type"] == "application/json"
    assert call.request.headers["User-Agent"].startswith("personasync/")
    assert json.loads(call.request.body or "") == {
        "taskId": "t",
        "audioId": "a",
        "name": "Nana ☾",
        "description": "Warm",
        "vocalStart": 0,
        "vocalEnd": 29.5,
    }
