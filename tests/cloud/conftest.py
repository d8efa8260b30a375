"""Shared by the tests of the service: a database with today's schema, one site and its people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import Database, open_database, sqlite_url
from tests.cloud.world import World


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database with the newest schema."""
    opened = open_database(sqlite_url(tmp_path / "cloud.sqlite"))
    migrate.migrate(opened.engine)
    yield opened
    opened.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A small county (see `tests/cloud/world.py`)."""
    county = World(tmp_path)
    yield county
    county.database.close()
