"""SHA-256 and, where a site asks for it, SM3 (GB/T 32905-2016, as OpenSSL implements it) in one pass over the data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SM3, Hash

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Digests:
    """What a run over some data gave."""

    size_bytes: int
    sha256: str
    sm3: str | None


class Running:
    """Digests that grow with the data, so that a file is hashed while it is written."""

    def __init__(self, *, sm3: bool = False) -> None:
        self._sha256 = hashlib.sha256()
        self._sm3 = Hash(SM3()) if sm3 else None
        self.size_bytes = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next piece."""
        self._sha256.update(data)
        if self._sm3 is not None:
            self._sm3.update(bytes(data))
        self.size_bytes += len(data)

    def result(self) -> Digests:
        """The digests of everything taken so far."""
        sm3 = self._sm3.copy().finalize().hex() if self._sm3 is not None else None
        return Digests(self.size_bytes, self._sha256.hexdigest(), sm3)


def of_chunks(chunks: Iterable[bytes], *, sm3: bool = False) -> Digests:
    """Digests of data that comes in pieces."""
    running = Running(sm3=sm3)
    for chunk in chunks:
        running.update(chunk)
    return running.result()


def of_file(path: Path, *, sm3: bool = False) -> Digests:
    """Digests of a file. Raises OSError."""
    running = Running(sm3=sm3)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            running.update(chunk)
    return running.result()
