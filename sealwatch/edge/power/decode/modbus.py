"""Modbus RTU frames in words (Modbus application protocol 1.1b3; CRC-16 with the low byte first)."""

from __future__ import annotations

import struct
from typing import Any

_FUNCTIONS = {
    1: "read_coils",
    2: "read_discrete_inputs",
    3: "read_holding_registers",
    4: "read_input_registers",
    5: "write_coil",
    6: "write_register",
    7: "read_exception_status",
    8: "diagnostics",
    11: "read_event_counter",
    12: "read_event_log",
    15: "write_coils",
    16: "write_registers",
    17: "report_server_id",
    20: "read_file_record",
    21: "write_file_record",
    22: "mask_write_register",
    23: "read_write_registers",
    24: "read_fifo_queue",
    43: "encapsulated_interface",
}
_EXCEPTIONS = {
    1: "illegal_function",
    2: "illegal_data_address",
    3: "illegal_data_value",
    4: "server_device_failure",
    5: "acknowledge",
    6: "server_device_busy",
    7: "negative_acknowledge",
    8: "memory_parity_error",
    10: "gateway_path_unavailable",
    11: "gateway_target_failed",
}
_SHORTEST, _LONGEST = 4, 256
_LAST_ADDRESS = 248  # 247 by the protocol; 248 is how a PZEM-004T alone on its line is asked


def _shifted(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return value


_TABLE = tuple(_shifted(value) for value in range(256))


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS."""
    crc = 0xFFFF
    for value in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ value) & 0xFF]
    return crc


def explain(raw: bytes) -> list[dict[str, Any]]:
    """RTU frames end with silence, which bytes on paper do not show: frames are found by their lengths and CRC.

    An answer does not say which registers it holds; behind its request in the same bytes it takes their numbers.
    """
    facts: list[dict[str, Any]] = []
    noise: list[dict[str, Any]] = []
    asked: dict[str, Any] = {}
    at = 0
    while at < len(raw):
        length = _length(raw[at:])
        if length is None:
            end = next((k for k in range(at + 1, len(raw) - 3) if _length(raw[k:]) is not None), len(raw))
            begin = next((k for k in range(at, end) if raw[k] <= _LAST_ADDRESS), end)
            piece, at = raw[begin:end], end
            begun = len(piece) > 1 and piece[1] & 0x7F in _FUNCTIONS
            (facts if begun or len(piece) >= _SHORTEST else noise).extend([_damaged(piece)] if piece else [])
            continue
        fact = _frame(raw[at : at + length], asked)
        asked = fact if fact.get("direction") in ("request", "either") else {}
        facts.append(fact)
        at += length
    return facts or noise[:1]


def _holds(raw: bytes) -> bool:
    """Whether these bytes end with their own CRC."""
    return len(raw) >= _SHORTEST and crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little")


def _candidates(raw: bytes) -> list[int]:
    """Lengths that a frame beginning here can have, by the limits of the protocol."""
    if len(raw) < 2:
        return []
    function = raw[1]
    if function & 0x80:
        return [5] if len(raw) < 3 or raw[2] in _EXCEPTIONS else []
    if function in (1, 2, 3, 4):
        lengths = []
        words = function > 2
        if len(raw) > 2 and 1 <= raw[2] <= 250 and not (words and raw[2] % 2):
            lengths.append(5 + raw[2])
        count = int.from_bytes(raw[4:6], "big")
        if len(raw) < 6 or 1 <= count <= (125 if words else 2000):
            lengths.append(8)
        return lengths
    if function in (5, 6):
        return [8]
    if function in (15, 16):
        count, told = int.from_bytes(raw[4:6], "big"), raw[6] if len(raw) > 6 else 0
        if told and told == (2 * count if function == 16 else (count + 7) // 8):
            return [9 + told] if len(raw) < 8 else [9 + told, 8]
        return [8]
    return _rare_candidates(function, raw)


def _rare_candidates(function: int, raw: bytes) -> list[int]:
    """Lengths of requests and answers of the functions that hardly any meter has."""
    told = raw[2] if len(raw) > 2 else 0
    if function in (12, 17, 20, 21):
        return [4, 5 + told] if function in (12, 17) else [5 + told]
    if function == 23:
        return [5 + told, 13 + raw[10]] if len(raw) > 10 else [5 + told]
    if function == 24:
        return [6, 6 + int.from_bytes(raw[2:4], "big")]
    return {7: [4, 5], 8: [8], 11: [4, 8], 22: [10]}.get(function, [])


def _length(raw: bytes) -> int | None:
    """The length of the frame here whose CRC holds: one by the limits of its function; any for function 43, which does
    not tell; all there is for a private one, alone on the line."""
    lengths = _candidates(raw)
    if lengths:
        return next((n for n in lengths if n <= len(raw) and _holds(raw[:n])), None)
    if raw[1:2] == b"\x2b":
        return _first_that_holds(raw)
    return len(raw) if len(raw) <= _LONGEST and _holds(raw) else None


def _first_that_holds(raw: bytes) -> int | None:
    """The shortest length whose CRC holds."""
    crc = crc16(raw[: _SHORTEST - 2])
    for n in range(_SHORTEST, min(len(raw), _LONGEST) + 1):
        if crc == raw[n - 2] | raw[n - 1] << 8:
            return n
        crc = (crc >> 8) ^ _TABLE[(crc ^ raw[n - 2]) & 0xFF]
    return None


def _damaged(raw: bytes) -> dict[str, Any]:
    lengths = _candidates(raw)
    head: dict[str, Any] = {"address": str(raw[0])}
    if len(raw) > 1:
        head["function"] = raw[1] & 0x7F
    exact = raw[1:2] in (b"\x01", b"\x02", b"\x03", b"\x04") and len(raw) in lengths
    short = len(raw) < _SHORTEST or (lengths and lengths[0] > len(raw) and not exact)
    return {"status": "incomplete" if short else "bad_checksum", **head, "bytes": len(raw)}


def _frame(raw: bytes, asked: dict[str, Any]) -> dict[str, Any]:
    function, body = raw[1], raw[2:-2]
    fact: dict[str, Any] = {
        "status": "exception" if function & 0x80 else "ok",
        "address": str(raw[0]),
        "function": function & 0x7F,
        "name": _FUNCTIONS.get(function & 0x7F, "unknown"),
        "data": body.hex().upper(),
    }
    if function & 0x80:
        code = body[0] if body else 0
        return fact | {"direction": "answer", "exception": code, "errors": [_EXCEPTIONS.get(code, f"exception_{code}")]}
    if function in (1, 2, 3, 4):
        return fact | _read(function, body, asked if asked.get("function") == function else {})
    if function in (5, 6) and len(body) == 4:
        value: Any = int.from_bytes(body[2:], "big")
        if function == 5:
            value = {0xFF00: 1, 0x0000: 0}.get(value, value)
        where = int.from_bytes(body[:2], "big")
        # The answer repeats the request byte by byte: alone, such a frame may be either.
        echo = asked.get("data") == fact["data"] and asked.get("function") == function
        return fact | {
            "direction": "answer" if echo else "either",
            "register": where,
            "values": [{"name": f"{_kind(function)}_{where}", "value": value, "unit": ""}],
        }
    if function in (15, 16) and len(body) >= 4:
        span = _span(body)
        if len(body) == 4:
            return fact | {"direction": "answer"} | span
        values = _values(function == 15, body[5:], span["register"], span["count"])
        return fact | {"direction": "request"} | span | {"values": values}
    return fact


def _read(function: int, body: bytes, asked: dict[str, Any]) -> dict[str, Any]:
    """A request to read, or its answer. Registers come in pairs of bytes."""
    if not body or len(body) != 1 + body[0] or (function > 2 and body[0] % 2):
        return {"direction": "request"} | (_span(body) if len(body) == 4 else {})
    return {
        "direction": "answer",
        "values": _values(function <= 2, body[1:], asked.get("register"), asked.get("count")),
    }


def _kind(function: int) -> str:
    return "coil" if function == 5 else "register"


def _span(body: bytes) -> dict[str, Any]:
    return {"register": int.from_bytes(body[:2], "big"), "count": int.from_bytes(body[2:4], "big")}


def _values(bits: bool, data: bytes, register: int | None, count: int | None) -> list[dict[str, Any]]:
    """Bits or registers by number; counted from 0 where the first one's number is not known.

    What a register measures stands in the meter's own list, so that there is no unit; two of them are told as a float
    too, which most three-phase meters send.
    """
    kind = ("bit" if bits else "register") if register is None else ("coil" if bits else "register")
    first = register or 0
    if bits:
        values = [byte >> k & 1 for byte in data for k in range(8)][:count]
        return [{"name": f"{kind}_{first + k}", "value": bit, "unit": ""} for k, bit in enumerate(values)]
    found: list[dict[str, Any]] = []
    for k, at in enumerate(range(0, len(data) - 1, 2)):
        word = data[at : at + 2]
        value: dict[str, Any] = {
            "name": f"{kind}_{first + k}",
            "value": int.from_bytes(word, "big"),
            "signed": int.from_bytes(word, "big", signed=True),
            "unit": "",
        }
        found.append(value | (_float(data[at : at + 4]) if k % 2 == 0 else {}))
    return found


def _float(data: bytes) -> dict[str, float]:
    """What two registers are as a float, high word first, where that is a number a meter could show."""
    if len(data) < 4 or not any(data):
        return {}
    value = struct.unpack(">f", data)[0]
    return {"float32": float(f"{value:.7g}")} if 1e-3 <= abs(value) < 1e9 else {}
