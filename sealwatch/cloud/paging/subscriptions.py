"""Browsers that take pages for a person: kept, forgotten, and what a browser must show to be one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from sealwatch.cloud.accounts import audit
from sealwatch.cloud.accounts.sessions import LoggedIn
from sealwatch.cloud.db.account_tables import Account, PushSubscription
from sealwatch.cloud.refused import NotAllowed
from sealwatch.contract.signing import from_base64url

MOST: Final = 5
"""Browsers a person. One page goes to all of them, one after another."""
_POINT_BYTES: Final = 65
_AUTH_BYTES: Final = 16
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What a browser gives out about itself (`PushSubscription.toJSON()` of the Push API)."""

    endpoint: str
    p256dh: str
    auth: str


def is_allowed(endpoint: str, services: Sequence[str]) -> bool:
    """Whether it is an address at one of these push services, over TLS: a browser must not choose where we send.

    A service on this machine may be without TLS.
    """
    try:
        parts = urlsplit(endpoint)
        host = (parts.hostname or "").lower()
        parts.port  # noqa: B018 - raises ValueError for one out of range
    except ValueError:
        return False
    if parts.username or parts.password or not endpoint.isascii():
        return False
    if host in _LOOPBACK:
        return host in services and parts.scheme in {"http", "https"}
    return parts.scheme == "https" and any(host == one or host.endswith(f".{one}") for one in services)


def subscription_id(endpoint: str) -> str:
    """What the row is called; the page's script finds its own browser by it."""
    return hashlib.sha256(endpoint.encode()).hexdigest()


def subscribe(
    session: Session, who: LoggedIn, offered: Offered, *, services: Sequence[str], agent: str, now_ms: int
) -> PushSubscription:
    """Pages of this account's person go to this browser from now on, and no longer to whoever had it before.

    Raises NotAllowed: no_person (the account is nobody's in the list of people), push_refused (not a push service, or
    not a key), too_many_browsers.
    """
    person_id = session.get_one(Account, who.account_id).person_id
    if not person_id:
        raise NotAllowed("no_person")
    if not is_allowed(offered.endpoint, services) or not _are_keys(offered):
        raise NotAllowed("push_refused")
    row = session.get(PushSubscription, subscription_id(offered.endpoint), with_for_update=True)
    others = PushSubscription.person_id == person_id
    if row is None or row.person_id != person_id:
        if session.scalar(select(func.count()).select_from(PushSubscription).where(others)) >= MOST:  # type: ignore[operator]  # a count is never null
            raise NotAllowed("too_many_browsers")
        audit.note(
            session, at_ms=now_ms, actor=who.actor, action="push.subscribed", target=person_id, region=who.region,
            detail={"service": urlsplit(offered.endpoint).hostname or ""},
        )  # fmt: skip
    if row is None:
        row = PushSubscription(subscription_id=subscription_id(offered.endpoint), created_at_ms=now_ms)
        session.add(row)
    row.account_id, row.person_id, row.agent = who.account_id, person_id, agent[:200]
    row.endpoint, row.p256dh, row.auth = offered.endpoint, offered.p256dh, offered.auth
    session.flush()
    return row


def _are_keys(offered: Offered) -> bool:
    try:
        point, auth = from_base64url(offered.p256dh.rstrip("=")), from_base64url(offered.auth.rstrip("="))
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        return False
    return len(point) == _POINT_BYTES and len(auth) == _AUTH_BYTES


def of_person(session: Session, person_id: str) -> list[PushSubscription]:
    """The browsers of a person, the newest first."""
    query = select(PushSubscription).where(PushSubscription.person_id == person_id)
    return list(session.scalars(query.order_by(PushSubscription.created_at_ms.desc())))


def of_account(session: Session, account_id: str) -> list[PushSubscription]:
    """The browsers that an account subscribed, the newest first."""
    query = select(PushSubscription).where(PushSubscription.account_id == account_id)
    return list(session.scalars(query.order_by(PushSubscription.created_at_ms.desc())))


def remove(session: Session, who: LoggedIn, subscription_id_: str, *, now_ms: int) -> None:
    """Send no more pages to one of one's own browsers. Raises NotAllowed (not_there)."""
    row = session.get(PushSubscription, subscription_id_)
    if row is None or row.account_id != who.account_id:
        raise NotAllowed("not_there")
    session.delete(row)
    audit.note(
        session, at_ms=now_ms, actor=who.actor, action="push.removed", target=row.person_id, region=who.region
    )  # fmt: skip


def forget_gone(session: Session, row: PushSubscription, *, status: int, now_ms: int) -> None:
    """The push service says that this browser is there no more."""
    session.execute(delete(PushSubscription).where(PushSubscription.subscription_id == row.subscription_id))
    audit.note(
        session, at_ms=now_ms, actor="system", action="push.gone", target=row.person_id, outcome=str(status),
        detail={"service": urlsplit(row.endpoint).hostname or ""},
    )  # fmt: skip
