"""The surroundings of a seal: what was dug, laid or heaped up is found; light, shadows, leaves and people are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from sealwatch.cli import main
from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.ports import Frame, Image
from sealwatch.edge.video.analyser import Analyser
from sealwatch.edge.video.change_keep import (
    FileSurroundings,
    decode,
    encode,
    surroundings_file,
)
from sealwatch.edge.video.change_map import ChangeMap, SceneChange, Surroundings, part_of_day
from sealwatch.edge.video.drafts import draft
from sealwatch.edge.video.views import ViewError
from tests.edge.video.clips import frame_of
from tests.support import shared_data_or_skip

Picture = npt.NDArray[np.float32]
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MIDNIGHT_MS = 1_700_000_000_000 // DAY_MS * DAY_MS - 8 * HOUR_MS  # of UTC+8
SIZE = (240, 320)


def ground(seed: int = 1) -> Picture:
    """A hillside: texture at several scales, a path, a wall with a door."""
    draw = np.random.default_rng(seed)
    picture = np.full(SIZE, 110, np.float32)
    for cell, strength in ((4, 14), (9, 18), (30, 22)):
        coarse = draw.normal(0, strength, (SIZE[0] // cell + 2, SIZE[1] // cell + 2)).astype(np.float32)
        picture += cv2.resize(coarse, (SIZE[1], SIZE[0]), interpolation=cv2.INTER_CUBIC)
    cv2.rectangle(picture, (120, 60), (200, 130), 60, -1)
    cv2.rectangle(picture, (145, 85), (175, 130), 150, 2)
    clipped: Picture = np.clip(picture, 15, 240).astype(np.float32)
    return clipped


def hole(picture: Picture) -> Picture:
    dug = picture.copy()
    cv2.ellipse(dug, (60, 190), (16, 9), 0, 0, 360, 25, -1)
    return dug


def cable(picture: Picture) -> Picture:
    laid = picture.copy()
    cv2.polylines(laid, [np.array([(210, 232), (250, 200), (262, 150), (300, 120)])], False, 20, 3)
    return laid


def heap(picture: Picture) -> Picture:
    draw = np.random.default_rng(9)
    mask = np.zeros(SIZE, np.float32)
    cv2.ellipse(mask, (250, 200), (30, 14), 0, 0, 360, 1, -1)
    soil = 150 + draw.normal(0, 25, SIZE).astype(np.float32)
    soft = cv2.GaussianBlur(mask, (7, 7), 0)
    heaped: Picture = (picture * (1 - soft) + cv2.GaussianBlur(soil, (3, 3), 0) * soft).astype(np.float32)
    return heaped


def snow(picture: Picture) -> Picture:
    draw = np.random.default_rng(5)
    fresh = 215 + cv2.GaussianBlur(draw.normal(0, 60, SIZE).astype(np.float32), (9, 9), 0)
    fallen: Picture = np.clip(fresh, 0, 255).astype(np.float32)
    return fallen


class Days:
    """Lets days pass before a camera: light follows the hour, a shadow wanders, leaves stir, noise is everywhere."""

    def __init__(self, chart: ChangeMap, scene: Picture, *, shadow: bool = True, leaves: bool = True) -> None:
        self.chart, self.scene, self._shadow, self._leaves = chart, scene, shadow, leaves
        draw = np.random.default_rng(3)
        self._noise = [draw.normal(0, 3, SIZE).astype(np.float32) for _ in range(11)]
        self._stir = [draw.normal(0, 30, (50, 70)).astype(np.float32) for _ in range(13)]
        self._turn = 0
        self.at_ms = MIDNIGHT_MS

    def picture(self) -> Image:
        hour = (self.at_ms + 8 * HOUR_MS) % DAY_MS / HOUR_MS
        lit = self.scene * (0.35 + 0.65 * max(0.0, np.sin((hour - 5) / 14 * np.pi)))
        if self._shadow and 6 < hour < 18:
            x = round((hour - 6) / 12 * SIZE[1])
            lit[140:175, x : x + 45] *= 0.4
        if self._leaves:
            lit[10:60, 240:310] += self._stir[self._turn % 13]
        self._turn += 1
        seen: Image = np.clip(lit + self._noise[self._turn % 11], 0, 255).astype(np.uint8)
        return seen

    def let_pass(self, days: float) -> list[SceneChange]:
        """A picture a minute; what was told."""
        told = []
        until_ms = self.at_ms + round(days * DAY_MS)
        while self.at_ms < until_ms:
            change = self.chart.look(self.picture(), quiet=True, now_s=self.at_ms / 1000, now_ms=self.at_ms)
            told += [change] if change else []
            self.at_ms += 60_000 * (3 if days > 1 else 1)
        return told


@pytest.fixture(scope="module")
def learnt() -> Surroundings:
    chart = ChangeMap()
    assert Days(chart, ground()).let_pass(3) == []
    assert len(chart.surroundings.references) == 8
    return chart.surroundings


def test_the_day_has_eight_parts_that_begin_at_midnight_in_china() -> None:
    assert [part_of_day(MIDNIGHT_MS + hour * HOUR_MS) for hour in range(0, 24, 3)] == list(range(8))
    assert part_of_day(MIDNIGHT_MS - 1) == 7


def test_nothing_is_told_of_light_shadows_leaves_and_noise(learnt: Surroundings) -> None:
    assert Days(ChangeMap(learnt), ground()).let_pass(3) == []


@pytest.mark.parametrize(
    ("work", "where"), [(hole, (60, 190)), (cable, (255, 190)), (heap, (250, 200))], ids=["hole", "cable", "heap"]
)
def test_what_was_done_to_the_ground_is_told_once_with_its_place(
    learnt: Surroundings, work: Callable[[Picture], Picture], where: tuple[int, int]
) -> None:
    days = Days(ChangeMap(learnt), work(ground()))
    told = days.let_pass(2)
    assert [change.phase for change in told[:1]] == [Phase.START]
    assert {change.phase for change in told[1:]} <= {Phase.UPDATE}
    x, y = where[0] / SIZE[1], where[1] / SIZE[0]
    assert any(box.x1 <= x <= box.x2 and box.y1 <= y <= box.y2 for box in told[0].regions)
    assert told[0].reason == "surroundings_changed"
    assert 0 < told[0].score < 0.1
    days.scene = ground()
    assert [(c.phase, c.reason) for c in days.let_pass(1.01)] == [(Phase.END, "as_before")]


def test_who_digs_a_little_every_day_is_found_too(learnt: Surroundings) -> None:
    days = Days(ChangeMap(learnt), ground())
    told = []
    for day in range(10):
        dug = ground()
        cv2.ellipse(dug, (60, 190), (2 + 2 * day, 1 + day), 0, 0, 360, 25, -1)
        days.scene = dug
        told += days.let_pass(1.01)
    assert told[0].phase is Phase.START


def test_a_whole_new_picture_is_one_gentle_alarm(learnt: Surroundings) -> None:
    told = Days(ChangeMap(learnt), snow(ground())).let_pass(1.5)
    assert [change.reason for change in told if change.phase is Phase.START] == ["surroundings_new"]


def test_a_camera_that_was_nudged_by_a_few_pixels_changes_nothing(learnt: Surroundings) -> None:
    nudged = np.roll(ground(), (2, -3), (0, 1))
    assert Days(ChangeMap(learnt), nudged, shadow=False, leaves=False).let_pass(1) == []


def test_pictures_with_motion_are_not_compared(learnt: Surroundings) -> None:
    chart = ChangeMap(learnt)
    for minute in range(600):
        at_ms = MIDNIGHT_MS + minute * 60_000
        assert chart.look(hole(ground()).astype(np.uint8), quiet=False, now_s=at_ms / 1000, now_ms=at_ms) is None
    assert chart.score is None


def test_a_renewed_reference_ends_the_alarm_and_learns_the_new_ground(learnt: Surroundings) -> None:
    days = Days(ChangeMap(learnt), hole(ground()))
    assert days.let_pass(1.5)
    ended = days.chart.renew()
    assert ended is not None
    assert (ended.phase, ended.reason) == (Phase.END, "reference_renewed")
    assert days.chart.renew() is None
    assert days.let_pass(3) == []


def test_what_is_kept_comes_back_the_same(learnt: Surroundings, tmp_path: Path) -> None:
    store = FileSurroundings(tmp_path, "cam")
    assert store.load() is None
    store.save(learnt)
    again = FileSurroundings(tmp_path, "cam").load()
    assert again is not None
    assert again.revision == learnt.revision
    for number, reference in learnt.references.items():
        assert np.abs(again.references[number].log - reference.log).max() < 0.01
        assert (again.references[number].restless == reference.restless).all()
    assert Days(ChangeMap(again), ground()).let_pass(1) == []
    assert surroundings_file(tmp_path, "cam").stat().st_size < 2_000_000
    assert not store.renewal_wanted()
    surroundings_file(tmp_path, "cam").unlink()
    assert store.renewal_wanted()
    assert not store.renewal_wanted()  # once


@pytest.mark.parametrize("at", [0, 40, 500, -1])
def test_altered_bytes_are_refused(learnt: Surroundings, at: int) -> None:
    data = bytearray(encode(learnt))
    data[at] ^= 1
    with pytest.raises(ViewError, match="damaged"):
        decode(bytes(data))


class Nobody:
    """A detector that finds nothing."""

    def detect(self, image_bgr: object, threshold: float = 0.35) -> list[object]:
        return []


def frames(days: Days, minutes: int) -> Iterator[Frame]:
    for _ in range(minutes):
        yield frame_of(cv2.cvtColor(days.picture(), cv2.COLOR_GRAY2BGR), days.at_ms / 1000)
        days.at_ms += 60_000


def test_the_camera_tells_it_in_words_with_marks(learnt: Surroundings) -> None:
    days = Days(ChangeMap(), hole(ground()), shadow=False, leaves=False)
    analyser = Analyser(CameraSettings(camera_id="c", source="f"), Nobody(), surroundings=learnt)  # type: ignore[arg-type]
    looked = [d for frame in frames(days, 600) for d in analyser.look(frame).decisions]
    [decision] = [d for d in looked if d.kind is AlarmKind.SCENE_CHANGE]
    assert (decision.phase, decision.level) == (Phase.START, Level.YELLOW)
    assert decision.marks
    said = draft(decision, "c")
    assert "现场核查" in said.sentence_zh
    assert "Check on site" in said.sentence_en


def test_the_command_shows_what_is_learnt_and_renews_it(
    learnt: Surroundings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "node.toml"
    config.write_text(
        'site_id = "s"\nnode_id = "n"\ndata_dir = "d"\nmqtt.url = "mqtt://127.0.0.1:1"\n'
        '[[cameras]]\ncamera_id = "gate"\nsource = "rtsp://127.0.0.1/x"\n'
    )
    FileSurroundings(tmp_path / "d" / "views", "gate").save(learnt)
    assert main(["edge", "surroundings", "--config", str(config)]) == 0
    assert "8 of 8" in capsys.readouterr().out
    assert main(["edge", "surroundings", "--config", str(config), "--renew", "gate"]) == 0
    assert not surroundings_file(tmp_path / "d" / "views", "gate").exists()
    assert main(["edge", "surroundings", "--config", str(config), "--renew", "nowhere"]) == 2


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "name",
    [
        "bgslibrary/video.avi",
        "intel/car-detection.mp4",
        "caviar_front/EnterExitCrossingPaths1front.mpg",
    ],
)
def test_a_real_place_in_other_light_is_the_same_place(name: str) -> None:
    with av.open(str(shared_data_or_skip() / "video" / name)) as container:
        grey = next(container.decode(video=0)).to_ndarray(format="gray")
    scene = cv2.resize(grey, (SIZE[1], SIZE[0]), interpolation=cv2.INTER_AREA).astype(np.float32)
    days = Days(ChangeMap(), scene)
    assert days.let_pass(4) == []
    days.scene = hole(scene)
    assert [change.phase for change in days.let_pass(1)] == [Phase.START]
