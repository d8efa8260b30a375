"""The watcher from the meter's bytes to alarms, samples and health, on a clock that never waits."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.base.errors import UsageError
from sealwatch.base.settings import SettingsError
from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Level, Phase
from sealwatch.edge.config import MeterSettings
from sealwatch.edge.declared import FixedDeclared
from sealwatch.edge.ports import MemorySink
from sealwatch.edge.power.bus import Dlt645Bus, Lines
from sealwatch.edge.power.line import Line
from sealwatch.edge.power.profiles import load_profile, parse_profile, profile_names
from sealwatch.edge.power.ring import RawRing
from sealwatch.edge.power.rules.meter import MeterState, advance
from sealwatch.edge.power.sentences import meter_sentences
from sealwatch.edge.power.watcher import MeterWatcher, meter_watchers
from sealwatch.edge.power.wire import NullModem
from sealwatch.simulator.loads.scenarios import demo_load, hut_load
from sealwatch.simulator.meter_twin import Load, MeterTwin, Misbehaviour

SETTINGS = MeterSettings(meter_id="meter-1", url="tcp://127.0.0.1:1", address="42")


class StoppingClock(ManualClock):
    """Sets the stop event when its time has come."""

    def __init__(self, stop: threading.Event, after_s: float) -> None:
        super().__init__(wall_ms=1_715_227_200_000, monotonic_s=0.0)
        self._stop, self._after_s = stop, after_s

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        if self.monotonic_s() >= self._after_s:
            self._stop.set()


class Bench:
    def __init__(
        self,
        load: Load,
        *,
        run_s: float,
        declared: DeclaredStatus = DeclaredStatus.POWER_CUT,
        ring: RawRing | None = None,
        settings: MeterSettings = SETTINGS,
    ) -> None:
        self.stop = threading.Event()
        self.clock = StoppingClock(self.stop, run_s)
        self.twin = MeterTwin(load, address="42", seconds=self.clock.monotonic_s)
        self.sink = MemorySink()
        line = Line(lambda: NullModem(self.twin.hear, self.clock), clock=self.clock)
        bus = Dlt645Bus(line, load_profile("dlt645-2007-three-phase"))
        self.watcher = MeterWatcher(
            settings, declared=FixedDeclared(declared), sink=self.sink, clock=self.clock, bus=bus, ring=ring
        )

    def run(self) -> None:
        self.watcher.run(self.stop)


def steady(_t_s: float) -> dict[str, float]:
    """A meter under 300 W that provides nothing but powers."""
    return {"active_power_w": 300.0, "active_power_a_w": 300.0, "active_power_b_w": 0.0, "active_power_c_w": 0.0}


def test_the_demo_load_at_a_cut_off_site_tells_the_story_in_both_languages() -> None:
    bench = Bench(demo_load(), run_s=400)
    bench.run()
    kinds = [(a.kind, a.phase, a.level) for a in bench.sink.alarms]
    assert kinds == [
        (AlarmKind.POWER_STEP, Phase.START, Level.ORANGE),
        (AlarmKind.HOIST_LIKE_CYCLE, Phase.START, Level.RED),
    ]
    hoist = bench.sink.alarms[1]
    assert hoist.reason == "similar_pulses_repeat"
    assert "2 次" in hoist.sentence_zh
    assert "提升样脉冲" in hoist.sentence_zh
    assert "申报断电" in hoist.sentence_zh
    assert "hoist-like" in hoist.sentence_en
    assert "declared cut off" in hoist.sentence_en
    assert hoist.started_at_ms == pytest.approx(1_715_227_200_000 + 60_000, abs=4000)
    assert hoist.numbers["trips"] == 2


def test_every_alarm_of_a_meter_that_keeps_its_seconds_brings_a_small_chart(tmp_path: Path) -> None:
    bench = Bench(demo_load(), run_s=400, ring=RawRing(tmp_path, "meter-1"))
    bench.run()
    charts = [a.snapshot_jpeg for a in bench.sink.alarms]
    assert len(charts) == 2
    for jpeg in charts:
        assert jpeg is not None
        assert jpeg[:2] == b"\xff\xd8"
        assert len(jpeg) <= 20_000


def test_a_disk_that_fails_costs_the_chart_and_not_the_alarm(tmp_path: Path) -> None:
    ring = RawRing(tmp_path / "ring", "meter-1")
    bench = Bench(demo_load(), run_s=400, ring=ring)
    (tmp_path / "ring").rmdir()
    (tmp_path / "ring").write_text("no folder any more")
    bench.run()
    assert [a.kind for a in bench.sink.alarms] == [AlarmKind.POWER_STEP, AlarmKind.HOIST_LIKE_CYCLE]
    assert [a.snapshot_jpeg for a in bench.sink.alarms] == [None, None]


def test_samples_leave_in_batches_and_none_is_lost() -> None:
    bench = Bench(demo_load(), run_s=60)
    bench.run()
    at_ms = [ms for _, times, _ in bench.sink.sampled for ms in times]
    assert len(at_ms) == len(set(at_ms))
    assert 55 <= len(at_ms) <= 61
    assert max(len(times) for _, times, _ in bench.sink.sampled) <= 7
    names = {name for _, _, columns in bench.sink.sampled for name in columns}
    assert {"active_power_w", "active_power_a_w", "voltage_a_v", "forward_energy_wh"} <= names
    assert all(source == "meter-1" for source, _, _ in bench.sink.sampled)


def test_health_is_a_fresh_reading_not_a_running_thread() -> None:
    bench = Bench(demo_load(), run_s=10)
    assert (bench.watcher.health().ok, bench.watcher.health().reason) == (False, "not_read_yet")
    bench.run()
    health = bench.watcher.health()
    assert (health.part_id, health.kind, health.ok, health.reason) == ("meter-1", "meter", True, "reading")
    assert health.numbers["answers"] >= 9
    bench.clock.advance(31)
    assert not bench.watcher.health().ok


def test_a_meter_that_falls_silent_is_a_fault_after_half_a_minute_until_it_is_back() -> None:
    bench = Bench(steady, run_s=1e9)
    for _ in range(10):
        bench.watcher.poll()
        bench.clock.advance(1)
    bench.twin.misbehaviours = {Misbehaviour.SILENT}
    silent_s = bench.clock.monotonic_s()
    while not bench.sink.alarms:
        bench.watcher.poll()
        bench.clock.advance(1)
    assert 29 <= bench.clock.monotonic_s() - silent_s <= 34
    bench.twin.misbehaviours = set()
    for _ in range(15):
        bench.watcher.poll()
        bench.clock.advance(1)
    start, end = bench.sink.alarms
    assert (start.kind, start.phase, start.level, start.reason) == (
        AlarmKind.METER_FAULT,
        Phase.START,
        Level.ORANGE,
        "silent",
    )
    assert end.phase is Phase.END
    assert end.alarm_id == start.alarm_id
    assert "meter-1" in start.sentence_en
    assert "无应答" in start.sentence_zh


def test_an_opened_cover_is_told_once_and_ends_when_nothing_further_happens() -> None:
    bench = Bench(hut_load(), run_s=300)
    bench.run()
    bench.stop.clear()
    bench.clock._after_s = 1500
    bench.twin.counters["cover_opened_count"] += 1
    bench.run()
    start, end = (a for a in bench.sink.alarms if a.kind == AlarmKind.METER_FAULT)
    assert (start.kind, start.phase, start.level, start.reason) == (
        AlarmKind.METER_FAULT,
        Phase.START,
        Level.ORANGE,
        "cover_opened",
    )
    assert "表盖被打开" in start.sentence_zh
    assert (end.phase, end.reason, end.alarm_id) == (Phase.END, "nothing_further", start.alarm_id)


def readings(powers_w: list[float], registers_wh: list[float], every_s: float = 10.0) -> list[tuple[Phase, str]]:
    state, told = MeterState(), []
    for k, (power_w, register_wh) in enumerate(zip(powers_w, registers_wh, strict=True)):
        state, found = advance(state, k * every_s, {"active_power_w": power_w, "forward_energy_wh": register_wh})
        told += [(t.phase, t.reason) for _, t in found]
    return told


def test_a_register_that_grows_too_slowly_is_a_bypass_and_one_that_agrees_is_not() -> None:
    powers = [9000.0 + (k % 7) for k in range(600)]
    honest = [1000.0 + 9003.0 * k * 10 / 3600 for k in range(600)]
    bypassed = [1000.0 + 3000.0 * k * 10 / 3600 for k in range(600)]
    assert readings(powers, honest) == []
    assert readings(powers, bypassed) == [(Phase.START, "energy_does_not_match")]


def test_a_register_that_goes_back_was_reset() -> None:
    powers = [900.0 + k % 3 for k in range(100)]
    registers = [50_000.0 + 2.5 * k for k in range(50)] + [2.5 * k for k in range(50)]
    assert (Phase.START, "register_went_back") in readings(powers, registers)


def test_a_reading_that_never_moves_is_told_until_it_moves() -> None:
    powers = [1500.0] * 120 + [1501.0]
    registers = [4.17 * k for k in range(121)]
    assert readings(powers, registers) == [(Phase.START, "frozen_values"), (Phase.END, "values_move")]
    assert readings([0.0] * 300, [0.0] * 300) == []


def test_a_meter_that_never_answered_is_a_milder_fault() -> None:
    bench = Bench(lambda _t: {}, run_s=60)
    bench.twin.misbehaviours = {Misbehaviour.ECHO_ONLY}
    bench.run()
    (alarm,) = bench.sink.alarms
    assert (alarm.level, alarm.reason) == (Level.YELLOW, "echo")


def test_a_meter_that_refuses_a_slow_quantity_is_not_asked_for_it_again() -> None:
    bench = Bench(steady, run_s=200)
    refused: list[str] = []
    original = bench.twin._content

    def content(identifier: str) -> bytes | None:
        if identifier == "0203FF00":
            return original(identifier)
        refused.append(identifier)
        return None

    bench.twin._content = content  # type: ignore[method-assign]  # this meter knows nothing but powers
    bench.run()
    _, slow = load_profile("dlt645-2007-three-phase").groups()
    assert len(refused) == len(set(refused)) == len(slow)
    assert not bench.sink.alarms


def test_meters_behind_one_converter_share_its_line() -> None:
    other = MeterSettings(meter_id="meter-2", url=SETTINGS.url, address="43")
    lines = Lines()
    first, second = lines.bus(SETTINGS), lines.bus(other)
    assert isinstance(first, Dlt645Bus)
    assert isinstance(second, Dlt645Bus)
    assert first.line is second.line
    watchers = meter_watchers(
        [SETTINGS, other], declared=FixedDeclared(DeclaredStatus.POWER_CUT), sink=MemorySink(), clock=ManualClock()
    )
    assert [w.part_id for w in watchers] == ["meter-1", "meter-2"]


def test_an_unknown_profile_is_a_clear_error() -> None:
    wrong = MeterSettings(meter_id="m", url="tcp://127.0.0.1:1", address="1", profile="no-such-meter")
    with pytest.raises(UsageError, match=r"'no-such-meter' is not known; choose one of .*dlt645-2007"):
        Lines().bus(wrong)


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_is_valid_and_described_in_both_languages(name: str) -> None:
    profile = load_profile(name)
    assert any("\u4e00" <= c <= "\u9fff" for c in profile.title_zh + profile.description_zh)
    assert profile.title_en.isascii()
    fast, _ = profile.groups()
    assert "active_power_w" in fast


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("protocol = 'dlt645-2007'", "title_zh"),
        (
            "title_zh='a'\ntitle_en='a'\ndescription_zh='a'\ndescription_en='a'\nprotocol='dlt645-2007'\nphases=1",
            "no field gives active_power_w",
        ),
    ],
)
def test_a_profile_that_lacks_something_is_refused_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_profile(text, name="x.toml")


def test_what_the_meter_recorded_of_its_phases_is_told_in_both_languages() -> None:
    state, told = MeterState(), []
    for k in range(3):
        values = {"active_power_w": 300.0 + k, "phase_loss_b_count": 4.0 + (k > 0), "phase_order_count": 1.0 + (k > 1)}
        state, found = advance(state, 10.0 * k, values)
        told += [(t.subject, t.numbers["count"]) for _, t in found]
    assert told == [("phase_b_was_lost", 5.0), ("phase_order_was_wrong", 2.0)]
    zh, en = meter_sentences("meter-1", "phase_b_was_lost", Phase.START, started_ms=0, at_ms=0)
    assert "B 相断相" in zh
    assert "phase B was lost" in en


def test_the_last_seconds_before_a_meter_fell_silent_go_with_its_alarm() -> None:
    bench = Bench(steady, run_s=90, settings=msgspec.structs.replace(SETTINGS, uplink="minutes"))
    bench.run()
    bench.stop.clear()
    bench.clock._after_s = 200
    bench.twin.misbehaviours = {Misbehaviour.SILENT}
    bench.run()
    (alarm,) = bench.sink.alarms
    assert alarm.reason == "silent"
    assert bench.watcher.health().numbers["failed_silent"] > 10
    seconds = {at for _, times, columns in bench.sink.sampled if "readings" not in columns for at in times}
    assert set(range(alarm.started_at_ms - 60_000, alarm.started_at_ms - 2000, 1000)) <= seconds
