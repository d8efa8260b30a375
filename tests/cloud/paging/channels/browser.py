"""A browser that subscribed, and its push service: they read what the channel sends by the RFCs, with no code of it."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwatch.cloud.paging.subscriptions import Offered
from tests.cloud.paging.channels.vendor import Call


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def derived(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)


@dataclass
class SubscribedBrowser:
    """The keys that a browser keeps for itself."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    @property
    def point(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def offered(self, endpoint: str) -> Offered:
        return Offered(endpoint=endpoint, p256dh=text(self.point), auth=text(self.auth))

    def read(self, body: bytes) -> bytes:
        """One record of aes128gcm (RFC 8188, 2) with the keys of RFC 8291, 3.4."""
        salt, record_bytes, length = body[:16], int.from_bytes(body[16:20]), body[20]
        point, sealed = body[21 : 21 + length], body[21 + length :]
        assert len(sealed) <= record_bytes
        assert len(body) <= 4096  # RFC 8291, 4: what a push service has to take
        theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        shared = self.key.exchange(ec.ECDH(), theirs)
        secret = derived(self.auth, shared, b"WebPush: info\0" + self.point + point, 32)
        key = derived(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
        nonce = derived(salt, secret, b"Content-Encoding: nonce\0", 12)
        padded = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\0")
        assert padded[-1] == 2  # the last record
        return padded[:-1]


def claims(call: Call, key: str) -> dict[str, Any]:
    """Who says that the message is theirs (RFC 8292). Raises InvalidSignature."""
    scheme, _, rest = call.headers["authorization"].partition(" ")
    values = dict(one.split("=", 1) for one in rest.split(","))
    assert scheme == "vapid"
    assert values["k"] == key
    signed, _, signature = values["t"].rpartition(".")
    sign = raw(signature)
    pair = encode_dss_signature(int.from_bytes(sign[:32]), int.from_bytes(sign[32:]))
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw(values["k"]))
    point.verify(pair, signed.encode(), ec.ECDSA(hashes.SHA256()))
    header, payload = (json.loads(raw(part)) for part in signed.split("."))
    assert header["alg"] == "ES256"
    return dict(payload)


def name(endpoint: str) -> str:
    return hashlib.sha256(endpoint.encode()).hexdigest()
