"""Asking the service for a certificate, and believing no answer but its own.

AskError
  reason: unreachable | bad_answer (not signed by the key that we know, or not an answer to this)
          | and the service's own: unknown_token, expired_token, used_token, unknown_node, bad_csr …
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.contract import enrolment
from sealwatch.contract.enrolment import (
    ENROL_PATH,
    KEY_PATH,
    RENEW_PATH,
    EnrolRequest,
    Granted,
    KeyAccepted,
    RenewRequest,
    Signed,
    Token,
)
from sealwatch.contract.signing import public_key_text
from sealwatch.contract.wire import Refused, decode

_TIMEOUT_S: Final = 20.0
_MAX_ANSWER_BYTES: Final = 2 * enrolment.MAX_BODY_BYTES
_BEHIND_PROXY: Final = {502, 503, 504}


class AskError(CommandFailed):
    """No certificate this time: `reason` is a stable name."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class _Problem(msgspec.Struct):
    reason: str = ""
    detail: str = ""


def enrol(url: str, token: Token, *, key: Ed25519PrivateKey, csr: str, ca_file: str = "") -> Granted:
    """Present the token with this node's keys. The answer must carry the key that the token's fingerprint names.

    Raises AskError and UsageError.
    """
    payload = enrolment.sign(token.key, EnrolRequest(public_key=public_key_text(key.public_key()), csr=csr))
    signed, granted = _ask(url, ENROL_PATH, payload, ca_file)
    if enrolment.fingerprint(signed.key) != token.fingerprint:
        raise AskError("bad_answer", f"{url} is not the service that made this token; check the address")
    return granted


def renew(
    url: str, *, node_id: str, key: Ed25519PrivateKey, csr: str, service_public_keys: Collection[str], ca_file: str = ""
) -> Granted:
    """Another certificate, asked for under the node's own key. Raises AskError and UsageError."""
    signed, granted = _ask(url, RENEW_PATH, enrolment.sign(key, RenewRequest(node_id=node_id, csr=csr)), ca_file)
    if signed.key not in service_public_keys or granted.node_id != node_id:
        raise AskError("bad_answer", f"{url} does not answer under the key of the service that enrolled this node")
    return granted


def change_key(
    url: str,
    *,
    node_id: str,
    present: Ed25519PrivateKey,
    following: Ed25519PrivateKey,
    service_public_keys: Collection[str],
    ca_file: str = "",
) -> None:
    """Have `following` take the place of `present` at the service. Raises AskError and UsageError."""
    payload = enrolment.key_request(node_id, present, following)
    status, answer = _post(url, KEY_PATH, payload, ca_file)
    if status != http.client.OK:
        raise _refusal(url, status, answer)
    try:
        signed, accepted = enrolment.read(KeyAccepted, answer)
        question = decode(Signed, payload)
    except Refused as refused:
        raise AskError("bad_answer", f"the answer of {url} cannot be believed: {refused}") from None
    said = (accepted.node_id, accepted.public_key, accepted.request_sha256)
    asked = (node_id, public_key_text(following.public_key()), enrolment.body_sha256(question))
    if signed.key not in service_public_keys or said != asked:
        raise AskError("bad_answer", f"{url} does not answer this question under the key of the service")


def _refusal(url: str, status: int, answer: bytes) -> AskError:
    try:
        problem = msgspec.json.decode(answer, type=_Problem)
    except (msgspec.MsgspecError, ValueError):
        problem = _Problem()
    if not problem.reason:
        if status in _BEHIND_PROXY:
            what = "a proxy answers there, but not the service behind it; have it started, or wait until it is up"
            return AskError("unreachable", f"{url} answered {status}: {what}")
        return AskError("unreachable", f"{url} answered {status}; check the address")
    return AskError(problem.reason, f"the service refuses ({problem.reason}): {problem.detail}")


def _ask(url: str, path: str, payload: bytes, ca_file: str) -> tuple[Signed, Granted]:
    status, answer = _post(url, path, payload, ca_file)
    if status != http.client.OK:
        raise _refusal(url, status, answer)
    try:
        signed, granted = enrolment.read(Granted, answer)
        question = decode(Signed, payload)
    except Refused as refused:
        raise AskError("bad_answer", f"the answer of {url} cannot be believed: {refused}") from None
    if signed.key != granted.service_public_key or granted.request_sha256 != enrolment.body_sha256(question):
        raise AskError("bad_answer", f"the answer of {url} is to another question")
    return signed, granted


def _post(url: str, path: str, payload: bytes, ca_file: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path not in {"", "/"}:
        raise UsageError(f"--cloud: {url} is no address of a service; write https://host[:port]")
    connection: http.client.HTTPConnection
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca_file or None)
            connection = http.client.HTTPSConnection(parts.netloc, timeout=_TIMEOUT_S, context=context)
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read(_MAX_ANSWER_BYTES)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise AskError(
            "unreachable", f"{url}: {str(error) or type(error).__name__}; check network and address"
        ) from None
