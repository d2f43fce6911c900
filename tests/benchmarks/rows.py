"""The rows of the table: each measures personasync beside a peer or a limit."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from tests.backends import servers
from tests.backends.proxy import before_store
from tests.benchmarks import data
from tests.benchmarks.measure import Command, Run, in_turn, middle, ratio
from tests.benchmarks.peers import Bench, environment

HERE = Path(__file__).parent
LATENCY = 0.2
AT_A_TIME = 10
RATE = 20
PUT_SECONDS = 0.03


@dataclass(frozen=True)
class Sizes:
    """How much is measured. ``rounds`` are for commands of seconds, ``quick_rounds`` for faster."""

    rounds: int
    quick_rounds: int
    large_rounds: int
    scale: tuple[int, ...]
    creates: int
    shared: int
    paced: int
    period: float
    appends: int

    def rounds_for(self, count: int) -> int:
        """Return how often a command about so many personas is run."""
        if count <= 1_000:
            return self.quick_rounds
        return self.rounds if count <= 10_000 else self.large_rounds


@dataclass(frozen=True)
class Row:
    """One row; ``met`` is ``None`` where there is no budget or nothing to compare."""

    what: str
    ours: str
    beside: str = ""
    other: str = ""
    ratio: str = ""
    budget: str = ""
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the row as the table shows it."""
        met = {True: "met", False: "MISSED", None: ""}[self.met]
        return (self.what, self.ours, self.beside, self.other, self.ratio, self.budget, met)


class Workbench:
    """Builds the commands, each in a folder of its own."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.folder = folder
        self.env = environment()

    def personasync(self, folder: Path, *args: str, **settings: object) -> Command:
        """Return a personasync command."""
        command = [str(self.bench.python), str(self.bench.personasync), *args]
        return Command(command, folder, self.env, **settings)  # type: ignore[arg-type]

    def python(self, folder: Path, *args: str, **settings: object) -> Command:
        """Return a run of the same interpreter."""
        return Command([str(self.bench.python), *args], folder, self.env, **settings)  # type: ignore[arg-type]

    def inside(self, folder: Path, *args: str, **settings: object) -> Command:
        """Return a run of ``inside.py``."""
        return self.python(folder, str(HERE / "inside.py"), *args, **settings)

    def recorded(self, count: int) -> Path:
        """Return a folder in which so many personas are asked for, and all recorded."""
        folder = self.folder / f"recorded-{count}"
        if not folder.exists():
            data.write_manifest(folder, count)
            data.write_state(folder, count)
        return folder

    def octodns(self, count: int) -> Command | None:
        """Return octoDNS's plan of as many records, none of which has changed."""
        if self.bench.octodns is None:
            return None
        folder = self.folder / f"zone-{count}"
        if not folder.exists():
            data.write_zone(folder, count)
        command = [str(self.bench.python), str(self.bench.octodns), "--config-file=config.yaml"]
        return Command(command, folder, self.env)

    def wanted(self, count: int) -> Path:
        """Return a folder in which so many personas are asked for, and none recorded."""
        folder = self.folder / f"wanted-{count}"
        if not folder.exists():
            data.write_manifest(folder, count)
        return folder

    @contextmanager
    def sandbox(self, *options: str) -> Iterator[str]:
        """Serve the stand-in from another process; it gives IDs again, run after run."""
        args = ["sandbox", "--port=0", "--repeat=same-id", "--quiet", *options]
        command = self.personasync(self.folder, *args)
        with subprocess.Popen(
            command.args,
            cwd=command.folder,
            env=command.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            try:
                yield process.stdout.readline().strip()
            finally:
                process.terminate()

    def apply(self, folder: Path, url: str, *options: str, terminal: bool = False) -> Command:
        """Return an apply of everything, from an empty state."""
        args = ["apply", "--auto-approve", f"--base-url={url}", *options]
        before = partial(_forget, folder)
        return self.personasync(folder, *args, before=before, terminal=terminal)


# Commands that wait for nothing: processor time, which other work on the machine does not stretch


def _start_up(bench: Workbench, sizes: Sizes) -> Iterator[Row]:
    folder = bench.recorded(50)
    click = bench.python(folder, "-c", "import click")
    for args, budget in ((["--version"], 1.5), (["--help"], None)):
        ours, bare = in_turn(sizes.quick_rounds, bench.personasync(folder, *args), click)
        yield _compared(f"personasync {args[0]}", ours, 'python -c "import click"', bare, budget)


def _plans(bench: Workbench, sizes: Sizes) -> Iterator[Row]:
    for count, budget in ((50, 1.0), (1_000, None), (10_000, 0.5)):
        what = f"plan, {count:,} personas"
        plan = bench.personasync(bench.recorded(count), "plan")
        octodns = bench.octodns(count)
        rounds = sizes.rounds_for(count)
        if octodns is None:
            (ours,) = in_turn(rounds, plan)
            yield Row(what, _ms(ours), "octoDNS plan", "not installed")
            continue
        ours, others = in_turn(rounds, plan, octodns)
        yield _compared(what, ours, "octoDNS plan", others, budget)
    count = 10_000
    rows, none = in_turn(
        sizes.rounds,
        bench.personasync(bench.wanted(count), "plan"),
        bench.personasync(bench.recorded(count), "plan"),
    )
    yield _compared(f"plan, {count:,} to create", rows, "all recorded", none)


def _growth(bench: Workbench, sizes: Sizes) -> Iterator[Row]:
    """Time and memory of a plan in which everything is recorded, at every size."""
    before: tuple[int, float] | None = None
    for count in sizes.scale:
        plan = bench.personasync(bench.recorded(count), "plan")
        (runs,) = in_turn(sizes.rounds_for(count), plan)
        seconds, peak = middle(runs, "cpu"), middle(runs, "peak")
        if before is None:
            yield Row(f"plan, {count:,}: growth", _ms(runs))
        else:
            factor = seconds / before[1]
            budget = count == 100_000
            yield Row(
                f"plan, {count:,}: growth",
                _ms(runs),
                f"plan, {before[0]:,}",
                _milliseconds(before[1]),
                f"{factor:.2f}",
                "<= 11" if budget else "",
                factor <= 11 if budget else None,
            )
        each = peak / count
        yield Row(
            f"plan, {count:,}: peak memory",
            f"{peak / 1024:.0f} MiB",
            "personas",
            f"{count:,}",
            f"{each:.2f} KiB each",
            "<= 4 KiB" if count == 100_000 else "",
            each <= 4 if count == 100_000 else None,
        )
        before = count, seconds


def _loading(bench: Workbench, sizes: Sizes) -> Iterator[Row]:
    folder = bench.recorded(10_000)
    read = "import yaml; d = open('personas.yaml', 'rb'); "
    bare = bench.python(folder, "-c", read + "yaml.load(d, yaml.CSafeLoader)")
    nodes = bench.python(folder, "-c", read + "yaml.compose(d, yaml.CSafeLoader)")
    validate = bench.personasync(folder, "validate")
    ours, loads, composes = in_turn(sizes.rounds_for(10_000), validate, bare, nodes)
    yield _compared("validate, 10,000 personas", ours, "bare yaml.load", loads)
    yield _compared("validate, 10,000 personas", ours, "composing nodes", composes)
    (runs,) = in_turn(sizes.rounds_for(10_000), bench.inside(folder, "shape", "personas.yaml"))
    parse, check = _medians(runs)
    yield Row(
        "schema, 10,000 valid personas",
        _milliseconds(check),
        "parsing them",
        _milliseconds(parse),
        f"{check / parse:.2f}",
        "<= 1",
        check <= parse,
    )


def _state(bench: Workbench, sizes: Sizes) -> Iterator[Row]:
    count = sizes.scale[-1]
    folders = [bench.recorded(each) for each in (count, 50)]
    (runs,) = in_turn(
        sizes.large_rounds,
        bench.inside(
            folders[0],
            "append",
            str(sizes.appends),
            *(str(folder / "grown.jsonl") for folder in folders),
            before=partial(_grow, *folders),
        ),
    )
    after_large, after_small = _medians(runs)
    yield Row(
        f"an append to {count:,} lines",
        _milliseconds(after_large),
        "to 50 lines",
        _milliseconds(after_small),
        f"{after_large / after_small:.2f}",
    )


# Applies


def _applies(bench: Workbench, sizes: Sizes) -> Iterator[Row]:
    count = sizes.creates
    folder = bench.wanted(count)
    options = (f"--parallelism={AT_A_TIME}", "--rate-limit=none")
    loop = str(HERE / "plain_loop.py")
    with bench.sandbox(f"--latency={LATENCY:.3f}s") as url:
        slow, shown = in_turn(
            sizes.large_rounds,
            bench.apply(folder, url, *options),
            bench.apply(folder, url, *options, terminal=True),
        )
        seconds, limit = middle(slow, "wall"), count / AT_A_TIME * LATENCY
        yield Row(
            f"apply, {count} creates, 200 ms, 10 at a time",
            f"{count / seconds:.1f} a second",
            "latency allows",
            f"{count / limit:.0f} a second",
            f"{limit / seconds:.3f}",
            ">= 0.9",
            limit / seconds >= 0.9,
        )
        yield _timed("it with a progress bar", shown, "without", slow)
        (synced,) = in_turn(1, _counting(bench, folder, url, options))
        syncs = _medians(synced)[0]
        yield Row(
            "its syncs", f"{syncs:.0f}", "its appends", f"{2 * count}", f"{syncs / (2 * count):.2f}"
        )
    with bench.sandbox() as url:
        ours, others = in_turn(
            sizes.rounds,
            bench.apply(folder, url, *options),
            bench.python(folder, loop, url, "personas.yaml", "recorded.json"),
        )
        state = (folder / "personas.state.jsonl").stat().st_size
        yield _timed(f"apply, {count} creates, no latency", ours, "a plain loop", others)
        yield from _written(ours, others, state, (folder / "recorded.json").stat().st_size)


def _written(ours: list[Run], others: list[Run], state: int, recorded: int) -> Iterator[Row]:
    if ours[0].written is None:
        yield Row("bytes it wrote", "not counted by this system")
        return
    written, rewritten = middle(ours, "written"), middle(others, "written")
    yield Row(
        "bytes it wrote",
        _kib(written),
        "its final state",
        _kib(state),
        f"{written / state:.2f}",
        "<= 3",
        written <= 3 * state,
    )
    yield Row(
        "bytes the plain loop wrote",
        _kib(rewritten),
        "its final file",
        _kib(recorded),
        f"{rewritten / recorded:.2f}",
    )


def _paced(bench: Workbench, sizes: Sizes) -> Iterator[Row]:
    """So many creates that the window fills several times; the first one is free at once."""
    count = sizes.paced
    folder = bench.wanted(count)
    rate = f"--rate-limit={RATE}/{sizes.period:g}s"
    with bench.sandbox(rate) as url:
        run = bench.apply(folder, url, rate).run()
    limit = (count - 1) // RATE * sizes.period
    yield Row(
        f"apply, {count} creates at {RATE}/{sizes.period:g}s",
        f"{run.wall:.2f} s",
        "the rate allows",
        f"{limit:.0f} s",
        f"{run.wall / limit:.3f}",
        "<= 1.05",
        run.wall <= 1.05 * limit,
    )


# Shared states


def _shared(bench: Workbench, sizes: Sizes) -> Iterator[Row]:
    """A store that is slow to write, and large states on stores that answer at once."""
    try:
        with servers.s3(bench.folder / "s3") as store:
            yield from _slow_store(bench, sizes, store)
            url = f"s3://{store.bucket}/large"
            yield from _large_store(bench, sizes, "S3", url, store.environment())
    except servers.Missing as reason:
        yield Row("shared states on S3", f"not measured: {str(reason)[:60]}")
    try:
        with servers.open_folder() as folder, servers.postgres(folder) as database:
            environment = database.environment()
            yield from _large_store(bench, sizes, "PostgreSQL", database.url(), environment)
    except servers.Missing as reason:
        yield Row("shared states in PostgreSQL", f"not measured: {str(reason)[:60]}")


def _slow_store(bench: Workbench, sizes: Sizes, store: servers.S3) -> Iterator[Row]:
    count = sizes.shared
    folder = bench.wanted(count)
    options = (f"--parallelism={AT_A_TIME}", "--rate-limit=none")
    seconds = []
    with (
        bench.sandbox(f"--latency={LATENCY:.3f}s") as url,
        before_store(store.port, delay=PUT_SECONDS) as proxy,
    ):
        env = store.environment(endpoint=proxy.address)
        for number in range(sizes.large_rounds):
            state = f"--state=s3://{store.bucket}/slow-{number}"
            begin = bench.personasync(folder, "state", "init", f"--base-url={url}", state)
            _with(begin, env).run()
            seconds.append(_with(bench.apply(folder, url, state, *options), env).run().wall)
    middle_one, limit = sorted(seconds)[len(seconds) // 2], count / AT_A_TIME * LATENCY
    yield Row(
        f"apply, {count} creates, a store of {PUT_SECONDS * 1000:.0f} ms a write",
        f"{count / middle_one:.1f} a second",
        "latency allows",
        f"{count / limit:.0f} a second",
        f"{limit / middle_one:.3f}",
        ">= 0.85",
        limit / middle_one >= 0.85,
    )


def _large_store(
    bench: Workbench, sizes: Sizes, kind: str, url: str, env: Mapping[str, str]
) -> Iterator[Row]:
    count = sizes.scale[-1]
    folder = bench.recorded(count)
    _with(bench.personasync(folder, "state", "copy", "personas.state.jsonl", url), env).run()
    plan = bench.personasync(folder, "plan")
    shared = _with(bench.personasync(folder, "plan", f"--state={url}"), env)
    ours, others = in_turn(sizes.large_rounds, shared, plan)
    yield _timed(f"plan, {count:,} on {kind}", ours, "on a file", others, 2)


def _with(command: Command, env: Mapping[str, str]) -> Command:
    return replace(command, env={**command.env, **env})


def _counting(bench: Workbench, folder: Path, url: str, options: tuple[str, ...]) -> Command:
    args = ["apply", "--auto-approve", f"--base-url={url}", *options]
    return bench.inside(folder, "syncs", *args, before=partial(_forget, folder))


# Words and figures


def _compared(
    what: str, ours: list[Run], beside: str, others: list[Run], budget: float | None = None
) -> Row:
    """Compare the processor time of commands that wait for nothing."""
    factor = ratio(ours, others, "cpu")
    met = None if budget is None else factor <= budget
    limit = "" if budget is None else f"<= {budget:g}"
    return Row(what, _ms(ours), beside, _ms(others), f"{factor:.2f}", limit, met)


def _timed(
    what: str, ours: list[Run], beside: str, others: list[Run], budget: float | None = None
) -> Row:
    """Compare how long commands take that wait for answers and disks."""
    seconds = [f"{middle(runs, 'wall'):.2f} s" for runs in (ours, others)]
    factor = ratio(ours, others, "wall")
    met = None if budget is None else factor <= budget
    limit = "" if budget is None else f"<= {budget:g}"
    return Row(what, seconds[0], beside, seconds[1], f"{factor:.2f}", limit, met)


def _medians(runs: list[Run]) -> list[float]:
    """Return the median of each figure that ``inside.py`` reported."""
    reports = [json.loads(run.stdout.splitlines()[-1]) for run in runs]
    return [sorted(figures)[len(figures) // 2] for figures in zip(*reports, strict=True)]


def _ms(runs: list[Run]) -> str:
    return _milliseconds(middle(runs, "cpu"))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"


def _kib(size: float) -> str:
    return f"{size / 1024:.0f} KiB"


def _forget(folder: Path) -> None:
    """Take away what an apply recorded, so that the next one starts afresh."""
    for path in folder.glob("personas.state.jsonl*"):
        path.unlink()


def _grow(*folders: Path) -> None:
    for folder in folders:
        with (folder / "grown.jsonl").open("wb") as file:
            file.write((folder / "personas.state.jsonl").read_bytes())
            os.fsync(file.fileno())  # or the first append would wait for all of it


SECTIONS: Final[Mapping[str, Callable[[Workbench, Sizes], Iterator[Row]]]] = {
    "start": _start_up,
    "plan": _plans,
    "growth": _growth,
    "loading": _loading,
    "state": _state,
    "apply": _applies,
    "rate": _paced,
    "shared": _shared,
}
"""The parts of the table, in its order."""
