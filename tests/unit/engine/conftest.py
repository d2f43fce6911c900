"""Waits between retries are short in tests, unless a test says otherwise; and what can be seen
of the engine's threads, so that no test has to guess how far they are."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from personasync.engine import messages, schedule
from personasync.engine.run import Mailbox
from tests.unit.engine.fakes import LONG


@pytest.fixture(autouse=True)
def _brief_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_FIRST_WAIT", 0.02)
    monkeypatch.setattr(schedule, "_LONGEST_WAIT", 0.02)
    monkeypatch.setattr(schedule, "_JITTER", 0.0)


@pytest.fixture(autouse=True)
def _no_thread_stays_behind() -> Any:
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("worker-"):
            thread.join(LONG)
            assert not thread.is_alive(), f"{thread.name} is still there"


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Events: ``begun`` once a run is told to send nothing new, ``at_once`` nothing at all."""
    events = SimpleNamespace(begun=threading.Event(), at_once=threading.Event())
    made, close = Mailbox.__init__, schedule.Schedule.close

    def noticing(self: Any) -> None:
        made(self)
        put = self.put

        def noted(message: Any) -> None:
            put(message)
            if isinstance(message, messages.Halt | messages.Leave):
                events.begun.set()
                if isinstance(message, messages.Leave) or message.at_once:
                    events.at_once.set()

        self.put = noted

    def closing(self: Any, *, at_once: bool = True) -> None:
        close(self, at_once=at_once)
        events.begun.set()
        if at_once:
            events.at_once.set()

    monkeypatch.setattr(Mailbox, "__init__", noticing)
    monkeypatch.setattr(schedule.Schedule, "close", closing)
    return events


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An event for each audio: its answer is in the mailbox."""
    events: defaultdict[str, threading.Event] = defaultdict(threading.Event)
    made = Mailbox.__init__

    def noticing(self: Any) -> None:
        made(self)
        put = self.put

        def noted(message: Any) -> None:
            put(message)
            if isinstance(message, messages.Answer):
                events[message.audio_id].set()

        self.put = noted

    monkeypatch.setattr(Mailbox, "__init__", noticing)
    return events


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An event: the conductor waits for a moment to come, and can be woken."""
    event = threading.Event()
    receive = Mailbox.receive

    def watched(self: Any, until: Any) -> Any:
        if self.now() < until < math.inf:
            event.set()
        return receive(self, until)

    monkeypatch.setattr(Mailbox, "receive", watched)
    return event


@pytest.fixture
def slots_until_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot counts until its answer, so that no stall of this machine looks like a burst here."""
    monkeypatch.setattr(schedule, "_MIN_TRANSIT", 2 * LONG)
