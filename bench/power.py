"""How well the power rules see what the simulator does: confusion per kind and size, false alarms, speed.

    python -m bench.power [--runs N] [--days N] [--sites N] [--only detection|quiet]

Every figure comes from simulated loads (`sealwatch.simulator.loads`, built from physics and ignorant of the rules): no
public power trace of a mine hoist exists.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Phase
from sealwatch.edge.power.analysis import Analyser
from sealwatch.simulator.loads.electrical import Draw, Motor, Rng, Stream, idle
from sealwatch.simulator.loads.hoist import HoistKind, winch
from sealwatch.simulator.loads.hut import Hut
from sealwatch.simulator.loads.machines import Compressor, Fan, HotPlate, Welder, pit_pump
from sealwatch.simulator.loads.measured import Metering, measure
from sealwatch.simulator.loads.pump import Pump
from sealwatch.simulator.loads.site import Feeder, Site

BACKGROUNDS = ("alone", "winter hut", "pump x10", "compressor x10")
SIZES_KW = (1.5, 2.2, 3.0, 4.0, 5.5, 7.5, 11.0, 15.0, 22.0, 37.0, 55.0, 90.0, 160.0)
START_S = 1_700_000_000.0
# An edge is known five samples after it happened; the meter and the poll add up to two seconds.
LATENCY_S = 15


def after(delay_s: int, pieces: Iterator[Draw]) -> Iterator[Draw]:
    yield idle(delay_s)
    yield from pieces


def background(name: str, size_w: float, rng: Rng) -> list[Stream]:
    """What runs underneath; machines are ten times the size of the winch."""
    if name == "winter hut":
        return [Stream(Hut(mean_temperature_c=4.0).draw(rng, start_s=START_S))]
    hut = Stream(Hut(heater_w=0.0, kettle_w=0.0, cooker_w=0.0).draw(rng, start_s=START_S))
    if name == "alone":
        return [hut]
    motor = Motor(10 * size_w)
    if name == "pump x10":
        flow = 4 * 10 * size_w / 1000
        return [hut, Stream(Pump(motor=motor, flow_m3_h=flow, inflow_m3_h=flow / 3, sump_m3=flow).draw(rng))]
    delivery = 10 * size_w / 1000 / 6.5
    return [hut, Stream(Compressor(motor=motor, delivery_m3_min=delivery, receiver_m3=delivery / 2).draw(rng))]


@dataclass
class Tally:
    """Runs and hits of one cell of the table."""

    runs: int = 0
    hits: int = 0
    late: int = 0
    delays_s: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.hits / self.runs if self.runs else float("nan")


def hoisting_run(size_w: float, kind: HoistKind, under: str, rng: Rng) -> tuple[bool, bool, float]:
    """Whether the hoist was raised within two trips, at all within six, and how long after the second lift."""
    machine = winch(size_w, rng, kind=kind, trip_s=float(rng.uniform(35, 170)))
    ends: list[int] = []
    lead_s = int(rng.integers(1200, 3600))
    loads = [*background(under, size_w, rng), Stream(after(lead_s, machine.cycles(rng, trips=6, ends_s=ends)))]
    feeder = Feeder(resistance_ohm=min(0.08, 400 / size_w), reactance_ohm=min(0.05, 250 / size_w))
    analyser = Analyser(DeclaredStatus.DRAINAGE_ONLY)
    raised_s = None
    for times, power in measure(Site(loads, rng, feeder), 3 * 3600, rng, Metering(gaps_per_day=0.0)):
        for verdict in analyser.feed(times, power).verdicts:
            if verdict.kind is AlarmKind.HOIST_LIKE_CYCLE and verdict.transition.phase is Phase.START:
                found_s = verdict.transition.at_s
                if raised_s is None and found_s >= lead_s:
                    raised_s = found_s
        if len(ends) >= 6 and times[-1] > lead_s + ends[-1] + 60:
            break
    second_s, last_s = lead_s + ends[1], lead_s + ends[5]
    if raised_s is None:
        return False, False, float("nan")
    return raised_s <= second_s + LATENCY_S, raised_s <= last_s + LATENCY_S, raised_s - second_s


UNSEEN = 5000
"""First of the seeds that nobody looks into: rules are made on those from 0 on, and judged on both."""


def detection(runs: int, *, first: int = 0) -> dict[tuple[str, str, float], Tally]:
    """Tallies by background, kind of hoist and size (kW); seeds from `first` on."""
    table: dict[tuple[str, str, float], Tally] = defaultdict(Tally)
    for under in BACKGROUNDS:
        for kind in HoistKind:
            for size in SIZES_KW:
                if under.endswith("x10") and not 3.0 <= size <= 16.0:
                    continue
                for run in range(first, first + runs):
                    rng = np.random.default_rng([run, int(size * 10), list(HoistKind).index(kind), len(under)])
                    hit, ever, delay_s = hoisting_run(size * 1000, kind, under, rng)
                    cell = table[under, kind.value, size]
                    cell.runs += 1
                    cell.hits += hit
                    cell.late += ever and not hit
                    if hit:
                        cell.delays_s.append(delay_s)
    return table


def quiet_site(kind: str, rng: Rng) -> list[Stream]:
    """A site where nobody hoists."""
    hut = Hut(
        base_w=float(rng.uniform(100, 300)),
        mean_temperature_c=float(rng.uniform(4, 16)),
        heater_w=float(rng.choice([1000.0, 1500.0, 2000.0])),
        kettle_phase=int(rng.integers(3)),
    )
    loads = [Stream(hut.draw(rng, start_s=START_S))]
    if kind != "hut":
        power = float(rng.choice([5.5, 7.5, 15.0, 22.0, 37.0, 55.0, 110.0])) * 1000
        flow = 4 * power / 1000
        hours = float(rng.uniform(0.4, 3.0))
        pump = Pump(
            motor=Motor(power), flow_m3_h=flow, inflow_m3_h=flow * float(rng.uniform(0.1, 0.5)), sump_m3=flow * hours
        )
        loads.append(Stream(pump.draw(rng)))
    if kind == "pump, pit pump, hut":
        motor, flow, inflow, pit = pit_pump(rng, float(rng.choice([1500.0, 2200.0, 4000.0])))
        loads.append(Stream(Pump(motor=motor, flow_m3_h=flow, inflow_m3_h=inflow, sump_m3=pit).draw(rng)))
    if kind == "pump, hot plate, hut":
        loads.append(Stream(HotPlate(power_w=float(rng.choice([1000.0, 1500.0, 2000.0]))).draw(rng)))
    if kind == "fan and hut":
        loads.append(Stream(Fan(motor=Motor(float(rng.choice([5.5, 11.0, 30.0])) * 1000)).draw(rng)))
    if kind == "compressor and hut":
        loads.append(Stream(Compressor(motor=Motor(55_000.0), delivery_m3_min=8.5, receiver_m3=4.0).draw(rng)))
    if kind == "welder and hut":
        loads.append(Stream(Welder().draw(rng)))
    return loads


QUIET = (
    "pump and hut",
    "pump, pit pump, hut",
    "pump, hot plate, hut",
    "hut",
    "fan and hut",
    "compressor and hut",
    "welder and hut",
)


def false_alarms(kind: str, seed: int, days: int) -> tuple[Counter[str], float, int]:
    """Alarms of one simulated stretch after a week of learning, seconds of analysis, number of samples."""
    rng = np.random.default_rng([seed, QUIET.index(kind)])
    analyser = Analyser(DeclaredStatus.GUARD_HUT_ONLY if kind == "hut" else DeclaredStatus.DRAINAGE_ONLY)
    alarms: Counter[str] = Counter()
    spent_s, samples = 0.0, 0
    for times, power in measure(Site(quiet_site(kind, rng), rng), days * 86400, rng, start_s=START_S):
        begun = time.process_time()
        found = analyser.feed(times, power)
        spent_s += time.process_time() - begun
        samples += len(times)
        for verdict in found.verdicts:
            if verdict.transition.phase is Phase.START and verdict.transition.at_s > START_S + 7 * 86400:
                alarms[f"{verdict.kind}:{verdict.transition.reason}"] += 1
    return alarms, spent_s, samples


@dataclass(frozen=True)
class Bar:
    """A bar of the project and what was measured."""

    name: str
    wanted: str
    measured: str
    holds: bool


def detection_bars(table: dict[tuple[str, str, float], Tally], suffix: str = "") -> list[Bar]:
    """Shares of runs raised within two trips."""
    groups: list[tuple[str, str, float, float, float]] = [
        ("winches >= 3 kW alone", "alone", 3.0, 999.0, 0.99),
        ("winches 1.5-3 kW alone", "alone", 0.0, 2.9, 0.90),
        ("under a running pump of ten times the size", "pump x10", 3.0, 999.0, 0.97),
        ("under a running compressor of ten times the size", "compressor x10", 3.0, 999.0, 0.97),
    ]
    bars = []
    for name, under, low, high, wanted in groups:
        cells = [c for (where, _, size), c in table.items() if where == under and low <= size <= high]
        runs, hits = sum(c.runs for c in cells), sum(c.hits for c in cells)
        bars.append(Bar(name + suffix, f">= {wanted:.0%}", f"{hits}/{runs} = {hits / runs:.1%}", hits >= wanted * runs))
    return bars


def print_confusion(table: dict[tuple[str, str, float], Tally]) -> None:
    """Runs raised within two trips / later but within six / never, by background, kind and size."""
    print("raised within two trips / later / never, by size in kW")
    print(f"{'':25}" + "".join(f"{size:>10.1f}" for size in SIZES_KW))
    for under in BACKGROUNDS:
        for kind in HoistKind:
            cells = [table.get((under, kind.value, size)) for size in SIZES_KW]
            shown = "".join(f"{f'{c.hits}/{c.late}/{c.runs - c.hits - c.late}' if c else '-':>10}" for c in cells)
            print(f"{under:15} {kind.value:9}{shown}")


def quiet_bars(sites: int, days: int) -> list[Bar]:
    """Alarms at sites where nobody hoists, after a week of learning; and the speed of the analysis."""
    bars: list[Bar] = []
    slowest_s = 0.0
    print(f"alarms at sites where nobody hoists: {sites} sites of each kind, {days - 7} days after a week of learning")
    for kind in QUIET:
        total: Counter[str] = Counter()
        for seed in range(sites):
            alarms, spent_s, samples = false_alarms(kind, seed, days)
            total += alarms
            slowest_s = max(slowest_s, spent_s * 365 * 86400 / samples)
        per_year = sum(total.values()) / (sites * (days - 7) / 365)
        print(f"  {kind:22} {per_year:8.2f} a site-year  {dict(total) or ''}", flush=True)
        if kind == "pump and hut":
            bars.append(
                Bar("false alarms at a pump-and-guard-hut site", "<= 1 a year", f"{per_year:.2f}", per_year <= 1)
            )
    bars.append(Bar("a site-year at 1 Hz, slowest kind of site", "<= 60 s", f"{slowest_s:.0f} s", slowest_s <= 60))
    return bars


def main() -> int:
    """Print one Markdown section: the tables and the bars."""
    parser = argparse.ArgumentParser(description="How well the power rules see what the simulator does.")
    parser.add_argument("--runs", type=int, default=12, help="runs per kind, size and background")
    parser.add_argument("--days", type=int, default=97, help="days per quiet site, a week of learning first")
    parser.add_argument("--sites", type=int, default=2, help="sites per kind of quiet site")
    parser.add_argument("--only", choices=["detection", "quiet"])
    arguments = parser.parse_args()
    print("## Power: what the rules see of what the simulator does\n")
    print("Simulated loads only; a bar that is missed says so.\n\n```")
    bars: list[Bar] = []
    if arguments.only != "quiet":
        table = detection(arguments.runs)
        print_confusion(table)
        bars += detection_bars(table)
        bars += detection_bars(detection(arguments.runs, first=UNSEEN), f", seeds from {UNSEEN} on")
    if arguments.only != "detection":
        bars += quiet_bars(arguments.sites, arguments.days)
    print("```\n\n| Bar | Wanted | Measured | |\n|---|---|---|---|")
    for bar in bars:
        print(f"| {bar.name} | {bar.wanted} | {bar.measured} | {'holds' if bar.holds else '**missed**'} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
