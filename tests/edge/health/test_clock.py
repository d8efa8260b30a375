"""How far the clock is believed, from what the kernel says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract.codes import ClockQuality
from sealwatch.edge.health.clock import ClockWatch, KernelClock, judge, read_kernel

NOW_MS = 1_767_225_600_000
UNSYNC, PLL, NANO, TIME_ERROR = 0x40, 0x01, 0x2000, 5


def kernel(*, state: int = 0, status: int = PLL, offset: int = 0) -> KernelClock:
    return KernelClock(state=state, status=status, offset=offset, max_error_us=1000)


@pytest.mark.parametrize(
    ("said", "was", "wall_ms", "quality", "reason", "offset_ms"),
    [
        (kernel(offset=1500), False, NOW_MS, ClockQuality.SYNCHRONISED, "disciplined", 1.5),
        (kernel(status=PLL | NANO, offset=-2_500_000), False, NOW_MS, ClockQuality.SYNCHRONISED, "disciplined", -2.5),
        (kernel(status=0), False, NOW_MS, ClockQuality.SYNCHRONISED, "disciplined", None),
        (kernel(status=PLL | UNSYNC), False, NOW_MS, ClockQuality.UNSYNCHRONISED, "never_synchronised", None),
        (kernel(status=PLL | UNSYNC), True, NOW_MS, ClockQuality.HOLDOVER, "source_away", None),
        (kernel(state=TIME_ERROR), True, NOW_MS, ClockQuality.HOLDOVER, "source_away", None),
        (kernel(), True, 5_000, ClockQuality.UNSYNCHRONISED, "date_in_the_past", None),
        (None, True, NOW_MS, ClockQuality.UNSYNCHRONISED, "kernel_says_nothing", None),
    ],
)
def test_the_quality_follows_what_the_kernel_says_and_nothing_else(
    said: KernelClock | None, was: bool, wall_ms: int, quality: ClockQuality, reason: str, offset_ms: float | None
) -> None:
    state = judge(said, wall_ms=wall_ms, was_synchronised=was)
    assert (state.quality, state.reason, state.offset_ms) == (quality, reason, offset_ms)


def test_a_clock_that_was_synchronised_and_loses_its_source_is_in_holdover_and_comes_back(tmp_path: Path) -> None:
    clock = ManualClock(wall_ms=NOW_MS)
    said = [kernel(status=UNSYNC)]
    watch = ClockWatch(clock, kernel=lambda: said[0], synchronised_mark=tmp_path / "mark")
    qualities = []
    for status in (UNSYNC, PLL, UNSYNC, PLL):
        said[0] = kernel(status=status)
        clock.advance(2)
        qualities.append(watch().quality.value)
        assert watch.health().ok == (status == PLL)
    assert qualities == ["unsynchronised", "synchronised", "holdover", "synchronised"]


def test_a_synchronisation_before_the_agent_started_counts_by_the_mark_that_timesyncd_leaves(tmp_path: Path) -> None:
    mark = tmp_path / "synchronized"
    mark.touch()
    watch = ClockWatch(ManualClock(wall_ms=NOW_MS), kernel=lambda: kernel(status=UNSYNC), synchronised_mark=mark)
    assert watch().quality is ClockQuality.HOLDOVER


def test_the_kernel_is_not_asked_for_every_message() -> None:
    asked = []
    clock = ManualClock(wall_ms=NOW_MS)
    watch = ClockWatch(clock, kernel=lambda: asked.append(1), synchronised_mark=Path("/nowhere"))
    for _ in range(10):
        watch()
    assert len(asked) == 1
    clock.advance(1)
    watch()
    assert len(asked) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="adjtimex(2) is Linux's")
def test_this_machines_kernel_answers_without_any_rights() -> None:
    said = read_kernel()
    assert said is not None
    assert 0 <= said.state <= TIME_ERROR
    assert said.max_error_us >= 0
