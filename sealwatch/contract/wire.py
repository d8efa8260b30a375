"""From types to bytes and back. What can't be read is refused with a named reason, never with a traceback.

Refused
  reason: too_large | not_json | wrong_shape | unknown_topic | foreign_origin | unknown_key | bad_signature
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sealwatch.contract import signing
from sealwatch.contract.messages import (
    MAX_PAYLOAD_BYTES,
    Alarm,
    Command,
    Declaration,
    NodeConfig,
    Sealed,
    Snapshot,
)
from sealwatch.contract.release import Release, UpdateOffer
from sealwatch.contract.topics import Address

T = TypeVar("T")
Sealable = Alarm | Snapshot | Command | NodeConfig | Declaration | UpdateOffer | Release
SealedType = Literal["alarm", "snapshot", "command", "config", "declaration", "update", "release"]
# What is sealed, and as which type: the type is part of what is signed, so that one never passes for another.
_SEALED: Final[dict[type, SealedType]] = {
    Alarm: "alarm",
    Snapshot: "snapshot",
    Command: "command",
    NodeConfig: "config",
    Declaration: "declaration",
    UpdateOffer: "update",
    Release: "release",
}
Trusted = Ed25519PublicKey | Mapping[str, Ed25519PublicKey] | None
"""A key that may seal, or several by their id (`signing.key_id`) while one takes the place of another."""
_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODERS: dict[type, msgspec.json.Decoder[object]] = {}


class Refused(Exception):  # noqa: N818 - it is a verdict with a reason, not a fault of ours
    """A payload that can't be taken: `reason` is a stable name, `detail` one sentence for a human."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def encode(message: msgspec.Struct) -> bytes:
    """A message as UTF-8 JSON."""
    return _ENCODER.encode(message)


def decode(kind: type[T], payload: bytes | str) -> T:
    """A message from its JSON. Raises Refused (too_large, not_json, wrong_shape)."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Refused("too_large", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are taken")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(payload)  # type: ignore[return-value]  # the table maps each type to its own decoder
    except msgspec.ValidationError as error:
        raise Refused("wrong_shape", str(error)) from None
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Refused("not_json", str(error)) from None


def seal(key: Ed25519PrivateKey, message: Sealable) -> bytes:
    """A signed message as bytes for the wire: by the node's key what a node says, by the service's what it says, by the
    release key what may be installed."""
    kind = _SEALED[type(message)]
    body = encode(message).decode()
    return encode(
        Sealed(type=kind, key_id=signing.key_id(key.public_key()), body=body, sig=signing.sign(key, kind, body))
    )


def unseal(kind: type[T], payload: bytes, trusted: Trusted) -> T:
    """The message inside a sealed payload once its signature holds.

    Raises Refused (too_large, not_json, wrong_shape, unknown_key, bad_signature).
    """
    sealed = decode(Sealed, payload)
    if isinstance(trusted, Ed25519PublicKey):
        trusted = {signing.key_id(trusted): trusted}
    public_key = (trusted or {}).get(sealed.key_id)
    if public_key is None:
        raise Refused("unknown_key", f"key {sealed.key_id} is not the one registered for this sender")
    wanted = _SEALED[kind]
    if sealed.type != wanted or not signing.verify(public_key, wanted, sealed.body, sealed.sig):
        raise Refused("bad_signature", "the signature does not cover this body; it was altered or forged")
    return decode(kind, sealed.body)


def check_origin(address: Address, *, site_id: str, node_id: str) -> None:
    """A node speaks only for itself. Raises Refused (foreign_origin)."""
    if (site_id, node_id) != (address.site_id, address.node_id):
        raise Refused(
            "foreign_origin",
            f"published under {address.site_id}/{address.node_id} but claims to be {site_id}/{node_id}",
        )
