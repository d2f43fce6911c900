"""A state as rows in PostgreSQL."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial

from personasync.model.errors import StateWriteError
from personasync.state.bucket import BucketError, Clock, RefusedError, UnclearError
from personasync.state.entry import Entry, Header, ServiceMoved
from personasync.state.hold import Beating, Hold, Moment, now
from personasync.state.locations import Location
from personasync.state.log import Held, Holder, LogContents, settled
from personasync.state.postgres_connection import Database, Transactions
from personasync.state.postgres_rows import (
    BEGIN,
    CREATE,
    LAYOUT,
    LOOK,
    RELEASE,
    RENEW,
    UNLOCK,
    StateRows,
    batch_of,
    holder_of,
    lines_of,
)
from personasync.state.store_words import (
    begun_already,
    fenced_off,
    not_written,
    taken_in,
    telling,
)


class RowClaim:
    """The claim of one writer: the epoch of the head row, which every taking moves on.

    ``seq`` is how far the log has come since.
    """

    def __init__(self, rows: StateRows, holder: Callable[[], Holder]) -> None:
        self._rows = rows
        self._holder = holder
        self.epoch = 0
        self.seq = 0
        self.renewed: Moment = (0.0, 0.0)

    def attempts(self, _timeout: float) -> Iterator[Held]:
        """Take the state when it is free; yield who has it before each further try."""
        ours = json.dumps({**asdict(self._holder()), "nonce": uuid.uuid4().hex})
        while True:
            moment = now(self._rows.clock)
            head = self._rows.take(ours)
            if head.holder == ours:
                self.epoch, self.seq, self.renewed = head.epoch, head.seq, moment
                return
            yield Held(holder_of(head.holder), head.at)

    def renew(self) -> None:
        """Show that the run lives. Raises ``StateWriteError`` once another has the state."""
        moment = now(self._rows.clock)
        (renewed,) = self._rows.ask(RENEW, patience=0, epoch=self.epoch)
        if not renewed:
            raise taken_over(self._rows.place)
        self.renewed = moment

    def release(self) -> None:
        """Say that the state is free."""
        self._rows.ask(RELEASE, patience=0, epoch=self.epoch)

    def held(self) -> Held | None:
        """Return who holds the state; ``None`` if nobody does."""
        with self._rows.database.connected():
            return self._rows.held()

    def free(self) -> None:
        """Free the state, whoever has it: their epoch is over."""
        with self._rows.database.connected():
            self._rows.ask(UNLOCK)


class PostgresLog:
    """A shared state in PostgreSQL; it must have been begun.

    ``location`` is the URL, without secrets. ``beating`` keeps a renewal going
    beside the run; without it, whoever drives the log renews its ``hold``.
    """

    def __init__(
        self,
        location: Location,
        database: Transactions,
        clock: Clock,
        *,
        holder: Callable[[], Holder],
        beating: Beating | None = None,
    ) -> None:
        self.location = location.text
        self.header: Header | None = None
        self._database = database
        self._rows = StateRows(database, clock, _name(location), location.text)
        self._claim = RowClaim(self._rows, holder)
        self.hold = Hold(self._claim, clock, location.text, beating)
        self._append = partial(append_batch, self._rows, self._claim, self.hold)
        self._taken_in = 0

    def read(self) -> LogContents:
        """Return all that the rows say; nothing is written, so a replica will do."""
        with telling("read", self.location), self._database.connected():
            header, lines, rescued = self._rows.read()
        notes = taken_in(len(rescued) + self._taken_in, self.location)
        self.header, entries = settled(header, [*lines, *rescued])
        return LogContents(self.header, tuple(entries), tuple(notes))

    @contextmanager
    def lock(
        self, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> Iterator[None]:
        """Hold the state against other writers, and take in what was rescued."""
        with self._database.connected(), ExitStack() as stack:
            with telling("lock", self.location):
                stack.enter_context(self.hold.taken(timeout, on_wait))
                rescued = self._rows.rescued()
                for name, line in rescued:
                    self._append([line], batch_of(name))
            self._taken_in = len(rescued)
            try:
                yield
            finally:
                self._taken_in = 0

    def append(self, entries: Sequence[Entry | ServiceMoved]) -> None:
        """Append entries in one transaction; they are durable when this returns."""
        self._append(lines_of(entries), uuid.uuid4())

    def compact(self) -> None:
        """Nothing to do: one statement reads it all."""

    def confirm(self) -> None:
        """Before something is sent: raise ``StateWriteError`` unless the state is surely ours."""
        self.hold.confirm()

    def rescue(self, entries: Sequence[Entry]) -> str | None:
        """Keep entries beside the log, under names of their own; ``None`` if that failed."""
        run = next((entry.run for entry in entries if entry.run), None) or "run"
        try:
            with self._database.connected():
                self._rows.rescue(run, entries)
        except BucketError:
            return None
        return f"personasync_rescue of {self.location}"

    def intact(self) -> bool:
        """Whether nobody else has written: not after a failover that lost rows either."""
        return self.hold.lost is None

    def verify(self) -> str:
        """Check every row from the first; say what there is. Raises ``StateError``."""
        contents = self.read()
        return f"{len(contents.entries)} rows, each in its place"

    def unlock(self) -> None:
        """Take the state from whoever holds it: they are fenced off, and rescue what they have."""
        with telling("unlock", self.location):
            self.hold.free()


def append_batch(
    rows: StateRows, claim: RowClaim, hold: Hold, lines: Sequence[str], batch: uuid.UUID
) -> None:
    """Append lines as one batch while the state is held; raises ``StateWriteError``."""
    with hold.guard:
        hold.check()
        try:
            added = rows.append(claim.epoch, claim.seq, batch, lines)
        except RefusedError as error:
            raise not_written(rows.place, error) from error
        except UnclearError as error:
            # The last try may still commit, and the next batch would meet it: so there is none.
            hold.lost = not_written(rows.place, error)
            raise hold.lost from error
        if not added:
            hold.lost = taken_over(rows.place)
            raise hold.lost
        claim.seq += len(lines)


def begin(location: Location, header: Header) -> None:
    """Begin a state where none is, with the tables if there are none.

    Raises ``StateError`` if one is there, or none can be kept.
    """
    database = Database(location)
    values = {
        "state": _name(location),
        "lineage": header.lineage,
        "api": header.api,
        "layout": LAYOUT,
    }
    with telling("begin", location.text), database.connected():
        ((encoding, there),) = database.run(LOOK, {"name": database.table("state")})[0]
        if encoding != "UTF8":
            raise RefusedError(
                f"its encoding is {encoding}, which cannot hold every text, not UTF8"
            )
        if not there:
            database.run(CREATE, {})
        (begun,) = database.run(BEGIN, values)
    if not begun:
        raise begun_already(location.text)


def taken_over(place: str) -> StateWriteError:
    """Say that the epoch is another's, or that the log ends elsewhere."""
    return fenced_off(place, ", or its server has lost rows")


def _name(location: Location) -> str:
    return location.parameters.get("state", "default")
