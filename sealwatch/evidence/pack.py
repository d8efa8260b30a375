"""Packing: manifests, their files and the stretch of the chain that carries them, under one signed contents list.

Members in order: ``contents.json`` (the list itself), ``chain.jsonl``, ``manifests/<item>.json``,
``files/<item>/<name>``, ``messages/<name>.json`` (sealed alarms as they went over the wire), ``HOW-TO-VERIFY.txt``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base import text
from sealwatch.contract import signing
from sealwatch.evidence import container
from sealwatch.evidence.digests import CHUNK_BYTES, of_chunks
from sealwatch.evidence.documents import ChainRange, Contents, Envelope, Link, Member
from sealwatch.evidence.envelope import SecondSigner, seal

CONTENTS, CHAIN, HOW_TO = "contents.json", "chain.jsonl", "HOW-TO-VERIFY.txt"
MANIFESTS, FILES, MESSAGES = "manifests/", "files/", "messages/"


@dataclass(frozen=True, slots=True)
class Blob:
    """A member that is held in memory."""

    name: str
    data: bytes

    def chunks(self) -> Iterator[bytes]:
        yield self.data


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A member that is a file."""

    name: str
    path: Path

    def chunks(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of evidence: its sealed manifest and its files by name."""

    item_id: str
    manifest: bytes
    files: Mapping[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What goes into a pack. `links` are consecutive sealed links; `head` is the range they fill."""

    pack_id: str
    site_id: str
    node_id: str
    packed_at_ms: int
    items: Sequence[Item]
    links: Sequence[bytes]
    head: ChainRange
    messages: Mapping[str, bytes] = field(default_factory=dict)


def members(request: Request) -> list[Blob | OnDisk]:
    """Everything but the contents list, in order."""
    found: list[Blob | OnDisk] = [Blob(CHAIN, b"".join(line + b"\n" for line in request.links))]
    for item in request.items:
        found.append(Blob(f"{MANIFESTS}{item.item_id}.json", item.manifest))
        found.extend(OnDisk(f"{FILES}{item.item_id}/{name}", path) for name, path in item.files.items())
    found.extend(Blob(f"{MESSAGES}{name}.json", data) for name, data in request.messages.items())
    how_to = "\n\n".join(text.say(language, "evidence.how_to_verify") for language in text.Language)
    found.append(Blob(HOW_TO, (how_to + "\n").encode()))
    return found


def write(file: BinaryIO, request: Request, key: Ed25519PrivateKey, second: SecondSigner | None = None) -> int:
    """Write the pack as a zip; returns its size in bytes. Raises CommandFailed past 4 GiB, OSError."""
    contents = members(request)
    listed = []
    for content in contents:
        digests = of_chunks(content.chunks())
        listed.append(Member(name=content.name, size_bytes=digests.size_bytes, sha256=digests.sha256))
    sealed = seal(
        key,
        Contents(
            pack_id=request.pack_id,
            site_id=request.site_id,
            node_id=request.node_id,
            packed_at_ms=request.packed_at_ms,
            public_key=signing.public_key_text(key.public_key()),
            sm2_key_id=second.key_id if second is not None else "",
            chain=request.head,
            members=listed,
        ),
        second,
    )
    return container.write_zip(file, [Blob(CONTENTS, sealed), *contents])


def chain_range(links: Sequence[bytes]) -> ChainRange:
    """The range that sealed links of our own fill. Raises ValueError where there is none or one can't be read."""
    if not links:
        raise ValueError("a pack needs at least one link of the chain")
    bodies = [msgspec.json.decode(line, type=Envelope).body for line in (links[0], links[-1])]
    first, last = (msgspec.json.decode(body, type=Link) for body in bodies)
    return ChainRange(
        first_index=first.index,
        last_index=last.index,
        last_sha256=hashlib.sha256(bodies[1].encode()).hexdigest(),
    )
