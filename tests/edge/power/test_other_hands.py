"""Cycles drawn by hand, unlike the simulator's: no starts, uneven trips, slow meters, wrong signs, single phases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Phase
from sealwatch.edge.power import cli
from sealwatch.edge.power.analysis import Analyser
from sealwatch.edge.power.edges import Array, EdgeFinder
from sealwatch.edge.power.rules import Transition

START_S = 1_715_529_600.0


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Trips of these lengths and powers, with pauses of `pause_s` on top of `base_w`; scatter as a share of power."""

    size_w: float
    trips_s: tuple[int, ...]
    pause_s: int
    powers: tuple[float, ...] = (1.0,)
    base_w: float = 250.0
    scatter: float = 0.01
    every_s: int = 1

    def power(self) -> Array:
        """Readings, 20 minutes before and after included."""
        parts = [np.full(1200, self.base_w)]
        for k, trip_s in enumerate(self.trips_s):
            lifted = np.full(trip_s, self.base_w + self.size_w * self.powers[k % len(self.powers)])
            parts += [lifted, np.full(self.pause_s, self.base_w)]
        power = np.concatenate([*parts, np.full(1200, self.base_w)])
        power = power * np.random.default_rng(5).normal(1, self.scatter, len(power))
        return np.asarray(power[:: self.every_s])


def hoisting(drawn: Drawn, power: Array | None = None, phases_w: Array | None = None) -> list[Transition]:
    power = drawn.power() if power is None else power
    times = START_S + np.arange(len(power), dtype=float) * drawn.every_s
    analyser = Analyser(DeclaredStatus.DRAINAGE_ONLY, interval_s=float(drawn.every_s))
    verdicts = analyser.feed(times, power, phases_w).verdicts
    return [
        v.transition for v in verdicts if v.kind is AlarmKind.HOIST_LIKE_CYCLE and v.transition.phase is Phase.START
    ]


UNEVEN_S = (60, 71, 57, 66, 73, 58, 64, 70)


@pytest.mark.parametrize(
    ("drawn", "trips"),
    [
        (Drawn(size_w=30_000, trips_s=UNEVEN_S, pause_s=90), 2),
        (Drawn(size_w=75_000, trips_s=(40,) * 8, pause_s=110), 2),  # no float switches such a pump so often
        (Drawn(size_w=9_000, trips_s=(60,) * 8, pause_s=60, base_w=2250), 2),  # a heater is no compressor that idles
        (Drawn(size_w=22_000, trips_s=(90,) * 8, pause_s=50, scatter=0.03), 2),
        (Drawn(size_w=5_000, trips_s=UNEVEN_S, pause_s=50, powers=(1.0, 0.93, 1.04)), 4),
        (Drawn(size_w=2_700, trips_s=(95, 90, 93, 96) * 2, pause_s=60), 2),
        (Drawn(size_w=11_000, trips_s=(80,) * 8, pause_s=45, every_s=5), 2),
        (Drawn(size_w=11_000, trips_s=(80, 95, 84, 90) * 2, pause_s=40, every_s=10), 2),
        (Drawn(size_w=11_000, trips_s=(100,) * 8, pause_s=60, every_s=30), 2),
        (Drawn(size_w=11_000, trips_s=(150,) * 8, pause_s=120, every_s=60), 2),
        (Drawn(size_w=5_500, trips_s=(90,) * 8, pause_s=60, base_w=55_000, every_s=10), 2),
    ],
)
def test_cycles_of_other_hands_are_told(drawn: Drawn, trips: int) -> None:
    (told,) = hoisting(drawn)
    assert told.numbers["trips"] == trips


def test_a_load_that_fades_before_it_is_switched_off_lasts_as_long_as_it_did() -> None:
    power = np.full(900, 200.0)
    for k in range(6):
        power[300 + 50 * k : 330 + 50 * k] += 30_000 * np.linspace(1.1, 0.8, 30)
    (told,) = hoisting(Drawn(size_w=0, trips_s=(), pause_s=0), power)
    assert told.numbers["duration_s"] == pytest.approx(30, abs=3)


def test_use_behind_a_transformer_put_in_backwards_is_use() -> None:
    drawn = Drawn(size_w=9_000, trips_s=(80,) * 8, pause_s=40)
    (told,) = hoisting(drawn, -drawn.power())
    assert told.numbers["trips"] == 2
    assert told.numbers["pulse_w"] == pytest.approx(9000, rel=0.02)


@pytest.mark.parametrize("every_s", [1, 5, 10, 30, 60])
def test_a_heater_that_the_site_is_known_to_use_is_no_hoist_at_any_meter(every_s: int) -> None:
    """Nights of a thermostat: 150 s on, 200 s off, from the fourth day on."""
    told = 0
    analyser = Analyser(DeclaredStatus.DRAINAGE_ONLY, interval_s=float(every_s))
    rng = np.random.default_rng(2)
    for day in range(6):
        power = np.full(86_400, 200.0)
        at = 40_000
        while at < 80_000:
            power[at : at + int(150 * rng.normal(1, 0.1))] += 1500
            at += int(350 * rng.normal(1, 0.1))
        power *= rng.normal(1, 0.004, len(power))
        times = START_S + 86_400 * day + np.arange(0, 86_400, every_s, dtype=np.float64)
        found = analyser.feed(times, np.asarray(power[::every_s], dtype=np.float64))
        told += sum(v.kind is AlarmKind.HOIST_LIKE_CYCLE for v in found.verdicts) if day > 3 else 0
    assert told == 0


def on_phases(power_w: Array, shares: tuple[float, float, float], base_w: float) -> Array:
    """A load split over the phases, on top of a hut on phase a."""
    phases = (power_w - base_w)[:, None] * np.array(shares)
    phases[:, 0] += base_w
    return np.asarray(phases)


def test_a_small_load_on_all_phases_is_a_motor_and_the_same_on_one_may_heat() -> None:
    drawn = Drawn(size_w=1900, trips_s=UNEVEN_S, pause_s=50)
    power = drawn.power()
    three = hoisting(drawn, power, on_phases(power, (0.34, 0.33, 0.33), drawn.base_w))
    one = hoisting(drawn, power, on_phases(power, (0.0, 1.0, 0.0), drawn.base_w))
    assert ([t.numbers["trips"] for t in three], one) == ([2], [])


@pytest.mark.parametrize(
    ("shares", "named"),
    [((0.34, 0.33, 0.33), "abc"), ((1.0, 0.0, 0.0), "a"), ((0.0, 0.5, 0.5), "bc"), ((0.6, 0.25, 0.15), "")],
)
def test_a_step_tells_its_phases(shares: tuple[float, float, float], named: str) -> None:
    power = np.concatenate((np.full(100, 300.0), np.full(100, 6300.0)))
    (edge,) = EdgeFinder().feed(np.arange(200.0), power, on_phases(power, shares, 300.0))
    assert edge.phases == named
    assert edge.phases_w == pytest.approx([6000 * s for s in shares])


def test_replay_tells_the_phase_of_each_step_where_it_was_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for k in range(600):
        b = 2100.0 if 200 <= k < 400 else 100.0
        rows.append(f"{START_S + k:.0f},{300 + b - 100:.0f},0.1,{b / 1000},{'' if k == 50 else 0.1}\n")
    path = tmp_path / "a.csv"
    path.write_text("t,active_power_w,power_a_kw,power_b_kw,power_c_kw\n" + "".join(rows))
    assert cli.main(["replay-power", str(path), "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    steps = [line for line in told if line["type"] == "event" and line["kind"] == "step"]
    assert [(s["phases"], s["numbers"]["size_b_w"]) for s in steps] == [("b", 2000.0), ("b", -2000.0)]
    assert told[-1]["rows"] == 600  # a cell that is missing on one phase costs that phase alone
