"""DL/T 645-2007 frames in words. Names and formats of rarer identifiers come from the `dlt645` package."""

from __future__ import annotations

from typing import Any

from sealwatch.edge.power.dlt645 import FUNCTION, MORE_FOLLOWS, START, Assembler, Broken, Frame, bcd

_FUNCTIONS = {
    0x08: "broadcast_time",
    0x11: "read",
    0x12: "read_more",
    0x13: "read_address",
    0x14: "write",
    0x15: "write_address",
    0x16: "freeze",
    0x17: "change_speed",
    0x18: "change_password",
    0x19: "clear_demand",
    0x1A: "clear_meter",
    0x1B: "clear_events",
}
_PHASES = ("a", "b", "c")
# Group (second byte of 02xxxx00) -> name, unit, bytes, decimals, signed, whether a total comes first.
_INSTANT: dict[int, tuple[str, str, int, int, bool, bool]] = {
    0x01: ("voltage", "V", 2, 1, False, False),
    0x02: ("current", "A", 3, 3, True, False),
    0x03: ("active_power", "kW", 3, 4, True, True),
    0x04: ("reactive_power", "kvar", 3, 4, True, True),
    0x05: ("apparent_power", "kVA", 3, 4, True, True),
    0x06: ("power_factor", "", 2, 3, True, True),
    0x07: ("phase_angle", "deg", 2, 1, False, False),
}
_ENERGY = {
    0x00: "combined_active_energy",
    0x01: "forward_active_energy",
    0x02: "reverse_active_energy",
    0x03: "combined_reactive_1_energy",
    0x04: "combined_reactive_2_energy",
}
_TARIFFS = ("total", "sharp", "peak", "flat", "valley")
_SINGLE = {
    "02800001": ("neutral_current", "A", 3, 3, True),
    "02800002": ("frequency", "Hz", 2, 2, False),
    "02800003": ("active_power_1min", "kW", 3, 4, True),
    "03300D00": ("cover_opened_count", "", 3, 0, False),
    "03300E00": ("terminal_cover_opened_count", "", 3, 0, False),
    "03300400": ("clock_set_count", "", 3, 0, False),
    "03110000": ("power_loss_count", "", 3, 0, False),
}


def explain(raw: bytes) -> list[dict[str, Any]]:
    """Every frame and every broken frame in some bytes."""
    assembler = Assembler()
    pieces = assembler.feed(raw)
    while assembler.pending:
        pieces += assembler.give_up_waiting()
    facts = [_frame(p) if isinstance(p, Frame) else _broken(p) for p in pieces]
    whole = [f for f in facts if f["status"] != "incomplete"]
    if not facts and START in raw:
        return [{"status": "bad_header", "detail": "the second 68H is missing"}]
    return whole or facts[:1]


def _broken(piece: Broken) -> dict[str, Any]:
    head = {"address": piece.raw[6:0:-1].hex().upper()} if len(piece.raw) >= 8 else {}
    if len(piece.raw) >= 9:
        head["control"] = f"{piece.raw[8]:02X}"
    return {"status": piece.reason, **head, "bytes": len(piece.raw)}


def _frame(frame: Frame) -> dict[str, Any]:
    fact: dict[str, Any] = {
        "status": "exception" if frame.refused else "ok",
        "address": frame.address,
        "control": f"{frame.control:02X}",
        "direction": "answer" if frame.is_answer else "request",
        "function": _FUNCTIONS.get(frame.control & FUNCTION, "unknown"),
    }
    if frame.refused:
        return fact | {"errors": frame.errors}
    identifier = frame.identifier
    if identifier is None:
        if frame.control == 0x93 and len(frame.data) == 6:
            fact["values"] = [{"name": "meter_address", "value": frame.data[::-1].hex().upper(), "unit": ""}]
        return fact
    fact |= {"data_identifier": identifier, "more_follows": bool(frame.control & MORE_FOLLOWS and frame.is_answer)}
    content = frame.data[4:]
    fact["data"] = content.hex().upper()
    if not frame.is_answer or not content:
        return fact
    try:
        values = _values(identifier, content)
    except ValueError as error:
        return fact | {"values": [], "detail": str(error)}
    return fact | {"values": values}


def _values(identifier: str, content: bytes) -> list[dict[str, Any]]:
    """Numbers with names and units. Raises ValueError where the content is no BCD."""
    group, kind, which = int(identifier[:2], 16), int(identifier[2:4], 16), identifier[4:6]
    if group == 0x02 and kind in _INSTANT and identifier[6:] == "00":
        name, unit, size, decimals, signed, total = _INSTANT[kind]
        names = [name] * total + [f"{name}_{p}" for p in _PHASES]
        if which != "FF":
            at = int(which, 16)
            names = [name if at == 0 else f"{name}_{_PHASES[at - 1]}"] if at <= 3 else [name]
        return _split(content, names, unit, size, decimals, signed=signed)
    if group == 0x00 and kind in _ENERGY and identifier[6:] == "00":
        name = _ENERGY[kind]
        unit = "kvarh" if "reactive" in name else "kWh"
        tariffs = [f"{name}_{t}" for t in _TARIFFS] if which == "FF" else [name + _tariff(which)]
        return _split(content, tariffs, unit, 4, 2, signed=kind in (0x00, 0x03, 0x04))
    if identifier in _SINGLE:
        name, unit, size, decimals, signed = _SINGLE[identifier]
        return _split(content, [name], unit, size, decimals, signed=signed)
    return _from_library(identifier, content)


def _tariff(which: str) -> str:
    at = int(which, 16)
    if at == 0:
        return ""
    return f"_{_TARIFFS[at]}" if at < len(_TARIFFS) else f"_tariff_{at}"


def _split(
    content: bytes, names: list[str], unit: str, size: int, decimals: int, *, signed: bool
) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = []
    for k, start in enumerate(range(0, len(content) - size + 1, size)):
        name = names[k] if k < len(names) else f"value_{k + 1}"
        number = bcd(content[start : start + size], decimals=decimals, signed=signed)
        values.append({"name": name, "value": number, "unit": unit})
    return values


def _from_library(identifier: str, content: bytes) -> list[dict[str, Any]]:
    from dlt645.model.data.define import DIMap  # 38 MB of tables: only for the installer's tool

    item = DIMap.get(int(identifier, 16))
    items = item if isinstance(item, list) else [item] if item is not None else []
    values, at = [], 0
    for entry in items:
        form = str(entry.data_format).strip()
        digits = [c for c in form if c in "XYMDhms"]
        size = (len(digits) + 1) // 2
        part = content[at : at + size]
        if not size or len(part) < size:
            break
        decimals = len(form.partition(".")[2]) if set(form) <= set("X.") else 0
        value: Any = part[::-1].hex().upper()
        if set(form) <= set("X.") and value.isdigit():
            value = int(value) / 10**decimals
        values.append({"name": str(entry.name), "value": value, "unit": str(entry.unit or "").strip()})
        at += size
    return values
