"""Points on their way to a server, on disk: a store that is down or slow never holds up anything else.

A block is durable (SQLite WAL, fsync at commit) when `add` returns, and leaves, oldest first, when the server has
answered that it took it. Policy when the spool is full: new points are refused, never old ones dropped - what was
acknowledged to a node is kept, and what was not waits on the node. Blocks that the server will never take are set
aside with their reason, the newest thousand of them with their content.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.reading import HOUR_MS

SET_ASIDE: Final = 1000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
  id INTEGER PRIMARY KEY AUTOINCREMENT, added_at_ms INTEGER NOT NULL, points INTEGER NOT NULL, body BLOB NOT NULL,
  held_until_ms INTEGER
);
CREATE INDEX IF NOT EXISTS held ON waiting (held_until_ms) WHERE held_until_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS set_aside (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
  points INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names (kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS late (hour_ms INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY CHECK (one = 1), rolled_to_ms INTEGER NOT NULL);
INSERT OR IGNORE INTO progress VALUES (1, 0);
"""


class SpoolFullError(OSError):
    """The spool has reached its bound; the points must be offered again later."""


class _Block(msgspec.Struct, array_like=True):
    site_id: str
    node_id: str
    source_id: str
    at_ms: list[int]
    values: dict[str, list[float | None]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Block).decode


@dataclass(frozen=True, slots=True)
class Waiting:
    """One block and its place in the queue."""

    id: int
    block: Columns
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolState:
    """What waits, since when, and what was ever counted (accepted, sent, refused_full, set_aside.<reason>, ...)."""

    blocks: int
    points: int
    size_bytes: int
    oldest_added_at_ms: int | None
    counts: Mapping[str, int]


class Spool:
    """Safe for any number of threads of one process."""

    def __init__(self, path: Path, *, max_bytes: int = 2 * 1024**3) -> None:
        """Open or create the file. Raises OSError where it can't be."""
        self._path, self._max_bytes = path, max_bytes
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL").fetchall()
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise OSError(f"{path}: the spool can't be opened: {error}") from None
        self._size_bytes = int(
            self._connection.execute("SELECT coalesce(sum(length(body)), 0) FROM waiting").fetchone()[0]
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise OSError(f"{self._path}: the spool can't be written: {error}") from error

    def add(
        self,
        blocks: Sequence[Columns],
        *,
        now_ms: int,
        overflow: Mapping[str, int] | None = None,
        new_names: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Keep blocks; durable when it returns. Raises SpoolFullError, OSError."""
        rows = [
            (
                now_ms,
                block.points,
                _encode(
                    _Block(
                        block.site_id,
                        block.node_id,
                        block.source_id,
                        list(block.at_ms),
                        {name: list(column) for name, column in block.values.items()},
                    )
                ),
            )
            for block in blocks
        ]
        size_bytes = sum(len(body) for _, _, body in rows)
        if rows and self._size_bytes + size_bytes > self._max_bytes:
            self.count({"refused_full": sum(points for _, points, _ in rows)})
            raise SpoolFullError(
                f"{self._path}: {self._max_bytes // 2**20} MiB of points wait already; "
                "mend the store, or raise spool_mib"
            )
        with self._transaction() as connection:
            connection.executemany("INSERT INTO waiting (added_at_ms, points, body) VALUES (?, ?, ?)", rows)
            _count(connection, {"accepted": sum(points for _, points, _ in rows)} | dict(overflow or {}))
            connection.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", list(new_names))
            self._size_bytes += size_bytes

    def oldest(self, max_points: int) -> list[Waiting]:
        """The blocks whose turn it is: together about `max_points`, at least one where any waits."""
        found: list[Waiting] = []
        points = 0
        with self._lock:
            rows = self._connection.execute(
                "SELECT id, points, body FROM waiting WHERE held_until_ms IS NULL ORDER BY id LIMIT 5000"
            )
            for entry, count, body in rows:
                if found and points + count > max_points:
                    break
                block = _decode(body)
                found.append(
                    Waiting(
                        entry,
                        Columns(
                            site_id=block.site_id,
                            node_id=block.node_id,
                            source_id=block.source_id,
                            at_ms=block.at_ms,
                            values=block.values,
                        ),
                        len(body),
                    )
                )
                points += count
            rows.close()
        return found

    def release(self, sent: Sequence[Waiting], *, hold_until_ms: int | None = None) -> None:
        """The server has taken these; they are kept until `hold_until_ms` where its word alone is not enough."""
        with self._transaction() as connection:
            done_ms = int(connection.execute("SELECT rolled_to_ms FROM progress").fetchone()[0])
            hours = {at // HOUR_MS * HOUR_MS for one in sent for at in one.block.at_ms if at < done_ms}
            connection.executemany("INSERT OR IGNORE INTO late VALUES (?)", [(hour,) for hour in hours])
            if hold_until_ms is None:
                self._remove(connection, sent)
            else:
                connection.executemany(
                    "UPDATE waiting SET held_until_ms = ? WHERE id = ?", [(hold_until_ms, one.id) for one in sent]
                )
            _count(connection, {"sent": sum(one.block.points for one in sent)})

    def set_aside(self, one: Waiting, *, reason: str, detail: str, now_ms: int) -> None:
        """The server will never take this one; keep it where a person can look."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO set_aside (at_ms, reason, detail, points, body) "
                "SELECT ?, ?, ?, points, body FROM waiting WHERE id = ?",
                (now_ms, reason, detail[:500], one.id),
            )
            connection.execute("DELETE FROM set_aside WHERE id <= (SELECT max(id) FROM set_aside) - ?", (SET_ASIDE,))
            self._remove(connection, [one])
            _count(connection, {f"set_aside.{reason}": one.block.points})

    def let_go(self, now_ms: int) -> None:
        """Forget what was held long enough."""
        with self._transaction() as connection:
            gone = connection.execute("DELETE FROM waiting WHERE held_until_ms <= ? RETURNING length(body)", (now_ms,))
            self._size_bytes -= sum(int(row[0]) for row in gone.fetchall())

    def take_back(self) -> int:
        """The server may have forgotten what is held: all of it waits again, in its old place. How many blocks."""
        with self._transaction() as connection:
            done = connection.execute("UPDATE waiting SET held_until_ms = NULL WHERE held_until_ms IS NOT NULL")
            if done.rowcount:
                _count(connection, {"blocks_sent_again": done.rowcount})
            return done.rowcount

    def _remove(self, connection: sqlite3.Connection, gone: Sequence[Waiting]) -> None:
        connection.executemany("DELETE FROM waiting WHERE id = ?", [(one.id,) for one in gone])
        self._size_bytes -= sum(one.size_bytes for one in gone)

    def count(self, more: Mapping[str, int]) -> None:
        """Add to the counts."""
        with self._transaction() as connection:
            _count(connection, more)

    def names(self) -> list[tuple[str, str]]:
        """What the guard admitted in earlier runs."""
        with self._lock:
            return [(str(kind), str(name)) for kind, name in self._connection.execute("SELECT kind, name FROM names")]

    def begin_roll_up(self, to_ms: int) -> tuple[int, list[int]]:
        """Where the last job ended, and hours that got points since; from now on points before `to_ms` are late."""
        with self._transaction() as connection:
            before = int(connection.execute("SELECT rolled_to_ms FROM progress").fetchone()[0])
            late = [int(row[0]) for row in connection.execute("SELECT hour_ms FROM late ORDER BY hour_ms")]
            connection.execute("UPDATE progress SET rolled_to_ms = ?", (max(before, to_ms),))
        return before, late

    def end_roll_up(self, hours: Iterable[int]) -> None:
        """These late hours are rolled up."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM late WHERE hour_ms = ?", [(hour,) for hour in hours])

    def add_late(self, hours: Iterable[int]) -> None:
        """Hours that the job must still do."""
        with self._transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO late VALUES (?)", [(hour,) for hour in hours])

    def state(self) -> SpoolState:
        """What waits now."""
        with self._lock:
            blocks, points, oldest = self._connection.execute(
                "SELECT count(*), coalesce(sum(points), 0), min(added_at_ms) FROM waiting WHERE held_until_ms IS NULL"
            ).fetchone()
            counts = Counter(
                {str(name): int(value) for name, value in self._connection.execute("SELECT name, value FROM counts")}
            )
        return SpoolState(
            blocks=blocks, points=points, size_bytes=self._size_bytes, oldest_added_at_ms=oldest, counts=counts
        )

    def close(self) -> None:
        """Close the file; what waits is sent after the next start."""
        with self._lock:
            self._connection.close()


def _count(connection: sqlite3.Connection, more: Mapping[str, int]) -> None:
    connection.executemany(
        "INSERT INTO counts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [(name, value) for name, value in more.items() if value],
    )
