"""What accounts do in the database, on either one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sealwatch.cloud.accounts import oidc_accounts, own, proofs, sessions, store
from sealwatch.cloud.accounts.sessions import Device
from sealwatch.cloud.db.account_tables import Account, AuditEntry
from sealwatch.cloud.db.engine import Database, open_database
from sealwatch.cloud.db.tables import Person
from sealwatch.cloud.refused import NotAllowed

NOW_MS = 1_790_000_000_000
DEVICE = Device("192.0.2.1", "curl")
PASSWORD = "four words of nonsense"
WHO = {"iss": "https://id.example", "sub": "u-1"}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    with opened.write() as session:
        session.add(Person(person_id="wang", name="王建国", level=5, email="Wang@seal.example"))
        session.flush()
        store.invite(
            session, login="wang", name="", role="inspector", region="", person_id="wang", author="t", now_ms=NOW_MS
        )
    yield opened
    opened.close()


def enter(database: Database, claims: dict[str, Any], claim: str) -> sessions.LoggedIn | None:
    with database.write() as session:
        token = oidc_accounts.enter(session, WHO | claims, claim=claim, device=DEVICE, now_ms=NOW_MS)
    return sessions.by_session(database, token, now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("claims", "claim"),
    [
        ({"preferred_username": " WANG "}, "preferred_username"),
        ({"email": "wang@SEAL.example", "email_verified": True}, "email"),
    ],
)
def test_an_identity_leads_to_its_account_and_stays_with_it(
    database: Database, claims: dict[str, Any], claim: str
) -> None:
    for given in (claims, {}):  # the second time `sub` says it
        found = enter(database, given, claim)
        assert found is not None
        assert (found.login, found.role, found.actor) == ("wang", "inspector", "person:wang")
    with pytest.raises(NotAllowed, match="oidc_unknown"):
        enter(database, claims | {"sub": "u-2"}, claim)


def test_a_password_is_changed_once_and_for_all_sessions(database: Database) -> None:
    with database.write() as session:
        account = session.query(Account).one()
        account.password_hash = proofs.hash_password(PASSWORD)
        tokens = [sessions.start(session, account, device=DEVICE, now_ms=NOW_MS) for _ in range(2)]
    who = sessions.by_session(database, tokens[0], now_ms=NOW_MS)
    assert who is not None
    with pytest.raises(NotAllowed, match="password_wrong"):
        own.change_password(database, who, old="not this one", new="other words here", device=DEVICE, now_ms=NOW_MS)
    new = own.change_password(database, who, old=PASSWORD, new="other words here", device=DEVICE, now_ms=NOW_MS)
    assert [sessions.by_session(database, one, now_ms=NOW_MS) is None for one in (*tokens, new)] == [True, True, False]
    with database.read() as session:
        assert session.query(Account).one().failures == 0
        assert [one.action for one in session.query(AuditEntry).order_by(AuditEntry.id)][1:] == [
            "account.proof", "account.password_changed",
        ]  # fmt: skip


def test_a_change_that_changes_nothing_is_no_line_of_the_log(database: Database) -> None:
    with database.write() as session:
        account = session.query(Account).one()
        same = {"name": account.name, "role": account.role, "region": "", "person_id": "wang"}
        for more in ({}, {"region": "21"}, {"region": "21"}):
            store.change(session, account, author="t", now_ms=NOW_MS, **(same | more))
        assert session.query(AuditEntry).filter_by(action="account.changed").count() == 1
