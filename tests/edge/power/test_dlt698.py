"""DL/T 698.45 on a null modem; the meter's answers are built by hand around the package's framing."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest
from dlt698 import _native, codec

from sealwatch.base.clock import ManualClock
from sealwatch.edge.ports import MeterError
from sealwatch.edge.power.dlt698 import Dlt698Bus, Line698, get_request
from sealwatch.edge.power.line import ANSWER_TIMEOUT_S
from sealwatch.edge.power.profiles import load_profile
from sealwatch.edge.power.wire import NullModem

ADDRESS = "000000000042"


class Meter:
    """Answers reads of four powers (tenths of a watt) and of the energy; misbehaves as told."""

    def __init__(self) -> None:
        self.powers = [90_000, 30_000, 30_000, 30_000]
        self.delay_s, self.before, self.address, self.refuse, self.damage = 0.0, b"", ADDRESS, False, False

    def hear(self, raw: bytes) -> Iterable[tuple[float, bytes]]:
        frame = codec.decode_frame(raw.lstrip(b"\xfe"))
        request = codec.decode_apdu(frame.payload)
        oad = request.attributes[0]
        head = bytes([0x85, 1, request.piid]) + struct.pack(">HBB", oad.oi, oad.attribute, oad.index)
        body = b"\x00\x04" if self.refuse else self.body(oad.oi)
        server = _native.ServerAddress(bytes=bytes.fromhex(self.address)[::-1], logical=0)
        answer = codec.encode_frame(
            codec.Frame(control=0xC3, server=server, client=frame.client, payload=head + body + b"\0\0")
        )
        if self.damage:
            answer = answer[:-5] + bytes([answer[-5] ^ 1]) + answer[-4:]
        return [(self.delay_s, self.before + answer[:9]), (self.delay_s + 0.05, answer[9:])]

    def body(self, oi: int) -> bytes:
        """The result of a read, behind the attribute."""
        if oi == 0x4001:
            return b"\x01\x09\x06" + bytes.fromhex(self.address)
        if oi == 0x2004:
            return b"\x01\x01\x04" + b"".join(b"\x05" + struct.pack(">i", w) for w in self.powers)
        return b"\x01\x01\x05" + b"".join(b"\x06" + struct.pack(">I", n) for n in (1234, 0, 0, 0, 0))


class Bench:
    def __init__(self) -> None:
        self.clock, self.meter = ManualClock(monotonic_s=0.0), Meter()
        self.line = Line698(lambda: NullModem(self.meter.hear, self.clock), clock=self.clock)
        self.bus = Dlt698Bus(self.line, load_profile("dlt698-three-phase"))

    def reason(self) -> str:
        with pytest.raises(MeterError) as error:
            self.bus.read(ADDRESS, ["active_power_w"])
        return error.value.reason


def test_powers_and_energy_come_with_their_units() -> None:
    bench = Bench()
    values = bench.bus.read(ADDRESS, ["active_power_w", "active_power_b_w", "forward_energy_wh"])
    assert values == {"active_power_w": 9000.0, "active_power_b_w": 3000.0, "forward_energy_wh": 12_340.0}


def test_an_echo_before_the_answer_does_not_matter() -> None:
    bench = Bench()
    bench.meter.before = get_request(ADDRESS, "20040200", 1)
    assert bench.bus.read(ADDRESS, ["active_power_w"]) == {"active_power_w": 9000.0}


def test_what_is_wrong_has_a_name_and_a_deadline() -> None:
    bench = Bench()
    bench.meter.refuse = True
    assert bench.reason() == "exception"
    bench.meter.refuse, bench.meter.damage = False, True
    assert bench.reason() == "bad_checksum"
    bench.meter.damage, bench.meter.address = False, "000000000043"
    assert bench.reason() == "foreign"
    assert bench.clock.monotonic_s() <= 3 * ANSWER_TIMEOUT_S
    assert bench.line.statistics(ADDRESS).failed == {"exception": 1, "bad_checksum": 1, "foreign": 1}


def test_a_late_answer_is_never_taken_for_the_next_one() -> None:
    bench = Bench()
    bench.meter.delay_s = ANSWER_TIMEOUT_S + 0.1
    assert bench.reason() == "silent"
    bench.meter.delay_s = 0.0
    bench.meter.powers = [1, 1, 0, 0]
    assert bench.bus.read(ADDRESS, ["active_power_w"])["active_power_w"] == pytest.approx(0.1)
