"""Evidence files named by what is in them, so that an altered file can't pass for the one that was sent."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{64}")


def check_content(sha256: str, data: bytes) -> None:
    """Raises ValueError where `data` is not what `sha256` names."""
    check_name(sha256)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ValueError(f"evidence {sha256}: the content has hash {found}; it is another file or was altered")


def check_name(sha256: str) -> None:
    """Raises ValueError for anything but 64 lower-case hex digits: the name becomes a path."""
    if not _NAME.fullmatch(sha256):
        raise ValueError(f"evidence {sha256[:80]!r}: not a SHA-256 in lower-case hex")


class MemoryEvidence:
    """The evidence store inside one process: the twin that tests use."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def put(self, sha256: str, data: bytes) -> None:
        """Keep a file. Raises ValueError for another hash."""
        check_content(sha256, data)
        self._files[sha256] = bytes(data)

    def get(self, sha256: str) -> bytes | None:
        """The file, or None where it has not arrived. Raises ValueError where it was altered."""
        check_name(sha256)
        data = self._files.get(sha256)
        if data is not None:
            check_content(sha256, data)
        return data


_INCOMING = "incoming"
_LEFT_OVER_S = 3600.0


class FileEvidence:
    """Files below a folder as ``ab/cd/abcd…``: two levels keep every folder small with millions of files.

    A file is written whole under ``incoming/`` first; what a crash leaves there is removed by a later start.
    """

    def __init__(self, folder: Path) -> None:
        """Open or create the folder. Raises OSError where it can't be written."""
        self._folder = folder
        self._incoming = folder / _INCOMING
        self._incoming.mkdir(parents=True, exist_ok=True)
        for left_over in self._incoming.iterdir():
            # Another process may be writing right now: only what is old is nobody's any more.
            if time.time() - left_over.stat().st_mtime > _LEFT_OVER_S:
                left_over.unlink(missing_ok=True)

    def path(self, sha256: str) -> Path:
        """Where a file lies. Raises ValueError for what is no SHA-256."""
        check_name(sha256)
        return self._folder / sha256[:2] / sha256[2:4] / sha256

    def put(self, sha256: str, data: bytes) -> None:
        """Keep a file; file and folders are fsynced when it returns. A file the disk has altered is mended.

        Raises ValueError for another hash, OSError where the disk refuses.
        """
        check_content(sha256, data)
        target = self.path(sha256)
        if target.exists() and target.read_bytes() == data:
            # An earlier writer may have died between its rename and its fsync: this call promises durability too.
            _fsync_folder(target.parent)
            return
        self._make_folders(target.parent)
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _fsync_folder(target.parent)

    def adopt(self, sha256: str, file: Path) -> None:
        """Take a file of the same disk whose hash the caller has checked; durable when it returns. Raises OSError."""
        target = self.path(sha256)
        self._make_folders(target.parent)
        file.replace(target)
        _fsync_folder(target.parent)

    def get(self, sha256: str) -> bytes | None:
        """The file, or None where it has not arrived. Raises ValueError where the disk has altered it."""
        try:
            data = self.path(sha256).read_bytes()
        except FileNotFoundError:
            return None
        check_content(sha256, data)
        return data

    def _make_folders(self, leaf: Path) -> None:
        for folder in (leaf.parent, leaf):
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
                _fsync_folder(folder.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
