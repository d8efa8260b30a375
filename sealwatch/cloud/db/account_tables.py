"""Tables of accounts. No password, code or token is kept: only what proves one (Argon2, SHA-256), or it is sealed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from sealwatch.cloud.db.base import Base


class Account(Base):
    """Somebody who may log in. Without a password yet while only invited; never deleted, because histories name it."""

    __tablename__ = "accounts"
    account_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    login: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(16))
    region: Mapped[str] = mapped_column(String(32))  # the beginning of the county codes it sees; "": all of them
    person_id: Mapped[str] = mapped_column(String(64), default="")  # the same human in the registry of people
    password_hash: Mapped[str] = mapped_column(String(200), default="")
    totp_sealed: Mapped[str] = mapped_column(Text, default="")  # under a key of the service's secret
    totp_step: Mapped[int] = mapped_column(default=0)  # the last time step whose code was used
    recovery: Mapped[list[str]] = mapped_column(default=list)  # hashes of the recovery codes that are left
    failures: Mapped[int] = mapped_column(default=0)  # wrong logins since the last right one
    failed_at_ms: Mapped[int | None]
    disabled_at_ms: Mapped[int | None]
    created_at_ms: Mapped[int]
    created_by: Mapped[str] = mapped_column(String(100))
    last_login_at_ms: Mapped[int | None]
    # SHA-256 of issuer and `sub` of the identity it is bound to; "": none yet
    oidc_subject: Mapped[str] = mapped_column(String(64), default="", index=True)


class AccountSession(Base):
    """A browser that is logged in, by the hash of its cookie."""

    __tablename__ = "account_sessions"
    id_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.account_id"), index=True)
    created_at_ms: Mapped[int]
    seen_at_ms: Mapped[int]
    address: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str] = mapped_column(String(200), default="")  # how the browser calls itself


class OneTimeLink(Base):
    """A link that sets a password once: an invitation, a reset, or that of the first administrator."""

    __tablename__ = "one_time_links"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.account_id"), index=True)  # null: the first
    created_by: Mapped[str] = mapped_column(String(100))
    created_at_ms: Mapped[int]
    expires_at_ms: Mapped[int]
    used_at_ms: Mapped[int | None]
    totp_sealed: Mapped[str] = mapped_column(Text)  # the secret that the page of this link shows


class ApiToken(Base):
    """A token of a program, with some of its owner's rights."""

    __tablename__ = "api_tokens"
    token_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.account_id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[list[str]]
    created_at_ms: Mapped[int]
    expires_at_ms: Mapped[int]
    last_used_at_ms: Mapped[int | None]
    revoked_at_ms: Mapped[int | None]


class PushSubscription(Base):
    """A browser that takes pages for a person (RFC 8030), by the hash of the address its push service gave it."""

    __tablename__ = "push_subscriptions"
    subscription_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.account_id"), index=True)
    person_id: Mapped[str] = mapped_column(String(64), index=True)
    endpoint: Mapped[str] = mapped_column(Text)
    p256dh: Mapped[str] = mapped_column(String(100))  # the browser's public key, base64url
    auth: Mapped[str] = mapped_column(String(32))  # 16 random bytes that it shares with us, base64url
    agent: Mapped[str] = mapped_column(String(200))
    created_at_ms: Mapped[int]
    taken_at_ms: Mapped[int | None]  # when its push service last took a page


class KeptResponse(Base):
    """What the API answered to a request with an Idempotency-Key, so that the same request again does nothing twice."""

    __tablename__ = "kept_responses"
    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)  # of who asked and their key
    request_hash: Mapped[str] = mapped_column(String(64))
    at_ms: Mapped[int] = mapped_column(index=True)
    status: Mapped[int | None]  # null: under way
    media_type: Mapped[str] = mapped_column(String(100))
    body: Mapped[bytes]


class AuditEntry(Base):
    """One line of the audit log. The database itself refuses to change or delete one."""

    __tablename__ = "audit_log"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at_ms: Mapped[int] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(100), index=True)
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(200))
    outcome: Mapped[str] = mapped_column(String(32))
    address: Mapped[str] = mapped_column(String(64))
    region: Mapped[str] = mapped_column(String(32))  # of who acted
    detail: Mapped[dict[str, Any]]
