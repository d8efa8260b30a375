"""Opening the database: SQLite beside the service, or PostgreSQL by URL, behind the same two verbs.

    with database.read() as session: ...    # sees one state, changes nothing
    with database.write() as session: ...   # commits when the block ends, rolls back when it raises

SQLite runs in WAL mode with ``synchronous=FULL``: a commit that returned is on the disk. A writing transaction takes
the write lock at its start (BEGIN IMMEDIATE), because one that reads first and writes later can be refused half-way
(https://www.sqlite.org/isolation.html, SQLITE_BUSY_SNAPSHOT); within this process writers queue up fairly instead of
polling the lock.

On PostgreSQL (READ COMMITTED) writers run side by side, so one that reads first holds what it is going to change with
``with_for_update``, always in this order: sites, incidents, pages, each by their keys. Whoever holds a page's incident
may touch its pages; nobody takes an incident while holding a page. That order is what keeps them from deadlocks.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event, text
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from sealwatch.base.errors import UsageError

BUSY_TIMEOUT_MS = 10_000
_BEGIN_OPTION = "sealwatch_begin"
_SERVER_OPTIONS: Final = {"connect_timeout": 5, "application_name": "sealwatch"}
"""libpq's names; seconds. https://www.postgresql.org/docs/current/libpq-connect.html"""
_ALONE_KEY: Final = 0x5EA1_0001


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path}"


def open_engine(url: str | URL) -> Engine:
    """An engine with this service's guarantees. Raises UsageError for a URL that names no usable database.

    Nothing is created: an SQLite file appears with its first table (see `sealwatch.cloud.db.migrate`).
    """
    is_file = str(url).startswith("sqlite")
    options: dict[str, Any] = {} if is_file else {"pool_pre_ping": True, "connect_args": _SERVER_OPTIONS}
    try:
        engine = sqlalchemy.create_engine(url, **options)
    except ArgumentError:
        raise UsageError(
            "the database URL cannot be read; wanted is sqlite:///file or postgresql+psycopg://…"
        ) from None
    except ImportError as error:
        package = f"the package '{error.name}'" if error.name else f"a driver that works ({error})"
        raise UsageError(f"the database URL wants {package}; install it or use SQLite") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver leaves BEGIN to us
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get(_BEGIN_OPTION, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def hold_alone(holder: Connection | Session) -> None:
    """Until the holder's commit no other service gets past this. On SQLite the writer's lock has seen to it already.

    An advisory lock: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
    """
    connection = holder if isinstance(holder, Connection) else holder.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ALONE_KEY})


_PASSING_SQLITE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)


def is_passing(error: BaseException) -> bool:
    """Whether the database is at fault and may be well again later: locked, full, away. False blames the statement."""
    if isinstance(error, PoolTimeout | OSError | InterfaceError):
        return True
    if not isinstance(error, OperationalError):
        return False
    code = getattr(error.orig, "sqlite_errorcode", None)
    # SQLite reports a bad statement as an operational error too; the low byte is the primary result code.
    if code is not None:
        return (code & 0xFF) in _PASSING_SQLITE
    # PostgreSQL: class 54 means that the statement is beyond a limit of the program, today and tomorrow
    # (https://www.postgresql.org/docs/current/errcodes-appendix.html).
    return not (getattr(error.orig, "sqlstate", None) or "").startswith("54")


class Database:
    """An engine and its two verbs. Safe to use from several threads; a session belongs to one."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writing = engine.execution_options(**{_BEGIN_OPTION: "IMMEDIATE"})
        self._turn: contextlib.AbstractContextManager[object] = (
            threading.RLock() if engine.dialect.name == "sqlite" else contextlib.nullcontext()
        )

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading; what it would change is thrown away."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose changes are durable when the block has ended without an exception."""
        with self._turn, Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def open_database(url: str | URL) -> Database:
    """`open_engine` with the two verbs around it."""
    return Database(open_engine(url))
