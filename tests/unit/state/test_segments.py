"""The log of segments in a world of its own: no store, no thread, no time that passes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress

import pytest

from personasync.model.errors import StateError, StateLockedError, StateWriteError
from personasync.state.bucket import Bucket, BucketError, Found, RefusedError, UnclearError
from personasync.state.entry import Entry, Header, Status
from personasync.state.log import Holder
from personasync.state.segment_codec import segment_name, snapshot_name
from personasync.state.segments import SegmentLog, begin
from tests.helpers.buckets import Careless, Clock, Fault, Faulty, MemoryBucket

PLACE = "s3://bucket/voices"
HEADER = Header("lineage", "https://api.example.com")
HOLDER = Holder("ann", "ci-1", 7, "personasync apply", "2026-11-22T10:00:00Z")


def pending(number: int) -> Entry:
    return Entry(f"audio-{number}", f"p-{number}", Status.PENDING, run="run")


def created(number: int) -> Entry:
    return Entry(f"audio-{number}", f"p-{number}", Status.CREATED, persona_id=f"id-{number}")


def dies(open_log: Callable[..., SegmentLog], bucket: Bucket) -> None:
    """Take the lease and never say that the run has ended."""
    dead = False
    log = open_log(Faulty(bucket, lambda _name: Fault.BEFORE if dead else None))
    with log.lock():
        dead = True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket(clock: Clock) -> MemoryBucket:
    bucket = MemoryBucket()
    begin(bucket, clock, PLACE, HEADER)
    return bucket


@pytest.fixture
def open_log(bucket: MemoryBucket, clock: Clock) -> Callable[..., SegmentLog]:
    def opened(through: Bucket | None = None) -> SegmentLog:
        return SegmentLog(through or bucket, clock, PLACE, holder=lambda: HOLDER)

    return opened


def ids(log: SegmentLog) -> list[str | None]:
    return [entry.persona_id for entry in log.read().entries]


def test_what_is_appended_is_read_by_others(open_log: Callable[..., SegmentLog]) -> None:
    log = open_log()
    with log.lock():
        log.append([pending(1)])
        log.append([created(1), pending(2)])
        assert log.read().entries == (pending(1), created(1), pending(2))
    contents = open_log().read()
    assert contents.entries == (pending(1), created(1), pending(2))
    assert contents.header == HEADER
    assert contents.notes == ()


def test_a_place_that_holds_no_state_is_an_error(clock: Clock) -> None:
    log = SegmentLog(MemoryBucket(), clock, PLACE, holder=lambda: HOLDER)
    with pytest.raises(StateError, match="there is no state at s3://bucket/voices") as caught:
        log.read()
    assert "personasync state init s3://bucket/voices" in str(caught.value.hint)
    with pytest.raises(StateError, match="there is no state"), log.lock():
        pass


def test_a_state_is_begun_once(bucket: MemoryBucket, clock: Clock) -> None:
    with pytest.raises(StateError, match="there is a state at s3://bucket/voices already"):
        begin(bucket, clock, PLACE, HEADER)


def test_appending_needs_the_lock(open_log: Callable[..., SegmentLog]) -> None:
    with pytest.raises(StateWriteError, match="not locked"):
        open_log().append([pending(1)])


# The lease


def test_a_second_run_is_told_who_holds_the_state(open_log: Callable[..., SegmentLog]) -> None:
    with open_log().lock(), pytest.raises(StateLockedError) as caught, open_log().lock():
        pass
    assert "ann@ci-1, pid 7, personasync apply" in caught.value.message
    assert "last sign of life" in caught.value.message
    assert "lock_timeout=90s" in str(caught.value.hint)
    assert "state unlock" in str(caught.value.hint)


def test_a_state_is_free_once_its_run_has_ended(open_log: Callable[..., SegmentLog]) -> None:
    with open_log().lock():
        pass
    with open_log().lock():
        pass


def test_a_dead_lease_is_taken_over_after_a_minute_of_the_waiter(
    open_log: Callable[..., SegmentLog], clock: Clock, bucket: MemoryBucket
) -> None:
    waited: list[Holder | None] = []
    dies(open_log, bucket)
    began = clock.now
    with open_log().lock(timeout=90, on_wait=waited.append):
        assert 60 <= clock.now - began < 62
    assert waited == [HOLDER]


def test_a_live_lease_is_never_taken_over(
    open_log: Callable[..., SegmentLog], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding = open_log()
    with holding.lock():
        sleep = clock.sleep

        def meanwhile(seconds: float) -> None:
            sleep(seconds)
            if int(clock.now) % 15 == 0:
                monkeypatch.setattr("personasync.state.lease.utc_now", lambda: "1999-01-01T00:00Z")
                holding.hold.renew()

        clock.sleep = meanwhile  # type: ignore[method-assign]
        with pytest.raises(StateLockedError), open_log().lock(timeout=600):
            pass


def test_a_paused_writer_is_fenced_and_its_entry_is_taken_in(
    open_log: Callable[..., SegmentLog], clock: Clock, bucket: MemoryBucket
) -> None:
    paused, other = open_log(), open_log()
    with paused.lock():
        paused.append([pending(1)])
        clock.now += 600
        with other.lock(timeout=90):
            with pytest.raises(StateWriteError, match="has taken the state"):
                paused.append([created(1)])
            with pytest.raises(StateWriteError, match="has taken the state"):
                paused.append([created(2)])  # closed for good
            assert paused.rescue([created(1)]) is not None
            assert ids(other) == [None, "id-1"]
            other.append([pending(3)])
    assert [name for name in bucket.objects if name.startswith("rescue/")]
    last = open_log()
    with last.lock():
        assert ids(last) == [None, None, "id-1"]
        assert "1 entry was rescued" in last.read().notes[0]
    again = open_log().read()
    assert [entry.persona_id for entry in again.entries] == [None, None, "id-1"]
    assert again.notes == ()


def test_a_paused_writer_looks_before_it_sends(
    open_log: Callable[..., SegmentLog], clock: Clock
) -> None:
    paused = open_log()
    with paused.lock():
        paused.confirm()
        clock.now += 46
        paused.confirm()  # nobody took it: it is renewed
        clock.now += 600
        with open_log().lock(timeout=90):
            with pytest.raises(StateWriteError, match="has taken the state"):
                paused.confirm()
            with pytest.raises(StateWriteError, match="has taken the state"):
                paused.confirm()


def test_a_machine_that_slept_looks_before_it_sends(
    open_log: Callable[..., SegmentLog], clock: Clock
) -> None:
    slept = open_log()
    with slept.lock():
        clock.asleep += 600  # which its monotonic clock does not count
        with open_log().lock(timeout=90), pytest.raises(StateWriteError):
            slept.confirm()


def test_two_that_steal_one_dead_lease(
    open_log: Callable[..., SegmentLog], clock: Clock, bucket: MemoryBucket
) -> None:
    dies(open_log, bucket)
    first, second = open_log(), open_log()

    class Racing(MemoryBucket):
        """Lets another take the lease between the look and the put."""

        raced = False

        def replace(self, name: str, data: bytes, version: str) -> str:
            if not self.raced:
                self.raced = True
                stack.enter_context(second.lock(timeout=90))
            return bucket.replace(name, data, version)

    racing = Racing()
    racing.__dict__.update(objects=bucket.objects, versions=bucket.versions)
    with ExitStack() as stack:
        first = open_log(racing)
        with pytest.raises(StateLockedError):
            stack.enter_context(first.lock(timeout=70))
        second.append([created(1)])
    assert ids(open_log()) == ["id-1"]


def test_those_who_ignore_the_lock_lose_nothing_that_was_acknowledged(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket, clock: Clock
) -> None:
    """Four take the lock by force, in turn, and go on appending whoever holds it."""
    writers = [open_log() for _ in range(4)]
    acknowledged: list[str | None] = []
    fenced = 0
    with ExitStack() as stack:
        for number, writer in enumerate(writers):
            bucket.objects.pop("lock.json", None)  # pretending that it is free
            bucket.versions.pop("lock.json", None)
            stack.enter_context(writer.lock())
            for each in writers[: number + 1]:
                entry = created(len(acknowledged) + fenced)
                try:
                    each.append([entry])
                except StateWriteError:
                    fenced += 1
                else:
                    acknowledged.append(entry.persona_id)
    assert ids(open_log()) == acknowledged
    assert fenced == 6


# A store that ignores conditions, or cannot be written


def test_a_store_that_ignores_conditions_is_refused(clock: Clock) -> None:
    with pytest.raises(StateError, match="ignores conditions"):
        begin(Careless(), clock, PLACE, HEADER)


def test_a_store_that_stops_heeding_conditions_is_refused_at_the_lock(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket
) -> None:
    careless = Careless()
    careless.objects, careless.versions = bucket.objects, bucket.versions
    with pytest.raises(StateError, match="ignores conditions"), open_log(careless).lock():
        pass
    assert not [name for name in bucket.objects if name.startswith("log/")]


@pytest.mark.parametrize("folder", ["lock.json", "log/"])
def test_a_key_that_may_not_put_ends_before_anything_is_sent(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket, folder: str
) -> None:
    log = open_log(Faulty(bucket, lambda name: Fault.REFUSED if name.startswith(folder) else None))
    denied = pytest.raises(StateError, match="cannot lock the state s3://bucket/voices: 403")
    with denied, log.lock():
        pytest.fail("it has the lock")


def test_a_refusal_in_the_middle_is_told_and_leaves_the_log_open(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket
) -> None:
    refusing = False
    log = open_log(Faulty(bucket, lambda _name: Fault.REFUSED if refusing else None))
    with log.lock():
        log.append([pending(1)])
        refusing = True
        with pytest.raises(StateWriteError, match="403 Forbidden"):
            log.append([created(1)])
        assert log.rescue([created(1)]) is None
        refusing = False
        log.append([created(1)])
    assert ids(open_log()) == [None, "id-1"]


def test_a_store_that_is_gone_closes_the_log_after_a_minute(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket, clock: Clock
) -> None:
    gone = False
    log = open_log(Faulty(bucket, lambda _name: Fault.BEFORE if gone else None))
    with log.lock():
        gone = True
        began = clock.now
        with pytest.raises(StateWriteError, match="the connection was reset"):
            log.append([created(1)])
        assert 50 < clock.now - began <= 61
        began = clock.now
        with pytest.raises(StateWriteError):
            log.append([created(2)])
        assert clock.now == began  # its earlier put may still land
        gone = False


def test_a_put_that_may_have_landed_closes_the_log_when_nobody_may_look(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket
) -> None:
    """An append is cut off, and the key expires before it can be looked for."""
    ended = False

    class Expiring(Faulty):
        def get(self, name: str) -> Found | None:
            if ended:
                raise RefusedError("400 Bad Request: ExpiredToken")
            return super().get(name)

    log = open_log(Expiring(bucket, lambda _name: Fault.AFTER if ended else None))
    with log.lock():
        ended = True
        with pytest.raises(StateWriteError, match="ExpiredToken"):
            log.append([created(1)])
        assert not log.intact()
        ended = False
        with pytest.raises(StateWriteError, match="ExpiredToken"):
            log.append([created(2)])
    assert ids(open_log()) == ["id-1"]


def test_segments_are_asked_for_again_where_that_failed(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket
) -> None:
    filled(open_log(), 20)
    chance = random.Random(1)

    class Busy(Faulty):
        def get_many(self, names: Sequence[str]) -> Iterator[Found | None]:
            for name in names:
                if chance.random() < 0.3:
                    raise UnclearError("503 Service Unavailable")
                yield self.bucket.get(name)

    assert ids(open_log(Busy(bucket, lambda _name: None))) == [f"id-{at}" for at in range(20)]


# Each fault at each step

STEPS = {
    "lease": "lock.json",
    "fence": segment_name(1),
    "append": segment_name(2),
    "rescue": "rescue/",
    "snapshot": "snapshots/",
}
HARMLESS = [fault for fault in Fault if fault is not Fault.REFUSED]


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", HARMLESS)
@pytest.mark.parametrize("step", STEPS)
def test_a_fault_at_a_step_loses_nothing_and_locks_nobody_out(
    open_log: Callable[..., SegmentLog],
    bucket: MemoryBucket,
    step: str,
    fault: Fault,
    times: int,
) -> None:
    left = times

    def choose(name: str) -> Fault | None:
        nonlocal left
        if left and name.startswith(STEPS[step]):
            left -= 1
            return fault
        return None

    log = open_log(Faulty(bucket, choose))
    with log.lock():
        log.append([pending(1)])
        log.append([created(number) for number in range(1100)])
        log.confirm()
        assert log.rescue([created(5000)])
        log.compact()
    assert left < times
    after = open_log()
    with after.lock():  # at once: nobody is locked out
        known = after.read().fold().entries
    assert len(known) == 1101
    assert {entry.persona_id for entry in known.values()} == {
        f"id-{number}" for number in (*range(1100), 5000)
    }


@pytest.mark.parametrize("fault", HARMLESS)
@pytest.mark.parametrize("at", range(1, 8))
def test_a_fault_at_any_put_of_the_lease(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket, fault: Fault, at: int
) -> None:
    count = 0

    def choose(name: str) -> Fault | None:
        nonlocal count
        count += name == "lock.json"
        return fault if name == "lock.json" and count == at else None

    log = open_log(Faulty(bucket, choose))
    with log.lock():
        log.append([created(1)])
        log.hold.renew()
        log.hold.renew()
        log.append([created(2)])
    with open_log().lock():
        pass
    assert ids(open_log()) == ["id-1", "id-2"]


@pytest.mark.parametrize("seed", range(60))
def test_a_third_of_all_puts_broken(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket, seed: int
) -> None:
    chance = random.Random(seed)
    log = open_log(
        Faulty(bucket, lambda _: chance.choice(HARMLESS) if chance.random() < 1 / 3 else None)
    )
    with log.lock():
        for number in range(20):
            log.append([created(number)])
            if number % 5 == 0:
                with suppress(BucketError):
                    log.hold.renew()
    assert ids(open_log()) == [f"id-{number}" for number in range(20)]


# Damage


def filled(log: SegmentLog, count: int = 5) -> None:
    with log.lock():
        for number in range(count):
            log.append([created(number)])


@pytest.mark.parametrize("seq", [1, 3, 6])
def test_a_lost_segment_is_named(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket, seq: int
) -> None:
    filled(open_log())
    del bucket.objects[segment_name(seq)]
    before = dict(bucket.objects)
    with pytest.raises(StateError, match=segment_name(seq)):
        open_log().read()
    with pytest.raises(StateError, match=segment_name(seq)), open_log().lock():
        pass
    assert bucket.objects == before


def test_no_fence_fills_the_hole_of_a_segment_that_the_last_holder_knew(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket, clock: Clock
) -> None:
    """It was there when the waiting began, and what came meanwhile is lost when it ends."""
    holder, waiter = open_log(), open_log()
    with ExitStack() as holding:
        holding.enter_context(holder.lock())

        def ends(_holder: Holder | None) -> None:
            for number in range(3):
                holder.append([created(number)])
            holding.close()
            del bucket.objects[segment_name(3)]

        with (
            pytest.raises(StateError, match=segment_name(3)),
            waiter.lock(timeout=30, on_wait=ends),
        ):
            pytest.fail("it has the lock")
    assert segment_name(3) not in bucket.objects


@pytest.mark.parametrize(
    ("garble", "says"),
    [
        (lambda data: b"", "its first line is not JSON"),
        (lambda data: data[:-5], "line 2"),
        (lambda data: data.replace(b"audio-2", b"audio-9"), "it is not what log/"),
        (lambda data: data.partition(b"\n")[0] + b"\n", "it holds 0 of its 1 entries"),
        (lambda data: data.replace(b'"seq":4', b'"seq":9'), "it says that it is number 9"),
        (lambda data: b"<html>", "its first line is not JSON"),
    ],
)
def test_a_garbled_segment_is_named(
    open_log: Callable[..., SegmentLog],
    bucket: MemoryBucket,
    garble: Callable[[bytes], bytes],
    says: str,
) -> None:
    filled(open_log())
    bucket.objects[segment_name(4)] = garble(bucket.objects[segment_name(4)])
    with pytest.raises(StateError) as caught:
        open_log().read()
    assert segment_name(4) in caught.value.message
    assert says in caught.value.message
    assert "nothing was changed" in str(caught.value.hint)


def test_the_end_is_found_whatever_the_listing_says(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket
) -> None:
    filled(open_log())

    class Lagging(MemoryBucket):
        def names(self, folder: str) -> list[str]:
            listed = bucket.names(folder)[:2]
            return [*listed, "log/other.txt", "snapshots/00000000000000000009.jsonl.gz"]

    lagging = Lagging()
    lagging.objects, lagging.versions = bucket.objects, bucket.versions
    assert len(ids(open_log(lagging))) == 5


# Snapshots


def test_a_snapshot_saves_reading_and_keeps_every_fact(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket
) -> None:
    log = open_log()
    assert log.rescue([created(7000)])
    with log.lock():
        for number in range(70):
            log.append([pending(number)])
            log.append([created(number)])
        log.compact()
    (snapshot,) = (name for name in bucket.objects if name.startswith("snapshots/"))
    assert snapshot == snapshot_name(142)
    segments = [name for name in bucket.objects if name.startswith("log/")]
    assert len(segments) == 142  # never deleted
    known = open_log().read()
    assert len(known.entries) == 71
    assert known.notes == ()  # what was taken in stays taken in
    for name in segments[:-1]:
        del bucket.objects[name]
    assert open_log().read().entries == known.entries


@pytest.mark.parametrize(
    "garble",
    [lambda data: b"", lambda data: data[:-9], lambda data: b"{}", lambda data: data[:40] + b"x"],
)
def test_a_bad_snapshot_only_costs_time(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket, garble: Callable[[bytes], bytes]
) -> None:
    log = open_log()
    with log.lock():
        for number in range(70):
            log.append([created(number)])
        log.compact()
    (snapshot,) = (name for name in bucket.objects if name.startswith("snapshots/"))
    bucket.objects[snapshot] = garble(bucket.objects[snapshot])
    contents = open_log().read()
    assert len(contents.entries) == 70
    assert snapshot in contents.notes[0]


def test_nothing_is_worth_a_snapshot_after_a_few_appends(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket
) -> None:
    log = open_log()
    with log.lock():
        log.append([created(1)])
        log.compact()
    assert not [name for name in bucket.objects if name.startswith("snapshots/")]


def test_a_run_that_is_taken_over_while_it_locks_waits_its_turn_again(
    open_log: Callable[..., SegmentLog], bucket: MemoryBucket
) -> None:
    first, second = open_log(), open_log()
    assert first.rescue([created(1)])

    class Forcing(MemoryBucket):
        """Lets another take the state by force between the fence and what is taken in."""

        forced = False

        def names(self, folder: str) -> list[str]:
            if folder == "rescue/" and not self.forced:
                self.forced = True
                second.unlock()
            return bucket.names(folder)

        def create(self, name: str, data: bytes) -> str:
            return bucket.create(name, data)

        def replace(self, name: str, data: bytes, version: str) -> str:
            return bucket.replace(name, data, version)

    forcing = Forcing()
    forcing.objects, forcing.versions = bucket.objects, bucket.versions
    log = open_log(forcing)
    with log.lock():
        log.append([created(2)])
    assert forcing.forced
    assert ids(open_log()) == ["id-1", "id-2"]
