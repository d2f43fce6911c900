"""Connections to PostgreSQL: one transaction is one message, and one answer.

Nothing of a session is used: no session lock, no ``SET``, no prepared
statement; so a pooler in transaction mode may stand between.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from personasync.model.spelling import one_line
from personasync.state.background import Call, at_last
from personasync.state.bucket import BucketError, NothingBegunError, RefusedError, UnclearError
from personasync.state.locations import Location

if TYPE_CHECKING:
    import psycopg

Row: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = list[list[Row]]
"""The rows of each statement of a transaction that has any."""

STATEMENT_SECONDS: Final = 25.0
_CONNECT_SECONDS: Final = 8.0

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
    ) -> Rows:
        """Run statements as one transaction within a time, and return each one's rows.

        Raises ``RefusedError``, or ``UnclearError`` where nobody knows whether it was done.
        """

    def connected(self) -> AbstractContextManager[None]:
        """Let go of the server after the outermost use of this; a next one reaches it anew."""


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
        self._reached = False
        self._uses = 0
        self._guard = threading.Lock()  # a renewal comes from beside the run

    def run(
        self,
        statements: str,
        values: Mapping[str, object],
        *,
        seconds: float = STATEMENT_SECONDS,
        begin: str = "BEGIN",
    ) -> Rows:
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
            raise self._unreached(_words(error, self._location.password)) from None
        self._reached = True
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

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Close the connection after the outermost use of this; a next one makes another."""
        self._uses += 1
        try:
            yield
        finally:
            self._uses -= 1
            if not self._uses:
                at_last(self._close)

    def _close(self) -> None:
        with self._guard:
            if self._connection is not None:
                self._drop(self._connection)

    def _unreached(self, words: str) -> BucketError:
        """A first connection that fails is told at once; a later one is tried again."""
        return UnclearError(words) if self._reached else RefusedError(words)

    def _told(self, error: psycopg.Error) -> BucketError:
        code, words = error.sqlstate, _words(error, self._location.password)
        if code in _NO_TABLES:
            return NothingBegunError(words)
        if code == "25006":
            return RefusedError("this server is a read-only replica")
        lost = code is None and isinstance(error, self._psycopg.OperationalError)
        again = lost or code in _AGAIN or (code or "").startswith("08")
        return UnclearError(words) if again else RefusedError(words)


def _words(error: psycopg.Error, secret: str | None) -> str:
    words = error.diag.message_primary or str(error).partition("\n")[0]
    words = words.removeprefix("connection failed: ") or type(error).__name__
    return one_line(words.replace(secret, "***") if secret else words)


def _rows(
    psycopg: Any, connection: psycopg.Connection[Any], text: Any, values: Mapping[str, object]
) -> Rows:
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
