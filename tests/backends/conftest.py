"""The places where a state may be kept, each with its server.

``PERSONASYNC_TEST_S3_URL``, ``…_GCS_URL``, ``…_AZURE_URL`` and
``…_POSTGRES_URL`` name real places to run the same tests on, with the
credentials that the environment has. A server that cannot be had is a reason to
skip, unless ``PERSONASYNC_TEST_REQUIRE`` names its kind.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from personasync.state import StateLog, open_log
from personasync.state.entry import Header
from personasync.state.open import begin_shared
from tests.backends import gcs as gcs_stand_in
from tests.backends import servers
from tests.helpers.missing import missing

OUTSIDE = dict(os.environ)
"""The environment as it was before the tests were shut off from it."""

API = "https://api.example.com"
SHARED = ("s3", "azure", "gcs", "postgres", "pooler")
KINDS = ("file", "memory", *SHARED)
QUICK = frozenset({"file", "memory", "gcs"})
"""The kinds that need no server but one in this process."""


@dataclass
class Place:
    """Somewhere that a state can be kept: its location, and what the command needs to get there."""

    kind: str
    location: str
    environment: Mapping[str, str] = field(default_factory=dict)
    opened: Callable[[], StateLog] | None = None

    def open(self) -> StateLog:
        """Open the log as another run would."""
        return self.opened() if self.opened else open_log(self.location, api=API)

    def begin(self) -> None:
        """Begin a state there, where that is not done by the first append."""
        if self.kind not in ("file", "memory"):
            begin_shared(self.location, Header(uuid.uuid4().hex, API))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts a real server is slow: each process of the tests would start all of them."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not _is_quick(item):
            item.add_marker(pytest.mark.slow)


def _is_quick(item: pytest.Item) -> bool:
    chosen = getattr(item, "callspec", None)
    kinds = {kind for kind in KINDS if chosen and kind in map(str, chosen.params.values())}
    fixtures: set[str] = set(getattr(item, "fixturenames", ()))
    if "place_of" in fixtures and not kinds:
        return False  # the test itself says which places
    servers = {name for name in fixtures if name.removesuffix("_server") in SHARED}
    return kinds <= QUICK and servers <= {"gcs_server"}


def _had(kind: str, server: AbstractContextManager[Any]) -> Any:
    try:
        return server.__enter__()
    except servers.Missing as reason:
        missing(kind, str(reason))


@contextmanager
def begun_server(kind: str, server: AbstractContextManager[Any]) -> Iterator[Any]:
    """Run a server, or skip the test where it cannot be had."""
    running = _had(kind, server)
    try:
        yield running
    finally:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.S3]:
    with begun_server("s3", servers.s3(tmp_path_factory.mktemp("s3") / "server")) as server:
        yield server


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Azure]:
    with begun_server(
        "azure", servers.azure(tmp_path_factory.mktemp("azure") / "server")
    ) as server:
        yield server


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[str]:
    with gcs_stand_in.gcs() as address:
        yield address


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.Postgres]:
    with (
        servers.open_folder() as folder,
        begun_server("postgres", servers.postgres(folder)) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def pooler_port(postgres_server: servers.Postgres) -> Iterator[int]:
    pooler = servers.pooler
    with (
        servers.open_folder() as folder,
        begun_server("pooler", pooler(postgres_server, folder)) as port,
    ):
        yield port


def new_place(kind: str, request: pytest.FixtureRequest, folder: Path) -> Place:
    """Return a place of a kind where nothing is yet."""
    name = uuid.uuid4().hex[:12]
    real = OUTSIDE.get(f"PERSONASYNC_TEST_{kind.upper()}_URL")
    if real and f"{kind}_server" not in request.fixturenames:  # those do things to their server
        joined = f"{real}&state={name}" if "?" in real else f"{real}?state={name}"
        location = joined if kind == "postgres" else f"{real.rstrip('/')}/{name}"
        return Place(kind, location, OUTSIDE)
    match kind:
        case "file":
            return Place(kind, str(folder / "personas.state.jsonl"))
        case "memory":
            return _in_memory()
        case "s3":
            s3: servers.S3 = request.getfixturevalue("s3_server")
            return Place(kind, f"s3://{s3.bucket}/{name}", s3.environment())
        case "azure":
            azure: servers.Azure = request.getfixturevalue("azure_server")
            return Place(kind, f"az://{azure.bucket}/{name}", azure.environment())
        case "gcs":
            address: str = request.getfixturevalue("gcs_server")
            return Place(kind, f"gs://voices/{name}", {"STORAGE_EMULATOR_HOST": address})
        case _:
            server: servers.Postgres = request.getfixturevalue("postgres_server")
            port = request.getfixturevalue("pooler_port") if kind == "pooler" else server.port
            return Place(kind, f"{server.url(port=port)}?state={name}", server.environment())


def _in_memory() -> Place:
    from obstore.store import MemoryStore

    from personasync.state.background import SystemClock
    from personasync.state.holder import this_holder
    from personasync.state.objects import ObstoreBucket
    from personasync.state.segments import SegmentLog, begin
    from personasync.state.shared import SharedLog

    bucket, clock, location = ObstoreBucket(MemoryStore(), "voices"), SystemClock(), "memory"
    begin(bucket, clock, location, Header(uuid.uuid4().hex, API))
    return Place(
        "memory",
        location,
        opened=lambda: SharedLog(SegmentLog(bucket, clock, location, holder=this_holder), api=API),
    )


@pytest.fixture
def place_of(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Place]:
    """Make places by their kinds; this process has what it needs to get there."""

    def made(kind: str) -> Place:
        place = new_place(kind, request, tmp_path)
        for name, value in place.environment.items():
            monkeypatch.setenv(name, value)
        return place

    return made


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, place_of: Callable[[str], Place]) -> Place:
    """A place of each kind, with a state begun there."""
    made = place_of(request.param)
    made.begin()
    return made


@pytest.fixture(params=SHARED)
def shared(request: pytest.FixtureRequest, place_of: Callable[[str], Place]) -> Place:
    """A shared place of each kind, with a state begun there."""
    made = place_of(request.param)
    made.begin()
    return made
