"""Who gets a certificate, and who has lost it.

Refusals
  reason: too_large | not_json | wrong_shape | bad_signature | bad_csr
          | unknown_token | expired_token | used_token    of an enrolment
          | unknown_node                                  not registered, revoked, or not its key
          | bad_proof | key_in_cloud_toml                 of another key
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.base.clock import Clock
from sealwatch.base.errors import UsageError
from sealwatch.cloud.db.engine import Database, hold_alone
from sealwatch.cloud.db.tables import Certificate, EnrolmentToken, FormerKey, Node, Site
from sealwatch.cloud.downlink.queue import publish_declaration
from sealwatch.cloud.enrolment.authority import Authority, Revoked, key_of_csr
from sealwatch.contract import enrolment, signing
from sealwatch.contract.enrolment import (
    FORMER_KEY_DAYS,
    EnrolRequest,
    Granted,
    KeyAccepted,
    KeyRequest,
    RenewRequest,
    Signed,
)
from sealwatch.contract.messages import Identifier
from sealwatch.contract.wire import Refused

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Answers nodes. `mqtt_url` is the broker as nodes reach it."""

    database: Database
    authority: Authority
    key: Ed25519PrivateKey
    mqtt_url: str
    clock: Clock

    def enrol(self, payload: bytes) -> bytes:
        """Register the node a token was made for, with the keys it brings. Raises Refused.

        The same request again gets the same answer: the first may have been lost on the way. Anybody else is refused.
        """
        signed, asked = enrolment.read(EnrolRequest, payload)
        tls_key = _key(asked.csr)
        now_ms = self.clock.wall_ms()
        with self.database.write() as session:
            hold_alone(session)
            token = session.get(EnrolmentToken, signed.key)
            if token is None:
                raise Refused("unknown_token", "no such token was made here; ask for a new one")
            if now_ms > token.expires_at_ms:
                raise Refused("expired_token", "the token has expired; ask for a new one")
            if token.used_at_ms is not None:
                if token.public_key != asked.public_key:
                    raise Refused("used_token", "the token was used by other keys; if not by you, have it revoked")
                return self._again(session, token.node_id, tls_key, signed)
            token.used_at_ms, token.public_key = now_ms, asked.public_key
            node = session.get(Node, token.node_id)
            if node is None:
                node = Node(node_id=token.node_id, site_id=token.site_id, public_key=asked.public_key)
                session.add(node)
            elif _revoke_certificates(session, node.node_id, now_ms):  # the one that it replaces
                write_crl(session, self.authority, now_ms)
            node.site_id = token.site_id
            _end_former_keys(session, node.node_id, now_ms)
            replace_key(session, node, asked.public_key, now_ms=now_ms, believed_days=0)
            node.enrolled_at_ms, node.revoked_at_ms = now_ms, None
            session.flush()
            publish_declaration(session, token.site_id, author="system", now_ms=now_ms)
            return self._grant(session, node, tls_key, signed)

    def renew(self, payload: bytes) -> bytes:
        """Another certificate for a node that asks with its own registered key. Raises Refused."""
        signed, asked = enrolment.read(RenewRequest, payload)
        tls_key = _key(asked.csr)
        with self.database.write() as session:
            hold_alone(session)
            node = session.get(Node, asked.node_id)
            if node is None or node.public_key != signed.key or node.revoked_at_ms is not None:
                raise Refused("unknown_node", f"node {asked.node_id} has no right to a certificate; enrol it again")
            return self._again(session, node.node_id, tls_key, signed)

    def change_key(self, payload: bytes) -> bytes:
        """Another signing key for a node; the former one is believed for `FORMER_KEY_DAYS`. Raises Refused.

        The same request again gets the same answer: the first may have been lost on the way.
        """
        signed, asked = enrolment.read(KeyRequest, payload)
        if not signing.verify(
            signing.public_key_from_text(asked.public_key), KeyRequest.__name__, asked.node_id, asked.proof
        ):
            raise Refused("bad_proof", "the new key did not sign the request; whoever asks does not have it")
        now_ms = self.clock.wall_ms()
        with self.database.write() as session:
            hold_alone(session)
            node = session.get(Node, asked.node_id)
            former = session.get(FormerKey, (asked.node_id, signed.key))
            again = (
                node is not None
                and node.public_key == asked.public_key
                and former is not None
                and now_ms < former.valid_until_ms
            )
            if node is None or node.revoked_at_ms is not None or (node.public_key != signed.key and not again):
                raise Refused("unknown_node", f"node {asked.node_id} has no right to change its key; enrol it again")
            if node.enrolled_at_ms is None:
                raise Refused("key_in_cloud_toml", "this node's key stands in cloud.toml; change it there, or enrol it")
            if not again and asked.public_key != signed.key:
                replace_key(session, node, asked.public_key, now_ms=now_ms, believed_days=FORMER_KEY_DAYS)
        return enrolment.sign(
            self.key,
            KeyAccepted(
                request_sha256=enrolment.body_sha256(signed), node_id=asked.node_id, public_key=asked.public_key
            ),
        )

    def _again(self, session: Session, node_id: str, tls_key: ec.EllipticCurvePublicKey, signed: Signed) -> bytes:
        """What this key already has, if it is less than a day old; so asking again and again makes nothing."""
        node = session.get_one(Node, node_id)
        if node.revoked_at_ms is not None:
            raise Refused("unknown_node", f"node {node_id} was revoked; enrol it again")
        last = session.scalars(
            select(Certificate).where(Certificate.node_id == node_id).order_by(Certificate.issued_at_ms.desc()).limit(1)
        ).first()
        fresh = last is not None and self.clock.wall_ms() - last.issued_at_ms < _DAY_MS
        if last is None or not fresh or last.key_sha256 != _digest(tls_key) or last.revoked_at_ms is not None:
            return self._grant(session, node, tls_key, signed)
        return self._answer(node, last, signed)

    def _grant(self, session: Session, node: Node, tls_key: ec.EllipticCurvePublicKey, signed: Signed) -> bytes:
        now_ms = self.clock.wall_ms()
        issued = self.authority.issue(tls_key, node.node_id, now_ms=now_ms)
        row = Certificate(
            serial=issued.serial,
            node_id=node.node_id,
            pem=issued.pem,
            key_sha256=_digest(tls_key),
            issued_at_ms=now_ms,
            expires_at_ms=issued.not_after_ms,
        )
        session.add(row)
        return self._answer(node, row, signed)

    def _answer(self, node: Node, certificate: Certificate, signed: Signed) -> bytes:
        return enrolment.sign(
            self.key,
            Granted(
                request_sha256=enrolment.body_sha256(signed),
                site_id=node.site_id,
                node_id=node.node_id,
                certificate=certificate.pem,
                ca=self.authority.pem,
                not_after_ms=certificate.expires_at_ms,
                service_public_key=signing.public_key_text(self.key.public_key()),
                mqtt_url=self.mqtt_url,
            ),
        )


def replace_key(session: Session, node: Node, public_key: str, *, now_ms: int, believed_days: float) -> None:
    """Give a node another key and remember the former one, so that its evidence stays verifiable."""
    if node.public_key and node.public_key != public_key:
        until_ms = now_ms + int(believed_days * _DAY_MS)
        session.merge(
            FormerKey(node_id=node.node_id, public_key=node.public_key, replaced_at_ms=now_ms, valid_until_ms=until_ms)
        )
    node.public_key = public_key
    session.flush()


def make_token(
    session: Session,
    *,
    key: Ed25519PrivateKey,
    node_id: str,
    site_id: str,
    author: str,
    now_ms: int,
    valid_s: float,
) -> str:
    """The text of a one-time token for one node; shown once, kept nowhere. Raises UsageError."""
    try:
        msgspec.convert(node_id, Identifier)
    except msgspec.ValidationError as error:
        raise UsageError(f"'{node_id}' can be no node: {error}") from None
    if node_id.startswith("sealwatch"):  # the broker's rules know the service by such a name
        raise UsageError(f"'{node_id}' is kept for the service itself; give the node another name")
    if session.get(Site, site_id) is None:
        raise UsageError(f"no site '{site_id}'; add it to cloud.toml and start the service again")
    token = enrolment.new_token(key.public_key())
    session.add(
        EnrolmentToken(
            token_key=token.public_key_text,
            node_id=node_id,
            site_id=site_id,
            author=author,
            created_at_ms=now_ms,
            expires_at_ms=now_ms + int(valid_s * 1000),
        )
    )
    return token.text()


def revoke(session: Session, node_id: str, *, now_ms: int) -> int:
    """Take every right from a node: how many certificates were valid. Raises UsageError for an unknown node.

    From here on its messages are not believed, its uploads and renewals refused; tokens made for it end too.
    """
    node = session.get(Node, node_id)
    if node is None:
        raise UsageError(f"no node '{node_id}'")
    node.revoked_at_ms = now_ms
    _end_former_keys(session, node_id, now_ms)
    for token in session.scalars(select(EnrolmentToken).where(EnrolmentToken.node_id == node_id)):
        token.expires_at_ms = min(token.expires_at_ms, now_ms - 1)
    return _revoke_certificates(session, node_id, now_ms)


def _end_former_keys(session: Session, node_id: str, now_ms: int) -> None:
    for row in session.scalars(select(FormerKey).where(FormerKey.node_id == node_id)):
        row.valid_until_ms = min(row.valid_until_ms, now_ms)


def _revoke_certificates(session: Session, node_id: str, now_ms: int) -> int:
    valid = session.scalars(
        select(Certificate).where(
            Certificate.node_id == node_id, Certificate.revoked_at_ms.is_(None), Certificate.expires_at_ms > now_ms
        )
    ).all()
    for one in valid:
        one.revoked_at_ms = now_ms
    session.flush()
    return len(valid)


def write_crl(session: Session, authority: Authority, now_ms: int) -> None:
    """Everything revoked that has not expired, as a list for the broker. Raises OSError."""
    rows = session.scalars(
        select(Certificate).where(Certificate.revoked_at_ms.is_not(None), Certificate.expires_at_ms > now_ms)
    )
    authority.write_crl([Revoked(row.serial, row.revoked_at_ms or now_ms) for row in rows], now_ms)


def _key(csr: str) -> ec.EllipticCurvePublicKey:
    try:
        return key_of_csr(csr)
    except ValueError as error:
        raise Refused("bad_csr", str(error)) from None


def _digest(key: ec.EllipticCurvePublicKey) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()
