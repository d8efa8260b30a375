"""Shared by the tests of the service: a database with today's schema, one site and its people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
def build_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a small county of one's own kind, and lets go of its database afterwards."""
    made: list[World] = []

    def build(**changes: Any) -> World:
        made.append(World(tmp_path, **changes))
        return made[-1]

    yield build
    for county in made:
        county.database.close()


@pytest.fixture
def world(build_world: Callable[..., World]) -> World:
    """A small county (see `tests/cloud/world.py`)."""
    return build_world()
