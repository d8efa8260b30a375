"""The outbox's two connections: one writer whose every commit is durable, one reader that never waits for it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sealwatch.base.clock import Clock
from sealwatch.edge.uplink.store import OutboxError, failure, open_store

logger = logging.getLogger(__name__)


class Database:
    """A file that may refuse: it is opened when first needed, and again after it was found damaged."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self.path, self._clock = path, clock
        self._read_lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._trouble: OutboxError | None = None
        self._damaged = False

    @property
    def is_open(self) -> bool:
        """Whether it can be worked with; a file found damaged counts as closed until `open` has replaced it."""
        return self._writer is not None and not self._damaged

    @property
    def trouble(self) -> str:
        """Named reason while the disk refuses, else empty."""
        return self._trouble.reason if self._trouble is not None else ""

    def report(self, error: OutboxError) -> None:
        """Remember that the disk refuses; logged once until it recovers or the reason changes."""
        if self._trouble is None or self._trouble.reason != error.reason:
            logger.error("%s", error)
        self._trouble = error

    def recovered(self) -> None:
        """A write succeeded."""
        if self._trouble is not None:
            self._trouble = None
            logger.warning("the outbox %s can be written again; what was kept in memory is stored", self.path)

    def open(self, learn: Callable[[sqlite3.Connection], None]) -> None:
        """Open or begin the file; `learn` reads what it holds. Raises OutboxError."""
        self.close()
        db = open_store(self.path, now_ms=self._clock.wall_ms())
        try:
            learn(db)
            reader = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
            reader.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            db.close()
            raise failure(self.path, error) from error
        with self._read_lock:
            self._writer, self._reader, self._damaged = db, reader, False

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One commit, or nothing at all. One at a time: the caller holds a lock. Raises OutboxError.

        `durable` False spares the sync of the disk: a power cut may undo the commit, and the next durable one makes
        it durable as well.
        """
        db = self._writer
        if db is None:
            raise self._trouble or OutboxError("disk_error", f"outbox {self.path}: is not open")
        try:
            if not durable:
                db.execute("PRAGMA synchronous = NORMAL")
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
            if not durable:
                db.execute("PRAGMA synchronous = FULL")
        except BaseException as error:
            if db.in_transaction:
                db.rollback()
            if not durable:
                db.execute("PRAGMA synchronous = FULL")
            if not isinstance(error, sqlite3.Error):
                raise
            refusal = failure(self.path, error)
            self._damaged = self._damaged or refusal.reason == "disk_corrupt"
            raise refusal from error

    def read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """Rows of the file; none while it can't be read, which is reported. Callable from any thread."""
        with self._read_lock:
            if self._reader is None:
                return []
            try:
                return self._reader.execute(query, values).fetchall()
            except sqlite3.Error as error:
                refusal = failure(self.path, error)
                self._damaged = self._damaged or refusal.reason == "disk_corrupt"
                self.report(refusal)
                return []

    def close(self) -> None:
        """Close both connections."""
        with self._read_lock:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None
