"""What check and apply have in common: asking the API, politely, what can be known beforehand."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from personasync.cli.manifests import sourced
from personasync.cli.workspace import Workspace
from personasync.engine.schedule import Window
from personasync.model.errors import ConfigurationError
from personasync.model.spelling import counted
from personasync.model.tasks import CreditAnswer, TaskAnswer, Unanswered
from personasync.plan.compute import Plan
from personasync.plan.preflight import Check, Finding, conclude, tasks_to_ask
from personasync.render.remedies import CHECK_THE_KEY

_LONGEST_PAUSE: Final = 30.0
_SHORT_PAUSE: Final = 1.0
_Answered = TypeVar("_Answered", TaskAnswer, CreditAnswer)


class TaskApi(Protocol):
    """What can be asked without spending anything; never raises for what comes back."""

    def describe(self, task_id: str) -> TaskAnswer:
        """Ask once what the API knows of a task."""

    def credits(self) -> CreditAnswer:
        """Ask once how many credits are left."""


def run_check(workspace: Workspace, plan: Plan, api: TaskApi, window: Window | None) -> Check:
    """Ask about each task that a plan would spend an audio of, once, and about the credits.

    Raises ``ConfigurationError`` where the API does not accept the key.
    """
    tasks = tasks_to_ask(plan)
    if tasks:
        workspace.console.say(f"Asking the API about {counted(len(tasks), 'task')}.")
    _take_turn(window)
    credits = _usable(api.credits())
    answers = ask_about(tasks, api, window)
    check = conclude(plan, answers, credits)
    return replace(check, findings=tuple(_with_sources(check.findings)))


def ask_about(tasks: Iterable[str], api: TaskApi, window: Window | None) -> dict[str, TaskAnswer]:
    """Return what the API says of tasks, inside the rate; once more where it asks for patience."""
    answers: dict[str, TaskAnswer] = {}
    for task_id in tasks:
        _take_turn(window)
        answer = api.describe(task_id)
        if isinstance(answer, Unanswered) and answer.throttled:
            time.sleep(min(_LONGEST_PAUSE, answer.retry_after or _SHORT_PAUSE))
            _take_turn(window)
            answer = api.describe(task_id)
        answers[task_id] = _usable(answer)
    return answers


def _take_turn(window: Window | None) -> None:
    """Wait until a request may leave, and let it."""
    if window is None:
        return
    while (wait := window.free_at(time.monotonic()) - time.monotonic()) > 0:
        time.sleep(wait)
    window.sent(time.monotonic())


def _usable(answer: _Answered) -> _Answered:
    if isinstance(answer, Unanswered) and answer.stops:
        raise ConfigurationError(
            f"the API does not accept the API key: {answer.reason}",
            hint=CHECK_THE_KEY,
        )
    return answer


def _with_sources(findings: Iterable[Finding]) -> Iterable[Finding]:
    findings = list(findings)
    told = [found for each in findings for found in each.diagnostics]
    shown = iter(sourced(told))
    return [
        replace(each, diagnostics=tuple(next(shown) for _ in each.diagnostics)) for each in findings
    ]
