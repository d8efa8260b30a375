"""Modbus RTU frames in words (Modbus application protocol 1.1b3; CRC-16 with the low byte first)."""

from __future__ import annotations

from typing import Any

_FUNCTIONS = {
    1: "read_coils",
    2: "read_discrete_inputs",
    3: "read_holding_registers",
    4: "read_input_registers",
    5: "write_coil",
    6: "write_register",
    15: "write_coils",
    16: "write_registers",
}
_EXCEPTIONS = {
    1: "illegal_function",
    2: "illegal_data_address",
    3: "illegal_data_value",
    4: "server_device_failure",
    5: "acknowledge",
    6: "server_device_busy",
    8: "memory_parity_error",
    10: "gateway_path_unavailable",
    11: "gateway_target_failed",
}
_SHORTEST = 4


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS."""
    crc = 0xFFFF
    for value in data:
        crc ^= value
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def explain(raw: bytes) -> list[dict[str, Any]]:
    """RTU frames end with silence, which bytes on paper do not show: frames are found by their lengths and CRC."""
    facts: list[dict[str, Any]] = []
    at = 0
    while at < len(raw):
        length = _length(raw[at:])
        if length is None:
            break
        facts.append(_frame(raw[at : at + length]))
        at += length
    if at < len(raw):
        facts.append(_damaged(raw[at:]))
    return facts


def _candidates(raw: bytes) -> list[int]:
    """Lengths that a frame beginning here can have."""
    if len(raw) < 2:
        return []
    function = raw[1]
    if function & 0x80:
        return [5]
    if function in (1, 2, 3, 4):
        return [5 + raw[2], 8] if len(raw) > 2 else []
    if function in (5, 6):
        return [8]
    if function in (15, 16):
        return [8, 9 + raw[6]] if len(raw) > 6 else [8]
    return []


def _length(raw: bytes) -> int | None:
    """The length of the frame here whose CRC holds."""
    for length in _candidates(raw):
        if length <= len(raw) and crc16(raw[: length - 2]) == int.from_bytes(raw[length - 2 : length], "little"):
            return length
    return None


def _damaged(raw: bytes) -> dict[str, Any]:
    lengths = _candidates(raw)
    head: dict[str, Any] = {"address": str(raw[0])} if raw else {}
    if len(raw) > 1:
        head["function"] = raw[1] & 0x7F
    if len(raw) < _SHORTEST or (lengths and min(lengths) > len(raw)):
        return {"status": "incomplete", **head, "bytes": len(raw)}
    if len(raw) >= _SHORTEST and crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little"):
        return {"status": "ok", **head, "data": raw[2:-2].hex().upper()}
    return {"status": "bad_checksum", **head, "bytes": len(raw)}


def _frame(raw: bytes) -> dict[str, Any]:
    function, body = raw[1], raw[2:-2]
    fact: dict[str, Any] = {
        "status": "exception" if function & 0x80 else "ok",
        "address": str(raw[0]),
        "function": function & 0x7F,
        "name": _FUNCTIONS.get(function & 0x7F, "unknown"),
        "data": body.hex().upper(),
    }
    if function & 0x80:
        return fact | {"exception": body[0], "errors": [_EXCEPTIONS.get(body[0], f"exception_{body[0]}")]}
    if function in (1, 2, 3, 4):
        if len(body) == 1 + body[0]:
            return fact | {"direction": "answer", "values": _read_values(function, body[1:])}
        return fact | {"direction": "request"} | _span(body)
    if function in (5, 6):
        value: Any = int.from_bytes(body[2:], "big")
        if function == 5:
            value = {0xFF00: 1, 0x0000: 0}.get(value, value)
        where = int.from_bytes(body[:2], "big")
        return fact | {
            "register": where,
            "values": [{"name": f"{_kind(function)}_{where}", "value": value, "unit": ""}],
        }
    if len(body) == 4:
        return fact | {"direction": "answer"} | _span(body)
    fact |= {"direction": "request"} | _span(body)
    return fact | {"values": _read_values(3 if function == 16 else 1, body[5:])}


def _kind(function: int) -> str:
    return "coil" if function in (1, 5, 15) else "register"


def _span(body: bytes) -> dict[str, Any]:
    return {"register": int.from_bytes(body[:2], "big"), "count": int.from_bytes(body[2:4], "big")}


def _read_values(function: int, data: bytes) -> list[dict[str, Any]]:
    if function in (1, 2):
        bits = [byte >> k & 1 for byte in data for k in range(8)]
        return [{"name": f"bit_{k}", "value": bit, "unit": ""} for k, bit in enumerate(bits)]
    words = [data[k : k + 2] for k in range(0, len(data) - 1, 2)]
    return [
        {
            "name": f"register_{k}",
            "value": int.from_bytes(word, "big"),
            "signed": int.from_bytes(word, "big", signed=True),
            "unit": "",
        }
        for k, word in enumerate(words)
    ]
