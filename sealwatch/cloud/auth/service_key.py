"""The Ed25519 key the service signs with what it sends to nodes: commands, configurations, declarations."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base import keys

KEY_FILE: Final = "service-key.pem"


def load_or_create(data_dir: Path) -> Ed25519PrivateKey:
    """The service's signing key; made with mode 0600 where there is none yet. Raises UsageError.

    Nodes pin its public half: who loses it has to enrol every node anew, so it belongs in the backup.
    """
    return keys.load_or_create(data_dir / KEY_FILE)
