"""What was learnt and what is declared: over restarts, damage, a clock that is set and a declaration that changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Level, Phase
from sealwatch.contract.messages import Permit
from sealwatch.edge.config import MeterSettings
from sealwatch.edge.declared import DeclaredNow, FixedDeclared
from sealwatch.edge.ports import AlarmDraft, MemorySink
from sealwatch.edge.power.analysis import Analyser
from sealwatch.edge.power.edges import Array
from sealwatch.edge.power.learnt import Learnt, LearntFile
from sealwatch.edge.power.rules.envelope import DEAD_W, permits_of
from sealwatch.edge.power.watcher import MeterWatcher

MONDAY_S = 1_715_529_600.0  # 2024-05-13 00:00 in China
SETTINGS = MeterSettings(meter_id="meter-1", url="tcp://127.0.0.1:1", address="42", poll_interval_s=10.0)


class Bus:
    """A meter whose power is a function of the monotonic time."""

    def __init__(self, clock: ManualClock, power_w: Callable[[float], float]) -> None:
        self._clock, self._power_w = clock, power_w

    def read(self, _address: str, _quantities: object) -> dict[str, float]:
        return {"active_power_w": self._power_w(self._clock.monotonic_s())}

    def close(self) -> None: ...


class ChangingDeclared:
    def __init__(self, now: DeclaredNow) -> None:
        self.now = now

    def current(self) -> DeclaredNow:
        return self.now

    def watch(self, changed: Callable[[DeclaredNow], None]) -> None: ...


def clock_at(wall_s: float) -> ManualClock:
    return ManualClock(wall_ms=int(wall_s * 1000), monotonic_s=100.0)


def poll_for(watcher: MeterWatcher, clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds // 10):
        watcher.poll()
        clock.advance(10.0)


def anomalies(sink: MemorySink) -> list[AlarmDraft]:
    return [a for a in sink.alarms if a.kind == AlarmKind.POWER_ANOMALY]


def minutes_from(start_s: float, count: int) -> Array:
    return np.asarray(start_s + np.arange(count) * 60.0, dtype=np.float64)


def week() -> tuple[Array, Array]:
    """Eight days at 300 W with 15 kW from ten to eleven, at one value a minute."""
    t = minutes_from(MONDAY_S, 8 * 1440)
    hour = (t - MONDAY_S) % 86400 // 3600
    return t, np.asarray(np.where(hour == 10, 15_000.0, 300.0), dtype=np.float64)


def taught() -> Learnt:
    analyser = Analyser(DeclaredStatus.DRAINAGE_ONLY, interval_s=60.0)
    analyser.feed(*week())
    assert analyser.learning == 1.0
    return analyser.learnt()


def test_what_a_week_taught_is_judged_by_after_a_restart(tmp_path: Path) -> None:
    file = LearntFile(tmp_path / "meter-1.learnt.json")
    assert file.load() == (None, "new")
    file.save(taught())
    learnt, outcome = file.load()
    assert outcome == "restored"
    assert learnt == taught()
    after = Analyser(DeclaredStatus.DRAINAGE_ONLY, interval_s=60.0)
    after.remember(learnt)
    t = minutes_from(MONDAY_S + 8 * 86400, 180)
    verdicts = after.feed(t, np.full(180, 60_000.0)).verdicts
    assert "above_learned_maximum" in [v.transition.reason for v in verdicts]


@pytest.mark.parametrize(
    ("damage", "outcome"),
    [
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda _: b"\x00" * 64, "damaged"),
        (lambda _: b"[]", "damaged"),
        (lambda data: data.replace(b'"v":1', b'"v":2'), "other_version"),
        (lambda data: data.replace(b'"learnt":', b'"learnt":"x","l":'), "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_set_aside(
    tmp_path: Path, damage: Callable[[bytes], bytes], outcome: str
) -> None:
    path = tmp_path / "meter-1.learnt.json"
    LearntFile(path).save(taught())
    path.write_bytes(damage(path.read_bytes()))
    assert LearntFile(path).load() == (None, outcome)
    assert not path.exists()
    assert path.with_name("meter-1.learnt.json.damaged").exists()


def test_a_damaged_memory_is_told_once_and_the_meter_is_watched(tmp_path: Path) -> None:
    path = tmp_path / "meter-1.learnt.json"
    path.write_bytes(b"{")
    clock, sink = clock_at(MONDAY_S), MemorySink()
    watcher = MeterWatcher(
        SETTINGS,
        declared=FixedDeclared(DeclaredStatus.POWER_CUT),
        sink=sink,
        clock=clock,
        bus=Bus(clock, lambda t_s: 100.0 + t_s % 20 / 10),
        memory=LearntFile(path),
    )
    poll_for(watcher, clock, 3 * 3600)
    assert [(a.phase, a.reason) for a in sink.alarms] == [
        (Phase.START, "learnt_state_damaged"),
        (Phase.END, "set_aside"),
    ]
    assert "重新学习" in sink.alarms[0].sentence_zh
    assert msgspec.json.decode(path.read_bytes(), type=Learnt).baseline.learnt > 0  # kept anew


def test_a_disk_that_refuses_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    LearntFile(tmp_path / "file" / "m.learnt.json").save(taught())


def permit(*, max_power_w: float | None, from_hour: int = 0, to_hour: int = 24) -> Permit:
    return Permit(
        permit_id="p1",
        from_ms=int(MONDAY_S * 1000),
        to_ms=int((MONDAY_S + 86400) * 1000),
        from_hour=from_hour,
        to_hour=to_hour,
        max_power_w=max_power_w,
    )


def test_a_permit_that_arrives_ends_the_alarm_and_its_end_brings_it_back() -> None:
    clock, sink = clock_at(MONDAY_S), MemorySink()
    declared = ChangingDeclared(DeclaredNow(DeclaredStatus.POWER_CUT))
    watcher = MeterWatcher(SETTINGS, declared=declared, sink=sink, clock=clock, bus=Bus(clock, lambda _: 5000.0))
    poll_for(watcher, clock, 1200)
    declared.now = DeclaredNow(DeclaredStatus.POWER_CUT, (permit(max_power_w=8000.0, to_hour=1),), 1)
    poll_for(watcher, clock, 3600)
    assert [(a.phase, a.reason) for a in anomalies(sink)] == [
        (Phase.START, "power_while_dead"),
        (Phase.END, "declaration_changed"),
        (Phase.START, "power_while_dead"),
    ]
    first, end, _ = anomalies(sink)
    assert first.alarm_id == end.alarm_id
    assert watcher.health().numbers["declaration"] == 1.0


def test_more_power_than_the_permit_allows_is_told_under_the_permit() -> None:
    clock, sink = clock_at(MONDAY_S), MemorySink()
    declared = FixedDeclared(DeclaredStatus.POWER_CUT, (permit(max_power_w=8000.0),))
    watcher = MeterWatcher(SETTINGS, declared=declared, sink=sink, clock=clock, bus=Bus(clock, lambda _: 12_000.0))
    poll_for(watcher, clock, 1200)
    (told,) = anomalies(sink)
    assert (told.reason, told.level) == ("above_permit", Level.ORANGE)
    assert "报备" in told.sentence_zh


def test_at_a_drainage_site_the_pump_may_run_beside_permitted_work() -> None:
    analyser = Analyser(DeclaredStatus.DRAINAGE_ONLY, interval_s=60.0)
    analyser.remember(taught())
    later_s = MONDAY_S + 9 * 86400
    work = permit(max_power_w=4000.0)
    moved = msgspec.structs.replace(work, from_ms=int(later_s * 1000), to_ms=int((later_s + 86400) * 1000))
    analyser.declare(DeclaredStatus.DRAINAGE_ONLY, permits_of([moved]))
    t = minutes_from(later_s, 120)
    assert not analyser.feed(t, np.full(120, 15_000.0 + 3_500.0)).verdicts
    verdicts = analyser.feed(minutes_from(later_s + 7200.0, 120), np.full(120, 15_000.0 + 9_000.0)).verdicts
    assert "above_permit" in [v.transition.reason for v in verdicts]


def test_a_clock_that_is_set_moves_the_hours_and_keeps_what_was_learnt() -> None:
    clock, sink = clock_at(0.0), MemorySink()  # a board without a battery begins in 1970
    watcher = MeterWatcher(
        SETTINGS,
        declared=FixedDeclared(DeclaredStatus.POWER_CUT, (permit(max_power_w=None),)),
        sink=sink,
        clock=clock,
        bus=Bus(clock, lambda _: 2 * DEAD_W),
    )
    poll_for(watcher, clock, 300)
    clock.jump_wall(MONDAY_S + 3600 - clock.wall_ms() / 1000)
    poll_for(watcher, clock, 1200)
    assert anomalies(sink) == []  # by the clock of 1970 no permit would hold
