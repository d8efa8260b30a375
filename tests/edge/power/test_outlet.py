"""What leaves for the service, and what stays on the node's own disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sealwatch.edge.ports import MemorySink
from sealwatch.edge.power.outlet import AFTER_S, BEFORE_S, Outlet
from sealwatch.edge.power.ring import RECORD, RawRing

START_MS = 1_715_529_600_000
DAY_MS = 86_400_000


def feed(outlet: Outlet, seconds: range, power_w: float = 300.0) -> None:
    for s in seconds:
        outlet.take(float(s), START_MS + 1000 * s, {"active_power_w": power_w + s % 10})


def test_minutes_carry_mean_extremes_and_count() -> None:
    sink = MemorySink()
    outlet = Outlet(sink, "m", per_minute=True)
    feed(outlet, range(185))
    outlet.close()
    assert [times for _, times, _ in sink.sampled] == [[START_MS + 60_000 * k] for k in range(4)]
    first = sink.sampled[0][2]
    assert first["active_power_w"] == [304.5]
    assert (first["active_power_min_w"], first["active_power_max_w"], first["readings"]) == ([300.0], [309.0], [60.0])


def test_an_alarm_takes_the_raw_seconds_around_it_along_and_each_only_once() -> None:
    sink = MemorySink()
    outlet = Outlet(sink, "m", per_minute=True)
    feed(outlet, range(600))
    outlet.alarm(START_MS + 599_000)
    feed(outlet, range(600, 900))
    outlet.close()
    raw = [ms for _, times, columns in sink.sampled for ms in times if "readings" not in columns]
    assert len(raw) == len(set(raw))
    assert min(raw) == START_MS + 1000 * (599 - int(BEFORE_S))
    assert max(raw) == START_MS + 1000 * 659  # to the end of the minute in which it is over
    assert (599 + AFTER_S) == 659


def test_a_minute_whose_seconds_were_sent_has_no_mean_that_would_be_drawn_among_them() -> None:
    sink = MemorySink()
    outlet = Outlet(sink, "m", per_minute=True)
    feed(outlet, range(630))
    outlet.alarm(START_MS + 629_000)
    feed(outlet, range(630, 900))
    outlet.close()
    minutes = {times[0]: columns for _, times, columns in sink.sampled if "readings" in columns}
    assert len(minutes) == 15
    without = [k for k in range(15) if "active_power_w" not in minutes[START_MS + 60_000 * k]]
    # Minute 9 was sent before the alarm; its seconds came behind it and at its very moment, where they replace it.
    assert without == [10, 11]
    seconds = [ms for _, times, columns in sink.sampled if "readings" not in columns for ms in times]
    assert START_MS + 60_000 * 9 in seconds


def test_the_ring_gives_back_what_it_was_given_and_forgets_after_a_week(tmp_path: Path) -> None:
    ring = RawRing(tmp_path, "m")
    for day in range(10):
        at_ms = [START_MS + day * DAY_MS + k * 1000 for k in range(5)]
        ring.append(at_ms, [{"active_power_w": 100.0 * day, "active_power_a_w": 1.0}] * 5)
    assert len(list(tmp_path.iterdir())) == 7
    records = ring.read(START_MS + 9 * DAY_MS + 1000, START_MS + 9 * DAY_MS + 3000)
    assert records["active_power_w"].tolist() == [900.0, 900.0]
    assert np.isnan(records["b_w"]).all()
    assert len(ring.read(START_MS, START_MS + DAY_MS)) == 0


def test_a_record_torn_by_a_power_cut_is_left_out_and_writing_goes_on(tmp_path: Path) -> None:
    ring = RawRing(tmp_path, "m")
    ring.append([START_MS], [{"active_power_w": 1.0}])
    (file,) = tmp_path.iterdir()
    with file.open("ab") as out:
        out.write(b"\x01" * (RECORD.itemsize - 3))
    assert ring.read(START_MS, START_MS + 1)["active_power_w"].tolist() == [1.0]
    ring.append([START_MS + 1000], [{"active_power_w": 2.0}])
    assert ring.read(START_MS, START_MS + 2000)["active_power_w"].tolist() == [1.0, 2.0]


def test_a_full_disk_does_not_stop_the_readings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Full(RawRing):
        def append(self, at_ms: object, values: object) -> None:
            raise OSError(28, "No space left on device")

    sink = MemorySink()
    outlet = Outlet(sink, "m", ring=Full(tmp_path, "m"))
    feed(outlet, range(30))
    outlet.close()
    assert sum(len(times) for _, times, _ in sink.sampled) == 30
    assert caplog.text.count("cannot be kept") == 1
