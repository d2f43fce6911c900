"""What a log adds up to, in whatever order git put its lines."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.model.answer import KeptAnswer
from personasync.state.codec import decode_line, encode_entry
from personasync.state.entry import Entry, Origin, Status
from personasync.state.fold import State, fold, lines_of
from tests.unit.state.samples import HEADER, brief, created, entries, entry, request

few = st.sampled_from(["a", "b", "c"])
ids = st.sampled_from(["X", "Y", "Z"])
logs = st.lists(entries(audio_ids=few, persona_ids=ids), max_size=12)


@st.composite
def forced(draw: st.DrawFn) -> Entry:
    """An entry of one audio that may replace other IDs, be it as no run of ours would."""
    names = st.sampled_from(["X", "Y", "Z", "X r1", "Y r1", "Z r2"])
    return created(
        1,
        draw(ids),
        replaces=tuple(sorted(draw(st.sets(names, max_size=2)))),
        again=tuple(
            sorted(draw(st.sampled_from([(), ("r1",), ("r2",), ("", "r1"), ("r1", "r2")])))
        ),
    )


words = st.lists(
    forced()
    | st.builds(
        lambda status: entry(1, status),
        st.sampled_from([Status.PENDING, Status.CONFLICT, Status.FAILED, Status.FORGOTTEN]),
    ),
    max_size=7,
)


def ids_of(folded: Mapping[str, Entry]) -> dict[str, set[str | None]]:
    """Return which IDs are known of each audio."""
    found = {
        audio: {line.persona_id for line in lines_of(known)} for audio, known in folded.items()
    }
    return {audio: known - {None} for audio, known in found.items() if known - {None}}


def compacted(log: Iterable[Entry]) -> list[Entry]:
    """Return what compaction leaves of a log."""
    kept = [line for known in fold(log).values() for line in lines_of(known)]
    return [decode_line(encode_entry(line)) for line in kept]  # type: ignore[misc]


def test_the_last_entry_about_an_audio_wins() -> None:
    first, second, other = entry(1), entry(1, Status.FAILED, code=404), entry(2)
    assert fold([first, other, second]) == {"audio-1": second, "audio-2": other}


def test_nothing_without_an_id_hides_one() -> None:
    known = created(1)
    for status in (Status.PENDING, Status.FAILED, Status.CONFLICT):
        assert fold([known, entry(1, status)]) == {"audio-1": known}


def test_an_id_gives_way_only_to_an_entry_that_says_so() -> None:
    known = created(1)
    forced = created(1, "other", origin=Origin.IMPORT, replaces=("id-1",))
    assert fold([known, forced]) == fold([forced, known]) == {"audio-1": forced}
    renamed = replace(known, key="new")
    assert fold([known, forced, renamed]) == {"audio-1": forced}, "the old ID came back"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_two_ids_of_which_neither_replaces_the_other_are_both_kept(order: Any) -> None:
    log = [created(1, "A"), created(1, "B"), entry(1, Status.PENDING)]
    (known,) = fold([log[number] for number in order]).values()
    assert (known.status, known.persona_id, known.in_conflict) == (Status.CONFLICT, None, True)
    assert [rival.persona_id for rival in known.rivals] == ["A", "B"]
    assert lines_of(known) == known.rivals


def test_an_id_that_was_replaced_can_be_recorded_again() -> None:
    log = [created(1, "A"), created(1, "B", replaces=("A",))]
    back = created(1, "A", replaces=("A", "B"), again=("r2",))
    for order in itertools.permutations([*log, back]):
        (known,) = fold(order).values()
        assert (known.persona_id, known.again) == ("A", ("r2",))


def test_forgetting_keeps_the_id() -> None:
    known = created(1)
    forgotten = replace(entry(1, Status.FORGOTTEN), origin=None)
    assert fold([known, forgotten]) == {
        "audio-1": replace(forgotten, persona_id="id-1", origin=Origin.APPLY)
    }
    assert fold([known, forgotten, entry(1, Status.PENDING)])["audio-1"].persona_id == "id-1"


def test_an_entry_inherits_the_request_and_the_kept_answer() -> None:
    sent = entry(1, request=request(1, style="Pop"), answer=KeptAnswer.of_text("<html>"))
    conflict = entry(1, Status.CONFLICT, request=None, code=409)
    assert fold([sent, conflict]) == {
        "audio-1": replace(
            conflict, request=request(1, style="Pop"), answer=KeptAnswer.of_text("<html>")
        )
    }


def test_an_answer_is_of_no_use_once_the_id_is_known() -> None:
    sent = entry(1, answer=KeptAnswer.of_text("<html>"))
    assert fold([sent, created(1)]) == {"audio-1": created(1)}
    refused = entry(1, Status.FAILED, code=404)
    assert fold([sent, refused]) == {"audio-1": replace(refused, answer=sent.answer)}


def test_a_newer_answer_takes_the_place_of_an_older() -> None:
    assert fold(
        [entry(1, answer=KeptAnswer.of_text("old")), entry(1, answer=KeptAnswer.of_text("new"))]
    ) == {"audio-1": entry(1, answer=KeptAnswer.of_text("new"))}


@brief
@given(logs | words, st.randoms(use_true_random=False))
def test_which_ids_are_known_does_not_depend_on_the_order(log: Any, random: Any) -> None:
    shuffled = random.sample(log, len(log))
    one, other = fold(log), fold(shuffled)
    assert one.keys() == other.keys() == {known.audio_id for known in log}
    assert ids_of(one) == ids_of(other)


@brief
@given(logs | words)
def test_no_id_leaves_but_by_a_word_that_replaces_it(log: Any) -> None:
    known = ids_of(fold(log))
    replaced = {(each.audio_id, name.split()[0]) for each in log for name in each.replaces}
    for each in log:
        if each.persona_id and (each.audio_id, each.persona_id) not in replaced:
            assert each.persona_id in known[each.audio_id]
        if each.persona_id:
            assert known[each.audio_id]


@brief
@given(logs | words, logs | words)
def test_compaction_and_folding_commute(before: Any, after: Any) -> None:
    assert ids_of(fold([*compacted(before), *after])) == ids_of(fold([*before, *after]))
    assert ids_of(fold([*after, *compacted(before)])) == ids_of(fold([*before, *after]))


@brief
@given(logs, st.randoms(use_true_random=False))
def test_lines_about_different_audios_can_change_places(log: Any, random: Any) -> None:
    piles = {audio: [known for known in log if known.audio_id == audio] for audio in "abc"}
    order = [known.audio_id for known in log]
    random.shuffle(order)
    mixed = [piles[audio].pop(0) for audio in order]
    assert fold(mixed) == fold(log)
    assert State(HEADER, fold(mixed)).digest() == State(HEADER, fold(log)).digest()


@brief
@given(logs | words)
def test_compaction_changes_nothing_that_is_known(log: Any) -> None:
    folded = fold(log)
    assert fold(compacted(log)) == folded
    assert fold([*compacted(log), *compacted(log)]) == folded
    assert State(HEADER, fold(compacted(log))).digest() == State(HEADER, folded).digest()


@brief
@given(*[st.lists(entries(audio_ids=few, persona_ids=st.just("X")), max_size=9)] * 2)
def test_a_log_can_be_folded_piece_by_piece(before: Any, after: Any) -> None:
    assert fold([*fold(before).values(), *after]) == fold([*before, *after])


def test_the_digest_tells_states_apart() -> None:
    digests = [
        State(None, {}).digest(),
        State(HEADER, fold([entry(1)])).digest(),
        State(HEADER, fold([created(1)])).digest(),
        State(HEADER, fold([created(1, "other")])).digest(),
        State(HEADER, fold([created(1), created(2)])).digest(),
    ]
    assert len(set(digests)) == len(digests)
    assert digests[0] == ("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
