"""Entries listed and shown: whole outputs, and a manifest entry that can be put back."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from personasync.manifest.load import load_manifest
from personasync.model.answer import KeptAnswer
from personasync.model.persona import PersonaRequest
from personasync.plan.compute import changes_between
from personasync.render.commands import Shell
from personasync.render.entries import LIST_FORMATS, SHOW_FORMATS, Shown
from personasync.render.safe import printable
from personasync.state.codec import entry_to_json
from personasync.state.entry import Entry, Origin, Status

SENT = PersonaRequest("task-1", "audio-1", "Neon", "A bright voice with wide synths")
CREATED = Entry(
    "audio-1",
    "neon",
    Status.CREATED,
    "id-1",
    Origin.APPLY,
    at="2026-11-22T10:00:00Z",
    run="run-1",
    request=SENT,
)
PENDING = Entry("audio-2", "夜", Status.PENDING, at="2026-11-22T10:00:01Z", run="run-1")


def text(entry: Entry, **more: object) -> str:
    return SHOW_FORMATS["text"](Shown(entry, shell=Shell(state="my state"), **more))  # type: ignore[arg-type]


def test_a_list_aligns_whatever_the_script() -> None:
    assert LIST_FORMATS["text"]([CREATED, PENDING], False, None) == (
        "neon  created  id-1  audio-1\n夜    pending  -     audio-2\n"
    )
    assert LIST_FORMATS["text"]([], False, None) == "No entries.\n"


def test_a_list_that_is_too_wide_gives_each_id_its_line() -> None:
    apart = "neon  created\n    id-1\n    audio-1\n夜    pending\n    -\n    audio-2\n"
    assert LIST_FORMATS["text"]([CREATED, PENDING], False, 27) == apart
    assert LIST_FORMATS["text"]([CREATED, PENDING], False, 28).count("\n") == 2


def test_colour_adds_nothing_but_colour() -> None:
    forgotten = Entry("audio-3", "old", Status.FORGOTTEN, "id-3")
    colored = LIST_FORMATS["text"]([CREATED, PENDING, forgotten], True, None)
    assert "neon  \x1b[32mcreated  \x1b[0m  id-1" in colored
    assert re.sub(r"\x1b\[\d*m", "", colored) == LIST_FORMATS["text"](
        [CREATED, PENDING, forgotten], False, None
    )


def test_json_is_what_the_state_has() -> None:
    assert json.loads(LIST_FORMATS["json"]([CREATED, PENDING], True, None)) == [
        entry_to_json(CREATED),
        entry_to_json(PENDING),
    ]
    assert json.loads(SHOW_FORMATS["json"](Shown(CREATED, (PENDING, CREATED)))) == {
        **entry_to_json(CREATED),
        "history": [entry_to_json(PENDING), entry_to_json(CREATED)],
    }


def test_all_that_is_known_of_a_persona() -> None:
    before = Entry("audio-1", "siren", Status.PENDING, at="2026-11-22T09:59:59Z")
    undated = Entry("audio-1", "siren", Status.FAILED, message="too long")
    assert text(CREATED, history=(before, undated, CREATED)) == (
        "neon\n"
        "  status:    created\n"
        "  personaId: id-1\n"
        "  origin:    apply\n"
        "  audioId:   audio-1\n"
        "  at:        2026-11-22T10:00:00Z\n"
        "  run:       run-1\n"
        "\n"
        "As a manifest entry:\n"
        "\n"
        "  neon:\n"
        "    taskId: task-1\n"
        "    audioId: audio-1\n"
        "    name: Neon\n"
        "    description: A bright voice with wide synths\n"
        "\n"
        "History:\n"
        "  2026-11-22T09:59:59Z pending   siren\n"
        "  -                    failed    siren  too long\n"
        "  2026-11-22T10:00:00Z created   neon  id-1\n"
    )


OURS = (
    "its persona exists, made most likely by a request of ours whose answer never arrived; the API"
    " gives an ID only once"
)
FOREIGN = (
    "its persona exists, made elsewhere or by a run whose state is lost; the API gives an ID only"
    " once"
)


@pytest.mark.parametrize(
    ("entry", "name", "said"),
    [
        (
            Entry("audio-1", "neon", Status.CONFLICT, code=409, after_pending=True),
            None,
            f"  why:       {OURS}\n"
            "  mend it:   use another audio, or find its ID where it was made, or in an older copy"
            " of the state, and record it:"
            " personasync import neon PERSONA_ID --state 'my state'\n",
        ),
        (
            Entry(
                "audio-1",
                "neon",
                Status.CONFLICT,
                answer=KeptAnswer.of_text('{"personaId": "id-9"'),
            ),
            "audio-1",
            f"  why:       {FOREIGN}\n"
            "  mend it:   use another audio, or record the ID that a kept answer shows:"
            " personasync import audio-1 id-9 --state 'my state'\n",
        ),
        (
            Entry("audio-1", "neon", Status.FORGOTTEN, code=409),
            None,
            f"  why:       {FOREIGN}\n"
            "  mend it:   use another audio, or find its ID where it was made, or in an older copy"
            " of the state, and record it:"
            " personasync import neon PERSONA_ID --state 'my state'\n",
        ),
        (
            Entry("audio-1", "neon", Status.PENDING),
            None,
            "  why:       a request was about to be sent, and its outcome is unknown\n"
            "  mend it:   with it in the manifest: personasync apply --state 'my state'\n"
            "             (it asks again, which spends nothing twice: an audio makes a persona only"
            " once, though the API need not tell its ID again)\n"
            "  or:        if you know the ID:"
            " personasync import neon PERSONA_ID --state 'my state'\n",
        ),
        (
            Entry("audio-1", "neon", Status.FORGOTTEN, "id-1"),
            None,
            "  why:       dropped from view; back in the manifest, it needs no request\n",
        ),
        (Entry("audio-1", "neon", Status.FAILED, code=422, message="no"), None, "message:   no\n"),
        (Entry("audio-1", "neon", Status.FORGOTTEN), None, "  audioId:   audio-1\n"),
    ],
)
def test_what_is_not_settled_says_why_and_what_mends_it(
    entry: Entry, name: str | None, said: str
) -> None:
    shown = text(entry, name=name)
    assert shown.endswith(said)
    assert ("mend it" in shown) == ("mend it" in said)


def test_what_was_not_recorded_is_not_made_up() -> None:
    unknown = Entry("audio-1", "neon", Status.CREATED, "id-1", Origin.IMPORT)
    assert SHOW_FORMATS["manifest"](Shown(unknown)) == (
        "  # what was sent for neon is not recorded\n"
    )
    assert "As a manifest entry" not in text(unknown)


def test_nothing_steers_a_terminal_or_a_log() -> None:
    nasty = "x\x1b[31m\n::error::\u202ey ##[group]"
    request = PersonaRequest("task-1", "audio-1", nasty, f"::add-mask::a {'word ' * 30}::b {nasty}")
    entry = Entry(
        nasty,
        f"::{nasty}",
        Status.FAILED,
        request=request,
        message=nasty,
        answer=KeptAnswer.of_text(nasty),
        at=nasty,
    )
    for shown in (
        LIST_FORMATS["text"]([entry], False, None),
        LIST_FORMATS["json"]([entry], False, None),
        *(render(Shown(entry, (entry, entry))) for render in SHOW_FORMATS.values()),
    ):
        assert not re.search(r"^\s*::|##\[", shown, re.M)
        assert all(printable(line) == line for line in shown.split("\n"))


SHOWN = st.characters(exclude_categories=["Cs", "Cc"])
LINE = st.text(SHOWN, min_size=1, max_size=60).filter(str.strip)
PROSE = st.text(st.one_of(SHOWN, st.sampled_from("\n\t #:-'\"&*![]{}%@`")), max_size=300)
SECONDS = st.none() | st.integers(0, 10**6) | st.floats(0, 1e6)
REQUESTS = st.builds(
    PersonaRequest,
    task_id=st.from_regex(r"[!-~]{1,40}", fullmatch=True),
    audio_id=st.from_regex(r"[!-~]{1,40}", fullmatch=True),
    name=LINE,
    description=PROSE.map(lambda prose: f"{prose}a bright voice with wide synths{prose}"),
    vocal_start=SECONDS,
    vocal_end=SECONDS,
    style=st.none() | LINE,
)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True), REQUESTS)
def test_what_is_shown_says_just_what_was_sent(key: str, request: PersonaRequest) -> None:
    shown = SHOW_FORMATS["manifest"](Shown(Entry("a", key, Status.CREATED, "p", request=request)))
    assert not re.search(r"^\s*::|##\[", shown, re.M)
    assert yaml.safe_load(shown) == {key: request.to_json()}


@pytest.mark.parametrize("key", ["neon", "123", "no", "1e3", "0x1F", "12.30", "null", "2026-11-22"])
@pytest.mark.parametrize("name", ["no", "123", "12:30", "~", "- x", "# y", "a: b", "'", "é 歌 ✨"])
def test_what_is_shown_can_be_put_back(tmp_path: Path, key: str, name: str) -> None:
    sent = PersonaRequest(
        "0123",
        "1_000",
        name,
        "  Two lines, \n::error::the second of which is long" + " and long" * 30 + "\n\n",
        vocal_start=0.1,
        vocal_end=20,
    )
    wanted = PersonaRequest("t", "a", "n", "d", 1, 2, "Pop")
    shown = SHOW_FORMATS["manifest"](
        Shown(Entry("1_000", key, Status.CREATED, "p", request=sent), wanted=wanted)
    )
    path = tmp_path / "personas.yaml"
    path.write_text(f"version: 1\npersonas:\n{shown}", encoding="utf-8")
    [persona] = load_manifest([str(path)]).personas
    assert (persona.key, changes_between(sent, persona.request)) == (key, ())


@pytest.mark.parametrize(
    ("wanted", "more"),
    [
        (None, ""),
        (PersonaRequest("t", "a", "n", "d"), ""),
        (PersonaRequest("t", "a", "n", "d", vocal_start=5), "    vocalStart: 0\n"),
        (
            PersonaRequest("t", "a", "n", "d", vocal_end=20, style="Pop"),
            "    vocalEnd: 30\n    # no style was sent: take it out of this file's defaults, too\n",
        ),
    ],
)
def test_what_defaults_would_add_is_spelled_out(wanted: PersonaRequest | None, more: str) -> None:
    assert SHOW_FORMATS["manifest"](Shown(CREATED, wanted=wanted)) == (
        "  neon:\n"
        "    taskId: task-1\n"
        "    audioId: audio-1\n"
        "    name: Neon\n"
        "    description: A bright voice with wide synths\n" + more
    )
