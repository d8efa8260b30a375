"""One lane of ingestion: its own MQTT session, queue and thread, so that nothing urgent waits behind bulk.

Received -> queued -> recorded together (one commit) -> application acks -> broker acks. A batch is whatever has come in
while the one before it was committed: alone, a message waits for nothing; under load, commits are shared.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sealwatch.base.backoff import full_jitter_s
from sealwatch.base.clock import Clock
from sealwatch.base.mqtt import Message, MqttSettings, Session
from sealwatch.cloud.ingest.backlog import Backlog
from sealwatch.cloud.ingest.counters import IngestCounters
from sealwatch.cloud.ingest.record import Arrival, Outcome, StoreUnavailable, channel_name
from sealwatch.contract import topics, wire
from sealwatch.contract.messages import Ack, AckItem
from sealwatch.contract.topics import Channel

logger = logging.getLogger(__name__)
_ACKS_PER_MESSAGE: Final = 1000
_POLL_S: Final = 0.2
_ROOM_WAIT_S: Final = 0.5
"""How long the network thread may be held up at a time: acks have to leave meanwhile, or no room comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSpec:
    """What travels on a lane.

    `inflight` asks the broker for no more messages than this before their acks, and `backlog_bytes` holds it up where
    it sends more all the same. What came is announced at most once in `announce_every_s`: an alarm wakes the pager at
    once, a heartbeat of one of ten thousand nodes must not.
    """

    name: str
    shared: tuple[Channel, ...] = ()
    plain: tuple[Channel, ...] = ()
    inflight: int = 1000
    batch: int = 200
    backlog_bytes: int = 32 * 1024 * 1024
    announce_every_s: float = 0.0


LANES: Final = (
    LaneSpec(name="alarms", shared=(Channel.ALARM, Channel.REPLY)),
    # A province that comes back after an outage tells its state twice a node; alarms must not wait behind that.
    LaneSpec(name="states", plain=(Channel.STATUS,), announce_every_s=2.0),
    LaneSpec(name="pictures", shared=(Channel.SNAPSHOT,), inflight=50, batch=20),
    LaneSpec(name="samples", shared=(Channel.SAMPLES,), batch=500, announce_every_s=2.0),
)


class Records(Protocol):
    """What a lane wants of the recorder."""

    def record(self, arrivals: Sequence[Arrival]) -> list[Outcome | None]: ...


@dataclass(frozen=True, slots=True)
class _Held:
    """A message with the connection it came over: its packet identifier means nothing on a later one."""

    message: Message
    connection: int


class Lane:
    """Started once, stopped once. Whatever is in the queue when it stops stays un-acked and comes again."""

    def __init__(
        self,
        spec: LaneSpec,
        mqtt: MqttSettings,
        *,
        client_id: str,
        group: str,
        recorder: Records,
        counters: IngestCounters,
        clock: Clock,
        committed: Callable[[], None],
    ) -> None:
        self.spec = spec
        self._recorder, self._counters, self._clock, self._committed = recorder, counters, clock, committed
        self._backlog: Backlog[_Held] = Backlog(spec.backlog_bytes)
        self._connection = 0
        self._news, self._announced_s = False, float("-inf")
        self.turns = 0  # how often the wheel has turned: the evidence that this lane lives
        self._stop = threading.Event()
        self._session = Session(
            mqtt,
            client_id=client_id,
            subscriptions=subscriptions(spec, group),
            on_messages=self._came,
            on_connected=self._connected,
            manual_ack=True,
            receive_maximum=spec.inflight,
        )
        self._thread = threading.Thread(target=self._run, name=f"ingest-{spec.name}", daemon=True)

    @property
    def connected(self) -> bool:
        return self._session.connected

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until the broker has accepted this lane, at most `timeout_s`; whether it has."""
        return self._session.wait_connected(timeout_s)

    def start(self) -> None:
        self._thread.start()
        self._session.start()

    def stop(self) -> None:
        """Finish the batch under way with its acks, then leave."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._backlog.take(len(self._backlog), timeout_s=0)  # a network thread that waits for room gets it
        self._session.stop()

    def _connected(self) -> None:
        self._connection += 1

    def _came(self, messages: Sequence[Message]) -> int:
        held = [(_Held(message, self._connection), len(message.payload)) for message in messages]
        taken = self._backlog.put(held, timeout_s=0 if self._stop.is_set() else _ROOM_WAIT_S)
        self._counters.add_received(Counter(channel_name(message.topic) for message in messages[:taken]))
        return taken

    def _run(self) -> None:
        held: list[_Held] = []
        failures = 0
        while not self._stop.is_set():
            self.turns += 1
            self._announce()
            held = held or self._backlog.take(self.spec.batch, timeout_s=_POLL_S)
            if not held:
                continue
            try:
                held = self.handle(held)
            except StoreUnavailable as error:
                self._report_failure(failures, error)
            except Exception:  # the end of the thread would be the end of the lane: say it and try again
                logger.exception("ingest %s: a batch of %d failed", self.spec.name, len(held))
            if not held:
                failures = self._report_recovery(failures)
                continue
            failures += 1
            self._counters.add_retried(self.spec.name)
            self._stop.wait(full_jitter_s(failures - 1, base_s=0.2, cap_s=10.0))

    def _report_failure(self, failures: int, error: StoreUnavailable) -> None:
        if failures == 0:
            logger.warning("ingest %s: cannot store (%s); trying again until it can", self.spec.name, error)

    def _report_recovery(self, failures: int) -> int:
        if failures:
            logger.info("ingest %s: storing again", self.spec.name)
        return 0

    def _announce(self) -> None:
        """Tell of what was committed, unless that was done a moment ago; then the next turn does it."""
        now_s = self._clock.monotonic_s()
        if self._news and now_s - self._announced_s >= self.spec.announce_every_s:
            self._news, self._announced_s = False, now_s
            self._committed()

    def handle(self, batch: list[_Held]) -> list[_Held]:
        """Record a batch and acknowledge what is durable; what must be offered again later comes back."""
        outcomes = self._recorder.record(
            [Arrival(topic=h.message.topic, payload=h.message.payload, retain=h.message.retain) for h in batch]
        )
        self._news = True
        self._announce()
        settled = [(h, outcome) for h, outcome in zip(batch, outcomes, strict=True) if outcome is not None]
        for topic, ack in acks([outcome for _, outcome in settled], now_ms=self._clock.wall_ms()):
            self._session.publish(topic, wire.encode(ack))
        self._session.ack([held.message for held, _ in settled if held.connection == self._connection])
        return [h for h, outcome in zip(batch, outcomes, strict=True) if outcome is None]


def subscriptions(spec: LaneSpec, group: str) -> tuple[str, ...]:
    """Topic filters of a lane; shared with the other services of `group` (MQTT 5, 4.8.2) unless that is empty.

    Each lane is a group of its own: rumqttd deals messages out over all clients of a group, whatever they subscribe to.
    """
    prefix = f"$share/{group}-{spec.name}/" if group else ""
    return tuple(prefix + topics.wildcard(c) for c in spec.shared) + tuple(topics.wildcard(c) for c in spec.plain)


def acks(outcomes: Sequence[Outcome], *, now_ms: int) -> list[tuple[str, Ack]]:
    """The application acks of a batch, one message a node (or more, where one would grow too long)."""
    items: dict[tuple[str, str], list[AckItem]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.origin is None:
            continue
        name = "refused" if outcome.name == "quarantined" else outcome.name
        items[outcome.origin.site_id, outcome.origin.node_id].append(
            AckItem(boot_id=outcome.origin.boot_id, seq=outcome.origin.seq, outcome=name, reason=outcome.reason)
        )
    return [
        (
            topics.topic(site_id, node_id, Channel.ACK),
            Ack(node_id=node_id, acked_at_ms=now_ms, items=all_items[at : at + _ACKS_PER_MESSAGE]),
        )
        for (site_id, node_id), all_items in items.items()
        for at in range(0, len(all_items), _ACKS_PER_MESSAGE)
    ]
