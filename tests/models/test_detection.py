from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.models import detection
from sealwatch.models.detection import Box, Detection


def floats(*rows: list[float]) -> detection.Floats:
    return np.array(rows, np.float32)


def test_a_wide_picture_gets_bars_above_and_below() -> None:
    fit = detection.letterbox(832, 416, 416, 416)
    assert (fit.scale, fit.left_px, fit.top_px, fit.width_px, fit.height_px) == (0.5, 0, 104, 416, 208)


def test_a_tall_picture_gets_bars_at_the_sides() -> None:
    fit = detection.letterbox(100, 200, 640, 384)
    assert (fit.left_px, fit.top_px, fit.width_px, fit.height_px) == (224, 0, 192, 384)


@pytest.mark.parametrize("size", [(0, 10), (10, 0)])
def test_an_empty_picture_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="nothing to detect"):
        detection.letterbox(*size, 416, 416)


@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    corners=st.tuples(*[st.floats(0, 1, width=32)] * 4),
)
def test_a_box_survives_the_way_into_the_network_and_back(
    width: int, height: int, corners: tuple[float, float, float, float]
) -> None:
    fit = detection.letterbox(width, height, 416, 416)
    assert 0 <= fit.left_px <= 416 - fit.width_px
    assert 0 <= fit.top_px <= 416 - fit.height_px
    x1, x2 = sorted((corners[0], corners[1]))
    y1, y2 = sorted((corners[2], corners[3]))
    inside = floats(
        [
            fit.left_px + x1 * fit.width_px,
            fit.top_px + y1 * fit.height_px,
            fit.left_px + x2 * fit.width_px,
            fit.top_px + y2 * fit.height_px,
        ]
    )
    back = detection.to_image(inside, fit, width, height)[0]
    assert back == pytest.approx(
        [x1 * width, y1 * height, x2 * width, y2 * height], abs=0.01 + max(width, height) * 2e-4
    )


def test_a_box_that_reaches_into_the_bars_is_clipped_to_the_picture() -> None:
    fit = detection.letterbox(200, 100, 416, 416)
    clipped = detection.to_image(floats([-50, 0, 500, 416]), fit, 200, 100)
    assert clipped.tolist() == [[0, 0, 200, 100]]


def test_yolo_rows_become_corners_and_scores() -> None:
    predictions = np.zeros((1, 6, 2), np.float32)
    predictions[0, :, 1] = [100, 50, 20, 10, 0.2, 0.7]
    boxes, scores = detection.decode_yolov8(predictions)
    assert boxes[1].tolist() == [90, 45, 110, 55]
    assert scores[1] == pytest.approx([0.2, 0.7])


def test_outputs_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        detection.decode_boxes_scores(np.zeros((1, 5, 4), np.float32), np.zeros((1, 6, 80), np.float32))
    with pytest.raises(ValueError, match="4 \\+ classes"):
        detection.decode_yolov8(np.zeros((1, 4, 9), np.float32))


def test_candidates_come_best_first_and_one_row_may_stand_for_two_classes() -> None:
    scores = floats([0.4, 0.9], [0.36, 0.1], [0.1, 0.2])
    rows, classes = detection.candidates(scores, 0.35, [0, 1])
    assert list(zip(rows.tolist(), classes.tolist(), strict=True)) == [(0, 1), (0, 0), (1, 0)]


def test_a_score_that_is_not_a_number_never_becomes_a_candidate() -> None:
    rows, _ = detection.candidates(floats([float("nan"), 0.5]), 0.35, [0, 1])
    assert rows.tolist() == [0]


def test_only_wanted_classes_are_candidates() -> None:
    rows, classes = detection.candidates(floats([0.9, 0.8, 0.7]), 0.35, [2])
    assert (rows.tolist(), classes.tolist()) == ([0], [2])


def test_candidates_are_bounded() -> None:
    scores = np.linspace(0.4, 0.9, detection.CANDIDATES_MAX * 2, dtype=np.float32)[:, np.newaxis]
    rows, _ = detection.candidates(scores, 0.35, [0])
    assert len(rows) == detection.CANDIDATES_MAX
    assert rows[0] == len(scores) - 1


def test_overlap_is_shared_area_over_joint_area() -> None:
    square = floats([0, 0, 10, 10])[0]
    others = floats([0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3])
    assert detection.iou(square, others) == pytest.approx([1, 50 / 150, 0, 0])


def test_the_weaker_of_two_overlapping_boxes_goes_but_only_within_its_class() -> None:
    boxes = floats([0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9], [30, 0, 40, 10])
    classes = np.array([0, 0, 1, 0])
    assert detection.suppress(boxes, classes, 0.55) == [0, 2, 3]


def test_a_suppressed_box_suppresses_nothing_itself() -> None:
    # b overlaps a and c; a and c hardly overlap: with b gone, c stays.
    boxes = floats([0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10])
    assert detection.suppress(boxes, np.zeros(3, np.intp), 0.5) == [0, 2]


@given(
    st.lists(st.tuples(*[st.integers(0, 60)] * 4, st.integers(0, 2)), max_size=40),
    st.floats(0.1, 0.9),
)
def test_kept_boxes_of_a_class_never_overlap_by_more_than_the_threshold(
    raw: list[tuple[int, int, int, int, int]], threshold: float
) -> None:
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in raw], np.float32).reshape(-1, 4)
    classes = np.array([row[4] for row in raw], np.intp)
    kept = detection.suppress(boxes, classes, threshold)
    for position, first in enumerate(kept):
        for second in kept[position + 1 :]:
            if classes[first] == classes[second]:
                assert detection.iou(boxes[first], boxes[second : second + 1])[0] <= threshold
    for gone in set(range(len(boxes))) - set(kept):
        rivals = [k for k in kept if k < gone and classes[k] == classes[gone]]
        assert any(detection.iou(boxes[k], boxes[gone : gone + 1])[0] > threshold for k in rivals)


def test_a_person_over_most_of_the_picture_is_marked_not_dropped() -> None:
    box = Box(0, 0, 90, 90)
    assert Detection("person", 0.9, box, 0.81).distrusted
    assert not Detection("person", 0.9, box, 0.6).distrusted
    assert not Detection("truck", 0.9, box, 0.81).distrusted


def test_a_detection_on_a_crop_is_judged_by_the_whole_frame() -> None:
    seen = Detection("person", 0.8, Box(0, 0, 100, 100), 1.0).moved(50, 20, 1000, 100)
    assert seen.box == Box(50, 20, 150, 120)
    assert seen.frame_share == pytest.approx(0.1)
    assert not seen.distrusted
