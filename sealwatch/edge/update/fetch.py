"""Files of releases: kept under their SHA-256, fetched piece by piece, and taken only when they are the right ones."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.files import sync_folder
from sealwatch.contract import signing
from sealwatch.contract.release import FILES_PATH, ReleaseFile
from sealwatch.contract.upload import NODE_HEADER, OFFSET_HEADER, SIGNATURE_HEADER, SIGNED_AS, request_text

logger = logging.getLogger(__name__)
PIECE_BYTES: Final = 512 * 1024
TIMEOUT_S: Final = 30.0
_NOTHING_SHA256: Final = hashlib.sha256(b"").hexdigest()


class FetchError(Exception):
    """A piece that did not come. `reason`: unreachable | refused."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Source(Protocol):
    """Where files come from."""

    def piece(self, sha256: str, offset_bytes: int, most_bytes: int) -> bytes:
        """Bytes from `offset_bytes` on, at least one. Raises FetchError."""
        ...


class HttpsSource:
    """The service. One connection a request: a link that comes and goes leaves nothing hanging."""

    def __init__(
        self, url: str, *, node_id: str, key: Ed25519PrivateKey, context: ssl.SSLContext | None = None
    ) -> None:
        """`url`: https://host[:port]; `context` carries the CA and the node's certificate."""
        parts = urlsplit(url)
        self._host, self._tls = parts.netloc, parts.scheme == "https"
        self._node_id, self._key, self._context = node_id, key, context

    def piece(self, sha256: str, offset_bytes: int, most_bytes: int) -> bytes:
        path = FILES_PATH + sha256
        said = request_text("GET", path, offset_bytes, _NOTHING_SHA256)
        headers = {
            NODE_HEADER: self._node_id,
            SIGNATURE_HEADER: signing.sign(self._key, SIGNED_AS, said),
            OFFSET_HEADER: str(offset_bytes),
            "Range": f"bytes={offset_bytes}-{offset_bytes + most_bytes - 1}",
        }
        connection = (
            http.client.HTTPSConnection(self._host, timeout=TIMEOUT_S, context=self._context)
            if self._tls
            else http.client.HTTPConnection(self._host, timeout=TIMEOUT_S)
        )
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            data = response.read(most_bytes + 1)
        except (OSError, http.client.HTTPException) as error:
            raise FetchError("unreachable", f"{self._host}: {type(error).__name__}: {error}") from None
        finally:
            connection.close()
        if response.status != 206 or not 0 < len(data) <= most_bytes:
            reason = "refused" if response.status in {401, 404, 416} else "unreachable"
            raise FetchError(reason, f"the service answered {response.status} for {path}")
        return data


class FileKeep:
    """The folder ``update/files``. Methods raise OSError where the disk refuses."""

    def __init__(self, data_folder: Path) -> None:
        self.folder = data_folder / "update" / "files"

    def path(self, sha256: str) -> Path:
        return self.folder / sha256

    def has(self, file: ReleaseFile) -> bool:
        """Whether the whole file is here; it was checked when it came."""
        return self.path(file.sha256).is_file()

    def offset_bytes(self, file: ReleaseFile) -> int:
        """How far an unfinished file has come."""
        part = self._part(file)
        return part.stat().st_size if part.exists() else 0

    def add(self, file: ReleaseFile, offset_bytes: int, data: bytes) -> bool:
        """Append a piece; whether the file is whole now. One with another hash is thrown away: ValueError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._part(file)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, data, offset_bytes)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if offset_bytes + len(data) < file.size_bytes:
            return False
        if part.stat().st_size != file.size_bytes or _sha256(part) != file.sha256:
            part.unlink()
            raise ValueError(f"{file.name} came as another file than the release names; it is fetched anew")
        part.replace(self.path(file.sha256))
        sync_folder(self.folder)
        return True

    def keep_only(self, wanted: Collection[str]) -> None:
        """Remove files that no release on this node needs."""
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if path.name.removesuffix(".part") not in wanted:
                path.unlink()

    def _part(self, file: ReleaseFile) -> Path:
        return self.folder / f"{file.sha256}.part"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
