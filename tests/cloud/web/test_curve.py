"""The power curve as geometry."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from sealwatch.cloud.ports import Series
from sealwatch.cloud.web.curve import Curve, Window, draw

T0 = 1_795_276_800_000  # 2026-11-22 00:00:00 at the sites
HOUR_MS = 3_600_000


def curve(
    values: Sequence[float | None], *, step_ms: int = 60_000, windows: list[Window] | None = None
) -> Curve | None:
    series = Series(metric="active_power_w", at_ms=[T0 + i * step_ms for i in range(len(values))], values=values)
    return draw(series, source_id="m", from_ms=T0, to_ms=T0 + 2 * HOUR_MS, windows=windows or [])


def drawn(values: Sequence[float | None], **options: object) -> Curve:
    found = curve(values, **options)  # type: ignore[arg-type]  # passed on as they come
    assert found is not None
    return found


def test_no_reading_is_no_curve() -> None:
    assert curve([]) is None
    assert curve([None, None]) is None


def test_the_highest_reading_stays_inside_and_the_scale_is_round() -> None:
    found = drawn([100.0] * 60 + [3274.0] + [100.0] * 60)
    assert [tick.label for tick in found.power_ticks] == ["", "1 kW", "2 kW", "3 kW"]
    assert (found.largest_w, found.largest_at_ms) == (3274.0, T0 + 60 * 60_000)
    heights = [float(y) for y in re.findall(r"[ML]\S+ (\S+?)(?=[LVHZ]|$)", found.lines[0])]
    assert 0 < min(heights) < 300
    assert max(heights) <= 1000


def test_silence_breaks_the_line_and_a_lone_reading_is_a_dot() -> None:
    found = drawn([100.0] * 10 + [None] * 5 + [200.0] + [None] * 5 + [100.0] * 100)
    assert len(found.lines) == 3
    assert len(found.areas) == 2
    assert found.lines[1].count("L") == 1


def test_missing_minutes_break_the_line_as_gaps_do() -> None:
    at_ms = [T0 + i * 5000 for i in range(100)] + [T0 + HOUR_MS + i * 5000 for i in range(100)]
    series = Series(metric="p", at_ms=at_ms, values=[50.0] * 200)
    found = draw(series, source_id="m", from_ms=T0, to_ms=T0 + 2 * HOUR_MS, windows=[])
    assert found is not None
    assert len(found.lines) == 2
    assert found.stale


def test_a_fresh_curve_is_not_stale() -> None:
    assert not drawn([5.0] * 121).stale
    assert drawn([5.0] * 121).silence is None
    assert drawn([5.0] * 100).stale


def test_time_ticks_are_round_local_times() -> None:
    assert [tick.label for tick in drawn([1.0] * 121).time_ticks] == ["00:30", "01:00", "01:30"]


def test_alarms_that_overlap_are_shaded_once_and_cut_at_the_edges() -> None:
    windows = [
        Window(from_ms=T0 - HOUR_MS, to_ms=T0 + HOUR_MS // 2),
        Window(from_ms=T0 + HOUR_MS // 4, to_ms=T0 + HOUR_MS),
        Window(from_ms=T0 + 90 * 60_000, to_ms=T0 + 90 * 60_000),
        Window(from_ms=T0 + 3 * HOUR_MS, to_ms=T0 + 4 * HOUR_MS),
    ]
    shades = drawn([1.0] * 121, windows=windows).shades
    assert [(shade.left, shade.width) for shade in shades] == [(0.0, 50.0), (75.0, 0.5)]


def test_power_fed_back_is_drawn_below_zero() -> None:
    found = drawn([-2000.0] * 60 + [1000.0] * 61)
    assert any(tick.label.startswith("-") for tick in found.power_ticks)
    assert 0 < found.zero_percent < 100


@given(
    values=st.lists(st.none() | st.floats(-1e5, 1e6), max_size=150),
    step_ms=st.integers(1, 200_000),
    windows=st.lists(st.tuples(st.integers(-(10**7), 10**7), st.integers(0, 10**7)), max_size=5),
)
def test_whatever_the_meter_says_the_drawing_stays_in_its_frame(
    values: list[float | None], step_ms: int, windows: list[tuple[int, int]]
) -> None:
    found = curve(
        values, step_ms=step_ms, windows=[Window(from_ms=T0 + a, to_ms=T0 + a + length) for a, length in windows]
    )
    if found is None:
        return
    for path in found.lines + found.areas:
        assert all(-1 <= float(n) <= 1001 for n in re.findall(r"-?\d+", path)), path
    assert 1 <= len(found.power_ticks) <= 8
    assert len(found.time_ticks) <= 6
    for shade in found.shades:
        assert shade.left >= 0
        assert shade.left + shade.width <= 100.01
