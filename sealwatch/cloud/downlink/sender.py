"""Publishes what the database holds for nodes: sealed by the service's key, again until the broker has taken it.

At every connection the newest declaration and configuration of each node go out once more, because a broker may have
lost what it retained; a node that knows them already does nothing. Two services on one database may both send a
command: its node carries it out once.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session as DbSession
from sqlalchemy.orm import aliased

from sealwatch.base.clock import Clock
from sealwatch.base.mqtt import MqttSettings, Session
from sealwatch.cloud.db.away import FailedTurns
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.tables import Downlink, Node
from sealwatch.contract import topics, wire
from sealwatch.contract.messages import Command, Declaration, NodeConfig
from sealwatch.contract.release import UpdateOffer
from sealwatch.contract.topics import Channel

logger = logging.getLogger(__name__)
_LOOK_EVERY_S: Final = 1.0
_AT_ONCE: Final = 200
_AGAIN_S: Final = 30.0
_KINDS: Final[dict[str, type[Command | NodeConfig | Declaration | UpdateOffer]]] = {
    str(Channel.COMMAND): Command,
    str(Channel.CONFIG): NodeConfig,
    str(Channel.DECLARATION): Declaration,
    str(Channel.UPDATE): UpdateOffer,
}


class Link(Protocol):
    """What the sender needs of `sealwatch.base.mqtt.Session`."""

    @property
    def connected(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None: ...


class DownlinkSender:
    """Started once, stopped once. `pump` does what is due and never waits."""

    def __init__(
        self,
        database: Database,
        *,
        key: Ed25519PrivateKey,
        mqtt: MqttSettings,
        worker: str,
        clock: Clock,
        link: Callable[[DownlinkSender], Link] | None = None,
    ) -> None:
        """`worker` names this service to the broker, the same at every start."""
        self._database, self._key, self._clock = database, key, clock
        self._client_id, self._mqtt = f"sealwatch-{worker}-downlink", mqtt
        self._events: queue.SimpleQueue[int | None] = queue.SimpleQueue()  # a mid the broker took; None: connected
        self._under_way: dict[int, tuple[int, float]] = {}  # mid -> id of the row, when it was handed over
        self.failed_turns = FailedTurns("downlink")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="downlink", daemon=True)
        self._link = link(self) if link is not None else self._session()

    def _session(self) -> Link:
        return Session(
            self._mqtt, client_id=self._client_id, on_connected=self.connection_came, on_published=self.published
        )

    def connection_came(self) -> None:
        """From the session's thread: connected, perhaps to a broker that has lost everything."""
        self._events.put(None)

    def published(self, mid: int) -> None:
        """From the session's thread: the broker has taken a message."""
        self._events.put(mid)

    def start(self) -> None:
        self._link.start()
        self._thread.start()

    def stop(self) -> None:
        """What was not taken by the broker goes out at the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._link.stop()

    def _run(self) -> None:
        while not self._stop.wait(0.05 if self._under_way else _LOOK_EVERY_S):
            with self.failed_turns.survived():
                self.pump()

    def pump(self) -> None:
        """Note what the broker has taken and hand over what is due."""
        anew = self._take_in()
        if not self._link.connected:
            return
        now_s = self._clock.monotonic_s()
        self._under_way = {mid: held for mid, held in self._under_way.items() if now_s - held[1] < _AGAIN_S}
        held = {row_id for row_id, _ in self._under_way.values()}
        with self._database.read() as session:
            rows = _retained(session, anew=anew) + _commands(session, self._clock.wall_ms())
        for row in rows:
            if row.id not in held:
                held.add(row.id)
                self._publish(row, now_s)

    def _take_in(self) -> bool:
        """Whether there was a new connection."""
        anew, taken = False, []
        while True:
            try:
                mid = self._events.get_nowait()
            except queue.Empty:
                break
            if mid is None:
                anew, self._under_way = True, {}
            elif mid in self._under_way:
                taken.append(self._under_way.pop(mid)[0])
        if taken:
            with self._database.write() as session:
                session.execute(
                    update(Downlink)
                    .where(Downlink.id.in_(taken), Downlink.sent_at_ms.is_(None))
                    .values(sent_at_ms=self._clock.wall_ms())
                )
        return anew

    def _publish(self, row: Downlink, now_s: float) -> None:
        channel = Channel(row.channel)
        payload = wire.seal(self._key, wire.decode(_KINDS[row.channel], row.body))
        topic = topics.topic(row.site_id, row.node_id, channel)
        mid = self._link.publish(topic, payload, retain=channel in topics.RETAINED)
        if mid is not None:
            self._under_way[mid] = (row.id, now_s)
            logger.info("%s for %s: %s", row.channel, row.node_id, row.message_id)


def _retained(session: DbSession, *, anew: bool) -> list[Downlink]:
    """The newest declaration and configuration of each node; where not `anew` only what the broker has not taken.

    Never an older one: it would take the place of the newer that the broker retains.
    """
    newer = aliased(Downlink)
    wanted = (
        select(Downlink)
        .join(Node, (Node.node_id == Downlink.node_id) & (Node.site_id == Downlink.site_id))
        .where(
            Downlink.channel != str(Channel.COMMAND),
            ~exists().where(
                newer.node_id == Downlink.node_id,
                newer.channel == Downlink.channel,
                newer.version > Downlink.version,
            ),
        )
    )
    if not anew:
        wanted = wanted.where(Downlink.sent_at_ms.is_(None))
    return list(session.scalars(wanted.order_by(Downlink.id)))


def _commands(session: DbSession, now_ms: int) -> list[Downlink]:
    return list(
        session.scalars(
            select(Downlink)
            .where(
                Downlink.sent_at_ms.is_(None),
                Downlink.channel == str(Channel.COMMAND),
                Downlink.expires_at_ms > now_ms,
            )
            .order_by(Downlink.id)
            .limit(_AT_ONCE)
        )
    )
