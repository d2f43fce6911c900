"""Waits between retries are short in tests, unless a test says otherwise."""

from __future__ import annotations

import threading

import pytest
from tenacity import wait_fixed

from personasync.engine import patience


@pytest.fixture(autouse=True)
def _brief_waits(monkeypatch):
    monkeypatch.setattr(patience, "_backoff", wait_fixed(0.02))
    monkeypatch.setattr(patience, "_JITTER", 0.0)


@pytest.fixture(autouse=True)
def _no_thread_stays_behind():
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("worker-"):
            thread.join(5)
            assert not thread.is_alive(), f"{thread.name} is still there"
