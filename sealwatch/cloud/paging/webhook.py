"""The generic webhook: a signed JSON POST, and an answer that must say that the page was taken.

Request
  POST, ``Content-Type: application/json``
  ``Idempotency-Key``        the page_id: the same page sent twice (after a crash, or because an answer got lost) has
                             the same key, and the receiver may drop the second one
  ``X-SealWatch-Signature``  ``sha256=`` and the hex HMAC-SHA256 (RFC 2104) of the body under the shared secret
Answer
  any 2xx with a JSON body that holds ``"ok": true`` or ``"status": "accepted"``. Everything else is a failure: robots
  of several vendors answer 200 with an error inside.

Worth trying again: no answer, a broken connection, 408, 425, 429 and 5xx. Not worth it: other 4xx, and a 2xx that
says no.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any, Final

import httpx
import msgspec

from sealwatch.cloud.ports import PageRequest, Submission

TIMEOUT_S: Final = 5.0
_MAX_ANSWER_BYTES: Final = 64 * 1024
_TRANSIENT: Final = frozenset({408, 425, 429})


def signature(secret: bytes, body: bytes) -> str:
    """The value of ``X-SealWatch-Signature``."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


class WebhookChannel:
    """Safe for several threads; keeps connections open, because the first page of the night should not wait for TLS."""

    def __init__(self, secret: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._secret = secret.encode()
        self._timeout_s = timeout_s
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=False, trust_env=False)

    def submit(self, request: PageRequest) -> Submission:
        """Hand one page over. `request.address` is the receiver's URL."""
        body = json.dumps(payload(request), ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": request.page_id,
            "X-SealWatch-Signature": signature(self._secret, body),
        }
        try:
            with self._client.stream("POST", request.address, content=body, headers=headers) as response:
                return judge(response.status_code, self._read(response))
        except httpx.TimeoutException:
            return Submission(ok=False, outcome="the receiver did not answer in time", retry=True)
        except (httpx.InvalidURL, UnicodeError) as error:
            return Submission(ok=False, outcome=f"the receiver's URL is not usable: {error}")
        except httpx.UnsupportedProtocol:
            return Submission(ok=False, outcome="the receiver's URL must begin with http:// or https://")
        except httpx.HTTPError as error:
            return Submission(ok=False, outcome=f"the receiver cannot be reached: {error}", retry=True)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _read(self, response: httpx.Response) -> bytes:
        """The body, as far as an answer can be long. Raises httpx.ReadTimeout for one that trickles in for ever."""
        until_s = time.monotonic() + self._timeout_s
        data = b""
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > _MAX_ANSWER_BYTES:
                break
            if time.monotonic() > until_s:
                raise httpx.ReadTimeout("the answer does not end")
        return data[:_MAX_ANSWER_BYTES]


def payload(request: PageRequest) -> dict[str, Any]:
    """The JSON body of a page."""
    return {
        "v": 1,
        "page_id": request.page_id,
        "incident_id": request.incident_id,
        "level": request.level,
        "language": request.language,
        "person": request.person_name,
        "title": request.title,
        "body": request.body,
        "answer_url": request.answer_url,
    }


def judge(status: int, answer: bytes) -> Submission:
    """What an answer means. Pure."""
    shown = f"{status} {answer[:500].decode('utf-8', 'replace')}".strip()
    if not 200 <= status < 300:
        return Submission(ok=False, outcome=shown, retry=status >= 500 or status in _TRANSIENT)
    try:
        value = msgspec.json.decode(answer)
    except (msgspec.DecodeError, RecursionError):
        return Submission(ok=False, outcome=f"{shown} (not JSON)")
    taken = isinstance(value, dict) and (value.get("ok") is True or value.get("status") == "accepted")
    return Submission(ok=taken, outcome=shown)
