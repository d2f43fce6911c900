"""Waits between retries are short in tests, unless a test says otherwise; and what can be seen
of the engine's threads, so that no test has to guess how far they are."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from tenacity import wait_fixed

from personasync.engine import pace, patience
from tests.unit.engine.fakes import LONG


@pytest.fixture(autouse=True)
def _brief_waits(monkeypatch):
    monkeypatch.setattr(patience, "_backoff", wait_fixed(0.02))
    monkeypatch.setattr(patience, "_JITTER", 0.0)


@pytest.fixture(autouse=True)
def _no_thread_stays_behind():
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("worker-"):
            thread.join(LONG)
            assert not thread.is_alive(), f"{thread.name} is still there"


@pytest.fixture
def ending(monkeypatch):
    """Events: ``begun`` once a run sends nothing new, ``at_once`` once it sends nothing at all."""
    events = SimpleNamespace(begun=threading.Event(), at_once=threading.Event())
    close = pace.Pace.close

    def closing(self, *, at_once=True):
        close(self, at_once=at_once)
        events.begun.set()
        if at_once:
            events.at_once.set()

    monkeypatch.setattr(pace.Pace, "close", closing)
    return events


@pytest.fixture
def waiting(monkeypatch):
    """An event: somebody waits for a moment to send, or for the next try, and can be woken."""
    event = threading.Event()

    class Watched(threading.Condition):
        def wait(self, timeout=None):
            event.set()  # with the lock held: whoever wants to wake this comes after the wait began
            return super().wait(timeout)

    monkeypatch.setattr(pace, "threading", SimpleNamespace(Condition=Watched))
    return event


@pytest.fixture
def slots_until_answered(monkeypatch):
    """A slot counts until its answer, so that no stall of this machine looks like a burst here."""
    monkeypatch.setattr(pace, "_MIN_TRANSIT", 2 * LONG)
