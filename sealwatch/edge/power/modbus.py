"""Modbus meters: RTU on a serial line or behind a converter, and Modbus TCP through `pymodbus`.

An RTU answer names neither its register nor its request, only how many bytes it holds. The line is therefore our own:
what was asked in vain and not yet given up is remembered by its length, and before an answer of the same length is
believed again, one of another length is asked for: devices answer in order, so nothing older can follow it. Modbus TCP
numbers its requests, and `pymodbus` compares the numbers.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from sealwatch.base.clock import Clock, SystemClock
from sealwatch.edge.ports import MeterError
from sealwatch.edge.power.decode.modbus import crc16
from sealwatch.edge.power.line import ANSWER_TIMEOUT_S, FORGET_S, LineStatistics
from sealwatch.edge.power.profiles import MeterProfile, ModbusBlock
from sealwatch.edge.power.ratio import factor
from sealwatch.edge.power.wire import Opener, Wire, WireError

_IDLE_S = 0.25
_FLOOD_BYTES = 4096
_EXCEPTION, _REQUEST = 0x80, 8
_FORMATS = {"float32": ">f", "uint32": ">I", "int32": ">i"}


class Registers(Protocol):
    """Something that reads registers of a device."""

    def ask(self, unit: int, block: ModbusBlock, *, others: Sequence[ModbusBlock] = ()) -> bytes:
        """The registers of a block, high byte first. Raises MeterError."""
        ...

    def close(self) -> None: ...


class RtuLine:
    """Owner of one wire with RTU devices on it. Safe to share between threads."""

    def __init__(
        self, open_wire: Opener, *, clock: Clock | None = None, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        self._open, self._clock, self._timeout_s = open_wire, clock or SystemClock(), answer_timeout_s
        self._wire: Wire | None = None
        self._lock = threading.Lock()
        self._unanswered: dict[tuple[int, int, int], float] = {}
        self._statistics: dict[int, LineStatistics] = {}

    def statistics(self, unit: int) -> LineStatistics:
        """Counters of one device; they go on counting."""
        return self._statistics.setdefault(unit, LineStatistics())

    def ask(self, unit: int, block: ModbusBlock, *, others: Sequence[ModbusBlock] = ()) -> bytes:
        """The registers of a block. Raises MeterError: unreachable | silent | echo | foreign | late | bad_checksum |
        exception."""
        with self._lock:
            try:
                now_s = self._clock.monotonic_s()
                self._unanswered = {k: at_s for k, at_s in self._unanswered.items() if now_s - at_s < FORGET_S}
                if _key(unit, block) in self._unanswered:
                    marker = next((b for b in _markers(block, others) if _key(unit, b) not in self._unanswered), None)
                    if marker is None:
                        raise self._failed(unit, "silent", "still waiting for the answers to earlier requests")
                    self._exchange(unit, marker)
                return self._exchange(unit, block)
            except WireError as error:
                self._close()
                raise self._failed(unit, "unreachable", str(error)) from None

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _exchange(self, unit: int, block: ModbusBlock) -> bytes:
        if self._wire is None:
            self._wire = self._open()
        wire = self._wire
        stale = b""
        while len(stale) < _FLOOD_BYTES and (more := wire.read(0.0)):
            stale += more
        owed = _owed(stale, unit, block)
        request = frame(unit, block.function, struct.pack(">HH", block.register, block.count))
        self.statistics(unit).asked += 1
        wire.write(request)
        deadline_s = self._clock.monotonic_s() + self._timeout_s
        heard = b""
        seen: Counter[str] = Counter()
        while (left_s := deadline_s - self._clock.monotonic_s()) > 0 and len(heard) < _FLOOD_BYTES:
            heard += wire.read(min(left_s, _IDLE_S))
            answer = _find(heard, request, unit, block, seen, owed=owed)
            if answer is not None:
                return self._accept(unit, answer)
        self._unanswered[_key(unit, block)] = self._clock.monotonic_s()
        if not heard:
            raise self._failed(unit, "silent", "nothing came back; check address, speed, wires A/B and the power")
        reason = next((r for r in ("late", "foreign", "echo") if seen[r]), "bad_checksum")
        raise self._failed(unit, reason, f"no whole answer among {len(heard)} bytes; check speed, parity and address")

    def _accept(self, unit: int, answer: bytes) -> bytes:
        if answer[1] & _EXCEPTION:
            # It may be the answer to an earlier request, so earlier ones stay open.
            raise self._failed(unit, "exception", f"the device refused the request (code {answer[2]})")
        self._unanswered = {k: at_s for k, at_s in self._unanswered.items() if k[0] != unit}
        self.statistics(unit).answered += 1
        return answer[3:-2]

    def _failed(self, unit: int, reason: str, detail: str) -> MeterError:
        self.statistics(unit).failed[reason] += 1
        return MeterError(reason, f"device {unit}: {detail}")


def frame(unit: int, function: int, body: bytes) -> bytes:
    """An RTU frame."""
    head = bytes([unit, function]) + body
    return head + crc16(head).to_bytes(2, "little")


def _key(unit: int, block: ModbusBlock) -> tuple[int, int, int]:
    """What an answer can be told by: device, function and length."""
    return unit, block.function, block.count


def _markers(block: ModbusBlock, others: Sequence[ModbusBlock]) -> list[ModbusBlock]:
    """Other requests with answers of other lengths: blocks of the profile, then parts of this one."""
    return [b for b in others if b.count != block.count] + [
        ModbusBlock(register=block.register, count=n, function=block.function, pace=block.pace, fields=block.fields)
        for n in range(1, block.count)
    ]


def _find(
    heard: bytes, request: bytes, unit: int, block: ModbusBlock, seen: Counter[str], *, owed: int = 0
) -> bytes | None:
    """The answer among what was heard; `seen` tells what else was there.

    Of several masters each may ask the same device for as many registers, and the answers look alike. `owed` answers
    to others come first; where another one asks behind our request, none is taken: whose it is can't be told.
    """
    seen.clear()
    asked_by_others = False
    for piece in _frames(heard):
        if piece == request:
            seen["echo"] += 1
        elif _is_request(piece):
            seen["foreign"] += 1
            asked_by_others |= _alike(piece, unit, block)
        elif piece[0] != unit or piece[1] & 0x7F != block.function:
            seen["foreign"] += 1
        elif not piece[1] & _EXCEPTION and piece[2] != 2 * block.count:
            seen["late"] += 1
        elif owed or asked_by_others:
            owed -= owed > 0
            seen["foreign"] += 1
        else:
            return piece
    return None


def _owed(stale: bytes, unit: int, block: ModbusBlock) -> int:
    """Answers that look like the one to `block` and are still to come, to requests of other masters."""
    owed = 0
    for piece in _frames(stale):
        if _is_request(piece):
            owed += _alike(piece, unit, block)
        elif piece[0] == unit and piece[1] & 0x7F == block.function:
            owed = max(0, owed - 1)
    return owed


def _frames(heard: bytes) -> Iterator[bytes]:
    """Requests to read and answers whose CRC holds, in order."""
    at = 0
    while at + 5 <= len(heard):
        answer = 5 if heard[at + 1] & _EXCEPTION else 5 + heard[at + 2]
        lengths = (_REQUEST, answer) if heard[at + 1] in (3, 4) else (answer,)
        length = next((n for n in lengths if at + n <= len(heard) and _holds(heard[at : at + n])), 0)
        if length:
            yield heard[at : at + length]
        at += length or 1


def _holds(piece: bytes) -> bool:
    return crc16(piece[:-2]) == int.from_bytes(piece[-2:], "little")


def _is_request(piece: bytes) -> bool:
    """A request to read is 8 bytes long, which no answer with whole registers is."""
    return len(piece) == _REQUEST and piece[1] in (3, 4)


def _alike(request: bytes, unit: int, block: ModbusBlock) -> bool:
    """Whether the answer to a request can't be told from the one to `block`."""
    return (request[0], request[1], int.from_bytes(request[4:6], "big")) == (unit, block.function, block.count)


class ModbusTcp:
    """A device or gateway that speaks Modbus TCP."""

    def __init__(self, host: str, port: int, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        from pymodbus.client import ModbusTcpClient

        # Its own words about failures repeat the reasons that are told here.
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
        self._client: Any = ModbusTcpClient(host, port=port, timeout=answer_timeout_s, retries=0)
        self._name = f"modbus-tcp://{host}:{port}"
        self._lock = threading.Lock()

    def ask(self, unit: int, block: ModbusBlock, *, others: Sequence[ModbusBlock] = ()) -> bytes:
        """The registers of a block. Raises MeterError: unreachable | silent | exception."""
        from pymodbus.exceptions import ModbusException

        del others
        with self._lock:
            if not self._client.connected and not self._client.connect():
                raise MeterError("unreachable", f"{self._name} cannot be reached; check power, network and port")
            read = self._client.read_input_registers if block.function == 4 else self._client.read_holding_registers
            try:
                answer = read(block.register, count=block.count, device_id=unit)
            except (ModbusException, OSError) as error:
                self._client.close()
                raise MeterError("silent", f"device {unit} on {self._name}: {error}") from None
        if answer.isError():
            raise MeterError("exception", f"device {unit} on {self._name} refused the request ({answer})")
        return b"".join(value.to_bytes(2, "big") for value in answer.registers)

    def close(self) -> None:
        with self._lock:
            self._client.close()


class ModbusBus:
    """`MeterBus` over registers, through a profile."""

    def __init__(self, registers: Registers, profile: MeterProfile, *, transformer_ratio: float = 1.0) -> None:
        self._registers, self._profile, self._ratio = registers, profile, transformer_ratio

    def read(self, address: str, quantities: Sequence[str]) -> Mapping[str, float]:
        """Values of the wanted quantities; one request per block. Raises MeterError."""
        wanted = set(quantities)
        unknown = wanted - set(self._profile.quantities)
        if unknown:
            raise MeterError("exception", f"the profile cannot read {', '.join(sorted(unknown))}")
        values: dict[str, float] = {}
        for block in self._profile.modbus:
            if wanted.isdisjoint(f.quantity for f in block.fields):
                continue
            data = self._registers.ask(int(address), block, others=self._profile.modbus)
            values |= {q: v for q, v in decode_registers(block, data, ratio=self._ratio).items() if q in wanted}
        return values

    def close(self) -> None:
        self._registers.close()


def decode_registers(block: ModbusBlock, data: bytes, *, ratio: float = 1.0) -> dict[str, float]:
    """The quantities in a block's registers; numbers that are none (NaN) are left out. Raises MeterError (garbage)."""
    values: dict[str, float] = {}
    for item in block.fields:
        raw = data[2 * item.offset : 2 * item.offset + 2 * item.words]
        if len(raw) < 2 * item.words:
            raise MeterError("garbage", f"register {block.register}: {len(data)} bytes are too few for {item.quantity}")
        if item.words == 2 and item.word_order == "low_first":
            raw = raw[2:] + raw[:2]
        if item.words == 1:
            value = float(int.from_bytes(raw, "big", signed=item.type == "int16"))
        else:
            value = float(struct.unpack(_FORMATS[item.type], raw)[0])
        if value == value and abs(value) < 1e12:  # NaN is not equal to itself
            values[item.quantity] = value * item.scale * factor(item.quantity, ratio)
    return values
