"""Another signing key for the node: made here, accepted by the service, then put in place of the former one.

``signing-key-next.pem`` beside the key says that a change is under way. Whatever moment the plug is pulled at, the next
start goes on: it asks again with the same key (which the service answers as before), waits until the service has it
everywhere, and renames it over the former one, which is gone then. The agent starts again and signs with the new one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base import keys
from sealwatch.base.backoff import full_jitter_s
from sealwatch.base.clock import Clock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.files import Step, sync_folder
from sealwatch.contract.messages import Command, PartHealth
from sealwatch.edge.enrolment import asking
from sealwatch.edge.identity import KEY_FILE
from sealwatch.edge.uplink.commands import Answer

logger = logging.getLogger(__name__)
NEXT_FILE: Final = "signing-key-next.pem"
IDLE_S: Final = 3600.0
SPREAD_S: Final = 20.0
"""How long the service's parts may still know the former key alone (they read the registry anew every ten seconds)."""
Ask = Callable[[Ed25519PrivateKey, Ed25519PrivateKey], None]


def ask_service(url: str, *, node_id: str, service_public_keys: Collection[str], ca_file: str) -> Ask:
    """Asks the service for a following key to take the place of the present one. Raises AskError, UsageError."""

    def ask(present: Ed25519PrivateKey, following: Ed25519PrivateKey) -> None:
        asking.change_key(
            url,
            node_id=node_id,
            present=present,
            following=following,
            service_public_keys=service_public_keys,
            ca_file=ca_file,
        )

    return ask


class KeyChange:
    """A `Part`, and the command `change_key` that begins a change."""

    part_id = "signing-key"

    def __init__(
        self,
        folder: Path,
        key: Ed25519PrivateKey,
        ask: Ask,
        clock: Clock,
        *,
        restart: Callable[[], None],
        step: Step = lambda _name: None,
    ) -> None:
        """`step` is told each step before it is taken: ``ask``, ``replace``."""
        self._file, self._next = folder / KEY_FILE, folder / NEXT_FILE
        self._key, self._ask, self._clock, self._restart, self._plug = key, ask, clock, restart, step
        self._wake = threading.Event()
        self._accepted_s: float | None = None
        self._reason, self._failures = "settled", 0

    def command(self, _command: Command) -> Answer:
        """The command `change_key`: no arguments. What comes of it is in health and in the service's registry."""
        try:
            keys.load_or_create(self._next)
        except UsageError as error:
            return Answer(ok=False, reason="not_kept", detail=str(error))
        self._wake.set()
        return Answer(ok=True, reason="begun")

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        while not stop.is_set():
            until_s = self._clock.monotonic_s() + self.step()
            while not stop.wait(0.5) and not self._wake.is_set() and self._clock.monotonic_s() < until_s:
                pass
            self._wake.clear()

    def step(self) -> float:
        """What is due; seconds until the next look."""
        if not self._next.exists() or self._reason == "replaced":
            return IDLE_S
        try:
            if self._accepted_s is None:
                self._plug("ask")
                self._ask(self._key, keys.load_or_create(self._next))
                self._accepted_s, self._reason, self._failures = self._clock.monotonic_s(), "accepted", 0
                logger.info("the service has accepted another signing key")
            left_s = self._accepted_s + SPREAD_S - self._clock.monotonic_s()
            if left_s > 0:
                return left_s
            self._plug("replace")
            self._next.replace(self._file)
            sync_folder(self._file.parent)
        except (CommandFailed, UsageError, OSError) as error:
            reason = error.reason if isinstance(error, asking.AskError) else "not_kept"
            if reason != self._reason:
                logger.warning("the signing key is not changed yet: %s; trying again", error)
            self._reason = reason
            self._failures += 1
            return full_jitter_s(self._failures, base_s=10, cap_s=900)
        self._reason = "replaced"
        logger.info("another signing key is in place; the agent starts again")
        self._restart()
        return IDLE_S

    def health(self) -> PartHealth:
        """Reasons: settled, accepted, replaced; while a change fails, why (`asking.AskError`)."""
        return PartHealth(
            part_id=self.part_id,
            kind="signing_key",
            ok=self._reason in {"settled", "accepted", "replaced"},
            reason=self._reason,
            evidence_at_ms=self._clock.wall_ms(),
        )
