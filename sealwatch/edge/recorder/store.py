"""The index of all footage and the chain of everything that was sealed, in one SQLite file.

One file, because closing a segment, sealing its manifest and adding its link must happen together or not at all. WAL
with ``synchronous=FULL``: a commit that returned survives a power cut. A damaged index is set aside, and a new one is
built from the files themselves (`footage.rebuild`), with a new chain whose first link says so.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from sealwatch.base.files import on_read_only_disk
from sealwatch.edge.recorder.segment import FootageError
from sealwatch.evidence.chain import Head

logger = logging.getLogger(__name__)

_SCHEMA: Final = """
    CREATE TABLE segment (
        id INTEGER PRIMARY KEY,
        camera_id TEXT NOT NULL,
        path TEXT NOT NULL UNIQUE,
        boot_id TEXT NOT NULL,
        state TEXT NOT NULL,
        clock_quality TEXT NOT NULL,
        codec TEXT NOT NULL,
        started_at_ms INTEGER NOT NULL,
        started_s REAL NOT NULL,
        length_s REAL NOT NULL DEFAULT 0,
        size_bytes INTEGER NOT NULL DEFAULT 0,
        manifest BLOB
    ) STRICT;
    CREATE INDEX segment_camera ON segment (camera_id, id);
    CREATE TABLE clip (
        id TEXT PRIMARY KEY,
        camera_id TEXT NOT NULL,
        state TEXT NOT NULL,
        job BLOB NOT NULL,
        snapshot BLOB,
        size_bytes INTEGER NOT NULL DEFAULT 0,
        closed_at_ms INTEGER NOT NULL DEFAULT 0,
        manifest BLOB,
        sent INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE link (
        number INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        item_sha256 TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        line BLOB NOT NULL
    ) STRICT;
    CREATE INDEX link_item ON link (item_sha256);
    CREATE TABLE gap (
        id INTEGER PRIMARY KEY, camera_id TEXT NOT NULL, reason TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER
    ) STRICT;
    CREATE TABLE written (
        day TEXT NOT NULL, camera_id TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (day, camera_id)
    ) STRICT, WITHOUT ROWID;
"""
_MIGRATIONS: Final = (
    _SCHEMA,
    "CREATE TABLE sent (day TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
    """
    CREATE TABLE told (id INTEGER PRIMARY KEY, alarm_id TEXT NOT NULL, payload BLOB NOT NULL) STRICT;
    CREATE INDEX told_alarm ON told (alarm_id);
    """,
)
_VERSION: Final = len(_MIGRATIONS)
_SEGMENT: Final = (
    "id, camera_id, path, boot_id, state, clock_quality, codec, started_at_ms, started_s, length_s, size_bytes"
)
MOST_TOLD: Final = 20_000  # alarm messages kept for packs, about 1 kB each; the oldest go first
SegmentState = Literal["open", "closed"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of footage. `path` is below the footage folder; `started_s` is monotonic, of the boot it names."""

    id: int
    camera_id: str
    path: str
    boot_id: str
    state: SegmentState
    clock_quality: str
    codec: str
    started_at_ms: int
    started_s: float
    length_s: float
    size_bytes: int

    @property
    def ended_at_ms(self) -> int:
        return self.started_at_ms + int(self.length_s * 1000)

    @property
    def ended_s(self) -> float:
        return self.started_s + self.length_s


@dataclass(frozen=True, slots=True)
class Gap:
    """Footage that is missing. `to_ms` None: still missing."""

    id: int
    camera_id: str
    reason: str
    from_ms: int
    to_ms: int | None


@dataclass(frozen=True, slots=True)
class StoredClip:
    """A clip's row. `state`: wanted | sealed | failed."""

    id: str
    camera_id: str
    state: str
    job: bytes
    snapshot: bytes | None
    size_bytes: int
    closed_at_ms: int
    sent: bool


def store_error(path: Path, error: sqlite3.Error) -> FootageError:
    """The sentence for a person, with the reason by SQLite's primary result code (sqlite.org/rescode.html)."""
    code = (getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_CANTOPEN and on_read_only_disk(path.parent):
        code = sqlite3.SQLITE_READONLY
    reason, advice = {
        sqlite3.SQLITE_FULL: ("disk_full", "free space on that disk, or lower max_gb in [recorder]"),
        sqlite3.SQLITE_READONLY: ("disk_read_only", "remount the disk, or replace the card if it wore out"),
        sqlite3.SQLITE_CORRUPT: (
            "disk_corrupt",
            "the agent starts again by itself and builds it from the files; check the card",
        ),
        sqlite3.SQLITE_NOTADB: (
            "disk_corrupt",
            "the agent starts again by itself and builds it from the files; check the card",
        ),
    }.get(code, ("disk_error", "check the disk or card and its cable"))
    return FootageError(reason, f"footage index {path}: {error}; {advice}")


class Store:
    """The index. Callable from any thread; every method raises FootageError where the disk refuses."""

    def __init__(self, path: Path, *, now_ms: int) -> None:
        self._path = path
        self._lock = threading.RLock()
        self.rebuilt = False
        try:
            self._db = self._open()
        except sqlite3.DatabaseError as error:
            if store_error(path, error).reason != "disk_corrupt":
                raise store_error(path, error) from None
            self._set_aside(now_ms)
            self._db = self._open()
            self.rebuilt = True

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            verdict = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
            if verdict != "ok" or version > _VERSION:
                error = sqlite3.DatabaseError(verdict if verdict != "ok" else f"schema version {version} is newer")
                error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise error
            for number in range(version, _VERSION):
                script = f"BEGIN IMMEDIATE; {_MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
                db.executescript(script)
        except BaseException:
            db.close()
            raise
        return db

    def _set_aside(self, now_ms: int) -> None:
        stamp = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                part.rename(self._path.with_name(f"{self._path.name}.corrupt-{stamp}{suffix}"))
        logger.error("the footage index %s was damaged; it is set aside and built again from the files", self._path)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; durable when it returns."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise store_error(self._path, error) from None

    def _read(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise store_error(self._path, error) from None

    # -- segments ----------------------------------------------------------------------------------------------------

    def open_segment(
        self, camera_id: str, path: str, *, boot_id: str, codec: str, clock_quality: str, at_ms: int, at_s: float
    ) -> int:
        """Note that a file is about to be written; its id."""
        with self.transaction() as db:
            row = db.execute(
                "INSERT INTO segment (camera_id, path, boot_id, state, clock_quality, codec, started_at_ms, started_s)"
                " VALUES (?, ?, ?, 'open', ?, ?, ?, ?)",
                (camera_id, path, boot_id, clock_quality, codec, at_ms, at_s),
            )
            return int(row.lastrowid or 0)

    def segments(
        self, camera_id: str | None = None, *, boot_id: str | None = None, state: SegmentState | None = None
    ) -> list[Segment]:
        """Files of footage, oldest first."""
        rows = self._read(
            f"SELECT {_SEGMENT} FROM segment WHERE (?1 IS NULL OR camera_id = ?1)"  # noqa: S608 - our own names
            " AND (?2 IS NULL OR boot_id = ?2) AND (?3 IS NULL OR state = ?3) ORDER BY id",
            camera_id,
            boot_id,
            state,
        )
        return [Segment(*row) for row in rows]  # type: ignore[arg-type]  # the schema is STRICT, so types hold

    def oldest(self, per_camera: int) -> list[Segment]:
        """The oldest files of every camera, in order of recording."""
        rows = self._read(
            f"SELECT {_SEGMENT} FROM (SELECT *, row_number() OVER (PARTITION BY camera_id ORDER BY id) AS place"  # noqa: S608 - our own names
            " FROM segment) WHERE place <= ? ORDER BY id",
            per_camera,
        )
        return [Segment(*row) for row in rows]  # type: ignore[arg-type]  # the schema is STRICT, so types hold

    def held_bytes(self, camera_id: str | None = None) -> int:
        """Bytes of footage on disk, clips not counted."""
        rows = self._read(
            "SELECT coalesce(sum(size_bytes), 0) FROM segment WHERE ?1 IS NULL OR camera_id = ?1", camera_id
        )
        return int(str(rows[0][0]))

    def reach(self, camera_id: str) -> tuple[Segment, Segment] | None:
        """The oldest and the newest file of a camera."""
        found = []
        for order in ("ASC", "DESC"):
            rows = self._read(
                f"SELECT {_SEGMENT} FROM segment WHERE camera_id = ? ORDER BY id {order} LIMIT 1",  # noqa: S608 - literals
                camera_id,
            )
            found += [Segment(*row) for row in rows]  # type: ignore[arg-type]  # the schema is STRICT
        return (found[0], found[1]) if found else None

    def grown(self, segment_id: int, *, length_s: float, size_bytes: int) -> None:
        """Note how far the running file has come (readers of the index see it; a restart measures anew)."""
        with self.transaction() as db:
            db.execute(
                "UPDATE segment SET length_s = ?, size_bytes = ? WHERE id = ?", (length_s, size_bytes, segment_id)
            )

    def forget_segments(self, ids: Sequence[int]) -> None:
        """Their files are gone."""
        with self.transaction() as db:
            db.executemany("DELETE FROM segment WHERE id = ?", [(i,) for i in ids])

    def manifest(self, table: Literal["segment", "clip"], key: int | str) -> bytes | None:
        """The sealed manifest of a segment or clip."""
        rows = self._read(f"SELECT manifest FROM {table} WHERE id = ?", key)  # noqa: S608 - one of two literals
        return rows[0][0] if rows else None  # type: ignore[return-value]  # a BLOB or NULL

    # -- the chain ---------------------------------------------------------------------------------------------------

    def head(self) -> Head:
        """Where the chain ends."""
        rows = self._read("SELECT number, sha256 FROM link ORDER BY number DESC LIMIT 1")
        return Head(int(str(rows[0][0])), str(rows[0][1])) if rows else Head()

    def links(self, first: int, last: int) -> list[bytes]:
        """Sealed links from `first` to `last`."""
        rows = self._read("SELECT line FROM link WHERE number BETWEEN ? AND ? ORDER BY number", first, last)
        return [row[0] for row in rows]  # type: ignore[misc]  # BLOBs

    def link_numbers(self, item_sha256: Sequence[str]) -> list[int]:
        """Where items stand in the chain."""
        found: list[int] = []
        for digest in item_sha256:
            rows = self._read("SELECT number FROM link WHERE item_sha256 = ?", digest)
            found.extend(int(str(row[0])) for row in rows)
        return sorted(found)

    def told(self, alarm_id: str) -> list[bytes]:
        """The sealed messages of an alarm, byte by byte as they were sent, oldest first."""
        rows = self._read("SELECT payload FROM told WHERE alarm_id = ? ORDER BY id", alarm_id)
        return [row[0] for row in rows]  # type: ignore[misc]  # BLOBs

    # -- gaps, bytes -------------------------------------------------------------------------------------------------

    def begin_gap(self, camera_id: str, reason: str, from_ms: int) -> None:
        with self.transaction() as db:
            db.execute("INSERT INTO gap (camera_id, reason, from_ms) VALUES (?, ?, ?)", (camera_id, reason, from_ms))

    def end_gap(self, camera_id: str, to_ms: int) -> None:
        with self.transaction() as db:
            db.execute("UPDATE gap SET to_ms = ? WHERE camera_id = ? AND to_ms IS NULL", (to_ms, camera_id))

    def gaps(self, camera_id: str) -> list[Gap]:
        """Missing footage, oldest first."""
        rows = self._read(
            "SELECT id, camera_id, reason, from_ms, to_ms FROM gap WHERE camera_id = ? ORDER BY id", camera_id
        )
        return [Gap(*row) for row in rows]  # type: ignore[arg-type]  # the schema is STRICT, so types hold

    def written_bytes(self, camera_id: str | None = None) -> dict[str, int]:
        """Bytes written by day (UTC), newest day first; of all cameras without `camera_id`."""
        rows = self._read(
            "SELECT day, sum(bytes) FROM written WHERE ?1 IS NULL OR camera_id = ?1 GROUP BY day ORDER BY day DESC",
            camera_id,
        )
        return {str(day): int(str(count)) for day, count in rows}

    # -- clips -------------------------------------------------------------------------------------------------------

    def want_clip(self, clip_id: str, camera_id: str, job: bytes, snapshot: bytes | None) -> None:
        """Note a clip that is to be made, or what changed about it. It survives a restart from here on."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO clip (id, camera_id, state, job, snapshot) VALUES (?, ?, 'wanted', ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET job = excluded.job, snapshot = coalesce(excluded.snapshot, snapshot)",
                (clip_id, camera_id, job, snapshot),
            )

    def clips(self, camera_id: str | None = None, *, state: str | None = None) -> list[StoredClip]:
        """Clips in the order in which they were asked for."""
        rows = self._read(
            "SELECT id, camera_id, state, job, snapshot, size_bytes, closed_at_ms, sent FROM clip"
            " WHERE (?1 IS NULL OR camera_id = ?1) AND (?2 IS NULL OR state = ?2) ORDER BY rowid",
            camera_id,
            state,
        )
        return [
            StoredClip(str(r[0]), str(r[1]), str(r[2]), r[3], r[4], int(str(r[5])), int(str(r[6])), bool(r[7]))  # type: ignore[arg-type]  # BLOBs
            for r in rows
        ]

    def fail_clip(self, clip_id: str, at_ms: int) -> None:
        """There is no footage for it."""
        with self.transaction() as db:
            db.execute("UPDATE clip SET state = 'failed', closed_at_ms = ? WHERE id = ?", (at_ms, clip_id))

    def forget_clips(self, ids: Sequence[str]) -> None:
        with self.transaction() as db:
            db.executemany("DELETE FROM clip WHERE id = ?", [(i,) for i in ids])

    def sent_bytes(self, at_ms: int) -> int:
        """What has been sent on the day of `at_ms` (UTC)."""
        rows = self._read("SELECT bytes FROM sent WHERE day = ?", _day(at_ms))
        return int(str(rows[0][0])) if rows else 0

    def add_sent(self, at_ms: int, size_bytes: int) -> None:
        """Count bytes towards the data budget of their day."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO sent (day, bytes) VALUES (?, ?)"
                " ON CONFLICT (day) DO UPDATE SET bytes = bytes + excluded.bytes",
                (_day(at_ms), size_bytes),
            )

    def mark_sent(self, clip_id: str) -> None:
        """The service has it, by its own word."""
        with self.transaction() as db:
            db.execute("UPDATE clip SET sent = 1 WHERE id = ?", (clip_id,))


def add_link(db: sqlite3.Connection, number: int, kind: str, item_sha256: str, body_sha256: str, line: bytes) -> None:
    """Append a sealed link inside a transaction."""
    db.execute(
        "INSERT INTO link (number, kind, item_sha256, sha256, line) VALUES (?, ?, ?, ?, ?)",
        (number, kind, item_sha256, body_sha256, line),
    )


def add_told(db: sqlite3.Connection, alarm_id: str, payload: bytes) -> None:
    """Keep a sealed message of an alarm for packs, inside a transaction; beyond `MOST_TOLD` the oldest goes."""
    added = db.execute("INSERT INTO told (alarm_id, payload) VALUES (?, ?)", (alarm_id, payload))
    db.execute("DELETE FROM told WHERE id <= ?", ((added.lastrowid or 0) - MOST_TOLD,))


def add_written(db: sqlite3.Connection, camera_id: str, at_ms: int, size_bytes: int) -> None:
    """Count bytes towards their day, inside a transaction."""
    db.execute(
        "INSERT INTO written (day, camera_id, bytes) VALUES (?, ?, ?)"
        " ON CONFLICT (day, camera_id) DO UPDATE SET bytes = bytes + excluded.bytes",
        (_day(at_ms), camera_id, size_bytes),
    )


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")
