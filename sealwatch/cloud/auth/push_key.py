"""The P-256 key by which push services know this service (VAPID, RFC 8292)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwatch.base import keys
from sealwatch.contract.signing import to_base64url

KEY_FILE: Final = "push-key.pem"


def load_or_create(data_dir: Path) -> ec.EllipticCurvePrivateKey:
    """The key; made with mode 0600 where there is none yet. Raises UsageError.

    Every subscription of a browser is bound to it: who loses it has everybody subscribe anew, so it belongs in the
    backup.
    """
    return keys.load_or_create_p256(data_dir / KEY_FILE)


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    """Its public half as browsers want it: the uncompressed point in base64url."""
    return to_base64url(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
