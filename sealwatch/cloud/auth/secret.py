"""The service's own secret: drawn at random at the first start, never a default, readable by its owner alone."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Final

from sealwatch.base.settings import SettingsError

SECRET_BYTES: Final = 32
FILE_NAME: Final = "service.secret"


def load_or_create(data_dir: Path) -> bytes:
    """The 32 secret bytes of this service, made at the first call. Several processes may start at once.

    Raises SettingsError where the file is readable by others, has another length, or can't be read or written.
    """
    path = data_dir / FILE_NAME
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        found = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: the service's secret can't be kept here: {error.strerror}") from None
    if mode & 0o077:
        raise SettingsError(f"{path}: others may read the service's secret (mode {mode:04o}); run: chmod 600 {path}")
    if len(found) != SECRET_BYTES:
        raise SettingsError(
            f"{path}: holds {len(found)} bytes instead of {SECRET_BYTES}; restore it from a backup, or delete it "
            "to draw a new one (every answer link sent before then stops working)"
        )
    return found


def derive(secret: bytes, purpose: str) -> bytes:
    """A key for one purpose, so that what is signed for one never passes for another."""
    return hmac.new(secret, b"sealwatch." + purpose.encode(), hashlib.sha256).digest()


def _create(path: Path) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".secret-", dir=path.parent)  # mkstemp makes it with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)  # fails where another process was first; its secret is then the one
        except FileExistsError:
            return
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        Path(name).unlink(missing_ok=True)
