"""The Ed25519 key the service signs with what it sends to nodes: commands, configurations, declarations, offers.

It changes in three steps, so that no node is ever without a key that it believes: `prepare_next` makes the next one,
every node is told to believe it as well, `use_next` puts it in place.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base import keys
from sealwatch.base.errors import UsageError
from sealwatch.base.files import sync_folder

KEY_FILE: Final = "service-key.pem"
NEXT_FILE: Final = "service-key-next.pem"
FORMER_FILE: Final = "service-key-former.pem"


def load_or_create(data_dir: Path) -> Ed25519PrivateKey:
    """The service's signing key; made with mode 0600 where there is none yet. Raises UsageError.

    Nodes pin its public half: who loses it has to enrol every node anew, so it belongs in the backup.
    """
    return keys.load_or_create(data_dir / KEY_FILE)


def prepare_next(data_dir: Path) -> Ed25519PrivateKey:
    """The key that will take its place; made where there is none yet. Raises UsageError."""
    return keys.load_or_create(data_dir / NEXT_FILE)


def use_next(data_dir: Path) -> Ed25519PrivateKey:
    """Put the next key in place; the former one stays beside it until the next time. Raises UsageError, OSError.

    A name of the former one comes first: whenever the power goes, the key in place is either the one or the other.
    """
    current, following, former = (data_dir / name for name in (KEY_FILE, NEXT_FILE, FORMER_FILE))
    if not following.exists():
        raise UsageError(
            f"{following} is not there; make it with `sealwatch cloud key --next` and have nodes believe it"
        )
    key = keys.load_or_create(following)
    former.unlink(missing_ok=True)
    os.link(current, former)
    sync_folder(data_dir)
    following.replace(current)
    sync_folder(data_dir)
    return key
