"""Signed answer links: one person answers one page of one incident, without a login, until the link expires.

Token, base64url without padding (RFC 4648, section 5)::

    1  version (1)
    2  key hint: the first bytes of the SHA-256 of the signing key
    4  expiry, seconds since 1970-01-01T00:00:00Z, big endian
    n  incident_id, person_id, page_id: one length byte each, then the text; its top bit says "hex, packed"
    12 HMAC-SHA256 (RFC 2104) over all of the above, truncated to 96 bits (RFC 2104, section 5, allows half the hash)

With 32-digit hex ids and a person_id of 8 letters that is 62 bytes, 83 characters: behind ``https://seal.example.cn``
the whole link is 109 characters of the GSM alphabet, 109 bytes. One SMS holds 160 such characters, or 70 with Chinese
text, so a Chinese sentence with the link takes two to three parts.

LinkRefusal, in the order of the checks
  malformed   not a token at all, or cut off by a messenger
  foreign     made by another service, another version, or before the service's secret was replaced
  forged      altered, or signed without the key
  expired     genuine, but its time is over
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sealwatch.cloud.auth.secret import derive
from sealwatch.contract.signing import from_base64url, to_base64url

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">B2sI")
_MAC_BYTES: Final = 12
_HEX_FLAG: Final = 0x80
_MAX_TOKEN_CHARACTERS: Final = 400
_MAX_EXPIRY_S: Final = 2**32 - 1


class LinkRefusal(StrEnum):
    """Why a link is not taken."""

    MALFORMED = "malformed"
    FOREIGN = "foreign"
    FORGED = "forged"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLink:
    """What a genuine link names."""

    incident_id: str
    person_id: str
    page_id: str
    expires_at_ms: int


class LinkSigner:
    """Makes and reads answer links with one key."""

    def __init__(self, secret: bytes, public_url: str) -> None:
        """`secret` comes from `sealwatch.cloud.auth.secret`; `public_url` is what links begin with, without a path."""
        if len(secret) < 16:
            raise ValueError(f"the secret has {len(secret)} bytes; at least 16 are wanted")
        self._key = derive(secret, "answer-link.v1")
        self._hint = hashlib.sha256(self._key).digest()[:2]
        self._public_url = public_url.rstrip("/")

    def answer_url(self, *, incident_id: str, person_id: str, page_id: str, expires_at_ms: int) -> str:
        """The link to send. Its time is kept in whole seconds, rounded down. Raises ValueError for what can't fit."""
        token = self.token(incident_id=incident_id, person_id=person_id, page_id=page_id, expires_at_ms=expires_at_ms)
        return f"{self._public_url}/a/{token}"

    def token(self, *, incident_id: str, person_id: str, page_id: str, expires_at_ms: int) -> str:
        """The token alone. Raises ValueError for what can't fit."""
        expiry_s = expires_at_ms // 1000
        if not 0 <= expiry_s <= _MAX_EXPIRY_S:
            raise ValueError(f"expires_at_ms is {expires_at_ms}; a link can expire until the year 2106")
        body = _HEAD.pack(_VERSION, self._hint, expiry_s) + b"".join(
            _pack(value) for value in (incident_id, person_id, page_id)
        )
        return to_base64url(body + self._mac(body))

    def read(self, token: str, *, now_ms: int) -> AnswerLink | LinkRefusal:
        """What the token names, or why it is not taken. Never raises."""
        raw = _raw(token)
        if raw is None or len(raw) < _HEAD.size + _MAC_BYTES:
            return LinkRefusal.MALFORMED
        version, hint, expiry_s = _HEAD.unpack_from(raw)
        if version != _VERSION or hint != self._hint:
            return LinkRefusal.FOREIGN
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            return LinkRefusal.FORGED
        if now_ms >= expiry_s * 1000:
            return LinkRefusal.EXPIRED
        fields = _unpack(body[_HEAD.size :])
        if fields is None:  # only our own key signs, so this would be a fault of ours: refuse all the same
            return LinkRefusal.MALFORMED
        return AnswerLink(incident_id=fields[0], person_id=fields[1], page_id=fields[2], expires_at_ms=expiry_s * 1000)

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:_MAC_BYTES]


def _raw(token: str) -> bytes | None:
    """The bytes of a token, or None where it is not base64url in its one canonical spelling."""
    if not 0 < len(token) <= _MAX_TOKEN_CHARACTERS or not token.isascii():
        return None
    try:
        raw = from_base64url(token)
    except ValueError:
        return None
    return raw if to_base64url(raw) == token else None


def _pack(value: str) -> bytes:
    if value and len(value) % 2 == 0 and all(c in "0123456789abcdef" for c in value):
        packed, flag = bytes.fromhex(value), _HEX_FLAG
    else:
        packed, flag = value.encode(), 0
    if not 0 < len(packed) < _HEX_FLAG:
        raise ValueError(f"{value[:80]!r}: an id in a link has 1 to 127 bytes")
    return bytes([len(packed) | flag]) + packed


def _unpack(data: bytes) -> list[str] | None:
    fields: list[str] = []
    while data:
        length, flag = data[0] & ~_HEX_FLAG, data[0] & _HEX_FLAG
        part, data = data[1 : 1 + length], data[1 + length :]
        if len(part) != length:
            return None
        fields.append(part.hex() if flag else part.decode(errors="replace"))
    return fields if len(fields) == 3 else None
