"""The embedded telemetry store: one SQLite file in WAL mode beside the records.

A point is a row of a table clustered by (series, time), so a curve is one range scan. A point written again keeps one
row; a later gap never erases a measurement (the rule of InfluxDB, where a null field is simply not written).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sealwatch.cloud.ports import Series
from sealwatch.cloud.telemetry import columns
from sealwatch.cloud.telemetry.thinning import Point, thin

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
_READ = """
SELECT s.source_id, p.at_ms, p.value FROM series s JOIN points p USING (series_id)
WHERE s.site_id = ? AND s.metric = ? AND (? IS NULL OR s.source_id = ?) AND p.at_ms BETWEEN ? AND ?
ORDER BY s.source_id, p.at_ms, s.series_id
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
        self._writer.executescript(_SCHEMA)

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
        columns.check(at_ms, values)
        with self._write_lock:
            new: dict[tuple[str, str, str, str], int] = {}
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                for metric, column in values.items():
                    series_id = self._series(new, (site_id, metric, source_id, node_id))
                    self._writer.executemany(
                        _WRITE,
                        ((series_id, at, columns.finite(value)) for at, value in zip(at_ms, column, strict=True)),
                    )
                self._writer.execute("COMMIT")
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._series_ids.update(new)

    def _series(self, new: dict[tuple[str, str, str, str], int], key: tuple[str, str, str, str]) -> int:
        known = self._series_ids.get(key)
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
        with self._reader() as reader:
            rows = reader.execute(_READ, (site_id, metric, source_id, source_id, from_ms, to_ms)).fetchall()
        by_source: dict[str, list[Point]] = {}
        for source, at, value in rows:
            by_source.setdefault(source, []).append((at, value))
        found = {}
        for source, points in by_source.items():
            kept = thin(points, from_ms=from_ms, to_ms=to_ms, max_points=max_points)
            found[source] = Series(metric=metric, at_ms=[p[0] for p in kept], values=[p[1] for p in kept])
        return found

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
