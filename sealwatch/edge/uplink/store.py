"""The outbox's file: schema with a version, durable settings, and what happens to a file that can't be used.

A damaged file, or one from a newer version, is set aside under a name with the time and never deleted. Whatever can
still be read out of it goes into its successor, together with a notice for the agent to report. The successor is
built beside it and takes its place by a rename, so that a kill at any step ends in one state or the other.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sealwatch.base.files import on_read_only_disk

logger = logging.getLogger(__name__)

_MIGRATIONS: Final = (
    """
    CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        grp INTEGER NOT NULL,
        boot_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        channel TEXT NOT NULL,
        priority INTEGER NOT NULL,
        created_at_ms INTEGER NOT NULL,
        alarm_id TEXT NOT NULL,
        payload BLOB NOT NULL,
        state INTEGER NOT NULL DEFAULT 0,
        refusals INTEGER NOT NULL DEFAULT 0,
        refused_reason TEXT NOT NULL DEFAULT '',
        UNIQUE (boot_id, seq)
    ) STRICT;
    CREATE INDEX message_drain ON message (state, priority, grp DESC, id);
    CREATE INDEX message_alarm ON message (alarm_id) WHERE alarm_id <> '';
    CREATE TABLE open_alarm (
        alarm_id TEXT PRIMARY KEY,
        grp INTEGER NOT NULL,
        priority INTEGER NOT NULL,
        alarm BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE seen_command (command_id TEXT PRIMARY KEY, expires_at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE tally (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE notice (
        id INTEGER PRIMARY KEY, path TEXT NOT NULL, reason TEXT NOT NULL,
        messages INTEGER NOT NULL, alarms INTEGER NOT NULL
    ) STRICT;
    """,
)
SCHEMA_VERSION: Final = len(_MIGRATIONS)
MESSAGE_COLUMNS: Final = (
    "id, grp, boot_id, seq, channel, priority, created_at_ms, alarm_id, payload, state, refusals, refused_reason"
)


class OutboxError(Exception):
    """The disk did not take it. `reason`: disk_full | disk_read_only | disk_corrupt | disk_busy | disk_error."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def reason_of(error: sqlite3.Error) -> str:
    """The named reason of what SQLite says (primary result codes, https://sqlite.org/rescode.html)."""
    code = (getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
    return {
        sqlite3.SQLITE_FULL: "disk_full",
        sqlite3.SQLITE_READONLY: "disk_read_only",
        sqlite3.SQLITE_CORRUPT: "disk_corrupt",
        sqlite3.SQLITE_NOTADB: "disk_corrupt",
        sqlite3.SQLITE_BUSY: "disk_busy",
        sqlite3.SQLITE_LOCKED: "disk_busy",
    }.get(code, "disk_error")


def failure(path: Path, error: sqlite3.Error) -> OutboxError:
    """The sentence for a person: what, where, what to do."""
    reason = reason_of(error)
    if reason == "disk_error" and on_read_only_disk(path.parent):
        reason = "disk_read_only"  # SQLite cannot open its log there and says no more than that
    return _error(path, reason, str(error))


def _failure_of_os(path: Path, error: OSError) -> OutboxError:
    reason = {errno.ENOSPC: "disk_full", errno.EDQUOT: "disk_full", errno.EROFS: "disk_read_only"}
    return _error(path, reason.get(error.errno or 0, "disk_error"), error.strerror or str(error))


def _error(path: Path, reason: str, what: str) -> OutboxError:
    advice = {
        "disk_full": "free space on that disk or fit a larger one",
        "disk_read_only": "the disk or card refuses writes: remount it, or replace the card if it wore out",
        "disk_corrupt": "the file is set aside and a new one begun; check the card",
        "disk_busy": "another program holds the file: end it",
    }.get(reason, "check the disk or card and its cable")
    return OutboxError(reason, f"outbox {path}: cannot be written: {what}; {advice}")


def open_store(path: Path, *, now_ms: int) -> sqlite3.Connection:
    """A connection to a sound, current file; an unusable one is set aside first and leaves a row in `notice`.

    Raises OutboxError where not even a new file can be made.
    """
    try:
        _finish_succession(path)
        try:
            return _open(path)
        except _NewerVersionError:
            reason = "newer_version"
        except sqlite3.DatabaseError as error:
            if reason_of(error) != "disk_corrupt":
                raise
            reason = "corrupt"
        _build_successor(path, reason, now_ms)
        _finish_succession(path)
        return _open(path)
    except sqlite3.Error as error:
        raise failure(path, error) from error
    except OSError as error:
        raise _failure_of_os(path, error) from error


class _NewerVersionError(Exception):
    pass


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        # WAL with FULL: the log is synced at every commit, so a commit that returned survives a power cut.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {4 * 1024 * 1024}")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise _NewerVersionError
        verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if verdict != "ok":
            error = sqlite3.DatabaseError(verdict)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        for number in range(version, SCHEMA_VERSION):
            connection.executescript(
                f"BEGIN IMMEDIATE; {_MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
            )
        sync_folder(path.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, not only the files' contents."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _companion(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _build_successor(path: Path, reason: str, now_ms: int) -> None:
    stamp = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside, number = _companion(path, f".{reason}-{stamp}"), 1
    while aside.exists():
        number += 1
        aside = _companion(path, f".{reason}-{stamp}-{number}")
    for suffix in ("", "-wal"):
        if _companion(path, suffix).exists():
            _keep(_companion(path, suffix), _companion(aside, suffix))
    building = _companion(path, ".building")
    for suffix in ("", "-wal", "-shm"):
        _companion(building, suffix).unlink(missing_ok=True)
    fresh = _open(building)
    try:
        messages, alarms = _rescue(path, fresh)
        fresh.execute(
            "INSERT INTO notice (path, reason, messages, alarms) VALUES (?, ?, ?, ?)",
            (aside.name, reason, messages, alarms),
        )
    finally:
        fresh.close()  # the last connection writes its log back, so the successor is one file
    building.rename(_companion(path, ".successor"))  # from here on the successor counts
    sync_folder(path.parent)
    logger.error(
        "the outbox was unusable (%s) and is set aside as %s; %d messages were rescued", reason, aside, messages
    )


def _keep(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # takes no room, so it also works on a full disk
    except OSError:  # FAT has no links
        shutil.copyfile(source, target)


def _finish_succession(path: Path) -> None:
    successor = _companion(path, ".successor")
    if not successor.exists():
        return
    for suffix in ("-wal", "-shm"):  # a foreign log beside the successor would be played into it
        _companion(path, suffix).unlink(missing_ok=True)
    successor.rename(path)
    sync_folder(path.parent)


def _rescue(damaged: Path, fresh: sqlite3.Connection) -> tuple[int, int]:
    """Carry over every row that can still be read; the others stay in the file that was set aside."""
    counts = []
    for table, columns, key in (
        ("message", MESSAGE_COLUMNS, "id"),
        ("open_alarm", "alarm_id, grp, priority, alarm", "alarm_id"),
        ("seen_command", "command_id, expires_at_ms", "command_id"),
    ):
        marks = ", ".join("?" * len(columns.split(",")))
        fresh.execute("BEGIN IMMEDIATE")
        for row in _readable_rows(damaged, table, columns, key):
            with contextlib.suppress(sqlite3.IntegrityError):  # a damaged row may break any rule of the schema
                fresh.execute(
                    f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608 - our own names
                    row,
                )
        fresh.execute("COMMIT")
        counts.append(int(fresh.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))  # noqa: S608 - our own names
    return counts[0], counts[1]


def _readable_rows(damaged: Path, table: str, columns: str, key: str) -> Iterator[tuple[object, ...]]:
    """Rows from the front until the damage, then from the back until the damage."""
    for direction in ("ASC", "DESC"):
        query = f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY {key} {direction}"  # noqa: S608 - our own names
        source = sqlite3.connect(damaged, isolation_level=None)
        with closing(source), contextlib.suppress(sqlite3.Error):
            yield from source.execute(query)
            return
