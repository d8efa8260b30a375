"""The simulated meter on real wires."""

from __future__ import annotations

import argparse
import subprocess
import sys

import numpy as np
import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.base.errors import UsageError
from sealwatch.edge.config import MeterSettings
from sealwatch.edge.ports import MeterError
from sealwatch.edge.power.bus import Lines
from sealwatch.simulator import cli
from sealwatch.simulator.loads.scenarios import demo_load, named_load, pump_load
from sealwatch.simulator.meter import SimulatedMeter
from sealwatch.simulator.meter_twin import Misbehaviour

WANTED = ["active_power_w", "active_power_a_w", "voltage_a_v", "current_a_a", "power_factor", "forward_energy_wh"]


@pytest.mark.parametrize("terminal", [False, True], ids=["tcp", "pseudo-terminal"])
def test_what_the_load_draws_is_what_the_bus_reads(terminal: bool) -> None:
    clock = ManualClock()
    with SimulatedMeter(demo_load(2), clock=clock, address="123456789012", terminal=terminal) as meter:
        clock.advance(90)
        truth = demo_load(2)(90.0)
        bus = Lines().bus(MeterSettings(meter_id="m", url=meter.url, address=meter.address))
        values = bus.read(meter.address, WANTED)
        bus.close()
    assert set(values) == set(WANTED)
    for name in WANTED:
        assert values[name] == pytest.approx(truth[name], rel=0.002, abs=10 if name.endswith("_wh") else 0.1)


@pytest.mark.parametrize("wrong", [Misbehaviour.SILENT, Misbehaviour.GARBAGE, Misbehaviour.ECHO_ONLY])
def test_a_dead_or_mad_meter_on_tcp_answers_with_a_reason_and_recovers(wrong: Misbehaviour) -> None:
    with SimulatedMeter(demo_load()) as meter:
        meter.twin.misbehaviours = {wrong}
        settings = MeterSettings(meter_id="m", url=meter.url, address=meter.address)
        bus = Lines().bus(settings, answer_timeout_s=0.2)
        with pytest.raises(MeterError):
            bus.read(meter.address, ["active_power_w"])
        meter.twin.misbehaviours = set()
        assert "active_power_w" in bus.read(meter.address, ["active_power_w"])
        bus.close()


def test_a_converter_that_is_gone_is_unreachable_and_found_again_when_back() -> None:
    with SimulatedMeter(demo_load()) as meter:
        url = meter.url
        bus = Lines().bus(MeterSettings(meter_id="m", url=url, address="1"))
        bus.read("1", ["active_power_w"])
    for _ in range(2):  # the first meets the end of the old connection, the second finds nobody
        with pytest.raises(MeterError, match="unreachable"):
            bus.read("1", ["active_power_w"])
    with SimulatedMeter(demo_load(), port=int(url.rpartition(":")[2])):
        assert bus.read("1", ["active_power_w"])
        bus.close()


def test_the_energy_register_is_the_integral_of_the_power_shown() -> None:
    load = demo_load(4)
    first = load(0.0)["forward_energy_wh"]
    shown = [load(float(s))["active_power_w"] for s in range(601)]
    assert load(600.0)["forward_energy_wh"] - first == pytest.approx(sum(shown[:600]) / 3600)


def test_the_same_seed_is_the_same_day_and_another_seed_another() -> None:
    times = np.arange(0, 900, 7.0)
    first, again, other = (
        [load(t)["active_power_w"] for t in times] for load in (pump_load(1), pump_load(1), pump_load(2))
    )
    assert first == again
    assert first != other


def test_powers_voltages_and_currents_of_a_load_agree() -> None:
    values = demo_load()(100.0)
    for phase in "abc":
        product = values[f"voltage_{phase}_v"] * values[f"current_{phase}_a"] * values[f"power_factor_{phase}"]
        assert product == pytest.approx(values[f"active_power_{phase}_w"])


def test_an_unknown_load_and_a_wrong_address_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="choose one of demo"):
        named_load("volcano")
    parser = argparse.ArgumentParser()
    cli.configure(parser)
    parsed = parser.parse_args(["meter", "--address", "12x", "--port", "0"])
    with pytest.raises(UsageError, match="12 digits"):
        parsed.run(parsed)


def test_a_taken_port_is_a_usage_error() -> None:
    with SimulatedMeter(demo_load()) as first, pytest.raises(UsageError, match="choose another --port"):
        SimulatedMeter(demo_load(), port=int(first.url.rpartition(":")[2])).start()


def test_the_command_says_where_it_listens_and_stops_on_interrupt() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sealwatch", "simulate", "meter", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(2)
        assert process.wait(timeout=10) == 130
    assert "tcp://127.0.0.1:" in line
