"""Web push: a notification on every browser that a person subscribed (RFC 8030, 8188, 8291, 8292).

  ``POST {endpoint}`` with ``Content-Encoding: aes128gcm`` (the message, readable by that browser alone), ``TTL``,
  ``Urgency: high``, ``Topic`` (a later try of the same page takes the place of the earlier one) and ``Authorization:
  vapid t=…, k=…``. 201 says that the push service has it, 404 and 410 that the browser is there no more. That the
  telephone showed it nobody tells.

Encryption is that of `http_ece`, the signed claim that of `py_vapid`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02

from sealwatch.base.clock import Clock
from sealwatch.cloud.db.account_tables import PushSubscription
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.paging import choices, subscriptions
from sealwatch.cloud.paging.channels import verdicts
from sealwatch.cloud.paging.channels.http import Caller, NoAnswerError
from sealwatch.cloud.ports import PageRequest, Submission
from sealwatch.contract.signing import from_base64url

logger = logging.getLogger(__name__)
TTL_S: Final = 3600
"""How long a push service keeps a page for a telephone that is off: by then the ladder has asked others."""
_CLAIM_S: Final = 12 * 3600  # RFC 8292, 2: at most 24 hours
_MOST_BYTES: Final = 3500
"""Of the message: a push service takes 4,096 bytes encrypted (RFC 8291, 4)."""
_TAKEN: Final = frozenset({200, 201, 202})
_GONE: Final = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class PushMeans:
    """What a web push channel stands on besides its settings."""

    database: Database
    key: ec.EllipticCurvePrivateKey


def message(request: PageRequest, most_bytes: int = _MOST_BYTES) -> bytes:
    """What the service worker gets: JSON in UTF-8, the text cut where it would be too long, the link never.

    The line with the link is left out of the text: a touch opens it.
    """
    fixed = {
        "title": request.title,
        "url": request.answer_url,
        "tag": request.incident_id,
        "language": request.language,
        "choices": [{"title": one.words, "url": one.url} for one in choices.of(request)],
    }
    body = choices.without_link(request)
    while len(data := _json(fixed | {"body": body})) > most_bytes and body:
        shorter = body.removesuffix("…")[: -max(1, (len(data) - most_bytes) // 4 + 1)]
        body = f"{shorter}…" if shorter else ""
    return data


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


class WebPush:
    """`request.address` is the person_id whose browsers are asked for."""

    def __init__(
        self, means: PushMeans, *, services: list[str], subject: str, clock: Clock, caller: Caller | None = None
    ) -> None:
        """`subject` says to push services whose messages these are: the https address of this service."""
        self._database, self._clock, self._services, self._subject = means.database, clock, services, subject
        # Not strict: its own check takes no port in an address.
        self._vapid = Vapid02(means.key, conf={"no-strict": True})
        self._caller = caller or Caller()

    def close(self) -> None:
        self._caller.close()

    def submit(self, request: PageRequest) -> Submission:
        with self._database.read() as session:
            browsers = subscriptions.of_person(session, request.address)
        if not browsers:
            return Submission(
                ok=False, outcome="nobody_subscribed: no browser of this person takes pages", reason="nobody_subscribed"
            )
        results = [self._send(browser, request) for browser in browsers[: subscriptions.MOST]]
        took = sum(one.ok for one in results)
        outcome = f"{took} of {len(results)} browsers; " + "; ".join(one.outcome for one in results)
        if took:
            return Submission(ok=True, outcome=f"taken: {outcome}"[: verdicts.SHOWN], reason="taken")
        worst = next((one for one in results if one.retry), results[0])
        shown = f"{worst.reason}: {outcome}"[: verdicts.SHOWN]
        return Submission(ok=False, outcome=shown, retry=worst.retry, reason=worst.reason)

    def _send(self, browser: PushSubscription, request: PageRequest) -> Submission:
        service = urlsplit(browser.endpoint).netloc
        if not subscriptions.is_allowed(browser.endpoint, self._services):
            return Submission(ok=False, outcome=f"{service} is not among the services", reason="service_not_allowed")
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Encoding": "aes128gcm",
            "TTL": str(TTL_S),
            "Urgency": "high",
            "Topic": request.page_id[:32],
        } | self._claim(browser.endpoint)
        try:
            status, body = self._caller.ask(
                "POST", browser.endpoint, content=_sealed(browser, request), headers=headers
            )
        except NoAnswerError as trouble:
            return trouble.submission
        return self._judge(browser, service, status, body)

    def _claim(self, endpoint: str) -> dict[str, str]:
        parts = urlsplit(endpoint)
        claims = {
            "aud": f"{parts.scheme}://{parts.netloc}",
            "exp": self._clock.wall_ms() // 1000 + _CLAIM_S,
            "sub": self._subject,
        }
        signed: dict[str, str] = self._vapid.sign(claims)
        return signed

    def _judge(self, browser: PushSubscription, service: str, status: int, body: bytes) -> Submission:
        now_ms = self._clock.wall_ms()
        if status in _TAKEN:
            with self._database.write() as session:
                row = session.get(PushSubscription, browser.subscription_id)
                if row is not None:
                    row.taken_at_ms = now_ms
            return Submission(ok=True, outcome=f"{status} {service}", reason="taken")
        if status in _GONE:
            logger.warning("web push: a browser of %s is there no more (%d)", browser.person_id, status)
            with self._database.write() as session:
                subscriptions.forget_gone(session, browser, status=status, now_ms=now_ms)
            return Submission(ok=False, outcome=f"{status} {service}: forgotten", reason="browser_gone")
        return verdicts.http_failure(status, body)


def _sealed(browser: PushSubscription, request: PageRequest) -> bytes:
    sealed: bytes = http_ece.encrypt(
        message(request),
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=from_base64url(browser.p256dh.rstrip("=")),
        auth_secret=from_base64url(browser.auth.rstrip("=")),
        version="aes128gcm",
    )
    return sealed
