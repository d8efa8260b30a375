"""One line, many ways to misbehave: the right answer or a named reason, always in time."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.edge.ports import MeterError
from sealwatch.edge.power.bus import Dlt645Bus, phases_add_up
from sealwatch.edge.power.dlt645 import Frame, encode, read_request
from sealwatch.edge.power.line import ANSWER_TIMEOUT_S, FORGET_S, Line
from sealwatch.edge.power.profiles import load_profile
from sealwatch.edge.power.wire import NullModem, WireError
from sealwatch.simulator.meter_twin import MeterTwin, Misbehaviour

ADDRESS = "000000000042"


class Bench:
    """A line with one simulated meter on a null modem; the power it shows is the second it is asked in."""

    def __init__(self) -> None:
        self.clock = ManualClock(monotonic_s=0.0)
        self.twin = MeterTwin(self.load, address=ADDRESS, seconds=self.clock.monotonic_s)
        self.modem = NullModem(self.twin.hear, self.clock)
        self.line = Line(lambda: self.modem, clock=self.clock)
        self.bus = Dlt645Bus(self.line, load_profile("dlt645-2007-three-phase"))

    def load(self, t_s: float) -> dict[str, float]:
        third = {f"active_power_{p}_w": t_s for p in "abc"}
        volts = {f"voltage_{p}_v": 230.0 for p in "abc"}
        return {"active_power_w": 3 * t_s, "forward_energy_wh": 12_345_670.0, **third, **volts}

    def power_w(self) -> float:
        return self.bus.read(ADDRESS, ["active_power_w"])["active_power_w"]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def reason(bench: Bench) -> str:
    with pytest.raises(MeterError) as error:
        bench.power_w()
    assert ADDRESS in error.value.detail
    return error.value.reason


def test_a_block_is_read_with_one_request(bench: Bench) -> None:
    bench.clock.advance(500)
    values = bench.bus.read(ADDRESS, ["active_power_w", "active_power_b_w", "forward_energy_wh"])
    assert values == {"active_power_w": 1500.0, "active_power_b_w": 500.0, "forward_energy_wh": 12_345_670.0}
    assert bench.twin.requests == 2


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (Misbehaviour.SILENT, "silent"),
        (Misbehaviour.ECHO_ONLY, "echo"),
        (Misbehaviour.GARBAGE, "garbage"),
        (Misbehaviour.WRONG_ADDRESS, "foreign"),
        (Misbehaviour.BAD_CHECKSUM, "bad_checksum"),
        (Misbehaviour.REFUSE, "exception"),
    ],
)
def test_a_misbehaving_meter_gives_a_named_reason_in_time(bench: Bench, wrong: Misbehaviour, expected: str) -> None:
    bench.twin.misbehaviours = {wrong}
    assert reason(bench) == expected
    assert bench.clock.monotonic_s() <= ANSWER_TIMEOUT_S
    assert bench.line.statistics(ADDRESS).failed == {expected: 1}
    bench.twin.misbehaviours = set()
    assert bench.power_w() >= 0


@pytest.mark.parametrize(
    "wrong", [Misbehaviour.ECHO, Misbehaviour.PREAMBLE, Misbehaviour.SPLIT, Misbehaviour.OTHER_MASTER]
)
def test_a_noisy_but_honest_line_gives_the_right_value(bench: Bench, wrong: Misbehaviour) -> None:
    bench.twin.misbehaviours = {wrong}
    bench.clock.advance(7)
    assert bench.power_w() == 21.0


def test_a_late_answer_is_never_taken_for_the_next_one(bench: Bench) -> None:
    bench.clock.advance(100)
    bench.twin.misbehaviours = {Misbehaviour.LATE}
    bench.twin.late_s = ANSWER_TIMEOUT_S + 0.1  # comes just after the next request went out
    assert reason(bench) == "silent"
    bench.twin.misbehaviours = set()
    asked_s = bench.clock.monotonic_s()
    assert bench.power_w() >= 3 * asked_s  # not the 300 W of the first request


@pytest.mark.parametrize("late_s", [1.6, 2.0, 3.1, 4.6, 7.0])
def test_a_meter_that_is_always_late_never_gives_an_old_value(bench: Bench, late_s: float) -> None:
    bench.twin.misbehaviours = {Misbehaviour.LATE}
    bench.twin.late_s = late_s
    reasons = set()
    for _ in range(60):
        asked_s = bench.clock.monotonic_s()
        try:
            value = bench.power_w()
        except MeterError as error:
            reasons.add(error.reason)
        else:
            assert value >= 3 * asked_s - 0.001
        bench.clock.advance(0.3)
    assert reasons <= {"silent", "late"}


def test_a_meter_that_lacks_some_blocks_is_brought_back_in_step_by_what_it_knows(bench: Bench) -> None:
    bench.power_w()
    original = bench.load
    bench.twin._load = lambda t_s: {k: v for k, v in original(t_s).items() if k.startswith("active")}
    bench.twin.misbehaviours = {Misbehaviour.SILENT}
    assert reason(bench) == "silent"
    bench.twin.misbehaviours = set()
    assert bench.power_w() >= 0


def test_after_a_silence_the_line_gets_back_in_step(bench: Bench) -> None:
    bench.twin.misbehaviours = {Misbehaviour.SILENT}
    for _ in range(30):
        assert reason(bench) == "silent"
        bench.clock.advance(1)
    bench.twin.misbehaviours = set()
    for _ in range(int(FORGET_S) + 1):
        bench.clock.advance(1)
        try:
            bench.power_w()
        except MeterError:
            continue
        return
    pytest.fail("no reading although the meter answers again")


def test_an_endless_flood_ends_with_a_reason() -> None:
    clock = ManualClock(monotonic_s=0.0)

    class Flood:
        def write(self, data: bytes) -> None: ...

        def read(self, timeout_s: float) -> bytes:
            return b"\x55" * 512

        def close(self) -> None: ...

    with pytest.raises(MeterError) as error:
        Line(Flood, clock=clock).ask(ADDRESS, "02030000")
    assert error.value.reason == "garbage"


def test_a_broken_wire_is_opened_again() -> None:
    clock = ManualClock()
    twin = MeterTwin(lambda _t: {"active_power_w": 1.0}, address=ADDRESS, seconds=clock.monotonic_s)
    opened: list[NullModem] = []

    def open_wire() -> NullModem:
        if len(opened) == 1:
            opened.append(NullModem(lambda _data: (), clock))
            raise WireError("tcp://converter:1 cannot be reached (refused)")
        opened.append(NullModem(twin.hear, clock))
        return opened[-1]

    line = Line(open_wire, clock=clock)
    assert line.ask(ADDRESS, "02030000")
    line.close()
    assert opened[0].closed == 1
    with pytest.raises(MeterError, match="unreachable"):
        line.ask(ADDRESS, "02030000")
    assert line.ask(ADDRESS, "02030000")


def test_a_request_of_another_master_for_the_same_meter_is_no_answer() -> None:
    clock = ManualClock()

    def respond(_request: bytes) -> Iterable[tuple[float, bytes]]:
        return [
            (0.0, encode(read_request(ADDRESS, "02010100"))),
            (0.1, encode(Frame(ADDRESS, 0x91, b"\0\1\1\2\0\x22"))),
        ]

    with pytest.raises(MeterError) as error:
        Line(lambda: NullModem(respond, clock), clock=clock).ask(ADDRESS, "02030000")
    assert error.value.reason == "foreign"


def test_the_last_digits_of_phases_behind_transformers_are_as_coarse_as_their_ratio() -> None:
    # A tenth of a watt at the meter is 40 W behind transformers of 400.
    rounded = {
        "active_power_w": 4000.0,
        "active_power_a_w": 2040.0,
        "active_power_b_w": 2040.0,
        "active_power_c_w": 0.0,
    }
    assert phases_add_up(rounded, ratio=400.0)
    assert not phases_add_up(rounded)
    assert not phases_add_up(rounded | {"active_power_c_w": 900.0}, ratio=400.0)
