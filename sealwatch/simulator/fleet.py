"""A fleet of nodes from one process: every node has a connection, a session, a key and an outbox of its own.

paho's own loop wants a thread a client; here its documented external loop is turned for all of them by one selector.
"""

from __future__ import annotations

import heapq
import random
import selectors
import socket
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sealwatch.contract import topics, wire
from sealwatch.contract.codes import ClockQuality, Level, Phase
from sealwatch.contract.messages import Ack, Alarm, Origin, Samples, Status
from sealwatch.contract.topics import Channel
from sealwatch.simulator import fleet_plan
from sealwatch.simulator.fleet_plan import Act, Due

AGAIN_S: Final = 20.0
"""An alarm without an ack after this long is sent again, as an agent does."""
_UPKEEP_S: Final = 1.0
_KEEPALIVE_S: Final = 60
_CONNECTS_A_TURN: Final = 50
_RECONNECT_WITHIN_S: Final = 30.0
_READINGS: Final = 12


class Report(msgspec.Struct, kw_only=True):
    """What came of it.

    Latencies run from an alarm's start at the node to the service's ack at the node, for alarms whose node was
    connected all the while; `acknowledged_late` counts the others, which waited for their link.
    """

    nodes: int
    seconds: float
    connected: int
    sent: dict[str, int]
    alarms: int
    acknowledged: int
    acknowledged_late: int
    waiting: int
    refused: int
    reconnects: int
    failed_connects: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_max_ms: float | None


@dataclass(slots=True)
class _Waiting:
    payload: bytes
    since_s: float
    sent_s: float
    link_held: bool  # the node was connected all the while


@dataclass(slots=True)
class _Node:
    number: int
    client: paho.Client
    boot_id: str
    key: Any
    seq: int = 0
    up: bool = False
    wanted: bool = True
    outbox: dict[int, _Waiting] = field(default_factory=dict)


class Fleet:
    """Turn it until its time is over. `host` and `port` are those of a broker on this machine."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        nodes: int,
        seconds: float,
        storm_at_s: float | None = None,
        seed: int = 1,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._where, self._seconds, self._seed, self._now_s = (host, port), seconds, seed, now_s
        self._selector = selectors.DefaultSelector()
        self._draw = random.Random(seed)
        self._nodes = [self._build(number) for number in range(nodes)]
        self._due: list[Due] = [
            due
            for n in range(nodes)
            for due in fleet_plan.acts(n, seed, seconds)
            if due.at_s < seconds or due.act is Act.LINK_BACK  # whoever lost its link near the end still comes back
        ]
        heapq.heapify(self._due)
        self._storms = [] if storm_at_s is None else [storm_at_s]
        spread_s = min(10.0, nodes / 200)
        self._connects = [(self._draw.uniform(0, spread_s), node.number) for node in self._nodes]
        heapq.heapify(self._connects)
        self._began_s = 0.0
        self._sent: Counter[str] = Counter()
        self._latencies_ms: list[float] = []
        self._alarms = self._acknowledged = self._refused = self._reconnects = self._failed = 0

    def run(self, patience_s: float = 60.0) -> Report:
        """The whole time, and then at most `patience_s` until every alarm has its ack."""
        self._began_s = self._now_s()
        upkeep_s = 0.0
        try:
            while True:
                at_s = self._now_s() - self._began_s
                waiting = any(node.outbox for node in self._nodes) if at_s >= self._seconds else True
                if not waiting or at_s >= self._seconds + patience_s:
                    break
                self._turn(at_s)
                if at_s >= upkeep_s:
                    upkeep_s = at_s + _UPKEEP_S
                    self._upkeep(at_s)
            return self._report(self._now_s() - self._began_s)
        finally:
            self._end()

    def _end(self) -> None:
        for node in self._nodes:
            node.wanted = False
            node.client.disconnect()
            client, sock = node.client, node.client.socket()
            client.on_socket_close = client.on_socket_register_write = client.on_socket_unregister_write = None
            if sock is not None:
                client.loop_write()
                sock.close()
        self._selector.close()

    def _build(self, number: int) -> _Node:
        name = fleet_plan.node_id(number)
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        boot_id = random.Random(f"{self._seed}/{number}/{time.time_ns()}").randbytes(16).hex()
        node = _Node(number, client, boot_id, fleet_plan.key(number, self._seed))
        client.user_data_set(node)
        client.on_socket_open = self._opened
        client.on_socket_close = self._closed
        client.on_socket_register_write = lambda _c, _d, sock: self._watch(node, sock, write=True)
        client.on_socket_unregister_write = lambda _c, _d, sock: self._watch(node, sock, write=False)
        client.on_connect = self._connected
        client.on_disconnect = self._lost
        client.on_message = self._came
        client.will_set(self._topic(node, Channel.STATUS), self._status(node, "offline"), qos=1, retain=True)
        return node

    # The loop

    def _turn(self, at_s: float) -> None:
        if self._storms and at_s >= self._storms[0]:
            self._storms.pop(0)
            for node in self._nodes:
                self._cut(node)
        for _ in range(_CONNECTS_A_TURN):
            if not self._connects or self._connects[0][0] > at_s:
                break
            self._connect(self._nodes[heapq.heappop(self._connects)[1]], at_s)
        while self._due and self._due[0].at_s <= at_s:
            self._act(heapq.heappop(self._due), at_s)
        for ready, events in self._selector.select(timeout=0.01):
            client = ready.data.client
            if events & selectors.EVENT_READ:
                client.loop_read()
            if events & selectors.EVENT_WRITE and client.want_write():
                client.loop_write()

    def _upkeep(self, at_s: float) -> None:
        for node in self._nodes:
            if node.up:
                node.client.loop_misc()
                for waiting in node.outbox.values():
                    if at_s - waiting.sent_s >= AGAIN_S:
                        waiting.sent_s = at_s
                        self._publish(node, Channel.ALARM, waiting.payload)

    def _connect(self, node: _Node, at_s: float) -> None:
        if not node.wanted or node.client.socket() is not None:
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.SessionExpiryInterval = 3600
        try:
            node.client.connect(*self._where, keepalive=_KEEPALIVE_S, clean_start=False, properties=properties)
        except OSError:
            self._failed += 1
            self._connect_later(node, at_s)

    def _connect_later(self, node: _Node, at_s: float) -> None:
        heapq.heappush(self._connects, (at_s + self._draw.uniform(1, _RECONNECT_WITHIN_S), node.number))

    def _cut(self, node: _Node) -> None:
        """The link breaks: no goodbye."""
        sock = node.client.socket()
        if isinstance(sock, socket.socket):
            sock.shutdown(socket.SHUT_RDWR)

    # What nodes do

    def _act(self, due: Due, at_s: float) -> None:
        node = self._nodes[due.node]
        match due.act:
            case Act.STATUS if node.up:
                self._publish(node, Channel.STATUS, self._status(node, "online"), retain=True)
            case Act.SAMPLES if node.up:
                self._publish(node, Channel.SAMPLES, self._samples(node))
            case Act.ALARM_START | Act.ALARM_END:
                self._alarm(node, due, at_s)
            case Act.LINK_LOST:
                node.wanted = False
                self._cut(node)
            case Act.LINK_BACK:
                node.wanted = True
                heapq.heappush(self._connects, (at_s, node.number))

    def _alarm(self, node: _Node, due: Due, at_s: float) -> None:
        origin = self._origin(node)
        message = Alarm(
            origin=origin,
            alarm_id=f"{node.boot_id[:8]}-{due.number}",
            kind="person",
            phase=Phase.START if due.act is Act.ALARM_START else Phase.END,
            level=Level.YELLOW,
            source_id="cam-1",
            started_at_ms=origin.captured_at_ms,
            score=0.9,
            reason="person_in_zone",
            sentence_zh="模拟：井口有 1 人",
            sentence_en="Simulated: 1 person at the shaft mouth",
        )
        payload = wire.seal(node.key, message)
        node.outbox[origin.seq] = _Waiting(payload, at_s, at_s, node.up)
        self._alarms += 1
        if node.up:
            self._publish(node, Channel.ALARM, payload)

    def _samples(self, node: _Node) -> bytes:
        origin = self._origin(node)
        times = [origin.captured_at_ms - 5000 * back for back in range(_READINGS - 1, -1, -1)]
        power_w = [400.0 + self._draw.gauss(0, 20) for _ in times]
        volts = [230.0 + self._draw.gauss(0, 1) for _ in times]
        values: dict[str, list[float | None]] = {"active_power_w": [*power_w], "voltage_a_v": [*volts]}
        return wire.encode(Samples(origin=origin, source_id="meter-1", at_ms=times, values=values))

    def _status(self, node: _Node, state: Any) -> bytes:
        return wire.encode(
            Status(
                site_id=fleet_plan.site_id(node.number),
                node_id=fleet_plan.node_id(node.number),
                boot_id=node.boot_id,
                state=state,
                reported_at_ms=time.time_ns() // 1_000_000,
                agent_version="simulated",
                outbox_depth=len(node.outbox),
            )
        )

    def _origin(self, node: _Node) -> Origin:
        node.seq += 1
        now_ms = time.time_ns() // 1_000_000
        return Origin(
            site_id=fleet_plan.site_id(node.number),
            node_id=fleet_plan.node_id(node.number),
            boot_id=node.boot_id,
            seq=node.seq,
            captured_at_ms=now_ms,
            enqueued_at_ms=now_ms,
            clock_quality=ClockQuality.SYNCHRONISED,
        )

    def _topic(self, node: _Node, channel: Channel) -> str:
        return topics.topic(fleet_plan.site_id(node.number), fleet_plan.node_id(node.number), channel)

    def _publish(self, node: _Node, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        node.client.publish(self._topic(node, channel), payload, qos=1, retain=retain)
        self._sent[channel] += 1

    # What paho tells

    def _opened(self, _client: paho.Client, node: _Node, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ, node)

    def _closed(self, _client: paho.Client, _node: _Node, sock: Any) -> None:
        self._selector.unregister(sock)

    def _watch(self, node: _Node, sock: Any, *, write: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)
        self._selector.modify(sock, events, node)

    def _connected(self, client: paho.Client, node: _Node, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._failed += 1
            return
        node.up = True
        client.subscribe(self._topic(node, Channel.ACK), qos=1)
        self._publish(node, Channel.STATUS, self._status(node, "online"), retain=True)
        at_s = self._now_s() - self._began_s
        for waiting in node.outbox.values():
            waiting.sent_s = at_s
            self._publish(node, Channel.ALARM, waiting.payload)

    def _lost(self, _client: paho.Client, node: _Node, _flags: Any, _reason: Any, _properties: Any) -> None:
        node.up = False
        for waiting in node.outbox.values():
            waiting.link_held = False
        if node.wanted:
            self._reconnects += 1
            self._connect_later(node, self._now_s() - self._began_s)

    def _came(self, _client: paho.Client, node: _Node, message: paho.MQTTMessage) -> None:
        at_s = self._now_s() - self._began_s
        for item in wire.decode(Ack, bytes(message.payload)).items:
            if item.boot_id != node.boot_id:
                continue
            if item.outcome == "refused":
                self._refused += 1
            waiting = node.outbox.pop(item.seq, None)
            if waiting is None or item.outcome == "refused":
                continue
            self._acknowledged += 1
            if waiting.link_held:
                self._latencies_ms.append((at_s - waiting.since_s) * 1000)

    def _report(self, seconds: float) -> Report:
        found = sorted(self._latencies_ms)
        cuts = statistics.quantiles(found, n=20, method="inclusive") if len(found) > 1 else []
        return Report(
            nodes=len(self._nodes),
            seconds=round(seconds, 1),
            connected=sum(node.up for node in self._nodes),
            sent=dict(self._sent),
            alarms=self._alarms,
            acknowledged=self._acknowledged,
            acknowledged_late=self._acknowledged - len(found),
            waiting=sum(len(node.outbox) for node in self._nodes),
            refused=self._refused,
            reconnects=self._reconnects,
            failed_connects=self._failed,
            latency_p50_ms=round(statistics.median(found), 1) if found else None,
            latency_p95_ms=round(cuts[18], 1) if cuts else None,
            latency_max_ms=round(found[-1], 1) if found else None,
        )
