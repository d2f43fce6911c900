"""What a log adds up to, in whatever order git put its lines."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from personasync.model.answer import KeptAnswer
from personasync.state.codec import decode_line, encode_entry
from personasync.state.entry import Origin, Status
from personasync.state.fold import State, fold
from tests.unit.state.samples import HEADER, brief, created, entries, entry, request

few = st.sampled_from(["a", "b", "c"])
logs = st.lists(entries(audio_ids=few), max_size=12)


def ids_of(folded):
    return {audio: known.persona_id for audio, known in folded.items() if known.persona_id}


def test_the_last_entry_about_an_audio_wins():
    first, second, other = entry(1), entry(1, Status.FAILED, code=404), entry(2)
    assert fold([first, other, second]) == {"audio-1": second, "audio-2": other}


def test_nothing_wins_against_an_id_but_another_id():
    known = created(1)
    for status in (Status.PENDING, Status.FAILED, Status.CONFLICT):
        assert fold([known, entry(1, status)]) == {"audio-1": known}
    forced = created(1, "other", origin=Origin.IMPORT)
    assert fold([known, forced]) == {"audio-1": forced}


def test_forgetting_keeps_the_id():
    known = created(1)
    forgotten = replace(entry(1, Status.FORGOTTEN), origin=None)
    assert fold([known, forgotten]) == {
        "audio-1": replace(forgotten, persona_id="id-1", origin=Origin.APPLY)
    }
    assert fold([known, forgotten, entry(1, Status.PENDING)])["audio-1"].persona_id == "id-1"


def test_an_entry_inherits_the_request_and_the_kept_answer():
    sent = entry(1, request=request(1, style="Pop"), answer=KeptAnswer.of_text("<html>"))
    conflict = entry(1, Status.CONFLICT, request=None, code=409)
    assert fold([sent, conflict]) == {
        "audio-1": replace(
            conflict, request=request(1, style="Pop"), answer=KeptAnswer.of_text("<html>")
        )
    }


def test_an_answer_is_of_no_use_once_the_outcome_is_known():
    sent = entry(1, answer=KeptAnswer.of_text("<html>"))
    assert fold([sent, created(1)]) == {"audio-1": created(1)}
    refused = entry(1, Status.FAILED, code=404)
    assert fold([sent, refused]) == {"audio-1": refused}


def test_a_newer_answer_takes_the_place_of_an_older():
    assert fold(
        [entry(1, answer=KeptAnswer.of_text("old")), entry(1, answer=KeptAnswer.of_text("new"))]
    ) == {"audio-1": entry(1, answer=KeptAnswer.of_text("new"))}


@brief
@given(logs, st.randoms(use_true_random=False))
def test_no_order_of_the_lines_loses_an_id(log, random):
    shuffled = random.sample(log, len(log))
    one, other = fold(log), fold(shuffled)
    assert one.keys() == other.keys() == {known.audio_id for known in log}
    assert ids_of(one).keys() == ids_of(other).keys()
    given_ids = {known.persona_id for known in log}
    assert set(ids_of(other).values()) <= given_ids


@brief
@given(
    st.lists(entries(audio_ids=few, persona_ids=st.just("the-one")), max_size=12),
    st.randoms(use_true_random=False),
)
def test_where_the_ids_agree_their_order_does_not_matter(log, random):
    shuffled = random.sample(log, len(log))
    assert ids_of(fold(log)) == ids_of(fold(shuffled))


@brief
@given(logs, st.randoms(use_true_random=False))
def test_lines_about_different_audios_can_change_places(log, random):
    piles = {audio: [known for known in log if known.audio_id == audio] for audio in "abc"}
    order = [known.audio_id for known in log]
    random.shuffle(order)
    mixed = [piles[audio].pop(0) for audio in order]
    assert fold(mixed) == fold(log)
    assert State(HEADER, fold(mixed)).digest() == State(HEADER, fold(log)).digest()


@brief
@given(logs)
def test_compaction_changes_nothing_that_is_known(log):
    folded = fold(log)
    compacted = [decode_line(encode_entry(folded[audio])) for audio in sorted(folded)]
    assert fold(compacted) == folded
    assert fold([*compacted, *compacted]) == folded
    assert State(HEADER, fold(compacted)).digest() == State(HEADER, folded).digest()


@brief
@given(logs, logs)
def test_a_log_can_be_folded_piece_by_piece(before, after):
    assert fold([*fold(before).values(), *after]) == fold([*before, *after])


def test_the_digest_tells_states_apart():
    digests = [
        State(None, {}).digest(),
        State(HEADER, fold([entry(1)])).digest(),
        State(HEADER, fold([created(1)])).digest(),
        State(HEADER, fold([created(1, "other")])).digest(),
        State(HEADER, fold([created(1), created(2)])).digest(),
    ]
    assert len(set(digests)) == len(digests)
    assert digests[0] == ("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
