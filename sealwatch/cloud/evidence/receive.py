"""Receiving evidence in pieces: who may send, where to go on, and when a file is whole.

Nothing is answered before it is durable. A file that is complete but has another hash than its manifest says is thrown
away and begun anew; it can never take the name of the right one.

Refused
  reason: unknown_node | bad_signature | bad_request | altered | wrong_key | foreign_node | not_linked | too_large |
          not_announced | wrong_offset | hash_mismatch | no_room
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealwatch.cloud.evidence.store import FileEvidence, check_name
from sealwatch.contract import signing
from sealwatch.contract.upload import MAX_PIECE_BYTES, SIGNED_AS, Announcement, FileState, Receipt, request_text
from sealwatch.evidence import digests
from sealwatch.evidence.documents import FileEntry, Link, Manifest
from sealwatch.evidence.envelope import open_envelope

MAX_FILE_BYTES: Final = 4 * 1024**3
KEEP_FREE_BYTES: Final = 1024**3
_STATUS: Final = {
    "unknown_node": 401,
    "bad_signature": 401,
    "not_announced": 404,
    "wrong_offset": 409,
    "hash_mismatch": 409,
    "too_large": 413,
    "no_room": 507,
}


class Refused(Exception):  # noqa: N818 - it is a verdict with a reason, not a fault of ours
    """A request that can't be taken. `offset_bytes`: where to go on, where that is the matter."""

    def __init__(self, reason: str, detail: str, offset_bytes: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.offset_bytes = reason, detail, offset_bytes

    @property
    def status(self) -> int:
        """The HTTP status that goes with the reason."""
        return _STATUS.get(self.reason, 422)


@dataclass(frozen=True, slots=True)
class Sender:
    """A node of the registry. `former` keys have sealed what still waits on it; requests are signed by `key`."""

    node_id: str
    site_id: str
    key: Ed25519PublicKey
    former: tuple[Ed25519PublicKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file that is whole: what a listing of evidence wants to know."""

    manifest: Manifest
    file: FileEntry


class Receiver:
    """The files that are on their way. Callable from any thread."""

    def __init__(
        self,
        folder: Path,
        store: FileEvidence,
        find: Callable[[str], Sender | None],
        *,
        on_arrived: Callable[[Arrived], None] = lambda _arrived: None,
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        """`find` looks a node up by its id; `on_arrived` may be told the same file twice.

        Raises OSError where the folder can't be made.
        """
        self._folder, self._store, self._find, self._on_arrived = folder, store, find, on_arrived
        self._free_bytes = free_bytes or (lambda path: os.statvfs(path).f_bavail * os.statvfs(path).f_frsize)
        self._items, self._parts = folder / "items", folder / "parts"
        for place in (self._items, self._parts):
            place.mkdir(parents=True, exist_ok=True)
        self._locks = [threading.Lock() for _ in range(64)]

    def check_request(
        self, node_id: str, signature: str, *, method: str, path: str, offset_bytes: int, body: bytes
    ) -> Sender:
        """Who sent it. Raises Refused (unknown_node, bad_signature)."""
        sender = self._find(node_id)
        if sender is None:
            raise Refused("unknown_node", "this node is not in the registry")
        said = request_text(method, path, offset_bytes, hashlib.sha256(body).hexdigest())
        if not signing.verify(sender.key, SIGNED_AS, said, signature):
            raise Refused("bad_signature", "the request is not signed with the registered key of this node")
        return sender

    def announce(self, sender: Sender, body: bytes) -> Receipt:
        """Take note of an item. Raises Refused."""
        try:
            said = msgspec.json.decode(body, type=Announcement)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Refused("bad_request", f"not an announcement: {error}") from None
        manifest = self._check(sender, said)
        if any(file.size_bytes > MAX_FILE_BYTES for file in manifest.files):
            raise Refused("too_large", f"a file has more than {MAX_FILE_BYTES} bytes")
        for file in manifest.files:
            place = self._items / sender.node_id / file.sha256
            if not place.exists():
                _write(place, body)
        states = [self._state(sender.node_id, file) for file in manifest.files]
        for file, state in zip(manifest.files, states, strict=True):
            if state.complete:  # noted again, in case the service ended between keeping and noting it
                self._on_arrived(Arrived(manifest, file))
        return Receipt(files=states)

    def take(self, sender: Sender, sha256: str, offset_bytes: int, data: bytes) -> FileState:
        """Append a piece of an announced file; durable when it returns. Raises Refused."""
        manifest, file = self._announced(sender, sha256)
        if len(data) > MAX_PIECE_BYTES:
            raise Refused("too_large", f"a piece has at most {MAX_PIECE_BYTES} bytes")
        with self._locks[int(sha256[:2], 16) % len(self._locks)]:
            state = self._state(sender.node_id, file)
            if state.complete:
                return state
            if offset_bytes != state.offset_bytes or offset_bytes + len(data) > file.size_bytes:
                raise Refused("wrong_offset", f"go on from byte {state.offset_bytes}", state.offset_bytes)
            if self._free_bytes(self._folder) - len(data) < KEEP_FREE_BYTES:
                raise Refused("no_room", "the service's disk is nearly full; try again later", state.offset_bytes)
            part = self._part(sender.node_id, sha256)
            part.parent.mkdir(exist_ok=True)
            with part.open("ab") as target:
                target.write(data)
                target.flush()
                os.fsync(target.fileno())
            if offset_bytes + len(data) == file.size_bytes:
                self._finish(part, manifest, file)
            return self._state(sender.node_id, file)

    def _check(self, sender: Sender, said: Announcement) -> Manifest:
        trusted = {signing.key_id(key): key for key in (sender.key, *sender.former)}
        opened = open_envelope(Manifest, said.manifest.encode(), trusted)
        link = open_envelope(Link, said.link.encode(), trusted)
        for problem in (*opened.problems, *link.problems):
            if problem != "sm2_not_checked":
                raise Refused(problem, "manifest or link does not hold; see the evidence document")
        if opened.document is None or link.document is None:
            raise Refused("altered", "manifest or link can't be read")
        if (opened.document.node_id, opened.document.site_id) != (sender.node_id, sender.site_id):
            raise Refused("foreign_node", "a node sends its own evidence only")
        if link.document.item_sha256 != hashlib.sha256(said.manifest.encode()).hexdigest():
            raise Refused("not_linked", "the link belongs to another item")
        return opened.document

    def _announced(self, sender: Sender, sha256: str) -> tuple[Manifest, FileEntry]:
        try:
            check_name(sha256)
            body = (self._items / sender.node_id / sha256).read_bytes()
        except (ValueError, FileNotFoundError):
            raise Refused("not_announced", "announce the item with its manifest first") from None
        manifest = self._check(sender, msgspec.json.decode(body, type=Announcement))
        return manifest, next(file for file in manifest.files if file.sha256 == sha256)

    def _part(self, node_id: str, sha256: str) -> Path:
        return self._parts / node_id / sha256

    def _state(self, node_id: str, file: FileEntry) -> FileState:
        complete = self._store.path(file.sha256).exists() or file.size_bytes == 0
        part = self._part(node_id, file.sha256)
        offset = file.size_bytes if complete else (part.stat().st_size if part.exists() else 0)
        return FileState(sha256=file.sha256, offset_bytes=offset, size_bytes=file.size_bytes, complete=complete)

    def _finish(self, part: Path, manifest: Manifest, file: FileEntry) -> None:
        if digests.of_file(part).sha256 != file.sha256:
            part.unlink()
            raise Refused("hash_mismatch", "the file arrived altered; send it again from its beginning", 0)
        self._store.adopt(file.sha256, part)
        self._on_arrived(Arrived(manifest, file))


def _write(path: Path, data: bytes) -> None:
    """A file that is whole and durable, or not there. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
