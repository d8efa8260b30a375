"""Modbus meters: RTU on a null modem, Modbus TCP on a socket, numbers of every profile."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterable, Iterator

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.base.errors import UsageError
from sealwatch.base.settings import SettingsError
from sealwatch.edge.config import MeterSettings
from sealwatch.edge.ports import MeterError
from sealwatch.edge.power.bus import Lines
from sealwatch.edge.power.line import ANSWER_TIMEOUT_S
from sealwatch.edge.power.modbus import ModbusBus, RtuLine, decode_registers, frame
from sealwatch.edge.power.profiles import load_profile, parse_profile
from sealwatch.edge.power.wire import NullModem


def floats(*values: float) -> bytes:
    return b"".join(struct.pack(">f", v) for v in values)


class Device:
    """Registers of one device; answers RTU requests after `delay_s`, or as told."""

    def __init__(self, registers: dict[int, bytes], unit: int = 1) -> None:
        self.memory: dict[int, bytes] = {}
        for start, data in registers.items():
            for k in range(0, len(data), 2):
                self.memory[start + k // 2] = data[k : k + 2]
        self.unit, self.delay_s, self.before, self.silent, self.damage = unit, 0.0, b"", False, False
        self.asked, self.functions = 0, {3, 4}

    def body(self, function: int, register: int, count: int) -> bytes:
        self.asked += 1
        words = [self.memory.get(register + k) for k in range(count)]
        if function not in self.functions or any(w is None for w in words):
            return bytes([function | 0x80, 2])
        return bytes([function, 2 * count]) + b"".join(w for w in words if w is not None)

    def hear(self, request: bytes) -> Iterable[tuple[float, bytes]]:
        if self.silent or request[0] != self.unit:
            return []
        answer = self.body(request[1], *struct.unpack(">HH", request[2:6]))
        raw = frame(self.unit, answer[0], answer[1:])
        if self.damage:
            raw = raw[:-1] + bytes([raw[-1] ^ 1])
        return [(self.delay_s, self.before + raw[:4]), (self.delay_s + 0.02, raw[4:])]


class Bench:
    def __init__(self, profile: str, registers: dict[int, bytes], ratio: float = 1.0) -> None:
        self.clock = ManualClock(monotonic_s=0.0)
        self.device = Device(registers)
        self.modem = NullModem(self.device.hear, self.clock)
        self.line = RtuLine(lambda: self.modem, clock=self.clock)
        self.bus = ModbusBus(self.line, load_profile(profile), transformer_ratio=ratio)

    def power_w(self) -> float:
        return self.bus.read("1", ["active_power_w"])["active_power_w"]

    def reason(self) -> str:
        with pytest.raises(MeterError) as error:
            self.power_w()
        return error.value.reason


CHINT = {0x2012: floats(90_000.0, 30_000.0, 30_000.0, 30_000.0), 0x401E: floats(12.5), 0x2006: floats(2200, 2210, 2190)}


def test_a_chint_meter_gives_watts_volts_and_watt_hours_with_its_scale() -> None:
    bench = Bench("chint-dtsu666", CHINT)
    values = bench.bus.read("1", ["active_power_w", "active_power_b_w", "voltage_b_v", "forward_energy_wh"])
    assert values == pytest.approx(
        {"active_power_w": 9000.0, "active_power_b_w": 3000.0, "voltage_b_v": 221.0, "forward_energy_wh": 12_500.0}
    )
    assert bench.device.asked == 3


def test_a_transformer_ratio_multiplies_power_and_energy_but_not_voltage() -> None:
    bench = Bench("chint-dtsu666", CHINT, ratio=40.0)
    values = bench.bus.read("1", ["active_power_w", "voltage_a_v", "forward_energy_wh"])
    assert values == pytest.approx({"active_power_w": 360_000.0, "voltage_a_v": 220.0, "forward_energy_wh": 500_000.0})


@pytest.mark.parametrize(
    ("profile", "registers", "expected"),
    [
        ("chint-ddsu666", {0x2004: floats(1.5)}, {"active_power_w": 1500.0}),
        ("eastron-sdm120", {0x000C: floats(1234.5)}, {"active_power_w": 1234.5}),
        ("eastron-sdm630", {0x0034: floats(-750.0)}, {"active_power_w": -750.0}),
        (
            "acrel-adl400",
            {0x0164: struct.pack(">iiii", 3000, 3100, -2900, 3200)},
            {"active_power_w": 3200.0, "active_power_c_w": -2900.0},
        ),
        (
            "pzem-004t",
            # 70000 tenths of a watt: low half first
            {0x0000: struct.pack(">HHHHHHHHH", 2215, 1500, 0, 70000 % 65536, 70000 // 65536, 10, 0, 500, 98)},
            {"active_power_w": 7000.0, "current_a_a": 1.5, "voltage_a_v": 221.5, "power_factor": 0.98},
        ),
    ],
)
def test_numbers_of_the_named_meters(profile: str, registers: dict[int, bytes], expected: dict[str, float]) -> None:
    assert Bench(profile, registers).bus.read("1", list(expected)) == pytest.approx(expected)


def test_a_not_a_number_is_left_out() -> None:
    (block,) = [b for b in load_profile("eastron-sdm630").modbus if b.register == 0x0034]
    assert decode_registers(block, floats(float("nan"))) == {}
    with pytest.raises(MeterError, match="too few"):
        decode_registers(block, b"\0\0")


def test_every_way_to_misbehave_has_a_reason_in_time_and_the_line_recovers() -> None:
    bench = Bench("eastron-sdm120", {0x000C: floats(5.0)})
    bench.device.silent = True
    assert bench.reason() == "silent"
    assert bench.clock.monotonic_s() <= ANSWER_TIMEOUT_S
    bench.device.silent = False
    bench.clock.advance(20)
    bench.device.damage = True
    assert bench.reason() == "bad_checksum"
    bench.clock.advance(20)
    bench.device.damage, bench.device.unit = False, 2
    assert bench.reason() == "silent"
    bench.clock.advance(20)
    bench.device.unit = 1
    assert bench.power_w() == 5.0
    bench.device.memory.clear()
    assert bench.reason() == "exception"


def test_an_echo_and_a_foreign_answer_before_the_answer_do_not_matter() -> None:
    bench = Bench("eastron-sdm120", {0x000C: floats(5.0)})
    bench.device.before = frame(1, 4, struct.pack(">HH", 0x000C, 2)) + frame(9, 4, b"\x04" + floats(7777.0))
    assert bench.power_w() == 5.0


def test_an_answer_to_another_master_is_never_taken_for_ours() -> None:
    bench = Bench("eastron-sdm120", {0x000C: floats(5.0)})
    theirs = frame(1, 4, struct.pack(">HH", 0x0006, 2))  # of the same device, as long, from another register
    answer = frame(1, 4, b"\x04" + floats(7777.0))
    # They asked before us, and their answer comes behind our request.
    bench.modem._coming.append((0.0, theirs))
    bench.device.before = answer
    assert bench.power_w() == 5.0
    # They ask behind us: whose answer it is cannot be told.
    bench.device.before = theirs + answer
    assert bench.reason() == "foreign"
    bench.clock.advance(20)
    # Another master that asks for something of another length does no harm.
    bench.device.before = frame(1, 4, struct.pack(">HH", 0x0000, 4)) + frame(1, 4, b"\x08" + floats(1.0, 2.0))
    assert bench.power_w() == 5.0
    bench.device.before = b""
    assert bench.power_w() == 5.0


@pytest.mark.parametrize("late_s", [1.6, 2.4, 3.3, 5.0])
def test_a_late_answer_is_never_taken_for_the_next_one(late_s: float) -> None:
    bench = Bench("eastron-sdm120", {k: floats(1.0) for k in (0, 6, 0x1E)} | {0x46: floats(1, 1, 1)})
    bench.device.delay_s = late_s
    for _ in range(40):
        asked_s = bench.clock.monotonic_s()
        bench.device.memory |= {0x000C: floats(asked_s)[:2], 0x000D: floats(asked_s)[2:]}
        try:
            assert bench.power_w() >= asked_s - 0.01
        except MeterError:
            bench.clock.advance(0.2)


@pytest.fixture
def gateway() -> Iterator[str]:
    """A Modbus TCP device with float 42.5 everywhere."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            while head := connection.recv(7):
                transaction, _, _, unit = struct.unpack(">HHHB", head)
                function, _, count = struct.unpack(">BHH", connection.recv(5))
                data = bytes([function, 2 * count]) + floats(*[42.5] * (count // 2))
                connection.sendall(struct.pack(">HHHB", transaction, 0, len(data) + 1, unit) + data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"modbus-tcp://127.0.0.1:{server.getsockname()[1]}"
    server.close()
    thread.join(5)


def test_modbus_tcp_is_read_through_pymodbus(gateway: str) -> None:
    bus = Lines().bus(MeterSettings(meter_id="m", url=gateway, address="3", profile="eastron-sdm630"))
    assert bus.read("3", ["active_power_w", "voltage_a_v"]) == {"active_power_w": 42.5, "voltage_a_v": 42.5}
    bus.close()


def test_a_gateway_that_is_gone_is_unreachable() -> None:
    meter = MeterSettings(meter_id="m", url="modbus-tcp://127.0.0.1:1", address="3", profile="eastron-sdm630")
    with pytest.raises(MeterError, match="unreachable"):
        Lines().bus(meter).read("3", ["active_power_w"])


@pytest.mark.parametrize(
    ("url", "address", "profile", "said"),
    [
        ("tcp://127.0.0.1:1", "300", "eastron-sdm630", "1 to 247"),
        ("modbus-tcp://127.0.0.1:1", "3", "dlt645-2007-three-phase", "does not speak Modbus"),
    ],
)
def test_what_does_not_fit_together_is_said(url: str, address: str, profile: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Lines().bus(MeterSettings(meter_id="m", url=url, address=address, profile=profile))


def test_a_field_beyond_its_block_is_refused() -> None:
    text = (
        "title_zh='a'\ntitle_en='a'\ndescription_zh='a'\ndescription_en='a'\nprotocol='modbus'\nphases=1\n"
        "[[modbus]]\nregister=0\ncount=1\npace='fast'\nfields=[{quantity='active_power_w',type='float32'}]\n"
    )
    with pytest.raises(SettingsError, match="beyond the block"):
        parse_profile(text, name="x.toml")
