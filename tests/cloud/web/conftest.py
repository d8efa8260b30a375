"""Shared by the page tests: a scene in a fresh database, and a client that speaks to the application in process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from sealwatch.cloud.accounts import proofs
from sealwatch.cloud.db.engine import Database, open_database
from sealwatch.cloud.web.app import create_app
from sealwatch.cloud.web.rules import Role
from tests.cloud.web.logins import ACCOUNTS, PASSWORD, Enter, add_account, code, form_token, post
from tests.cloud.web.scene import Scene

__all__ = ["ClientFactory", "form_token"]
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


@pytest.fixture
def cheap_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash that takes no time: its cost is Argon2's own, and not what these tests are about."""
    monkeypatch.setattr(proofs, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def enter(scene: Scene, open_client: ClientFactory) -> Enter:
    """Logs somebody of a role in, with a browser of their own."""

    def make(role: Role, region: str = "", login: str = "", **more: Any) -> TestClient:
        login = login or f"{role}-{region or 'all'}".replace("_", "-")
        secret = add_account(scene, login, role, region, **more)
        client = open_client(web=ACCOUNTS)
        answer = post(client, "/login", login=login, password=PASSWORD, code=code(scene, secret))
        assert answer.status_code == 303, answer.text
        return client

    return make
