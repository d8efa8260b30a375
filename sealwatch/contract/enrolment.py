"""How a node gets its certificate: asked for under a one-time token, renewed under the node's own key.

``POST /enrolment/v1/nodes``     body `Signed` EnrolRequest by the token's key -> 200 `Signed` Granted by the service's
``POST /enrolment/v1/renewals``  body `Signed` RenewRequest by the node's key  -> the same
``POST /enrolment/v1/keys``      body `Signed` KeyRequest by the node's key    -> 200 `Signed` KeyAccepted
Anything else: 4xx with ``{"reason": …, "detail": …}``.

A token is the seed of an Ed25519 key and the fingerprint of the service's key: ``<43 characters>.<22 characters>``. The
service keeps only the public half, as one keeps the hash of a password. The token itself never travels, the answer is
signed by the key whose fingerprint it carries, and neither can be altered or taken over on the way.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta, Struct

from sealwatch.contract import signing, wire
from sealwatch.contract.messages import Base64, EpochMs, Identifier, Sha256, Version
from sealwatch.contract.wire import Refused

ENROL_PATH: Final = "/enrolment/v1/nodes"
RENEW_PATH: Final = "/enrolment/v1/renewals"
KEY_PATH: Final = "/enrolment/v1/keys"
FORMER_KEY_DAYS: Final = 30.0
"""For so long the service still believes what a node's former key has signed: an outbox may wait for weeks."""
MAX_BODY_BYTES: Final = 64 * 1024
_FINGERPRINT_BYTES: Final = 16

T = TypeVar("T", bound=Struct)
PublicKeyText = Annotated[Base64, Meta(min_length=43, max_length=43)]
Pem = Annotated[str, Meta(max_length=16_000)]


class EnrolRequest(Struct, frozen=True, kw_only=True):
    """A node's keys. The name in the certificate is the service's to give."""

    v: Version = 1
    public_key: PublicKeyText
    csr: Annotated[Pem, Meta(description="PKCS #10 of the key for TLS; only its key is used.")]


class RenewRequest(Struct, frozen=True, kw_only=True):
    """Another certificate for a node that has one."""

    v: Version = 1
    node_id: Identifier
    csr: Pem


class KeyRequest(Struct, frozen=True, kw_only=True):
    """Another signing key for a node, asked for under its present one."""

    v: Version = 1
    node_id: Identifier
    public_key: PublicKeyText
    proof: Annotated[Base64, Meta(description="By the new key, of node_id: that the node really has it.")]


class KeyAccepted(Struct, frozen=True, kw_only=True):
    """From here on the new key is the node's."""

    v: Version = 1
    request_sha256: Annotated[Sha256, Meta(description="Of the body that was asked with.")]
    node_id: Identifier
    public_key: PublicKeyText


class Granted(Struct, frozen=True, kw_only=True):
    """The certificate and what a node must know of the service."""

    v: Version = 1
    request_sha256: Annotated[Sha256, Meta(description="Of the body that was asked with.")]
    site_id: Identifier
    node_id: Identifier
    certificate: Pem
    ca: Pem
    not_after_ms: EpochMs
    service_public_key: PublicKeyText
    mqtt_url: str


class Signed(Struct, frozen=True, kw_only=True):
    """JSON text and a signature of exactly its characters by `key`."""

    v: Version = 1
    key: PublicKeyText
    body: Annotated[str, Meta(max_length=MAX_BODY_BYTES)]
    sig: Base64


def sign(key: Ed25519PrivateKey, message: EnrolRequest | RenewRequest | KeyRequest | Granted | KeyAccepted) -> bytes:
    """A signed message as bytes."""
    body = wire.encode(message).decode()
    kind = type(message).__name__
    return wire.encode(
        Signed(key=signing.public_key_text(key.public_key()), body=body, sig=signing.sign(key, kind, body))
    )


def key_request(node_id: str, present: Ed25519PrivateKey, following: Ed25519PrivateKey) -> bytes:
    """What a node asks with for `following` to take the place of `present`."""
    proof = signing.sign(following, KeyRequest.__name__, node_id)
    public_key = signing.public_key_text(following.public_key())
    return sign(present, KeyRequest(node_id=node_id, public_key=public_key, proof=proof))


def read(kind: type[T], payload: bytes) -> tuple[Signed, T]:
    """A signed message whose signature holds; whose key it is, is the caller's to judge. Raises Refused."""
    signed = wire.decode(Signed, payload)
    try:
        key = signing.public_key_from_text(signed.key)
    except ValueError:
        raise Refused("wrong_shape", "the key is not an Ed25519 public key") from None
    if not signing.verify(key, kind.__name__, signed.body, signed.sig):
        raise Refused("bad_signature", "the signature does not cover this body")
    return signed, wire.decode(kind, signed.body)


def body_sha256(signed: Signed) -> str:
    """What an answer names its question by."""
    return hashlib.sha256(signed.body.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Token:
    """A one-time token, as its text says it."""

    key: Ed25519PrivateKey
    fingerprint: str

    @property
    def public_key_text(self) -> str:
        """What the service keeps of it."""
        return signing.public_key_text(self.key.public_key())

    def text(self) -> str:
        seed = self.key.private_bytes(
            serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        )
        return f"{signing.to_base64url(seed)}.{self.fingerprint}"


def new_token(service_key: Ed25519PublicKey) -> Token:
    """A token drawn at random, for the service with this key."""
    key = Ed25519PrivateKey.generate()
    while Token(key, "").text().startswith("-"):  # a command line would take it for an option
        key = Ed25519PrivateKey.generate()
    return Token(key, fingerprint(signing.public_key_text(service_key)))


def read_token(text: str) -> Token:
    """Raises ValueError for what is no token, such as one that was not copied whole."""
    seed, dot, mark = text.strip().partition(".")
    try:
        raw, digest = signing.from_base64url(seed), signing.from_base64url(mark)
    except ValueError:
        raw = digest = b""
    if not dot or len(raw) != 32 or len(digest) != _FINGERPRINT_BYTES:
        raise ValueError("not a token")
    return Token(Ed25519PrivateKey.from_private_bytes(raw), mark)


def fingerprint(public_key_text: str) -> str:
    """First 16 bytes of the SHA-256 of a raw public key, as base64url."""
    raw = signing.from_base64url(public_key_text)
    return signing.to_base64url(hashlib.sha256(raw).digest()[:_FINGERPRINT_BYTES])
