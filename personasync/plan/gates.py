"""What looks at a finished plan: narrows it, or refuses it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from personasync.model.errors import PlanError
from personasync.model.spelling import counted, listed, nearest, plural
from personasync.model.steps import Command, NextStep, Option
from personasync.plan.compute import ATTENTION, SPENDING, Plan


def select(plan: Plan, targets: Sequence[str], excludes: Sequence[str] = ()) -> Plan:
    """Keep the actions whose keys match a target, if there are any, and no exclude.

    Both are keys or globs. Raises ``PlanError`` for one that matches nothing,
    since a slip of the finger must not pass for "nothing to do".
    """
    keys = {action.key for action in plan.actions}
    for pattern in (*targets, *excludes):
        if not any(fnmatchcase(key, pattern) for key in keys):
            close = nearest(pattern, keys)
            raise PlanError(
                f"no persona matches {pattern!r}",
                hint=f"did you mean {close!r}?"
                if close
                else NextStep("the whole plan shows the keys there are: ", Command("plan")),
            )
    kept = tuple(
        action
        for action in plan.actions
        if (not targets or _matches(action.key, targets)) and not _matches(action.key, excludes)
    )
    left_out = plan.left_out + len(plan.actions) - len(kept)
    return replace(plan, actions=kept, left_out=left_out)


def refuse_unsafe(
    plan: Plan, *, strict: Option | None = None, max_creates: int | None = None
) -> None:
    """The gate that looks at a finished plan; raises ``PlanError`` where it does not pass.

    ``strict`` refuses what needs attention, and is the option that asks for it;
    ``max_creates`` a plan that could spend more.
    """
    spends = sum(action.kind in SPENDING for action in plan.actions)
    if max_creates is not None and spends > max_creates:
        raise PlanError(
            f"the plan would create {counted(spends, 'persona')},"
            f" and at most {max_creates} are allowed",
            hint=NextStep(
                "raise ",
                Option("max-creates"),
                " (or settings.maxCreates), or choose some with ",
                Option("target"),
            ),
        )
    attention = [action for action in plan.actions if action.kind in ATTENTION]
    if strict and attention:
        keys = listed([f"{action.key} ({action.kind})" for action in attention], 5)
        need = plural(len(attention), "needs", "need")
        raise PlanError(
            f"{len(attention)} of the plan's rows {need} attention: {keys}",
            hint=NextStep("settle them, or leave out ", strict),
        )


def _matches(key: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
