"""The agent as a whole with scripted parts: what it does at start and stop, and that kill -9 loses nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from sealwatch.base.broker import EmbeddedBroker
from sealwatch.base.clock import Clock, SystemClock
from sealwatch.base.errors import UsageError
from sealwatch.base.mqtt import MqttSettings
from sealwatch.contract.messages import Alarm, PartHealth, Snapshot
from sealwatch.contract.signing import public_key_text
from sealwatch.contract.topics import Channel
from sealwatch.edge.agent import Agent
from sealwatch.edge.config import NodeSettings, load_node
from sealwatch.edge.identity import load_or_create
from sealwatch.edge.ports import Part, Sink
from sealwatch.edge.uplink.outbox import Outbox
from tests.edge.scripted_agent import plain_draft
from tests.edge.uplink.test_uplink_broker import Service, Watch
from tests.edge.uplink.wire_twin import NODE, SERVICE_KEY, SITE, NullModem, TinyService, command

TIMEOUT_S = 15.0
ROOT = Path(__file__).parents[2]


def config_file(folder: Path, url: str = "mqtt://127.0.0.1:1") -> Path:
    path = folder / "node.toml"
    pinned = public_key_text(SERVICE_KEY.public_key())
    path.write_text(
        f'site_id = "{SITE}"\nnode_id = "{NODE}"\ndata_dir = "data"\nservice_public_key = "{pinned}"\n'
        f'[mqtt]\nurl = "{url}"\n'
    )
    return path


class Camera:
    """A scripted camera: raises one alarm, shows a picture, and does what it is told when stopped."""

    def __init__(self, part_id: str, sink: Sink, *, fail: bool = False, deaf: threading.Event | None = None) -> None:
        self.part_id = part_id
        self._sink, self._fail, self._deaf = sink, fail, deaf
        self.raised = threading.Event()
        self.jpeg: bytes | None = b"\xff\xd8 now"

    def run(self, stop: threading.Event) -> None:
        if self._fail:
            raise RuntimeError("no such camera")
        self._sink.alarm(plain_draft(f"{self.part_id}-1", source_id=self.part_id))
        self.raised.set()
        (self._deaf or stop).wait()

    def health(self) -> PartHealth:
        return PartHealth(part_id=self.part_id, kind="camera", ok=True, reason="pictures_change")

    def picture(self) -> bytes | None:
        return self.jpeg


class Built:
    """An agent over a null modem, with the cameras that were made for it."""

    def __init__(self, folder: Path, *, failing: bool = False, deaf: threading.Event | None = None) -> None:
        self.cameras: list[Camera] = []
        self.power_clock: Clock | None = None

        def parts(_node: NodeSettings, sink: Sink, _clock: Clock, power: Clock) -> Sequence[Part]:
            self.power_clock = power
            self.cameras = [Camera("cam-1", sink, deaf=deaf)]
            if failing:
                self.cameras.append(Camera("cam-2", sink, fail=True))
            return self.cameras

        path = config_file(folder)
        self.service = TinyService(load_or_create(folder / "data"))
        self.modem: NullModem

        def link(publisher: object) -> NullModem:
            self.modem = NullModem(publisher, self.service)  # type: ignore[arg-type]  # the agent's own publisher
            return self.modem

        self.agent = Agent(load_node(path), path, make_parts=parts, link=link)


def test_what_an_earlier_life_left_open_is_ended_before_anything_is_watched(tmp_path: Path) -> None:
    first = Built(tmp_path)
    first.agent.start()
    assert first.cameras[0].raised.wait(TIMEOUT_S)
    assert first.agent.stop()
    second = Built(tmp_path)
    second.agent.start()
    assert second.cameras[0].raised.wait(TIMEOUT_S)
    assert second.agent.stop()
    third = Built(tmp_path)
    outbox = third.agent.outbox
    for entry in sorted(outbox.head(100), key=lambda e: (e.ref.boot_id != first.agent.outbox.boot_id, e.ref.seq)):
        payload = outbox.payload(entry.ref)
        assert payload is not None
        third.service.receive(f"seal/v1/{SITE}/{NODE}/{entry.channel}", payload)
    alarms = [m for m in third.service.taken.values() if isinstance(m, Alarm)]
    assert [(m.origin.seq, m.phase.value, m.reason) for m in alarms] == [
        (1, "start", "script"),
        (1, "end", "agent_restarted"),
        (2, "start", "script"),
    ]


def test_a_camera_that_fails_takes_nobody_along_and_the_status_says_so(tmp_path: Path) -> None:
    built = Built(tmp_path, failing=True)
    built.agent.start()
    assert built.cameras[0].raised.wait(TIMEOUT_S)
    health = {part.part_id: part for part in built.agent.health()}
    while health["cam-2"].ok:
        health = {part.part_id: part for part in built.agent.health()}
    assert health["cam-2"].reason == "part_failing"
    assert health["cam-1"].ok
    machine = {part_id for part_id in health if part_id.startswith("machine-")}
    assert set(health) - machine == {"cam-1", "cam-2", "uplink", "outbox", "clock", "configuration", "agent"}
    assert "machine-memory" in machine
    assert health["outbox"].reason == "storing"
    assert built.agent.stop()


def test_a_part_that_hangs_does_not_keep_the_agent_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sealwatch.edge.agent.STOP_WITHIN_S", 2.6)
    gate = threading.Event()
    built = Built(tmp_path, deaf=gate)
    built.agent.start()
    assert built.cameras[0].raised.wait(TIMEOUT_S)
    assert not built.agent.stop()
    assert "part cam-1 did not end in time" in caplog.text
    gate.set()


def test_a_second_agent_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    built = Built(tmp_path)
    with pytest.raises(UsageError, match="another agent already works with this data folder"):
        Built(tmp_path)
    built.agent.start()
    built.agent.stop()
    Built(tmp_path).agent.stop()


@pytest.mark.parametrize(
    ("arguments", "jpeg", "ok", "reason"),
    [
        ({}, b"\xff\xd8 now", True, "taken"),
        ({"camera": "cam-1"}, b"\xff\xd8 now", True, "taken"),
        ({"camera": "cam-9"}, b"\xff\xd8 now", False, "unknown_camera"),
        ({}, None, False, "no_picture"),
    ],
)
def test_a_snapshot_asked_for_arrives_as_a_sealed_picture(
    tmp_path: Path, arguments: dict[str, str], jpeg: bytes | None, ok: bool, reason: str
) -> None:
    built = Built(tmp_path)
    built.cameras[0].jpeg = jpeg
    now = SystemClock().wall_ms()
    built.modem.connected = True
    built.agent.start()
    built.modem.publisher.connection_came()
    wanted = command(SystemClock(), "snapshot", "c-1", arguments=arguments, expires_at_ms=now + 60_000)  # type: ignore[arg-type]  # any clock will do
    built.modem.deliver(Channel.COMMAND, wanted)
    waiter = threading.Event()
    for _ in range(500):
        built.modem.carry()
        pictures = [m for m in built.service.taken.values() if isinstance(m, Snapshot) and m.alarm_id == "c-1"]
        if built.service.replies and (pictures or not ok):
            break
        waiter.wait(0.02)
    assert [(r.ok, r.reason) for r in built.service.replies] == [(ok, reason)]
    assert len(pictures) == ok
    if ok:
        assert pictures[0].evidence.sha256 == built.service.replies[0].detail
    built.agent.stop()


def test_the_meters_get_the_clock_that_was_brought_for_them(tmp_path: Path) -> None:
    built = Built(tmp_path)
    assert built.power_clock is built.agent.clock
    built.agent.stop()


class Killed:
    """Runs the scripted agent in a process of its own against a broker."""

    def __init__(self, folder: Path, url: str) -> None:
        self.config, self.journal = config_file(folder, url), folder / "journal"
        self.journal.touch()

    def spawn(self) -> subprocess.Popen[bytes]:
        command_line = [sys.executable, "-m", "tests.edge.scripted_agent", str(self.config), str(self.journal)]
        return subprocess.Popen(
            command_line, cwd=ROOT, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": "."}
        )

    def noted(self) -> set[str]:
        return set(self.journal.read_text().split())


def test_killed_again_and_again_no_alarm_that_was_stored_is_lost_and_the_broker_says_offline(tmp_path: Path) -> None:
    watch = Watch()
    with EmbeddedBroker() as broker:
        killed = Killed(tmp_path, broker.url)
        tiny = TinyService(load_or_create(tmp_path / "data"))
        service = Service(tiny, MqttSettings(url=broker.url), watch)
        assert service.session.wait_connected(TIMEOUT_S)
        pick = random.Random(7)
        for _ in range(4):
            before = len(tiny.taken)
            process = killed.spawn()
            goal = before + pick.randint(5, 60)
            assert watch.until(lambda goal=goal: len(tiny.taken) >= goal)  # type: ignore[misc]  # a lambda with a bound default
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert watch.until(lambda: any(s.state == "offline" for s in tiny.statuses)), "the will was spoken"
        process = killed.spawn()
        assert watch.until(lambda: len(tiny.taken) > goal + 20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
        assert watch.until(lambda: tiny.statuses[-1].state == "offline")
        service.stop()
    left = Outbox(tmp_path / "data" / "outbox.db", boot_id="f" * 32, clock=SystemClock())
    for entry in left.head(10_000):
        tiny.receive(f"seal/v1/{SITE}/{NODE}/{entry.channel}", left.payload(entry.ref) or b"")
    alarms = {m.alarm_id for m in tiny.taken.values() if isinstance(m, Alarm)}
    pictures = {m.alarm_id for m in tiny.taken.values() if isinstance(m, Snapshot)}
    boots = {ref.boot_id for ref in tiny.taken}
    assert len(boots) == 5
    for boot in boots:
        numbers = sorted(ref.seq for ref in tiny.taken if ref.boot_id == boot)
        assert numbers == list(range(1, len(numbers) + 1)), "each life's numbers are whole, none twice"
    assert killed.noted() <= alarms & pictures
    assert killed.noted()
