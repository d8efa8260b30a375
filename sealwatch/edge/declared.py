"""What the site has declared, as the service last said it under its own key.

Refusals of a declaration, in the order of the checks
  reason: no_service_key | too_large | not_json | wrong_shape | unknown_key | bad_signature | not_for_this_node
          | not_newer
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from sealwatch.base.files import replace_file
from sealwatch.contract import wire
from sealwatch.contract.codes import DeclaredStatus
from sealwatch.contract.messages import Declaration, Permit, Sealed
from sealwatch.contract.wire import Refused, Trusted

logger = logging.getLogger(__name__)
FILE: Final = "declaration.json"


@dataclass(frozen=True, slots=True)
class DeclaredNow:
    """The declared status and the permits that hold; `version` 0: from the node's own configuration."""

    declared_status: DeclaredStatus
    permits: tuple[Permit, ...] = ()
    version: int = 0


class Declared(Protocol):
    """Where detectors read what is declared, from any thread. What `watch` is given is called at every change."""

    def current(self) -> DeclaredNow: ...
    def watch(self, changed: Callable[[DeclaredNow], None]) -> None: ...


class FixedDeclared:
    """A declaration that never changes: from a configuration, for replays and tests."""

    def __init__(self, declared_status: DeclaredStatus, permits: tuple[Permit, ...] = ()) -> None:
        self._now = DeclaredNow(declared_status, permits)

    def current(self) -> DeclaredNow:
        return self._now

    def watch(self, changed: Callable[[DeclaredNow], None]) -> None:
        """Never called."""


def judge(payload: bytes, *, service_key: Trusted, site_id: str, node_id: str, version: int) -> Declaration:
    """The declaration, where it is the service's, for this node, and newer than `version`. Raises Refused."""
    if service_key is None:
        raise Refused("no_service_key", "no key of the service is pinned; set service_public_key in node.toml")
    declaration = wire.unseal(Declaration, payload, service_key)
    if (declaration.site_id, declaration.node_id) != (site_id, node_id):
        raise Refused("not_for_this_node", f"it is for {declaration.site_id}/{declaration.node_id}")
    if declaration.version <= version:
        raise Refused("not_newer", f"version {declaration.version} does not follow {version}")
    return declaration


class DeclarationKeeper:
    """The newest declaration, kept in `folder` exactly as it was signed, so that the next start checks it again."""

    def __init__(
        self,
        folder: Path,
        *,
        service_key: Trusted,
        site_id: str,
        node_id: str,
        fallback: DeclaredStatus,
    ) -> None:
        """`fallback` holds until the service has said anything. A kept one that can't be believed is not used."""
        self._path = folder / FILE
        self._key, self._site_id, self._node_id = service_key, site_id, node_id
        self._watchers: list[Callable[[DeclaredNow], None]] = []
        self._lock = threading.Lock()
        self._payload = b""
        self._now = DeclaredNow(fallback)
        self._last_refusal = ""
        self._restore()

    def _restore(self) -> None:
        try:
            payload = self._path.read_bytes()
            self._accept(self._judge(payload), payload)
        except FileNotFoundError:
            return
        except (OSError, Refused) as error:
            logger.warning("the kept declaration %s is not used: %s", self._path, error)

    def _judge(self, payload: bytes) -> Declaration:
        return judge(
            payload,
            service_key=self._key,
            site_id=self._site_id,
            node_id=self._node_id,
            version=self._now.version,
        )

    def _resealed(self, payload: bytes) -> bool:
        """The one in force, sealed with the service's next key: kept so, because the former key is forgotten one day.

        Raises Refused.
        """
        if not self._payload or self._key is None:
            return False
        return wire.unseal(Declaration, payload, self._key) == wire.decode(
            Declaration, wire.decode(Sealed, self._payload).body
        )

    def _accept(self, declaration: Declaration, payload: bytes) -> None:
        self._payload = payload
        self._now = DeclaredNow(declaration.declared_status, tuple(declaration.permits), declaration.version)

    def current(self) -> DeclaredNow:
        """What holds now."""
        return self._now

    def watch(self, changed: Callable[[DeclaredNow], None]) -> None:
        """Have `changed` called with every later declaration, on the thread that received it."""
        self._watchers.append(changed)

    @property
    def last_refusal(self) -> str:
        """Named reason of the last one that was refused since one was taken; empty: none."""
        return self._last_refusal

    def take(self, payload: bytes) -> str:
        """Judge one that came; ``taken``, ``unchanged``, ``not_kept`` (the disk refuses) or the reason of a refusal.

        It holds only once it is durable: a node never says less after a restart than before it.
        """
        with self._lock:
            if payload == self._payload:
                return "unchanged"
            try:
                if self._resealed(payload):
                    replace_file(self._path, payload)
                    self._payload = payload
                    return "unchanged"
                declaration = self._judge(payload)
                replace_file(self._path, payload)
            except Refused as refused:
                self._last_refusal = refused.reason
                logger.warning("a declaration is refused: %s", refused)
                return refused.reason
            except OSError as error:
                self._last_refusal = "not_kept"
                logger.warning("the declaration %s cannot be kept: %s", self._path, error.strerror)
                return "not_kept"
            self._last_refusal = ""
            self._accept(declaration, payload)
        logger.info(
            "declaration %d: %s, %d permits", declaration.version, declaration.declared_status, len(declaration.permits)
        )
        for changed in self._watchers:
            changed(self._now)
        return "taken"
