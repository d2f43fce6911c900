"""Faults, kills and reruns in any order, held against the sandbox's own books."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personasync.sandbox import Fault, FaultKind
from tests.crash.rehearsal import Rehearsal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

AUDIOS = 6

faults = st.lists(
    st.builds(Fault, st.sampled_from(sorted(FaultKind)), st.sampled_from([0.2, 0.5])),
    max_size=2,
    unique_by=lambda fault: fault.kind,
).map(tuple)
steps = st.lists(
    st.tuples(
        faults,
        st.integers(0, 99),
        st.sampled_from(["conflict", "same-id"]),
        st.one_of(st.none(), st.floats(0.1, 0.6)),
    ),
    min_size=1,
    max_size=3,
)


@given(steps)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_happens_no_id_is_lost(story: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rehearsal = Rehearsal(Path(folder), audios=AUDIOS)
        try:
            for faults, seed, repeat, kill_after in story:
                recorded = rehearsal.recorded()
                rehearsal.become(faults=faults, seed=seed, repeat=repeat, drip=0.002)
                rehearsal.run("--retry-for=0.5s", "--read-timeout=0.5s", kill_after=kill_after)
                rehearsal.check_nothing_is_lost()
                assert recorded.items() <= rehearsal.recorded().items()
            _settle(rehearsal)
        finally:
            rehearsal.close()


def _settle(rehearsal: Rehearsal) -> None:
    """On a good day, one more run records all but what is in conflict already."""
    conflicts = rehearsal.conflicts()
    rehearsal.become(repeat="same-id")
    code = rehearsal.run()
    assert code == (3 if conflicts else 0), rehearsal.said
    assert rehearsal.conflicts() == conflicts
    made = rehearsal.made()
    assert len(made) == AUDIOS
    assert rehearsal.recorded() == {a: i for a, i in made.items() if a not in conflicts}
