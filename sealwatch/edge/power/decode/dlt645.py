"""DL/T 645-2007 frames in words. Names and formats of rarer identifiers come from the `dlt645` package."""

from __future__ import annotations

from typing import Any

from sealwatch.edge.power.dlt645 import FUNCTION, MORE_FOLLOWS, START, Broken, Frame, bcd, cut

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
    0x1C: "switch_or_seal",
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
# Identifiers whose content is digits, highest byte last -> name.
_DIGITS = {"04000401": "meter_address", "04000402": "meter_number"}


def explain(raw: bytes) -> list[dict[str, Any]]:
    """Every frame and every broken frame in some bytes, in order."""
    facts: list[dict[str, Any]] = []
    at = told_to = 0
    while at < len(raw):
        begin, piece, taken = cut(raw, at)
        if piece is None:
            if begin >= len(raw):
                break
            if begin >= told_to:
                later, whole, _ = _next_frame(raw, begin + 1)
                facts += _cut_off(raw[begin:later], alone=not facts and whole is None)
            at, told_to = begin + 1, max(told_to, begin + 1)
            continue
        at = begin + taken
        if isinstance(piece, Frame):
            facts.append(_frame(piece))
        elif begin >= told_to:
            facts.append(_broken(piece))
            told_to = begin + len(piece.raw)
    if not facts and START in raw:
        return [{"status": "bad_header", "detail": "the second 68H is missing"}]
    return facts


def _next_frame(raw: bytes, at: int) -> tuple[int, Frame | None, int]:
    """The next whole frame from `at` on, or the end of the bytes."""
    while at < len(raw):
        begin, piece, taken = cut(raw, at)
        if isinstance(piece, Frame):
            return begin, piece, taken
        at = begin + 1
    return len(raw), None, 0


def _cut_off(raw: bytes, *, alone: bool) -> list[dict[str, Any]]:
    """The beginning of a frame: told where its head is there, or where nothing else is to be told."""
    if alone or (len(raw) >= 8 and raw[7] == START):
        return [_broken(Broken("incomplete", raw))]
    return []


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
        return fact | _without_identifier(frame)
    fact |= {"data_identifier": identifier, "more_follows": bool(frame.control & MORE_FOLLOWS and frame.is_answer)}
    content = frame.data[4:]
    fact["data"] = content.hex().upper()
    if not frame.is_answer or not content:
        return fact
    return fact | {"values": _values(identifier, content)}


def _without_identifier(frame: Frame) -> dict[str, Any]:
    """Addresses and times that travel without a data identifier."""
    if not frame.data:
        return {}
    fact: dict[str, Any] = {"data": frame.data.hex().upper()}
    code, digits = frame.control & FUNCTION, frame.data[::-1].hex().upper()
    if code in (0x13, 0x15) and len(frame.data) == 6:
        fact["values"] = [{"name": "meter_address", "value": digits, "unit": ""}]
    elif code == 0x08 and len(frame.data) == 6:
        fact["values"] = [{"name": "date_time", "value": _moment(frame.data), "unit": ""}]
    elif code == 0x17 and len(frame.data) == 1:
        speeds = {0x02: 600, 0x04: 1200, 0x08: 2400, 0x10: 4800, 0x20: 9600, 0x40: 19200}
        fact["values"] = [{"name": "speed", "value": speeds.get(frame.data[0]), "unit": "bit/s"}]
    return fact


def is_for(pattern: str, address: str) -> bool:
    """Whether a frame with `pattern` in its address field means the meter `address`: AA stands for any two digits,
    999999999999 for every meter (DL/T 645-2007, 7.2.2)."""
    wanted = address.zfill(12).upper()
    if len(pattern) != len(wanted):
        return False
    return pattern == "9" * 12 or all(
        pattern[k : k + 2] in ("AA", wanted[k : k + 2]) for k in range(0, len(pattern), 2)
    )


def _moment(data: bytes) -> str | None:
    """``ss mm hh DD MM YY`` in BCD as ISO 8601 without a zone; None where no moment is written there."""
    digits = data[::-1].hex()
    if len(data) != 6 or not digits.isdigit() or not int(digits):
        return None
    year, month, day, hour, minute, second = (digits[k : k + 2] for k in range(0, 12, 2))
    return f"20{year}-{month}-{day}T{hour}:{minute}:{second}"


def _values(identifier: str, content: bytes) -> list[dict[str, Any]]:
    """Numbers with names and units; None for what is no number."""
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
    if identifier in _DIGITS:
        return [{"name": _DIGITS[identifier], "value": content[::-1].hex().upper(), "unit": ""}]
    if identifier.startswith("040005"):
        return _status_words(identifier, content)
    return _from_library(identifier, content)


def _status_words(identifier: str, content: bytes) -> list[dict[str, Any]]:
    """Running states 1 to 7: two bytes each, as 16 bits with the highest first."""
    first = 1 if identifier.endswith("FF") else int(identifier[6:], 16)
    return [
        {
            "name": f"status_word_{first + k}",
            "value": f"{int.from_bytes(content[at : at + 2], 'little'):016b}",
            "unit": "",
        }
        for k, at in enumerate(range(0, len(content) - 1, 2))
    ]


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
        part = content[start : start + size]
        try:
            values.append({"name": name, "value": bcd(part, decimals=decimals, signed=signed), "unit": unit})
        except ValueError as error:
            values.append({"name": name, "value": None, "unit": unit, "detail": str(error)})
    return values


def _from_library(identifier: str, content: bytes) -> list[dict[str, Any]]:
    from dlt645.model.data.define import DIMap  # 38 MB of tables: only for the installer's tool

    item = DIMap.get(int(identifier, 16))
    items = item if isinstance(item, list) else [item] if item is not None else []
    values: list[dict[str, Any]] = []
    at = 0
    for entry in items:
        form = str(entry.data_format).strip()
        digits = [c for c in form if c in "XYMDhms"]
        size = (len(digits) + 1) // 2
        part = content[at : at + size]
        if not size or len(part) < size:
            break
        decimals = len(form.partition(".")[2]) if set(form) <= set("X.") else 0
        value: Any = part[::-1].hex().upper()
        if form == "YYMMDDhhmmss":
            value = _moment(part)
        elif set(form) <= set("X.") and value.isdigit():
            value = int(value) / 10**decimals
        values.append({"name": str(entry.name), "value": value, "unit": str(entry.unit or "").strip()})
        at += size
    return values
