"""The reference picture that outlives the program: what was done to a camera while the node was off is found."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwatch.base.clock import ManualClock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.contract.codes import Phase, VideoFault
from sealwatch.edge import cli
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import Image, MemorySink
from sealwatch.edge.video import condition, views
from sealwatch.edge.video.faults import FaultChange, FaultWatch
from sealwatch.edge.video.views import FileViews, Keeping, MemoryViews, View, ViewError
from sealwatch.edge.video.watcher import CameraWatcher
from tests.edge.video import clips
from tests.edge.video.test_chain import Camera
from tests.edge.video.test_faults import FPS, Maker, black, blurred, covered, good, larger, noisy, scene, turned, view

SOURCE = "rtsp://cam/1"


def look_at(
    make: Maker, seconds: float, kept: View | None = None
) -> tuple[FaultWatch, list[tuple[float, FaultChange]]]:
    watch, told = FaultWatch(kept), []
    for step in range(int(seconds * FPS)):
        now_s = step / FPS
        told += [(now_s, c) for c in watch.look(make(step), now_s=now_s, now_ms=round(now_s * 1000))]
    return watch, told


@pytest.fixture(scope="module")
def known() -> View:
    """What an undisturbed life leaves behind, through the file's format."""
    kept = look_at(good, 2)[0].view
    assert kept is not None
    return views.decode(views.encode(kept, SOURCE))[0]


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (turned, VideoFault.MOVED),
        (covered, VideoFault.COVERED),
        (blurred, VideoFault.BLURRED),
        (black, VideoFault.DARK),
        (larger, VideoFault.RESOLUTION),
    ],
)
def test_what_was_done_to_the_camera_while_the_node_was_off_is_found_after_the_start(
    known: View, make: Maker, fault: VideoFault
) -> None:
    told = look_at(make, 6, known)[1]
    assert [(c.fault, c.phase) for _, c in told] == [(fault, Phase.START)]
    assert told[0][0] <= 5.0


def test_without_the_kept_view_a_turned_camera_would_be_taken_for_the_true_one() -> None:
    assert look_at(turned, 6)[1] == []


def test_the_same_view_after_a_restart_raises_nothing_by_day_or_in_dim_light(known: View) -> None:
    assert look_at(good, 8, known)[1] == []
    assert look_at(lambda _step: noisy((view() * 0.5).astype(np.uint8)), 8, known)[1] == []


def test_a_torn_first_picture_is_not_judged_against_the_kept_view(known: View) -> None:
    def torn(step: int) -> Image:
        return covered(step) if step < 2 else good(step)

    assert look_at(torn, 10, known)[1] == []


def test_a_picture_that_the_season_adds_is_kept_too() -> None:
    summer = noisy(view())
    winter = summer.copy()
    winter[:, 420:] = scene(seed=9)[:360, 420:640]  # a third of the view looks different, in place
    watch = FaultWatch()
    for step in range(80):
        assert watch.look(noisy(summer if step < 5 else winter, 1.0), now_s=step, now_ms=0) == []
    assert watch.revision == 2
    kept = watch.view
    assert kept is not None
    again = views.decode(views.encode(kept, SOURCE))[0]
    likes = [condition.likeness(anchor.condition, condition.measure(winter)) for anchor in again.anchors]
    assert likes[0] < 0.75
    assert likes[1] > 0.9


def test_a_kept_view_is_small_and_says_whose_it_is(known: View) -> None:
    data = views.encode(known, SOURCE)
    assert len(data) < 60_000
    again, source = views.decode(data)
    assert source == SOURCE
    assert again.size == (360, 640)
    assert again.sharpness == known.sharpness


def encoded() -> bytes:
    plain = look_at(good, 1)[0].view
    assert plain is not None
    return views.encode(plain, SOURCE)


ENCODED = encoded()


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 20_000), flip=st.integers(0, 20_000), value=st.integers(1, 255))
def test_a_damaged_file_is_refused_with_a_reason(cut: int, flip: int, value: int) -> None:
    data = bytearray(ENCODED)
    data[flip % len(data)] ^= value
    for broken in (ENCODED[: cut % len(data)], bytes(data)):
        with pytest.raises(ViewError) as failed:
            views.decode(broken)
        assert failed.value.reason == "view_damaged"


def test_a_file_is_replaced_whole_and_belongs_to_one_address(known: View, tmp_path: Path) -> None:
    store = FileViews(tmp_path / "views", "east", SOURCE)
    assert store.load() is None
    store.save(known)
    store.save(known)
    assert [path.name for path in (tmp_path / "views").iterdir()] == ["east.view"]
    assert FileViews(tmp_path / "views", "east", SOURCE).load() is not None
    assert FileViews(tmp_path / "views", "east", "rtsp://other/1").load() is None


def test_a_disk_that_refuses_is_a_named_error_and_leaves_the_old_file(known: View, tmp_path: Path) -> None:
    store = FileViews(tmp_path / "views", "east", SOURCE)
    store.save(known)
    before = views.view_file(tmp_path / "views", "east").read_bytes()
    (tmp_path / "views" / "east.new").mkdir()
    with pytest.raises(ViewError, match="free space or check the disk") as failed:
        store.save(known)
    assert failed.value.reason == "view_unwritable"
    assert views.view_file(tmp_path / "views", "east").read_bytes() == before


def test_writes_are_bounded() -> None:
    assert views.due(Keeping(), 0, 5.0) == ""
    assert views.due(Keeping(), 1, 5.0) == "first"
    kept = Keeping(1, 100.0)
    assert views.due(kept, 2, 100.0 + views.WRITE_EVERY_S - 1) == ""
    assert views.due(kept, 2, 100.0 + views.WRITE_EVERY_S) == "anchor_added"
    assert views.due(kept, 1, 100.0 + views.WRITE_ANYWAY_S - 1) == ""
    assert views.due(kept, 1, 100.0 + views.WRITE_ANYWAY_S) == "daily"


class Refusing(MemoryViews):
    """A card that is worn out."""

    def load(self) -> View | None:
        raise ViewError("card: not readable; replace it", reason="view_unreadable")

    def save(self, view: View) -> None:
        super().save(view)
        raise ViewError("card: full; free space", reason="view_unwritable")


def watch_camera(store: MemoryViews, *, seed: int, seconds: float = 6) -> MemorySink:
    rng, base, sink, clock = np.random.default_rng(3), structured(seed), MemorySink(), ManualClock()
    pictures = [(0.2, clips.noisy(base, rng)) for _ in range(int(seconds * 5))]
    settings_ = CameraSettings(camera_id="east", source=SOURCE)
    CameraWatcher(settings_, clips.detector(), sink, clock, connect=Camera(pictures).connect, views=store).run(
        threading.Event()
    )
    return sink


def structured(seed: int) -> Image:
    """A place with something to recognise, another one for each seed."""
    return np.repeat(scene(seed=seed)[:360, :640, None], 3, axis=2)


def test_the_camera_part_keeps_the_view_once_and_finds_the_camera_turned_in_its_next_life() -> None:
    store = MemoryViews()
    assert [a.reason for a in watch_camera(store, seed=3).alarms if a.numbers.get("code") != 7] == []
    assert store.saves == 1
    again = watch_camera(store, seed=3)
    assert [a.reason for a in again.alarms if a.numbers.get("code") != 7] == []
    elsewhere = [a for a in watch_camera(store, seed=8).alarms if a.numbers.get("code") != 7]
    assert [(a.numbers["code"], a.phase) for a in elsewhere] == [(2, Phase.START)]


def test_a_worn_out_card_stops_nothing_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    store = Refusing()
    watch_camera(store, seed=3)
    assert store.saves == 1, "tried again only after a quarter of an hour"
    assert len([r for r in caplog.records if "a restart would forget the view" in r.message]) == 1
    assert len([r for r in caplog.records if "not readable" in r.message]) == 1


def test_a_view_is_forgotten_by_command_and_a_running_watcher_does_not_bring_it_back(
    known: View, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "node.toml"
    config.write_text(
        'site_id = "s"\nnode_id = "n"\ndata_dir = "d"\nmqtt.url = "mqtt://localhost"\n'
        f'[[cameras]]\ncamera_id = "east"\nsource = "{SOURCE}"\n',
        encoding="utf-8",
    )
    parser = argparse.ArgumentParser()
    cli.configure(parser)

    def forget(camera: str) -> int:
        arguments = parser.parse_args(["forget-view", camera, "--config", str(config)])
        return int(arguments.run(arguments))

    with pytest.raises(UsageError, match="no camera 'west'; there are: east"):
        forget("west")
    with pytest.raises(CommandFailed, match="no view that is kept"):
        forget("east")
    store = FileViews(tmp_path / "d" / "views", "east", SOURCE)
    store.save(known)
    assert forget("east") == 0
    assert "restart the agent" in capsys.readouterr().out
    store.save(known)
    assert FileViews(tmp_path / "d" / "views", "east", SOURCE).load() is None
