"""Drains the outbox over MQTT: the I/O around the decisions of `drain`, `presence` and `commands`."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sealwatch import __version__
from sealwatch.base.clock import Clock
from sealwatch.base.mqtt import Message, MqttSettings, Session, Will
from sealwatch.contract import topics, wire
from sealwatch.contract.messages import Ack, PartHealth, Reply, Status
from sealwatch.contract.topics import Channel
from sealwatch.contract.wire import Trusted
from sealwatch.edge.uplink import drain, presence
from sealwatch.edge.uplink.commands import CommandDesk, Handler
from sealwatch.edge.uplink.drain import DrainRules, DrainState
from sealwatch.edge.uplink.entries import Ref
from sealwatch.edge.uplink.outbox import Outbox

logger = logging.getLogger(__name__)

UNANSWERED_S = 60.0  # under way for this long without an answer: the service is silent
_LOOK_EVERY_S = 1.0
_SLICE_S = 0.2  # how soon a stop is noticed
_REPLIES_KEPT = 100
_GOODBYE_S = 1.0


class Link(Protocol):
    """What the publisher needs of `sealwatch.base.mqtt.Session`."""

    @property
    def connected(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None: ...


class Publisher:
    """The `Part` that owns the connection to the broker. `pump` does everything that is due and never waits."""

    part_id = "uplink"

    def __init__(
        self,
        outbox: Outbox,
        *,
        site_id: str,
        node_id: str,
        mqtt: MqttSettings,
        clock: Clock,
        handlers: Mapping[str, Handler] | None = None,
        rules: DrainRules | None = None,
        upkeep: Callable[[], float | None] = lambda: None,
        link: Callable[[Publisher], Link] | None = None,
        service_key: Trusted = None,
        inboxes: Mapping[Channel, Callable[[bytes], object]] | None = None,
    ) -> None:
        """`upkeep` is called at every turn and tells when it wants to be called next (monotonic seconds).

        Only commands sealed by `service_key` are carried out. `inboxes` take what comes on further channels.
        """
        self._outbox, self._clock, self._rules = outbox, clock, rules or DrainRules()
        self._site_id, self._node_id, self._mqtt = site_id, node_id, mqtt
        self._upkeep = upkeep
        self._inboxes = inboxes or {}
        self._parts: Callable[[], Sequence[PartHealth]] = list
        self._events: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._state = DrainState()
        self._presence = presence.PresenceState()
        self._look_at_s = 0.0
        self._replies: deque[Reply] = deque(maxlen=_REPLIES_KEPT)
        self._last_ack_ms: int | None = None
        self._last_ack_s: float | None = None
        self._taken_by_broker: deque[int] = deque(maxlen=1000)
        self._broker_took = threading.Condition()
        self._desk = CommandDesk(
            outbox,
            site_id=site_id,
            node_id=node_id,
            clock=clock,
            service_key=service_key,
            handlers=handlers or {},
            reply=self.say,
        )
        outbox.on_change = lambda: self._events.put(None)
        self._link = link(self) if link is not None else self._session()

    def report_on(self, parts: Callable[[], Sequence[PartHealth]]) -> None:
        """Where the health of every part comes from, for the status message."""
        self._parts = parts

    @property
    def connected(self) -> bool:
        """Whether the broker has this node."""
        return self._link.connected

    def say(self, reply: Reply) -> None:
        """Send a reply as soon as there is a connection. From any thread."""
        self._post(lambda: self._replies.append(reply))

    # -- the thread ----------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Keep the outbox draining until `stop` is set, then say goodbye."""
        self._link.start()
        try:
            while not stop.is_set():
                self._wait(stop, self.pump())
        finally:
            self._goodbye()
            self._link.stop()
            self._state = DrainState()

    def _wait(self, stop: threading.Event, until_s: float) -> None:
        """Until something happens, `until_s` has come or the end is asked for."""
        while not stop.is_set() and (left_s := until_s - self._clock.monotonic_s()) > 0:
            try:
                event = self._events.get(timeout=min(left_s, _SLICE_S))
            except queue.Empty:
                continue
            if event is not None:
                event()
            return

    def pump(self) -> float:
        """Take in what happened, send what is due; the monotonic time at which to look again at the latest."""
        self._take_in()
        if self._state.connected and not self._link.connected:
            self._step(drain.Disconnected())
        now_s = self._clock.monotonic_s()
        upkeep_at_s = self._upkeep()
        head = self._outbox.head(drain.head_wanted(self._state, self._rules)) if self._state.connected else []
        self._step(drain.Due(head))
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + _LOOK_EVERY_S
            self._outbox.retry()
            self._report(now_s)
        self._send_replies()
        wakes = (self._state.wake_at_s, upkeep_at_s, self._look_at_s)
        return min(wake for wake in wakes if wake is not None)

    def _take_in(self) -> None:
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            if event is not None:
                event()

    def _post(self, event: Callable[[], None]) -> None:
        self._events.put(event)

    def _step(self, event: drain.Event) -> None:
        self._state, effects = drain.step(self._state, event, self._clock.monotonic_s(), rules=self._rules)
        for effect in effects:
            match effect:
                case drain.Send(ref, channel):
                    if not self._send(ref, channel):
                        self._step(drain.NotSent(ref))
                case drain.Release(refs):
                    self._outbox.release(refs)
                case drain.Refuse(refs):
                    self._outbox.refuse(dict(refs))
                case drain.Reoffer():
                    count = self._outbox.reoffer()
                    if count:
                        logger.info("%d messages that the service refused are offered again", count)

    def _send(self, ref: Ref, channel: Channel) -> bool:
        payload = self._outbox.payload(ref)
        return payload is not None and self._link.publish(self._topic(channel), payload) is not None

    def _topic(self, channel: Channel) -> str:
        return topics.topic(self._site_id, self._node_id, channel)

    # -- what comes from the session's thread ----------------------------------------------------------------------

    def connection_came(self) -> None:
        """The session is connected: say so and begin to drain."""
        self._post(self._connected)

    def message_came(self, message: Message) -> None:
        """An ack or a command."""
        self._post(lambda: self._receive(message))

    def published(self, mid: int) -> None:
        """The broker has taken a message. It releases nothing; only the goodbye is waited for."""
        with self._broker_took:
            self._taken_by_broker.append(mid)
            self._broker_took.notify_all()

    def _session(self) -> Link:
        return Session(
            self._mqtt,
            client_id=f"{self._site_id}.{self._node_id}",
            subscriptions=tuple(self._topic(channel) for channel in (Channel.ACK, Channel.COMMAND, *self._inboxes)),
            on_message=self.message_came,
            on_connected=self.connection_came,
            on_published=self.published,
            will=Will(self._topic(Channel.STATUS), wire.encode(self._status("offline", []))),
        )

    def _connected(self) -> None:
        self._presence = presence.PresenceState()
        self._look_at_s = self._clock.monotonic_s()
        self._step(drain.Connected())

    def _receive(self, message: Message) -> None:
        address = topics.parse(message.topic)
        if address is None or (address.site_id, address.node_id) != (self._site_id, self._node_id):
            logger.warning("a message on the foreign topic %s is ignored", message.topic)
        elif address.channel is Channel.ACK:
            self._ack(message.payload)
        elif address.channel is Channel.COMMAND and not message.retain:
            self._desk.take(message.payload)
        elif address.channel in self._inboxes:
            self._inboxes[address.channel](message.payload)

    def _ack(self, payload: bytes) -> None:
        try:
            ack = wire.decode(Ack, payload)
        except wire.Refused as refused:
            logger.warning("an ack cannot be read and releases nothing: %s", refused)
            return
        if ack.node_id != self._node_id:
            logger.warning("an ack for node %s is ignored", ack.node_id)
            return
        taken = tuple(Ref(i.boot_id, i.seq) for i in ack.items if i.outcome in {"stored", "duplicate"})
        refused_items = tuple((Ref(i.boot_id, i.seq), i.reason) for i in ack.items if i.outcome == "refused")
        for _, reason in refused_items[:1]:
            logger.warning("the service refuses %d messages: %s; they are kept", len(refused_items), reason)
        self._last_ack_ms, self._last_ack_s = self._clock.wall_ms(), self._clock.monotonic_s()
        self._step(drain.Acked(taken, refused_items))

    # -- status and health ---------------------------------------------------------------------------------------

    def _report(self, now_s: float) -> None:
        if not self._state.connected:
            return
        parts = list(self._parts())
        state, reason = presence.step(self._presence, parts, now_s)
        if reason is not None:
            payload = wire.encode(self._status("online", parts))
            if self._link.publish(self._topic(Channel.STATUS), payload, retain=True) is not None:
                self._presence = state

    def _status(self, state: str, parts: Sequence[PartHealth]) -> Status:
        return Status(
            site_id=self._site_id,
            node_id=self._node_id,
            boot_id=self._outbox.boot_id,
            state="online" if state == "online" else "offline",
            reported_at_ms=max(0, self._clock.wall_ms()),
            agent_version=__version__,
            outbox_depth=self._outbox.stats().depth,
            parts=list(parts)[:128],
        )

    def _send_replies(self) -> None:
        while self._replies and self._state.connected:
            if self._link.publish(self._topic(Channel.REPLY), wire.encode(self._replies[0])) is None:
                return
            self._replies.popleft()

    def _goodbye(self) -> None:
        if not self._link.connected:
            return
        payload = wire.encode(self._status("offline", list(self._parts())))
        mid = self._link.publish(self._topic(Channel.STATUS), payload, retain=True)
        if mid is not None:
            with self._broker_took:
                self._broker_took.wait_for(lambda: mid in self._taken_by_broker, _GOODBYE_S)

    def health(self) -> PartHealth:
        """Works while the service answers; reasons: delivering, broker_unreachable, service_silent, service_refuses."""
        now_s = self._clock.monotonic_s()
        stats = self._outbox.stats()
        flights = list(self._state.flights.values())
        oldest_s = max((now_s - flight.sent_at_s for flight in flights), default=0.0)
        if not self._link.connected:
            reason = "broker_unreachable"
        elif oldest_s > UNANSWERED_S:
            reason = "service_silent"
        elif stats.refused:
            reason = "service_refuses"
        else:
            reason = "delivering"
        numbers = {"waiting": float(stats.depth), "under_way": float(len(flights)), "refused": float(stats.refused)}
        if self._last_ack_s is not None:
            numbers["last_ack_age_s"] = round(now_s - self._last_ack_s, 1)
        return PartHealth(
            part_id=self.part_id,
            kind="uplink",
            ok=reason == "delivering",
            reason=reason,
            evidence_at_ms=self._last_ack_ms,
            numbers=numbers,
        )
