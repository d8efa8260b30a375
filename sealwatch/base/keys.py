"""Key files of Ed25519 and P-256: made where there is none, with mode 0600, and never replaced by themselves."""

from __future__ import annotations

import logging
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from sealwatch.base.errors import UsageError
from sealwatch.contract import signing

logger = logging.getLogger(__name__)


def load_or_create(path: Path) -> Ed25519PrivateKey:
    """The signing key in `path`; made with mode 0600 where there is none yet. Raises UsageError.

    A key that can't be read is never replaced by itself: the other side would refuse everything signed with another
    one, and whoever swaps a key should have to do it on purpose.
    """
    key = _found(path, _new_ed25519)
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"signing key {path}: must be an Ed25519 key; move it away to have one made")
    return key


def load_or_create_p256(path: Path) -> ec.EllipticCurvePrivateKey:
    """The same for a key on the curve P-256, which web push wants. Raises UsageError."""
    key = _found(path, lambda: ec.generate_private_key(ec.SECP256R1()))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(f"signing key {path}: must be on the curve P-256; move it away to have one made")
    return key


def _found(path: Path, make: Callable[[], PrivateKeyTypes]) -> PrivateKeyTypes:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path, make())
        _close_to_others(path)
        return _load(path)
    except OSError as error:
        raise UsageError(f"signing key {path}: {error.strerror}; check the folder, its owner and its rights") from None


def _load(path: Path) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UsageError(
            f"signing key {path}: not a readable PEM private key; restore it from your copy, or move it away to have a "
            "new one made, whose public key must then be registered again"
        ) from None


def _new_ed25519() -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    while signing.public_key_text(key.public_key()).startswith("-"):  # a command line would take it for an option
        key = Ed25519PrivateKey.generate()
    return key


def _create(path: Path, key: PrivateKeyTypes) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, pem)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    # Taking the name only where it is free: of two programs that start at once, both end with the same key.
    try:
        os.link(draft, path)
        logger.info("a signing key was made: %s", path)
    except FileExistsError:
        pass
    except OSError:  # FAT has no links
        draft.rename(path)
    draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _close_to_others(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        logger.warning("the signing key %s could be read by others (mode %o); it is now closed to them", path, mode)
        path.chmod(0o600)
