"""A state as rows in PostgreSQL.

The idea of the segments in one statement: the head row's ``seq`` moves from
what the writer expects, in the epoch that is the writer's, or nothing is
inserted. A batch has a name of its own, so sending it again after a lost
connection finds what became of it. Nothing of a session is used: no session
lock, no ``SET``, no prepared statement; so a pooler in transaction mode may
stand between.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Protocol

from personasync.model.errors import NoStateError, StateError, StateWriteError
from personasync.model.steps import Command, NextStep
from personasync.state.background import Call, at_last
from personasync.state.bucket import BucketError, Clock, RefusedError, UnclearError, patiently
from personasync.state.codec import decode_line, encode_entry
from personasync.state.entry import Entry, Header, Moved
from personasync.state.lease import SECONDS, locked_error, now, surely_held
from personasync.state.locations import Location
from personasync.state.log import Holder, LogContents, settled

if TYPE_CHECKING:
    import psycopg

_Row = tuple[Any, ...]
_Rows = list[list[_Row]]

LAYOUT: Final = 1
APPEND_SECONDS: Final = 60.0
_RESCUE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 1.0
_CONNECT_SECONDS: Final = 8.0
_STATEMENT_SECONDS: Final = 25.0
_READING_SECONDS: Final = 900.0

_AGAIN: Final = frozenset({"57P01", "57P02", "57P03", "57014", "40001", "40P01", "53300", "55P03"})
"""A server that stops or starts, time-outs, dead locks, no room for a connection, a row lock."""
_NO_TABLES: Final = frozenset({"42P01", "3F000"})
_CONNECTION: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "application_name": "personasync",
    "client_encoding": "utf8",
}


class Transactions(Protocol):
    """What carries out transactions."""

    def run(
        self,
        statements: str,
        values: Mapping[str, object],
        *,
        seconds: float = ...,
        begin: str = ...,
    ) -> _Rows:
        """Run statements as one transaction within a time, and return each one's rows.

        Raises ``RefusedError``, or ``UnclearError`` where nobody knows whether it was done.
        """

    def close(self) -> None:
        """Let go of the server; the next use reaches it anew."""


class Database:
    """Connections to one database, made again when one is lost.

    Whatever goes wrong is a ``RefusedError``, or an ``UnclearError`` where the
    same may be tried again: after one good connection, a lost one.
    """

    def __init__(self, location: Location) -> None:
        try:
            import psycopg
        except ImportError:
            from personasync.state.objects import missing_extra

            raise missing_extra("postgresql", "psycopg", "postgres") from None
        self._psycopg = psycopg
        self._location = location
        self._tables = _tables(location)
        self._connection: psycopg.Connection[Any] | None = None
        self._connected = False
        self._guard = threading.Lock()  # a renewal comes from beside the run

    def run(
        self,
        statements: str,
        values: Mapping[str, object],
        *,
        seconds: float = _STATEMENT_SECONDS,
        begin: str = "BEGIN",
    ) -> _Rows:
        """Run statements as one transaction in one message, and return each one's rows."""
        from psycopg import sql

        text = sql.SQL(
            f"{begin}; SET LOCAL statement_timeout = '{int(seconds * 800)}';"
            f" SET LOCAL lock_timeout = '10s'; SET LOCAL synchronous_commit = on; {statements};"
            " COMMIT"
        ).format(**self._tables)
        with self._guard:
            connection = self._connect()
            try:
                return Call(lambda: _rows(self._psycopg, connection, text, values)).wait(seconds)
            except TimeoutError:
                self._connection = None  # whatever it still does, it does alone
                raise UnclearError("it does not answer in time") from None
            except self._psycopg.Error as error:
                self._drop(connection)
                raise self._told(error) from None

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is not None:
            return self._connection
        try:
            self._connection = Call(self._new).wait(_CONNECT_SECONDS)
        except TimeoutError:
            raise self._unreached("it does not answer in time") from None
        except self._psycopg.Error as error:
            raise self._unreached(self._words(error)) from None
        self._connected = True
        return self._connection

    def _new(self) -> psycopg.Connection[Any]:
        where = self._location
        given = {k: v for k, v in where.parameters.items() if k not in ("state", "schema")}
        if where.place:
            host, port = _hosts(where.place)
            given |= {"host": host, **({"port": port} if port else {})}
        if where.prefix:
            given["dbname"] = where.prefix
        for name, value in (("user", where.user), ("password", where.password)):
            if value is not None:
                given[name] = value
        # Nothing is prepared: behind a pooler the next statement may meet another server process.
        return self._psycopg.connect(
            self._psycopg.conninfo.make_conninfo("", **{**_CONNECTION, **given}),
            autocommit=True,
            prepare_threshold=None,
        )

    def _drop(self, connection: psycopg.Connection[Any]) -> None:
        """A failed transaction, or a connection of which nobody knows what it is in."""
        self._connection = None
        with suppress(self._psycopg.Error):
            connection.close()

    def table(self, name: str) -> str:
        """Return how SQL names a table, in its schema."""
        return str(self._tables[name].as_string())

    def close(self) -> None:
        """Close the connection; the next use makes another."""
        with self._guard:
            if self._connection is not None:
                self._drop(self._connection)

    def _unreached(self, words: str) -> BucketError:
        """A first connection that fails is told at once; a later one is tried again."""
        return UnclearError(words) if self._connected else RefusedError(words)

    def _told(self, error: psycopg.Error) -> BucketError:
        code, words = error.sqlstate, self._words(error)
        if code in _NO_TABLES:
            return _NoTablesError(words)
        if code == "25006":
            return RefusedError("this server is a read-only replica")
        lost = code is None and isinstance(error, self._psycopg.OperationalError)
        again = lost or code in _AGAIN or (code or "").startswith("08")
        return UnclearError(words) if again else RefusedError(words)

    def _words(self, error: psycopg.Error) -> str:
        words = error.diag.message_primary or str(error).partition("\n")[0]
        words = words.removeprefix("connection failed: ") or type(error).__name__
        if self._location.password:
            words = words.replace(self._location.password, "***")
        return "".join(sign if sign.isprintable() else " " for sign in words)


class _NoTablesError(RefusedError):
    """Nothing was ever begun in this database."""


class PostgresLog:
    """A shared state in PostgreSQL; it must have been begun.

    ``beating`` keeps a renewal going beside the run for as long as its context
    lasts; without it, whoever drives the log renews.
    """

    def __init__(
        self,
        location: Location,
        database: Transactions,
        clock: Clock,
        *,
        holder: Callable[[], Holder],
        beating: Callable[[Callable[[], None]], AbstractContextManager[object]] | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._location = location.text
        self._name = location.parameters.get("state", "default")
        self._holder = holder
        self._beating = beating or (lambda _renew: nullcontext())
        self._epoch: int | None = None
        self._seq = 0
        self._uses = 0
        self._taken_in = 0
        self._renewed = (0.0, 0.0)
        self._lost: StateWriteError | None = None
        self._guard = threading.RLock()
        self.header: Header | None = None

    @property
    def location(self) -> str:
        """The URL, without secrets."""
        return self._location

    def read(self) -> LogContents:
        """Return all that the rows say; nothing is written, so a replica will do."""
        with self._telling("read"), self._connected():
            head, rows, rescued = patiently(self._clock, self._read)
        lines = [self._entry(text, f"row {seq}") for seq, text in rows]
        lines += [self._entry(text, f"the rescued row {name}") for name, text in rescued]
        count = len(rescued) + (self._taken_in if self._epoch is not None else 0)
        were = "1 entry was" if count == 1 else f"{count} entries were"
        notes = [f"{were} rescued beside {self._location} and taken in"] if count else []
        self.header, entries = settled(Header(lineage=head[0], api=head[1]), lines)
        return LogContents(self.header, tuple(entries), tuple(notes))

    @contextmanager
    def lock(
        self, *, timeout: float = 0.0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> Iterator[None]:
        """Hold the state against other writers, and take in what was rescued."""
        with self._connected():
            with self._telling("lock"):
                self._take(timeout, on_wait)
            try:
                with self._beating(self.renew):
                    with self._telling("lock"):
                        self._take_rescued_in()
                    yield
            finally:
                at_last(self._release)

    def append(self, entries: Sequence[Entry | Moved]) -> None:
        """Append entries in one transaction; they are durable when this returns."""
        lines = [encode_entry(entry).decode().rstrip("\n") for entry in entries]
        with self._guard:
            self._append(lines, uuid.uuid4())

    def compact(self) -> None:
        """Nothing to do: one statement reads it all."""

    def confirm(self) -> None:
        """Before something is sent: raise ``StateWriteError`` unless the state is surely ours."""
        if self._lost is not None:
            raise self._lost
        if self._epoch is None:
            raise StateWriteError(f"the state {self._location} is not locked")
        surely_held(self._clock, self._location, lambda: self._renewed, self.renew)

    def renew(self) -> None:
        """Show that the run lives. Raises ``StateWriteError`` once another has the state."""
        with self._guard:
            if self._lost is not None:
                raise self._lost
            if self._epoch is None:
                return
            moment = now(self._clock)
            (renewed,) = self._run(_RENEW, epoch=self._epoch)
            if not renewed:
                self._lost = self._taken_over()
                raise self._lost
            self._renewed = moment

    def rescue(self, entries: Sequence[Entry]) -> str | None:
        """Keep entries beside the log, under names of their own; ``None`` if that failed."""
        run = next((entry.run for entry in entries if entry.run), None) or "run"
        nonce = uuid.uuid4().hex[:12]
        names = [f"{run}-{nonce}-{number}" for number in range(1, len(entries) + 1)]
        lines = [encode_entry(entry).decode().rstrip("\n") for entry in entries]
        try:
            with self._connected():
                patiently(
                    self._clock,
                    lambda: self._run(_RESCUE, names=names, run=run, entries=lines),
                    _RESCUE_SECONDS,
                )
        except BucketError:
            return None
        return f"personasync_rescue of {self._location}"

    def intact(self) -> bool:
        """Whether nobody else has written: not after a failover that lost rows either."""
        return self._lost is None

    def verify(self) -> str:
        """Check every row from the first; say what there is. Raises ``StateError``."""
        contents = self.read()
        return f"{len(contents.entries)} rows, each in its place"

    def held(self) -> tuple[Holder | None, str | None] | None:
        """Return who holds the state, and their last sign of life; ``None`` if nobody does."""
        with self._telling("read"), self._connected():
            (found,) = patiently(self._clock, lambda: self._run(_HELD))
        if not found:
            raise self._no_state()
        text, at, alive = found[0]
        return (_decode_holder(text), at) if text and alive is not None else None

    def unlock(self) -> None:
        """Take the state from whoever holds it: they are fenced off, and rescue what they have."""
        with self._telling("unlock"), self._connected():
            patiently(self._clock, lambda: self._run(_UNLOCK))

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Close the connection after the outermost use of it."""
        self._uses += 1
        try:
            yield
        finally:
            self._uses -= 1
            if not self._uses:
                at_last(self._database.close)

    # Reading.

    def _read(self) -> tuple[_Row, list[_Row], list[_Row]]:
        heads, rows, rescued = self._run(
            _READ,
            seconds=_READING_SECONDS,
            begin="BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        )
        if not heads:
            raise self._no_state()
        head = heads[0]
        self._check_layout(head[3])
        for expected, (seq, _entry) in enumerate(rows, start=1):
            if seq != expected:
                raise self._damaged(f"row {expected} of personasync_log is missing")
        if len(rows) != head[2]:
            raise self._damaged(
                f"its end is gone: row {head[2]} of personasync_log was there, and nothing is"
                f" behind row {len(rows)}"
            )
        return head, rows, rescued

    def _entry(self, text: str, where: str) -> Entry | Moved:
        try:
            entry = decode_line(text.encode() + b"\n")
        except ValueError as error:
            raise self._damaged(f"{where} cannot be read: {error}") from None
        if isinstance(entry, Header):
            raise self._damaged(f"{where} is no entry")
        return entry

    # Holding.

    def _take(self, timeout: float, on_wait: Callable[[Holder | None], None] | None) -> None:
        holder = json.dumps({**asdict(self._holder()), "nonce": uuid.uuid4().hex})
        began, asked = self._clock.monotonic(), False
        self._lost = None
        while True:
            moment = now(self._clock)
            taken, present = patiently(
                self._clock, lambda: self._run(_TAKE, holder=holder, seconds=_STATEMENT_SECONDS)
            )
            if not present:
                raise self._no_state()
            ours = present[0][0] == holder
            if taken or ours:
                _holder, _alive, epoch, seq, layout = (*present[0],)
                self._check_layout(layout)
                if taken:
                    epoch, seq = taken[0]
                self._epoch, self._seq, self._renewed = epoch, seq, moment
                return
            who = _decode_holder(present[0][0])
            left = began + timeout - self._clock.monotonic()
            if left <= 0:
                raise locked_error(self._location, who, present[0][1])
            if on_wait is not None and not asked:
                on_wait(who)
                asked = True
            self._clock.sleep(min(_POLL_SECONDS, left))

    def _take_rescued_in(self) -> None:
        (rescued,) = patiently(self._clock, lambda: self._run(_RESCUED))
        for name, entry in rescued:
            self._append([entry], _batch_of(name))
        self._taken_in = len(rescued)

    def _release(self) -> None:
        with self._guard:
            epoch, self._epoch = self._epoch, None
            if epoch is not None and self._lost is None:
                with suppress(BucketError):  # others wait a lease long
                    patiently(self._clock, lambda: self._run(_RELEASE, epoch=epoch), 5.0)

    # Writing.

    def _append(self, lines: Sequence[str], batch: uuid.UUID) -> None:
        if self._lost is not None:
            raise self._lost
        if self._epoch is None:
            raise StateWriteError(f"the state {self._location} is not locked")
        values: dict[str, Any] = {
            "epoch": self._epoch,
            "expected": self._seq,
            "count": len(lines),
            "batch": batch,
            "entries": list(lines),
        }
        try:
            moved, found = patiently(
                self._clock, lambda: self._run(_APPEND, **values), APPEND_SECONDS
            )
        except RefusedError as error:
            raise self._write_error(error) from error
        except UnclearError as error:
            # The last try may still commit, and the next batch would meet it: there is no next.
            self._lost = self._write_error(error)
            raise self._lost from error
        if not moved[0][0] and found[0][0] != len(lines):
            self._lost = self._taken_over()
            raise self._lost
        self._seq += len(lines)

    def _run(
        self,
        statement: str,
        *,
        seconds: float = _STATEMENT_SECONDS,
        begin: str = "BEGIN",
        **values: object,
    ) -> _Rows:
        return self._database.run(
            statement, {"state": self._name, **values}, seconds=seconds, begin=begin
        )

    # What is said.

    @contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        try:
            yield
        except _NoTablesError:
            raise self._no_state() from None
        except BucketError as error:
            raise StateError(f"cannot {doing} the state {self._location}: {error}") from error

    def _check_layout(self, layout: int) -> None:
        if layout != LAYOUT:
            raise StateError(
                f"the state {self._location} has the layout {layout}, and this version reads"
                f" {LAYOUT}"
            )

    def _write_error(self, error: BucketError) -> StateWriteError:
        return StateWriteError(
            f"cannot write the state {self._location}: {error}",
            hint="mend that, and run the same command again",
        )

    def _taken_over(self) -> StateWriteError:
        return StateWriteError(
            f"another run has taken the state {self._location} over, or its server has lost rows",
            hint="what was not appended is rescued, and taken in by the next run",
        )

    def _damaged(self, what: str) -> StateError:
        return StateError(
            f"the state {self._location} is damaged: {what}",
            hint="nothing was changed; restore the table from a backup",
        )

    def _no_state(self) -> StateError:
        return NoStateError(
            f"there is no state at {self._location}",
            hint=NextStep("begin one: ", Command("state init", (self._location,))),
        )


def begin(location: Location, header: Header) -> None:
    """Begin a state where none is, with the tables if there are none.

    Raises ``StateError`` if one is there, or none can be kept.
    """
    database = Database(location)
    values = {
        "state": location.parameters.get("state", "default"),
        "lineage": header.lineage,
        "api": header.api,
        "layout": LAYOUT,
    }
    try:
        ((encoding, there),) = database.run(_LOOK, {"name": database.table("state")})[0]
        if encoding != "UTF8":
            raise RefusedError(
                f"its encoding is {encoding}, which cannot hold every text, not UTF8"
            )
        if not there:
            database.run(_CREATE, {})
        (begun,) = database.run(_BEGIN, values)
    except BucketError as error:
        raise StateError(f"cannot begin the state {location.text}: {error}") from error
    finally:
        database.close()
    if not begun:
        raise StateError(f"there is a state at {location.text} already", hint="nothing was changed")


def _rows(
    psycopg: Any, connection: psycopg.Connection[Any], text: Any, values: Mapping[str, object]
) -> _Rows:
    """Send everything as one message; values are bound here, so that nothing is prepared."""
    cursor = psycopg.ClientCursor(connection)
    cursor.execute(text, values or None)
    found = []
    while True:
        if cursor.description is not None:
            found.append(cursor.fetchall())
        if not cursor.nextset():
            return found


def _tables(location: Location) -> dict[str, Any]:
    from psycopg import sql

    schema = location.parameters.get("schema")
    return {
        name: sql.Identifier(*([schema] if schema else []), f"personasync_{name}")
        for name in ("state", "log", "rescue", "forbid")
    }


def _hosts(place: str) -> tuple[str, str]:
    """Return hosts and ports as libpq lists them; an IPv6 address stands in brackets."""
    hosts, ports = [], []
    for each in place.split(","):
        host, _, port = (
            each.rpartition(":") if each.rpartition(":")[2].isdigit() else (each, "", "")
        )
        hosts.append(host.strip("[]"))
        ports.append(port)
    return ",".join(hosts), ",".join(ports) if any(ports) else ""


def _decode_holder(text: str | None) -> Holder | None:
    try:
        fields = json.loads(text or "")
        fields.pop("nonce", None)
        return Holder(**fields)
    except (ValueError, TypeError, AttributeError):
        return None


def _batch_of(rescued: str) -> uuid.UUID:
    """Name the batch that takes a rescued row in after that row: it is taken in once."""
    import hashlib

    return uuid.UUID(hashlib.md5(rescued.encode(), usedforsecurity=False).hexdigest())


_LEASE: Final = f"interval '{int(SECONDS)} seconds'"

_READ: Final = """
SELECT lineage, api, seq, layout FROM {state} WHERE state = %(state)s;
SELECT seq, entry FROM {log} WHERE state = %(state)s ORDER BY seq;
SELECT name, entry FROM {rescue} r WHERE state = %(state)s AND NOT EXISTS (
  SELECT FROM {log} l WHERE l.state = r.state AND l.batch = md5(r.name)::uuid) ORDER BY at, name
"""
_RESCUED: Final = """
SELECT name, entry FROM {rescue} r WHERE state = %(state)s AND NOT EXISTS (
  SELECT FROM {log} l WHERE l.state = r.state AND l.batch = md5(r.name)::uuid) ORDER BY at, name
"""
_TAKE: Final = f"""
UPDATE {{state}} SET epoch = epoch + 1, holder = %(holder)s,
  lease_until = clock_timestamp() + {_LEASE}
  WHERE state = %(state)s AND (holder IS NULL OR lease_until < clock_timestamp())
  RETURNING epoch, seq;
SELECT holder, to_char((lease_until - {_LEASE}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
  epoch, seq, layout FROM {{state}} WHERE state = %(state)s
"""
_HELD: Final = f"""
SELECT holder, to_char((lease_until - {_LEASE}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
  lease_until FROM {{state}} WHERE state = %(state)s
"""
_UNLOCK: Final = """
UPDATE {state} SET epoch = epoch + 1, holder = NULL, lease_until = NULL WHERE state = %(state)s
"""
_RENEW: Final = f"""
UPDATE {{state}} SET lease_until = clock_timestamp() + {_LEASE}
  WHERE state = %(state)s AND epoch = %(epoch)s RETURNING 1
"""
_RELEASE: Final = """
UPDATE {state} SET holder = NULL, lease_until = NULL
  WHERE state = %(state)s AND epoch = %(epoch)s RETURNING 1
"""
_APPEND: Final = """
WITH head AS (
  UPDATE {state} SET seq = seq + %(count)s
  WHERE state = %(state)s AND epoch = %(epoch)s AND seq = %(expected)s
  RETURNING seq
), added AS (
  INSERT INTO {log} (state, seq, batch, n, epoch, at, entry)
  SELECT %(state)s, head.seq - %(count)s + line.n, %(batch)s::uuid, line.n, %(epoch)s,
    clock_timestamp(), line.entry
  FROM head, unnest(%(entries)s::text[]) WITH ORDINALITY AS line(entry, n)
  RETURNING 1
)
SELECT (SELECT count(*) FROM head);
SELECT count(*) FROM {log} WHERE state = %(state)s AND batch = %(batch)s::uuid
"""
_RESCUE: Final = """
INSERT INTO {rescue} (state, name, run, at, entry)
SELECT %(state)s, line.name, %(run)s, clock_timestamp(), line.entry
FROM unnest(%(names)s::text[], %(entries)s::text[]) AS line(name, entry)
ON CONFLICT DO NOTHING
"""
_LOOK: Final = "SELECT current_setting('server_encoding'), to_regclass(%(name)s) IS NOT NULL"
_CREATE: Final = """
SELECT pg_advisory_xact_lock(5770331909226519);
CREATE TABLE IF NOT EXISTS {state} (
  state text PRIMARY KEY, layout int NOT NULL, lineage text NOT NULL, api text NOT NULL,
  epoch bigint NOT NULL DEFAULT 0, seq bigint NOT NULL DEFAULT 0,
  holder text, lease_until timestamptz);
CREATE TABLE IF NOT EXISTS {log} (
  state text NOT NULL, seq bigint NOT NULL, batch uuid NOT NULL, n int NOT NULL,
  epoch bigint NOT NULL, at timestamptz NOT NULL, entry text NOT NULL,
  PRIMARY KEY (state, seq), UNIQUE (state, batch, n));
CREATE TABLE IF NOT EXISTS {rescue} (
  state text NOT NULL, name text NOT NULL, run text NOT NULL, at timestamptz NOT NULL,
  entry text NOT NULL, PRIMARY KEY (state, name));
CREATE OR REPLACE FUNCTION {forbid}() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN RAISE EXCEPTION ''the log of personasync only grows''; END';
DROP TRIGGER IF EXISTS personasync_only_grows ON {log};
CREATE TRIGGER personasync_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON {log}
  FOR EACH STATEMENT EXECUTE FUNCTION {forbid}()
"""
_BEGIN: Final = """
INSERT INTO {state} (state, layout, lineage, api)
VALUES (%(state)s, %(layout)s, %(lineage)s, %(api)s) ON CONFLICT DO NOTHING RETURNING 1
"""
