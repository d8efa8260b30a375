"""The chart of an alarm: what it shows, where it shows it, and how small it is."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.edge.power.chart import HEIGHT_PX, MOST_BYTES, WIDTH_PX, Marks, draw, span_ms

T = 1_715_000_400_000


def picture(data: bytes) -> Any:
    assert len(data) <= MOST_BYTES
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (HEIGHT_PX, WIDTH_PX, 3)
    return image.astype(int)


def test_trips_are_shaded_where_they_were_and_the_start_is_a_red_line() -> None:
    at_ms = T + 1000 * np.arange(1000)
    power_w = np.full(1000, 300.0)
    power_w[400:490] += 9000
    marks = Marks(started_ms=T + 400_000, trips=[(T + 400_000, T + 490_000)])
    image = picture(draw(at_ms, power_w, from_ms=T, to_ms=T + 1_000_000, marks=marks))
    blue, green, red = (image[150, :, k] for k in range(3))
    shaded = np.flatnonzero((blue < 205) & (red > 240))
    width = (WIDTH_PX - 52 - 14) / 1000
    assert shaded.min() == pytest.approx(52 + 400 * width, abs=4)
    assert shaded.max() == pytest.approx(52 + 490 * width, abs=4)
    begun = np.flatnonzero((red > green + 60) & (green < 160))
    assert begun.mean() == pytest.approx(52 + 400 * width, abs=3)


def test_the_curve_is_broken_where_nothing_was_read() -> None:
    at_ms = T + 1000 * np.concatenate((np.arange(400), np.arange(600, 1000)))
    image = picture(draw(at_ms, np.full(800, 5000.0), from_ms=T, to_ms=T + 1_000_000, marks=Marks(started_ms=T)))
    dark = np.flatnonzero((image.sum(axis=2) < 300).any(axis=0))
    missing = [c for c in range(52 + int(0.42 * 654), 52 + int(0.58 * 654)) if c in dark]
    assert not missing


@given(
    st.lists(st.floats(-1e7, 1e7) | st.just(float("nan")), max_size=300),
    st.integers(60_000, 10 * 86_400_000),
    st.floats(0, 1e6) | st.none(),
)
def test_any_power_becomes_a_picture_that_fits(powers: list[float], length_ms: int, limit_w: float | None) -> None:
    at_ms = np.linspace(T, T + length_ms, len(powers)).astype(np.int64)
    marks = Marks(started_ms=T + length_ms // 2, trips=[(T - 5, T + 9), (T + 8, T + 2 * length_ms)], limit_w=limit_w)
    picture(draw(at_ms, np.array(powers), from_ms=T, to_ms=T + length_ms, marks=marks))


def test_a_chart_reaches_back_to_what_led_to_the_alarm() -> None:
    assert span_ms(T, T + 60_000) == (T - 300_000, T + 60_000)
    assert span_ms(T, T + 3_600_000) == (T - 1_200_000, T + 3_600_000)
    with pytest.raises(ValueError, match="span of time"):
        draw(np.empty(0, np.int64), np.empty(0), from_ms=T, to_ms=T, marks=Marks(started_ms=T))
