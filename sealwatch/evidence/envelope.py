"""Sealing a document and opening it again, with a named reason where it does not hold.

Reasons of `open_envelope`: altered (the text, the signature or anything around them), wrong_key (a sound signature of a
key that is not trusted), sm2_missing, sm2_altered, sm2_wrong_key, sm2_not_checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sealwatch.contract import signing
from sealwatch.contract.wire import encode
from sealwatch.evidence.documents import Contents, DocumentType, Envelope, Link, Manifest, SecondSignature

T = TypeVar("T", Manifest, Link, Contents)
_DECODER = msgspec.json.Decoder(Envelope)
_BODIES: dict[type[Manifest | Link | Contents], tuple[DocumentType, msgspec.json.Decoder[Manifest | Link | Contents]]]
_BODIES = {
    Manifest: ("manifest", msgspec.json.Decoder(Manifest)),
    Link: ("link", msgspec.json.Decoder(Link)),
    Contents: ("contents", msgspec.json.Decoder(Contents)),
}


class SecondSigner(Protocol):
    """Signs with SM2 beside Ed25519."""

    @property
    def key_id(self) -> str: ...

    def sign(self, data: bytes) -> bytes:
        """DER signature over `data`. Raises CommandFailed where the tool refuses."""
        ...


class SecondVerifier(Protocol):
    """Checks SM2 signatures with the keys it was given."""

    def check(self, key_id: str, data: bytes, signature: bytes) -> str:
        """`good`, `bad`, `unknown_key`, or `not_available` where no tool for it is installed."""
        ...


@dataclass(frozen=True, slots=True)
class Opened(Generic[T]):
    """A document and what does not hold about it. `document` is None where it can't be read at all."""

    document: T | None
    body_sha256: str
    problems: tuple[str, ...]
    key_id: str = ""

    @property
    def sound(self) -> bool:
        return not self.problems


def sha256_of(text: str) -> str:
    """SHA-256 of the UTF-8 of `text` in hexadecimal: what chain and lists refer to."""
    return hashlib.sha256(text.encode()).hexdigest()


def seal(key: Ed25519PrivateKey, document: Manifest | Link | Contents, second: SecondSigner | None = None) -> bytes:
    """A signed document as bytes. Its own `sm2_key_id` must already name the key of `second`."""
    kind = _BODIES[type(document)][0]
    body = encode(document).decode()
    sm2 = None
    if second is not None:
        sm2 = SecondSignature(key_id=second.key_id, sig=signing.to_base64url(second.sign(signed_bytes(kind, body))))
    return encode(
        Envelope(
            v=1,
            type=kind,
            key_id=signing.key_id(key.public_key()),
            body=body,
            sig=signing.sign(key, f"evidence.{kind}", body),
            sm2=sm2,
        )
    )


def signed_bytes(kind: DocumentType, body: str) -> bytes:
    """Exactly what both signatures cover."""
    return f"sealwatch.evidence.{kind}.v1\n{body}".encode()


def open_envelope(
    kind: type[T],
    data: bytes,
    trusted: Mapping[str, Ed25519PublicKey],
    *,
    stated_key: Ed25519PublicKey | None = None,
    second: SecondVerifier | None = None,
) -> Opened[T]:
    """Read and check one sealed document.

    `trusted` maps key ids to keys. `stated_key` is the key the pack itself names: never trusted, it only tells a
    document signed by a foreign key from one that was altered.
    """
    try:
        envelope = _DECODER.decode(data)
        # Anything that does not come out as it went in was touched: spaces, order of fields, spare base64 bits.
        canonical = (
            encode(envelope) == data and signing.to_base64url(signing.from_base64url(envelope.sig)) == envelope.sig
        )
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Opened(None, hashlib.sha256(data).hexdigest(), ("altered",))
    name, decoder = _BODIES[kind]
    digest = sha256_of(envelope.body)
    try:
        document = decoder.decode(envelope.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Opened(None, digest, ("altered",), envelope.key_id)
    if not isinstance(document, kind):  # each decoder yields its own type
        return Opened(None, digest, ("altered",), envelope.key_id)
    problem = _key_problem(envelope, name, trusted, stated_key) if canonical else "altered"
    problems = [problem] if problem else []
    if isinstance(document, Manifest | Contents):
        problems += _second_problems(envelope, name, document.sm2_key_id, second)
    return Opened(document, digest, tuple(dict.fromkeys(problems)), envelope.key_id)


def _key_problem(
    envelope: Envelope,
    name: DocumentType,
    trusted: Mapping[str, Ed25519PublicKey],
    stated_key: Ed25519PublicKey | None,
) -> str:
    def holds(key: Ed25519PublicKey) -> bool:
        return envelope.type == name and signing.verify(key, f"evidence.{name}", envelope.body, envelope.sig)

    key = trusted.get(envelope.key_id)
    if key is not None:
        return "" if holds(key) else "altered"
    if any(holds(k) for k in trusted.values()):
        return "altered"  # a trusted key signed it; somebody changed the key's name
    if stated_key is not None and signing.key_id(stated_key) == envelope.key_id:
        return "wrong_key" if holds(stated_key) else "altered"
    # Nobody can say more about a key that is unknown and not given than that it is not a trusted one.
    return "wrong_key"


def _second_problems(
    envelope: Envelope, name: DocumentType, wanted_key_id: str, second: SecondVerifier | None
) -> list[str]:
    if envelope.sm2 is None:
        return ["sm2_missing"] if wanted_key_id else []
    if envelope.sm2.key_id != wanted_key_id:
        return ["sm2_altered"]
    if second is None:
        return ["sm2_not_checked"]
    data = signed_bytes(name, envelope.body)
    try:
        signature = signing.from_base64url(envelope.sm2.sig)
    except ValueError:
        return ["sm2_altered"]
    if signing.to_base64url(signature) != envelope.sm2.sig:
        return ["sm2_altered"]
    verdict = second.check(envelope.sm2.key_id, data, signature)
    return {
        "good": [],
        "bad": ["sm2_altered"],
        "unknown_key": ["sm2_wrong_key"],
    }.get(verdict, ["sm2_not_checked"])
