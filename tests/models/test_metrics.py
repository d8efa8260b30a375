"""Average precision and picture rates against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.models.metrics import Scored, average_precision, picture_rates, true_positives

Corners = tuple[float, float, float, float]
A: Corners = (0, 0, 10, 10)
B: Corners = (100, 0, 110, 10)
C: Corners = (200, 0, 210, 10)
NOWHERE: Corners = (500, 500, 510, 510)


def picture(labelled: list[Corners], *found: tuple[Corners, float]) -> Scored:
    return Scored(
        np.array(labelled, np.float32).reshape(-1, 4),
        np.array([box for box, _ in found], np.float32).reshape(-1, 4),
        np.array([score for _, score in found], np.float32),
    )


def test_everything_found_and_nothing_else_is_one() -> None:
    assert average_precision([picture([A, B], (A, 0.9), (B, 0.8))], 0.5) == pytest.approx(1.0)


def test_nothing_found_is_zero() -> None:
    assert average_precision([picture([A])], 0.5) == 0.0
    assert average_precision([picture([A], (NOWHERE, 0.9))], 0.5) == 0.0


def test_without_labels_there_is_no_figure() -> None:
    assert average_precision([picture([], (A, 0.9))], 0.5) is None
    assert average_precision([], 0.5) is None


def test_right_wrong_right_of_three_labels() -> None:
    # Recall 1/3 at precision 1; then 2/3 at precision 2/3: 1/3 * 1 + 1/3 * 2/3 = 5/9.
    found = ((A, 0.9), (NOWHERE, 0.8), (B, 0.7))
    assert average_precision([picture([A, B, C], *found)], 0.5) == pytest.approx(5 / 9)


def test_precision_that_recovers_counts_with_its_later_best() -> None:
    # Wrong, right, right of two labels: precision 0, 1/2, 2/3; made monotone 2/3 at both recall steps.
    found = ((NOWHERE, 0.9), (A, 0.8), (B, 0.7))
    assert average_precision([picture([A, B], *found)], 0.5) == pytest.approx(2 / 3)


def test_a_second_box_on_the_same_person_is_false() -> None:
    # Right, double, right of two: precision 1, 1/2, 2/3: 1/2 * 1 + 1/2 * 2/3 = 5/6.
    found = ((A, 0.9), ((0, 0, 10, 9), 0.8), (B, 0.7))
    assert average_precision([picture([A, B], *found)], 0.5) == pytest.approx(5 / 6)


def test_scores_are_ranked_over_all_pictures_together() -> None:
    # In order of score: wrong (picture 2), right (picture 1): precision 1/2 at full recall.
    pictures = [picture([A], (A, 0.6)), picture([], (A, 0.9))]
    assert average_precision(pictures, 0.5) == pytest.approx(0.5)


def test_a_box_that_is_half_off_counts_at_the_lower_threshold_only() -> None:
    shifted: Corners = (5, 0, 15, 10)  # 50 of 150 shared: IoU 1/3
    pictures = [picture([A], (shifted, 0.9))]
    assert average_precision(pictures, 0.5) == 0.0
    assert average_precision(pictures, 0.3) == pytest.approx(1.0)


def test_each_detection_takes_the_free_label_it_overlaps_most() -> None:
    near: Corners = (4, 0, 14, 10)
    found: list[tuple[Corners, float]] = [((1, 0, 11, 10), 0.9), ((2, 0, 12, 10), 0.8)]
    # The first is nearest to A; the second, which A would suit as well, takes what is left.
    assert true_positives(picture([A, near], *found), 0.5).tolist() == [True, True]


def test_answers_come_in_the_order_of_the_boxes_not_of_their_scores() -> None:
    assert true_positives(picture([A], (A, 0.2), (A, 0.9)), 0.5).tolist() == [False, True]


@given(st.lists(st.tuples(st.booleans(), st.floats(0.125, 1, width=32)), min_size=1, max_size=12), st.integers(0, 3))
def test_the_figure_is_a_share_and_never_gains_from_one_more_false_box(
    raw: list[tuple[bool, float]], missed: int
) -> None:
    right: list[Corners] = [(i * 100, 0, i * 100 + 10, 10) for i in range(len(raw))]
    labels = [box for box, (is_right, _) in zip(right, raw, strict=True) if is_right]
    labels += [(i * 100, 900, i * 100 + 10, 910) for i in range(missed + 1)]
    found = [
        (box if is_right else (box[0] + 30, 0, box[2] + 30, 10), score)
        for box, (is_right, score) in zip(right, raw, strict=True)
    ]
    value = average_precision([picture(labels, *found)], 0.5)
    more = average_precision([picture(labels, *found, (NOWHERE, 0.5))], 0.5)
    assert value is not None
    assert more is not None
    assert 0 <= more <= value + 1e-9
    assert value <= sum(is_right for is_right, _ in raw) / len(labels) + 1e-9


def test_pictures_are_counted_by_what_is_reported_in_them() -> None:
    pictures = [
        picture([A], (A, 0.5)),
        picture([A, B], (NOWHERE, 0.4)),  # reported, if in the wrong place: the picture still calls somebody
        picture([A], (A, 0.2)),
        picture([], (A, 0.36)),
        picture([]),
    ]
    rates = picture_rates(pictures, 0.35)
    assert (rates.with_persons, rates.hit, rates.without_persons, rates.false) == (3, 2, 2, 1)
    assert rates.hit_rate == pytest.approx(2 / 3)
    assert rates.false_rate == pytest.approx(1 / 2)


def test_a_rate_of_nothing_is_no_rate() -> None:
    assert picture_rates([picture([])], 0.5).hit_rate is None
    assert picture_rates([picture([A])], 0.5).false_rate is None
