"""DL/T 698.45 frames in words, through the `dlt698` package; what it refuses gets a status."""

from __future__ import annotations

from typing import Any

from sealwatch.edge.power.decode.objects698 import named_values

_START, _END = 0x68, 0x16
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
    10: "fragments cancelled",
    11: "no fragments under way",
    14: "block number invalid",
    15: "password wrong or not authorised",
    16: "speed not changeable",
    20: "security does not match",
    22: "security module refused",
    23: "security failed",
    27: "address wrong",
    30: "signature wrong",
    31: "meter suspended",
    32: "time tag invalid",
    33: "request timed out",
    255: "other",
}
_ERROR_TYPES = {0: "message_not_understood", 1: "service_not_supported", 255: "other"}
_MOMENTS = ("date_time", "date", "time", "date_time_s")
# What the address of a frame names, by the top bits of its first byte.
_ADDRESS_TYPES = ("single", "wildcard", "group", "broadcast")
_SHORTEST = 12
_HEAD_BYTES = 5  # up to where the address begins: a shorter rest behind whole frames is noise
_STATUS = {
    "need_more_data": "incomplete",
    "checksum_frame": "bad_checksum",
    "checksum_header": "bad_checksum",
}


def explain(raw: bytes) -> list[dict[str, Any]]:
    """Every frame in some bytes."""
    facts: list[dict[str, Any]] = []
    pieces = b""
    at = 0
    while (at := raw.find(_START, at)) >= 0:
        end = _end(raw, at)
        fact = _frame(raw[at:end]) if end <= len(raw) else _cut_off(raw[at:])
        whole = fact["status"] in ("ok", "exception", "bad_checksum")
        if not whole:
            # A stray 68H, or a frame that was cut off: what follows may be whole.
            later = next((k for k in range(at + 1, len(raw)) if _is_whole(raw, k)), None)
            if later is None:
                return [*facts, fact] if not facts or fact["bytes"] >= _HEAD_BYTES else facts
            if later - at >= _SHORTEST:
                facts.append(fact if end <= later else _cut_off(raw[at:later]))
        at = end if whole else later or at + 1
        if whole:
            facts.append(fact)
            pieces = _joined(pieces, fact)
    return facts


def _joined(pieces: bytes, fact: dict[str, Any]) -> bytes:
    """The pieces of a long message so far; behind the last one, what the whole says is added to its facts."""
    kind = fact.get("fragment_kind")
    if kind not in ("first", "middle", "last") or not (pieces or kind == "first"):
        return pieces if kind == "confirmation" else b""
    pieces = (b"" if kind == "first" else pieces) + bytes.fromhex(fact["data"])[2:]
    if kind != "last":
        return pieces
    fact |= {"joined_data": pieces.hex().upper(), **_service(pieces)}
    return b""


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
        "address_type": _ADDRESS_TYPES[raw[4] >> 6],
        "control": f"{frame.control:02X}",
        "direction": "answer" if frame.control & 0x80 else "request",
        "fragment": bool(frame.control & 0x20),
        "client": frame.client,
        "data": bytes(frame.payload).hex().upper(),
    }
    return fact | (_fragment if fact["fragment"] else _service)(bytes(frame.payload))


def _fragment(payload: bytes) -> dict[str, Any]:
    """Place of a piece in a long message: two bytes, number in the low 12 bits, kind in the top two."""
    if len(payload) < 2:
        return {}
    word = int.from_bytes(payload[:2], "little")
    return {"fragment_kind": _FRAGMENTS[word >> 14], "fragment_number": word & 0x0FFF}


def _service(payload: bytes) -> dict[str, Any]:
    """What an application message says; one in a security envelope is opened where it is not encrypted."""
    from dlt698 import codec
    from dlt698.common.errors import Dlt698Error

    try:
        if payload[:1] not in (b"\x10", b"\x90"):
            return _apdu(codec.decode_apdu(payload))
        envelope = codec.decode_security(payload)
    except Dlt698Error as error:
        return {"service": "unknown", "detail": str(error)}
    fact = {"security": type(envelope).__name__, "encrypted": bool(envelope.encrypted)}
    inside = envelope.application
    if isinstance(inside, int):
        return {"status": "exception", **fact, "errors": [_dar(inside)]}
    return fact if envelope.encrypted else fact | _service(bytes(inside))


def _apdu(apdu: Any) -> dict[str, Any]:
    fact: dict[str, Any] = {"service": type(apdu).__name__}
    if fact["service"] == "ErrorResponse":
        return {"status": "exception", **fact, "errors": [_ERROR_TYPES.get(apdu.type, f"error_{apdu.type}")]}
    if fact["service"] == "LinkRequest":
        return fact | {"link": apdu.type.name}
    carried = getattr(apdu, "payload", None)
    if hasattr(carried, "port"):
        return fact | _carried(carried)
    parts = _parts(apdu)
    if parts:
        fact["data_identifier"] = ",".join(oad_text(_target(part)) for part in parts)
    values: list[dict[str, Any]] = []
    errors: list[str] = []
    for part in parts:
        _tell(part, values, errors)
    if values or fact["service"] in ("GetResponse", "GetRecordResponse", "ReportNotification"):
        fact["values"] = values
    if errors:
        fact |= {"status": "exception", "errors": errors}
    return fact


def _parts(apdu: Any) -> list[Any]:
    """What a message is about, piece by piece; those that it passes on to other servers too."""
    parts: list[Any] = []
    for name in ("attributes", "methods", "records", "payload", "result"):
        found = getattr(apdu, name, None)
        for part in found if isinstance(found, (list, tuple)) else []:
            items = getattr(part, "items", None)
            parts += items if isinstance(items, (list, tuple)) else [part]
    return [part for part in parts if hasattr(_target(part), "oi")]


def _carried(payload: Any) -> dict[str, Any]:
    """Bytes that are passed through to a port as they are, or come back from it."""
    found = getattr(payload, "result", getattr(payload, "command", b""))
    fact: dict[str, Any] = {"data_identifier": oad_text(payload.port)}
    if isinstance(found, int):
        return fact | {"status": "exception", "errors": [_dar(found)]}
    return fact | {"carried": bytes(found or b"").hex().upper()}


def _target(part: Any) -> Any:
    """The attribute or method that a part of a message is about: in requests it stands for itself."""
    found = next((t for name in ("attribute", "method") if hasattr(t := getattr(part, name, None), "oi")), None)
    return part if found is None else found


def _tell(part: Any, values: list[dict[str, Any]], errors: list[str]) -> None:
    """Adds the values of a part of a message, or the result that refuses them."""
    target = _target(part)
    if getattr(part, "dar", 0):
        errors.append(_dar(part.dar))
    result = getattr(part, "result", getattr(part, "value", None) if part is not target else None)
    if isinstance(result, int):
        errors.append(_dar(result))
    elif hasattr(part, "columns"):
        for number, row in enumerate(result or [], start=1):
            for column, cell in zip(part.columns, row, strict=False):
                values.extend({"record": number, **fact} for fact in _named(column, cell))
    elif result is not None:
        values += _named(target, result)


def _named(oad: Any, data: Any) -> list[dict[str, Any]]:
    return named_values(oad.oi, plain(data), attribute=oad.attribute & 0x1F, index=oad.index) if oad else []


def _dar(code: int) -> str:
    return "_".join(["dar", str(code), *_DAR.get(code, "").split()])


def oad_text(oad: Any) -> str:
    """An object attribute or method as eight hex digits (``20040200``)."""
    if hasattr(oad, "method"):
        return f"{oad.oi:04X}{oad.method:02X}{oad.mode:02X}"
    return f"{oad.oi:04X}{oad.attribute:02X}{oad.index:02X}"


def plain(data: Any) -> Any:
    """A Data of the package as plain Python; moments in ISO 8601 without a zone, None where none is written."""
    value, kind = data.value, data.type.name
    if kind in _MOMENTS:
        return _moment(kind, value)
    if isinstance(value, list) and value and hasattr(value[0], "value"):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex().upper()
    if kind == "bit_string":
        return "".join(f"{byte:08b}" for byte in bytes(value.value))[: value.bit_count]
    if hasattr(value, "oi") and hasattr(value, "index"):
        return oad_text(value)
    return value if isinstance(value, (int, float, str, list)) or value is None else str(value)


def _moment(kind: str, parts: list[int]) -> str | None:
    """``date_time_s`` has year (2 bytes), month, day, hour, minute, second; the others more or fewer."""
    if kind != "time" and parts[:2] == [0xFF, 0xFF]:
        return None
    day = f"{parts[0] << 8 | parts[1]:04d}-{parts[2]:02d}-{parts[3]:02d}" if kind != "time" else ""
    clock = parts[{"date_time": 5, "date_time_s": 4, "time": 0, "date": len(parts)}[kind] :][:3]
    return "T".join(filter(None, (day, ":".join(f"{part:02d}" for part in clock))))
