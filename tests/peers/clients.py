"""Clients of the service that nobody here wrote, unchanged but for the base.

Each takes calls and tells how they ended: ``200``, with what was read out of the
answer, or the code that it was refused with.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.support import clean_environment
from tests.helpers.waiting import HANG
from tests.peers.conftest import installed

Ending = tuple[int, Any]


@dataclass(frozen=True)
class Client:
    """A client in a folder of its own, which is its home."""

    home: Path
    base: str
    key: str = "any"

    def task(self, task_id: str) -> Ending:
        """Return the status of a task."""
        raise NotImplementedError

    def run(self, *command: str | Path, text: str = "", **env: str) -> tuple[int, str]:
        """Run a program and return its exit code and all it printed."""
        ended = subprocess.run(
            command,
            input=text,
            env={**clean_environment(self.home), "NO_COLOR": "1", "COLUMNS": "500", **env},
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=HANG,
            check=False,
        )
        return ended.returncode, ended.stdout


class SunoEasy(Client):
    """https://pypi.org/project/suno-easy: a library."""

    _PROGRAM = """
import json, sys
import suno_easy
suno_easy.SunoClient.BASE_URL = sys.argv[1]
client = suno_easy.SunoClient(sys.argv[2])
try:
    print(json.dumps([200, eval(sys.argv[3])]))
except suno_easy.SunoAPIError as error:
    print(json.dumps([error.status_code, error.message]))
except suno_easy.TaskFailed as error:
    print(json.dumps([0, str(error)]))
"""

    def call(self, expression: str) -> Ending:
        """Evaluate an expression on its client."""
        python = installed("venv/bin/python")
        code, said = self.run(python, "-c", self._PROGRAM, self.base, self.key, expression)
        assert code == 0, said
        ended, value = json.loads(said)
        return ended, value

    def create(self, fields: Mapping[str, object]) -> Ending:
        names = {"taskId": "task_id", "audioId": "audio_id", "vocalEnd": "vocal_end"}
        given = {names.get(name, name): value for name, value in fields.items()}
        return self.call(f"vars(client.persona.create(**{given!r}))")

    def credits(self) -> Ending:
        return self.call("client.account.get_credits().remaining")

    def task(self, task_id: str) -> Ending:
        code, data = self.call(f"client.get_task_info({task_id!r})")
        return code, data["status"] if code == 200 else data


class SunoMusicCli(Client):
    """https://pypi.org/project/suno-music-cli: a command."""

    def suno(self, *args: str) -> tuple[int, str]:
        command = installed("venv/bin/suno")
        return self.run(command, *args, SUNO_API_KEY=self.key, SUNO_BASE_URL=self.base)

    def _ended(self, code: int, said: str, found: str) -> Ending:
        if refused := re.search(r"API error: \[(\d+)\] (.*)", said):
            return int(refused[1]), refused[2]
        match = re.search(found, said)
        assert match is not None, (code, said)
        return 200, match[1]

    def credits(self) -> Ending:
        code, said = self._ended(*self.suno("credits"), r"credits: (\d+)")
        return code, int(said) if code == 200 else said

    def task(self, task_id: str) -> Ending:
        return self._ended(*self.suno("status", task_id), r"status=(\w+)")

    def tracks(self, task_id: str) -> list[str]:
        """Return the IDs of the tracks that it shows."""
        return re.findall(r"track \d+ id=(\S+)", self.suno("status", task_id)[1])


class KieServer(Client):
    """https://www.npmjs.com/package/@felores/kie-ai-mcp-server: a server for assistants."""

    def task(self, task_id: str) -> Ending:
        said = self._tool("get_task_status", {"task_id": task_id})
        data = (said["api_response"] or {}).get("data")
        return (200, data["status"]) if data else (0, said["message"])

    def _tool(self, name: str, arguments: Mapping[str, str]) -> Any:
        """Call a tool over standard input and output, which stays open until it has answered."""
        script = installed("node_modules/@felores/kie-ai-mcp-server/dist/index.js")
        installed("node_modules/sqlite3/build/Release/node_sqlite3.node")
        hello = {"protocolVersion": "2024-11-05", "capabilities": {}}
        hello |= {"clientInfo": {"name": "tests", "version": "1"}}
        process = subprocess.Popen(
            ["node", script],
            env={
                **clean_environment(self.home),
                "KIE_AI_API_KEY": self.key,
                "KIE_AI_BASE_URL": f"{self.base}/api/v1",
                "KIE_AI_DB_PATH": str(self.home / "tasks.db"),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            for message in (
                {"id": 1, "method": "initialize", "params": hello},
                {"method": "notifications/initialized"},
                {"id": 2, "method": "tools/call", "params": {"name": name, "arguments": arguments}},
            ):
                process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            process.stdin.flush()
            answers = (json.loads(line) for line in process.stdout)
            answer = next(answer for answer in answers if answer.get("id") == 2)
            process.kill()
        return json.loads(answer["result"]["content"][0]["text"])
