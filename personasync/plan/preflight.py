"""What an answer about a task says of the personas that are to be made of it. Pure.

Only what surely contradicts blocks a persona: that the API would refuse it.
Whatever cannot be told is a warning, and blocks nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from personasync.model.diagnostics import Diagnostic, Severity
from personasync.model.persona import PersonaRequest
from personasync.model.spelling import listed, nearest
from personasync.model.steps import Command, NextStep, Option
from personasync.model.tasks import (
    FAILED,
    FINISHED,
    RUNNING,
    CreditAnswer,
    Credits,
    NoRecord,
    Task,
    TaskAnswer,
    Track,
    Unanswered,
    is_too_old,
)
from personasync.model.units import format_duration
from personasync.plan.compute import SPENDING, Action, Plan

_SLACK: Final = 0.5
"""Seconds that a segment may reach beyond its track, whose duration is rounded."""

_MOST_TRACKS: Final = 8


class Verdict(StrEnum):
    """What a check concludes about one persona."""

    OK = "ok"
    RUNNING = "not finished"
    REFUSED = "would be refused"
    UNKNOWN = "cannot be told"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says of one persona; ``diagnostics`` give every reason that there is."""

    action: Action
    verdict: Verdict
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def task_id(self) -> str:
        """The task of the persona."""
        return self.action.persona.request.task_id if self.action.persona else ""

    @property
    def reason(self) -> str:
        """The reasons, without the persona's name."""
        key = f"{self.action.key}: "
        told = (found.message.removeprefix(key) for found in self.diagnostics)
        return "; ".join(told) or str(self.verdict)


@dataclass(frozen=True, slots=True)
class Check:
    """All that a check found; ``credits`` is ``None`` where it was not asked."""

    findings: tuple[Finding, ...]
    credits: CreditAnswer | None = None

    def of(self, verdict: Verdict) -> tuple[Finding, ...]:
        """Return the findings of one verdict."""
        return tuple(each for each in self.findings if each.verdict is verdict)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything that is worth a word, in the order of the plan."""
        told = [found for each in self.findings for found in each.diagnostics]
        return (*told, *self.notes)

    @property
    def notes(self) -> tuple[Diagnostic, ...]:
        """What is worth a word and about no one persona."""
        return tuple(_about_credits(self.credits))


def tasks_to_ask(plan: Plan) -> tuple[str, ...]:
    """Return the tasks of the personas that a plan would create, each once."""
    wanted = (each.persona for each in plan.actions if each.kind in SPENDING and each.persona)
    return tuple(dict.fromkeys(persona.request.task_id for persona in wanted))


def conclude(
    plan: Plan, answers: Mapping[str, TaskAnswer], credits: CreditAnswer | None = None
) -> Check:
    """Say of each persona that a plan would create what the answers about its task mean."""
    findings = (
        examine(action, answers[action.persona.request.task_id])
        for action in plan.actions
        if action.kind in SPENDING and action.persona is not None
    )
    return Check(tuple(findings), credits)


def examine(action: Action, answer: TaskAnswer) -> Finding:
    """Say what an answer about its task means for one persona."""
    if action.persona is None:
        raise ValueError("only a persona of the manifest can be examined")
    request = action.persona.request
    match answer:
        case Task():
            verdict, told = _examined(request, answer)
        case NoRecord(reason=reason):
            verdict, told = Verdict.UNKNOWN, [_no_record(request, reason)]
        case Unanswered(reason=reason):
            message = f"the task {request.task_id!r} could not be looked at: {reason}"
            verdict, told = Verdict.UNKNOWN, [_Said("unanswered", message)]
    grave = Severity.ERROR if verdict is Verdict.REFUSED else Severity.WARNING
    diagnostics = (
        Diagnostic(
            Severity.WARNING if each.mild else grave,
            each.code,
            f"{action.key}: {each.message}",
            action.place,
            each.hint,
        )
        for each in told
    )
    return Finding(action, verdict, tuple(diagnostics))


@dataclass(frozen=True, slots=True)
class _Said:
    """One reason; ``mild`` ones block nothing, whatever else is said."""

    code: str
    message: str
    hint: NextStep | str | None = None
    mild: bool = False


def _examined(request: PersonaRequest, task: Task) -> tuple[Verdict, list[_Said]]:
    if task.status in RUNNING:
        return Verdict.RUNNING, [_running(task)]
    if task.status in FAILED:
        said = f": {task.error}" if task.error else ""
        message = f"the task {task.task_id!r} has failed ({task.status}{said})"
        hint = "there will be no track of it; generate the music again, and name that task"
        return Verdict.REFUSED, [_Said("task-failed", message, hint)]
    track = next((each for each in task.tracks if each.audio_id == request.audio_id), None)
    if track is not None:
        return _of_track(request, task, track)
    if task.status in FINISHED and task.tracks and task.complete:
        return Verdict.REFUSED, [_not_among(request, task)]
    why = "names no track" if task.status in FINISHED else f"says {task.status or 'nothing'}"
    message = f"the API {why} of the task {task.task_id!r}, so the audio cannot be checked"
    return Verdict.UNKNOWN, [_Said("cannot-tell", message)]


def _of_track(request: PersonaRequest, task: Task, track: Track) -> tuple[Verdict, list[_Said]]:
    told = [*_too_old(task, track), *_beyond(request, track)]
    blocks = any(not each.mild for each in told)
    return Verdict.REFUSED if blocks else Verdict.OK, told


def _running(task: Task) -> _Said:
    return _Said(
        "not-finished",
        f"the task {task.task_id!r} is still being generated ({task.status})",
        NextStep(
            "wait until it has finished, or let apply wait: ",
            Command("apply", (), (Option("wait-for-tasks", "10m"),)),
        ),
    )


def _no_record(request: PersonaRequest, reason: str) -> _Said:
    return _Said(
        "no-record",
        f"the API has no record of the task {request.task_id!r} ({reason})",
        "it may be mistyped, another account's, or older than the service keeps records",
    )


def _not_among(request: PersonaRequest, task: Task) -> _Said:
    close = nearest(request.audio_id, [track.audio_id for track in task.tracks])
    tracks = listed([_shown(track) for track in task.tracks], _MOST_TRACKS)
    return _Said(
        "no-such-audio",
        f"the audio {request.audio_id!r} is not in the task {task.task_id!r}",
        (f"did you mean {close!r}? " if close else "") + f"its tracks are {tracks}",
    )


def _shown(track: Track) -> str:
    about = [repr(track.title)] if track.title else []
    about += [format_duration(track.duration)] if track.duration else []
    return track.audio_id + (f" ({', '.join(about)})" if about else "")


def _too_old(task: Task, track: Track) -> Iterator[_Said]:
    if is_too_old(task, track):
        yield _Said(
            "old-model",
            f"the track was made with {task.model or track.model}, a model older than V4",
            "personas are made only of tracks of V4 and newer; use another track",
        )


def _beyond(request: PersonaRequest, track: Track) -> Iterator[_Said]:
    """Compare the segment with the track; the API's own default is no word of the manifest's."""
    if track.duration is None:
        return
    given = {"vocalStart": request.vocal_start, "vocalEnd": request.vocal_end}
    for (field, asked), value in zip(given.items(), request.segment, strict=True):
        if value > track.duration + _SLACK:
            default = " (the default)" if asked is None else ""
            yield _Said(
                "beyond-the-track",
                f"{field} {value:g}{default} is beyond the end of the track, which lasts"
                f" {track.duration:g} s",
                f"choose a segment that ends at {int(track.duration)} or before",
                mild=asked is None,
            )


def _about_credits(answer: CreditAnswer | None) -> Iterator[Diagnostic]:
    match answer:
        case Credits(left=left) if left <= 0:
            yield Diagnostic(
                Severity.WARNING,
                "no-credits",
                "the account has no credits left",
                hint="what a persona costs is not documented; add credits if it is refused (402)",
            )
        case Unanswered(reason=reason):
            yield Diagnostic(
                Severity.WARNING, "unanswered", f"the credits left could not be told: {reason}"
            )
