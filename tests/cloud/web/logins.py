"""People who log in: accounts in a scene's database, and forms sent as their browser would."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyotp
from fastapi.testclient import TestClient

from sealwatch.cloud.accounts import proofs, store
from sealwatch.cloud.accounts.proofs import Sealer
from sealwatch.cloud.db.account_tables import AuditEntry
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.web.rules import Role
from tests.cloud.web.scene import SECRET, Scene

PASSWORD = "four words of nonsense"
SEALER = Sealer(SECRET)
ACCOUNTS: dict[str, Any] = {"login": "accounts"}
Enter = Callable[..., TestClient]


def add_account(scene: Scene, login: str, role: Role, region: str = "", **more: Any) -> str:
    """An account that can log in; its TOTP secret."""
    secret = proofs.new_totp_secret()
    with scene.database.write() as session:
        account = store.invite(
            session, login=login, name=login.title(), role=str(role), region=region, author="test",
            now_ms=scene.clock.wall_ms(), **more,
        )  # fmt: skip
        account.password_hash = proofs.hash_password(PASSWORD)
        account.totp_sealed = SEALER.seal(secret)
    return secret


def code(scene: Scene, secret: str) -> str:
    return pyotp.TOTP(secret).at(scene.clock.wall_ms() // 1000)


def post(client: TestClient, url: str, page: str = "/login", **fields: Any) -> Any:
    """A form sent as a browser would: with the token of a page that shows one."""
    return client.post(url, data={"form_token": form_token(client.get(page).text), **fields})


def audit(database: Database) -> list[tuple[str, str, str]]:
    with database.read() as session:
        return [(one.actor, one.action, one.outcome) for one in session.query(AuditEntry).order_by(AuditEntry.id)]


def form_token(page: str) -> str:
    """The form token in a page."""
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found is not None, "the page has no form"
    return found[1]
