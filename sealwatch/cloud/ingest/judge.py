"""Is this payload to be believed? A pure decision over topic, payload and registry; nothing here does I/O.

Reasons of a rejection: those of `sealwatch.contract.wire`, and
  unknown_site    the topic names a site that is not in the registry
  unknown_node    the topic names a node that is not in the registry
  wrong_site      the node is registered at another site than the topic names
  wrong_hash      a snapshot's bytes are not what its own SHA-256 says
  wrong_columns   a samples message whose columns are not as long as its times
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeVar

from msgspec import Struct

from sealwatch.cloud.registry.view import RegisteredNode, RegistryView
from sealwatch.contract import topics, wire
from sealwatch.contract.messages import (
    MAX_PAYLOAD_BYTES,
    Alarm,
    Origin,
    Reply,
    Samples,
    Sealed,
    Snapshot,
    Status,
)
from sealwatch.contract.signing import from_base64url
from sealwatch.contract.topics import Address, Channel
from sealwatch.contract.wire import Refused, Trusted

Signed = TypeVar("Signed", Alarm, Snapshot)
Unsigned = TypeVar("Unsigned", Status, Reply)
Believed = Alarm | Snapshot | Samples | Status | Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A message that says who it is from and is. `data` is a snapshot's picture."""

    address: Address
    message: Believed
    data: bytes = b""

    @property
    def origin(self) -> Origin | None:
        """Identity of a message that its node holds until it is acknowledged; None for status and replies."""
        return None if isinstance(self.message, Status | Reply) else self.message.origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A payload for the quarantine. `claims` is what it says of its origin, where that can be read and fits the
    topic: the node is told then that it was refused, and keeps it."""

    reason: str
    detail: str
    address: Address | None = None
    claims: Origin | None = None


Verdict = Accepted | Rejected


class _Claims(Struct, frozen=True):
    """The origin of any message, whatever else is in it."""

    origin: Origin


def judge(topic: str, payload: bytes, registry: RegistryView, now_ms: int) -> Verdict:
    """Whether to believe a payload that came in under `topic` at `now_ms`. Never raises for what is in them."""
    address = topics.parse(topic)
    if address is None or address.channel not in topics.FROM_NODE:
        return Rejected(reason="unknown_topic", detail="no node publishes here")
    try:
        return _accept(address, payload, registry, now_ms)
    except Refused as refused:
        claims = _claims(address, payload)
        return Rejected(reason=refused.reason, detail=refused.detail, address=address, claims=claims)


def _accept(address: Address, payload: bytes, registry: RegistryView, now_ms: int) -> Accepted:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Refused("too_large", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are taken")
    node = _registered(address, registry)
    match address.channel:
        case Channel.ALARM:
            return Accepted(address=address, message=_sealed(Alarm, address, payload, node.trusted(now_ms)))
        case Channel.SNAPSHOT:
            snapshot = _sealed(Snapshot, address, payload, node.trusted(now_ms))
            return Accepted(address=address, message=snapshot, data=_picture(snapshot))
        case Channel.SAMPLES:
            samples = wire.decode(Samples, payload)
            wire.check_origin(address, site_id=samples.origin.site_id, node_id=samples.origin.node_id)
            _check_columns(samples)
            return Accepted(address=address, message=samples)
        case Channel.STATUS:
            return Accepted(address=address, message=_own(wire.decode(Status, payload), address))
        case _:
            return Accepted(address=address, message=_own(wire.decode(Reply, payload), address))


def _registered(address: Address, registry: RegistryView) -> RegisteredNode:
    if address.site_id not in registry.site_ids:
        raise Refused("unknown_site", f"site {address.site_id} is not in the registry; add it to cloud.toml")
    node = registry.nodes.get(address.node_id)
    if node is None:
        raise Refused("unknown_node", f"node {address.node_id} is not in the registry; add it to cloud.toml")
    if node.site_id != address.site_id:
        raise Refused("wrong_site", f"node {address.node_id} is registered at site {node.site_id}")
    return node


def _sealed(kind: type[Signed], address: Address, payload: bytes, trusted: Trusted) -> Signed:
    message = wire.unseal(kind, payload, trusted)
    wire.check_origin(address, site_id=message.origin.site_id, node_id=message.origin.node_id)
    return message


def _own(message: Unsigned, address: Address) -> Unsigned:
    wire.check_origin(address, site_id=message.site_id, node_id=message.node_id)
    return message


def _picture(snapshot: Snapshot) -> bytes:
    try:
        data = from_base64url(snapshot.data)
    except ValueError:
        raise Refused("wrong_shape", "the picture is not base64url") from None
    if hashlib.sha256(data).hexdigest() != snapshot.evidence.sha256 or len(data) != snapshot.evidence.size_bytes:
        raise Refused("wrong_hash", "the picture is not the file that its own hash and size name")
    return data


def _check_columns(samples: Samples) -> None:
    for name, column in samples.values.items():
        if len(column) != len(samples.at_ms):
            raise Refused(
                "wrong_columns", f"{name} has {len(column)} values for {len(samples.at_ms)} times; each time wants one"
            )


def _claims(address: Address, payload: bytes) -> Origin | None:
    """What a refused payload says of itself, if it can be read and names the node it came in under."""
    try:
        text: bytes | str = payload
        if address.channel in (Channel.ALARM, Channel.SNAPSHOT):
            text = wire.decode(Sealed, payload).body
        origin = wire.decode(_Claims, text).origin
    except Refused:
        return None
    return origin if (origin.site_id, origin.node_id) == (address.site_id, address.node_id) else None
