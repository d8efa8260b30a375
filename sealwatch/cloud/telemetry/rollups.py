"""Minute and hour roll-ups inside the embedded store, and the deletion of what is past its time.

A roll-up row knows smallest, largest, sum and number of measurements of its minute (hour); a row without any says that
somebody tried and got nothing. `rolled_to_ms` is announced before the work begins, so that a point that arrives late,
during the job too, is noted in `late` and its hour is computed again by the next run. Everything may be repeated.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sealwatch.cloud.telemetry.reading import DAY_MS, HOUR_MS, Tier
from sealwatch.cloud.telemetry.setup import Retention

SETTLE_MS: Final = 5 * 60_000
"""An hour is rolled up once it is over by this much; points are usually late by seconds."""

SCHEMA: Final = (
    "".join(
        f"""
CREATE TABLE IF NOT EXISTS {tier} (
  series_id INTEGER NOT NULL, at_ms INTEGER NOT NULL, low REAL, high REAL, total REAL NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (series_id, at_ms)
) WITHOUT ROWID;"""
        for tier in (Tier.MINUTES, Tier.HOURS)
    )
    + """
CREATE TABLE IF NOT EXISTS late (
  series_id INTEGER NOT NULL, hour_ms INTEGER NOT NULL, PRIMARY KEY (series_id, hour_ms)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (
  one INTEGER PRIMARY KEY CHECK (one = 1), rolled_to_ms INTEGER NOT NULL, doing_from_ms INTEGER,
  raw_from_ms INTEGER NOT NULL
);
INSERT OR IGNORE INTO progress VALUES (1, 0, NULL, 0);
"""
)
_KEEP = (
    "ON CONFLICT DO UPDATE SET low = excluded.low, high = excluded.high, total = excluded.total, count = excluded.count"
)
# Raw points of this hour are gone already: what came late is added to what is known.
_ADD = """ON CONFLICT DO UPDATE SET
  low = min(coalesce(low, excluded.low), coalesce(excluded.low, low)),
  high = max(coalesce(high, excluded.high), coalesce(excluded.high, high)),
  total = total + excluded.total, count = count + excluded.count"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one run did."""

    rolled_to_ms: int
    late_hours: int
    deleted_points: int
    deleted_rows: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Roll-ups are complete before `rolled_to_ms`, late points apart; raw points before `raw_from_ms` are gone."""

    rolled_to_ms: int
    raw_from_ms: int


def progress(connection: sqlite3.Connection) -> Progress:
    """How far the job has come; zeros where it never ran."""
    rolled, raw = connection.execute("SELECT rolled_to_ms, raw_from_ms FROM progress").fetchone()
    return Progress(int(rolled), int(raw))


def run(
    transaction: Callable[[Callable[[sqlite3.Connection], None]], None], retention: Retention, now_ms: int
) -> Report:
    """Roll up every whole hour, then delete what is too old; one short transaction for each series.

    `transaction` runs a function inside a write transaction, so that writers wait for one series at most.
    """
    to_ms = (now_ms - SETTLE_MS) // HOUR_MS * HOUR_MS
    raw_from_ms = (now_ms - retention.raw_days * DAY_MS) // HOUR_MS * HOUR_MS if retention.raw_days else 0
    begin: list[int] = []
    series: list[int] = []

    def announce(connection: sqlite3.Connection) -> None:
        rolled, doing, raw = connection.execute(
            "SELECT rolled_to_ms, doing_from_ms, raw_from_ms FROM progress"
        ).fetchone()
        # A run that was cut off begins again where it had begun.
        begin.append(int(rolled if doing is None else doing))
        connection.execute(
            "UPDATE progress SET doing_from_ms = ?, rolled_to_ms = ?, raw_from_ms = ?",
            (begin[0], max(to_ms, rolled), max(raw, raw_from_ms)),
        )
        series.extend(int(found[0]) for found in connection.execute("SELECT series_id FROM series"))

    transaction(announce)
    from_ms = begin[0]
    counts = [0, 0, 0]

    for series_id in series:

        def one(connection: sqlite3.Connection, series_id: int = series_id) -> None:
            late, points, rows = _series(connection, series_id, (from_ms, to_ms, raw_from_ms), retention, now_ms)
            counts[0] += late
            counts[1] += points
            counts[2] += rows

        transaction(one)
    transaction(_done)
    return Report(rolled_to_ms=to_ms, late_hours=counts[0], deleted_points=counts[1], deleted_rows=counts[2])


def _done(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE progress SET doing_from_ms = NULL")


def _series(
    connection: sqlite3.Connection, series_id: int, span: tuple[int, int, int], retention: Retention, now_ms: int
) -> tuple[int, int, int]:
    """One series: late hours, new hours, then deletion; numbers of late hours, deleted points and deleted rows."""
    from_ms, to_ms, raw_from_ms = span
    late = [
        int(row[0])
        for row in connection.execute(
            "SELECT hour_ms FROM late WHERE series_id = ? AND hour_ms < ?", (series_id, to_ms)
        )
    ]
    for hour_ms in late:
        whole = hour_ms >= raw_from_ms or not _has_rows(connection, series_id, hour_ms)
        _roll(connection, series_id, hour_ms, hour_ms + HOUR_MS, _KEEP if whole else _ADD)
    connection.execute("DELETE FROM late WHERE series_id = ? AND hour_ms < ?", (series_id, to_ms))
    _roll(connection, series_id, from_ms, to_ms, _KEEP)
    points = rows = 0
    if raw_from_ms:
        done = connection.execute("DELETE FROM points WHERE series_id = ? AND at_ms < ?", (series_id, raw_from_ms))
        points = done.rowcount
    for tier in (Tier.MINUTES, Tier.HOURS):
        if days := retention.days(tier):
            oldest_ms = now_ms - days * DAY_MS
            done = connection.execute(
                f"DELETE FROM {tier} WHERE series_id = ? AND at_ms < ?",  # noqa: S608 - a table of ours
                (series_id, oldest_ms),
            )
            rows += done.rowcount
    return len(late), points, rows


def _has_rows(connection: sqlite3.Connection, series_id: int, hour_ms: int) -> bool:
    row = connection.execute("SELECT 1 FROM hours WHERE series_id = ? AND at_ms = ?", (series_id, hour_ms)).fetchone()
    return row is not None


def _roll(connection: sqlite3.Connection, series_id: int, from_ms: int, to_ms: int, conflict: str) -> None:
    for tier in (Tier.MINUTES, Tier.HOURS):
        connection.execute(
            f"INSERT INTO {tier} "  # noqa: S608 - a table of ours
            "SELECT series_id, at_ms / :width * :width AS slot, min(value), max(value), total(value), count(value) "
            "FROM points WHERE series_id = :series AND at_ms >= :from AND at_ms < :to GROUP BY slot "
            f"{conflict}",
            {"width": tier.width_ms, "series": series_id, "from": from_ms, "to": to_ms},
        )


def note_late(connection: sqlite3.Connection, series_id: int, at_ms: Sequence[int], done_ms: int) -> None:
    """Mark the hours of points that roll-ups have passed already; part of the transaction that writes them.

    `done_ms` is `rolled_to_ms` of `progress`, read inside that transaction.
    """
    if min(at_ms, default=done_ms) >= done_ms:
        return
    hours = {at // HOUR_MS * HOUR_MS for at in at_ms if at < done_ms}
    connection.executemany("INSERT OR IGNORE INTO late VALUES (?, ?)", [(series_id, hour) for hour in hours])
