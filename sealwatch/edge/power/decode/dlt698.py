"""DL/T 698.45 frames in words, through the `dlt698` package; what it refuses gets a status."""

from __future__ import annotations

from typing import Any

_START, _END = 0x68, 0x16
# Object identifier -> name, unit, decimals (GB/T 698.45 object list: 2000 voltage ... 0010 forward active energy).
OBJECTS: dict[int, tuple[str, str, int]] = {
    0x0000: ("combined_active_energy", "kWh", 2),
    0x0010: ("forward_active_energy", "kWh", 2),
    0x0020: ("reverse_active_energy", "kWh", 2),
    0x2000: ("voltage", "V", 1),
    0x2001: ("current", "A", 3),
    0x2004: ("active_power", "W", 1),
    0x2005: ("reactive_power", "var", 1),
    0x2006: ("apparent_power", "VA", 1),
    0x200A: ("power_factor", "", 3),
    0x200F: ("frequency", "Hz", 2),
    0x4000: ("date_time", "", 0),
    0x4001: ("meter_address", "", 0),
}
_FRAGMENTS = ("first", "last", "confirmation", "middle")
# Results of an access that was refused (DAR of DL/T 698.45).
_DAR = {
    1: "hardware fault",
    2: "temporarily unavailable",
    3: "not permitted",
    4: "object undefined",
    5: "class inconsistent",
    6: "object does not exist",
    7: "type mismatch",
    8: "out of bounds",
    9: "block unavailable",
    255: "other",
}
_SHORTEST = 12
_STATUS = {
    "need_more_data": "incomplete",
    "checksum_frame": "bad_checksum",
    "checksum_header": "bad_checksum",
}


def explain(raw: bytes) -> list[dict[str, Any]]:
    """Every frame in some bytes."""
    facts: list[dict[str, Any]] = []
    at = 0
    while (at := raw.find(_START, at)) >= 0:
        end = _end(raw, at)
        fact = _frame(raw[at:end]) if end <= len(raw) else _cut_off(raw[at:])
        whole = fact["status"] in ("ok", "exception", "bad_checksum")
        if not whole:
            # A stray 68H, or a frame that was cut off: what follows may be whole.
            later = next((k for k in range(at + 1, len(raw)) if _is_whole(raw, k)), None)
            if later is None:
                return [*facts, fact]
            facts += [_cut_off(raw[at:later])] if later - at >= _SHORTEST else []
        at = end if whole else later or at + 1
        if whole:
            facts.append(fact)
    return facts


def _end(raw: bytes, at: int) -> int:
    """Where the frame that begins at `at` says that it ends."""
    return at + 2 + int.from_bytes(raw[at + 1 : at + 3], "little") % 0x4000 if len(raw) >= at + 3 else len(raw) + 1


def _is_whole(raw: bytes, at: int) -> bool:
    end = _end(raw, at)
    if raw[at] != _START or end > len(raw) or end - at < _SHORTEST or raw[end - 1] != _END:
        return False
    return _frame(raw[at:end])["status"] in ("ok", "exception")


def _head(raw: bytes) -> dict[str, Any]:
    """Address and control of a frame that is not whole, as far as they are there."""
    if len(raw) < 5:
        return {}
    size = (raw[4] & 0x0F) + 1
    head: dict[str, Any] = {"control": f"{raw[3]:02X}"}
    return {"address": raw[4 + size : 4 : -1].hex().upper(), **head} if len(raw) >= 5 + size else head


def _cut_off(raw: bytes) -> dict[str, Any]:
    return {"status": "incomplete", **_head(raw), "bytes": len(raw)}


def _frame(raw: bytes) -> dict[str, Any]:
    from dlt698 import codec
    from dlt698.common.errors import Dlt698Error

    if raw[-1] != _END:
        return {"status": "bad_end", **_head(raw), "bytes": len(raw)}
    try:
        frame = codec.decode_frame(raw)
    except Dlt698Error as error:
        name = str(error).partition(":")[0]
        status = _STATUS.get(name, "bad_checksum" if "checksum" in name else "bad_header")
        return {"status": status, **_head(raw), "detail": str(error), "bytes": len(raw)}
    fact: dict[str, Any] = {
        "status": "ok",
        "address": bytes(frame.server.bytes)[::-1].hex().upper(),
        "control": f"{frame.control:02X}",
        "direction": "answer" if frame.control & 0x80 else "request",
        "fragment": bool(frame.control & 0x20),
        "client": frame.client,
        "data": bytes(frame.payload).hex().upper(),
    }
    if fact["fragment"]:
        return fact | _fragment(bytes(frame.payload))
    try:
        return fact | _apdu(codec.decode_apdu(frame.payload))
    except Dlt698Error as error:
        return fact | {"service": "unknown", "detail": str(error)}


def _fragment(payload: bytes) -> dict[str, Any]:
    """Place of a piece in a long message: two bytes, number in the low 12 bits, kind in the top two."""
    if len(payload) < 2:
        return {}
    word = int.from_bytes(payload[:2], "little")
    return {"fragment_kind": _FRAGMENTS[word >> 14], "fragment_number": word & 0x0FFF}


def _apdu(apdu: Any) -> dict[str, Any]:
    fact: dict[str, Any] = {"service": type(apdu).__name__}
    if fact["service"] == "GetRequest":
        fact["data_identifier"] = ",".join(oad_text(oad) for oad in apdu.attributes)
    elif fact["service"] == "GetResponse":
        fact["data_identifier"] = ",".join(oad_text(item.attribute) for item in apdu.attributes)
        values: list[dict[str, Any]] = []
        errors = []
        for item in apdu.attributes:
            if isinstance(item.result, int):
                errors.append("_".join(["dar", str(item.result), *_DAR.get(item.result, "").split()]))
            else:
                values += named_values(item.attribute.oi, plain(item.result), index=item.attribute.index)
        fact["values"] = values
        if errors:
            fact |= {"status": "exception", "errors": errors}
    return fact


def oad_text(oad: Any) -> str:
    """An object attribute as eight hex digits (``20040200``)."""
    return f"{oad.oi:04X}{oad.attribute:02X}{oad.index:02X}"


def plain(data: Any) -> Any:
    """A Data of the package as plain Python."""
    value = data.value
    if isinstance(value, list) and value and hasattr(value[0], "value"):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex().upper()
    return value if isinstance(value, (int, float, str, list)) or value is None else str(value)


def named_values(oi: int, value: Any, *, index: int = 0) -> list[dict[str, Any]]:
    """Values with names and units; where a total comes first, the phases follow. `index`: the one asked for."""
    name, unit, decimals = OBJECTS.get(oi, (f"object_{oi:04X}", "", 0))
    if oi == 0x4000 and isinstance(value, list) and len(value) == 7:
        high, low, *rest = (int(part) for part in value)
        year, (month, day, hour, minute, second) = high << 8 | low, rest
        moment = f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"
        return [{"name": name, "value": moment, "unit": unit}]
    if index and not isinstance(value, list):
        first = 0 if oi in (0x2000, 0x2001) else 1 if 0x2004 <= oi <= 0x200A else None
        place = index - 1 - first if first is not None else -1
        name += f"_{'abc'[place]}" if 0 <= place < 3 else ""
    items = value if isinstance(value, list) and oi in OBJECTS else [value]
    by_phase = oi in (0x2000, 0x2001)
    named = []
    for k, item in enumerate(items):
        number = item / 10**decimals if isinstance(item, (int, float)) and decimals else item
        suffix = f"_{'abc'[k]}" if by_phase and k < 3 and len(items) > 1 else f"_{k}" if k and len(items) > 1 else ""
        if not by_phase and 0x2004 <= oi <= 0x200A and 1 <= k <= 3:
            suffix = f"_{'abc'[k - 1]}"
        named.append({"name": name + suffix, "value": number, "unit": unit})
    return named
