"""The messages, one frozen type each. JSON on the wire; field names carry their units.

Readers are tolerant: an unknown field is ignored, so that a newer node can talk to an older service. Every message a
node must not lose is identified by ``(node_id, boot_id, seq)``: `boot_id` is drawn at random each time the agent
starts, `seq` counts up from 1 within it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from sealwatch.contract.codes import ClockQuality, DeclaredStatus, Level, Phase

CONTRACT_VERSION = 1
MAX_PAYLOAD_BYTES = 256 * 1024

Identifier = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Letters, digits, `_`, `.`, `-`; at most 64."),
]
BootId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$", description="Random, drawn when the agent starts.")]
Sequence = Annotated[int, Meta(ge=1, le=2**53 - 1, description="Counts up from 1 within one boot_id.")]
EpochMs = Annotated[int, Meta(ge=0, le=2**53 - 1, description="Milliseconds since 1970-01-01T00:00:00Z.")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Sentence = Annotated[str, Meta(max_length=500)]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="A snake_case name.")]
Base64 = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*$", description="base64url without padding (RFC 4648, 5).")]
Version = Annotated[Literal[1], Meta(description="Version of the contract.")]


class Origin(Struct, frozen=True, kw_only=True):
    """Who says something, and how far their clock can be believed."""

    site_id: Identifier
    node_id: Identifier
    boot_id: BootId
    seq: Sequence
    captured_at_ms: EpochMs
    enqueued_at_ms: Annotated[EpochMs, Meta(description="When the node made it durable, by the same clock.")]
    clock_quality: ClockQuality
    clock_offset_ms: Annotated[
        float | None, Meta(description="Measured offset of the node's clock from its time source; null when unknown.")
    ] = None


class EvidenceRef(Struct, frozen=True, kw_only=True):
    """Names a file by what is in it; the file itself travels separately."""

    sha256: Sha256
    media_type: Annotated[str, Meta(max_length=64)]
    size_bytes: Annotated[int, Meta(ge=0)]


class Alarm(Struct, frozen=True, kw_only=True):
    """One transition of one alarm. `alarm_id` stays the same from start to end."""

    v: Version = 1
    origin: Origin
    alarm_id: Identifier
    kind: Name
    phase: Phase
    level: Annotated[Level, Meta(description="The node's view of the urgency; the service decides.")]
    source_id: Annotated[Identifier, Meta(description="The camera, meter or input that saw it.")]
    zone: Annotated[str, Meta(max_length=64)] = ""
    started_at_ms: Annotated[EpochMs, Meta(description="When the condition began (first frame, first pulse).")]
    score: Annotated[float, Meta(ge=0, le=1, description="How sure the node is.")]
    reason: Annotated[Name, Meta(description="The named reason of the decision.")]
    numbers: Annotated[dict[Name, float], Meta(max_length=64, description="The figures behind the decision.")] = {}
    sentence_zh: Sentence
    sentence_en: Sentence
    snapshot: EvidenceRef | None = None


class Snapshot(Struct, frozen=True, kw_only=True):
    """A small picture that belongs to an alarm (at most about 150 kB before base64)."""

    v: Version = 1
    origin: Origin
    alarm_id: Identifier
    source_id: Identifier
    evidence: EvidenceRef
    data: Base64


class Samples(Struct, frozen=True, kw_only=True):
    """Measurements of one source in columns: ``values[name][i]`` was measured at ``at_ms[i]``; null is a gap."""

    v: Version = 1
    origin: Origin
    source_id: Identifier
    at_ms: Annotated[list[EpochMs], Meta(min_length=1, max_length=3600)]
    values: Annotated[
        dict[Name, list[float | None]],
        Meta(min_length=1, max_length=64, description="Column names carry the unit: active_power_w, motion_ratio."),
    ]


class PartHealth(Struct, frozen=True, kw_only=True):
    """Fresh evidence that one part of the node works."""

    part_id: Identifier
    kind: Name
    ok: bool
    reason: Name
    evidence_at_ms: Annotated[EpochMs | None, Meta(description="When it last proved itself.")] = None
    numbers: Annotated[dict[Name, float], Meta(max_length=32)] = {}


class Status(Struct, frozen=True, kw_only=True):
    """Retained. Published on change and periodically; the broker publishes the `offline` one as the last will."""

    v: Version = 1
    site_id: Identifier
    node_id: Identifier
    boot_id: BootId
    state: Literal["online", "offline"]
    reported_at_ms: EpochMs
    agent_version: Annotated[str, Meta(max_length=32)]
    outbox_depth: Annotated[int, Meta(ge=0)] = 0
    parts: Annotated[list[PartHealth], Meta(max_length=128)] = []


class AckItem(Struct, frozen=True, kw_only=True):
    """What became of one message.

    ``stored`` and ``duplicate`` release it from the node's outbox. ``refused`` does not: the node keeps it, shows it
    in its health and offers it again later, because an alarm must outlive a wrong key or an older service.
    """

    boot_id: BootId
    seq: Sequence
    outcome: Literal["stored", "duplicate", "refused"]
    reason: Name


class Ack(Struct, frozen=True, kw_only=True):
    """The service's application ack, sent after its own commit. Nothing else releases a message."""

    v: Version = 1
    node_id: Identifier
    acked_at_ms: EpochMs
    items: Annotated[list[AckItem], Meta(min_length=1, max_length=1000)]


class Command(Struct, frozen=True, kw_only=True):
    """Something the service asks a node to do; refused after `expires_at_ms` and when seen before."""

    v: Version = 1
    site_id: Identifier
    node_id: Identifier
    command_id: Identifier
    name: Name
    arguments: Annotated[dict[Name, str], Meta(max_length=16)] = {}
    issued_at_ms: EpochMs
    expires_at_ms: EpochMs


class Reply(Struct, frozen=True, kw_only=True):
    """The node's answer to a command."""

    v: Version = 1
    site_id: Identifier
    node_id: Identifier
    command_id: Identifier
    ok: bool
    reason: Name
    detail: Sentence = ""
    replied_at_ms: EpochMs


class Permit(Struct, frozen=True, kw_only=True):
    """Work that a site has announced and may do: from when to when, at which hours, with how much power and people."""

    permit_id: Identifier
    from_ms: EpochMs
    to_ms: EpochMs
    from_hour: Annotated[int, Meta(ge=0, le=23, description="Hour of day, UTC+8, from which it holds.")] = 0
    to_hour: Annotated[
        int, Meta(ge=0, le=24, description="Hour of day, UTC+8, at which it ends; before from_hour: after midnight.")
    ] = 24
    max_power_w: Annotated[float, Meta(ge=0, description="Active power that the work may draw, W.")] | None = None
    max_people: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    purpose: Annotated[str, Meta(max_length=200)] = ""


class Declaration(Struct, frozen=True, kw_only=True):
    """What a site has declared, for its node to compare with. Retained; a lower version never replaces a higher."""

    v: Version = 1
    site_id: Identifier
    node_id: Identifier
    version: Annotated[int, Meta(ge=1, le=2**53 - 1, description="Counts up for one node.")]
    issued_at_ms: EpochMs
    declared_status: DeclaredStatus
    permits: Annotated[list[Permit], Meta(max_length=64)] = []


class NodeConfig(Struct, frozen=True, kw_only=True):
    """A whole configuration for a node. Retained; a lower version never replaces a higher."""

    v: Version = 1
    site_id: Identifier
    node_id: Identifier
    version: Annotated[int, Meta(ge=1, le=2**53 - 1, description="Counts up for one node.")]
    issued_at_ms: EpochMs
    toml: Annotated[str, Meta(max_length=100_000, description="The text of node.toml.")]


class Sealed(Struct, frozen=True, kw_only=True):
    """A signed message. The signature covers the exact characters of `body`, so no canonical form is needed."""

    v: Version = 1
    type: Annotated[
        Literal["alarm", "snapshot", "command", "config", "declaration", "update", "release"],
        Meta(
            description="alarm and snapshot are sealed by the node's key, release by the release key, the others by "
            "the service's."
        ),
    ]
    key_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$", description="First 8 bytes of SHA-256 of the public key.")]
    body: Annotated[str, Meta(description="The message as JSON text.", max_length=MAX_PAYLOAD_BYTES)]
    sig: Annotated[Base64, Meta(description="Ed25519 over 'sealwatch.<type>.v1' + LF + UTF-8 of body.")]
