"""Why a run ends before its plan does: what going on would cost or could not bring. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from personasync.engine.attempt import Attempt, reason_of
from personasync.model.contract import EXISTS_CODE
from personasync.model.outcome import Conflict, Moved, NotSent, Outcome, Refused, Throttled, Unclear
from personasync.model.steps import Command, NextStep, Option
from personasync.model.units import format_duration


@dataclass(frozen=True, slots=True)
class Stop:
    """Why nothing new is sent, and what to change; ``refused``: the reason would stop any run."""

    reason: str
    refused: bool = False
    next_step: NextStep | None = None


def after_answer(outcome: Outcome, attempt: Attempt, *, alike: bool) -> Stop | None:
    """Return why nothing more should be sent after an answer, or ``None``.

    ``alike`` says that this run has met nothing but one and the same refusal.
    """
    match outcome:
        case Moved(location=location):
            return Stop(reason_of(outcome), True, _moved(location))
        case Refused(stops_run=True) | Conflict(stops_run=True) | NotSent(stops_run=True):
            return Stop(reason_of(outcome), True)
        case Conflict(code=code) if code == EXISTS_CODE and attempt.unanswered:
            reason = (
                f"the API made the persona of {attempt.persona.key!r} for a request whose"
                " answer did not arrive; what else is asked could be lost in the same way"
            )
            return Stop(reason, next_step=_LOSING)
        case _ if alike:
            reason = f"the API gives every persona the same refusal: {reason_of(outcome)}"
            return Stop(reason, True, _ALIKE)
    return None


def after_giving_up(outcome: Outcome) -> Stop:
    """Say what personas met whose retries came to nothing."""
    if isinstance(outcome, Throttled):
        return Stop(_asked_to_wait(outcome))
    late = isinstance(outcome, Unclear) and outcome.late
    reason = f"the API gives no usable answer: {reason_of(outcome)}"
    return Stop(reason, next_step=_LOSING if late else _NO_ANSWER)


def unexpected(error: BaseException) -> str:
    """Say an error that nobody expected, without its words: they may hold anything."""
    return f"unexpected error: {type(error).__name__}"


def _asked_to_wait(outcome: Throttled) -> str:
    if outcome.retry_after is None:
        return f"the API goes on saying that it is asked too often ({outcome.code})"
    wait = format_duration(outcome.retry_after)
    return f"the API asks to wait {wait}, longer than this run goes on asking ({outcome.code})"


def _moved(location: str | None) -> NextStep:
    if location is None:
        return NextStep("find out where the API is now, and name it with ", Option("base-url"))
    return NextStep(
        "if that is the service's new address, move the state there: ",
        Command("state set-api", (location,)),
        "; then apply with ",
        Option("base-url", location),
    )


_LOSING: Final = NextStep(
    "let answers take longer, such as with ",
    Option("read-timeout", "30m"),
    ", and see whether a proxy or a gateway on the way ends requests sooner",
)
_ALIKE: Final = NextStep(
    "check the base URL, and that the API key is of the account that made the tracks"
)
_NO_ANSWER: Final = NextStep(
    "see whether the service is up, and the base URL its own; where it is only slow, let answers"
    " take longer with ",
    Option("read-timeout"),
    "; what never gets an answer is left out with ",
    Option("exclude"),
)
