"""From packets to files that play: never re-encoded, sealed when closed, playable while running, mended when torn."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import msgspec
import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract import signing
from sealwatch.contract.codes import ClockQuality, Phase
from sealwatch.edge.recorder import segment
from sealwatch.edge.recorder.media import NotRecordableError, template_of
from sealwatch.edge.recorder.segment import FootageError
from sealwatch.edge.recorder.tap import Begin, Lost, QueueTap, Unusable
from sealwatch.evidence.documents import Manifest
from sealwatch.evidence.envelope import open_envelope
from tests.edge.recorder import support
from tests.edge.recorder.support import CAMERA, FPS, KEY, Node

TRUSTED = {signing.key_id(KEY.public_key()): KEY.public_key()}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty seconds of H.264 with start codes, as RTSP delivers it."""
    return support.encode(tmp_path_factory.mktemp("film") / "film.ts", seconds=30)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "footage", ManualClock())


def manifest_of(node: Node, segment_id: int) -> Manifest:
    sealed = node.store.manifest("segment", segment_id)
    assert sealed is not None
    opened = open_envelope(Manifest, sealed, TRUSTED)
    assert opened.sound
    assert opened.document is not None
    return opened.document


def test_what_comes_in_is_what_is_kept(node: Node, film: Path) -> None:
    node.feed(film)
    node.hang_up()
    files = node.files()
    assert len(files) == 3
    kept = [digest for file in files for digest in support.packet_hashes(file)]
    assert kept == support.packet_hashes(film)


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", "mp4"), ("mpeg4", "avi"), ("mjpeg", "avi")])
def test_other_codecs_and_containers_are_kept_as_well(tmp_path: Path, codec: str, suffix: str) -> None:
    if codec == "mjpeg":
        source = tmp_path / "film.avi"
        with av.open(str(source), mode="w") as container:
            stream = container.add_stream("mjpeg", rate=FPS)
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuvj420p"
            for _ in range(50):
                container.mux(stream.encode(av.VideoFrame(160, 120, "yuvj420p")))
            container.mux(stream.encode())
    else:
        source = support.encode(tmp_path / f"film.{suffix}", seconds=5, codec=codec)
    node = Node(tmp_path / "footage", ManualClock())
    node.feed(source)
    node.hang_up()
    assert [support.pictures(file) for file in node.files()] == [50]


def test_a_closed_segment_is_hashed_signed_and_chained(node: Node, film: Path) -> None:
    began_ms = node.clock.wall_ms()
    node.feed(film)
    node.hang_up()
    rows = node.store.segments(CAMERA)
    assert [row.state for row in rows] == ["closed"] * 3
    for row in rows:
        manifest = manifest_of(node, row.id)
        data = (node.folder / row.path).read_bytes()
        assert manifest.files[0].sha256 == hashlib.sha256(data).hexdigest()
        assert manifest.files[0].size_bytes == len(data) == row.size_bytes
        assert manifest.sealed == "on_close"
        assert (manifest.encoding, manifest.source_id) == ("h264", CAMERA)
        assert manifest.clock.offset_ms == 3.0
    first = manifest_of(node, rows[0].id)
    assert first.from_ms == began_ms
    assert first.to_ms - first.from_ms == pytest.approx(10_000, abs=2500)
    assert node.store.head().index == 3
    assert sum(node.store.written_bytes(CAMERA).values()) == sum(row.size_bytes for row in rows)


def test_every_segment_begins_with_a_key_frame(node: Node, film: Path) -> None:
    node.feed(film)
    node.hang_up()
    for file in node.files():
        with av.open(str(file)) as container:
            assert next(container.demux(video=0)).is_keyframe


def test_the_running_segment_plays_while_it_is_written(node: Node, film: Path) -> None:
    seen: list[int] = []
    node.feed(film, at={8.0: lambda: seen.append(support.pictures(node.files()[-1]))})
    assert seen[0] >= (8 - 2 * segment.FRAGMENT_S) * FPS


def test_a_file_cut_anywhere_is_trimmed_to_what_is_whole(node: Node, film: Path, tmp_path: Path) -> None:
    node.feed(film)
    node.hang_up()
    data = node.files()[0].read_bytes()
    torn = tmp_path / "torn.mp4"
    previous = 0
    for size in range(0, len(data), max(1, len(data) // 40)):
        torn.write_bytes(data[:size])
        whole = segment.trim(torn)
        assert whole <= size
        assert whole == torn.stat().st_size
        assert whole >= previous
        previous = whole
        if whole:
            assert support.pictures(torn) > 0
    assert previous > len(data) * 0.7


_WRITER = """
import os, sys, time
from pathlib import Path
from sealwatch.base.clock import ManualClock
from tests.edge.recorder.support import Node
node = Node(Path(sys.argv[1]), ManualClock(), segment_s=1000.0)
node.feed(Path(sys.argv[2]), at={12.0: lambda: (print("go", flush=True), time.sleep(60))})
"""


def test_after_kill_minus_nine_the_running_segment_is_kept_and_sealed(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "footage"
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder), str(film)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == b"go\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    node = Node(folder, ManualClock(), boot=2)
    [row] = node.store.segments(state="open")
    assert support.pictures(folder / row.path) >= (12 - 2 * segment.FRAGMENT_S) * FPS  # it plays as it is
    node.recorder.pump()
    [row] = node.store.segments(CAMERA)
    assert row.state == "closed"
    manifest = manifest_of(node, row.id)
    assert (manifest.sealed, manifest.notes) == ("later", {"closed_after": "restart"})
    assert manifest.files[0].sha256 == hashlib.sha256((folder / row.path).read_bytes()).hexdigest()
    assert row.length_s >= 10.0


def test_a_clock_that_is_set_begins_a_new_segment_with_the_right_label(node: Node, film: Path) -> None:
    node.quality = ClockQuality.UNSYNCHRONISED
    node.clock.jump_wall(-node.clock.wall_ms() / 1000)

    def ntp_comes() -> None:
        node.clock.jump_wall(1_760_000_000)
        node.quality = ClockQuality.SYNCHRONISED

    node.feed(film, at={5.0: ntp_comes})
    node.hang_up()
    rows = node.store.segments(CAMERA)
    assert rows[0].clock_quality == "unsynchronised"
    assert rows[0].started_at_ms < 10_000
    assert rows[1].clock_quality == "synchronised"
    assert rows[1].started_at_ms > 1_760_000_000_000
    assert manifest_of(node, rows[0].id).to_ms < 10_000


class TestDisk:
    def test_a_full_disk_is_named_told_once_and_recording_goes_on_when_there_is_room(
        self, node: Node, film: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        real, full = os.write, [False]

        def write(descriptor: int, data: memoryview) -> int:
            if full[0]:
                raise OSError(28, "No space left on device")
            return real(descriptor, data)

        monkeypatch.setattr(os, "write", write)
        reasons: list[str] = []

        def fill() -> None:
            full[0] = True

        def free() -> None:
            reasons.append(node.recorder.health().reason)
            full[0] = False

        node.feed(film, at={5.0: fill, 12.0: free})
        node.hang_up()
        node.idle(2)
        assert reasons == ["disk_full"]
        assert sum("No space left" in r.getMessage() for r in caplog.records) == 1
        rows = node.store.segments(CAMERA)
        assert [row.state for row in rows] == ["closed"] * len(rows)
        assert manifest_of(node, rows[0].id).notes["closed_after"] == "disk_full"
        assert manifest_of(node, rows[0].id).sealed == "later"
        assert support.pictures(node.folder / rows[0].path) >= 3 * FPS
        assert manifest_of(node, rows[-1].id).sealed == "on_close"

    def test_a_disk_that_refuses_is_named_with_advice(self, film: Path, tmp_path: Path) -> None:
        with av.open(str(film)) as container:
            stream = container.streams.video[0]
            template = template_of(stream, next(container.demux(stream)))
        (tmp_path / "there.mp4").touch()
        with pytest.raises(FootageError, match="check the disk") as caught:
            segment.SegmentWriter(tmp_path / "there.mp4", template)
        assert caught.value.reason == "disk_error"

    @pytest.mark.parametrize(("number", "reason"), [(28, "disk_full"), (30, "disk_read_only"), (5, "disk_error")])
    def test_every_refusal_has_its_reason(self, number: int, reason: str) -> None:
        error = segment.footage_error(Path("x.mp4"), OSError(number, os.strerror(number)))
        assert error.reason == reason
        assert "x.mp4" in str(error)

    def test_a_damaged_index_is_set_aside_and_built_again_from_the_files(self, node: Node, film: Path) -> None:
        node.feed(film)
        node.hang_up()
        before = {row.path for row in node.store.segments(CAMERA)}
        node.store.close()
        index = node.folder / "footage.db"
        data = bytearray(index.read_bytes())
        data[100:3000] = b"\0" * 2900
        index.write_bytes(bytes(data))
        for suffix in ("-wal", "-shm"):
            index.with_name(index.name + suffix).unlink(missing_ok=True)
        again = Node(node.folder, node.clock, boot=2)
        again.recorder.pump()
        rows = again.store.segments(CAMERA)
        assert {row.path for row in rows} == before
        assert manifest_of(again, rows[0].id).notes == {"closed_after": "index_damaged"}
        assert len(list(node.folder.glob("footage.db.corrupt-*"))) >= 1
        assert again.store.links(1, 1)
        link = msgspec.json.decode(msgspec.json.decode(again.store.links(1, 1)[0])["body"])
        assert link["kind"] == "restart"


class TestTap:
    def test_a_disk_that_stalls_costs_packets_not_memory_and_the_stream_goes_on_with_a_key_frame(
        self, film: Path
    ) -> None:
        tap = QueueTap(ManualClock(), queue_bytes=8_000)
        with av.open(str(film)) as container:
            stream = container.streams.video[0]
            tap.begin(stream)
            packets = list(container.demux(stream))
            for packet in packets[:150]:
                tap.packet(packet)
            assert tap.waiting_bytes <= 8_000
            taken = tap.take()
            for packet in packets[150:200]:
                tap.packet(packet)
        assert isinstance(taken[0], Begin)
        after = tap.take()
        lost = next(event for event in after if isinstance(event, Lost))
        assert lost.packets > 0
        following = after[after.index(lost) + 1]
        assert following.key  # type: ignore[union-attr]  # a packet follows

    def test_lost_packets_end_the_segment_and_are_said(self, node: Node, film: Path) -> None:
        node.recorder.tap._queue_bytes = 1_500
        node.recorder.pump()
        with av.open(str(film)) as container:
            stream = container.streams.video[0]
            node.recorder.tap.begin(stream)
            for number, packet in enumerate(container.demux(stream)):
                node.clock.advance(1 / FPS)
                node.recorder.tap.packet(packet)
                if number % 60 == 59:
                    node.recorder.pump()
        node.hang_up()
        assert len(node.files()) > 3

    def test_a_stream_that_starts_in_the_middle_waits_for_its_key_frame(self, film: Path) -> None:
        tap = QueueTap(ManualClock())
        with av.open(str(film)) as container:
            stream = container.streams.video[0]
            tap.begin(stream)
            packets = list(container.demux(stream))
            for packet in packets[5:30]:
                tap.packet(packet)
        begin, first, *_ = tap.take()
        assert isinstance(begin, Begin)
        assert first.key  # type: ignore[union-attr]  # a packet follows

    def test_a_connection_that_hands_over_its_first_seconds_late_does_not_shift_the_footage(
        self, node: Node, film: Path
    ) -> None:
        began_s, began_ms = node.clock.monotonic_s(), node.clock.wall_ms()
        with av.open(str(film)) as container:
            stream = container.streams.video[0]
            node.recorder.tap.begin(stream)
            packets = [p for p in container.demux(stream) if p.dts is not None]
            for number, packet in enumerate(packets):
                node.clock.advance(max(0.0, began_s + max(2.5, number / FPS) - node.clock.monotonic_s()))
                node.recorder.tap.packet(packet)
                node.recorder.pump()
        node.hang_up()
        first = node.store.segments(CAMERA)[0]
        assert first.started_s == pytest.approx(began_s, abs=0.11)
        assert first.started_at_ms == pytest.approx(began_ms, abs=110)
        assert manifest_of(node, first.id).from_ms == first.started_at_ms

    def test_raw_pictures_are_refused_with_advice(self, tmp_path: Path, node: Node) -> None:
        source = tmp_path / "raw.avi"
        with av.open(str(source), mode="w") as container:
            stream = container.add_stream("rawvideo", rate=FPS)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
            container.mux(stream.encode())
        tap = QueueTap(ManualClock())
        with av.open(str(source)) as reading:
            stream = reading.streams.video[0]
            packet = next(reading.demux(stream))
            tap.begin(stream)
            tap.packet(packet)
            with pytest.raises(NotRecordableError, match=r"H\.264"):
                template_of(stream, packet)
        assert isinstance(tap.take()[0], Unusable)
        node.feed(source)
        node.idle(40)
        assert node.recorder.health().reason == "footage_not_recordable"


class TestMissing:
    def test_silence_becomes_an_alarm_and_ends_when_footage_comes_again(self, node: Node, film: Path) -> None:
        node.feed(film)
        node.hang_up()
        node.idle(25)
        assert node.sink.alarms == []
        node.idle(10)
        [start] = node.sink.alarms
        assert (start.phase, start.reason, start.source_id) == (Phase.START, "footage_no_packets", CAMERA)
        assert not node.recorder.health().ok
        node.feed(film)
        end = node.sink.alarms[-1]
        assert (end.phase, end.alarm_id) == (Phase.END, start.alarm_id)
        assert end.numbers["missing_s"] == pytest.approx(35, abs=1.5)
        assert node.recorder.health().ok
        [gap] = node.store.gaps(CAMERA)
        assert gap.to_ms is not None
        assert gap.to_ms - gap.from_ms == pytest.approx(35_000, abs=1500)

    def test_the_time_in_which_the_node_was_off_is_reported(self, node: Node, film: Path) -> None:
        node.feed(film)
        node.hang_up()
        node.clock.advance(3600)
        later = node.restart()
        later.feed(film)
        assert [(a.phase, a.reason) for a in later.sink.alarms] == [
            (Phase.START, "footage_node_was_off"),
            (Phase.END, "footage_node_was_off"),
        ]
        assert later.sink.alarms[1].numbers["missing_s"] == pytest.approx(3600, abs=2)

    def test_a_file_somebody_deleted_is_reported(self, node: Node, film: Path) -> None:
        node.feed(film)
        node.hang_up()
        node.files()[1].unlink()
        later = node.restart()
        later.recorder.pump()
        assert {a.reason for a in later.sink.alarms} == {"footage_file_removed"}
        assert len(later.store.segments(CAMERA)) == 2

    def test_a_reconnect_is_no_alarm(self, node: Node, film: Path) -> None:
        for _ in range(3):
            node.feed(film)
            node.hang_up()
            node.idle(8)
        assert node.sink.alarms == []


def test_run_stops_and_closes_the_running_segment(node: Node, film: Path) -> None:
    import threading

    stop = threading.Event()
    thread = threading.Thread(target=node.recorder.run, args=(stop,))
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        node.recorder.tap.begin(stream)
        thread.start()
        for packet in container.demux(stream):
            node.recorder.tap.packet(packet)
    deadline_s = time.monotonic() + 20
    while node.recorder.tap.waiting_bytes and time.monotonic() < deadline_s:
        stop.wait(0.01)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert sum(support.pictures(file) for file in node.files()) == 300
    assert node.store.segments(state="open") == []
