"""Clips of events: long enough before and after, longer while it goes on, sealed, and provable."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import av
import msgspec
import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.base.errors import CommandFailed
from sealwatch.contract.codes import Level, Phase
from sealwatch.edge.recorder import clips, packing, ring
from sealwatch.edge.recorder.clips import ClipJob, ClipRules
from sealwatch.edge.recorder.footage import CLIPS
from sealwatch.edge.recorder.keeping import tidy
from sealwatch.edge.recorder.telling import RecordingSink
from sealwatch.evidence.documents import Envelope, Manifest
from sealwatch.evidence.verify import verify
from tests.edge.recorder import support
from tests.edge.recorder.support import CAMERA, FPS, KEY, Node


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.encode(tmp_path_factory.mktemp("film") / "film.ts", seconds=90)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "footage", ManualClock())


def manifest_of(node: Node, clip_id: str) -> Manifest:
    sealed = node.store.manifest("clip", clip_id)
    assert sealed is not None
    return msgspec.json.decode(msgspec.json.decode(sealed, type=Envelope).body, type=Manifest)


def length_s(path: Path) -> float:
    with av.open(str(path)) as container:
        assert container.duration is not None
        return container.duration / av.time_base


def test_an_event_gets_ten_seconds_before_and_twenty_after(node: Node, film: Path) -> None:
    began_ms = node.clock.wall_ms()
    node.feed(film, at={30.0: node.say(Phase.START), 40.0: node.say(Phase.END)})
    [row] = node.store.clips(state="sealed")
    clip = node.folder / CLIPS / row.id
    manifest = manifest_of(node, row.id)
    # The condition began a second before it was told: 29 s. Key frames are two seconds apart.
    assert began_ms + 17_000 <= manifest.from_ms <= began_ms + 19_000
    assert began_ms + 60_000 <= manifest.to_ms <= began_ms + 62_500
    assert length_s(clip / "clip.mp4") == pytest.approx((manifest.to_ms - manifest.from_ms) / 1000, abs=0.3)
    assert (clip / "snapshot.jpg").read_bytes().startswith(b"\xff\xd8")
    assert (manifest.alarm_id, manifest.zone, manifest.notes) == ("a1", "井口", {"reason": "person_seen"})
    assert manifest.detector is not None
    assert manifest.detector.name == "person"


def test_the_pictures_of_a_clip_are_those_of_the_camera(node: Node, film: Path) -> None:
    node.feed(film, at={30.0: node.say(Phase.START), 31.0: node.say(Phase.END)})
    [row] = node.store.clips(state="sealed")
    original = support.packet_hashes(film)
    kept = support.packet_hashes(node.folder / CLIPS / row.id / "clip.mp4")
    first = round((manifest_of(node, row.id).from_ms - node.store.segments(CAMERA)[0].started_at_ms) / 1000 * FPS)
    assert kept == original[first : first + len(kept)]
    assert len(kept) >= 33 * FPS


def test_a_clip_grows_while_the_event_goes_on_and_is_split_when_it_gets_long(tmp_path: Path, film: Path) -> None:
    node = Node(tmp_path / "footage", ManualClock(), clip=ClipRules(max_s=30))
    node.feed(film, at={15.0: node.say(Phase.START), 60.0: node.say(Phase.END)})
    node.hang_up()
    node.idle(40)
    rows = node.store.clips(state="sealed")
    assert [row.id[-1] for row in rows] == ["1", "2"]
    spans = [manifest_of(node, row.id) for row in rows]
    for before, after in itertools.pairwise(spans):
        assert after.from_ms <= before.to_ms + 100  # nothing is lost between them
    assert spans[-1].to_ms >= spans[0].from_ms + 70_000


def test_a_standing_alarm_does_not_make_clips_for_ever() -> None:
    rules = ClipRules(max_s=10, max_parts=2)
    job: ClipJob | None = clips.begin(
        support.alarm(Phase.START, ManualClock()), CAMERA, boot_id="0" * 32, now_s=0, now_ms=0, rules=rules
    )
    parts = 0
    now_s = 0.0
    while job is not None:
        parts, now_s = parts + 1, now_s + 11
        ended, job = clips.split(job, now_s=now_s, rules=rules)
        assert ended.to_s is not None
    assert parts == 2


def test_power_of_the_same_seconds_goes_with_the_clip(node: Node, film: Path) -> None:
    began_ms = node.clock.wall_ms()
    sink = RecordingSink(node.sink, [node.recorder], node.power)
    at = [began_ms + second * 1000 for second in range(90)]
    watts = [100.0 + second if second != 35 else None for second in range(90)]
    sink.samples("main-meter", at, {"active_power_w": watts})
    node.feed(film, at={30.0: node.say(Phase.START), 40.0: node.say(Phase.END)})
    [row] = node.store.clips(state="sealed")
    lines = (node.folder / CLIPS / row.id / "power.csv").read_text().splitlines()
    assert lines[0] == "at_ms,source_id,active_power_w"
    assert 42 <= len(lines) - 1 <= 46
    assert f"{began_ms + 35_000},main-meter," in lines
    assert f"{began_ms + 36_000},main-meter,136.0" in lines
    assert {f.name for f in manifest_of(node, row.id).files} == {"clip.mp4", "snapshot.jpg", "power.csv"}


def test_an_urgent_alarm_of_a_meter_gets_the_camera_as_well_and_a_yellow_one_does_not() -> None:
    clock = ManualClock()
    hoist = support.alarm(Phase.START, clock, kind="hoist_like_cycle", source_id="main-meter")
    assert clips.wants_clip(hoist, CAMERA)
    assert not clips.wants_clip(dataclasses.replace(hoist, level=Level.YELLOW), CAMERA)
    assert not clips.wants_clip(support.alarm(Phase.START, clock, source_id="other-camera"), CAMERA)
    assert not clips.wants_clip(support.alarm(Phase.START, clock, kind="node_fault"), CAMERA)


def test_the_sink_makes_an_alarm_durable_before_anybody_else_sees_it(node: Node) -> None:
    order: list[str] = []

    class Inner:
        def alarm(self, _draft: object) -> None:
            order.append("durable")

        def samples(self, *_values: object) -> None: ...

    class Watching:
        def observe(self, _draft: object) -> None:
            order.append("seen")

    RecordingSink(Inner(), [Watching()], node.power).alarm(support.alarm(Phase.START, node.clock))
    assert order == ["durable", "seen"]


def test_footage_that_is_missing_inside_is_written_into_the_manifest(node: Node, tmp_path: Path) -> None:
    short = support.encode(tmp_path / "short.ts", seconds=20)
    node.feed(short, at={15.0: node.say(Phase.START)})
    node.hang_up()
    node.idle(12)
    node.feed(short, at={2.0: node.say(Phase.END)})
    node.feed(short)
    [row] = node.store.clips(state="sealed")
    assert float(manifest_of(node, row.id).notes["gap_s"]) == pytest.approx(12, abs=0.5)
    assert support.pictures(node.folder / CLIPS / row.id / "clip.mp4") > 30 * FPS


def test_a_camera_that_changes_its_picture_inside_a_clip_gives_two_files(node: Node, tmp_path: Path) -> None:
    small = support.encode(tmp_path / "small.ts", seconds=20)
    large = support.encode(tmp_path / "large.ts", seconds=40, size=(320, 240))
    node.feed(small, at={15.0: node.say(Phase.START)})
    node.feed(large, at={2.0: node.say(Phase.END)})
    [row] = node.store.clips(state="sealed")
    assert [f.name for f in manifest_of(node, row.id).files if f.name.endswith("mp4")] == ["clip.mp4", "clip-2.mp4"]
    with av.open(str(node.folder / CLIPS / row.id / "clip-2.mp4")) as container:
        assert container.streams.video[0].codec_context.width == 320


def test_without_any_footage_the_snapshot_is_still_sealed(node: Node) -> None:
    node.say(Phase.START)()
    node.idle(1)
    node.say(Phase.END)()
    node.idle(60)
    [row] = node.store.clips()
    assert row.state == "sealed"
    assert manifest_of(node, row.id).notes["footage"] == "none"
    assert [f.name for f in manifest_of(node, row.id).files] == ["snapshot.jpg"]


class TestEventsOnly:
    def test_only_events_are_written_with_what_came_before_them_out_of_memory(self, tmp_path: Path, film: Path) -> None:
        node = Node(tmp_path / "footage", ManualClock(), mode="events", segment_s=600)
        node.feed(film, at={29.0: lambda: None, 30.0: node.say(Phase.START), 35.0: node.say(Phase.END)})
        node.hang_up()
        written = node.store.segments(CAMERA)
        assert len(written) == 1
        assert 36 <= written[0].length_s <= 45
        [row] = node.store.clips(state="sealed")
        manifest = manifest_of(node, row.id)
        assert (manifest.to_ms - manifest.from_ms) / 1000 >= 36
        assert node.recorder.health().reason == "buffer_kept"

    def test_a_quiet_day_writes_no_footage(self, tmp_path: Path, film: Path) -> None:
        node = Node(tmp_path / "footage", ManualClock(), mode="events")
        node.feed(film)
        assert node.files() == []
        assert node.recorder.health().ok


class TestPacks:
    def test_a_pack_of_an_alarm_verifies_offline(self, tmp_path: Path, film: Path) -> None:
        node = Node(tmp_path / "footage", ManualClock(), sm3=True)
        node.feed(film, at={30.0: node.say(Phase.START), 40.0: node.say(Phase.END)})
        node.hang_up()
        target = tmp_path / "a1.zip"
        size = packing.write_pack(node.footage, packing.items_of_alarm(node.footage, "a1"), target, pack_id="a1")
        assert target.stat().st_size == size
        verdict = verify(target, [KEY.public_key()])
        assert verdict.findings == ()
        assert verdict.manifests[0].files[0].sm3 is not None

    def test_a_pack_of_a_stretch_of_time_verifies_and_a_changed_segment_does_not(
        self, tmp_path: Path, node: Node, film: Path
    ) -> None:
        began_ms = node.clock.wall_ms()
        node.feed(film, at={30.0: node.say(Phase.START), 31.0: node.say(Phase.END)})
        node.hang_up()
        items = packing.items_between(node.footage, CAMERA, began_ms + 25_000, began_ms + 45_000)
        assert len(items) == 3
        target = tmp_path / "pack.zip"
        packing.write_pack(node.footage, items, target, pack_id="p")
        assert verify(target, [KEY.public_key()]).holds
        file = next(iter(items[1].files.values()))
        data = bytearray(file.read_bytes())
        data[-100] ^= 1
        file.write_bytes(bytes(data))
        packing.write_pack(node.footage, items, target, pack_id="p")
        found = {(f.reason, f.member) for f in verify(target, [KEY.public_key()]).faults}
        assert found == {("altered_file", f"files/{items[1].item_id}/{file.name}")}

    def test_nothing_to_pack_is_said(self, tmp_path: Path, node: Node) -> None:
        with pytest.raises(CommandFailed, match="no sealed footage"):
            packing.write_pack(node.footage, [], tmp_path / "pack.zip", pack_id="p")


def test_the_ring_makes_room_and_spares_what_a_clip_still_needs(tmp_path: Path, film: Path) -> None:
    node = Node(
        tmp_path / "footage", ManualClock(), limits=ring.Limits(max_bytes=1, max_days=90), clip=ClipRules(max_s=1e6)
    )
    node.feed(film, at={30.0: node.say(Phase.START)})
    kept = node.store.segments(CAMERA)
    assert kept[0].started_s <= node.clock.monotonic_s() - 90 + 20 + 0.5  # the segment with the start of the clip
    assert len(kept) >= 7
    node.say(Phase.END)()
    node.hang_up()
    node.idle(120)
    assert [row.state for row in node.store.clips()] == ["sealed"]
    assert node.files() == []


def test_clips_that_the_service_has_go_first_when_their_room_is_up(tmp_path: Path, film: Path) -> None:
    node = Node(tmp_path / "footage", ManualClock(), clips_bytes=10**9)
    node.feed(
        film,
        at={
            15.0: node.say(Phase.START, alarm_id="first"),
            16.0: node.say(Phase.END, alarm_id="first"),
            25.0: node.say(Phase.START, alarm_id="second"),
            26.0: node.say(Phase.END, alarm_id="second"),
        },
    )
    first, second = node.store.clips(state="sealed")
    node.store.mark_sent(second.id)
    tidy(node.footage, support.LIMITS, clips_bytes=first.size_bytes)
    assert [row.id for row in node.store.clips()] == [first.id]
    assert not (node.folder / CLIPS / second.id).exists()
