"""The outbox and the way to the broker: durable commits a second beside what the disk can do, commit to broker."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sealwatch.base.broker import EmbeddedBroker
from sealwatch.base.clock import SystemClock
from sealwatch.base.mqtt import Message, MqttSettings, Session
from sealwatch.contract import topics, wire
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.messages import Ack, AckItem, Alarm, Sealed
from sealwatch.edge import identity
from sealwatch.edge.health.clock import ClockWatch
from sealwatch.edge.ports import AlarmDraft
from sealwatch.edge.uplink.outbox import Outbox
from sealwatch.edge.uplink.publisher import Publisher
from sealwatch.edge.uplink.sink import OutboxSink

SITE, NODE = "bench", "node-1"
SINGLE, BATCHES, PER_BATCH, SENT = 400, 20, 1000, 200
PICTURE = os.urandom(40_000)


def each_ms(numbers: Sequence[int], work: Callable[[int], object]) -> list[float]:
    """How long each call took."""
    found = []
    for number in numbers:
        began_s = time.perf_counter()
        work(number)
        found.append((time.perf_counter() - began_s) * 1000)
    return found


def row(name: str, times_ms: list[float], *, per_call: int = 1) -> str:
    """A line of the table."""
    rate = per_call * len(times_ms) / (sum(times_ms) / 1000)
    p95 = statistics.quantiles(times_ms, n=20)[-1]
    return f"| {name} | {rate:,.0f} | {statistics.median(times_ms):.2f} | {p95:.2f} |"


def draft(number: int, picture: bytes | None = None) -> AlarmDraft:
    """An alarm as a camera raises it."""
    now_ms = SystemClock().wall_ms()
    return AlarmDraft(
        alarm_id=f"bench-{number}-{'p' if picture else 'a'}",
        kind="person",
        phase=Phase.START,
        level=Level.ORANGE,
        source_id="cam-1",
        started_at_ms=now_ms,
        captured_at_ms=now_ms,
        score=0.8,
        reason="seen_long_enough",
        sentence_zh="井口有 1 人",
        sentence_en="1 person at the shaft",
        snapshot_jpeg=picture,
    )


def side_by_side(folder: Path, sink: OutboxSink) -> tuple[list[float], list[float], list[float]]:
    """A bare append of 4 KiB with a sync (the least a durable commit needs), an alarm, and one with a picture, in turn.

    In turn, because a shared disk is faster at one moment than at the next.
    """
    bare_ms, alarm_ms, picture_ms = [], [], []
    with (folder / "sync").open("wb", buffering=0) as file:

        def sync(_number: int) -> None:
            file.write(bytes(4096))
            os.fdatasync(file.fileno())

        for number in range(SINGLE):
            bare_ms += each_ms([number], sync)
            alarm_ms += each_ms([number], lambda n: sink.alarm(draft(n)))
            if number % 4 == 0:
                picture_ms += each_ms([number], lambda n: sink.alarm(draft(n, PICTURE)))
    return bare_ms, alarm_ms, picture_ms


def commit_to_broker_ms(outbox: Outbox, sink: OutboxSink) -> list[float]:
    """From the commit of an alarm to its arrival at a subscriber behind the broker, one at a time."""
    arrived: dict[str, float] = {}
    came = threading.Event()
    acks: list[Session] = []

    def on_message(message: Message) -> None:
        now_s = time.perf_counter()
        body = wire.decode(Alarm, wire.decode(Sealed, message.payload).body)
        arrived[body.alarm_id] = now_s
        item = AckItem(boot_id=body.origin.boot_id, seq=body.origin.seq, outcome="stored", reason="committed")
        ack = Ack(node_id=NODE, acked_at_ms=1, items=[item])
        acks[0].publish(topics.topic(SITE, NODE, topics.Channel.ACK), wire.encode(ack))
        came.set()

    with EmbeddedBroker() as broker:
        settings = MqttSettings(url=broker.url)
        service = Session(
            settings,
            client_id="service",
            subscriptions=(topics.topic(SITE, NODE, topics.Channel.ALARM),),
            on_message=on_message,
        )
        acks.append(service)
        service.start()
        service.wait_connected(10)
        publisher = Publisher(outbox, site_id=SITE, node_id=NODE, mqtt=settings, clock=SystemClock())
        stop = threading.Event()
        thread = threading.Thread(target=publisher.run, args=(stop,))
        thread.start()
        sink.alarm(draft(-1))
        came.wait(10)
        found = []
        for number in range(SENT):
            came.clear()
            sink.alarm(draft(1_000_000 + number))
            committed_s = time.perf_counter()
            if not came.wait(10):
                raise RuntimeError("an alarm did not arrive within 10 s")
            found.append((arrived[f"bench-{1_000_000 + number}-a"] - committed_s) * 1000)
            time.sleep(0.01)
        stop.set()
        thread.join()
        service.stop()
    return found


def main() -> None:
    """Print the section."""
    with tempfile.TemporaryDirectory(prefix="sealwatch-bench-", dir=".") as name:
        folder = Path(name)
        clock = SystemClock()
        outbox = Outbox(folder / "outbox.db", boot_id=identity.new_boot_id(), clock=clock)
        key = identity.load_or_create(folder)
        sink = OutboxSink(outbox, key, site_id=SITE, node_id=NODE, clock=clock, clock_state=ClockWatch(clock))
        bare_ms, alarm_ms, picture_ms = side_by_side(folder, sink)
        print("## Outbox: durable commits, beside the disk's own limit\n")
        print("| | per second | median ms | p95 ms |\n|---|---|---|---|")
        print(row("the disk itself: append 4 KiB and fdatasync", bare_ms))
        print(row("alarms, signed, one commit each", alarm_ms))
        print(row("alarms with a picture of 40 kB, one commit each", picture_ms))

        def batch(_number: int) -> None:
            outbox.enqueue([sink.measurements("meter-1", [1], {"active_power_w": [1.0]}) for _ in range(PER_BATCH)])

        print(row(f"measurements, {PER_BATCH} to a commit", each_ms(range(BATCHES), batch), per_call=PER_BATCH))
        while head := outbox.head(1000):
            outbox.release([entry.ref for entry in head])
        times_ms = commit_to_broker_ms(outbox, sink)
        p95 = statistics.quantiles(times_ms, n=20)[-1]
        print(
            f"\nCommit of an alarm to its arrival behind the broker (loopback, {SENT} alarms): "
            f"median {statistics.median(times_ms):.1f} ms, p95 {p95:.1f} ms, most {max(times_ms):.1f} ms. "
            "Limits: 200 single and 10,000 batched commits a second, 50 ms p95 to the broker."
        )
        outbox.close()


if __name__ == "__main__":
    main()
