"""Whether the account of a run equals what happened, as the API and who watched it know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from personasync.engine.events import Account, PersonaResult, Result
from personasync.plan.compute import APPLICABLE, SPENDING, ActionKind, Plan


@dataclass(frozen=True, slots=True)
class Happened:
    """What is known of a run without it.

    ``made`` are the IDs by audio, ``asked`` the audios that it asked for, ``told`` the IDs that it
    showed, by key, ``signals`` what it was sent, and ``unsure`` the audios of which it may have
    known less than there is.
    """

    plan: Plan
    made: Mapping[str, str]
    asked: Collection[str]
    told: Mapping[str, str]
    signals: Collection[int]
    unsure: Collection[str]
    alone: bool
    """Whether nobody else had come to the state, and nobody could hold that this run was gone."""


def faults(account: Account, happened: Happened) -> Iterator[str]:
    """Yield what an account says wrongly."""
    plan = happened.plan
    rows = Counter(row.action.audio_id for row in account.results)
    wanted = Counter(
        action.audio_id
        for action in plan.actions
        if action.kind in APPLICABLE or action.kind is ActionKind.CONFLICT
    )
    if rows != wanted:
        yield f"the account is of {sorted(rows)}, and the plan of {sorted(wanted)}"
    for row in account.results:
        yield from _faults_of_row(row, happened)
    if account.failure is not None:
        yield f"nobody expected {account.failure!r}"
    if account.signal is not None and account.signal not in happened.signals:
        yield f"nobody sent signal {account.signal}"
    if happened.alone and account.stopped and "another run has taken" in account.stopped:
        yield f"nobody else was there, and {account.stopped}"
    if account.exit_code != _exit_code(account):
        yield f"exit {account.exit_code}, complete: {account.complete}"


def _faults_of_row(row: PersonaResult, happened: Happened) -> Iterator[str]:
    action, audio = row.action, row.action.audio_id
    made, asked = happened.made.get(audio), audio in happened.asked
    spends = action.kind in SPENDING
    says = f"the account says of {action.key}: {row.result.name.lower()}"
    match row.result:
        case Result.CREATED if row.entry and row.entry.persona_id != made:
            yield f"{says} as {row.entry.persona_id}, not {made}"
        case Result.CREATED if happened.told.get(action.key) != made:
            yield f"{says}, and it was never shown"
        case Result.CREATED | Result.UNKNOWN if spends and not asked:
            yield f"{says}, and nobody asked for it"
        case Result.FAILED if made and audio not in happened.unsure:
            yield f"{says}, and it is {made}"
        case Result.CONFLICT if spends and (not asked or not made):
            yield f"{says}, and the API says nothing like it"
        case Result.NOT_ATTEMPTED if asked:
            yield f"{says}, and it was asked for"
        case _:
            pass


def _exit_code(account: Account) -> int:
    """Return the exit code that the contract gives."""
    if account.signal is not None:
        return 128 + account.signal
    if all(row.result in _RECORDED and row.rescued is None for row in account.results):
        return 0
    recorded = any(row.result in _RECORDED for row in account.results)
    return 1 if account.refused and not recorded else 3


_RECORDED = (Result.CREATED, Result.IMPORTED, Result.RENAMED)
