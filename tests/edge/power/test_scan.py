"""The search for a meter: every protocol, on a pseudo-terminal and on TCP, on wires that carry real bytes."""

from __future__ import annotations

import json
import struct

import pytest

from sealwatch.base import text
from sealwatch.edge.power import cli, scan
from sealwatch.edge.power.profiles import load_profile
from sealwatch.simulator.loads.scenarios import demo_load
from sealwatch.simulator.meter import SimulatedMeter
from sealwatch.simulator.meter_twin import Misbehaviour
from tests.edge.power.test_dlt698 import ADDRESS as ADDRESS_698
from tests.edge.power.test_dlt698 import Meter as Meter698
from tests.edge.power.test_modbus import Device, floats
from tests.edge.power.wires import Served

CHINT = {
    0x0000: floats(0.0),
    0x2006: floats(2200, 2210, 2190),
    0x2012: floats(90_000.0, 30_000.0, 30_000.0, 30_000.0),
}


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.parametrize("terminal", [True, False])
def test_a_meter_of_698_tells_its_address(terminal: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with Served(Meter698().hear, terminal=terminal) as wire:
        assert cli.main(["meter", "scan", "--url", wire.url, "--protocol", "dlt698.45", "--json"]) == 0
    assert found(capsys) == {
        "address": ADDRESS_698,
        "baud": 9600 if terminal else 2400,
        "protocol": "dlt698.45",
        "profiles": [],
    }


@pytest.mark.parametrize("terminal", [True, False])
def test_a_modbus_device_is_found_with_the_profiles_that_fit(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "MODBUS_TIMEOUT_S", 0.1)
    with Served(Device(CHINT, unit=3).hear, terminal=terminal) as wire:
        assert cli.main(["meter", "scan", "--url", wire.url, "--protocol", "modbus", "--baud", "9600"]) == 0
    said = capsys.readouterr().out
    assert "meter 3 at 9600 bit/s, modbus" in said
    assert load_profile("chint-dtsu666").title_zh in said
    assert "--profile eastron" not in said


def test_a_device_that_refuses_the_question_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "MODBUS_TIMEOUT_S", 0.1)
    pzem = {0x0000: struct.pack(">HHHHHHHHH", 2215, 1500, 0, 4464, 1, 10, 0, 500, 98)}
    device = Device(pzem, unit=2)
    device.functions = {4}
    with Served(device.hear, terminal=False) as wire:
        assert cli.main(["meter", "scan", "--url", wire.url, "--protocol", "modbus", "--json"]) == 0
    assert found(capsys) == {"address": "2", "baud": 2400, "protocol": "modbus", "profiles": ["pzem-004t"]}


def test_a_silent_line_is_told_for_each_protocol_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "MODBUS_TIMEOUT_S", 0.001)
    with Served(lambda _: [], terminal=False) as wire:
        assert cli.main(["meter", "scan", "--url", wire.url]) == 1
    told = capsys.readouterr().err
    assert [line.partition(",")[0] for line in told.splitlines()[:3]] == list(scan.PROTOCOLS)
    assert "无应答" in told
    assert "no meter answers on" in told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ratio", "0"], "0 is not from 0.001 to 100000"),
        (["--ratio", "nan"], "nan is not from"),
        (["--baud", "7"], "7 is not from 300 to 115200"),
        (["--baud", "fast"], "invalid"),
        (["--seconds", "-1"], "-1 is not from 0"),
    ],
)
def test_an_option_out_of_its_bounds_is_told(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["meter", "test", "--url", "tcp://127.0.0.1:1", "--address", "1", *options])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("url", ["tcp://[::1", "tcp://127.0.0.1:99999", "bogus", "modbus-tcp://x:99999"])
def test_an_address_that_is_no_wire_is_told_as_such(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for task in (["scan"], ["read", "--address", "1"]):
        assert cli.main(["meter", *task, "--url", url]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_of_late_answers_and_silence_the_installer_hears_of_late_answers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with SimulatedMeter(demo_load(), address="123456789012", terminal=True) as meter:
        meter.twin.misbehaviours = {Misbehaviour.LATE}
        there = ["--url", meter.url, "--address", meter.address]
        assert cli.main(["meter", "test", *there, "--seconds", "2"]) == 1
    assert "应答太慢 / answers come too late: {" in capsys.readouterr().err


def test_a_wire_put_in_backwards_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    turned = {0x2012: floats(10_000.0, 30_000.0, -50_000.0, 30_000.0)}
    with Served(Device(CHINT | turned, unit=3).hear, terminal=True) as wire:
        there = ["--url", wire.url, "--address", "3", "--profile", "chint-dtsu666"]
        assert cli.main(["meter", "test", *there, "--seconds", "0.1"]) == 0
    said = capsys.readouterr().out
    assert "1 of 1 readings are good" in said
    assert text.say("zh", "power.doubt.reversed_current") in said
