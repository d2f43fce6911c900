"""Several commands on one state at once."""

from __future__ import annotations

import json
import signal
import time

import pytest

from personasync.sandbox import Sandbox, SandboxConfig
from tests.support import Tool

pytestmark = pytest.mark.slow


def environment(sandbox: Sandbox) -> dict[str, str]:
    return {"PERSONASYNC_BASE_URL": sandbox.base_url, "PERSONASYNC_API_KEY": "any"}


APPLY = ("apply", "--auto-approve", "--rate-limit=none")


def test_many_runs_on_one_state_make_each_persona_once(tool: Tool) -> None:
    tool.manifest(20)
    with Sandbox(SandboxConfig(latency=0.05)) as sandbox:
        runs = [tool.start(*APPLY, env=environment(sandbox)) for _ in range(6)]
        for run in runs:
            run.communicate(timeout=60)
        codes = [run.returncode for run in runs]
        assert set(codes) <= {0, 4}
        assert 0 in codes
        assert all(asked == 1 for asked in sandbox.statistics().audios.values())
        assert len(sandbox.personas()) == 20


def test_runs_that_wait_take_their_turn(tool: Tool) -> None:
    tool.manifest(10)
    with Sandbox(SandboxConfig(latency=0.05)) as sandbox:
        waiting = ("--lock-timeout=60s",)
        runs = [tool.start(*APPLY, *waiting, env=environment(sandbox)) for _ in range(4)]
        said = [run.communicate(timeout=60)[1].decode() for run in runs]
        assert [run.returncode for run in runs] == [0, 0, 0, 0]
        assert sum("Waiting for the state" in text and "pid" in text for text in said) >= 1
        assert all(asked == 1 for asked in sandbox.statistics().audios.values())


def test_a_living_holder_is_named_and_a_dead_one_does_not_block(tool: Tool) -> None:
    tool.manifest(4)
    with Sandbox(SandboxConfig(latency=20)) as sandbox:
        holder = tool.start(*APPLY, env=environment(sandbox))
        _wait_for(lambda: sandbox.statistics().requests >= 4)
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
    with Sandbox(SandboxConfig(latency=0.05)) as sandbox:
        writer = tool.start(*APPLY, "--parallelism=2", env=environment(sandbox))
        seen = []
        while writer.poll() is None:
            plan = tool("plan", "--format=json", env=environment(sandbox))
            output = tool("output", "--format=json", env=environment(sandbox))
            assert (plan.code, output.code) == (0, 0), plan.stderr + output.stderr
            seen.append(len(json.loads(output.stdout)))
        writer.communicate()
        assert writer.returncode == 0
        assert seen == sorted(seen), "a reader saw an ID go away"
        assert tool("plan", env=environment(sandbox)).last_line.startswith("No changes.")


def _wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
