"""Both sides held against the API's description: what is asked, and what is answered."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from personasync.model.units import Rate
from personasync.sandbox import SandboxConfig
from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import KEY, STATE, made, recorded
from tests.helpers.support import Tool, clean_environment
from tests.helpers.waiting import HANG, wait_for

OPENAPI = Path(__file__).with_name("openapi.yaml")
VIOLATION = re.compile("violation|terminated with error", re.IGNORECASE)

CONFIGURATION = """
[checks.positive_data_acceptance]
# A segment must end after its start, which no schema can say.
expected-statuses = ["2xx", 401, 404, 409, 422, 429, 451, 455]
"""


def test_the_sandbox_is_what_its_description_says(schemathesis: Path, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    with Sandbox(SandboxConfig(api_key="right")) as sandbox:
        ended = subprocess.run(
            [
                schemathesis,
                "--config-file",
                "schemathesis.toml",
                "run",
                OPENAPI,
                f"--url={sandbox.base_url}",
                "--header=Authorization: Bearer right",
                "--max-examples=500",
                "--seed=1",
                "--generation-database=none",
                # What the API answers to another method is not known; 405 means something else.
                "--exclude-checks=unsupported_method",
            ],
            cwd=tmp_path,
            env=clean_environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert sandbox.statistics().requests > 1000
        assert len(sandbox.personas()) >= 10
    assert ended.returncode == 0, ended.stdout


@contextmanager
def proxy(prism: Path, upstream: str, home: Path) -> Iterator[tuple[str, list[str]]]:
    """Run Prism between a client and a server; yields its base and, as it goes, its log."""
    process = subprocess.Popen(
        [prism, "proxy", OPENAPI, upstream, "--errors", "--port", "0", "--host", "127.0.0.1"],
        env=clean_environment(home),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    log: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        log.extend(iter(process.stdout.readline, ""))

    reader = threading.Thread(target=read)
    reader.start()

    def listening() -> re.Match[str] | None:
        assert process.poll() is None, log
        return re.search(r"listening on (http://\S+)", "".join(log))

    try:
        wait_for(listening, "Prism")
        match = listening()
        assert match is not None
        yield match[1], log
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize(
    ("config", "audios", "code"),
    [
        ({}, ["a", "b", "c"], 0),
        ({"credits": 1}, ["a", "b"], 3),
        ({"rate_limit": Rate(1, 1.0)}, ["a", "b"], 0),
        ({"api_key": "another"}, ["a"], 1),
        ({}, ["unfetchable", "maintenance", "broken", "ratelimited", "toolong"], 3),
    ],
)
def test_no_request_and_no_answer_violates_the_description(
    prism: Path,
    tool: Tool,
    tmp_path: Path,
    config: dict[str, object],
    audios: list[str],
    code: int,
) -> None:
    text = "version: 1\npersonas:\n" + "".join(
        f"  p-{audio}: {{taskId: t-{audio}, audioId: {audio}-1, name: Neon {audio}, style: Pop,"
        f" description: A warm and steady voice over brushes, vocalStart: 2.5, vocalEnd: 20}}\n"
        for audio in audios
    )
    tool.write("personas.yaml", text)
    with (
        Sandbox(SandboxConfig(**config)) as sandbox,  # type: ignore[arg-type]
        proxy(prism, sandbox.base_url, tmp_path) as (base, log),
    ):
        tool.environment.update(PERSONASYNC_BASE_URL=base, PERSONASYNC_API_KEY=KEY)
        retry = "20s" if "rate_limit" in config else "0s"
        ended = tool("apply", "--auto-approve", "--retry-for", retry)
        assert ended.code == code, ended.stdout + ended.stderr + "".join(log)
        assert recorded(tool.folder / STATE) == made(sandbox)
        assert sandbox.statistics().requests >= 1
    said = "".join(log)
    assert not VIOLATION.search(said), said


def test_a_violation_would_be_noticed(prism: Path, tmp_path: Path) -> None:
    with (
        Sandbox(SandboxConfig()) as sandbox,
        proxy(prism, sandbox.base_url, tmp_path) as (base, log),
    ):
        answer = requests.post(
            f"{base}/api/v1/generate/generate-persona",
            json={"taskId": 7},
            headers={"Authorization": "Bearer any"},
            timeout=HANG,
        )
        assert "VIOLATIONS" in answer.text or "UNPROCESSABLE_ENTITY" in answer.text
        assert sandbox.statistics().requests == 0
        wait_for(lambda: VIOLATION.search("".join(log)), "Prism's word")
