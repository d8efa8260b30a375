"""Shared by the tests of the service: databases with today's schema, SQLite's and PostgreSQL's, and a small county."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import Database, open_database, open_engine, sqlite_url
from tests.cloud.world import World
from tests.servers import Postgres, postgres_or_skip


class PostgresDatabases:
    """Databases on one server, made as copies of one that was migrated once: about 40 ms each, dropping included."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self._numbers = itertools.count(1)
        self._admin = psycopg.connect(
            host="127.0.0.1", port=server.port, dbname="postgres", user="sealwatch", autocommit=True
        )
        self._admin.execute("CREATE DATABASE newest")
        engine = open_engine(server.url("newest"))
        migrate.migrate(engine)
        engine.dispose()

    def create(self, template: str = "newest") -> str:
        """The name of a new database: with the newest schema, or as bare as `template1`."""
        name = f"test_{next(self._numbers)}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy".encode())
        return name

    def drop(self, name: str) -> None:
        self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def close(self) -> None:
        self._admin.close()


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[PostgresDatabases]:
    """One PostgreSQL for all tests; skips where the distribution's package is not installed."""
    with postgres_or_skip() as server:
        made = PostgresDatabases(server)
        yield made
        made.close()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the newest schema, made once: migrating is tested in `tests/cloud/db`."""
    path = tmp_path_factory.mktemp("migrated") / "cloud.sqlite"
    engine = open_engine(sqlite_url(path))
    migrate.migrate(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path


@pytest.fixture
def postgres_url(postgres_databases: PostgresDatabases) -> Iterator[str]:
    """A fresh PostgreSQL database with the newest schema."""
    name = postgres_databases.create()
    yield postgres_databases.server.url(name)
    postgres_databases.drop(name)


@pytest.fixture
def sqlite_file_url(tmp_path: Path, migrated_file: Path) -> str:
    """A fresh SQLite file with the newest schema."""
    return sqlite_url(Path(shutil.copy(migrated_file, tmp_path / "cloud.sqlite")))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Both databases in turn, each fresh and with the newest schema."""
    return str(request.getfixturevalue("sqlite_file_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Both databases in turn, without a table."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "db.sqlite")
        return
    databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
    name = databases.create("template1")
    yield databases.server.url(name)
    databases.drop(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database with the newest schema."""
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def build_world(database_url: str) -> Iterator[Callable[..., World]]:
    """Makes a small county of one's own kind, and lets go of its database afterwards."""
    with contextlib.ExitStack() as made:

        def build(**changes: Any) -> World:
            return made.enter_context(contextlib.closing(World(database_url, **changes)))

        yield build


@pytest.fixture
def world(build_world: Callable[..., World]) -> World:
    """A small county (see `tests/cloud/world.py`)."""
    return build_world()
