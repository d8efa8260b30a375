"""A simulated fleet: its plan is believable and repeatable, and on a real broker no alarm of it goes astray."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from sealwatch.base.broker import EmbeddedBroker
from sealwatch.base.mqtt import Message, MqttSettings, Session
from sealwatch.cli import main
from sealwatch.cloud.config import load_cloud
from sealwatch.contract import topics, wire
from sealwatch.contract.messages import Ack, AckItem, Alarm, Sealed
from sealwatch.contract.signing import public_key_from_text
from sealwatch.contract.topics import Channel
from sealwatch.simulator import fleet_plan
from sealwatch.simulator.fleet import Fleet
from sealwatch.simulator.fleet_plan import Act


def test_the_same_seed_does_the_same_and_another_one_something_else() -> None:
    assert list(fleet_plan.acts(7, 1, 3600)) == list(fleet_plan.acts(7, 1, 3600))
    assert list(fleet_plan.acts(7, 1, 3600)) != list(fleet_plan.acts(7, 2, 3600))


def test_most_nodes_are_quiet_and_a_few_stir() -> None:
    kinds = Counter(fleet_plan.character(node, 1) for node in range(10_000))
    assert kinds["quiet"] / 10_000 == pytest.approx(0.8, abs=0.02)
    assert kinds["stirring"] / 10_000 == pytest.approx(0.02, abs=0.005)


@pytest.mark.parametrize("node", range(40))
def test_alarms_end_after_they_start_and_links_come_back_after_they_went(node: int) -> None:
    acts = list(fleet_plan.acts(node, 3, 7200))
    for first, second in ((Act.ALARM_START, Act.ALARM_END), (Act.LINK_LOST, Act.LINK_BACK)):
        begun = sorted((due.number, due.at_s) for due in acts if due.act is first)
        ended = sorted((due.number, due.at_s) for due in acts if due.act is second)
        assert len(begun) == len(ended)
        assert all(a[1] < b[1] for a, b in zip(begun, ended, strict=True))
    heartbeats = sorted(due.at_s for due in acts if due.act is Act.STATUS)
    assert all(b - a == pytest.approx(30) for a, b in itertools.pairwise(heartbeats))


def test_the_registry_is_a_piece_of_the_services_configuration(tmp_path: Path) -> None:
    assert main(["simulate", "fleet", "--nodes", "3", "--registry", str(tmp_path / "fleet.toml")]) == 0
    config = tmp_path / "cloud.toml"
    config.write_text(
        'data_dir = "d"\nmqtt.url = "mqtt://127.0.0.1:1"\n' + (tmp_path / "fleet.toml").read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    loaded = load_cloud(config)
    assert [node.node_id for node in loaded.nodes] == [fleet_plan.node_id(n) for n in range(3)]
    wanted = fleet_plan.key(2, 1).public_key().public_bytes_raw()
    assert public_key_from_text(loaded.nodes[2].public_key).public_bytes_raw() == wanted


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nodes", "0"], "1 to"),
        (["--for", "0"], "seconds"),
        (["--broker", "mqtt://192.0.2.1:1883"], "on this machine"),
        (["--broker", "mqtts://127.0.0.1:8883"], "on this machine"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "fleet", *arguments]) == 2
    assert said in capsys.readouterr().err


class Service:
    """Acknowledges what comes, but never the first time: what a broker or a service loses is sent again."""

    def __init__(self, url: str) -> None:
        self.alarms: dict[tuple[str, int], int] = {}
        self.session = Session(
            MqttSettings(url=url),
            client_id="service",
            subscriptions=(topics.wildcard(Channel.ALARM),),
            on_message=self._came,
        )

    def _came(self, message: Message) -> None:
        alarm = msgspec.json.decode(wire.decode(Sealed, message.payload).body, type=Alarm)
        origin = alarm.origin
        seen = self.alarms[origin.boot_id, origin.seq] = self.alarms.get((origin.boot_id, origin.seq), 0) + 1
        if seen > 1:
            item = AckItem(boot_id=origin.boot_id, seq=origin.seq, outcome="stored", reason="taken")
            ack = Ack(node_id=origin.node_id, acked_at_ms=0, items=[item])
            self.session.publish(topics.topic(origin.site_id, origin.node_id, Channel.ACK), wire.encode(ack))


def test_every_alarm_is_acknowledged_through_a_reconnect_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealwatch.simulator.fleet.AGAIN_S", 1.0)
    monkeypatch.setattr("sealwatch.simulator.fleet._RECONNECT_WITHIN_S", 2.0)
    nodes, seconds = 60, 5.0

    def alarms(seed: int) -> int:
        acts = (due for node in range(nodes) for due in fleet_plan.acts(node, seed, seconds))
        return sum(due.act in {Act.ALARM_START, Act.ALARM_END} and due.at_s < seconds for due in acts)

    seed = next(seed for seed in itertools.count() if alarms(seed) >= 3)
    with EmbeddedBroker() as broker:
        service = Service(broker.url)
        service.session.start()
        assert service.session.wait_connected(10)
        host, port = "127.0.0.1", int(broker.url.rpartition(":")[2])
        report = Fleet(host, port, nodes=nodes, seconds=seconds, storm_at_s=2.5, seed=seed).run()
        service.session.stop()
    assert report.alarms >= 3
    assert (report.acknowledged, report.waiting, report.refused) == (report.alarms, 0, 0)
    assert len(service.alarms) == report.alarms
    assert report.reconnects >= nodes - 10  # flaky ones may have been away already
    assert report.sent["status"] >= nodes
