"""Shared by the page tests: a scene in a fresh database, and a client that speaks to the application in process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sealwatch.cloud.db.engine import Database, open_database
from sealwatch.cloud.web.app import create_app
from tests.cloud.web.scene import Scene

ClientFactory = Callable[..., TestClient]


@pytest.fixture
def database(sqlite_file_url: str) -> Iterator[Database]:
    """Pages are the same on either database; the cheap one is enough for them."""
    opened = open_database(sqlite_file_url)
    yield opened
    opened.close()


@pytest.fixture
def scene(database: Database) -> Scene:
    """Sites, nodes and people; no incident yet."""
    made = Scene(database)
    made.add_registry()
    return made


@pytest.fixture
def open_client(scene: Scene) -> Iterator[ClientFactory]:
    """Makes clients; each is a browser of its own that asks for pages."""
    with ExitStack() as stack:

        def make(*, accept: str = "text/html", web: dict[str, Any] | None = None, **options: Any) -> TestClient:
            client = TestClient(
                create_app(scene.services(**(web or {}))),
                base_url="http://127.0.0.1:8000",
                follow_redirects=False,
                raise_server_exceptions=False,
                headers={"Accept": accept},
                **options,
            )
            return stack.enter_context(client)

        yield make


@pytest.fixture
def client(open_client: ClientFactory) -> TestClient:
    """A browser."""
    return open_client()


def form_token(page: str) -> str:
    """The form token in a page."""
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found is not None, "the page has no form"
    return found[1]
