"""Several commands on one state at once."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from typing import Any

import pytest

from personasync.sandbox import SandboxConfig
from personasync.state import FileStateLog
from tests.helpers.sandbox import Sandbox
from tests.helpers.support import Tool
from tests.helpers.waiting import HANG, answers_held, wait_for

pytestmark = pytest.mark.slow


def environment(sandbox: Sandbox) -> dict[str, str]:
    return {"PERSONASYNC_BASE_URL": sandbox.base_url, "PERSONASYNC_API_KEY": "any"}


APPLY = ("apply", "--auto-approve", "--rate-limit=none")


def test_many_runs_on_one_state_make_each_persona_once(tool: Tool) -> None:
    tool.manifest(20)
    with Sandbox() as sandbox, answers_held() as held:
        runs = [tool.start(*APPLY, env=environment(sandbox)) for _ in range(6)]
        wait_for(lambda: sum(run.poll() == 4 for run in runs) == 5, "the end of all but one")
        held.let()
        for run in runs:
            run.communicate(timeout=HANG)
        assert sorted(run.returncode for run in runs) == [0, 4, 4, 4, 4, 4]
        assert all(asked == 1 for asked in sandbox.statistics().audios.values())
        assert len(sandbox.personas()) == 20


def test_runs_that_wait_take_their_turn(tool: Tool) -> None:
    tool.manifest(10)
    with Sandbox(SandboxConfig(latency=0.05)) as sandbox:
        with FileStateLog(tool.folder / "personas.state.jsonl", api=None).lock():
            waiting: dict[str, Any] = {"env": environment(sandbox), "bufsize": 0}
            runs = [tool.start(*APPLY, "--lock-timeout=5m", **waiting) for _ in range(4)]
            for run in runs:
                said = run.stderr.readline().decode()
                assert "Waiting for the state" in said
                assert f"pid {os.getpid()}" in said
            assert sandbox.statistics().requests == 0
        for run in runs:
            run.communicate(timeout=HANG)
        assert [run.returncode for run in runs] == [0, 0, 0, 0]
        assert list(sandbox.statistics().audios.values()) == [1] * 10


def test_a_living_holder_is_named_and_a_dead_one_does_not_block(tool: Tool) -> None:
    tool.manifest(4)
    with Sandbox() as sandbox, answers_held():
        holder = tool.start(*APPLY, env=environment(sandbox))
        wait_for(lambda: sandbox.statistics().requests >= 4, "the fourth request")
        refused = tool(*APPLY, env=environment(sandbox))
        assert refused.code == 4
        assert f"pid {holder.pid}" in refused.stderr
        assert "--lock-timeout" in refused.stderr
        assert refused.stdout == ""
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    again = SandboxConfig(port=sandbox.port, repeat="same-id")
    with Sandbox(again) as sandbox:
        assert tool(*APPLY, env=environment(sandbox)).code == 0


def test_plan_and_output_read_while_an_apply_writes(tool: Tool) -> None:
    tool.manifest(60)
    with Sandbox() as sandbox, answers_held() as held:
        writer = tool.start(*APPLY, "--parallelism=2", env=environment(sandbox))
        seen = []

        def has_made(count: int) -> bool:
            return sandbox.statistics().made == count

        for step in range(10):  # five more are written while both read
            wait_for(partial(has_made, 5 * step + 2), "a request")
            held.let(5)
            plan = tool("plan", "--format=json", env=environment(sandbox))
            output = tool("output", "--format=json", env=environment(sandbox))
            assert (plan.code, output.code) == (0, 0), plan.stderr + output.stderr
            seen.append(len(json.loads(output.stdout)))
            assert 5 * step <= seen[-1] <= 5 * step + 5, "a reader saw an ID go away"
        assert writer.poll() is None
        held.let()
        writer.communicate(timeout=HANG)
        assert writer.returncode == 0
        assert tool("plan", env=environment(sandbox)).last_line.startswith("No changes.")
