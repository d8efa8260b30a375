"""Accounts in the database: who may log in, how they do it, and what ends their sessions and tokens.

Every change writes its line of the audit log in the same transaction. Argon2 runs outside of transactions: on SQLite
a writer would keep everybody else waiting for the time of a password check.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from sealwatch.cloud.accounts import audit, proofs, sessions
from sealwatch.cloud.accounts.proofs import Sealer
from sealwatch.cloud.accounts.sessions import Device, LoggedIn, actor_of_account
from sealwatch.cloud.db.account_tables import Account, ApiToken, OneTimeLink, PushSubscription
from sealwatch.cloud.db.engine import Database, hold_alone
from sealwatch.cloud.db.tables import Person
from sealwatch.cloud.refused import NotAllowed

LINK_MS: Final = 48 * 3_600_000
FIRST_LINK_MS: Final = 3_600_000
LONGEST_TOKEN_DAYS: Final = 366
_LOGIN: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")
_REGION: Final = re.compile(r"[A-Za-z0-9_-]{0,32}")


@dataclass(frozen=True, slots=True)
class LoginOutcome:
    """`token` is the new session's cookie where the name is "in"."""

    name: Literal["in", "wrong", "wait"]
    token: str = ""
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a one-time link led to: a session, and the recovery codes, which are shown this once."""

    token: str
    recovery_codes: list[str]


def any_account(session: Session) -> bool:
    """Whether somebody can log in at all, so that no link for a first administrator is needed."""
    return session.scalar(select(func.count()).where(Account.password_hash != "")) != 0


def invite(
    session: Session, *, login: str, name: str, role: str, region: str, person_id: str = "", author: str, now_ms: int
) -> Account:
    """A new account that can't log in yet. Raises NotAllowed: bad_login, bad_region, login_taken, unknown_person."""
    if not _LOGIN.fullmatch(login):
        raise NotAllowed("bad_login")
    if not _REGION.fullmatch(region):
        raise NotAllowed("bad_region")
    if session.scalar(select(Account).where(Account.login == login)) is not None:
        raise NotAllowed("login_taken")
    if person_id and session.get(Person, person_id) is None:
        raise NotAllowed("unknown_person")
    account = Account(
        account_id=secrets.token_hex(16),
        login=login,
        name=name.strip() or login,
        role=role,
        region=region,
        person_id=person_id,
        recovery=[],
        created_at_ms=now_ms,
        created_by=author,
    )
    session.add(account)
    session.flush()
    detail = {"role": role, "region": region, "person_id": person_id}
    audit.note(
        session, at_ms=now_ms, actor=author, action="account.invited", target=login, region=region, detail=detail
    )
    return account


def change(
    session: Session, account: Account, *, name: str, role: str, region: str, person_id: str, author: str, now_ms: int
) -> None:
    """Alter what an account is and sees, from its next request on. Browsers that took pages for another person are
    forgotten. Raises NotAllowed: bad_region, unknown_person.
    """
    if not _REGION.fullmatch(region):
        raise NotAllowed("bad_region")
    if person_id and session.get(Person, person_id) is None:
        raise NotAllowed("unknown_person")
    wanted = {"name": name.strip() or account.login, "role": role, "region": region, "person_id": person_id}
    changed = {field: value for field, value in wanted.items() if getattr(account, field) != value}
    if not changed:
        return
    was = {field: getattr(account, field) for field in changed}
    for field, value in changed.items():
        setattr(account, field, value)
    if "person_id" in changed:
        session.execute(delete(PushSubscription).where(PushSubscription.account_id == account.account_id))
    audit.note(
        session, at_ms=now_ms, actor=author, action="account.changed", target=account.login, region=account.region,
        detail={"was": was, "is": changed},
    )  # fmt: skip


def make_link(session: Session, account: Account | None, *, sealer: Sealer, author: str, now_ms: int) -> str:
    """A one-time link's token; those that the account had before stop working. None: for the first administrator."""
    account_id = account.account_id if account is not None else None
    session.execute(delete(OneTimeLink).where(OneTimeLink.account_id == account_id, OneTimeLink.used_at_ms.is_(None)))
    token = proofs.new_token()
    session.add(
        OneTimeLink(
            token_hash=proofs.token_hash(token),
            account_id=account_id,
            created_by=author,
            created_at_ms=now_ms,
            expires_at_ms=now_ms + (LINK_MS if account is not None else FIRST_LINK_MS),
            totp_sealed=sealer.seal(proofs.new_totp_secret()),
        )
    )
    target = account.login if account is not None else ""
    region = account.region if account is not None else ""
    audit.note(session, at_ms=now_ms, actor=author, action="account.link_made", target=target, region=region)
    return token


def open_link(session: Session, token: str, *, now_ms: int) -> OneTimeLink:
    """The link, still good. Raises NotAllowed: link_gone (unknown, used, too old, or nobody needs it any more)."""
    link = session.get(OneTimeLink, proofs.token_hash(token), with_for_update=True)
    if link is None or link.used_at_ms is not None or link.expires_at_ms <= now_ms:
        raise NotAllowed("link_gone")
    if link.account_id is None and any_account(session):
        raise NotAllowed("link_gone")
    if link.account_id is not None and session.get_one(Account, link.account_id).disabled_at_ms is not None:
        raise NotAllowed("link_gone")
    return link


def redeem(
    database: Database, token: str, *, login: str, name: str, password: str, code: str, sealer: Sealer, device: Device,
    now_ms: int,
) -> Redeemed:  # fmt: skip
    """Set the password and the second factor by a one-time link, and log in. `login` and `name` are the first one's.

    Raises NotAllowed: link_gone, bad_login, login_taken, password_short, password_guessable, wrong_code.
    """
    with database.read() as session:
        link = open_link(session, token, now_ms=now_ms)
        account = session.get(Account, link.account_id) if link.account_id is not None else None
        chosen = account.login if account is not None else login
    fault = proofs.password_fault(password, chosen)
    if fault is not None:
        raise NotAllowed(fault)
    hashed = proofs.hash_password(password)
    with database.write() as session:
        hold_alone(session)  # two holders of first links can't both become the first
        link = open_link(session, token, now_ms=now_ms)
        secret = sealer.open(link.totp_sealed)
        step = proofs.totp_step(secret, code, now_ms=now_ms, last_step=0)
        if step is None:
            raise NotAllowed("wrong_code")
        if link.account_id is None:
            account = invite(
                session, login=login, name=name, role="county_admin", region="", author=link.created_by, now_ms=now_ms
            )
        else:
            account = session.get_one(Account, link.account_id, with_for_update=True)
        codes = proofs.new_recovery_codes()
        account.password_hash, account.totp_sealed, account.totp_step = hashed, sealer.seal(secret), step
        account.recovery = [proofs.token_hash(one) for one in codes]
        account.failures, account.failed_at_ms = 0, None
        link.used_at_ms = now_ms
        sessions.end_all(session, account.account_id)
        cookie = sessions.start(session, account, device=device, now_ms=now_ms)
        note(session, account, "account.password_set", address=device.address, now_ms=now_ms)
    return Redeemed(cookie, codes)


def log_in(
    database: Database, *, login: str, password: str, code: str, sealer: Sealer, device: Device, now_ms: int
) -> LoginOutcome:
    """One try: name, password and code together, so that nobody learns which of them was wrong."""
    login = login.strip().lower()
    with database.read() as session:
        found = session.scalar(select(Account).where(Account.login == login))
    if found is not None and (wait := wait_s(found, now_ms)) > 0:
        return LoginOutcome("wait", wait_s=wait)
    right = proofs.password_is_right(found.password_hash if found is not None else "", password)
    with database.write() as session:
        account = session.scalar(select(Account).where(Account.login == login).with_for_update())
        if account is None:
            # What was typed into the name field may be a password: it is not written down.
            audit.note(session, at_ms=now_ms, actor="nobody", action="login", outcome="unknown", address=device.address)
            return LoginOutcome("wrong")
        if (wait := wait_s(account, now_ms)) > 0:
            return LoginOutcome("wait", wait_s=wait)
        if right and account.disabled_at_ms is None and second_factor(account, code, sealer, now_ms):
            account.failures, account.failed_at_ms, account.last_login_at_ms = 0, None, now_ms
            token = sessions.start(session, account, device=device, now_ms=now_ms)
            note(session, account, "login", address=device.address, now_ms=now_ms)
            return LoginOutcome("in", token)
        account.failures, account.failed_at_ms = account.failures + 1, now_ms
        note(session, account, "login", outcome="wrong", address=device.address, now_ms=now_ms)
        return LoginOutcome("wrong")


def wait_s(account: Account, now_ms: int) -> float:
    """Seconds until this account's password may be tried again; 0 when it may now."""
    since_s = (now_ms - (account.failed_at_ms or 0)) / 1000
    return proofs.wait_s(account.failures, since_s=max(0.0, since_s))


def second_factor(account: Account, code: str, sealer: Sealer, now_ms: int) -> bool:
    """Whether `code` is the authenticator's, or a recovery code; either is used up by it."""
    secret = sealer.open(account.totp_sealed)
    step = proofs.totp_step(secret, code, now_ms=now_ms, last_step=account.totp_step)
    if step is not None:
        account.totp_step = step
        return True
    used = proofs.matching_recovery(account.recovery, code)
    account.recovery = [one for one in account.recovery if one != used]
    return used is not None


def by_token(database: Database, token: str, *, now_ms: int) -> LoggedIn | None:
    """Whose program this bearer token belongs to, or None where it is nobody's or over."""
    with database.read() as session:
        row = session.scalar(select(ApiToken).where(ApiToken.token_hash == proofs.token_hash(token)))
        account = session.get(Account, row.account_id) if row is not None else None
    if row is None or account is None or account.disabled_at_ms is not None:
        return None
    if row.revoked_at_ms is not None or now_ms >= row.expires_at_ms:
        return None
    if now_ms - (row.last_used_at_ms or 0) >= sessions.SEEN_EVERY_MS:
        with database.write() as session:
            session.execute(update(ApiToken).where(ApiToken.token_id == row.token_id).values(last_used_at_ms=now_ms))
    return sessions.logged_in(account, scopes=frozenset(row.scopes))


def disable(session: Session, account: Account, *, disabled: bool, author: str, now_ms: int) -> None:
    """Shut an account out at once, with its sessions, tokens and web push; or let it in again."""
    account.disabled_at_ms = now_ms if disabled else None
    if disabled:
        sessions.end_all(session, account.account_id)
        session.execute(delete(PushSubscription).where(PushSubscription.account_id == account.account_id))
        session.execute(
            update(ApiToken)
            .where(ApiToken.account_id == account.account_id, ApiToken.revoked_at_ms.is_(None))
            .values(revoked_at_ms=now_ms)
        )
    action = "account.disabled" if disabled else "account.enabled"
    audit.note(session, at_ms=now_ms, actor=author, action=action, target=account.login, region=account.region)


def reset(session: Session, account: Account, *, sealer: Sealer, author: str, now_ms: int) -> str:
    """A link to set a new password and second factor. The old ones stop working now; sessions and web push end."""
    account.password_hash, account.totp_sealed, account.recovery, account.oidc_subject = "", "", [], ""
    sessions.end_all(session, account.account_id)
    session.execute(delete(PushSubscription).where(PushSubscription.account_id == account.account_id))
    audit.note(session, at_ms=now_ms, actor=author, action="account.reset", target=account.login, region=account.region)
    return make_link(session, account, sealer=sealer, author=author, now_ms=now_ms)


def make_token(
    session: Session, who: LoggedIn, *, name: str, scopes: frozenset[str], days: int, now_ms: int
) -> tuple[ApiToken, str]:
    """A token of a program, shown this once. Raises NotAllowed (bad_token) without a name, a scope or a sane end."""
    if not name.strip() or not scopes or not 1 <= days <= LONGEST_TOKEN_DAYS:
        raise NotAllowed("bad_token")
    token = proofs.new_token()
    row = ApiToken(
        token_id=secrets.token_hex(8),
        token_hash=proofs.token_hash(token),
        account_id=who.account_id,
        name=name.strip()[:100],
        scopes=sorted(scopes),
        created_at_ms=now_ms,
        expires_at_ms=now_ms + days * 24 * 3_600_000,
    )
    session.add(row)
    audit.note(
        session, at_ms=now_ms, actor=who.actor, action="token.made", target=row.name, region=who.region,
        detail={"token_id": row.token_id, "scopes": row.scopes},
    )  # fmt: skip
    return row, token


def revoke_token(session: Session, who: LoggedIn, token_id: str, *, now_ms: int) -> None:
    """End one's own token. Raises NotAllowed (not_there)."""
    row = session.get(ApiToken, token_id)
    if row is None or row.account_id != who.account_id:
        raise NotAllowed("not_there")
    row.revoked_at_ms = row.revoked_at_ms or now_ms
    audit.note(session, at_ms=now_ms, actor=who.actor, action="token.revoked", target=row.name, region=who.region)


def below(session: Session, region: str) -> list[Account]:
    """Accounts of a region and of what lies in it."""
    query = select(Account).where(Account.region.startswith(region, autoescape=True)).order_by(Account.login)
    return list(session.scalars(query))


def note(session: Session, account: Account, action: str, *, address: str, now_ms: int, outcome: str = "done") -> None:
    """A line of the audit log about what somebody did with their own account."""
    audit.note(
        session, at_ms=now_ms, actor=actor_of_account(account), action=action, target=account.login, outcome=outcome,
        address=address, region=account.region,
    )  # fmt: skip
