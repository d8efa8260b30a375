"""The real detector on real recordings, where both are at hand."""

from __future__ import annotations

from typing import Any

import pytest

from sealwatch.edge.cli_replay import load_detector, replay
from sealwatch.edge.config import CameraSettings, LineSettings
from sealwatch.edge.video.ports import ObjectDetector
from sealwatch.models.errors import ModelMissingError
from tests.support import shared_data_or_skip

DOOR = LineSettings(name="door", points=[(0.55, 0.525), (0.96, 0.525)], inside=(0.75, 0.4))

pytestmark = pytest.mark.shared_data


@pytest.fixture(scope="module")
def detector() -> ObjectDetector:
    try:
        return load_detector(None)
    except ModelMissingError as missing:
        pytest.skip(str(missing))


def told(detector: ObjectDetector, name: str, **settings: Any) -> list[dict[str, Any]]:
    path = shared_data_or_skip() / "video" / name
    lines = replay(CameraSettings(camera_id="cam", source=str(path), **settings), detector)
    return [line for line in lines if "phase" in line]


@pytest.mark.parametrize(
    ("name", "into", "out"), [("EnterExitCrossingPaths1front.mpg", 1, 1), ("OneLeaveShop1front.mpg", 0, 1)]
)
def test_people_through_the_shop_door_are_counted_exactly(
    detector: ObjectDetector, name: str, into: int, out: int
) -> None:
    lines = told(detector, f"caviar_front/{name}", lines=[DOOR])
    assert sum(line.get("direction") == "in" for line in lines) == into
    assert sum(line.get("direction") == "out" for line in lines) == out


@pytest.mark.parametrize(
    ("name", "code", "begins_s"),
    [("Defocusing", "0005", 0.8), ("Displacement", "0002", 2.7), ("Occlusion", "0001", 2.0)],
)
def test_a_tampered_camera_is_named_with_the_right_code_and_no_other(
    detector: ObjectDetector, name: str, code: str, begins_s: float
) -> None:
    lines = [line for line in told(detector, f"tamper_vas/{name}.mp4") if line["kind"] in ("camera_fault", "person")]
    assert [line["code"] for line in lines] == [code]
    assert lines[0]["t_s"] > begins_s


@pytest.mark.parametrize("name", ["intel/car-detection.mp4", "bgslibrary/video.avi"])
def test_recordings_without_people_raise_no_person(detector: ObjectDetector, name: str) -> None:
    assert [line for line in told(detector, name) if line["kind"] == "person"] == []
