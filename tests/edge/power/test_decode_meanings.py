"""What frames mean: records, demands, refusals and messages that no meter of ours is asked for, in words and units."""

from __future__ import annotations

from typing import Any

import pytest
from dlt698 import _native, codec

from sealwatch.edge.power.decode import explain
from sealwatch.edge.power.decode.modbus import crc16
from sealwatch.edge.power.dlt645 import Frame, encode

MOMENT, LATER = "001523050624", "301623050624"  # 2024-06-05T23:15:00 and 23:16:30
DEMAND = "5634123014050624"


def told(identifier: str, content: str, *, control: int = 0x91) -> dict[str, Any]:
    data = bytes.fromhex(identifier)[::-1] + bytes.fromhex(content)
    (fact,) = explain("dlt645-2007", encode(Frame("000000000161", control, data)))
    return fact


def triples(fact: dict[str, Any]) -> list[tuple[str, Any, str]]:
    return [(value["name"], value["value"], value["unit"]) for value in fact["values"]]


@pytest.mark.parametrize(
    ("identifier", "content", "wanted"),
    [
        (
            "01010000",
            DEMAND,
            [("forward_active_demand", 12.3456, "kW"), ("forward_active_demand_time", "2024-06-05T14:30", "")],
        ),
        ("00010001", "78563412", [("forward_active_energy_settlement_1", 123456.78, "kWh")]),
        ("00150000", "78563412", [("forward_active_energy_a", 123456.78, "kWh")]),
        ("003E0000", "78563412", [("reverse_active_energy_c", 123456.78, "kWh")]),
        ("00090000", "78563412", [("forward_apparent_energy", 123456.78, "kVAh")]),
        (
            "03110001",
            MOMENT + LATER,
            [("power_loss_began", "2024-06-05T23:15:00", ""), ("power_loss_ended", "2024-06-05T23:16:30", "")],
        ),
        (
            "03300401",
            "11223344" + MOMENT + LATER,
            [
                ("clock_set_operator", "44332211", ""),
                ("clock_set_before", "2024-06-05T23:15:00", ""),
                ("clock_set_after", "2024-06-05T23:16:30", ""),
            ],
        ),
        (
            "03070000",
            "020000150000",
            [("voltage_order_reversed_count", 2, ""), ("voltage_order_reversed_total", 15, "min")],
        ),
        ("02800007", "5082", [("temperature", -25.0, "°C")]),
        ("02090300", "5002", [("current_distortion_c", 2.5, "%")]),
        ("02060200", "0080", [("power_factor_b", 0.0, "")]),
        ("0400010C", "30152303050624", [("date_time", "2024-06-05T23:15:30", "")]),
        ("04000404", "563032320000", [("rated_voltage", "220V", "")]),
        ("05060001", "0000010624", [("frozen_time", "2024-06-01T00:00", "")]),
        ("00900200", "78563412", [("remaining_money", 123456.78, "CNY")]),
        ("02800020", "12560000", [("price", 0.5612, "CNY/kWh")]),
        ("10000001", "020000", [("voltage_lost_count", 2, "")]),
        ("13020002", "150000", [("phase_broken_b_total", 15, "min")]),
        ("10010101", MOMENT, [("voltage_lost_a_began", "2024-06-05T23:15:00", "")]),
        ("05040101", "78563412", [("frozen_forward_active_energy", 123456.78, "kWh")]),
    ],
)
def test_an_answer_is_told_with_its_name_and_unit(
    identifier: str, content: str, wanted: list[tuple[str, Any, str]]
) -> None:
    assert triples(told(identifier, content)) == wanted


def test_blocks_of_demands_and_settlements_are_told_whole() -> None:
    demands = told("0101FF00", DEMAND * 5)
    assert [v["name"] for v in demands["values"]][2] == "forward_active_demand_sharp"
    assert len(demands["values"]) == 10
    assert len(told("0001FF01", "78563412" * 5)["values"]) == 5
    lost = told("03010000", "010000020000" * 3)
    assert triples(lost)[4:] == [("voltage_lost_c_count", 1, ""), ("voltage_lost_c_total", 2, "min")]


def test_a_supply_that_was_switched_off_is_told_with_its_hour_and_registers() -> None:
    values = triples(told("1D000101", MOMENT + "11223344" + "78563412" * 6))
    assert values[:2] == [
        ("switched_off_time", "2024-06-05T23:15:00", ""),
        ("switched_off_operator", "44332211", ""),
    ]
    assert values[2] == ("switched_off_at_forward_active_energy", 123456.78, "kWh")
    assert len(values) == 8


def test_an_opened_cover_is_told_with_the_registers_before_and_after() -> None:
    fact = told("03300D01", MOMENT + LATER + "78563412" * 12)
    assert triples(fact)[2] == ("cover_opened_before_forward_active_energy", 123456.78, "kWh")
    assert triples(fact)[-1] == ("cover_opened_after_quadrant_4_reactive_energy", 123456.78, "kvarh")
    assert "detail" not in fact


def test_data_of_another_length_than_due_is_said() -> None:
    assert told("02030000", "34") == told("02030000", "34") | {
        "values": [],
        "detail": "1 bytes of data where 3 are due",
    }
    assert told("02030000", "3412001122")["detail"] == "2 bytes of data are left over"


def test_a_piece_that_follows_is_told_by_its_number_and_gets_no_wrong_names() -> None:
    fact = told("0001FF00", "7856341202", control=0x92)
    assert (fact["sequence"], fact["data"], "values" in fact) == (2, "78563412", False)


@pytest.mark.parametrize(
    ("control", "content", "name", "wanted"),
    [
        (0x1C, "0200000011223344" + "1A00" + LATER, "command", "switch_off"),
        (0x1C, "0200000011223344" + "1C00" + LATER, "valid_until", "2024-06-05T23:16:30"),
        (0x16, "30231599", "freeze_at", "99-15T23:30"),
        (0x17, "08", "speed", 2400),
    ],
)
def test_commands_are_told(control: int, content: str, name: str, wanted: object) -> None:
    (fact,) = explain("dlt645-2007", encode(Frame("000000000161", control, bytes.fromhex(content))))
    assert {value["name"]: value["value"] for value in fact["values"]}[name] == wanted


def test_the_security_functions_refusal_is_a_number() -> None:
    (fact,) = explain("dlt645-2007", encode(Frame("000000000161", 0xC3, b"\x0b\x00")))
    assert (fact["status"], fact["errors"]) == ("exception", ["security_error_000b"])


def message(payload: str, *, control: int = 0xC3) -> bytes:
    server = _native.ServerAddress(bytes=bytes.fromhex("020000000000"), logical=0)
    frame = codec.Frame(control=control, server=server, client=0x10, payload=bytes.fromhex(payload))
    return bytes(codec.encode_frame(frame))


@pytest.mark.parametrize(
    ("payload", "status", "identifier", "wanted"),
    [
        (
            "85010310100201010202060000" + "07D01C07E80605170F1E0000",
            "ok",
            "10100201",
            [("forward_active_demand", 0.2, "kW"), ("forward_active_demand_time", "2024-06-05T23:15:30", "")],
        ),
        ("850103001004010115000000003ADE68B10000", "ok", "00100401", [("forward_active_energy", 98765.4321, "kWh")]),
        ("88010B0120000201011208980000", "ok", "20000201", [("voltage_a", 220.0, "V")]),
        ("060109400002001C07E80605170F1E00", "ok", "40000200", [("date_time", "2024-06-05T23:15:30", "")]),
        (
            "850103301B0700010101020200020206000000020600000063" + "0000",
            "ok",
            "301B0700",
            [("cover_opened_count", 2, ""), ("cover_opened_total", 99, "s")],
        ),
        # Asked and answered through another server, and bytes that came back from one of its ports.
        ("09010B001E010705000000000001001E010010020000", "ok", "00100200", []),
        (
            "890106010705000000000001010010020001010106" + "0000007B" + "0000",
            "ok",
            "00100200",
            [("forward_active_energy", 1.23, "kWh")],
        ),
        ("850103301104000112000A0000", "ok", "30110400", [("power_loss_records", 10, "")]),
        ("86010940000200030000", "exception", "40000200", []),
        ("87010A8000810003000000", "exception", "80008100", []),
        ("90000D850104200F020001121388000000", "ok", "200F0200", [("frequency", 50.0, "Hz")]),
        (
            "8503075004020002002021020000001002000101" + "1C07E80605170F1E" + "01010600001234" + "0000",
            "ok",
            "50040200",
            [("frozen_time", "2024-06-05T23:15:30", ""), ("forward_active_energy", 46.6, "kWh")],
        ),
    ],
)
def test_messages_of_698_are_told_with_object_values_and_refusals(
    payload: str, status: str, identifier: str, wanted: list[tuple[str, Any, str]]
) -> None:
    (fact,) = explain("dlt698.45", message(payload))
    assert (fact["status"], fact["data_identifier"]) == (status, identifier)
    assert [(v["name"], v["value"], v["unit"]) for v in fact.get("values", [])] == wanted


def test_bytes_that_pass_through_a_698_server_are_told_as_they_are() -> None:
    (fact,) = explain("dlt698.45", message("890706F20102010104FEFE68160000"))
    assert (fact["service"], fact["data_identifier"], fact["carried"]) == ("ProxyResponse", "F2010201", "FEFE6816")


def test_refusals_of_698_are_named() -> None:
    assert explain("dlt698.45", message("86010940000200030000"))[0]["errors"] == ["dar_3_not_permitted"]
    assert explain("dlt698.45", message("EE01010000"))[0]["errors"] == ["service_not_supported"]
    assert explain("dlt698.45", message("90021600"))[0]["errors"] == ["dar_22_security_module_refused"]


def test_pieces_of_a_long_message_are_joined_behind_the_last_one() -> None:
    whole = "850104200F0200011213880000"
    pieces = (f"0500{whole[:10]}", f"06C0{whole[10:16]}", f"0740{whole[16:]}")
    facts = explain("dlt698.45", b"".join(message(piece, control=0xE3) for piece in pieces))
    assert [fact["fragment_kind"] for fact in facts] == ["first", "middle", "last"]
    assert triples(facts[2]) == [("frequency", 50.0, "Hz")]


def rtu(body: str) -> bytes:
    raw = bytes.fromhex(body)
    return raw + crc16(raw).to_bytes(2, "little")


def test_an_odd_count_of_bytes_is_no_answer_with_registers() -> None:
    (fact,) = explain("modbus-rtu", rtu("010403000002"))
    assert (fact["direction"], fact["register"], fact["count"]) == ("request", 0x300, 2)


def test_a_damaged_request_to_read_is_broken_and_not_cut_off() -> None:
    assert [f["status"] for f in explain("modbus-rtu", rtu("010320120002")[:-1] + b"\x00")] == ["bad_checksum"]


def test_the_second_of_two_equal_writes_is_the_answer() -> None:
    facts = explain("modbus-rtu", rtu("110600641234") * 2)
    assert [fact["direction"] for fact in facts] == ["either", "answer"]


def test_two_registers_are_told_as_a_float_where_a_meter_could_mean_one() -> None:
    (fact,) = explain("modbus-rtu", rtu("010304436B580E"))
    assert [value.get("float32") for value in fact["values"]] == [235.344, None]
    (fact,) = explain("modbus-rtu", rtu("01030400010002"))
    assert all("float32" not in value for value in fact["values"])
