"""Who this node is: an Ed25519 signing key, made on the node at its first start and never leaving it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base import keys
from sealwatch.contract import signing

KEY_FILE = "signing-key.pem"


@dataclass(frozen=True, slots=True)
class Identity:
    """The key a node signs with."""

    key: Ed25519PrivateKey

    @property
    def public_key_text(self) -> str:
        """What the registry of the service stores: 32 raw bytes as base64url."""
        return signing.public_key_text(self.key.public_key())

    @property
    def key_id(self) -> str:
        return signing.key_id(self.key.public_key())


def load_or_create(data_dir: Path) -> Identity:
    """The node's key; made with mode 0600 where there is none yet. Raises UsageError."""
    return Identity(keys.load_or_create(data_dir / KEY_FILE))


def new_boot_id() -> str:
    """Drawn at random each time the agent starts: 16 bytes in hex."""
    return secrets.token_hex(16)
