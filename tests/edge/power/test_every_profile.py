"""Every profile read end to end by the installer's command, against what its meter's own documents put where.

The maps are written down here by register, data identifier or attribute, in the units of the meter, and not taken from
the profiles: a wrong register, scale, sign or word order in a profile shows.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable

import pytest

from sealwatch.edge.power import cli
from sealwatch.edge.power.dlt645 import Assembler, Frame, encode
from sealwatch.edge.power.profiles import load_profile, profile_names
from tests.edge.power.test_dlt698 import Meter as Meter698
from tests.edge.power.test_modbus import Device, floats
from tests.edge.power.wires import Hear, Served

ADDRESS = "000000000042"
THREE = {
    "voltage_a_v": 220.0,
    "voltage_b_v": 221.0,
    "voltage_c_v": 219.0,
    "current_a_a": 10.0,
    "current_b_a": 11.0,
    "current_c_a": 12.0,
    "power_factor": 0.9,
    "power_factor_a": 0.9,
    "power_factor_b": 0.9,
    "power_factor_c": 0.9,
    "active_power_a_w": 1980.0,
    "active_power_b_w": 2188.0,
    "active_power_c_w": 2365.0,
    "active_power_w": 6533.0,
    "frequency_hz": 49.98,
    "forward_energy_wh": 123_450.0,
    "reverse_energy_wh": 670.0,
}
ONE = {
    "voltage_a_v": 221.5,
    "current_a_a": 20.0,
    "power_factor": 0.98,
    "active_power_w": 4340.0,
    "frequency_hz": 50.0,
    "forward_energy_wh": 123_450.0,
    "reverse_energy_wh": 670.0,
}
COUNTS = {
    "power_loss_count": 7.0,
    "cover_opened_count": 2.0,
    "terminal_cover_opened_count": 3.0,
    "clock_set_count": 4.0,
}
AT_S = 1_717_600_500.0  # 2024-06-05 23:15:00 in China
MOMENT = bytes.fromhex("001523050624")
TIMES = {f"{q.removesuffix('_count')}_last_unix_s": AT_S for q in COUNTS}
ACREL = {
    0x0061: struct.pack(">6H", 2200, 2210, 2190, 1000, 1100, 1200),
    0x0073: struct.pack(">4hH", 900, 900, 900, 900, 4998),
    0x0164: struct.pack(">4i", 1980, 2188, 2365, 6533),
    0x000A: struct.pack(">I", 12345),
    0x0014: struct.pack(">I", 67),
}
# Profile -> function that its meter reads registers by, what lies where, what that means.
MODBUS: dict[str, tuple[int, dict[int, bytes], dict[str, float]]] = {
    "acrel-adl400": (3, ACREL, THREE),
    "acrel-adl3000": (3, ACREL, THREE),
    "chint-dtsu666": (
        3,
        {
            0x2006: floats(2200, 2210, 2190, 10_000, 11_000, 12_000),
            0x2012: floats(65_330, 19_800, 21_880, 23_650),
            0x202A: floats(900, 900, 900, 900),
            0x2044: floats(4998),
            0x401E: floats(123.45),
            0x4028: floats(0.67),
        },
        THREE,
    ),
    "chint-ddsu666": (
        3,
        {
            0x2000: floats(221.5, 20.0, 4.340),
            0x200A: floats(0.98),
            0x200E: floats(50.0),
            0x4000: floats(123.45),
            0x400A: floats(0.67),
        },
        ONE,
    ),
    "eastron-sdm120": (
        4,
        {
            0x0000: floats(221.5),
            0x0006: floats(20.0),
            0x000C: floats(4340.0),
            0x001E: floats(0.98),
            0x0046: floats(50.0, 123.45, 0.67),
        },
        ONE,
    ),
    "eastron-sdm630": (
        4,
        {
            0x0000: floats(220, 221, 219, 10, 11, 12, 1980, 2188, 2365),
            0x001E: floats(0.9, 0.9, 0.9),
            0x0034: floats(6533),
            0x003E: floats(0.9),
            0x0046: floats(49.98, 123.45, 0.67),
        },
        THREE,
    ),
    "pzem-004t": (
        4,
        # 32-bit numbers with their low half first: 123450 is 1 times 65536 and 57914
        {0x0000: struct.pack(">9H", 2215, 20_000, 0, 43_400, 0, 57_914, 1, 500, 98)},
        {q: v for q, v in ONE.items() if q != "reverse_energy_wh"},
    ),
}
COUNTERS_645 = {
    "03110000": "070000",
    "03300D00": "020000",
    "03300E00": "030000",
    "03300400": "040000",
    "03110001": MOMENT.hex() * 2,
    "03300D01": MOMENT.hex() * 2 + "00" * 48,
    "03300E01": MOMENT.hex() * 2 + "00" * 48,
    "03300401": "11223344" + "000000010124" + MOMENT.hex(),
}
DLT645: dict[str, tuple[dict[str, str], dict[str, float]]] = {
    "dlt645-2007-three-phase": (
        {
            "0203FF00": "305306" + "009801" + "801802" + "503602",
            "0201FF00": "0022" + "1022" + "9021",
            "0202FF00": "000001" + "001001" + "002001",
            "0206FF00": "0009" * 4,
            "00010000": "45230100",
            "00020000": "67000000",
            "02800002": "9849",
            "03040000": "010000000000" + "000000000000" + "050000900000",
            "03070000": "060000150000",
            "03040101": MOMENT.hex() + "00" * 125,
            "03040301": MOMENT.hex() + "00" * 125,
            **COUNTERS_645,
        },
        {
            **THREE,
            "phase_loss_a_count": 1.0,
            "phase_loss_b_count": 0.0,
            "phase_loss_c_count": 5.0,
            "phase_loss_a_last_unix_s": AT_S,
            "phase_loss_c_last_unix_s": AT_S,
            "phase_order_count": 6.0,
            **COUNTS,
            **TIMES,
        },
    ),
    "dlt645-2007-single-phase": (
        {
            "02030000": "003480",  # 0.3400 kW, from the grid's side: backwards
            "02010100": "1522",
            "02020100": "000002",
            "02060000": "8009",
            "00010000": "45230100",
            "02800002": "0050",
            **COUNTERS_645,
        },
        {
            **{q: v for q, v in ONE.items() if q != "reverse_energy_wh"},
            "active_power_w": -340.0,
            **COUNTS,
            **TIMES,
        },
    ),
}


def meter_645(told: dict[str, str]) -> Hear:
    """Answers what it knows; refuses the rest. Requests may come in any pieces."""
    assembler = Assembler()

    def hear(data: bytes) -> Iterable[tuple[float, bytes]]:
        for frame in assembler.feed(data):
            assert isinstance(frame, Frame)
            assert frame.address == ADDRESS
            content = told.get(frame.identifier or "")
            if content is None:
                yield 0.0, encode(Frame(ADDRESS, 0xD1, b"\x02"))
            else:
                answer = encode(Frame(ADDRESS, 0x91, frame.data[:4] + bytes.fromhex(content)))
                yield 0.0, answer[:11]
                yield 0.0, answer[11:]

    return hear


class Whole698(Meter698):
    """Every attribute that the profile asks for, as the standard's types have it."""

    def body(self, oi: int) -> bytes:
        def array(kind: int, form: str, *values: int) -> bytes:
            return bytes([1, 1, len(values)]) + b"".join(bytes([kind]) + struct.pack(form, v) for v in values)

        numbers = {0x3011: 7, 0x301B: 2, 0x301C: 3, 0x3016: 4, 0x300F: 6}
        if oi in numbers:
            # Where it came from (nothing), and how often and for how many seconds in all.
            return b"\x01\x01\x01\x02\x02\x00\x02\x02" + b"".join(
                b"\x06" + struct.pack(">I", n) for n in (numbers[oi], 99)
            )
        return {
            0x2004: array(5, ">i", 65_330, 19_800, 21_880, 23_650),
            0x2000: array(18, ">H", 2200, 2210, 2190),
            0x2001: array(5, ">i", 10_000, 11_000, 12_000),
            0x200A: array(16, ">h", 900, 900, 900, 900),
            0x0010: array(6, ">I", 12_345, 0, 0, 0, 0),
            0x0020: array(6, ">I", 67, 0, 0, 0, 0),
            0x200F: b"\x01\x12" + struct.pack(">H", 4998),
        }[oi]


def twin(profile: str) -> tuple[Hear, str, dict[str, float]]:
    if profile in MODBUS:
        function, registers, means = MODBUS[profile]
        device = Device(registers, unit=7)
        device.functions = {function}
        return device.hear, "7", means
    if profile in DLT645:
        told, means = DLT645[profile]
        return meter_645(told), ADDRESS, means
    meter = Whole698()
    return meter.hear, ADDRESS, THREE | COUNTS | {"phase_order_count": 6.0}


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("profile", profile_names())
def test_a_profile_is_read_whole_in_the_units_of_its_quantities(
    profile: str, terminal: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    hear, address, means = twin(profile)
    with Served(hear, terminal=terminal) as wire:
        call = ["meter", "read", "--url", wire.url, "--address", address, "--profile", profile, "--json"]
        assert cli.main(call) == 0
    values = json.loads(capsys.readouterr().out)["values"]
    assert values == pytest.approx(means, rel=1e-5)
    missing = set(load_profile(profile).quantities) - set(values)
    assert missing <= {"phase_loss_b_last_unix_s"}


@pytest.mark.parametrize("profile", profile_names())
def test_a_transformer_ratio_counts_for_powers_currents_and_energies(
    profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hear, address, means = twin(profile)
    with Served(hear, terminal=False) as wire:
        call = ["meter", "read", "--url", wire.url, "--address", address, "--profile", profile, "--ratio", "40"]
        assert cli.main([*call, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)["values"]
    for quantity, value in means.items():
        factor = 40 if quantity.startswith(("active_power", "current", "forward_energy", "reverse_energy")) else 1
        assert values[quantity] == pytest.approx(factor * value, rel=1e-5)
