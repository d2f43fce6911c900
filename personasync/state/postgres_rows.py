"""The rows of a state in PostgreSQL: each question and each change is one transaction.

The idea of the segments in one statement: the head row's ``seq`` moves from
what the writer expects, in the epoch that is the writer's, or nothing is
inserted. A batch has a name of its own, so sending it again after a lost
connection finds what became of it.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from personasync.model.errors import StateError
from personasync.state.bucket import READ_SECONDS, Clock, patiently
from personasync.state.codec import decode_line, encode_entry
from personasync.state.entry import Entry, Header, ServiceMoved
from personasync.state.hold import SECONDS
from personasync.state.log import Held, Holder
from personasync.state.postgres_connection import STATEMENT_SECONDS, Rows, Transactions
from personasync.state.store_words import no_state

LAYOUT: Final = 1
APPEND_SECONDS: Final = 60.0
_RESCUE_SECONDS: Final = 10.0
_READING_SECONDS: Final = 900.0
_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@dataclass(frozen=True, slots=True)
class Head:
    """The row of a state, as it was found: who has it, and how far its log has come."""

    holder: str | None
    at: str | None
    epoch: int
    seq: int
    layout: int


@dataclass(frozen=True, slots=True)
class StateRows:
    """The rows of the state ``name``; ``place`` is what errors call it.

    Raises ``BucketError`` where the server does not do it, and ``StateError``
    where the rows are not as they should be.
    """

    database: Transactions
    clock: Clock
    name: str
    place: str

    def read(self) -> tuple[Header, list[Entry | ServiceMoved], list[Entry | ServiceMoved]]:
        """Return what the head row says, what the log holds, and what was rescued beside it."""
        heads, rows, rescued = self.ask(READ, seconds=_READING_SECONDS, begin=_READING)
        if not heads:
            raise no_state(self.place)
        ((lineage, api, seq, layout),) = heads
        _check_layout(self.place, layout)
        for expected, (number, _text) in enumerate(rows, start=1):
            if number != expected:
                raise _damaged(self.place, f"row {expected} of personasync_log is missing")
        if len(rows) != seq:
            raise _damaged(
                self.place,
                f"its end is gone: row {seq} of personasync_log was there, and nothing is"
                f" behind row {len(rows)}",
            )
        return (
            Header(lineage=lineage, api=api),
            [self._line(text, f"row {number}") for number, text in rows],
            [self._line(text, f"the rescued row {name}") for name, text in rescued],
        )

    def rescued(self) -> list[tuple[str, str]]:
        """Return what was rescued and is not in the log: its names and lines."""
        (rescued,) = self.ask(RESCUED)
        return [(name, text) for name, text in rescued]

    def append(self, epoch: int, seq: int, batch: uuid.UUID, lines: Sequence[str]) -> bool:
        """Append after row ``seq``; whether they are there, whichever try put them there."""
        moved, found = self.ask(
            APPEND,
            patience=APPEND_SECONDS,
            epoch=epoch,
            expected=seq,
            count=len(lines),
            batch=batch,
            entries=list(lines),
        )
        return bool(moved[0][0]) or found[0][0] == len(lines)

    def rescue(self, run: str, entries: Sequence[Entry]) -> None:
        """Keep entries beside the log, under names of their own."""
        nonce = uuid.uuid4().hex[:12]
        names = [f"{run}-{nonce}-{number}" for number in range(1, len(entries) + 1)]
        self.ask(RESCUE, patience=_RESCUE_SECONDS, names=names, run=run, entries=lines_of(entries))

    def take(self, holder: str) -> Head:
        """Let a holder have the state if it is free; return the head row as it is then."""
        (found,) = self.ask(TAKE, holder=holder)
        if not found:
            raise no_state(self.place)
        head = Head(*found[0])
        _check_layout(self.place, head.layout)
        return head

    def held(self) -> Held | None:
        """Return who holds the state; ``None`` if nobody does."""
        (found,) = self.ask(HELD)
        if not found:
            raise no_state(self.place)
        holder, at, until = found[0]
        return Held(holder_of(holder), at) if holder and until is not None else None

    def ask(
        self,
        statements: str,
        *,
        patience: float = READ_SECONDS,
        seconds: float = STATEMENT_SECONDS,
        begin: str = "BEGIN",
        **values: object,
    ) -> Rows:
        """Run statements within ``seconds``; ask again for ``patience`` while it stays unclear."""
        given = {"state": self.name, **values}
        run = partial(self.database.run, statements, given, seconds=seconds, begin=begin)
        return patiently(self.clock, run, patience)

    def _line(self, text: str, where: str) -> Entry | ServiceMoved:
        try:
            entry = decode_line(text.encode() + b"\n")
        except ValueError as error:
            raise _damaged(self.place, f"{where} cannot be read: {error}") from None
        if isinstance(entry, Header):
            raise _damaged(self.place, f"{where} is no entry")
        return entry


def _check_layout(place: str, layout: int) -> None:
    if layout != LAYOUT:
        raise StateError(
            f"the state {place} has the layout {layout}, and this version reads {LAYOUT}"
        )


def _damaged(place: str, what: str) -> StateError:
    return StateError(
        f"the state {place} is damaged: {what}",
        hint="nothing was changed; restore the table from a backup",
    )


def lines_of(entries: Sequence[Entry | ServiceMoved]) -> list[str]:
    """Return entries as the table has them."""
    return [encode_entry(entry).decode().rstrip("\n") for entry in entries]


def holder_of(text: str | None) -> Holder | None:
    """Read the column ``holder``; ``None`` for what it cannot be."""
    try:
        fields = json.loads(text or "")
        fields.pop("nonce", None)
        return Holder(**fields)
    except (ValueError, TypeError, AttributeError):
        return None


def batch_of(rescued: str) -> uuid.UUID:
    """Name the batch that takes a rescued row in after that row: it is taken in once."""
    return uuid.UUID(hashlib.md5(rescued.encode(), usedforsecurity=False).hexdigest())


_LEASE: Final = f"interval '{int(SECONDS)} seconds'"

RESCUED: Final = """
SELECT name, entry FROM {rescue} r WHERE state = %(state)s AND NOT EXISTS (
  SELECT FROM {log} l WHERE l.state = r.state AND l.batch = md5(r.name)::uuid) ORDER BY at, name
"""
READ: Final = f"""
SELECT lineage, api, seq, layout FROM {{state}} WHERE state = %(state)s;
SELECT seq, entry FROM {{log}} WHERE state = %(state)s ORDER BY seq;
{RESCUED}"""
TAKE: Final = f"""
UPDATE {{state}} SET epoch = epoch + 1, holder = %(holder)s,
  lease_until = clock_timestamp() + {_LEASE}
  WHERE state = %(state)s AND (holder IS NULL OR lease_until < clock_timestamp());
SELECT holder, to_char((lease_until - {_LEASE}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
  epoch, seq, layout FROM {{state}} WHERE state = %(state)s
"""
HELD: Final = f"""
SELECT holder, to_char((lease_until - {_LEASE}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
  lease_until FROM {{state}} WHERE state = %(state)s
"""
UNLOCK: Final = """
UPDATE {state} SET epoch = epoch + 1, holder = NULL, lease_until = NULL WHERE state = %(state)s
"""
RENEW: Final = f"""
UPDATE {{state}} SET lease_until = clock_timestamp() + {_LEASE}
  WHERE state = %(state)s AND epoch = %(epoch)s RETURNING 1
"""
RELEASE: Final = """
UPDATE {state} SET holder = NULL, lease_until = NULL
  WHERE state = %(state)s AND epoch = %(epoch)s RETURNING 1
"""
APPEND: Final = """
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
RESCUE: Final = """
INSERT INTO {rescue} (state, name, run, at, entry)
SELECT %(state)s, line.name, %(run)s, clock_timestamp(), line.entry
FROM unnest(%(names)s::text[], %(entries)s::text[]) AS line(name, entry)
ON CONFLICT DO NOTHING
"""
LOOK: Final = "SELECT current_setting('server_encoding'), to_regclass(%(name)s) IS NOT NULL"
CREATE: Final = """
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
BEGIN: Final = """
INSERT INTO {state} (state, layout, lineage, api)
VALUES (%(state)s, %(layout)s, %(lineage)s, %(api)s) ON CONFLICT DO NOTHING RETURNING 1
"""
