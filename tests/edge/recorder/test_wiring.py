"""The recorder in its place: fed by the camera's one connection, started by the agent, packed by the command line."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import pytest

from sealwatch.base.clock import Clock, ManualClock, SystemClock
from sealwatch.base.settings import SettingsError
from sealwatch.cli import main
from sealwatch.contract.codes import Phase
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.agent import Agent
from sealwatch.edge.config import CameraSettings, NodeSettings, load_node
from sealwatch.edge.ports import Part, Sink, SourceError
from sealwatch.edge.recorder.build import FootageOpener, SentChain
from sealwatch.edge.recorder.footage import Footage
from sealwatch.edge.recorder.media import MemoryTap, PacketTap
from sealwatch.edge.recorder.segment import FootageError
from sealwatch.edge.recorder.store import Store, add_told
from sealwatch.edge.video.source import open_source
from sealwatch.simulator.camera import RtspCamera, gstreamer_missing
from tests.edge.recorder import support
from tests.edge.recorder.support import CAMERA, KEY, Node
from tests.evidence.support import message

NODE = """
site_id = "210423000017"
node_id = "fushun-017-1"
data_dir = "data"
[mqtt]
url = "mqtt://127.0.0.1:1"
[recorder]
segment_s = 10
{extra}
[[cameras]]
camera_id = "shaft-mouth"
source = "{source}"
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.encode(tmp_path_factory.mktemp("film") / "film.mp4", seconds=40)


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


class TestOneConnection:
    def test_the_tap_gets_every_packet_once_however_few_pictures_are_looked_at(self, film: Path) -> None:
        tap = MemoryTap()
        camera = CameraSettings(camera_id=CAMERA, source=str(film), analysis_fps=0.5)
        looked_at = sum(1 for _ in open_source(camera, ManualClock(), tap=tap).frames(threading.Event()))
        assert looked_at < 30
        assert [data for data, _, _ in tap.packets if data] == packets_of(film)
        assert (tap.begun, tap.ended) == (1, 1)

    def test_a_watcher_that_stops_looking_ends_the_tap_as_well(self, film: Path) -> None:
        tap = MemoryTap()
        camera = CameraSettings(camera_id=CAMERA, source=str(film))
        frames = open_source(camera, ManualClock(), tap=tap).frames(threading.Event())
        next(iter(frames))
        frames.close()  # type: ignore[attr-defined]  # it is a generator
        assert tap.ended == 1

    def test_a_source_that_does_not_open_never_begins(self, tmp_path: Path) -> None:
        tap = MemoryTap()
        camera = CameraSettings(camera_id=CAMERA, source=str(tmp_path / "nowhere.mp4"))
        with pytest.raises(SourceError):
            next(iter(open_source(camera, ManualClock(), tap=tap).frames(threading.Event())))
        assert (tap.begun, tap.ended) == (0, 0)

    def test_footage_through_the_source_is_the_film(self, film: Path, tmp_path: Path) -> None:
        node = Node(tmp_path / "footage", ManualClock())
        camera = CameraSettings(camera_id=CAMERA, source=str(film))
        for _ in open_source(camera, node.clock, tap=node.recorder.tap).frames(threading.Event()):
            node.recorder.pump()
        node.recorder.pump()
        kept = [digest for file in node.files() for digest in support.packet_hashes(file)]
        assert kept == support.packet_hashes(film)


class _NoLink:
    connected = False

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        return None


class _Camera:
    """A watcher that sends a film through its tap, tells of a person, and then waits."""

    part_id = CAMERA

    def __init__(self, film: Path, tap: PacketTap, sink: Sink, clock: Clock) -> None:
        self._film, self._tap, self._sink, self._clock = film, tap, sink, clock
        self.done = threading.Event()

    def run(self, stop: threading.Event) -> None:
        with av.open(str(self._film)) as container:
            stream = container.streams.video[0]
            self._tap.begin(stream)
            for packet in container.demux(stream):
                self._tap.packet(packet)
        clock = ManualClock(wall_ms=self._clock.wall_ms())
        self._sink.alarm(support.alarm(Phase.START, clock))
        self._tap.end()
        self.done.set()
        stop.wait(30)

    def health(self) -> PartHealth:
        return PartHealth(part_id=CAMERA, kind="camera", ok=True, reason="pictures_change")


def node_file(folder: Path, film: Path, extra: str = "") -> Path:
    path = folder / "node.toml"
    path.write_text(NODE.format(source=film, extra=extra), encoding="utf-8")
    return path


def test_an_agent_records_and_its_footage_is_packed_and_verified_on_the_command_line(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras: list[_Camera] = []

    def parts(
        _node: NodeSettings, sink: Sink, clock: Clock, _power: Clock, taps: Mapping[str, PacketTap]
    ) -> list[Part]:
        cameras.append(_Camera(film, taps[CAMERA], sink, clock))
        return list(cameras)

    path = node_file(tmp_path, film)
    agent = Agent(load_node(path), path, make_parts=parts, link=lambda _publisher: _NoLink())
    agent.start()
    assert cameras[0].done.wait(20)
    deadline_s = time.monotonic() + 20
    footage = tmp_path / "data" / "footage" / CAMERA
    while not list(footage.glob("*.mp4")) and time.monotonic() < deadline_s:
        time.sleep(0.02)  # a real thread of a real agent
    recorder = next(part for part in agent.health() if part.part_id == f"recorder-{CAMERA}")
    assert recorder.kind == "recorder"
    assert agent.stop()
    assert sum(support.pictures(file) for file in footage.glob("*.mp4")) == 400

    kinds = [link["kind"] for link in chain_of(tmp_path / "data" / "footage" / "footage.db")]
    assert kinds.count("alarm") >= 1
    assert kinds.count("snapshot") == 1
    assert kinds.count("manifest") >= 1

    pack = tmp_path / "pack.zip"
    stretch = ["--camera", CAMERA, "--from", "2020-01-01", "--to", "2100-01-01"]
    assert main(["edge", "pack", "--config", str(path), *stretch, "--out", str(pack)]) == 0
    command = capsys.readouterr().out.splitlines()[1].split()
    assert command[:3] == ["sealwatch", "evidence", "verify"]
    assert main(command[1:]) == 0
    assert "核验通过" in capsys.readouterr().out

    alarm_pack = tmp_path / "alarm.zip"
    assert main(["edge", "pack", "--config", str(path), "--alarm", "a1", "--out", str(alarm_pack)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("1 alarm message(s)")
    assert main(said[1].split()[1:]) == 0
    assert "核验通过" in capsys.readouterr().out
    with zipfile.ZipFile(alarm_pack) as packed:
        names = sorted(name for name in packed.namelist() if name.startswith("messages/"))
        bodies = [json.loads(json.loads(packed.read(name))["body"]) for name in names]
    assert [(body["alarm_id"], body["phase"]) for body in bodies] == [("a1", "start")]


def chain_of(index: Path) -> list[dict[str, Any]]:
    store = Store(index, now_ms=0)
    lines = store.links(1, store.head().index)
    store.close()
    return [json.loads(json.loads(line)["body"]) for line in lines]


def test_what_was_sent_while_the_footage_disk_was_away_gets_its_link_later(tmp_path: Path) -> None:
    node = Node(tmp_path / "footage", ManualClock())
    away = [True]

    def opener() -> Footage:
        if away[0]:
            raise FootageError("disk_error", "the disk is away")
        return node.footage

    alarm, sent = message(), SentChain(opener)
    sent.add("alarm", alarm)
    sent.add("snapshot", b"second")
    assert node.store.head().index == 0
    away[0] = False
    sent.add("snapshot", b"third")
    wanted = [hashlib.sha256(payload).hexdigest() for payload in (alarm, b"second", b"third")]
    assert node.store.link_numbers(wanted) == [1, 2, 3]
    assert node.store.told("a1") == [alarm]


def test_alarm_messages_are_kept_up_to_a_limit_and_the_oldest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealwatch.edge.recorder.store.MOST_TOLD", 3)
    node = Node(tmp_path / "footage", ManualClock())
    with node.store.transaction() as db:
        for number in range(5):
            add_told(db, f"a{number}", b"%d" % number)
    assert [node.store.told(f"a{number}") for number in range(5)] == [[], [], [b"2"], [b"3"], [b"4"]]


@pytest.mark.parametrize(
    "arguments",
    [[], ["--alarm", "a", "--camera", "b"], ["--camera", "b", "--from", "2026-01-01"]],
)
def test_pack_wants_an_alarm_or_a_stretch_of_time(
    film: Path, tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = node_file(tmp_path, film)
    assert main(["edge", "pack", "--config", str(path), *arguments, "--out", str(tmp_path / "p.zip")]) == 2
    assert "--alarm" in capsys.readouterr().err


def test_pack_says_where_there_is_no_footage(film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = node_file(tmp_path, film)
    assert main(["edge", "pack", "--config", str(path), "--alarm", "a1", "--out", str(tmp_path / "p.zip")]) == 1
    assert "no footage on this node yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "field"), [("pre_s = 5", "pre_s"), ("mode = 'sometimes'", "mode"), ("max_gbs = 5", "max_gb")]
)
def test_a_wrong_setting_is_named(film: Path, tmp_path: Path, extra: str, field: str) -> None:
    with pytest.raises(SettingsError, match=field):
        load_node(node_file(tmp_path, film, extra))


def test_a_footage_disk_that_is_away_does_not_stop_the_node_and_is_named(film: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "footage").write_text("a file where the disk should be mounted")
    settings = load_node(node_file(tmp_path, film))
    assert settings.recorder is not None
    clock: Any = ManualClock()
    node = Node(tmp_path / "elsewhere", clock)
    opener = FootageOpener(
        settings, settings.recorder, tmp_path / "data", KEY, boot_id="0" * 32, clock=clock, clock_state=lambda: state
    )
    state = node.sealer.clock_state()
    node.recorder._open_footage = opener
    node.recorder.pump()
    assert node.recorder.health().reason == "disk_error"
    (tmp_path / "data" / "footage").unlink()
    node.idle(6)
    node.feed(film)
    assert node.recorder.health().reason == "footage_kept"


@pytest.mark.skipif(bool(gstreamer_missing()), reason=f"no simulated camera: {gstreamer_missing()}")
def test_a_camera_over_rtsp_is_recorded_from_the_connection_that_is_watched(film: Path, tmp_path: Path) -> None:
    node = Node(tmp_path / "footage", SystemClock(), segment_s=2.0)  # type: ignore[arg-type]  # real time, on purpose
    stop = threading.Event()
    with RtspCamera(film, codec="copy") as simulated:
        camera = CameraSettings(camera_id=CAMERA, source=simulated.url, analysis_fps=1)
        thread = threading.Thread(target=node.recorder.run, args=(stop,))
        thread.start()
        pictures = open_source(camera, SystemClock(), tap=node.recorder.tap).frames(stop)
        until_s = time.monotonic() + 9.0
        for _ in pictures:
            if time.monotonic() > until_s:
                break
        pictures.close()  # type: ignore[attr-defined]  # it is a generator
    stop.set()
    thread.join(10)
    sent = set(support.packet_hashes(film))
    kept = [digest for file in node.files() for digest in support.packet_hashes(file)]
    assert len(kept) >= 4 * support.FPS
    assert set(kept) <= sent  # every picture is one that the camera sent, unchanged
    assert kept[0] == support.packet_hashes(film)[0]  # from the first, which RTSP delivers without a time stamp
    assert len(node.files()) >= 2
    assert {row.state for row in node.store.segments(CAMERA)} == {"closed"}
    assert sum(row.length_s for row in node.store.segments(CAMERA)) == pytest.approx(len(kept) / support.FPS, abs=0.6)
