"""Sessions of browsers: who is logged in, on which device, since when, and how that ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from sealwatch.cloud.accounts import proofs
from sealwatch.cloud.db.account_tables import Account, AccountSession
from sealwatch.cloud.db.engine import Database

SESSION_MS: Final = 7 * 24 * 3_600_000
"""A login ends after a week whatever happens,"""
IDLE_MS: Final = 12 * 3_600_000
"""and after half a day without a request."""
SEEN_EVERY_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Device:
    """Where a login comes from: an IP address, and how the browser calls itself (its User-Agent)."""

    address: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Who asks: an account, through a browser's session or a program's token."""

    account_id: str
    login: str
    name: str
    role: str
    region: str
    actor: str
    session_hash: str = ""
    scopes: frozenset[str] | None = None  # of a token; None: everything that the role may


def actor_of_account(account: Account) -> str:
    """How histories name it: as the person it is, so that nobody confirms their own closing by another way in."""
    return f"person:{account.person_id}" if account.person_id else f"account:{account.login}"


def logged_in(account: Account, *, session_hash: str = "", scopes: frozenset[str] | None = None) -> LoggedIn:
    """What the service knows of whoever asks, without their secrets."""
    return LoggedIn(
        account.account_id, account.login, account.name, account.role, account.region,
        actor_of_account(account), session_hash, scopes,
    )  # fmt: skip


def start(session: Session, account: Account, *, device: Device, now_ms: int) -> str:
    """A new session; the cookie's token, of which the hash alone is kept."""
    token = proofs.new_token()
    session.execute(delete(AccountSession).where(AccountSession.created_at_ms <= now_ms - SESSION_MS))
    session.add(
        AccountSession(
            id_hash=proofs.token_hash(token),
            account_id=account.account_id,
            created_at_ms=now_ms,
            seen_at_ms=now_ms,
            address=device.address[:64],
            agent=device.agent[:200],
        )
    )
    return token


def by_session(database: Database, token: str, *, now_ms: int) -> LoggedIn | None:
    """Whose session this cookie is, or None where it is nobody's or over."""
    with database.read() as session:
        row = session.get(AccountSession, proofs.token_hash(token))
        account = session.get(Account, row.account_id) if row is not None else None
    if row is None or account is None or account.disabled_at_ms is not None or not _lives(row, now_ms):
        return None
    if now_ms - row.seen_at_ms >= SEEN_EVERY_MS:
        with database.write() as session:
            session.execute(
                update(AccountSession).where(AccountSession.id_hash == row.id_hash).values(seen_at_ms=now_ms)
            )
    return logged_in(account, session_hash=row.id_hash)


def _lives(row: AccountSession, now_ms: int) -> bool:
    return now_ms < row.created_at_ms + SESSION_MS and now_ms < row.seen_at_ms + IDLE_MS


def living(session: Session, account_id: str, *, now_ms: int) -> list[AccountSession]:
    """The sessions of an account that still let in, the last used one first."""
    query = select(AccountSession).where(AccountSession.account_id == account_id)
    return [row for row in session.scalars(query.order_by(AccountSession.seen_at_ms.desc())) if _lives(row, now_ms)]


def end_all(session: Session, account_id: str) -> None:
    """Log this account out everywhere."""
    session.execute(delete(AccountSession).where(AccountSession.account_id == account_id))


def end(session: Session, session_hash: str) -> None:
    """Log one browser out."""
    session.execute(delete(AccountSession).where(AccountSession.id_hash == session_hash))
