"""SM2 (GB/T 32918.2, curve and identity of GB/T 35276) by the `openssl` command, 1.1.1 or newer.

The command is in every Debian and its code is maintained and reviewed; Python's `cryptography` offers SM3 but not SM2.
Where the command is missing, signing says so and verification reports that SM2 was not checked.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sealwatch.base.errors import CommandFailed, UsageError

_IDENTITY = "distid:1234567812345678"  # the identity that GB/T 35276 gives where parties have agreed on none
_DIGEST = ["-rawin", "-digest", "sm3", "-pkeyopt", _IDENTITY]
_TIMEOUT_S = 30.0


def available() -> bool:
    """Whether the `openssl` command is installed."""
    return shutil.which("openssl") is not None


def _openssl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["openssl", *arguments], capture_output=True, timeout=_TIMEOUT_S)
    except FileNotFoundError:
        raise CommandFailed(
            "SM2 needs the openssl command, which is not installed; on Debian: apt install openssl"
        ) from None
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"openssl did not answer within {_TIMEOUT_S:.0f} s; try again") from None


# The object identifier of the SM2 curve, 1.2.156.10197.1.301, as it stands in a public key in DER.
_SM2_OID = bytes.fromhex("06082a811ccf5501822d")


def _is_sm2(done: subprocess.CompletedProcess[bytes]) -> bool:
    return done.returncode == 0 and _SM2_OID in done.stdout


def _key_id(public_der: bytes) -> str:
    return hashlib.sha256(public_der).hexdigest()[:16]


def make_key(path: Path) -> None:
    """Write a new private key, readable by its owner only. Raises CommandFailed, OSError."""
    path.touch(mode=0o600, exist_ok=False)
    done = _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", str(path))
    if done.returncode != 0:
        path.unlink()
        raise CommandFailed("this openssl cannot make SM2 keys; version 1.1.1 or newer built with SM2 is needed")


class Sm2Signer:
    """Signs with a private key in a PEM file. Raises CommandFailed where the key can't be used."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file
        done = _openssl("pkey", "-in", str(key_file), "-pubout", "-outform", "DER")
        if not _is_sm2(done):
            raise CommandFailed(f"{key_file}: no private SM2 key that openssl can read; name an SM2 key in PEM form")
        self.key_id = _key_id(done.stdout)

    def public_pem(self) -> bytes:
        """The public key for those who verify."""
        return _openssl("pkey", "-in", str(self._key_file), "-pubout").stdout

    def sign(self, data: bytes) -> bytes:
        """DER signature over `data`."""
        with tempfile.TemporaryDirectory(prefix="sealwatch-sm2-") as folder:
            message, signature = Path(folder) / "message", Path(folder) / "signature"
            message.write_bytes(data)
            arguments = ["-sign", "-in", str(message), "-inkey", str(self._key_file), "-out", str(signature), *_DIGEST]
            if _openssl("pkeyutl", *arguments).returncode != 0:
                raise CommandFailed(f"{self._key_file}: openssl could not sign with this key; check the file")
            return signature.read_bytes()


class Sm2Verifier:
    """Checks against public keys in PEM files. Raises UsageError for a file that holds none."""

    def __init__(self, public_key_files: Sequence[Path]) -> None:
        self._files: dict[str, Path] = {}
        for file in public_key_files:
            if not available():
                continue
            done = _openssl("pkey", "-pubin", "-in", str(file), "-outform", "DER")
            if not _is_sm2(done):
                raise UsageError(f"{file}: no public key that openssl can read; name an SM2 public key in PEM form")
            self._files[_key_id(done.stdout)] = file

    def check(self, key_id: str, data: bytes, signature: bytes) -> str:
        """good | bad | unknown_key | not_available."""
        if not available():
            return "not_available"
        file = self._files.get(key_id)
        if file is None:
            return "unknown_key"
        with tempfile.TemporaryDirectory(prefix="sealwatch-sm2-") as folder:
            message, signature_file = Path(folder) / "message", Path(folder) / "signature"
            message.write_bytes(data)
            signature_file.write_bytes(signature)
            arguments = ["-verify", "-in", str(message), "-pubin", "-inkey", str(file)]
            done = _openssl("pkeyutl", *arguments, "-sigfile", str(signature_file), *_DIGEST)
        return "good" if done.returncode == 0 else "bad"
