"""What somebody changes about their own login: the password, the authenticator, the devices that are logged in.

A browser that was left open must not be enough to take an account over: each change asks for the password, and wrong
ones count and wait like wrong logins do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.fernet import InvalidToken
from sqlalchemy.orm import Session

from sealwatch.cloud.accounts import audit, proofs, sessions, store
from sealwatch.cloud.accounts.proofs import Sealer
from sealwatch.cloud.accounts.sessions import Device, LoggedIn
from sealwatch.cloud.db.account_tables import Account, AccountSession
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.refused import NotAllowed

OFFER_MS: Final = 3_600_000
"""How long the secret that a page shows may be taken on."""


class Waiting(Exception):  # noqa: N818 - the account waits; nothing is in error
    """Too many wrong passwords: the account may be tried again in `wait_s` seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"wait {wait_s:.0f} s")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Offer:
    """A new secret for the authenticator, and the same sealed for one account, to come back with the form."""

    secret: str
    sealed: str


def change_password(
    database: Database, who: LoggedIn, *, old: str, new: str, device: Device, now_ms: int
) -> str:  # fmt: skip
    """Take a new password. Every session ends; the token of this browser's new one is given back.

    Raises NotAllowed (password_short, password_guessable, password_same, password_wrong) and Waiting.
    """
    fault = "password_same" if new == old else proofs.password_fault(new, who.login)
    if fault is not None:
        raise NotAllowed(fault)
    _prove(database, who, old, device=device, now_ms=now_ms)
    hashed = proofs.hash_password(new)
    with database.write() as session:
        account = session.get_one(Account, who.account_id, with_for_update=True)
        account.password_hash = hashed
        return _begin_anew(session, account, "account.password_changed", device=device, now_ms=now_ms)


def offer_authenticator(who: LoggedIn, sealer: Sealer, *, now_ms: int) -> Offer:
    """A secret to scan. Nothing is kept until it comes back with a code that proves that it was scanned."""
    secret = proofs.new_totp_secret()
    return Offer(secret, sealer.seal(f"{who.account_id} {now_ms + OFFER_MS} {secret}"))


def read_offer(who: LoggedIn, sealer: Sealer, sealed: str, *, now_ms: int) -> Offer:
    """The offer that a form brought back. Raises NotAllowed (offer_gone): somebody else's, too old, or made up."""
    try:
        account_id, until_ms, secret = sealer.open(sealed).split(" ")
    except (InvalidToken, ValueError):
        raise NotAllowed("offer_gone") from None
    if account_id != who.account_id or now_ms >= int(until_ms):
        raise NotAllowed("offer_gone")
    return Offer(secret, sealed)


def change_authenticator(
    database: Database, who: LoggedIn, offer: Offer, *, password: str, old_code: str, new_code: str, sealer: Sealer,
    device: Device, now_ms: int,
) -> store.Redeemed:  # fmt: skip
    """Take the offered secret, with new recovery codes, for the old ones. Every session ends but this browser's.

    Asks for the old factor as well, or a recovery code: whoever knows the password alone must not replace it.
    Raises NotAllowed (wrong_code, password_wrong, old_code_wrong) and Waiting.
    """
    step = proofs.totp_step(offer.secret, new_code, now_ms=now_ms, last_step=0)
    if step is None:
        raise NotAllowed("wrong_code")
    _prove(database, who, password, device=device, now_ms=now_ms)
    codes = proofs.new_recovery_codes()
    with database.write() as session:
        account = session.get_one(Account, who.account_id, with_for_update=True)
        right = store.second_factor(account, old_code, sealer, now_ms)
        if right:
            account.totp_sealed, account.totp_step = sealer.seal(offer.secret), step
            account.recovery = [proofs.token_hash(one) for one in codes]
            cookie = _begin_anew(session, account, "account.authenticator_changed", device=device, now_ms=now_ms)
        else:
            _failed(session, account, device=device, now_ms=now_ms)
    if not right:
        raise NotAllowed("old_code_wrong")
    return store.Redeemed(cookie, codes)


def end_session(session: Session, who: LoggedIn, session_hash: str, *, now_ms: int) -> None:
    """Log one of one's own devices out. Raises NotAllowed (not_there)."""
    row = session.get(AccountSession, session_hash)
    if row is None or row.account_id != who.account_id:
        raise NotAllowed("not_there")
    sessions.end(session, session_hash)
    _note_ended(session, who, now_ms=now_ms, address=row.address)


def end_sessions(session: Session, who: LoggedIn, *, now_ms: int) -> None:
    """Log all of one's own devices out."""
    sessions.end_all(session, who.account_id)
    _note_ended(session, who, now_ms=now_ms, address="")


def _note_ended(session: Session, who: LoggedIn, *, now_ms: int, address: str) -> None:
    audit.note(
        session, at_ms=now_ms, actor=who.actor, action="account.sessions_ended", target=who.login, region=who.region,
        detail={"address": address} if address else {},
    )  # fmt: skip


def _prove(database: Database, who: LoggedIn, password: str, *, device: Device, now_ms: int) -> None:
    """Raises NotAllowed (password_wrong) and Waiting. Argon2 runs outside of transactions."""
    with database.read() as session:
        account = session.get_one(Account, who.account_id)
    if (wait_s := store.wait_s(account, now_ms)) > 0:
        raise Waiting(wait_s)
    right = proofs.password_is_right(account.password_hash, password)
    with database.write() as session:
        account = session.get_one(Account, who.account_id, with_for_update=True)
        wait_s = store.wait_s(account, now_ms)  # others may have been wrong meanwhile
        if wait_s <= 0 and not right:
            _failed(session, account, device=device, now_ms=now_ms)
    if wait_s > 0:
        raise Waiting(wait_s)
    if not right:
        raise NotAllowed("password_wrong")


def _failed(session: Session, account: Account, *, device: Device, now_ms: int) -> None:
    account.failures, account.failed_at_ms = account.failures + 1, now_ms
    store.note(session, account, "account.proof", outcome="wrong", address=device.address, now_ms=now_ms)


def _begin_anew(session: Session, account: Account, action: str, *, device: Device, now_ms: int) -> str:
    account.failures, account.failed_at_ms = 0, None
    sessions.end_all(session, account.account_id)
    store.note(session, account, action, address=device.address, now_ms=now_ms)
    return sessions.start(session, account, device=device, now_ms=now_ms)
