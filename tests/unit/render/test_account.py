"""The account of a run: everyone named, everyone with a way on, one last line."""

import shlex
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.engine.events import Account, PersonaResult, Result
from personasync.model.answer import KeptAnswer
from personasync.model.persona import PersonaRequest
from personasync.model.steps import NextStep, Option
from personasync.plan.compute import Action, ActionKind
from personasync.render.account import render_account, summary_line
from personasync.render.commands import Shell, command_line
from personasync.render.layout import wrap
from personasync.state.entry import Entry, Origin, Status

STATUSES = {
    Result.CREATED: Status.CREATED,
    Result.IMPORTED: Status.CREATED,
    Result.RENAMED: Status.CREATED,
    Result.FAILED: Status.FAILED,
    Result.CONFLICT: Status.CONFLICT,
}


def row(
    key: str,
    result: Result,
    reason: str | None = None,
    rescued: str | None = None,
    **fields: object,
) -> PersonaResult:
    audio_id = f"audio-{key}"
    entry = Entry(
        audio_id,
        key,
        STATUSES.get(result, Status.PENDING),
        request=PersonaRequest("t", audio_id, "Name", "Text"),
        **fields,  # type: ignore[arg-type]
    )
    return PersonaResult(Action(ActionKind.CREATE, key, audio_id), result, entry, reason, rescued)


def test_a_complete_run_needs_one_line() -> None:
    account = Account(
        "run-1",
        (
            row("a", Result.CREATED, persona_id="p1"),
            row("b", Result.CREATED, persona_id="p2"),
            row("c", Result.IMPORTED, persona_id="p3"),
            row("d", Result.RENAMED, persona_id="p4"),
        ),
    )
    assert render_account(account) == "Apply complete: 2 created, 1 imported, 1 renamed.\n"


def test_everything_that_can_happen() -> None:
    account = Account(
        "run-1",
        (
            row("made", Result.CREATED, persona_id="p1"),
            row("f1", Result.FAILED, "the API answered 404: no such task", code=404),
            row("f2", Result.FAILED, "the API answered 404: no such task", code=404),
            row("f3", Result.FAILED, "the API answered 404: no such audio", code=404),
            row("net", Result.FAILED, "connection refused"),
            row("c1", Result.CONFLICT, "this audio made a persona somewhere else"),
            row("c2", Result.CONFLICT, "this audio made a persona somewhere else"),
            row(
                "u1",
                Result.UNKNOWN,
                "the answer was cut off",
                answer=KeptAnswer.of_text('{"personaId" : "p9", "na'),
            ),
            row("u2", Result.UNKNOWN, "the API answered 500"),
            row("u3", Result.UNKNOWN, "the API answered 422: too old", code=422),
            row("n1", Result.NOT_ATTEMPTED, "the API answered 401: bad key"),
            row("n2", Result.NOT_ATTEMPTED, "the API answered 401: bad key"),
        ),
        stopped="the API answered 401: bad key",
        refused=True,
    )
    assert (
        render_account(account, shell=Shell(state="my state.jsonl"))
        == """\
Stopped: the API answered 401: bad key

Failed: the API knows no such task or audio (404). Nothing was made.
  To mend it: check taskId and audioId; the task must be complete, and made with model V4 or newer,
    then run `personasync apply --state 'my state.jsonl'` again.
  the API answered 404: no such task:
    f1, f2
  the API answered 404: no such audio:
    f3

Failed: no request reached the API, and nothing was made.
  To mend it: check the network, the proxy and the base URL, then run
    `personasync apply --state 'my state.jsonl'` again.
  connection refused:
    net

In conflict: a persona of this audio exists, but its ID is not known.
  To mend it: find the ID where the persona was made, or in an older copy of the state, and record
    it; or use another audio. Many are recorded at once, from a table or an older copy of the state,
    by `personasync import --from FILE --state 'my state.jsonl'`.
  this audio made a persona somewhere else:
    personasync import c1 PERSONA_ID --state 'my state.jsonl'
    personasync import c2 PERSONA_ID --state 'my state.jsonl'

Unknown: a request was sent, and no answer told whether the persona was made.
  To mend it: run `personasync apply --state 'my state.jsonl'` again: it asks again, and makes no
    second persona. That brings the ID, unless the API then only says that the persona exists (409):
    its ID is lost at the API's side. What never gets an answer is left out with `--exclude KEY`.
  the answer was cut off:
    u1
    personasync import u1 p9 --state 'my state.jsonl'
    received and kept (u1): an answer: {"personaId" : "p9", "na
  the API answered 500:
    u2

Unknown: the API refuses it now, but an earlier request may have made the persona.
  To mend it: correct what it refuses, then run `personasync apply --state 'my state.jsonl'` again;
    or, if the persona surely does not exist, give it up with
    `personasync state rm KEY --force --state 'my state.jsonl'`.
  the API answered 422: too old:
    u3

Not attempted.
  To mend it: settle what stopped the run, then run `personasync apply --state 'my state.jsonl'`
    again.
  the API answered 401: bad key:
    n1, n2

Apply incomplete: 1 created, 4 failed, 2 in conflict, 3 unknown, 2 not attempted.
"""
    )


def test_an_id_that_is_not_in_the_state_comes_first_with_the_command_that_records_it() -> None:
    account = Account(
        "run-1",
        (
            row("kept", Result.CREATED, rescued="personas.state.jsonl.rescue", persona_id="p1"),
            row("lost", Result.CREATED, rescued="", persona_id="p2"),
        ),
        stopped="cannot write the state: no space left on device",
        refused=True,
    )
    assert (
        render_account(account)
        == """\
Stopped: cannot write the state: no space left on device

NOT IN THE STATE, which could not be written, and kept nowhere but here.
  To mend it: copy these lines now; once the state can be written, run them.
    personasync import lost p2

Not in the state, which could not be written; kept in personas.state.jsonl.rescue.
  To mend it: make the state writable again; the next run takes them in by itself, or record them
    now.
    personasync import kept p1

Apply incomplete: 2 created, 0 failed, 0 in conflict, 0 unknown, 0 not attempted.
"""
    )


def test_an_answer_that_is_nowhere_but_here_is_shown_with_the_id_in_it() -> None:
    answer = KeptAnswer.of_text('{"data": {"personaId": "id-7"}')
    account = Account("r", (row("a", Result.UNKNOWN, rescued="", answer=answer),))
    text = render_account(account)
    assert "NOT IN THE STATE" in text
    assert "    personasync import a id-7\n" in text
    assert '    received (a): an answer: {"data": {"personaId": "id-7"}\n' in text


@pytest.mark.parametrize(
    ("number", "stopped", "line"),
    [
        (2, "interrupted by SIGINT", "Interrupted by SIGINT."),
        (15, None, "Interrupted by SIGTERM."),
        (2, "the API answered 402", "Interrupted by SIGINT: the API answered 402"),
        (200, None, "Interrupted by signal 200."),
    ],
)
def test_an_interrupted_run_says_so_first(number: int, stopped: str | None, line: str) -> None:
    account = Account("r", (row("a", Result.NOT_ATTEMPTED),), stopped=stopped, signal=number)
    assert render_account(account) == (
        f"{line}\n\nNot attempted.\n  To mend it: run `personasync apply` again.\n    a\n\n"
        "Apply incomplete: 0 created, 0 failed, 0 in conflict, 0 unknown, 1 not attempted.\n"
    )


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (401, "the API does not accept the API key (401)"),
        (402, "the account has no credits left (402)"),
        (404, "the API knows no such task or audio (404)"),
        (413, "a text is too long for the API (413)"),
        (422, "a value did not pass the API's checks (422)"),
        (429, "the account has no credits left (429)"),
        (451, "the API could not fetch the audio (451)"),
        (418, "the API refused it (418)"),
    ],
)
def test_a_code_is_said_in_words(code: int, meaning: str) -> None:
    account = Account("r", (row("a", Result.FAILED, "msg", code=code),))
    assert render_account(account).startswith(f"Failed: {meaning}. Nothing was made.\n  To")


def test_the_answer_to_an_earlier_request_may_show_the_id_too() -> None:
    answered = Entry(
        "audio", "a", Status.PENDING, answer=KeptAnswer.of_text('{"data":{"personaId":"p-7"}')
    )
    action = Action(ActionKind.RESUME, "a", "audio", entry=answered)
    account = Account("r", (PersonaResult(action, Result.CONFLICT),))
    assert "    personasync import a p-7\n" in render_account(account)


@pytest.mark.parametrize(
    "answer",
    [
        '{"personaId": ""}',
        f'{{"personaId": "{"a" * 257}"}}',
    ],
)
def test_an_answer_that_shows_no_one_usable_id_offers_none(answer: str) -> None:
    account = Account("r", (row("a", Result.CONFLICT, answer=KeptAnswer.of_text(answer)),))
    assert "    personasync import a PERSONA_ID\n" in render_account(account)


def test_every_id_that_an_answer_shows_is_offered() -> None:
    answer = KeptAnswer.of_text('{"personaId": "id-1"} {"persona_id": "id-2"}')
    text = render_account(Account("r", (row("a", Result.CONFLICT, answer=answer),)))
    assert "    personasync import a id-1\n    personasync import a id-2\n" in text


def test_what_is_lost_is_told_apart_from_what_was_made_elsewhere() -> None:
    account = Account(
        "r",
        (
            row("ours", Result.CONFLICT, "the API answered 409", code=409, after_pending=True),
            row("theirs", Result.CONFLICT, "the API answered 409", code=409, after_pending=False),
            row(
                "named",
                Result.CONFLICT,
                "the API answered 422",
                code=422,
                answer=KeptAnswer.of_text('{"data": {"personaId": "id-7"}}'),
            ),
        ),
        stopped="answers do not arrive",
        next_step=NextStep("let them take longer with ", Option("read-timeout", "30m")),
    )
    assert (
        render_account(account)
        == """\
Stopped: answers do not arrive
  To mend it: let them take longer with `--read-timeout 30m`.

In conflict: the persona exists, and its ID is lost at the API's side: a request of ours made it,
  most likely, and its answer did not arrive.
  To mend it: asking again cannot bring the ID. If you find it at the service, record it; or use
    another audio. Many are recorded at once, from a table or an older copy of the state, by
    `personasync import --from FILE`.
  the API answered 409:
    personasync import ours PERSONA_ID

In conflict: a persona of this audio exists, but its ID is not known.
  To mend it: find the ID where the persona was made, or in an older copy of the state, and record
    it; or use another audio. Many are recorded at once, from a table or an older copy of the state,
    by `personasync import --from FILE`.
  the API answered 409:
    personasync import theirs PERSONA_ID

In conflict: the API refused, but its answer names an ID, so a persona may exist.
  To mend it: see at the service whether the ID is this persona's; if it is, record it.
  the API answered 422:
    personasync import named id-7
    received and kept (named): an answer: {"data": {"personaId": "id-7"}}

Apply incomplete: 0 created, 0 failed, 3 in conflict, 0 unknown, 0 not attempted.
"""
    )


def test_two_ids_that_are_recorded_are_both_offered() -> None:
    first = Entry("audio", "a", Status.CREATED, persona_id="id-1")
    second = Entry("audio", "a", Status.CREATED, persona_id="id-2")
    entry = replace(second, rivals=(first, second), status=Status.CONFLICT, persona_id=None)
    action = Action(ActionKind.CONFLICT, "a", "audio", entry=entry)
    text = render_account(Account("r", (PersonaResult(action, Result.CONFLICT, entry),)))
    assert text.startswith("In conflict: more than one ID is recorded for one audio.\n")
    for persona_id in ("id-1", "id-2"):
        assert f"    personasync import a {persona_id} --force\n" in text


def test_what_is_recorded_and_still_worth_a_look() -> None:
    two = KeptAnswer.of_text('{"personaId": "id-1"} {"personaId": "id-9"}')
    account = Account(
        "r",
        (
            row("two", Result.CREATED, persona_id="id-1", answer=two),
            row("known", Result.CREATED, persona_id="id-2", origin=Origin.CONFLICT),
        ),
    )
    assert (
        render_account(account, news=NextStep("The IDs are in s.jsonl."))
        == """\
Warning: more than one ID came for one audio; the last is recorded, and the others are kept with its
  entry.
  To mend it: find out at the service which is right; each of these records another instead.
    personasync import two id-9 --force
    received and kept (two): an answer: {"personaId": "id-1"} {"personaId": "id-9"}

Recorded from a conflict: the persona existed already, and the API's answer (409) named its ID.
    known

The IDs are in s.jsonl.

Apply complete: 2 created, 0 imported, 0 renamed.
"""
    )


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("the task is not finished yet", "wait until the task"),
        ("Task not ready", "wait until the task"),
        ("任务未完成", "wait until the task"),
        ("name is too short", "correct the entry"),
    ],
)
def test_an_unfinished_task_is_no_fault_of_the_manifest(message: str, advice: str) -> None:
    reason = f"the API answered 422: {message}"
    account = Account("r", (row("a", Result.FAILED, reason, code=422),))
    assert f"To mend it: {advice}" in render_account(account)


def test_thousands_are_named_without_a_line_each() -> None:
    keys = [f"persona-{number}" for number in range(3_000)]
    account = Account("r", tuple(row(key, Result.NOT_ATTEMPTED, "stopped") for key in keys))
    lines = render_account(account).splitlines()
    assert len(lines) < 500
    assert max(map(len, lines)) <= 100
    assert " ".join(lines[3:-2]).replace(",", "").split() == keys


def test_color_adds_nothing_but_color() -> None:
    account = Account("r", (row("a", Result.NOT_ATTEMPTED),))
    colored = render_account(account, color=True)
    assert colored.startswith("\x1b[1mNot attempted.\x1b[0m\n")
    assert colored.endswith(f"\x1b[33m{summary_line(account)}\x1b[0m\n")


hostile = st.text(st.characters(), min_size=1, max_size=30) | st.sampled_from(
    ["::error::x", "\n::add-mask::x", "##[group]x", "\x1b[2J", "\u202e", "\ud800"]
)


@given(hostile, hostile, st.sampled_from(Result), st.none() | hostile)
def test_no_text_steers_a_terminal_or_a_log(
    key: str, reason: str, result: Result, rescued: str | None
) -> None:
    account = Account(
        "r", (row(key, result, reason, rescued, persona_id=reason),), stopped=reason, signal=15
    )
    text = render_account(account)
    text.encode()
    assert all(ch == "\n" or ch.isprintable() or ord(ch) >= 160 for ch in text)
    assert not any(line.lstrip().startswith("::") for line in text.split("\n"))
    assert "##[" not in text
    assert text.splitlines()[-1] == summary_line(account)


@given(st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=20))
def test_a_printed_command_means_the_key_it_names(key: str) -> None:
    command = command_line("import", key, "p 1", options=("--state", "a b"))
    assert command.isprintable()
    if key.isprintable():
        words = shlex.split(command)
        assert words[:2] == ["personasync", "import"]
        assert [word for word in words[2:] if word != "--" or key == "--"].count(key) >= 1


@pytest.mark.parametrize("key", ["a\x1b[31m'b\\", "two\nlines", "it's", "-rf", "$HOME"])
def test_a_shell_reads_a_printed_key_as_it_is(key: str) -> None:
    printed = command_line("import", key, "p1").replace("personasync import", "printf '%s|'")
    shown = subprocess.run(["bash", "-c", printed], capture_output=True, check=True).stdout
    assert shown == f"{'--|' if key.startswith('-') else ''}{key}|p1|".encode()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("one two three", ["  one two", "    three"]),
        ("夜の歌 夜の歌", ["  夜の歌", "    夜の歌"]),
        ("aaaaaaaaaaaaaaaa b", ["  aaaaaaaaaaaaaaaa", "    b"]),
    ],
)
def test_lines_break_between_words(text: str, lines: list[str]) -> None:
    assert wrap(text, 11, indent="  ", hanging="    ") == lines


def test_one_id_for_several_audios_is_a_warning() -> None:
    account = Account(
        "run-1",
        (row("a", Result.CREATED, persona_id="p1"), row("b", Result.CREATED, persona_id="p1")),
        repeated={"p1": ("a", "b")},
    )
    assert (
        render_account(account)
        == """\
Warning: the API gave one ID to several audios; it is recorded for each of them.
  To mend it: find out at the service whose it is; `personasync import KEY ID --force` corrects one.
    p1: a, b

Apply complete: 2 created, 0 imported, 0 renamed.
"""
    )
