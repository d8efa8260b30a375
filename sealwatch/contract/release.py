"""Releases of agent and model, and how a service offers them to a node.

A release is sealed by the *release key*, which is kept off line and pinned by nodes; the offer around it is sealed by
the service's own key. So a service that was broken into can offer what was released and nothing else.

``GET /releases/v1/files/{sha256}`` with ``Range: bytes=FROM-TO`` -> 206 and the piece. Signed as an upload is (see
`sealwatch.contract.upload`), with ``Upload-Offset`` for FROM and an empty body.
"""

from __future__ import annotations

import platform
import sys
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from sealwatch.contract.messages import MAX_PAYLOAD_BYTES, EpochMs, Identifier, Sha256, Version

FILES_PATH: Final = "/releases/v1/files/"
ANY_PLATFORM: Final = "any"
Kind = Literal["agent", "model"]
KINDS: Final[tuple[Kind, ...]] = ("agent", "model")
ReleaseVersion = Annotated[
    str, Meta(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6}){0,3}$", description="Numbers with dots; compared as numbers.")
]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$")]


class ReleaseFile(Struct, frozen=True, kw_only=True):
    """One file of a release: a wheel, a model, a model's manifest."""

    name: FileName
    sha256: Sha256
    size_bytes: Annotated[int, Meta(ge=1, le=2**31)]


class Release(Struct, frozen=True, kw_only=True):
    """A whole agent (its wheels) or a whole model (its manifest and file). Files a node has already are not sent."""

    v: Version = 1
    kind: Kind
    version: ReleaseVersion
    platform: Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,64}$", description="As `this_platform` says, or any.")]
    min_agent: Annotated[ReleaseVersion, Meta(description="The oldest agent that may take it.")] = "0"
    issued_at_ms: EpochMs
    files: Annotated[list[ReleaseFile], Meta(min_length=1, max_length=200)]


class Offered(Struct, frozen=True, kw_only=True):
    """A sealed release. `attempt`: the offer in which it was (again) first made; a failed one needs a newer one."""

    attempt: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    release: Annotated[str, Meta(max_length=MAX_PAYLOAD_BYTES, description="A Sealed whose body is a Release.")]


class UpdateOffer(Struct, frozen=True, kw_only=True):
    """Everything that a node is offered at present. Retained; a lower version never replaces a higher."""

    v: Version = 1
    site_id: Identifier
    node_id: Identifier
    version: Annotated[int, Meta(ge=1, le=2**53 - 1, description="Counts up for one node.")]
    issued_at_ms: EpochMs
    offered: Annotated[list[Offered], Meta(max_length=2, description="At most one of each kind.")] = []


def as_numbers(version: str) -> tuple[int, ...]:
    """A version to compare with: ``1.2`` and ``1.2.0`` are the same. Raises ValueError for anything but numbers."""
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def this_platform() -> str:
    """Operating system, processor and Python of this machine, such as ``linux-aarch64-cp311``."""
    return f"{sys.platform}-{platform.machine()}-cp{sys.version_info.major}{sys.version_info.minor}".lower()
