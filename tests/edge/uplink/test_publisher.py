"""The publisher on a null modem: draining, answers, status, commands, and a line that comes and goes."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.clock import Clock, ManualClock
from sealwatch.base.mqtt import MqttSettings
from sealwatch.contract import wire
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.messages import Ack, AckItem, Alarm, Command, PartHealth, Sealed, Snapshot
from sealwatch.contract.signing import from_base64url
from sealwatch.contract.topics import Channel
from sealwatch.edge.identity import load_or_create
from sealwatch.edge.ports import AlarmDraft
from sealwatch.edge.uplink.commands import Answer, Handler
from sealwatch.edge.uplink.outbox import Outbox
from sealwatch.edge.uplink.publisher import Link, Publisher
from tests.edge.uplink.helpers import BOOT_A, BOOT_B, alarm, measurements, outbox
from tests.edge.uplink.wire_twin import NODE, SERVICE_KEY, SITE, NullModem, TinyService, command, sink_for, topic

TIMEOUT_S = 10.0


def draft(
    clock: Clock,
    alarm_id: str,
    phase: Phase = Phase.START,
    level: Level = Level.ORANGE,
    jpeg: bytes | None = None,
) -> AlarmDraft:
    return AlarmDraft(
        alarm_id=alarm_id,
        kind="person",
        phase=phase,
        level=level,
        source_id="cam-1",
        started_at_ms=clock.wall_ms() - 1000,
        captured_at_ms=clock.wall_ms(),
        score=0.8,
        reason="seen_long_enough",
        sentence_zh="井口有 1 人",
        sentence_en="1 person at the shaft",
        zone="井口",
        numbers={"people": 1.0},
        snapshot_jpeg=jpeg,
    )


class Node:
    """An outbox, a sink and a publisher over a null modem, on one manual clock."""

    def __init__(
        self,
        folder: Path,
        *,
        boot_id: str = BOOT_A,
        service: TinyService | None = None,
        handlers: dict[str, Handler] | None = None,
    ) -> None:
        self.clock = ManualClock(wall_ms=1_767_225_600_000)
        self.identity = load_or_create(folder)
        self.service = service or TinyService(self.identity)
        self.outbox: Outbox = outbox(folder, boot_id=boot_id, clock=self.clock)
        self.sink = sink_for(self.outbox, self.identity, self.clock)
        self.declared: list[bytes] = []
        self.modem: NullModem

        def link(publisher: Publisher) -> Link:
            self.modem = NullModem(publisher, self.service)
            return self.modem

        self.publisher = Publisher(
            self.outbox,
            site_id=SITE,
            node_id=NODE,
            mqtt=MqttSettings(url="mqtt://unused"),
            clock=self.clock,
            handlers=handlers,
            upkeep=self.sink.flush_due,
            link=link,
            service_key=SERVICE_KEY.public_key(),
            inboxes={Channel.DECLARATION: self.declared.append},
        )

    def turn(self, times: int = 5) -> None:
        for _ in range(times):
            self.publisher.pump()
            self.modem.carry()
        self.publisher.pump()

    def settle(self, seconds: float = 700.0, step_s: float = 1.0) -> None:
        for _ in range(int(seconds / step_s)):
            self.turn(1)
            self.clock.advance(step_s)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_an_alarm_with_its_picture_arrives_signed_and_is_released_by_the_ack_alone(node: Node) -> None:
    picture = b"\xff\xd8 a picture"
    node.modem.connect()
    node.sink.alarm(draft(node.clock, "one", jpeg=picture))
    node.publisher.pump()
    assert node.outbox.stats().depth == 2, "published, the broker has it: still kept"
    node.turn()
    assert node.outbox.stats().depth == 0
    alarm, snapshot = node.service.taken.values()
    assert isinstance(alarm, Alarm)
    assert isinstance(snapshot, Snapshot)
    assert alarm.snapshot is not None
    assert alarm.snapshot.sha256 == snapshot.evidence.sha256 == hashlib.sha256(picture).hexdigest()
    assert from_base64url(snapshot.data) == picture
    assert (alarm.origin.boot_id, alarm.origin.seq, snapshot.origin.seq) == (BOOT_A, 1, 2)
    assert alarm.origin.clock_quality == "unsynchronised"
    assert alarm.origin.enqueued_at_ms == node.clock.wall_ms()
    assert alarm.sentence_zh == "井口有 1 人"


def test_broker_down_at_the_start_and_for_a_minute_later_loses_nothing(node: Node) -> None:
    for number in range(20):
        node.sink.alarm(draft(node.clock, f"early-{number}"))
    node.turn()
    assert node.service.taken == {}
    assert node.publisher.health().reason == "broker_unreachable"
    node.modem.connect()
    node.turn()
    assert len(node.service.taken) == 20
    node.modem.connected = False
    node.sink.alarm(draft(node.clock, "late", level=Level.RED))
    node.settle(60)
    assert len(node.service.taken) == 20
    node.modem.connect()
    node.turn()
    assert len(node.service.taken) == 21
    assert node.publisher.health().reason == "delivering"
    assert node.outbox.stats().depth == 0


def test_a_backlog_arrives_most_severe_first(node: Node) -> None:
    node.sink.samples("meter-1", [node.clock.wall_ms()], {"active_power_w": [1.0]})
    node.sink.flush()
    for number, level in enumerate([Level.BLUE, Level.RED, Level.YELLOW, Level.RED]):
        node.sink.alarm(draft(node.clock, f"{level}-{number}", level=level, jpeg=b"x"))
    node.modem.connect()
    node.turn()
    kinds = [
        node.service.taken[ref].alarm_id
        if isinstance(node.service.taken[ref], Alarm)
        else type(node.service.taken[ref])
        for ref in node.service.order
    ]
    assert kinds[:4] == ["red-3", "red-1", "yellow-2", "blue-0"]
    assert [kind.__name__ for kind in kinds[4:] if isinstance(kind, type)] == ["Snapshot"] * 4 + ["Samples"]


def test_lost_messages_and_lost_acks_are_made_good_without_doubling(node: Node) -> None:
    node.modem.connect()
    for number in range(5):
        node.sink.alarm(draft(node.clock, f"{number}"))
    node.publisher.pump()
    node.modem.sent.clear()
    node.settle(15)
    assert len(node.service.taken) == 5
    node.sink.alarm(draft(node.clock, "unanswered"))
    node.publisher.pump()
    for name, payload, _ in node.modem.sent:
        node.service.receive(name, payload)
    node.modem.sent.clear()
    assert node.outbox.stats().depth == 1
    node.settle(15)
    assert node.outbox.stats().depth == 0
    assert node.service.duplicates == 1
    assert len(node.service.taken) == 6


def test_a_service_that_is_silent_shows_in_the_health(node: Node) -> None:
    node.modem.connect()
    node.sink.alarm(draft(node.clock, "one"))
    for _ in range(62):
        node.publisher.pump()
        node.modem.sent.clear()
        node.clock.advance(1)
    health = node.publisher.health()
    assert (health.ok, health.reason, health.numbers["waiting"]) == (False, "service_silent", 1)
    node.settle(330)
    assert node.publisher.health().reason == "delivering"


def test_refused_messages_stay_show_in_the_health_and_arrive_once_the_service_takes_them(node: Node) -> None:
    node.service.refuse_with = "unknown_key"
    node.modem.connect()
    node.sink.alarm(draft(node.clock, "one"))
    node.turn()
    health = node.publisher.health()
    assert (health.ok, health.reason, health.numbers["refused"]) == (False, "service_refuses", 1)
    node.settle(400)
    assert node.outbox.stats().depth == 1
    node.service.refuse_with = ""
    node.settle(700)
    assert node.outbox.stats().depth == 0
    assert node.publisher.health().ok


def test_acks_that_cannot_be_read_or_are_for_others_release_nothing(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    node.modem.connect()
    node.sink.alarm(draft(node.clock, "one"))
    node.publisher.pump()
    node.modem.sent.clear()
    item = AckItem(boot_id=BOOT_A, seq=1, outcome="stored", reason="committed")
    node.modem.deliver(Channel.ACK, b"\xff not json")
    node.modem.deliver(Channel.ACK, b"[" * 100_000)
    node.modem.deliver(Channel.ACK, wire.encode(Ack(node_id="other", acked_at_ms=1, items=[item])))
    node.publisher.pump()
    assert node.outbox.stats().depth == 1
    assert "releases nothing" in caplog.text
    assert "for node other" in caplog.text


def test_acks_for_an_earlier_life_of_the_agent_release_what_it_left(tmp_path: Path) -> None:
    first = Node(tmp_path)
    first.modem.connect()
    first.sink.alarm(draft(first.clock, "one"))
    first.publisher.pump()
    on_the_wire = first.modem.sent
    first.outbox.close()
    again = Node(tmp_path, boot_id=BOOT_B, service=first.service)
    again.modem.connect()
    again.modem.sent = on_the_wire
    again.modem.carry()
    again.publisher.pump()
    assert again.outbox.stats().depth == 0


def test_the_status_is_retained_and_comes_on_connecting_on_change_and_every_five_minutes(node: Node) -> None:
    parts = [PartHealth(part_id="cam-1", kind="camera", ok=True, reason="pictures_change")]
    node.publisher.report_on(lambda: parts)
    node.modem.connect()
    node.publisher.pump()
    ((name, _, retain),) = node.modem.sent
    assert (name, retain) == (topic(Channel.STATUS), True)
    node.turn()
    for _ in range(100):
        node.clock.advance(2)
        node.turn(1)
    assert len(node.service.statuses) == 1
    parts[0] = PartHealth(part_id="cam-1", kind="camera", ok=False, reason="signal_lost")
    node.clock.advance(2)
    node.turn(2)
    assert [s.parts[0].reason for s in node.service.statuses] == ["pictures_change", "signal_lost"]
    for _ in range(160):
        node.clock.advance(2)
        node.turn(1)
    assert len(node.service.statuses) == 3
    assert {s.state for s in node.service.statuses} == {"online"}
    assert node.service.statuses[0].boot_id == BOOT_A


def test_a_part_that_flaps_cannot_flood_the_line_with_statuses(node: Node) -> None:
    flaps = [0]

    def parts() -> list[PartHealth]:
        flaps[0] += 1
        return [PartHealth(part_id="cam-1", kind="camera", ok=flaps[0] % 2 == 0, reason=f"r{flaps[0] % 2}")]

    node.publisher.report_on(parts)
    node.modem.connect()
    node.settle(60)
    assert 20 <= len(node.service.statuses) <= 31


def test_a_ping_is_answered_once_and_a_replay_an_expired_and_an_unknown_command_are_refused(node: Node) -> None:
    node.modem.connect()
    wanted = command(node.clock)
    node.modem.deliver(Channel.COMMAND, wanted)
    _until(node, 1)
    node.modem.deliver(Channel.COMMAND, wanted)
    node.modem.deliver(Channel.COMMAND, command(node.clock, command_id="c-2", expires_at_ms=node.clock.wall_ms() - 1))
    node.modem.deliver(Channel.COMMAND, command(node.clock, "explode", "c-3"))
    node.modem.deliver(Channel.COMMAND, command(node.clock, command_id="c-4", node_id="other"))
    node.modem.deliver(Channel.COMMAND, b"{}")
    _until(node, 5)
    assert [(r.command_id, r.ok, r.reason) for r in node.service.replies] == [
        ("c-1", True, "alive"),
        ("c-1", False, "replayed"),
        ("c-2", False, "expired"),
        ("c-3", False, "unknown_command"),
        ("c-4", False, "not_for_this_node"),
    ]


def test_a_command_that_the_service_did_not_seal_is_answered_by_name_and_not_carried_out(tmp_path: Path) -> None:
    done: list[Command] = []

    def carry_out(wanted: Command) -> Answer:
        done.append(wanted)
        return Answer(ok=True, reason="done")

    node = Node(tmp_path, handlers={"siren": carry_out})
    node.modem.connect()
    ours = command(node.clock, "siren")
    plain = wire.decode(Command, wire.decode(Sealed, ours).body)
    node.modem.deliver(Channel.COMMAND, wire.seal(Ed25519PrivateKey.generate(), plain))
    node.modem.deliver(Channel.COMMAND, ours.replace(b"siren", b"sirex"))
    node.modem.deliver(Channel.COMMAND, wire.encode(plain))
    _until(node, 2)
    assert [r.reason for r in node.service.replies] == ["unknown_key", "bad_signature"], "an unsealed one is not read"
    assert done == []


def test_what_comes_on_a_further_channel_reaches_its_inbox_even_when_it_is_retained(node: Node) -> None:
    node.modem.connect()
    node.modem.deliver(Channel.DECLARATION, b"as it came", retain=True)
    node.turn()
    assert node.declared == [b"as it came"]


def test_a_retained_command_is_never_carried_out(node: Node) -> None:
    node.modem.connect()
    node.modem.deliver(Channel.COMMAND, command(node.clock), retain=True)
    node.turn()
    assert node.service.replies == []


def test_commands_are_carried_out_one_at_a_time_and_whatever_breaks_is_answered(tmp_path: Path) -> None:
    going, gate = threading.Event(), threading.Event()

    def slow(_command: Command) -> Answer:
        going.set()
        assert gate.wait(TIMEOUT_S)
        raise RuntimeError("the camera burst")

    node = Node(tmp_path, handlers={"slow": slow})
    node.modem.connect()
    node.modem.deliver(Channel.COMMAND, command(node.clock, "slow", "c-1"))
    node.turn()
    assert going.wait(TIMEOUT_S)
    node.modem.deliver(Channel.COMMAND, command(node.clock, "ping", "c-2"))
    _until(node, 1)
    gate.set()
    _until(node, 2)
    assert [(r.command_id, r.reason) for r in node.service.replies] == [("c-2", "busy"), ("c-1", "failed")]
    node.modem.deliver(Channel.COMMAND, command(node.clock, "ping", "c-2"))
    _until(node, 3)
    assert node.service.replies[-1].reason == "alive", "what was refused as busy was not used up"


def _until(node: Node, replies: int) -> None:
    """Turn until the command threads have answered."""
    came = threading.Event()
    for _ in range(1000):
        node.turn(1)
        if len(node.service.replies) >= replies:
            return
        came.wait(0.01)
    raise AssertionError(f"only {len(node.service.replies)} replies came")


def test_a_hundred_thousand_waiting_messages_drain_in_order_of_importance_without_loss(tmp_path: Path) -> None:
    """The drain reads only the head of the queue: with 100,000 waiting it is as quick as with a few."""
    node = Node(tmp_path)
    box, total, levels = node.outbox, 3000, list(Level)
    box.enqueue([measurements() for _ in range(100_000 - total)])
    box.enqueue([alarm(f"a-{n}", level=levels[n % 4]) for n in range(total)])
    node.modem.connect()
    node.publisher.pump()
    seen: list[bytes] = []
    while len(seen) < total:
        batch, node.modem.sent = node.modem.sent, []
        alarms = [payload for name, payload, _ in batch if name == topic(Channel.ALARM)]
        numbers = [int(payload.split(b"/")[2]) for payload in alarms]
        seen += alarms
        if numbers:
            items = [AckItem(boot_id=BOOT_A, seq=n, outcome="stored", reason="committed") for n in numbers]
            node.modem.deliver(Channel.ACK, wire.encode(Ack(node_id=NODE, acked_at_ms=1, items=items)))
        node.clock.advance(0.4)
        node.publisher.pump()
    rank = [levels[int(p.split(b"/")[0][2:]) % 4].urgency for p in seen]
    assert rank == sorted(rank)
    assert len(set(seen)) == total
    assert box.stats().pending == 100_000 - total
