"""Frames in words, and the installer's commands."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.base.errors import UsageError
from sealwatch.edge.power import cli
from sealwatch.edge.power.decode import PROTOCOLS, explain, from_hex
from sealwatch.edge.power.plausible import doubts, energy_doubt
from sealwatch.simulator.loads.scenarios import demo_load
from sealwatch.simulator.meter import SimulatedMeter
from sealwatch.simulator.meter_twin import Misbehaviour


def recorded() -> list[dict[str, Any]]:
    folder = Path(os.environ.get("SEALWATCH_SHARED_DATA", Path(__file__).parents[3].parent / "shared/data"))
    file = folder / "protocol/frames_dev.json"
    return json.loads(file.read_text()) if file.exists() else []


@pytest.mark.shared_data
@pytest.mark.skipif(not recorded(), reason="protocol/frames_dev.json of the evaluation recordings is not there")
def test_every_recorded_frame_of_every_protocol_is_told_as_stated() -> None:
    broken = {
        "bad-checksum": "bad_checksum",
        "bad-end": "bad_end",
        "bad-header": "bad_header",
        "bad-length": "bad_length",
        "incomplete": "incomplete",
        "preamble-only": "no_frame",
    }
    for frame in recorded():
        facts = explain(frame["proto"], from_hex(frame["hex"]))
        if frame["kind"] in broken:
            assert [f["status"] for f in facts] == [broken[frame["kind"]]], frame
        elif "ERR" in (frame["stated"] or ""):
            assert (facts[0]["status"], facts[0]["errors"]) == ("exception", ["no_such_data"])
        elif isinstance(frame["check"], list) and frame["check"][0]["status"] == "bad-checksum":
            assert facts[0]["status"] == "bad_checksum"
        else:
            assert {f["status"] for f in facts} == {"ok"}, frame


@pytest.mark.parametrize(
    ("hexes", "name", "value", "unit"),
    [
        ("68 61 01 00 00 00 00 68 91 06 33 34 34 35 34 43 10 16", "voltage_a", 100.1, "V"),
        ("68 61 01 00 00 00 00 68 91 07 33 33 36 35 45 58 33 6B 16", "active_power", 0.2512, "kW"),
        ("68 61 01 00 00 00 00 68 91 08 33 33 34 33 59 33 33 33 8A 16", "forward_active_energy", 0.26, "kWh"),
    ],
)
def test_values_carry_name_number_and_unit(hexes: str, name: str, value: float, unit: str) -> None:
    (fact,) = explain("dlt645-2007", from_hex(hexes))
    assert fact["values"] == [{"name": name, "value": value, "unit": unit}]


def test_a_dlt698_answer_tells_power_by_phase() -> None:
    from dlt698 import codec

    request = codec.decode_frame(from_hex("68 17 00 43 05 02 00 00 00 00 00 10 48 5E 05 01 15 F1 01 02 00 00 1A 00 16"))
    payload = from_hex(
        "85 01 00 20 04 02 00 01 01 04 05 00 00 09 E8 05 00 00 03 48 05 00 00 03 50 05 FF FF FF 50 00 00"
    )
    answer = codec.encode_frame(
        codec.Frame(control=0xC3, server=request.server, client=request.client, payload=payload)
    )
    (fact,) = explain("dlt698.45", answer)
    assert fact["data_identifier"] == "20040200"
    assert [(v["name"], v["value"], v["unit"]) for v in fact["values"]] == [
        ("active_power", 253.6, "W"),
        ("active_power_a", 84.0, "W"),
        ("active_power_b", 84.8, "W"),
        ("active_power_c", -17.6, "W"),
    ]


def test_a_modbus_exception_and_a_frame_of_another_address_have_their_status() -> None:
    assert explain("modbus-rtu", from_hex("01 83 02 C0 F1"))[0]["errors"] == ["illegal_data_address"]
    foreign = explain("modbus-rtu", from_hex("11 04 02 FF FE B8 83"), address="1")
    assert foreign[0]["status"] == "foreign"
    assert foreign[0]["values"][0]["signed"] == -2


@given(st.sampled_from(sorted(PROTOCOLS)), st.binary(max_size=200))
def test_any_bytes_get_a_status(protocol: str, raw: bytes) -> None:
    facts = explain(protocol, raw)
    assert facts
    assert all(f["status"] for f in facts)
    json.dumps(facts)


def test_what_is_no_hex_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="is not hex"):
        from_hex("68 zz")


def test_decode_reads_captures_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = b"FE FE FE FE\n\n68 12 90 78 56 34 12 68 D1 01 35 8D 16\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert cli.main(["meter", "decode"]) == 0
    assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == ["no_frame", "exception"]


def test_scan_read_and_test_against_a_simulated_meter(capsys: pytest.CaptureFixture[str]) -> None:
    with SimulatedMeter(demo_load(), address="123456789012") as meter:
        assert cli.main(["meter", "scan", "--url", meter.url, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["address"] == "123456789012"
        there = ["--url", meter.url, "--address", meter.address]
        assert cli.main(["meter", "read", *there, "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["values"]["frequency_hz"] == 50.0
        assert answer["doubts"] == []
        assert cli.main(["meter", "test", *there, "--seconds", "0.5"]) == 0
        assert cli.main(["meter", "watch", *there, "--seconds", "0.5"]) == 0
        assert "kW" in capsys.readouterr().out
        meter.twin.misbehaviours = {Misbehaviour.GARBAGE}
        assert cli.main(["meter", "test", *there, "--seconds", "0.5"]) == 1
        assert "unreadable data" in capsys.readouterr().err


def test_wrong_calls_are_told_what_to_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["meter", "scan", "--url", "nowhere"]) == 2
    assert cli.main(["meter", "read", "--url", "tcp://127.0.0.1:1", "--address", "x"]) == 2
    assert cli.main(["meter", "read", "--url", "tcp://127.0.0.1:1", "--address", "1"]) == 1
    assert "check power, network and port" in capsys.readouterr().err


def test_readings_that_agree_raise_no_doubt_and_others_do() -> None:
    good = dict(demo_load()(100.0))
    assert doubts(good) == []
    assert [d.reason for d in doubts(good | {"current_a_a": 2 * good["current_a_a"]})] == ["power_does_not_match"]
    assert "phase_lost" in [d.reason for d in doubts(good | {"voltage_b_v": 3.0})]
    reversed_phase = good | {"active_power_a_w": -good["active_power_a_w"]}
    assert {"phases_do_not_sum", "reversed_current"} <= {d.reason for d in doubts(reversed_phase)}
    assert energy_doubt(1000.0, 1010.0) is None
    bypassed = energy_doubt(2000.0, 10_000.0)
    assert bypassed is not None
    assert bypassed.reason == "energy_does_not_match"
