"""Ed25519 (RFC 8032) sealing of messages."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_CONTEXT: Final = "sealwatch.{type}.v1\n"


def to_base64url(data: bytes) -> str:
    """Base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """Inverse of `to_base64url`. Raises ValueError for anything else."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def public_key_text(key: Ed25519PublicKey) -> str:
    """The 32 raw bytes of a public key as base64url: what a registry stores."""
    return to_base64url(key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))


def public_key_from_text(text: str) -> Ed25519PublicKey:
    """Inverse of `public_key_text`. Raises ValueError where it is no Ed25519 public key."""
    return Ed25519PublicKey.from_public_bytes(from_base64url(text))


def key_id(key: Ed25519PublicKey) -> str:
    """First 8 bytes of the SHA-256 of the raw public key, in hex: names a key without trusting the name."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def sign(key: Ed25519PrivateKey, message_type: str, body: str) -> str:
    """Signature of `body` as base64url; the type is part of what is signed, so one type never passes for another."""
    return to_base64url(key.sign((_CONTEXT.format(type=message_type) + body).encode()))


def verify(key: Ed25519PublicKey, message_type: str, body: str, signature: str) -> bool:
    """Whether `signature` is the key's signature of `body` as a message of this type."""
    try:
        key.verify(from_base64url(signature), (_CONTEXT.format(type=message_type) + body).encode())
    except (InvalidSignature, ValueError):
        return False
    return True
