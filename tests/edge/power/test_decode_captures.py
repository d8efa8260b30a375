"""Captures as they come from real lines: written in many ways, cut off, joined, broken, meant for another meter."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.edge.power import cli
from sealwatch.edge.power.decode import explain, from_hex
from sealwatch.edge.power.decode.modbus import crc16
from sealwatch.edge.power.dlt645 import Frame, encode

ADDRESS = "123456789012"
POWER = encode(Frame(ADDRESS, 0x91, bytes.fromhex("00000302" + "122500")), preamble=0)
ENERGY_698 = from_hex("68 1E 00 C3 05 01 00 00 00 00 00 10 CA DB 85 01 01 20 04 02 01 01 05 FF FF FF 9C 00 00 8F 1C 16")


def rtu(body: str) -> bytes:
    raw = bytes.fromhex(body)
    return raw + crc16(raw).to_bytes(2, "little")


def statuses(protocol: str, raw: bytes, address: str = "") -> list[str]:
    return [fact["status"] for fact in explain(protocol, raw, address=address)]


def content(control: int, data: str, address: str = ADDRESS) -> dict[str, Any]:
    (fact,) = explain("dlt645-2007", encode(Frame(address, control, bytes.fromhex(data))))
    return {value["name"]: value["value"] for value in fact.get("values", [])}


@pytest.mark.parametrize(
    "written",
    [
        POWER.hex(),
        POWER.hex(" ").upper(),
        ",".join(f"0x{b:02x}" for b in POWER),
        "[" + ", ".join(f"0X{b:02X}" for b in POWER) + "]",
        " ".join(f"{b:02X}H" for b in POWER),
        "".join(f"\\x{b:02x}" for b in POWER),
        " ".join(f"{b:x}" for b in POWER),
        '"' + POWER.hex("-") + '"',
        "RX: " + POWER.hex(" "),
        "[14:22:33.123]收←◆" + POWER.hex(" "),
    ],
)
def test_bytes_are_read_as_tools_print_them(written: str) -> None:
    assert from_hex(written) == POWER


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (POWER + POWER, ["ok", "ok"]),
        (b"\x68" + POWER, ["ok"]),
        (b"\x00\x55" + POWER + b"\x16\x16", ["ok"]),
        (POWER[:9] + POWER, ["incomplete", "ok"]),
        (POWER + POWER[:9], ["ok", "incomplete"]),
        (POWER[:-2] + bytes([POWER[-2] ^ 1, 0x16]) + POWER, ["bad_checksum", "ok"]),
        (POWER[:12] + POWER, ["incomplete", "ok"]),
        (POWER[:7] + b"\x69" + POWER[8:] + POWER, ["bad_header", "ok"]),
        (POWER + POWER[:7] + b"\x69" + POWER[8:], ["ok", "bad_header"]),
        (POWER[:-1] + b"\x17" + POWER, ["bad_end", "ok"]),
        (b"\xfe" * 4, ["no_frame"]),
        (b"", ["no_frame"]),
    ],
)
def test_what_is_cut_off_or_broken_is_told_beside_what_is_whole(raw: bytes, wanted: list[str]) -> None:
    assert statuses("dlt645-2007", raw) == wanted


@pytest.mark.parametrize(
    ("written", "address", "status"),
    [
        (ADDRESS, "123456789012", "ok"),
        (ADDRESS, "1", "foreign"),
        ("000000000161", "161", "ok"),
        ("AAAAAAAAAAAA", "1", "ok"),
        ("AAAAAAAA0012", "12", "ok"),
        ("AAAAAAAA0012", "13", "foreign"),
        ("999999999999", "1", "ok"),
    ],
)
def test_wildcard_and_broadcast_addresses_mean_every_meter(written: str, address: str, status: str) -> None:
    raw = encode(Frame(written, 0x11, bytes.fromhex("00000302")))
    assert statuses("dlt645-2007", raw, address) == [status]


def test_dlt645_contents_by_the_standard() -> None:
    block = "00FF0102" + "0022" + "0122" + "FFFF"
    assert content(0x91, block) == {"voltage_a": 220.0, "voltage_b": 220.1, "voltage_c": None}
    assert content(0x91, "00FF0202" + "001000" + "001080" + "001000")["current_b"] == -1.0
    assert content(0x91, "00000000" + "78563492") == {"combined_active_energy": -123456.78}
    assert content(0x91, "02008002" + "9949") == {"frequency": 49.99}
    assert content(0x91, "01040004" + "129078563412") == {"meter_address": ADDRESS}
    assert content(0x91, "00043003" + "020000") == {"clock_set_count": 2.0}
    assert content(0x08, "563412261126", "999999999999") == {"date_time": "2026-11-26T12:34:56"}
    assert content(0x15, "129078563412", "AAAAAAAAAAAA") == {"meter_address": ADDRESS}
    assert content(0x97, "08") == {"speed": 2400}
    assert content(0x91, "01050004" + "0080") == {"status_word_1": "1000000000000000"}
    assert list(content(0x91, "010D3003" + "563412010125" + "000000000000" + "00" * 48).values())[:2] == [
        "2025-01-01T12:34:56",
        None,
    ]
    # One phase with a digit that is none leaves the others readable.
    assert content(0x91, "00FF0102" + "0022" + "F0F1" + "0122") == {
        "voltage_a": 220.0,
        "voltage_b": None,
        "voltage_c": 220.1,
    }


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (rtu("0103044048F5C3")[:-1] + b"\x00", ["bad_checksum"]),
        (rtu("0103044048F5C3")[:5], ["incomplete"]),
        (rtu("0103044048F5C3")[:8], ["incomplete"]),
        (rtu("010300000002")[:7], ["incomplete"]),
        (rtu("011000010002040000000A")[:8], ["incomplete"]),
        (rtu("010300000002") + rtu("0103044048F5C3"), ["ok", "ok"]),
        # A few stray bytes before or behind are no frame; the beginning of one is.
        (b"\xff\x00" + rtu("010300000002") + b"\x00\xff\xff", ["ok"]),
        (b"\xfe" * 4 + rtu("010300000002") + b"\x01\x03\x04", ["ok", "incomplete"]),
        # Functions of other forms are found by their CRC, one behind the other.
        (rtu("1107") + rtu("11076D"), ["ok", "ok"]),
        (rtu("110800001234") * 2, ["ok", "ok"]),
        (rtu("1116000400F20025") + rtu("1111") + rtu("112B0E0100"), ["ok", "ok", "ok"]),
        (rtu("018307"), ["exception"]),
        (rtu("0103044048F5C3")[:-1] + b"\x00" + rtu("010300000002"), ["bad_checksum", "ok"]),
        (rtu("1107"), ["ok"]),
        (rtu("018302"), ["exception"]),
        (rtu("01AB01"), ["exception"]),
    ],
)
def test_modbus_frames_are_found_by_their_limits_and_crc(raw: bytes, wanted: list[str]) -> None:
    assert statuses("modbus-rtu", raw) == wanted


def test_a_modbus_answer_behind_its_request_names_the_registers() -> None:
    request, answer = explain("modbus-rtu", rtu("010320120002") + rtu("0103044048F5C3"))
    assert (request["register"], request["count"]) == (0x2012, 2)
    assert [v["name"] for v in answer["values"]] == ["register_8210", "register_8211"]
    _, coils = explain("modbus-rtu", rtu("010100130003") + rtu("01010105"))
    assert [(v["name"], v["value"]) for v in coils["values"]] == [("coil_19", 1), ("coil_20", 0), ("coil_21", 1)]
    (alone,) = explain("modbus-rtu", rtu("0103044048F5C3"))
    assert [v["name"] for v in alone["values"]] == ["register_0", "register_1"]
    assert statuses("modbus-rtu", rtu("000600010003"), "7") == ["ok"]


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (ENERGY_698, ["ok"]),
        (b"\xfe" * 4 + ENERGY_698 + ENERGY_698, ["ok", "ok"]),
        (b"\x68" + ENERGY_698 + b"\x68", ["ok"]),
        (ENERGY_698[:-1] + b"\x17" + ENERGY_698, ["bad_end", "ok"]),
        (ENERGY_698[:-4] + ENERGY_698, ["incomplete", "ok"]),
        (ENERGY_698[:-4], ["incomplete"]),
        (ENERGY_698[:-1] + b"\x17", ["bad_end"]),
        (ENERGY_698[:12] + b"\x00" + ENERGY_698[13:], ["bad_checksum"]),
        (ENERGY_698[:-2] + b"\x00\x16" + ENERGY_698, ["bad_checksum", "ok"]),
    ],
)
def test_dlt698_frames_are_found_in_any_capture(raw: bytes, wanted: list[str]) -> None:
    facts = explain("dlt698.45", raw)
    assert [f["status"] for f in facts] == wanted
    assert {(f["address"], f["control"]) for f in facts} == {("000000000001", "C3")}


def test_dlt698_pieces_refusals_and_times_are_named() -> None:
    def values(payload: str) -> dict[str, Any]:
        return explain("dlt698.45", frame_698(payload))[0]

    (piece,) = explain("dlt698.45", from_hex("68 13 00 A3 05 02 00 00 00 00 00 10 90 D5 07 41 00 00 04 FC 16"))
    assert (piece["fragment_kind"], piece["fragment_number"]) == ("last", 0x107)
    refused = values("8501012004020000060000")
    assert (refused["status"], refused["errors"]) == ("exception", ["dar_6_object_does_not_exist"])
    assert values("85010140000200011C07EA0B1A0C22380000")["values"][0]["value"] == "2026-11-26T12:34:56"
    assert values("85010120000202011208980000")["values"] == [{"name": "voltage_b", "value": 220.0, "unit": "V"}]
    assert values("850101200402010105FFFFFF9C0000")["values"][0]["name"] == "active_power"


def frame_698(payload: str) -> bytes:
    from dlt698 import _native, codec

    server = _native.ServerAddress(bytes=b"\x01\0\0\0\0\0", logical=0)
    return bytes(
        codec.encode_frame(codec.Frame(control=0xC3, server=server, client=0x10, payload=bytes.fromhex(payload)))
    )


@given(st.lists(st.tuples(st.binary(max_size=6), st.booleans()), max_size=5))
def test_whole_frames_are_all_found_whatever_lies_between(pieces: list[tuple[bytes, bool]]) -> None:
    noise = [bytes(b for b in part if b != 0x68) for part, _ in pieces]
    raw = b"".join(part + POWER * whole for part, (_, whole) in zip(noise, pieces, strict=True))
    assert statuses("dlt645-2007", raw).count("ok") == sum(whole for _, whole in pieces)


def test_a_line_that_is_no_hex_is_told_and_the_others_are_decoded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = b"\xef\xbb\xbf" + POWER.hex().encode() + b"\r\n\xff\xfe zz\n" + POWER.hex(" ").encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert cli.main(["meter", "decode"]) == 1
    said = capsys.readouterr()
    assert [json.loads(line)["status"] for line in said.out.splitlines()] == ["ok", "not_hex", "ok"]
    assert "line 2: " in said.err


def test_a_long_capture_of_noise_is_read_through_and_the_frame_in_it_found() -> None:
    noise = random.Random(3).randbytes(6000)
    facts = explain("modbus-rtu", noise + rtu("010300000002") + noise)
    whole = [(fact["address"], fact["function"]) for fact in facts if fact["status"] == "ok"]
    assert ("1", 3) in whole
    assert len(whole) <= 3  # a CRC of 16 bits fits noise now and then
    twice = [explain("dlt645-2007", POWER[:7] + b"\x69" + POWER[8:]) for _ in range(2)]
    assert [facts[0]["status"] for facts in twice] == ["bad_header", "bad_header"]


def test_half_a_byte_at_the_end_is_left_out_and_bytes_on_the_command_line_may_be_no_hex(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for written, status, code in (
        (POWER.hex() + "1", "ok", 0),
        (POWER.hex()[:-1], "incomplete", 0),
        ("zz", "not_hex", 1),
    ):
        assert cli.main(["meter", "decode", "--protocol", "DLT645-2007", written]) == code
        assert json.loads(capsys.readouterr().out)["status"] == status
