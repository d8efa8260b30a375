"""In-process twins for the uplink: a null-modem link instead of a session, and a tiny service that answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.clock import Clock, ManualClock
from sealwatch.base.mqtt import Message
from sealwatch.contract import topics, wire
from sealwatch.contract.messages import Ack, AckItem, Alarm, Command, Origin, Reply, Samples, Snapshot, Status
from sealwatch.contract.topics import Channel
from sealwatch.edge.health.clock import ClockWatch
from sealwatch.edge.identity import Identity
from sealwatch.edge.uplink.entries import Ref
from sealwatch.edge.uplink.outbox import Outbox
from sealwatch.edge.uplink.publisher import Publisher
from sealwatch.edge.uplink.sink import OutboxSink

SITE, NODE = "410100000001", "node-1"
SERVICE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def topic(channel: Channel) -> str:
    return topics.topic(SITE, NODE, channel)


def sink_for(outbox: Outbox, identity: Identity, clock: Clock) -> OutboxSink:
    return OutboxSink(
        outbox, identity, site_id=SITE, node_id=NODE, clock=clock, clock_state=ClockWatch(clock, kernel=lambda: None)
    )


class TinyService:
    """Remembers what it has taken, like the real one, and makes the ack for a message."""

    def __init__(self, identity: Identity) -> None:
        self._key = identity.key.public_key()
        self.taken: dict[Ref, Any] = {}
        self.order: list[Ref] = []
        self.duplicates = 0
        self.refuse_with = ""
        self.statuses: list[Status] = []
        self.replies: list[Reply] = []

    def receive(self, topic_name: str, payload: bytes) -> bytes | None:
        """The ack to be published, if the message wants one."""
        address = topics.parse(topic_name)
        assert address is not None
        message: Alarm | Snapshot | Samples
        match address.channel:
            case Channel.STATUS:
                self.statuses.append(wire.decode(Status, payload))
                return None
            case Channel.REPLY:
                self.replies.append(wire.decode(Reply, payload))
                return None
            case Channel.ALARM:
                message = wire.unseal(Alarm, payload, self._key)
            case Channel.SNAPSHOT:
                message = wire.unseal(Snapshot, payload, self._key)
            case _:
                message = wire.decode(Samples, payload)
        return self._judge(message.origin, message)

    def _judge(self, origin: Origin, message: Any) -> bytes:
        ref = Ref(origin.boot_id, origin.seq)
        if self.refuse_with:
            outcome, reason = "refused", self.refuse_with
        elif ref in self.taken:
            outcome, reason = "duplicate", "seen_before"
            self.duplicates += 1
        else:
            outcome, reason = "stored", "committed"
            self.taken[ref] = message
            self.order.append(ref)
        item = AckItem(boot_id=ref.boot_id, seq=ref.seq, outcome=outcome, reason=reason)  # type: ignore[arg-type]  # one of the three words
        return wire.encode(Ack(node_id=NODE, acked_at_ms=1_700_000_000_000, items=[item]))


@dataclass
class NullModem:
    """A `Link` without a wire: what is published lands in `sent`; `carry` hands it to the service and brings acks."""

    publisher: Publisher
    service: TinyService
    connected: bool = False
    started: bool = False
    refuse_publish: bool = False
    sent: list[tuple[str, bytes, bool]] = field(default_factory=list)

    def start(self) -> None:
        self.started = True

    def stop(self) -> None:
        self.started = self.connected = False

    def publish(self, topic_name: str, payload: bytes, *, retain: bool = False) -> int | None:
        if not self.connected or self.refuse_publish:
            return None
        self.sent.append((topic_name, payload, retain))
        self.publisher.published(len(self.sent))
        return len(self.sent)

    def connect(self) -> None:
        self.connected = True
        self.publisher.connection_came()

    def carry(self) -> int:
        """Deliver everything on the wire and its acks; how many messages."""
        batch, self.sent = self.sent, []
        for name, payload, _retain in batch:
            ack = self.service.receive(name, payload)
            if ack is not None:
                self.deliver(Channel.ACK, ack)
        return len(batch)

    def deliver(self, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        self.publisher.message_came(Message(topic(channel), payload, 1, retain))


def command(clock: ManualClock, name: str = "ping", command_id: str = "c-1", **changes: Any) -> bytes:
    wanted = Command(
        site_id=SITE,
        node_id=NODE,
        command_id=command_id,
        name=name,
        issued_at_ms=clock.wall_ms(),
        expires_at_ms=clock.wall_ms() + 60_000,
    )
    return wire.seal(SERVICE_KEY, msgspec.structs.replace(wanted, **changes))
