"""How files of evidence travel: announced by their sealed manifest, sent in pieces, resumable, verified by hash.

Modelled on the core of tus 1.0 (tus.io/protocols/resumable-upload): the receiver says how far it has come, the sender
goes on from there.

``POST  /evidence/v1/items``           body `Announcement` -> 200 `Receipt`
``PATCH /evidence/v1/files/{sha256}``  body bytes, header ``Upload-Offset`` -> 200 `FileState`; 409 says where to go on

Every request is signed by the node's own Ed25519 key over `request_text`, so that it needs no session and no secret on
the service. A replayed request changes nothing: an announcement is idempotent, a piece has its one place.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from sealwatch.contract.messages import MAX_PAYLOAD_BYTES, Sha256, Version

ITEMS_PATH: Final = "/evidence/v1/items"
FILES_PATH: Final = "/evidence/v1/files/"
NODE_HEADER: Final = "SealWatch-Node"
SIGNATURE_HEADER: Final = "SealWatch-Signature"
OFFSET_HEADER: Final = "Upload-Offset"
SIGNED_AS: Final = "upload"  # the type under which `contract.signing` signs a request
MAX_PIECE_BYTES: Final = 1024 * 1024


class Announcement(Struct, frozen=True, kw_only=True):
    """An item that is to be sent: its sealed manifest and its sealed link of the chain, as exact characters."""

    v: Version = 1
    manifest: Annotated[str, Meta(max_length=MAX_PAYLOAD_BYTES)]
    link: Annotated[str, Meta(max_length=MAX_PAYLOAD_BYTES)]


class FileState(Struct, frozen=True, kw_only=True):
    """How far the service has come with one file. `complete`: stored, durable and its hash is right."""

    sha256: Sha256
    offset_bytes: Annotated[int, Meta(ge=0)]
    size_bytes: Annotated[int, Meta(ge=0)]
    complete: bool


class Receipt(Struct, frozen=True, kw_only=True):
    """The answer to an announcement: every file of the item and where to go on."""

    files: list[FileState]


def request_text(method: str, path: str, offset_bytes: int, body_sha256: str) -> str:
    """What a node signs of a request."""
    return f"{method}\n{path}\n{offset_bytes}\n{body_sha256}"
