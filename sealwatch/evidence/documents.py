"""What is signed: the manifest of an item, a link of the chain, and the contents list of a pack.

Each travels in an `Envelope` whose signature covers the exact characters of `body`, as the wire contract does it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from sealwatch.contract.codes import ClockQuality
from sealwatch.contract.messages import Base64, BootId, EpochMs, Identifier, Name, Sequence, Sha256, Version

DocumentType = Literal["manifest", "link", "contents"]
KeyId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$", description="First 8 bytes of SHA-256 of the public key.")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", description="256 bits in lower-case hexadecimal.")]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$", description="No folder in it.")]
MemberName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,127}){0,3}$", max_length=255)
]


class SecondSignature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The SM2 signature beside the Ed25519 one, where a site asks for it (GB/T 32918 with SM3, DER in base64url)."""

    key_id: KeyId
    sig: Base64


class Envelope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A signed document. Both signatures cover ``sealwatch.evidence.<type>.v1`` + LF + UTF-8 of `body`."""

    v: Version
    type: DocumentType
    key_id: KeyId
    body: str
    sig: Base64
    sm2: SecondSignature | None = None


class FileEntry(Struct, frozen=True, kw_only=True):
    """One file of an item, as it was when it was closed."""

    name: FileName
    media_type: Annotated[str, Meta(max_length=64)]
    size_bytes: Annotated[int, Meta(ge=0)]
    sha256: Sha256
    sm3: Annotated[Digest | None, Meta(description="Second digest (GB/T 32905), where the site asks for it.")] = None


class ClockState(Struct, frozen=True, kw_only=True):
    """How far the labels in wall time can be believed."""

    quality: ClockQuality
    offset_ms: Annotated[float | None, Meta(description="Measured offset from the time source; null: unknown.")] = None


class Detector(Struct, frozen=True, kw_only=True):
    """What raised the alarm that this item belongs to, and with which settings."""

    name: Annotated[str, Meta(max_length=64)]
    version: Annotated[str, Meta(max_length=64)] = ""
    model_sha256: Sha256 | None = None
    thresholds: Annotated[dict[Name, float], Meta(max_length=64)] = {}


class Manifest(Struct, frozen=True, kw_only=True):
    """What an item of evidence is, and the hashes of its files at the moment they were closed."""

    v: Version = 1
    item_id: Identifier
    kind: Annotated[Name, Meta(description="segment | clip | snapshot; open.")]
    site_id: Identifier
    node_id: Identifier
    boot_id: BootId
    seq: Annotated[Sequence, Meta(description="Counts the manifests of this boot from 1.")]
    source_id: Annotated[Identifier, Meta(description="The camera.")]
    from_ms: Annotated[EpochMs, Meta(description="Wall clock at the first picture.")]
    to_ms: Annotated[EpochMs, Meta(description="from_ms plus the length by the stream's own time stamps.")]
    closed_at_ms: EpochMs
    sealed: Annotated[
        Literal["on_close", "later"],
        Meta(description="later: the node was interrupted while writing; hashed when it could go on."),
    ] = "on_close"
    clock: ClockState
    encoding: Annotated[str, Meta(max_length=32, description="Codec of the camera; pictures are never re-encoded.")]
    alarm_id: Annotated[str, Meta(max_length=64)] = ""
    zone: Annotated[str, Meta(max_length=64)] = ""
    detector: Detector | None = None
    reference_sha256: Annotated[Sha256 | None, Meta(description="The reference picture of the scene.")] = None
    agent_version: Annotated[str, Meta(max_length=32)] = ""
    sm2_key_id: Annotated[
        str, Meta(pattern=r"^([0-9a-f]{16})?$", description="Set: an SM2 signature belongs to this one.")
    ] = ""
    notes: Annotated[dict[Name, str], Meta(max_length=16, description="Named facts, such as a gap inside.")] = {}
    files: Annotated[list[FileEntry], Meta(min_length=1, max_length=64)]


class Link(Struct, frozen=True, kw_only=True):
    """One link of a node's chain: what was sent, and the hash of the link before it."""

    v: Version = 1
    site_id: Identifier
    node_id: Identifier
    boot_id: BootId
    index: Annotated[int, Meta(ge=1, le=2**53 - 1, description="Counts over the whole life of the chain.")]
    kind: Annotated[Name, Meta(description="manifest | alarm | snapshot | restart; open.")]
    item_sha256: Annotated[Sha256, Meta(description="Of the signed document or message, byte by byte.")]
    at_ms: EpochMs
    clock_quality: ClockQuality
    prev: Annotated[Sha256, Meta(description="SHA-256 of the body of the link before; zeros for the first.")]


class Member(Struct, frozen=True, kw_only=True):
    """One file of a pack."""

    name: MemberName
    size_bytes: Annotated[int, Meta(ge=0)]
    sha256: Sha256


class ChainRange(Struct, frozen=True, kw_only=True):
    """Which links a pack holds: every one from `first_index` to `last_index`."""

    first_index: Annotated[int, Meta(ge=1)]
    last_index: Annotated[int, Meta(ge=1)]
    last_sha256: Sha256


class Contents(Struct, frozen=True, kw_only=True):
    """What belongs in a pack, in order. Signed by whoever packed it, so that nothing can be taken out unseen."""

    v: Version = 1
    pack_id: Identifier
    site_id: Identifier
    node_id: Identifier
    packed_at_ms: EpochMs
    public_key: Annotated[Base64, Meta(description="The signer's key, to tell a foreign key from an altered text.")]
    sm2_key_id: Annotated[
        str, Meta(pattern=r"^([0-9a-f]{16})?$", description="Set: an SM2 signature belongs to this one.")
    ] = ""
    chain: ChainRange
    members: Annotated[list[Member], Meta(max_length=100_000)]
