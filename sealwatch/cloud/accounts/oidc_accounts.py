"""Which account an identity of the provider is: one that an administrator made, never a new one.

The first time, the configured claim says it: its value is the account's login, or for ``email``, which must be
verified, the e-mail address of the account's person. From then on the account is bound to the provider's ``sub``: a
name that is given to somebody else later opens nothing. Role and region are those of the account; no claim
changes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sealwatch.cloud.accounts import audit, sessions
from sealwatch.cloud.accounts.sessions import Device, actor_of_account
from sealwatch.cloud.db.account_tables import Account
from sealwatch.cloud.db.tables import Person
from sealwatch.cloud.refused import NotAllowed


def enter(session: Session, claims: Mapping[str, Any], *, claim: str, device: Device, now_ms: int) -> str:
    """Log in whoever these claims of a checked ID token are; the token of the new session.

    Raises NotAllowed (oidc_unknown): no account is theirs, it is disabled, or it is bound to another identity.
    """
    bound = hashlib.sha256(f"{claims['iss']}\0{claims['sub']}".encode()).hexdigest()
    account = session.scalar(select(Account).where(Account.oidc_subject == bound).with_for_update())
    if account is None:
        account = _by_claim(session, claims, claim)
    if account is None or account.disabled_at_ms is not None or account.oidc_subject not in {"", bound}:
        raise NotAllowed("oidc_unknown")
    account.oidc_subject, account.last_login_at_ms = bound, now_ms
    audit.note(
        session, at_ms=now_ms, actor=actor_of_account(account), action="login", target=account.login,
        address=device.address, region=account.region, detail={"by": "oidc"},
    )  # fmt: skip
    return sessions.start(session, account, device=device, now_ms=now_ms)


def _by_claim(session: Session, claims: Mapping[str, Any], claim: str) -> Account | None:
    value = claims.get(claim)
    if not isinstance(value, str) or not value:
        return None
    value = value.strip().lower()
    query = select(Account).where(Account.login == value)
    if claim == "email":
        if claims.get("email_verified") is not True:
            return None
        person = Person.person_id == Account.person_id
        query = select(Account).join(Person, person).where(func.lower(Person.email) == value)
    found = list(session.scalars(query.limit(2).with_for_update(of=Account)))
    return found[0] if len(found) == 1 else None  # an address that two share says nothing
