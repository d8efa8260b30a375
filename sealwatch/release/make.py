"""From a folder of files to a release, and back: is it whole, and who signed it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sealwatch.base.errors import UsageError
from sealwatch.contract import wire
from sealwatch.contract.messages import Sealed
from sealwatch.contract.release import ANY_PLATFORM, Release, ReleaseFile
from sealwatch.contract.wire import Refused

_OWN: Final = re.compile(r"^sealwatch-([0-9.]+)-py3-none-any\.whl$")
_PIECE: Final = 1024 * 1024


def agent(folder: Path, *, platform: str, min_agent: str, now_ms: int) -> Release:
    """A release of the agent from its wheels: exactly one of SealWatch, what it needs, and pip, which installs them.

    Raises UsageError.
    """
    wheels = _files(folder, "*.whl")
    own = [match[1] for name in wheels if (match := _OWN.match(name))]
    if len(own) != 1:
        raise UsageError(
            f"{folder}: wanted is one wheel of sealwatch, there are {len(own)}; run: pip wheel . -w FOLDER"
        )
    if not any(name.startswith("pip-") for name in wheels):
        raise UsageError(
            f"{folder}: the wheel of pip is missing, with which nodes install; run: pip download pip -d FOLDER"
        )
    distributions = [name.split("-")[0].lower() for name in wheels]
    twice = sorted({name for name in distributions if distributions.count(name) > 1})
    if twice:
        raise UsageError(f"{folder}: {', '.join(twice)} is there twice; keep one wheel of each")
    return _release("agent", own[0], wheels, platform=platform, min_agent=min_agent, now_ms=now_ms)


def model(folder: Path, *, version: str, min_agent: str, now_ms: int) -> Release:
    """A release of a model: one manifest (``.toml``) and the ``.onnx`` files it names. Raises UsageError."""
    manifests, networks = _files(folder, "*.toml"), _files(folder, "*.onnx")
    if len(manifests) != 1 or not networks:
        raise UsageError(
            f"{folder}: wanted are one manifest (.toml) and at least one .onnx; there are {len(manifests)} and "
            f"{len(networks)}"
        )
    return _release(
        "model", version, {**manifests, **networks}, platform=ANY_PLATFORM, min_agent=min_agent, now_ms=now_ms
    )


def sign(release_text: bytes, key: Ed25519PrivateKey) -> bytes:
    """The sealed release. Raises UsageError for what is no release."""
    try:
        return wire.seal(key, wire.decode(Release, release_text))
    except Refused as refused:
        raise UsageError(f"this is no release: {refused.detail}") from None


def opened(sealed: bytes | str, key: Ed25519PublicKey | None = None) -> Release:
    """What is in a sealed release; with `key` only if it is signed by that one. Raises UsageError."""
    try:
        if key is not None:
            return wire.unseal(Release, sealed if isinstance(sealed, bytes) else sealed.encode(), key)
        return wire.decode(Release, wire.decode(Sealed, sealed).body)
    except Refused as refused:
        raise UsageError(f"this release cannot be taken: {refused.detail}") from None


def missing(release: Release, folder: Path) -> list[str]:
    """Names of the files that are not in the folder, or are others than the release says."""
    return [
        file.name
        for file in release.files
        if not (folder / file.name).is_file() or sha256_of(folder / file.name) != file.sha256
    ]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _files(folder: Path, pattern: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    return {path.name: path for path in sorted(folder.glob(pattern)) if path.is_file()}


def _release(
    kind: str, version: str, files: Mapping[str, Path], *, platform: str, min_agent: str, now_ms: int
) -> Release:
    said = {
        "kind": kind,
        "version": version,
        "platform": platform,
        "min_agent": min_agent,
        "issued_at_ms": now_ms,
        "files": [
            ReleaseFile(name=name, sha256=sha256_of(path), size_bytes=path.stat().st_size)
            for name, path in files.items()
        ],
    }
    try:
        return msgspec.convert(msgspec.to_builtins(said), Release)
    except msgspec.ValidationError as error:
        raise UsageError(f"the release cannot be made: {error}") from None
