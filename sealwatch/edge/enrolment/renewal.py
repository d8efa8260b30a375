"""Renews the node's certificate once two thirds of its life are over, so that months offline do no harm."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.backoff import full_jitter_s
from sealwatch.base.clock import Clock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.enrolment import asking
from sealwatch.edge.enrolment.papers import Origin, Papers, Validity

logger = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 3600.0
_WORRY_DAYS: Final = 30.0
_DAY_MS: Final = 86_400_000


def is_due(validity: Validity | None, now_ms: int) -> bool:
    """Whether less than a third of its life is left, or there is none. False while the clock lies before it."""
    if validity is None:
        return True
    if now_ms < validity.from_ms:
        return False
    return validity.to_ms - now_ms < (validity.to_ms - validity.from_ms) / 3


class Renewal:
    """A `Part`. A new certificate is used from the next connection on."""

    part_id = "certificate"

    def __init__(
        self,
        papers: Papers,
        origin: Origin,
        *,
        node_id: str,
        key: Ed25519PrivateKey,
        clock: Clock,
        service_public_keys: Collection[str] = (),
    ) -> None:
        """`service_public_keys` are those that node.toml pins; without one that which enrolled the node counts."""
        self._papers, self._origin, self._node_id, self._key, self._clock = papers, origin, node_id, key, clock
        self._service_keys = service_public_keys or (origin.service_public_key,)
        self._failures = 0
        self._reason = ""

    def run(self, stop: threading.Event) -> None:
        """Look every hour until `stop` is set."""
        while not stop.wait(self.step()):
            pass

    def step(self) -> float:
        """Renew where it is due; seconds until the next look."""
        if not is_due(self._papers.validity(), self._clock.wall_ms()):
            self._reason = ""
            return LOOK_EVERY_S
        try:
            granted = asking.renew(
                self._origin.cloud_url,
                node_id=self._node_id,
                key=self._key,
                csr=self._papers.csr(self._node_id),
                service_public_keys=self._service_keys,
                ca_file=self._origin.https_ca_file,
            )
            self._papers.keep(granted, self._origin)
        except (CommandFailed, UsageError, OSError) as error:
            reason = error.reason if isinstance(error, asking.AskError) else "not_kept"
            if reason != self._reason:
                logger.warning("the certificate is not renewed: %s; trying again", error)
            self._reason = reason
            self._failures += 1
            return 60 + full_jitter_s(self._failures, base_s=60, cap_s=LOOK_EVERY_S)
        logger.info("the certificate is renewed")
        self._failures, self._reason = 0, ""
        return LOOK_EVERY_S

    def health(self) -> PartHealth:
        """Reasons: valid, ends_soon, expired, missing; while a renewal is due and fails, why (`asking.AskError`)."""
        validity, now_ms = self._papers.validity(), self._clock.wall_ms()
        days = None if validity is None else round((validity.to_ms - now_ms) / _DAY_MS, 1)
        if days is None:
            reason = "missing"
        elif days <= 0:
            reason = "expired"
        else:
            reason = "ends_soon" if days < _WORRY_DAYS else "valid"
        return PartHealth(
            part_id=self.part_id,
            kind="certificate",
            ok=reason == "valid",
            reason=self._reason or reason,
            evidence_at_ms=now_ms,
            numbers={} if days is None else {"days_left": days},
        )
