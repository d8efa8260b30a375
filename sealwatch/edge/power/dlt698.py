"""DL/T 698.45 meters through the `dlt698` package: one attribute at a time, matched by invocation number and address.

Unlike its predecessor the protocol numbers requests (PIID, 0 to 63) and repeats the attribute in the answer, so a late
or foreign answer shows itself. Numbers are used in turn, so that one comes back only after 63 others.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sealwatch.base.clock import Clock, SystemClock
from sealwatch.edge.ports import MeterError
from sealwatch.edge.power.decode.dlt698 import oad_text, plain
from sealwatch.edge.power.dlt645 import WILDCARD
from sealwatch.edge.power.line import ANSWER_TIMEOUT_S, LineStatistics
from sealwatch.edge.power.profiles import MeterProfile, ObjectBlock
from sealwatch.edge.power.ratio import factor
from sealwatch.edge.power.wire import Opener, Wire, WireError

_START, _END = 0x68, 0x16
_CLIENT = 0x10
_REQUEST = 0x43  # from the client, user data
_METER_ADDRESS = "40010200"
_IDLE_S = 0.25
_FLOOD_BYTES = 8192
_PIIDS = 64


class Line698:
    """Owner of one wire with DL/T 698.45 meters on it. Safe to share between threads."""

    def __init__(
        self, open_wire: Opener, *, clock: Clock | None = None, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        self._open, self._clock, self._timeout_s = open_wire, clock or SystemClock(), answer_timeout_s
        self._wire: Wire | None = None
        self._lock = threading.Lock()
        self._piid = 0
        self._statistics: dict[str, LineStatistics] = {}

    def statistics(self, address: str) -> LineStatistics:
        """Counters of one meter; they go on counting."""
        return self._statistics.setdefault(address, LineStatistics())

    def ask(self, address: str, oad: str) -> Any:
        """The value of an attribute (``20040200``) as plain Python. Raises MeterError."""
        with self._lock:
            try:
                return self._exchange(address.zfill(12), oad)
            except WireError as error:
                self._close()
                raise self._failed(address, "unreachable", str(error)) from None

    def identify(self) -> str:
        """The address of the only meter on the line. Raises MeterError."""
        told = self.ask(WILDCARD, _METER_ADDRESS)
        if not isinstance(told, str) or not told:
            raise MeterError("garbage", "the meter tells no address")
        return told.zfill(12)

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _exchange(self, address: str, oad: str) -> Any:
        if self._wire is None:
            self._wire = self._open()
        wire = self._wire
        taken = 0
        while taken < _FLOOD_BYTES and (stale := wire.read(0.0)):
            taken += len(stale)
        self._piid = (self._piid + 1) % _PIIDS
        request = get_request(address, oad, self._piid)
        self.statistics(address).asked += 1
        wire.write(b"\xfe" * 4 + request)
        deadline_s = self._clock.monotonic_s() + self._timeout_s
        heard = b""
        seen: Counter[str] = Counter()
        while (left_s := deadline_s - self._clock.monotonic_s()) > 0 and len(heard) < _FLOOD_BYTES:
            heard += wire.read(min(left_s, _IDLE_S))
            seen.clear()
            for frame in frames(heard, seen):
                result = self._judge(frame, request, address, oad, seen)
                if result is not None:
                    return self._accept(address, result)
        if not heard:
            raise self._failed(address, "silent", "nothing came back; check address, speed, wires A/B and the power")
        reason = next((r for r in ("bad_checksum", "late", "foreign", "echo") if seen[r]), "garbage")
        raise self._failed(address, reason, f"no whole answer among {len(heard)} bytes")

    def _judge(self, frame: bytes, request: bytes, address: str, oad: str, seen: Counter[str]) -> Any:
        """The result in a frame if it answers the request; None otherwise, and what it was in `seen`."""
        from dlt698 import codec
        from dlt698.common.errors import Dlt698Error

        if frame == request:
            seen["echo"] += 1
            return None
        try:
            head = codec.decode_frame(frame)
            apdu = codec.decode_apdu(head.payload)
        except Dlt698Error as error:
            seen["bad_checksum" if "checksum" in str(error) else "foreign"] += 1
            return None
        if (
            address not in (WILDCARD, bytes(head.server.bytes)[::-1].hex().upper())
            or type(apdu).__name__ != "GetResponse"
        ):
            seen["foreign"] += 1
            return None
        items = apdu.attributes
        if apdu.piid_acd & 0x3F != self._piid or len(items) != 1 or oad_text(items[0].attribute) != oad:
            seen["late"] += 1
            return None
        return items[0].result

    def _accept(self, address: str, result: Any) -> Any:
        if isinstance(result, int):
            raise self._failed(address, "exception", f"the meter refused the attribute (DAR {result})")
        self.statistics(address).answered += 1
        return plain(result)

    def _failed(self, address: str, reason: str, detail: str) -> MeterError:
        self.statistics(address).failed[reason] += 1
        return MeterError(reason, f"meter {address}: {detail}")


def get_request(address: str, oad: str, piid: int) -> bytes:
    """The frame that reads one attribute."""
    from dlt698 import _native, codec

    attribute = _native.Oad(oi=int(oad[:4], 16), attribute=int(oad[4:6], 16), index=int(oad[6:], 16))
    payload = codec.encode_apdu(_native.GetRequest(attributes=[attribute], list=False, piid=piid))
    server = _native.ServerAddress(bytes=bytes.fromhex(address.zfill(12))[::-1], logical=0)
    if address == WILDCARD:
        server.type = _native.AddressType.wildcard
    return bytes(codec.encode_frame(codec.Frame(control=_REQUEST, server=server, client=_CLIENT, payload=payload)))


def frames(raw: bytes, seen: Counter[str]) -> Iterator[bytes]:
    """Byte strings that begin and end like a frame of their stated length."""
    at = 0
    while (at := raw.find(_START, at)) >= 0 and at + 3 <= len(raw):
        end = at + 2 + int.from_bytes(raw[at + 1 : at + 3], "little") % 0x4000
        if end <= len(raw) and end - at >= 12 and raw[end - 1] == _END:
            yield raw[at:end]
            at = end if not seen["bad_checksum"] else at + 1
        else:
            at += 1


class Dlt698Bus:
    """`MeterBus` over attributes, through a profile."""

    def __init__(self, line: Line698, profile: MeterProfile, *, transformer_ratio: float = 1.0) -> None:
        self.line, self._profile, self._ratio = line, profile, transformer_ratio

    def read(self, address: str, quantities: Sequence[str]) -> Mapping[str, float]:
        """Values of the wanted quantities; one request per attribute. Raises MeterError."""
        wanted = set(quantities)
        unknown = wanted - set(self._profile.quantities)
        if unknown:
            raise MeterError("exception", f"the profile cannot read {', '.join(sorted(unknown))}")
        values: dict[str, float] = {}
        for block in self._profile.dlt698:
            if not wanted.isdisjoint(f.quantity for f in block.fields):
                found = self.line.ask(address, block.attribute)
                values |= {q: v for q, v in decode_object(block, found, ratio=self._ratio).items() if q in wanted}
        return values

    def close(self) -> None:
        self.line.close()


def decode_object(block: ObjectBlock, found: Any, *, ratio: float = 1.0) -> dict[str, float]:
    """The quantities in an attribute: a number, or an array of numbers or structures. Raises MeterError (garbage)."""
    items = list(_leaves(found))
    values: dict[str, float] = {}
    for item in block.fields:
        if item.position >= len(items):
            continue
        number = items[item.position]
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise MeterError("garbage", f"{block.attribute}: {item.quantity} is no number")
        values[item.quantity] = number * item.scale * factor(item.quantity, ratio)
    return values


def _leaves(found: Any) -> Iterator[Any]:
    """What an attribute holds, one behind the other, however it is put into structures."""
    if not isinstance(found, list):
        yield found
        return
    for item in found:
        yield from _leaves(item)
