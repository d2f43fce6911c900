"""Answers that are cut, reset, hung, wrong or late, between the log and a real S3 server."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from personasync.model.errors import StateError, StateWriteError
from personasync.state import StateLog, objects, open_log
from personasync.state.bucket import BucketError
from personasync.state.shared import SharedLog
from tests.backends.conftest import API, Place
from tests.backends.gcs import gcs
from tests.backends.proxy import HARMLESS, Fault, HttpProxy
from tests.backends.servers import S3
from tests.backends.test_contract import entry

STEPS = {
    "lease": "/lock.json",
    "fence": "/log/00000000000000000001.jsonl",
    "append": "/log/00000000000000000002.jsonl",
    "rescue": "/rescue/",
    "snapshot": "/snapshots/",
}


@pytest.fixture
def begun(place_of: Callable[[str], Place]) -> Place:
    place = place_of("s3")
    place.begin()
    return place


@pytest.fixture
def through(
    begun: Place, s3_server: S3, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[StateLog, HttpProxy]]]:
    """Open the log through a proxy that lets things go wrong."""
    proxies = []

    def opened(
        choose: Callable[[str, str], Fault | None] | None = None,
    ) -> tuple[StateLog, HttpProxy]:
        proxy = HttpProxy(s3_server.port, choose)
        proxies.append(proxy)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        log = open_log(begun.location, api=API)
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
        return log, proxy

    yield opened
    for proxy in proxies:
        proxy.close()


def times(count: int, fault: Fault, part: str) -> Callable[[str, str], Fault | None]:
    """Let the first so many puts of a name go wrong."""
    left = count

    def choose(method: str, path: str) -> Fault | None:
        nonlocal left
        if method == "PUT" and part in path and left:
            left -= 1
            return fault
        return None

    return choose


def run(log: StateLog) -> None:
    """Do all that a run does with a log."""
    assert isinstance(log, SharedLog)
    with log.lock():
        log.append([entry(1), entry(2)])
        log.append([entry(number, f"id-{number}") for number in range(1200)])
        log.confirm()
        assert log.rescue([entry(5000, "id-5000")])
        log.compact()


def check(begun: Place) -> None:
    """Everything is there once, and nobody is locked out."""
    log = begun.open()
    with log.lock():
        known = log.read().fold().entries
    assert {each.persona_id for each in known.values()} == {
        f"id-{number}" for number in (*range(1200), 5000)
    }


@pytest.mark.parametrize("fault", HARMLESS)
@pytest.mark.parametrize("step", STEPS)
def test_a_fault_at_a_step(
    begun: Place,
    through: Callable[..., tuple[StateLog, HttpProxy]],
    step: str,
    fault: Fault,
) -> None:
    log, proxy = through(times(1, fault, STEPS[step]))
    run(log)
    assert proxy.going_wrong == [fault]
    check(begun)


@pytest.mark.parametrize("fault", [Fault.HANG_AFTER, Fault.HANG_BEFORE])
@pytest.mark.parametrize("step", ["lease", "fence", "append"])
def test_an_answer_that_never_comes(
    begun: Place,
    through: Callable[..., tuple[StateLog, HttpProxy]],
    step: str,
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(objects, "_TIMEOUTS", ("1s", "1s"))
    log, proxy = through(times(1, fault, STEPS[step]))
    run(log)
    assert proxy.going_wrong == [fault]
    check(begun)


@pytest.mark.parametrize("at", range(1, 8))
@pytest.mark.parametrize("fault", [Fault.CUT_AFTER, Fault.CONFLICT])
def test_a_fault_at_any_put_of_the_lease(
    begun: Place,
    through: Callable[..., tuple[StateLog, HttpProxy]],
    fault: Fault,
    at: int,
) -> None:
    count = 0

    def choose(method: str, path: str) -> Fault | None:
        nonlocal count
        count += method == "PUT" and "lock.json" in path
        return fault if method == "PUT" and "lock.json" in path and count == at else None

    log, _proxy = through(choose)
    assert isinstance(log, SharedLog)
    hold = log.store.hold
    with log.lock():
        log.append([entry(1, "id-1")])
        hold.renew()
        hold.renew()
        log.append([entry(2, "id-2")])
    with begun.open().lock():
        pass
    assert [each.persona_id for each in begun.open().read().entries] == ["id-1", "id-2"]


def test_a_busy_store_is_asked_again(
    begun: Place, through: Callable[..., tuple[StateLog, HttpProxy]]
) -> None:
    chance = random.Random(1)
    log, proxy = through(lambda _method, _path: Fault.BUSY if chance.random() < 0.3 else None)
    run(log)
    assert len(proxy.going_wrong) > 5
    check(begun)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_third_of_all_puts_broken(
    begun: Place, through: Callable[..., tuple[StateLog, HttpProxy]], seed: int
) -> None:
    chance = random.Random(seed)

    def choose(method: str, _path: str) -> Fault | None:
        broken = method == "PUT" and chance.random() < 1 / 3
        return chance.choice(HARMLESS) if broken else None

    log, proxy = through(choose)
    assert isinstance(log, SharedLog)
    hold = log.store.hold
    with log.lock():
        for number in range(30):
            log.append([entry(number, f"id-{number}")])
            if number % 7 == 0:
                with suppress(BucketError):
                    hold.renew()
    assert len(proxy.going_wrong) > 5
    with begun.open().lock():
        pass
    entries = begun.open().read().entries
    assert [each.persona_id for each in entries] == [f"id-{number}" for number in range(30)]


@contextmanager
def refused(words: str) -> Iterator[None]:
    with pytest.raises(StateError) as caught:
        yield
    assert words in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.DENIED, "403 Forbidden: AccessDenied"),
        (Fault.EXPIRED, "400 Bad Request: ExpiredToken"),
    ],
)
def test_rights_that_end_in_the_middle(
    begun: Place,
    through: Callable[..., tuple[StateLog, HttpProxy]],
    fault: Fault,
    words: str,
) -> None:
    ended = False
    log, _proxy = through(lambda _method, _path: fault if ended else None)
    assert isinstance(log, SharedLog)
    with log.lock():
        log.append([entry(1)])
        ended = True
        with pytest.raises(StateWriteError, match=words):
            log.append([entry(1, "id-1")])
        assert log.rescue([entry(1, "id-1")]) is None
        ended = False
        assert log.rescue([entry(1, "id-1")])
    assert begun.open().read().fold().entries["audio-1"].persona_id == "id-1"


def test_a_store_that_ignores_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    with gcs(careless=True) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        place = Place("gcs", "gs://voices/careless")
        with refused("ignores conditions"):
            place.begin()


def test_a_listing_that_lags_or_ignores_what_is_asked(begun: Place, s3_server: S3) -> None:
    log = begun.open()
    with log.lock():
        for number in range(5):
            log.append([entry(number)])

    class Lagging(HttpProxy):
        def _forward(self, request: bytes) -> bytes:
            answer = super()._forward(request)
            if b"list-type=2" not in request.split(b"\r\n")[0]:
                return answer
            _head, _, body = answer.partition(b"\r\n\r\n")
            body = body.partition(b"<Contents>")[0].partition(b"<KeyCount>")[0]
            if not body.endswith(b"</ListBucketResult>"):
                body += b"<KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
            return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    proxy = Lagging(s3_server.port)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.address)
        lagging = open_log(begun.location, api=API)
    assert len(lagging.read().entries) == 5
    proxy.close()
