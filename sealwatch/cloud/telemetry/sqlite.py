"""The embedded telemetry store: one SQLite file in WAL mode beside the records.

A point is a row of a table clustered by (series, time), so a curve is one range scan. A point written again keeps one
row; a later gap never erases a measurement (the rule of InfluxDB, where a null field is simply not written). What is
older than the raw days is read from roll-ups, which `maintain` makes (`sealwatch telemetry retention`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sealwatch.cloud.ports import Series
from sealwatch.cloud.telemetry import columns, reading, rollups
from sealwatch.cloud.telemetry.reading import Query, Tier, extremes
from sealwatch.cloud.telemetry.setup import Retention
from sealwatch.cloud.telemetry.thinning import Point

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
  series_id INTEGER PRIMARY KEY,
  site_id TEXT NOT NULL, metric TEXT NOT NULL, source_id TEXT NOT NULL, node_id TEXT NOT NULL,
  UNIQUE (site_id, metric, source_id, node_id)
);
CREATE TABLE IF NOT EXISTS points (
  series_id INTEGER NOT NULL, at_ms INTEGER NOT NULL, value REAL,
  PRIMARY KEY (series_id, at_ms)
) WITHOUT ROWID;
"""
_WRITE = """
INSERT INTO points VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET value = excluded.value WHERE excluded.value IS NOT NULL
"""
_SERIES = """
SELECT source_id, series_id FROM series WHERE site_id = ? AND metric = ? AND (? IS NULL OR source_id = ?)
ORDER BY source_id, series_id
"""
_READ = "SELECT at_ms, value FROM points WHERE series_id = ? AND at_ms BETWEEN ? AND ? ORDER BY at_ms"
_RAW_WINDOWS = """
SELECT (at_ms - :from) / :width AS slot, min(value), max(value) FROM points
WHERE series_id = :series AND at_ms BETWEEN :from AND :to GROUP BY slot
"""
_ROLLED_WINDOWS = """
SELECT (at_ms - :from) / :width AS slot, min(low), max(high) FROM {table}
WHERE series_id = :series AND at_ms BETWEEN :from AND :to GROUP BY slot
"""


class SqliteTelemetry:
    """Safe for any number of threads, and for several processes on one machine (readers never wait for a writer)."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises OSError where its folder can't be written."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write_lock = threading.Lock()
        self._series_ids: dict[tuple[str, str, str, str], int] = {}
        self._idle_lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._writer = self._open()
        self._writer.executescript(_SCHEMA + rollups.SCHEMA)

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self._path, timeout=30.0, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            raise OSError(f"{self._path}: the telemetry file can't be opened: {error}") from None
        # FULL: the WAL is fsynced at every commit, so what was acknowledged to a node survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def write(
        self,
        *,
        site_id: str,
        node_id: str,
        source_id: str,
        at_ms: Sequence[int],
        values: Mapping[str, Sequence[float | None]],
    ) -> None:
        """Store columns in one transaction. Raises ValueError where a column and its times differ in length."""
        block = columns.Columns(site_id=site_id, node_id=node_id, source_id=source_id, at_ms=at_ms, values=values)
        self.write_blocks([block])

    def write_blocks(self, blocks: Sequence[columns.Columns]) -> None:
        """Store all blocks in one transaction. Raises ValueError where a column and its times differ in length."""
        for block in blocks:
            columns.check(block.at_ms, block.values)
        with self._write_lock:
            new: dict[tuple[str, str, str, str], int] = {}
            with self._transaction() as writer:
                done_ms = rollups.progress(writer).rolled_to_ms
                rows = [row for block in blocks for row in self._rows(writer, new, block, done_ms)]
                writer.executemany(_WRITE, rows)
            self._series_ids.update(new)

    def _rows(
        self,
        writer: sqlite3.Connection,
        new: dict[tuple[str, str, str, str], int],
        block: columns.Columns,
        done_ms: int,
    ) -> Iterator[tuple[int, int, float | None]]:
        for metric, column in block.values.items():
            series_id = self._series(new, (block.site_id, metric, block.source_id, block.node_id))
            rollups.note_late(writer, series_id, block.at_ms, done_ms)
            for at, value in zip(block.at_ms, column, strict=True):
                yield series_id, at, columns.finite(value)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The writing connection inside a transaction; the write lock must be held."""
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise

    def names(self) -> list[tuple[str, str]]:
        """Metrics and sources that have series, as `SeriesGuard` wants them."""
        with self._reader() as reader:
            rows = reader.execute(
                "SELECT 'metric', metric FROM series UNION SELECT 'source', site_id || '/' || source_id FROM series"
            ).fetchall()
        return [(str(kind), str(found)) for kind, found in rows]

    def maintain(self, *, now_ms: int, retention: Retention | None = None) -> rollups.Report:
        """Make roll-ups and delete what is past its time; an explicit job, meant for once an hour."""

        def transaction(work: Callable[[sqlite3.Connection], None]) -> None:
            with self._write_lock, self._transaction() as writer:
                work(writer)

        return rollups.run(transaction, retention or Retention(), now_ms)

    def _series(self, new: dict[tuple[str, str, str, str], int], key: tuple[str, str, str, str]) -> int:
        known = self._series_ids.get(key) or new.get(key)
        if known is not None:
            return known
        self._writer.execute(
            "INSERT INTO series (site_id, metric, source_id, node_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", key
        )
        row = self._writer.execute(
            "SELECT series_id FROM series WHERE site_id = ? AND metric = ? AND source_id = ? AND node_id = ?", key
        ).fetchone()
        new[key] = int(row[0])
        return new[key]

    def read(
        self,
        *,
        site_id: str,
        metric: str,
        from_ms: int,
        to_ms: int,
        source_id: str | None = None,
        max_points: int = 600,
    ) -> dict[str, Series]:
        """Series by source_id with points in ``[from_ms, to_ms]``, thinned; sources without any are left out."""
        query = Query(site_id=site_id, metric=metric, from_ms=from_ms, to_ms=to_ms, source_id=source_id)
        with self._reader() as reader:
            progress = rollups.progress(reader)
            return reading.read(
                _View(reader),
                query,
                max_points=max_points,
                raw_from_ms=progress.raw_from_ms,
                rolled_to_ms=progress.rolled_to_ms,
            )

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """A connection of this thread alone for one read; returned to the pool afterwards."""
        with self._idle_lock:
            if self._closed:
                raise ValueError(f"{self._path}: the telemetry store is closed")
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._open()
        try:
            yield connection
        finally:
            self._release(connection)

    def _release(self, connection: sqlite3.Connection) -> None:
        with self._idle_lock:
            if self._closed:
                connection.close()
            else:
                self._idle.append(connection)

    def close(self) -> None:
        """Close every connection; may be called twice."""
        with self._idle_lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        with self._write_lock:
            self._writer.close()


class _View:
    """The tables as `reading` wants them, over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def _series(self, query: Query) -> list[tuple[str, int]]:
        wanted = (query.site_id, query.metric, query.source_id, query.source_id)
        return self._connection.execute(_SERIES, wanted).fetchall()

    def exact(self, query: Query, limit: int) -> dict[str, list[Point]] | None:  # noqa: ARG002 - a file has no far end
        """Every raw point by source; two nodes that told the same source's story are merged."""
        found: dict[str, list[Point]] = {}
        for source, series_id in self._series(query):
            rows = self._connection.execute(_READ, (series_id, query.from_ms, query.to_ms)).fetchall()
            if source in found:
                found[source] = sorted(found[source] + rows, key=lambda point: point[0])
            else:
                found[source] = rows
        return found

    def windows(self, query: Query, tier: Tier, width_ms: int) -> dict[str, list[Point]]:
        """Smallest and largest value of each window, by source."""
        statement = _RAW_WINDOWS if tier is Tier.RAW else _ROLLED_WINDOWS.format(table=tier)
        slots: dict[str, dict[int, tuple[float | None, float | None]]] = {}
        for source, series_id in self._series(query):
            asked = {"series": series_id, "from": query.from_ms, "to": query.to_ms, "width": width_ms}
            mine = slots.setdefault(source, {})
            for slot, low, high in self._connection.execute(statement, asked):
                known = mine.get(slot, (None, None))
                lows = [v for v in (known[0], low) if v is not None]
                highs = [v for v in (known[1], high) if v is not None]
                mine[slot] = (min(lows, default=None), max(highs, default=None))
        return {
            source: [
                point
                for slot, (low, high) in sorted(mine.items())
                for point in extremes(query.from_ms + slot * width_ms, width_ms, low, high, gap=True)
            ]
            for source, mine in slots.items()
        }
